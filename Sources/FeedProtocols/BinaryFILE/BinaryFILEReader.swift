// Nasdaq's BinaryFILE: messages with a big-endian 16-bit length each, as ITCH days are published.
import Basics

/// Reads a BinaryFILE that is fed in pieces. Memory: what was fed and not yet read, at most one piece and
/// 64 KiB if every message is taken before the next piece is fed.
public struct BinaryFILEReader {
    private var queue = ByteQueue()
    /// A message of length 0 ends the file; what follows is not read.
    public private(set) var isAtEnd = false

    public init() {}

    public mutating func feed(_ chunk: some Collection<UInt8>) {
        guard !isAtEnd else { return }
        queue.feed(chunk)
    }

    /// The next message; `nil`: feed more, or the end was read.
    public mutating func next() -> ArraySlice<UInt8>? {
        guard !isAtEnd, let header = queue.peek(2) else { return nil }
        let length = Int(header[header.startIndex]) << 8 | Int(header[header.startIndex + 1])
        guard length > 0 else {
            isAtEnd = true
            return nil
        }
        return queue.take(2 + length)?.dropFirst(2)
    }

    /// To be called when no more will be fed.
    /// - Throws: `MalformedInput.truncated` if the file ends within a message.
    public func finish() throws(MalformedInput) {
        guard !isAtEnd, queue.count > 0 else { return }
        let wanted = queue.peek(2).map { 2 + (Int($0[$0.startIndex]) << 8 | Int($0[$0.startIndex + 1])) } ?? 2
        throw MalformedInput(.truncated, offset: queue.offset, wanted: wanted, found: queue.count)
    }

    /// Whether a file starts with an ITCH 5.0 message at its right length.
    static func looksLikeITCH(_ start: ArraySlice<UInt8>) -> Bool {
        var reader = ByteReader(start)
        guard let length = try? reader.integer(UInt16.self), let type = reader.rest.first else {
            return false
        }
        return ITCH50Message.length(ofType: type) == Int(length)
    }
}
