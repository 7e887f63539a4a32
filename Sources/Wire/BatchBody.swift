// Several consecutive messages of a channel in one frame, for who takes a whole feed: a frame for each would cost
// more than all else that is done with them.
import Basics

/// Collects the body of a batch: a count, then each message behind its length.
public struct BatchBody: Hashable, Sendable {
    /// The body as it stands.
    public private(set) var bytes: [UInt8] = [0, 0, 0, 0]
    public private(set) var count: UInt32 = 0

    /// - Parameter capacity: how long a body becomes, in bytes.
    public init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    public var isEmpty: Bool { count == 0 }

    /// Adds the message with the next sequence. `false`: it is too long for a batch.
    @inlinable
    public mutating func append(_ message: ArraySlice<UInt8>) -> Bool {
        guard let length = UInt16(exactly: message.count) else { return false }
        add(message, length)
        return true
    }

    @usableFromInline
    mutating func add(_ message: ArraySlice<UInt8>, _ length: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: length))
        bytes.append(UInt8(truncatingIfNeeded: length >> 8))
        bytes.append(contentsOf: message)
        count += 1
        bytes[0] = UInt8(truncatingIfNeeded: count)
        guard bytes[0] == 0 else { return }
        for byte in 1..<4 { bytes[byte] = UInt8(truncatingIfNeeded: count >> (8 * byte)) }
    }

    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(contentsOf: [0, 0, 0, 0])
        count = 0
    }

    /// The messages of a body with their sequences; offsets in errors count from its first byte.
    ///
    /// - Parameter last: the header's sequence, which is the last message's.
    public static func messages(
        of body: ArraySlice<UInt8>, last: UInt64
    ) throws(FrameError) -> [(sequence: UInt64, message: ArraySlice<UInt8>)] {
        var reader = ByteReader(body)
        do throws(EndOfBytes) {
            let count = UInt64(try reader.littleEndian(UInt32.self))
            guard count <= last, count <= body.count / 2 else {
                throw EndOfBytes(offset: 0, wanted: Int(clamping: count &* 2), left: body.count)
            }
            var messages: [(UInt64, ArraySlice<UInt8>)] = []
            for index in 0..<count {
                let length = Int(try reader.littleEndian(UInt16.self))
                messages.append((last - count + 1 + index, try reader.take(length)))
            }
            return messages
        } catch {
            throw FrameError(error)
        }
    }
}
