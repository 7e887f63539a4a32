// Bytes that wait for one connection, and how much memory they may take for all: a queue may grow as far as room is left
// (dynamic thresholds: Choudhury and Hahne, 1998), so that one reader that sleeps gets plenty, and a thousand of them no
// more than there is; and each has a little of its own, so that who sleeps takes nothing from who reads.

/// What the queues of one socket have together. Bytes of memory are counted, whether something waits in them or not.
public struct QueueRoom: Hashable, Sendable {
    /// What one connection may have, what each may have whatever the others have, and what all may have beyond that.
    public let ofOne: Int
    public let ofEach: Int
    public let ofAll: Int
    public fileprivate(set) var used = 0

    public init(ofOne: Int = 8 << 20, ofEach: Int = 32 << 10, ofAll: Int = 48 << 20) {
        self.ofOne = ofOne
        self.ofEach = ofEach
        self.ofAll = ofAll
    }

    /// How large a queue may become by now.
    fileprivate var largest: Int { max(ofEach, min(ofOne, ofAll - used)) }
    /// There is more than enough for all that wait.
    fileprivate var isAmple: Bool { used <= ofAll / 2 }
}

/// The bytes that wait for one connection.
public struct SendQueue: ~Copyable, Sendable {
    /// What an empty queue keeps for the next time: always, and while there is ample room.
    static let kept = 8 << 10
    static let keptOfPlenty = 128 << 10
    /// Up to here a queue doubles, since who reads is served from it again and again; beyond, it grows by an eighth.
    static let doubled = 64 << 10

    private var bytes: [UInt8] = []
    private var start = 0
    private var counted = 0

    public init() {}

    public var count: Int { bytes.count - start }
    public var isEmpty: Bool { count == 0 }

    /// Whether so many bytes more may wait: one message may wherever none waits, however long it is.
    public func mayTake(_ more: Int, _ room: QueueRoom) -> Bool {
        isEmpty || fits(more) || movesFor(more) || count + more <= room.largest
    }

    /// Behind what waits.
    private func fits(_ more: Int) -> Bool { bytes.count + more <= bytes.capacity }

    /// If what waits is moved to the front, for which enough must have been sent to be worth it.
    private func movesFor(_ more: Int) -> Bool {
        8 * start >= bytes.capacity && count + more <= bytes.capacity
    }

    /// Lets so many bytes be appended, or fewer.
    public mutating func append(
        _ most: Int, _ room: inout QueueRoom, _ write: (inout [UInt8]) -> Void
    ) {
        if !fits(most) { makeRoom(for: most, room) }
        write(&bytes)
        settle(&room)
    }

    private mutating func makeRoom(for more: Int, _ room: QueueRoom) {
        if movesFor(more) {
            bytes.removeFirst(start)
        } else {
            let before = bytes.capacity
            let next = before < SendQueue.doubled ? 2 * before : before + before / 8
            // An array that grows by itself would double.
            var larger: [UInt8] = []
            larger.reserveCapacity(max(count + more, min(next, room.largest)))
            larger.append(contentsOf: bytes[start...])
            bytes = larger
        }
        start = 0
    }

    /// Hands over what waits; the answer is how much of it was taken.
    public mutating func send<Failure>(
        _ room: inout QueueRoom, _ write: (ArraySlice<UInt8>) throws(Failure) -> Int
    ) throws(Failure) {
        start += try write(bytes[start...])
        if start == bytes.count {
            start = 0
            let kept = room.isAmple ? SendQueue.keptOfPlenty : SendQueue.kept
            bytes.removeAll(keepingCapacity: bytes.capacity <= kept)
        }
        settle(&room)
    }

    /// Nothing waits any more.
    public mutating func removeAll(_ room: inout QueueRoom) {
        (bytes, start) = ([], 0)
        settle(&room)
    }

    private mutating func settle(_ room: inout QueueRoom) {
        room.used += bytes.capacity - counted
        counted = bytes.capacity
    }
}
