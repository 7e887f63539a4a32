// What one connection asked for and what it holds: not the same where a request was narrowed.

/// One connection's subscriptions.
struct SubscriptionHolder: Hashable, Sendable {
    /// What was asked for, and what was granted instead; empty: just that.
    private var asked: [String: [String]] = [:]
    /// How many narrowed requests grant a prefix.
    private var narrowed: [String: Int] = [:]
    /// How many prefixes are held.
    private(set) var count = 0

    /// What became another way with a request.
    struct Change: Hashable, Sendable {
        var gained: [String] = []
        var lost: [String] = []
    }

    func holds(_ prefix: String) -> Bool { asked[prefix]?.isEmpty ?? false || narrowed[prefix] != nil }

    func hasAsked(for prefix: String) -> Bool { asked[prefix] != nil }

    /// Every prefix that is held, once, in alphabetical order.
    var held: [String] {
        let asAsked = asked.lazy.filter(\.value.isEmpty).map(\.key)
        return (asAsked + narrowed.keys.filter { !(asked[$0]?.isEmpty ?? false) }).sorted()
    }

    var isEmpty: Bool { asked.isEmpty }

    /// Enters what a request is granted (`nil`: nothing any more; empty: what it asks for), instead of what it was
    /// granted before.
    mutating func set(_ request: String, to grant: [String]?) -> Change {
        let (old, new) = (grants(of: request, asked[request]), grants(of: request, grant))
        let before = Set((old + new).filter(holds))
        for prefix in asked[request] ?? [] { release(prefix) }
        asked[request] = grant
        for prefix in grant ?? [] { narrowed[prefix, default: 0] += 1 }
        let change = Change(
            gained: new.filter { !before.contains($0) },
            lost: old.filter { before.contains($0) && !holds($0) })
        count += change.gained.count - change.lost.count
        return change
    }

    /// How many prefixes a grant would add.
    func gain(of request: String, _ grant: [String]) -> Int {
        grants(of: request, grant).count { !holds($0) }
    }

    private func grants(of request: String, _ grant: [String]?) -> [String] {
        grant.map { $0.isEmpty ? [request] : $0 } ?? []
    }

    private mutating func release(_ prefix: String) {
        let left = (narrowed[prefix] ?? 1) - 1
        narrowed[prefix] = left == 0 ? nil : left
    }
}
