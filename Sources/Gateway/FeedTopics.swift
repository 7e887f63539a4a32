// The topics of one channel, or of a feed whose topics are numbered each by itself, as they stand on the wire, with
// the book of what was last published on each.
import Arbitration
import Basics
import Wire

struct FeedTopics: ~Copyable {
    /// What is to be known of a topic to publish a message.
    struct Stand {
        /// The number published before it; 0: none.
        var previous: UInt64
        var use: TopicUse
        /// What the publisher returned for the topic last.
        var route: TopicRoute

        var isWanted: Bool { use.contains(.asked) }
        /// What comes on the topic says where it is.
        var isHeard: Bool { !use.contains(.left) }
    }

    private(set) var book: TopicBook
    /// By the feed's own spelling; empty: the messages for no instrument.
    private var index = TopicIndex(capacity: TopicDemand.limit)
    /// The topics' bytes on the wire.
    private(set) var wire = PackedBytes()
    private var flags: [FrameFlags] = []
    private var routes: [TopicRoute] = []
    /// Frames of topics that nobody asked for are booked but not written; those of topics that were left are not booked.
    private var uses: [TopicUse] = []
    /// Every topic is held, and each that comes is as well: what clients asked for is never forgotten.
    private var holdsAll = false
    private let demand: TopicDemand
    private let feed: String
    private var withoutRoom: UInt64 = 0
    /// Whether last values are kept.
    let keepsValues: Bool
    private var values: LastValues

    /// - Parameter channel: 0 where topics are numbered each by itself.
    init(feed: String, channel: UInt16 = 0, demand: TopicDemand, keepsValues: Bool, at now: Instant) {
        values = LastValues(channel: channel)
        self.feed = feed
        self.keepsValues = keepsValues
        self.demand = demand
        book = TopicBook(at: now)
    }

    var count: Int { index.count }
    /// Topics for which there was no room.
    var refused: UInt64 { withoutRoom &+ book.refused }
    var deadline: Instant? { book.deadline }

    /// What every frame of the topic is flagged with.
    func flags(_ handle: Int) -> FrameFlags { flags[handle] }
    /// The feed's own spelling.
    func key(_ handle: Int) -> ArraySlice<UInt8> { index[handle] }

    func isWanted(_ handle: Int) -> Bool { uses[handle].contains(.asked) }

    /// What the publisher returned for the topic.
    mutating func set(_ route: TopicRoute, of handle: Int) { routes[handle] = route }

    /// A client was granted a topic; an empty key is the one of the messages for no instrument.
    ///
    /// - Returns: how many topics were looked at.
    @discardableResult
    mutating func want(_ key: [UInt8], at now: Instant) -> Int {
        if demand.wantsAll { return wantAll(at: now) }
        guard let handle = index.find(key[...]) else { return 0 }
        hold(handle, at: now)
        return 1
    }

    /// Somebody takes all topics, also those that come later.
    ///
    /// - Returns: how many topics were looked at: each once, however many ask.
    @discardableResult
    mutating func wantAll(at now: Instant) -> Int {
        guard !holdsAll else { return 0 }
        holdsAll = demand.wantsAll
        for handle in uses.indices { hold(handle, at: now) }
        return uses.count
    }

    private mutating func hold(_ handle: Int, at now: Instant) {
        guard uses[handle].insert(.asked).inserted else { return }
        book.set(handle, isHeld: true, at: now)
    }

    func find(_ key: ArraySlice<UInt8>) -> Int? { index.find(key) }
    func find(_ key: Span<UInt8>) -> Int? { index.find(key) }

    /// The handle of a topic; `instrument` names it when it is new. `nil`: no room.
    mutating func intern(
        _ key: ArraySlice<UInt8>, flags: FrameFlags = [], at now: Instant, instrument: () -> String?
    ) -> Int? {
        if let known = index.find(key) { return known }
        guard key.count <= TopicIndex.longest, demand.takeRoom(), let handle = index.intern(key) else {
            withoutRoom &+= 1
            return nil
        }
        wire.append(Topic.marketData(feed: feed, instrument: instrument()).bytes)
        self.flags.append(flags)
        routes.append(TopicRoute())
        uses.append([])
        if demand.isWanted(key) { hold(handle, at: now) }
        return handle
    }

    /// A message is about to be published.
    @inline(__always)
    mutating func published(_ handle: Int, sequence: UInt64, at now: Instant) -> Stand {
        let use = uses[handle]
        let previous = use.contains(.left) ? 0 : book.published(handle, sequence: sequence, at: now)
        return Stand(previous: previous, use: use, route: routes[handle])
    }

    mutating func caughtUp(_ handle: Int, last: UInt64, at now: Instant) {
        guard !uses[handle].contains(.left) else { return }
        book.caughtUp(handle, last: last, at: now)
    }

    /// A topic is not subscribed upstream any more: where it stands is not known, and what still comes on it was under way
    /// and does not say where it will be when it is joined again.
    mutating func leave(_ handle: Int) {
        uses[handle].insert(.left)
        epochChanged(of: handle)
    }

    /// A topic that was left is subscribed again: its next word says where it stands.
    mutating func join(_ handle: Int) { uses[handle].remove(.left) }

    mutating func epochChanged() {
        book.epochChanged()
        forgetValues()
    }

    mutating func epochChanged(of handle: Int) {
        book.epochChanged(of: handle)
        forgetValue(of: handle)
    }

    mutating func idle(at now: Instant) -> [IdleFrame] { book.tick(at: now) }
    func last(of handle: Int) -> UInt64 { book.last(of: handle) }
}

/// What becomes of a topic's messages.
struct TopicUse: OptionSet {
    let rawValue: UInt8

    /// Somebody asked for it.
    static let asked = TopicUse(rawValue: 1)
    /// It was subscribed upstream and is not any more.
    static let left = TopicUse(rawValue: 2)
}

// MARK: - Last values

extension FeedTopics {
    /// `nil`: none are kept.
    var valueFigures: LastValueFigures? {
        keepsValues
            ? LastValueFigures(count: values.count, bytes: values.memory, refused: values.refused) : nil
    }

    /// A message is published that says all there is to know of its topic.
    mutating func keep(_ handle: Int, _ header: FrameHeader, body: Span<UInt8>) {
        values.keep(handle, header, body: body)
    }

    /// What was last published may not be the topic's last value any more.
    mutating func forgetValue(of handle: Int) {
        if keepsValues { values.forget(handle) }
    }

    mutating func forgetValues() {
        if keepsValues { values.forgetAll() }
    }

    /// Adds values to a page.
    ///
    /// - Parameters:
    ///   - keys: of these topics; `nil`: of all.
    ///   - start: where in them.
    ///   - header: a value's, as it stands now.
    /// - Returns: where to go on; `nil`: that was all.
    func add(
        to page: inout SnapshotPage, keys: [[UInt8]]?, from start: Int, _ publisher: FramePublisher,
        header: (FrameHeader) -> FrameHeader
    ) -> Int? {
        let end = keys?.count ?? count
        var place = start
        while place < end {
            guard !page.isFull else { return place }
            let handle = keys.map { find($0[place][...]) } ?? place
            let frame = handle.flatMap { handle in
                values.value(of: handle).map {
                    publisher.frame(
                        header($0.header), topic: wire.bytes.span.extracting(wire.place(of: handle)),
                        body: $0.body)
                }
            }
            page.look(frame, hasHistory: handle.map { last(of: $0) > 0 } ?? false)
            place += 1
        }
        return nil
    }
}
