// What one connection asked for and what it holds: not the same where a request was narrowed.

/// One connection's subscriptions. Prefixes are numbers of a `PrefixBook`.
struct SubscriptionHolder: Sendable {
    typealias Prefix = PrefixBook.Handle

    let number: HolderIndex.Holder
    /// What was asked for and is granted just so.
    private var asAsked: Set<Prefix> = []
    /// What was asked for, and what was granted instead.
    private var instead: [Prefix: [Prefix]] = [:]
    /// How many narrowed requests grant a prefix.
    private var narrowed: [Prefix: Int] = [:]
    /// How many prefixes are held.
    private(set) var count = 0
    /// How many of them bring no market data.
    private(set) var signals = 0
    /// And how many bring some.
    var topics: Int { count - signals }
    /// How many topics of each feed are among them.
    private(set) var topicsOfFeeds: [String: Int] = [:]

    init(number: HolderIndex.Holder) { self.number = number }

    /// How many topics of a feed it holds.
    func topics(of feed: String) -> Int { topicsOfFeeds[feed] ?? 0 }

    mutating func set(topics: Int, of feed: String) { topicsOfFeeds[feed] = topics > 0 ? topics : nil }

    /// What became another way with a request.
    struct Change {
        var gained: [Prefix] = []
        var lost: [Prefix] = []
    }

    func holds(_ prefix: Prefix) -> Bool { asAsked.contains(prefix) || narrowed[prefix] != nil }

    func hasAsked(for prefix: Prefix) -> Bool { asAsked.contains(prefix) || instead[prefix] != nil }

    /// Every prefix that is held, once.
    var held: [Prefix] { Array(asAsked) + narrowed.keys.filter { !asAsked.contains($0) } }

    /// The requests that grant a prefix.
    func requests(granting prefix: Prefix) -> [Prefix] {
        (asAsked.contains(prefix) ? [prefix] : [])
            + instead.filter { $0.value.contains(prefix) }.keys.sorted()
    }

    /// What was asked for, and what was granted instead.
    var requestsGrantedInPart: [Prefix: [Prefix]] { instead }

    var isEmpty: Bool { asAsked.isEmpty && instead.isEmpty }

    /// What a request is granted; `nil`: it was not made; empty: what it asks for.
    func grant(of request: Prefix) -> [Prefix]? { asAsked.contains(request) ? [] : instead[request] }

    /// Enters what a request is granted, instead of what it was granted before.
    ///
    /// - Parameter isSignal: whether the request, and so all that it is granted, brings no market data.
    mutating func set(_ request: Prefix, to grant: [Prefix]?, isSignal: Bool) -> Change {
        let (old, new) = (prefixes(of: request, self.grant(of: request)), prefixes(of: request, grant))
        let before = Set((old + new).filter(holds))
        for prefix in instead[request] ?? [] { release(prefix) }
        instead[request] = grant.flatMap { $0.isEmpty ? nil : $0 }
        if grant?.isEmpty ?? false { asAsked.insert(request) } else { asAsked.remove(request) }
        for prefix in grant ?? [] { narrowed[prefix, default: 0] += 1 }
        let change = Change(
            gained: new.filter { !before.contains($0) },
            lost: old.filter { before.contains($0) && !holds($0) })
        let gain = change.gained.count - change.lost.count
        count += gain
        if isSignal { signals += gain }
        return change
    }

    /// How many prefixes a grant would add.
    func gain(of request: Prefix, _ grant: [Prefix]) -> Int {
        prefixes(of: request, grant).count { !holds($0) }
    }

    private func prefixes(of request: Prefix, _ grant: [Prefix]?) -> [Prefix] {
        grant.map { $0.isEmpty ? [request] : $0 } ?? []
    }

    private mutating func release(_ prefix: Prefix) {
        let left = (narrowed[prefix] ?? 1) - 1
        narrowed[prefix] = left == 0 ? nil : left
    }
}
