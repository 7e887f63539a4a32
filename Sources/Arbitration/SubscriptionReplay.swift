// What one path of a feed is subscribed to upstream. On failover the whole table is replayed on the next path:
// at the venue's rate, and complete when the venue has confirmed each topic, or has had the time to. One of which it said
// nothing for long when it was asked last, on whichever path, as a symbol that it refuses, is not waited for again. The
// paths of a feed share a book of names, which is lent to each call that names a topic. A connection that is to take the path's place, with
// other keys, is subscribed to the same beside it, under the same limit.
public import Basics

/// What the path's source has to do or tell.
public enum ReplayAction: Hashable, Sendable {
    case subscribe(UpstreamTopic)
    case unsubscribe(UpstreamTopic)
    /// Likewise on the connection that is to take the place of the path's.
    case subscribeOnSuccessor(UpstreamTopic)
    case unsubscribeOnSuccessor(UpstreamTopic)
    /// So many topics were not confirmed in time; they are believed.
    case unconfirmed(Int)
    /// All that is wanted is subscribed on the path, as far as it can be known.
    case resubscribed
}

/// The upstream subscriptions of one path.
public struct SubscriptionReplay: Sendable {
    /// How long the venue may take to confirm a subscription before it is believed.
    public let confirmation: Duration
    /// Of what it says nothing for so long then, its word is not waited for the next time.
    static let patience: Duration = .seconds(30)
    /// Each topic that it has, has a use of its name.
    private var pacer: SubscriptionPacer
    /// Of the connection that is to take the place of the path's; the same topics, whose names the other uses.
    private var successor: SubscriptionPacer?
    private var unconfirmed = NumberSet() { didSet { noteAwaited() } }
    /// What is believed without the venue's word, which may still come.
    private var believed = NumberSet() { didSet { noteAwaited() } }
    /// Whether any topic waits to be confirmed: asked with each frame.
    public private(set) var awaitsConfirmation = false
    /// Whether a word on a topic that is believed is worth noticing; nobody waits for it.
    public private(set) var listens = false
    private var confirmBy: Instant?
    private var silentFrom: Instant?
    private var isActive = false
    private var isRecovering = false
    /// All that was wanted when the path came into use has gone out: what is asked for since is not waited for.
    private var isReplayed = false
    private var isConnected: Bool

    /// - Parameters:
    ///   - rate: subscriptions per second, at least 1.
    ///   - isConnected: the venue can be reached already.
    ///   - used: what the venue has counted of the path before.
    public init(
        rate: Int, confirmation: Duration = .milliseconds(500), isConnected: Bool = true,
        used: SubscriptionUsage = SubscriptionUsage()
    ) {
        pacer = SubscriptionPacer(rate: rate, used: used)
        self.confirmation = confirmation
        self.isConnected = isConnected
    }

    /// What is used of the rate, with what a successor used.
    public var used: SubscriptionUsage { pacer.used }
    /// What is subscribed by now.
    public func made(_ names: UpstreamNames) -> [UpstreamTopic] { pacer.made.map { names[$0] } }
    /// How many of the subscriptions of this replay are made, and of how many.
    public var progress: (made: Int, of: Int) { (successor ?? pacer).progress }
    /// How long the rest of them takes at the venue's rate.
    public var remaining: Duration { pacer.remaining + (successor?.remaining ?? .zero) }
    /// When `tick` must be called; `nil`: nothing waits.
    public var deadline: Instant? {
        let batch = isConnected ? pacer.deadline ?? successor?.deadline : nil
        return [batch, pacer.isDone ? confirmBy : nil, silentFrom].compactMap(\.self).min()
    }

    /// The venue can be reached, and knows of no subscription.
    public mutating func connected(_ names: inout UpstreamNames, at now: Instant) -> [ReplayAction] {
        isConnected = true
        return tick(&names, at: now)
    }

    /// The connection is gone, and with it what the venue knew. Everything is taken back, so that not all of it is
    /// asked for at once by the next connection, and subscribed again at the venue's rate.
    public mutating func disconnected(_ names: UpstreamNames) -> [ReplayAction] {
        guard isConnected else { return [] }
        isConnected = false
        forgetUnconfirmed()
        if isActive { (isRecovering, isReplayed) = (true, false) }
        defer { pacer.startAnew() }
        return pacer.made.map { .unsubscribe(names[$0]) }
    }

    // MARK: - A connection that is to take the path's place

    /// It is there, and knows of no subscription.
    public mutating func successorConnected(
        _ names: inout UpstreamNames, at now: Instant
    ) -> [ReplayAction] {
        successor = pacer.copyStartedAnew()
        return tick(&names, at: now)
    }

    /// It is gone; another one may come.
    public mutating func successorLost() { successor = nil }

    /// Whether all that is wanted is subscribed on it.
    public var isSuccessorComplete: Bool { successor?.isDone ?? false }

    /// It is the path's from now on: what it lacks still is subscribed by and by, and the rest is not asked for again.
    public mutating func successorTookOver() {
        guard let successor else { return }
        pacer = successor
        self.successor = nil
    }

    // MARK: - What is wanted

    /// The feed uses the path from now on.
    public mutating func activate(
        _ topics: [WantedTopic], _ names: inout UpstreamNames, at now: Instant
    ) -> [ReplayAction] {
        isActive = true
        (isRecovering, isReplayed) = (true, false)
        for topic in topics { add(topic, &names) }
        return tick(&names, at: now)
    }

    /// The feed has left the path.
    public mutating func deactivate(_ names: inout UpstreamNames) -> [ReplayAction] {
        isActive = false
        isRecovering = false
        forgetUnconfirmed()
        let actions =
            pacer.made.map { ReplayAction.unsubscribe(names[$0]) }
            + (successor?.made ?? []).map { .unsubscribeOnSuccessor(names[$0]) }
        _ = successor?.removeAll()
        for topic in pacer.removeAll() { names.drop(topic) }
        return actions
    }

    /// A client wants a topic, or wants it sooner; a path that is not used learns of it when it is.
    public mutating func subscribe(
        _ topic: WantedTopic, _ names: inout UpstreamNames, at now: Instant
    ) -> [ReplayAction] {
        guard isActive else { return [] }
        add(topic, &names)
        return tick(&names, at: now)
    }

    public mutating func unsubscribe(
        _ topic: UpstreamTopic, _ names: inout UpstreamNames
    ) -> [ReplayAction] {
        guard let number = names.find(topic), pacer.has(number) else { return [] }
        var actions: [ReplayAction] = pacer.remove(number) ? [.unsubscribe(topic)] : []
        if successor?.remove(number) ?? false { actions.append(.unsubscribeOnSuccessor(topic)) }
        unconfirmed.remove(number)
        believed.remove(number)
        names.drop(number)
        return actions + (isConnected ? finish() : [])
    }

    /// The venue said something of a topic.
    public mutating func confirmed(_ topic: UpstreamTopic, _ names: inout UpstreamNames) -> [ReplayAction] {
        guard let number = names.find(topic) else { return [] }
        if believed.remove(number) { names.set(number, isSilent: false) }
        return unconfirmed.remove(number) ? finish() : []
    }

    /// Time has passed: the next batch goes.
    public mutating func tick(_ names: inout UpstreamNames, at now: Instant) -> [ReplayAction] {
        var actions: [ReplayAction] = []
        for number in isConnected ? pacer.due(at: now) : [] {
            let topic = names[number]
            actions.append(.subscribe(topic))
            guard isRecovering, !isReplayed, case .instrument = topic else { continue }
            silentFrom = now + confirmation + Self.patience
            if names.isSilent(number) {
                believed.insert(number)
            } else {
                unconfirmed.insert(number)
                confirmBy = now + confirmation
            }
        }
        if isConnected, pacer.isDone { isReplayed = true }
        if isConnected { actions += subscribeSuccessor(names, at: now) }
        if let limit = confirmBy, limit <= now, pacer.isDone {
            if !unconfirmed.isEmpty { actions.append(.unconfirmed(unconfirmed.count)) }
            for number in unconfirmed.numbers { believed.insert(number) }
            unconfirmed.removeAll()
            confirmBy = nil
        }
        if let silentFrom, silentFrom <= now {
            for number in believed.numbers { names.set(number, isSilent: true) }
            believed.removeAll()
        }
        return actions + finish()
    }

    /// What is left of the limit goes to the connection that is to come.
    private mutating func subscribeSuccessor(_ names: UpstreamNames, at now: Instant) -> [ReplayAction] {
        guard var successor else { return [] }
        successor.count(usedBy: pacer)
        let batch = successor.due(at: now)
        pacer.count(usedBy: successor)
        self.successor = successor
        return batch.map { .subscribeOnSuccessor(names[$0]) }
    }

    private mutating func add(_ wanted: WantedTopic, _ names: inout UpstreamNames) {
        let number = names.take(wanted.topic)
        if !pacer.add(number, wanted.turn) { names.drop(number) }
        _ = successor?.add(number, wanted.turn)
    }

    private mutating func finish() -> [ReplayAction] {
        guard isRecovering, pacer.isDone, unconfirmed.isEmpty else { return [] }
        isRecovering = false
        confirmBy = nil
        return [.resubscribed]
    }

    private mutating func forgetUnconfirmed() {
        unconfirmed.removeAll()
        believed.removeAll()
        confirmBy = nil
    }

    private mutating func noteAwaited() {
        (awaitsConfirmation, listens) = (!unconfirmed.isEmpty, !believed.isEmpty)
        if !awaitsConfirmation, !listens { silentFrom = nil }
    }
}
