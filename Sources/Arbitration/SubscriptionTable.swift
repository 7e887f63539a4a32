// Who holds which topic downstream, whom a message goes to, and what that means upstream. Who may not have all that it
// asks for is granted the part that it may. Rules: design, section 8.
public import Basics

/// The subscriptions of all clients.
public struct SubscriptionTable: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Of market data.
        public var prefixesPerClient = 100_000
        /// Control topics and sync markers, which a client may hold besides.
        public var signalsPerClient = 10_000
        public var prefixes = 1_000_000
        /// Topics of one feed that are subscribed upstream, held and lingering.
        public var topics = 250_000
        /// Longest prefix, in bytes.
        public var prefixLength = 255
        /// How many topics of a feed are released upstream by one `tick`, and how many prefixes of clients that are
        /// gone are given up by one call: market data has its turn in between.
        public var atATime = 256

        public init() {}
    }

    /// What was counted since the start.
    public struct Counters: Hashable, Sendable {
        public var granted: UInt64 = 0
        /// Of those, requests that were granted in part.
        public var narrowed: UInt64 = 0
        public var refused: [String: UInt64] = [:]
        /// UNSUBs of what the connection did not hold.
        public var notHeld: UInt64 = 0
        /// Upstream subscriptions that were released before their linger to make room.
        public var releasedEarly: UInt64 = 0
    }

    public let limits: Limits
    public private(set) var counters = Counters()
    /// How many prefixes are held, over all connections.
    public private(set) var count = 0

    private var prefixes = PrefixBook()
    private var prefixFeeds = PrefixFeeds()
    private var holders: [Int32: SubscriptionHolder] = [:]
    private var index = HolderIndex()
    /// What clients that are gone held, and is still to be given up.
    private var leftBehind: [LeftBehind] = []
    private var feeds: [String: UpstreamWants?] = [:]
    /// Feeds whose channels are numbered.
    private var batched: Set<String> = []

    public init(limits: Limits = Limits()) { self.limits = limits }

    // MARK: - Feeds

    /// Lets clients subscribe to a feed. `linger`: how long a unicast feed's upstream subscription outlives its
    /// last holder; `nil` for a feed that needs none. `hasBatches`: its channels are numbered. What clients hold of it
    /// already is taken up, as far as there is room upstream.
    public mutating func addFeed(
        _ name: String, linger: Duration?, hasBatches: Bool = false, at now: Instant
    ) -> [SubscriptionAction] {
        if hasBatches { batched.insert(name) } else { batched.remove(name) }
        feeds.updateValue(linger.map { UpstreamWants(linger: $0, limit: limits.topics) }, forKey: name)
        var beyond: [(connection: Int32, prefix: PrefixBook.Handle)] = []
        for connection in holders.keys.sorted() {
            // About in the order in which it asked.
            let asked = prefixFeeds.select(holders[connection]?.held ?? [], of: name).sorted()
            var count = 0
            for prefix in asked {
                guard let topic = topic(prefixes[prefix], of: name) else { continue }
                let hasRoom = feeds[name]??.hasRoom(for: topic) ?? true
                if !hasRoom { beyond.append((connection, prefix)) }
                if hasRoom { feeds[name]??.add(WantedTopic(topic, holding: count)) }
                count += 1
            }
            holders[connection]?.set(topics: count, of: name)
        }
        // For these nobody waits.
        for prefix in prefixFeeds.select(leftBehind.flatMap(\.prefixes), of: name) {
            guard let topic = topic(prefixes[prefix], of: name) else { continue }
            feeds[name]??.add(WantedTopic(topic, turn: .last))
        }
        let refusal = SubscriptionRefusal.tooManyUpstream(feed: name, limit: limits.topics)
        return beyond.flatMap { refuse($0.prefix, to: $0.connection, refusal, at: now) }
    }

    /// A client does not have a prefix any more, nor anything else of the requests that grant it.
    private mutating func refuse(
        _ prefix: PrefixBook.Handle, to connection: Int32, _ refusal: SubscriptionRefusal, at now: Instant
    ) -> [SubscriptionAction] {
        let requests = holders[connection]?.requests(granting: prefix) ?? []
        return requests.map { prefixes[$0] }.flatMap { request in
            counters.refused[refusal.name, default: 0] &+= 1
            return release(request, by: connection, at: now)
                + [.refuse(connection: connection, prefix: request, refusal)]
        }
    }

    /// A feed whose numbering nobody knew turned out to be one by topic: who holds its batches would get nothing.
    public mutating func refuseBatches(of feed: String, at now: Instant) -> [SubscriptionAction] {
        guard batched.remove(feed) != nil else { return [] }
        var actions: [SubscriptionAction] = []
        for (connection, holder) in holders.sorted(by: { $0.key < $1.key }) {
            let held = prefixFeeds.select(holder.held, of: feed).map { prefixes[$0] }
            for prefix in held.sorted() where prefix.hasPrefix("batch/") {
                guard case .batch(feed, _)? = request(prefix) else { continue }
                let refusal = SubscriptionRefusal.notBatched(feed)
                counters.refused[refusal.name, default: 0] &+= 1
                actions += release(prefix, by: connection, at: now)
                actions.append(.refuse(connection: connection, prefix: prefix, refusal))
            }
        }
        return actions
    }

    /// Forgets a feed. Clients keep what they hold and receive nothing until it is added again.
    public mutating func removeFeed(_ name: String) { feeds[name] = nil }

    /// How many connections hold something.
    public var connections: Int { holders.count }

    /// How many prefixes a connection holds.
    public func count(of connection: Int32) -> Int { holders[connection]?.count ?? 0 }

    /// What a feed must be subscribed to upstream, in a stable order: everything first.
    public func wanted(of feed: String) -> [UpstreamTopic] { feeds[feed]??.wanted ?? [] }

    /// Likewise, with its turns under the venue's limit.
    public func turns(of feed: String) -> [WantedTopic] { feeds[feed]??.turnsOfWanted ?? [] }

    /// Whether that is all of it.
    public func wantsEverything(of feed: String) -> Bool { feeds[feed]??.wants(.everything) ?? false }

    /// What clients hold of a feed: for a feed that is built anew.
    public func requests(of feed: String) -> Set<TopicRequest> {
        let held = holders.values.map(\.held) + leftBehind.map(\.prefixes)
        let prefixes = held.reduce(into: Set()) { $0.formUnion(prefixFeeds.select($1, of: feed)) }
        var requests: Set<TopicRequest> = []
        for prefix in prefixes {
            switch request(self.prefixes[prefix]) {
            case .data(feed, let instruments)?: requests.insert(.data(feed: feed, instruments))
            case .batch(feed, let channel)?: requests.insert(.batch(feed: feed, channel: channel))
            case .data, .batch, .control, .sync, nil: continue
            }
        }
        return requests
    }

    // MARK: - Requests

    /// A client asked for a prefix. Only bytes that are a valid topic are granted; who asks again for what it has is
    /// granted nothing.
    ///
    /// - Parameter entitled: what it may have now; another time it may be more or less.
    public mutating func subscribe(
        _ bytes: ArraySlice<UInt8>, by connection: Int32, entitled: Entitlements = .everything,
        at now: Instant
    ) -> [SubscriptionAction] {
        do throws(SubscriptionRefusal) {
            let prefix = try text(bytes)
            let request = try TopicRequest(parsing: prefix, feeds: feeds.keys)
            if case .batch(let feed, _) = request, !batched.contains(feed) { throw .notBatched(feed) }
            return try grant(prefix, request, to: connection, entitled, at: now)
        } catch {
            counters.refused[error.name, default: 0] &+= 1
            let told = String(decoding: bytes.prefix(limits.prefixLength), as: UTF8.self)
            let refusal = SubscriptionAction.refuse(connection: connection, prefix: told, error)
            // It may have been entitled to it before.
            guard case .notEntitled = error else { return [refusal] }
            return release(told, by: connection, at: now) + [refusal]
        }
    }

    /// A client gave a prefix up.
    public mutating func unsubscribe(
        _ bytes: ArraySlice<UInt8>, by connection: Int32, at now: Instant
    ) -> [SubscriptionAction] {
        let prefix = String(decoding: bytes, as: UTF8.self)
        guard let asked = prefixes.find(prefix), holders[connection]?.hasAsked(for: asked) ?? false else {
            counters.notHeld &+= 1
            return []
        }
        return release(prefix, by: connection, at: now)
    }

    /// A connection closed: it gets nothing from now on, and what it held is given up a little at a time.
    public mutating func closed(_ connection: Int32, at now: Instant) -> [SubscriptionAction] {
        guard let holder = holders.removeValue(forKey: connection) else { return [] }
        index.leave(holder.number)
        let held = holder.held
        // One use stays for each: of what is granted as asked, its request's.
        for handle in held where holder.grant(of: handle) != [] { prefixes.use(handle) }
        for (request, grant) in holder.requestsGrantedInPart { drop([request] + grant) }
        leftBehind.append(
            LeftBehind(holder: holder.number, prefixes: held, topicsOfFeeds: holder.topicsOfFeeds))
        return giveUp(at: now)
    }

    /// The next ones of what a client left behind.
    private mutating func giveUp(at now: Instant) -> [SubscriptionAction] {
        guard let last = leftBehind.indices.last else { return [] }
        let next = Array(leftBehind[last].prefixes.suffix(limits.atATime))
        leftBehind[last].prefixes.removeLast(next.count)
        for handle in next {
            guard let (feed, _) = upstream(request(prefixes[handle])) else { continue }
            leftBehind[last].topicsOfFeeds[feed]? -= 1
        }
        let holder = leftBehind[last].holder
        let names = next.map { prefixes[$0] }.sorted()
        for handle in next {
            index.remove(handle, holder)
            prefixes.drop(handle)
        }
        if leftBehind[last].prefixes.isEmpty {
            leftBehind.removeLast()
            index.forget(holder)
        }
        return names.flatMap { dropped($0, by: nil, at: now) }
    }

    // MARK: - Messages

    /// Adds the connections that a message goes to, each once.
    ///
    /// - Parameters:
    ///   - topic: ends in `/`.
    ///   - route: as it was returned for this topic before, or a new one.
    /// - Returns: the topic's route as it is now.
    public mutating func findReceivers(
        of topic: Span<UInt8>, by route: TopicRoute, into receivers: inout [Int32]
    ) -> TopicRoute {
        index.begin()
        if route.edition == prefixes.edition {
            if route.prefix == TopicRoute.none { return route }
            if route.prefix != TopicRoute.several {
                index.find(route.prefix, into: &receivers)
                return route
            }
        }
        var found = TopicRoute(edition: prefixes.edition)
        var isFeed = false
        let topic = [UInt8](copying: topic)
        for place in topic.indices where topic[place] == UInt8(ascii: "/") {
            // Nobody is granted the topics of all feeds.
            if isFeed, let prefix = prefixes.find(topic[...place]) {
                index.find(prefix, into: &receivers)
                found.prefix = found.prefix == TopicRoute.none ? prefix : TopicRoute.several
            }
            isFeed = true
        }
        return found
    }

    // MARK: - Time

    /// When `tick` is due: something is left to be given up, or an upstream subscription to be released.
    public var deadline: Instant? {
        leftBehind.isEmpty ? feeds.values.lazy.compactMap { $0?.deadline }.min() : .zero
    }

    public mutating func tick(at now: Instant) -> [SubscriptionAction] {
        giveUp(at: now)
            + feeds.keys.sorted().flatMap { feed in
                (feeds[feed]??.expire(at: now, atMost: limits.atATime) ?? []).map {
                    .unsubscribeUpstream(feed: feed, $0)
                }
            }
    }

    // MARK: - Holding

    private func text(_ bytes: ArraySlice<UInt8>) throws(SubscriptionRefusal) -> String {
        guard bytes.count <= limits.prefixLength else {
            throw .tooLong(bytes: bytes.count, limit: limits.prefixLength)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .notText }
        return text
    }

    /// Grants a request, or the part of it that its client may have.
    private mutating func grant(
        _ prefix: String, _ request: TopicRequest, to connection: Int32, _ entitled: Entitlements,
        at now: Instant
    ) throws(SubscriptionRefusal) -> [SubscriptionAction] {
        let grant: [String]
        switch entitled.verdict(on: request) {
        case .asAsked: grant = []
        case .narrowed(let prefixes): grant = prefixes
        case .refused: throw .notEntitled(entitled)
        }
        let change = try enter(prefix, request, grant, for: connection)
        var actions = change.lost.flatMap { [.revoke(prefix: $0)] + dropped($0, by: connection, at: now) }
        if !grant.isEmpty { actions.append(.narrow(connection: connection, prefix: prefix, entitled)) }
        // Before anything is shown: what was heard of a topic before it is subscribed anew holds no more.
        for gained in change.gained {
            actions += added(gained == prefix ? request : self.request(gained), by: connection)
        }
        // A request that it has not made yet is shown all that it is granted, whatever others grant.
        for shown in change.isNew ? (grant.isEmpty ? [prefix] : grant) : change.gained {
            guard let request = shown == prefix ? request : self.request(shown) else { continue }
            actions.append(.grant(connection: connection, prefix: shown, request))
        }
        guard !change.gained.isEmpty else { return actions }
        counters.granted &+= 1
        if !grant.isEmpty { counters.narrowed &+= 1 }
        return actions
    }

    /// Enters a request with what it is granted; empty: just that.
    private mutating func enter(
        _ prefix: String, _ asked: TopicRequest, _ grant: [String], for connection: Int32
    ) throws(SubscriptionRefusal) -> (gained: [String], lost: [String], isNew: Bool) {
        let request = take(prefix, asked)
        let granted = grant.map { take($0, nil) }
        let isSignal = TopicRequest.isSignal(prefix)
        let before: [PrefixBook.Handle]?
        do throws(SubscriptionRefusal) {
            before = try admit(request, granted, isSignal: isSignal, of: connection)
        } catch {
            drop([request] + granted)
            throw error
        }
        let change = change(request, isSignal: isSignal, of: connection, to: granted)
        count += change.gained.count
        if let before { drop([request] + before) }
        return (change.gained, change.lost, before == nil)
    }

    /// A prefix's number, for one more use.
    /// - Parameter request: as it was read; `nil`: it was not.
    private mutating func take(_ prefix: String, _ request: TopicRequest?) -> PrefixBook.Handle {
        let number = prefixes.take(prefix)
        if prefixes.uses(of: number) == 1 { prefixFeeds.note(number, request ?? self.request(prefix)) }
        return number
    }

    /// What a request was granted before, if there is room for what it is to be granted. Its copy of the holder is gone
    /// before the holder changes, or all that it holds would be copied with each request.
    private func admit(
        _ request: PrefixBook.Handle, _ grant: [PrefixBook.Handle], isSignal: Bool, of connection: Int32
    ) throws(SubscriptionRefusal) -> [PrefixBook.Handle]? {
        let holder = holders[connection]
        let gain = holder?.gain(of: request, grant) ?? max(1, grant.count)
        guard gain > 0 else { return holder?.grant(of: request) }
        let signals = holder?.signals ?? 0
        guard isSignal || (holder?.topics ?? 0) + gain <= limits.prefixesPerClient else {
            throw .tooManyForClient(limit: limits.prefixesPerClient)
        }
        guard !isSignal || signals + gain <= limits.signalsPerClient else {
            throw .tooManySignalsForClient(limit: limits.signalsPerClient)
        }
        guard count + gain <= limits.prefixes else { throw .tooMany(limit: limits.prefixes) }
        try admitUpstream(grant.isEmpty ? [request] : grant)
        return holder?.grant(of: request)
    }

    /// Each feed is subscribed to so many topics upstream and no more, whoever asks.
    private func admitUpstream(_ grant: [PrefixBook.Handle]) throws(SubscriptionRefusal) {
        for (feed, wants) in feeds {
            // What clients that are gone leave is room, as soon as it is given up.
            let leaving = leftBehind.reduce(0) { $0 + $1.topics(of: feed) }
            guard let wants, !wants.hasRoom(for: grant.count - leaving) else { continue }
            let new = grant.count { prefix in
                topic(prefixes[prefix], of: feed).map { !wants.isHeld($0) } ?? false
            }
            guard new == 0 || wants.hasRoom(for: new - leaving) else {
                throw .tooManyUpstream(feed: feed, limit: limits.topics)
            }
        }
    }

    /// Takes a request back, and with it what no other request of the connection grants.
    private mutating func release(
        _ prefix: String, by connection: Int32, at now: Instant
    ) -> [SubscriptionAction] {
        guard let request = prefixes.find(prefix), let before = holders[connection]?.grant(of: request)
        else { return [] }
        let isSignal = TopicRequest.isSignal(prefix)
        let lost = change(request, isSignal: isSignal, of: connection, to: nil).lost
        if let holder = holders[connection], holder.isEmpty {
            holders[connection] = nil
            index.forget(holder.number)
        }
        drop([request] + before)
        return lost.flatMap { [.revoke(prefix: $0)] + dropped($0, by: connection, at: now) }
    }

    private mutating func change(
        _ request: PrefixBook.Handle, isSignal: Bool, of connection: Int32, to grant: [PrefixBook.Handle]?
    ) -> (gained: [String], lost: [String]) {
        if holders[connection] == nil {
            holders[connection] = SubscriptionHolder(number: index.makeHolder(of: connection))
        }
        guard let number = holders[connection]?.number,
            let change = holders[connection]?.set(request, to: grant, isSignal: isSignal)
        else { return ([], []) }
        for prefix in change.gained { index.add(prefix, number) }
        for prefix in change.lost { index.remove(prefix, number) }
        return (change.gained.map { prefixes[$0] }, change.lost.map { prefixes[$0] })
    }

    private mutating func drop(_ handles: [PrefixBook.Handle]) {
        for handle in handles { prefixes.drop(handle) }
    }

    private mutating func added(_ request: TopicRequest?, by connection: Int32) -> [SubscriptionAction] {
        guard let (feed, topic) = upstream(request) else { return [] }
        let holding = holders[connection]?.topics(of: feed) ?? 0
        holders[connection]?.set(topics: holding + 1, of: feed)
        let wanted = WantedTopic(topic, holding: holding)
        switch feeds[feed]??.add(wanted) {
        case .subscribe?:
            let subscription = SubscriptionAction.subscribeUpstream(feed: feed, wanted)
            guard let forced = feeds[feed]??.makeRoom() else { return [subscription] }
            counters.releasedEarly &+= 1
            return [.unsubscribeUpstream(feed: feed, forced), subscription]
        case .hasten?: return [.hastenUpstream(feed: feed, wanted)]
        case nil: return []
        }
    }

    /// - Parameter connection: who held it; `nil`: it is gone.
    private mutating func dropped(
        _ prefix: String, by connection: Int32?, at now: Instant
    ) -> [SubscriptionAction] {
        count -= 1
        guard let (feed, topic) = upstream(request(prefix)) else { return [] }
        if let connection, let held = holders[connection]?.topics(of: feed) {
            holders[connection]?.set(topics: held - 1, of: feed)
        }
        guard let forced = feeds[feed]??.remove(topic, at: now) else { return [] }
        counters.releasedEarly &+= 1
        return [.unsubscribeUpstream(feed: feed, forced)]
    }

    private func request(_ prefix: String) -> TopicRequest? {
        try? TopicRequest(parsing: prefix, feeds: feeds.keys)
    }

    private func topic(_ prefix: String, of feed: String) -> UpstreamTopic? {
        guard let wanted = upstream(request(prefix)), wanted.feed == feed else { return nil }
        return wanted.topic
    }

    private func upstream(_ request: TopicRequest?) -> (feed: String, topic: UpstreamTopic)? {
        switch request {
        case .data(let feed, .all): (feed, .everything)
        case .data(let feed, .one(let instrument)): (feed, .instrument(instrument))
        case .data(_, .none), .batch, .control, .sync, nil: nil
        }
    }
}

/// What a client that is gone held.
private struct LeftBehind: Sendable {
    let holder: HolderIndex.Holder
    /// Those that are still to be given up.
    var prefixes: [PrefixBook.Handle]
    /// How many topics of each feed are among them, as it held them.
    var topicsOfFeeds: [String: Int]

    func topics(of feed: String) -> Int { max(0, topicsOfFeeds[feed] ?? 0) }
}
