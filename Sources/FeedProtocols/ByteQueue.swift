// Bytes of a file on their way to a reader: fed in pieces of any size, taken from the front.

/// A queue of bytes that knows how far into the file its front is. It holds what was fed and not yet taken,
/// never what a length field claims.
struct ByteQueue {
    private var bytes: [UInt8] = []
    private var head = 0
    /// Bytes of a claimed length that will be dropped as they come.
    private var toSkip = 0
    /// The front's place in the file, in bytes.
    private(set) var offset = 0

    var count: Int { bytes.count - head }

    mutating func feed(_ chunk: some Collection<UInt8>) {
        let dropped = min(toSkip, chunk.count)
        toSkip -= dropped
        offset += dropped
        if head > 0 {
            bytes.removeFirst(head)
            head = 0
        }
        bytes.append(contentsOf: chunk.dropFirst(dropped))
    }

    /// The next `length` bytes, left in the queue; `nil` until they have been fed.
    func peek(_ length: Int) -> ArraySlice<UInt8>? {
        count >= length ? bytes[head..<(head + length)] : nil
    }

    /// The next `length` bytes, taken; `nil` until they have been fed.
    mutating func take(_ length: Int) -> ArraySlice<UInt8>? {
        guard let slice = peek(length) else { return nil }
        head += length
        offset += length
        return slice
    }

    /// Drops `length` bytes, also those that have not been fed yet.
    mutating func skip(_ length: Int) {
        let now = min(length, count)
        head += now
        offset += now
        toSkip += length - now
    }

    /// The bytes that a skip is still waiting for.
    var owed: Int { toSkip }
}
