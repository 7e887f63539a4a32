// What market data a caller may have: the topics that its entry in the list of clients names, as a value that
// requests are narrowed by.
public import Wire

/// The market data that somebody may have.
public struct Entitlements: Hashable, Sendable, CustomStringConvertible {
    /// What may be had of one feed.
    private struct Share: Hashable, Sendable {
        /// As topic prefixes, in alphabetical order; shared by all who hold them.
        var prefixes: [String] = []
        var instruments: Set<InstrumentRequest> = []

        func covers(_ instruments: InstrumentRequest) -> Bool {
            self.instruments.contains(.all) || self.instruments.contains(instruments)
        }
    }

    /// What a request becomes.
    enum Verdict: Hashable, Sendable {
        case asAsked
        /// These prefixes instead, which the request would have covered.
        case narrowed([String])
        case refused
    }

    public static let everything = Entitlements(isUnlimited: true, shares: [:])
    public static let nothing = Entitlements(isUnlimited: false, shares: [:])

    private let isUnlimited: Bool
    private let shares: [String: Share]

    private init(isUnlimited: Bool, shares: [String: Share]) {
        self.isUnlimited = isUnlimited
        self.shares = shares
    }

    /// - Parameter topics: `md/`, `md/<feed>/` or `md/<feed>/<instrument>/`; others grant nothing.
    public init(topics: some Sequence<String>) {
        var shares: [String: Share] = [:]
        var isUnlimited = false
        for topic in Set(topics).sorted() {
            if topic == "md/" { isUnlimited = true }
            guard case .data(let feed, let instruments) = TopicRequest(spelling: topic) else { continue }
            shares[feed, default: Share()].instruments.insert(instruments)
            shares[feed, default: Share()].prefixes.append(topic)
        }
        self.init(isUnlimited: isUnlimited, shares: isUnlimited ? [:] : shares)
    }

    public init(_ caller: Caller) {
        switch caller {
        case .open: self = .everything
        case .client(let client): self.init(topics: client.topics)
        case .stranger: self = .nothing
        }
    }

    /// Control topics come with any market data of their feed, batches with all of it, markers always.
    func verdict(on request: TopicRequest) -> Verdict {
        if isUnlimited { return .asAsked }
        switch request {
        case .sync: return .asAsked
        case .control(let feed, _): return shares[feed] == nil ? .refused : .asAsked
        case .batch(let feed, _): return shares[feed]?.covers(.all) ?? false ? .asAsked : .refused
        case .data(let feed, let instruments):
            guard let share = shares[feed] else { return .refused }
            if share.covers(instruments) { return .asAsked }
            return instruments == .all ? .narrowed(share.prefixes) : .refused
        }
    }

    /// Whether what is published on a topic may be had.
    public func mayHave(_ topic: Topic) -> Bool {
        switch topic {
        case .control(let feed, let channel): verdict(on: .control(feed: feed, channel: channel)) == .asAsked
        case .marketData(let feed, let instrument):
            verdict(on: .data(feed: feed, instrument.map { .one($0) } ?? .none)) == .asAsked
        case .batch(let feed, let channel): verdict(on: .batch(feed: feed, channel: channel)) == .asAsked
        case .sync: true
        case .state, .sample, .heartbeat: false
        }
    }

    /// The instruments of a feed that may be had; `nil`: all.
    public func instruments(of feed: String) -> [String]? {
        guard !isUnlimited else { return nil }
        guard let share = shares[feed] else { return [] }
        return share.covers(.all) ? nil : share.instruments.compactMap(\.name).sorted()
    }

    /// Whether everything that `other` may have may be had.
    public func covers(_ other: Entitlements) -> Bool {
        if isUnlimited { return true }
        return !other.isUnlimited
            && other.shares.allSatisfy { feed, share in
                shares[feed].map { own in share.instruments.allSatisfy(own.covers) } ?? false
            }
    }

    private static let mostNamed = 4

    /// For a person: `md/itch/, md/quotes/EURUSD/ and 3 more`.
    public var description: String {
        if isUnlimited { return "all market data" }
        let prefixes = shares.keys.sorted().flatMap { shares[$0]?.prefixes ?? [] }
        if prefixes.isEmpty { return "no market data" }
        let named = prefixes.prefix(Self.mostNamed).joined(separator: ", ")
        return prefixes.count > Self.mostNamed
            ? "\(named) and \(prefixes.count - Self.mostNamed) more" : named
    }
}
