// Bytes that wait for one connection, and how many may wait for all: a queue may grow as far as room is left (dynamic
// thresholds: Choudhury and Hahne, 1998), so that one reader that sleeps gets plenty, and a thousand of them no more than
// there is; and each has a little of its own, so that who sleeps takes nothing from who reads.

/// What the queues of one socket have together.
public struct QueueRoom: Hashable, Sendable {
    /// Bytes that may wait for one connection, that each may have whatever the others have, and for all beyond that.
    public let ofOne: Int
    public let ofEach: Int
    public let ofAll: Int
    public fileprivate(set) var used = 0

    public init(ofOne: Int = 8 << 20, ofEach: Int = 32 << 10, ofAll: Int = 48 << 20) {
        self.ofOne = ofOne
        self.ofEach = ofEach
        self.ofAll = ofAll
    }

    /// How long a queue may be by now.
    fileprivate var longest: Int { max(ofEach, min(ofOne, ofAll - used)) }
}

/// The bytes that wait for one connection.
public struct SendQueue: ~Copyable, Sendable {
    /// What an empty queue keeps for the next time.
    static let kept = 8 << 10

    private var bytes: [UInt8] = []
    private var start = 0
    private var counted = 0

    public init() {}

    public var count: Int { bytes.count - start }
    public var isEmpty: Bool { count == 0 }

    /// Whether so many bytes more may wait: one message may wherever none waits, however long it is.
    public func mayTake(_ more: Int, _ room: QueueRoom) -> Bool { isEmpty || count + more <= room.longest }

    /// Lets bytes be appended.
    public mutating func append(_ room: inout QueueRoom, _ write: (inout [UInt8]) -> Void) {
        if start > 0, 2 * start >= bytes.count {
            bytes.removeFirst(start)
            start = 0
        }
        write(&bytes)
        settle(&room)
    }

    /// Hands over what waits; the answer is how much of it was taken.
    public mutating func send<Failure>(
        _ room: inout QueueRoom, _ write: (ArraySlice<UInt8>) throws(Failure) -> Int
    ) throws(Failure) {
        start += try write(bytes[start...])
        if start == bytes.count {
            start = 0
            bytes.removeAll(keepingCapacity: bytes.capacity <= SendQueue.kept)
        }
        settle(&room)
    }

    /// Nothing waits any more.
    public mutating func removeAll(_ room: inout QueueRoom) {
        (bytes, start) = ([], 0)
        settle(&room)
    }

    private mutating func settle(_ room: inout QueueRoom) {
        room.used += count - counted
        counted = count
    }
}
