// Who waits with whom under a venue's limit. Upstream subscriptions take turns by how much the client held that asked for
// them: one that holds few topics does not wait behind one that holds very many, which has its turns all the same.

/// Topics whose clients held about as many when they asked: each class has a turn in each round.
public struct TurnClass: Hashable, Comparable, Sendable {
    /// From 0 on.
    let index: UInt8

    /// Of a whole feed, which is one subscription however much it brings.
    public static let everything = TurnClass(index: 0)
    /// Of those that hold the most.
    static let last = TurnClass(index: 8)
    static let count = Int(last.index) + 1

    private init(index: UInt8) { self.index = index }

    /// The first class ends below 4 topics, each further one at four times as many, the last one nowhere.
    ///
    /// - Parameter holding: how many topics of the feed the client held already.
    public init(holding: Int) {
        let bits = Int.bitWidth - max(holding, 1).leadingZeroBitCount
        index = min(UInt8((bits + 1) / 2), TurnClass.last.index)
    }

    public static func < (one: TurnClass, other: TurnClass) -> Bool { one.index < other.index }
}

/// What is to be subscribed upstream, and when it has its turn.
public struct WantedTopic: Hashable, Sendable {
    public var topic: UpstreamTopic
    /// The lowest of those who asked for it.
    public var turn: TurnClass

    public init(_ topic: UpstreamTopic, turn: TurnClass) {
        self.topic = topic
        self.turn = turn
    }

    /// - Parameter holding: how many topics of the feed the client held already that asked for it.
    public init(_ topic: UpstreamTopic, holding: Int) {
        switch topic {
        case .everything: self.init(topic, turn: .everything)
        case .instrument: self.init(topic, turn: TurnClass(holding: holding))
        }
    }
}
