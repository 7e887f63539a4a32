// What one path of a feed is subscribed to upstream. On failover the whole table is replayed on the next path:
// at the venue's rate, and complete when the venue has confirmed each topic, or has had the time to.
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
    private var pacer: SubscriptionPacer
    private var unconfirmed: Set<UpstreamTopic> = []
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
    public var made: Set<UpstreamTopic> { pacer.made }
    /// How many of the subscriptions of this replay are made, and of how many.
    public var progress: (made: Int, of: Int) { pacer.progress }
    /// How long the rest of them takes at the venue's rate.
    public var remaining: Duration { pacer.remaining }
    /// Whether any topic waits to be confirmed.
    public var awaitsConfirmation: Bool { !unconfirmed.isEmpty }
    /// When `tick` must be called; `nil`: nothing waits.
    public var deadline: Instant? {
        [isConnected ? pacer.deadline : nil, confirmBy].compactMap(\.self).min()
    }

    /// The venue can be reached, and knows of no subscription.
    public mutating func connected(at now: Instant) -> [ReplayAction] {
        isConnected = true
        return tick(at: now)
    }

    /// The connection is gone, and with it what the venue knew. Everything is taken back, so that not all of it is
    /// asked for at once by the next connection, and subscribed again at the venue's rate.
    public mutating func disconnected() -> [ReplayAction] {
        guard isConnected else { return [] }
        isConnected = false
        unconfirmed = []
        confirmBy = nil
        if isActive { isRecovering = true }
        return pacer.startAnew().map { .unsubscribe($0) }
    }

    /// The feed uses the path from now on.
    public mutating func activate(_ topics: [UpstreamTopic], at now: Instant) -> [ReplayAction] {
        isActive = true
        isRecovering = true
        for topic in topics { pacer.add(topic) }
        return tick(at: now)
    }

    /// The feed has left the path.
    public mutating func deactivate() -> [ReplayAction] {
        isActive = false
        isRecovering = false
        unconfirmed = []
        confirmBy = nil
        return pacer.removeAll().map { .unsubscribe($0) }
    }

    /// A client wants a topic; a path that is not used learns of it when it is.
    public mutating func subscribe(_ topic: UpstreamTopic, at now: Instant) -> [ReplayAction] {
        guard isActive else { return [] }
        pacer.add(topic)
        return tick(at: now)
    }

    public mutating func unsubscribe(_ topic: UpstreamTopic) -> [ReplayAction] {
        let actions: [ReplayAction] = pacer.remove(topic) ? [.unsubscribe(topic)] : []
        return actions + confirmed(topic)
    }

    /// The venue said something of a topic.
    public mutating func confirmed(_ topic: UpstreamTopic) -> [ReplayAction] {
        unconfirmed.remove(topic) == nil ? [] : finish()
    }

    /// Time has passed: the next batch goes.
    public mutating func tick(at now: Instant) -> [ReplayAction] {
        var actions: [ReplayAction] = []
        for topic in isConnected ? pacer.due(at: now) : [] {
            actions.append(.subscribe(topic))
            guard isRecovering, case .instrument = topic else { continue }
            unconfirmed.insert(topic)
            confirmBy = now + confirmation
        }
        if let limit = confirmBy, limit <= now, pacer.isDone {
            if !unconfirmed.isEmpty { actions.append(.unconfirmed(unconfirmed.count)) }
            unconfirmed = []
            confirmBy = nil
        }
        return actions + finish()
    }

    private mutating func finish() -> [ReplayAction] {
        guard isRecovering, pacer.isDone, unconfirmed.isEmpty else { return [] }
        isRecovering = false
        unconfirmed = []
        confirmBy = nil
        return [.resubscribed]
    }
}
