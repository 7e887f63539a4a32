// What one path of a feed is subscribed to upstream. On failover the whole table is replayed on the next path:
// at the venue's rate, and complete when the venue has confirmed each topic, or has had the time to. The paths of a feed
// share a book of names, which is lent to each call that names a topic.
public import Basics

/// What the path's source has to do or tell.
public enum ReplayAction: Hashable, Sendable {
    case subscribe(UpstreamTopic)
    case unsubscribe(UpstreamTopic)
    /// So many topics were not confirmed in time; they are believed.
    case unconfirmed(Int)
    /// All that is wanted is subscribed on the path, as far as it can be known.
    case resubscribed
}

/// The upstream subscriptions of one path.
public struct SubscriptionReplay: Sendable {
    /// How long the venue may take to confirm a subscription before it is believed.
    public let confirmation: Duration
    /// Each topic that it has, has a use of its name.
    private var pacer: SubscriptionPacer
    private var unconfirmed = NumberSet() { didSet { awaitsConfirmation = !unconfirmed.isEmpty } }
    /// Whether any topic waits to be confirmed: asked with each frame.
    public private(set) var awaitsConfirmation = false
    private var confirmBy: Instant?
    private var isActive = false
    private var isRecovering = false
    private var isConnected: Bool

    /// - Parameters:
    ///   - rate: subscriptions per second, at least 1.
    ///   - isConnected: the venue can be reached already.
    public init(rate: Int, confirmation: Duration = .milliseconds(500), isConnected: Bool = true) {
        pacer = SubscriptionPacer(rate: rate)
        self.confirmation = confirmation
        self.isConnected = isConnected
    }

    /// What is subscribed by now.
    public func made(_ names: UpstreamNames) -> [UpstreamTopic] { pacer.made.map { names[$0] } }
    /// How many of the subscriptions of this replay are made, and of how many.
    public var progress: (made: Int, of: Int) { pacer.progress }
    /// How long the rest of them takes at the venue's rate.
    public var remaining: Duration { pacer.remaining }
    /// When `tick` must be called; `nil`: nothing waits.
    public var deadline: Instant? {
        [isConnected ? pacer.deadline : nil, pacer.isDone ? confirmBy : nil].compactMap(\.self).min()
    }

    /// The venue can be reached, and knows of no subscription.
    public mutating func connected(_ names: UpstreamNames, at now: Instant) -> [ReplayAction] {
        isConnected = true
        return tick(names, at: now)
    }

    /// The connection is gone, and with it what the venue knew. Everything is taken back, so that not all of it is
    /// asked for at once by the next connection, and subscribed again at the venue's rate.
    public mutating func disconnected(_ names: UpstreamNames) -> [ReplayAction] {
        guard isConnected else { return [] }
        isConnected = false
        forgetUnconfirmed()
        if isActive { isRecovering = true }
        defer { pacer.startAnew() }
        return pacer.made.map { .unsubscribe(names[$0]) }
    }

    /// The feed uses the path from now on.
    public mutating func activate(
        _ topics: [WantedTopic], _ names: inout UpstreamNames, at now: Instant
    ) -> [ReplayAction] {
        isActive = true
        isRecovering = true
        for topic in topics { add(topic, &names) }
        return tick(names, at: now)
    }

    /// The feed has left the path.
    public mutating func deactivate(_ names: inout UpstreamNames) -> [ReplayAction] {
        isActive = false
        isRecovering = false
        forgetUnconfirmed()
        let actions = pacer.made.map { ReplayAction.unsubscribe(names[$0]) }
        for topic in pacer.removeAll() { names.drop(topic) }
        return actions
    }

    /// A client wants a topic, or wants it sooner; a path that is not used learns of it when it is.
    public mutating func subscribe(
        _ topic: WantedTopic, _ names: inout UpstreamNames, at now: Instant
    ) -> [ReplayAction] {
        guard isActive else { return [] }
        add(topic, &names)
        return tick(names, at: now)
    }

    public mutating func unsubscribe(
        _ topic: UpstreamTopic, _ names: inout UpstreamNames
    ) -> [ReplayAction] {
        guard let number = names.find(topic), pacer.has(number) else { return [] }
        let actions: [ReplayAction] = pacer.remove(number) ? [.unsubscribe(topic)] : []
        unconfirmed.remove(number)
        names.drop(number)
        return actions + (isConnected ? finish() : [])
    }

    /// The venue said something of a topic.
    public mutating func confirmed(_ topic: UpstreamTopic, _ names: UpstreamNames) -> [ReplayAction] {
        guard let number = names.find(topic), unconfirmed.remove(number) else { return [] }
        return finish()
    }

    /// Time has passed: the next batch goes.
    public mutating func tick(_ names: UpstreamNames, at now: Instant) -> [ReplayAction] {
        var actions: [ReplayAction] = []
        for number in isConnected ? pacer.due(at: now) : [] {
            let topic = names[number]
            actions.append(.subscribe(topic))
            guard isRecovering, case .instrument = topic else { continue }
            unconfirmed.insert(number)
            confirmBy = now + confirmation
        }
        if let limit = confirmBy, limit <= now, pacer.isDone {
            if !unconfirmed.isEmpty { actions.append(.unconfirmed(unconfirmed.count)) }
            forgetUnconfirmed()
        }
        return actions + finish()
    }

    private mutating func add(_ wanted: WantedTopic, _ names: inout UpstreamNames) {
        let number = names.take(wanted.topic)
        if !pacer.add(number, wanted.turn) { names.drop(number) }
    }

    private mutating func finish() -> [ReplayAction] {
        guard isRecovering, pacer.isDone, unconfirmed.isEmpty else { return [] }
        isRecovering = false
        forgetUnconfirmed()
        return [.resubscribed]
    }

    private mutating func forgetUnconfirmed() {
        unconfirmed.removeAll()
        confirmBy = nil
    }
}
