// The topics that a feed is subscribed to upstream, as numbers: the paths of a feed share a book, and what each of them
// has to make, has made and waits for are bits.

/// Upstream topics with a count of their uses.
public struct UpstreamNames: Sendable {
    /// A topic's number, good for as long as the topic has a use.
    typealias Number = UInt32

    private static let everything: Number = 0
    private var usesOfEverything: UInt32 = 0
    /// Of instruments; each has the number behind its own.
    private var names = NameBook()
    /// What the venue says nothing of, as of a symbol that it refuses: nobody waits for its word.
    private var silent = NumberSet()

    public init() {}

    /// How many topics have a use.
    public var count: Int { names.count + (usesOfEverything > 0 ? 1 : 0) }

    subscript(number: Number) -> UpstreamTopic {
        number == UpstreamNames.everything ? .everything : .instrument(names[number - 1])
    }

    /// `nil`: it has no use.
    func find(_ topic: UpstreamTopic) -> Number? {
        switch topic {
        case .everything: usesOfEverything > 0 ? UpstreamNames.everything : nil
        case .instrument(let name): names.find(name).map { $0 + 1 }
        }
    }

    func uses(of number: Number) -> UInt32 {
        number == UpstreamNames.everything ? usesOfEverything : names.uses(of: number - 1)
    }

    /// The topic's number, for one more use.
    mutating func take(_ topic: UpstreamTopic) -> Number {
        switch topic {
        case .everything:
            usesOfEverything += 1
            return UpstreamNames.everything
        case .instrument(let name): return names.take(name) + 1
        }
    }

    /// One use less.
    mutating func drop(_ number: Number) {
        if number == UpstreamNames.everything { usesOfEverything -= 1 } else { names.drop(number - 1) }
        if !silent.isEmpty, uses(of: number) == 0 { silent.remove(number) }
    }

    /// Whether the venue said nothing of a topic when it was asked last.
    func isSilent(_ number: Number) -> Bool { silent.contains(number) }

    mutating func set(_ number: Number, isSilent: Bool) {
        if isSilent { silent.insert(number) } else { silent.remove(number) }
    }

    /// All that have a use, in a stable order: everything first.
    var topics: [UpstreamTopic] {
        (usesOfEverything > 0 ? [.everything] : []) + names.names.sorted().map { .instrument($0) }
    }
}
