// The topics of one feed as they stand on the wire, with the book of what was last published on each.
import Arbitration
import Basics
import Wire

struct FeedTopics {
    static let limit = 200_000

    private(set) var book: TopicBook
    /// By the feed's own spelling; empty: the messages for no instrument.
    private var index = TopicIndex(capacity: FeedTopics.limit)
    private var wire: [[UInt8]] = []
    private var flags: [FrameFlags] = []
    /// Somebody asked for the topic; frames that nobody asked for are booked but not written.
    private var wanted: [Bool] = []
    private var wantsAll = false
    /// Asked for before they were seen.
    private var expected: Set<[UInt8]> = []
    private let feed: String

    init(feed: String, at now: Instant) {
        self.feed = feed
        book = TopicBook(at: now)
    }

    var count: Int { index.count }
    /// Topics for which there was no room.
    var refused: UInt64 { index.refused &+ book.refused }
    var deadline: Instant? { book.deadline }

    /// The bytes of a topic on the wire.
    func wireTopic(_ handle: Int) -> [UInt8] { wire[handle] }
    /// What every frame of the topic is flagged with.
    func flags(_ handle: Int) -> FrameFlags { flags[handle] }
    /// The feed's own spelling.
    func key(_ handle: Int) -> ArraySlice<UInt8> { index[handle] }

    func isWanted(_ handle: Int) -> Bool { wanted[handle] }

    /// A client was granted a topic; an empty key is the one of the messages for no instrument. It counts as
    /// wanted for good: what nobody takes any more costs little.
    mutating func want(_ key: [UInt8], at now: Instant) {
        if let handle = index.find(key[...]) {
            hold(handle, at: now)
        } else if expected.count < FeedTopics.limit {
            expected.insert(key)
        } else {
            wantAll(at: now)
        }
    }

    mutating func wantAll(at now: Instant) {
        guard !wantsAll else { return }
        wantsAll = true
        expected = []
        for handle in wanted.indices { hold(handle, at: now) }
    }

    private mutating func hold(_ handle: Int, at now: Instant) {
        guard !wanted[handle] else { return }
        wanted[handle] = true
        book.set(handle, isHeld: true, at: now)
    }

    func find(_ key: ArraySlice<UInt8>) -> Int? { index.find(key) }

    /// The handle of a topic; `instrument` names it when it is new. `nil`: no room.
    mutating func intern(
        _ key: ArraySlice<UInt8>, flags: FrameFlags = [], at now: Instant, instrument: () -> String?
    ) -> Int? {
        guard let handle = index.intern(key) else { return nil }
        if handle == wire.count {
            wire.append(Topic.marketData(feed: feed, instrument: instrument()).bytes)
            self.flags.append(flags)
            wanted.append(false)
            if wantsAll || expected.remove(Array(key)) != nil { hold(handle, at: now) }
        }
        return handle
    }

    mutating func published(_ handle: Int, sequence: UInt64, at now: Instant) -> UInt64 {
        book.published(handle, sequence: sequence, at: now)
    }

    mutating func caughtUp(_ handle: Int, last: UInt64, at now: Instant) {
        book.caughtUp(handle, last: last, at: now)
    }

    mutating func gapTold(through last: UInt64) { book.gapTold(through: last) }
    mutating func gapTold(of handle: Int) { book.gapTold(of: handle) }
    mutating func epochChanged() { book.epochChanged() }
    mutating func epochChanged(of handle: Int) { book.epochChanged(of: handle) }
    mutating func idle(at now: Instant) -> [IdleFrame] { book.tick(at: now) }
    func last(of handle: Int) -> UInt64 { book.last(of: handle) }
}
