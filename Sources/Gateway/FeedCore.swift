// One feed without its sources: the path machine and the engine, joined. It does no I/O and reads no clock; the
// shell performs what it asks for and calls `tick` when it said, and so does the simulation.
package import Arbitration
package import Basics
package import Configuration
package import FeedJournal
package import Wire

/// What carries out a feed's decisions.
package protocol FeedCoreOwner: AnyObject {
    /// One of the path machine's actions, in order, before the engine hears of what they changed.
    func perform(_ action: PathAction)
    /// Everything that was decided is done, and the engine knows of it.
    func settled()
    /// `tick` is due then, and not at the time that was named before.
    func arm(at due: Instant)
}

package final class FeedCore {
    package let options: FeedOptions
    package let engine: any FeedEngine
    package private(set) var machine: PathMachine
    /// Not weak, which would make each packet's use of it dear; it owns this.
    package unowned var owner: (any FeedCoreOwner)?
    private let divergences: DivergenceInbox
    private let delays: DelayInbox
    private var armedAt: Instant?
    private var absences: AbsenceWatch
    private var memories: [UInt16: JournalMemory] = [:]
    /// Why the feed moves, until that is done.
    private var lastSwitch: String?
    private var session: SessionWatch?
    private var phase = SessionPhase.open
    /// When the session may be another one: they begin and end with a minute.
    private var sessionDue: Instant?

    package init(_ plan: EnginePlan) {
        options = plan.options
        machine = PathMachine(PathMachineOptions(options), at: plan.now)
        session = options.session.map { SessionWatch($0) }
        absences = AbsenceWatch(at: plan.now)
        engine = plan.engine()
        divergences = plan.divergences
        delays = plan.delays
    }

    /// Begins, once the sources are there.
    ///
    /// - Parameters:
    ///   - requests: what clients hold of the feed by then.
    ///   - orders: what an operator asked of the feed before it was changed.
    package func start(
        _ requests: some Sequence<TopicRequest>, _ orders: OperatorOrders = OperatorOrders(),
        at now: Instant, wall: WallTime
    ) {
        for request in requests { engine.granted(request, to: nil, at: now, wall: wall) }
        perform(machine.take(orders, at: now) + machine.start(at: now), at: now, wall: wall)
        tick(at: now, wall: wall)
    }

    // MARK: - Time

    package func tick(at now: Instant, wall: WallTime) {
        absences.seen(at: now)
        followSession(at: now, wall: wall)
        perform(machine.tick(at: now), at: now, wall: wall)
        engine.tick(at: now, wall: wall)
        armedAt = nil
        arm()
    }

    /// A venue that does not trade is silent for good reasons.
    private func followSession(at now: Instant, wall: WallTime) {
        guard let next = session?.phase(at: wall) else { return }
        sessionDue = now + (.seconds(60) - .nanoseconds(wall.nanosecondsInMinute))
        guard next != phase else { return }
        phase = next
        let actions = machine.session(isOpen: next.isOpen, at: now)
        perform(actions, at: now, wall: wall)
        guard actions.isEmpty else { return }
        engine.pathsChanged(condition, at: now, wall: wall)
        owner?.settled()
    }

    /// Asks for a call only when something is due earlier than the next one: deadlines that move away are found
    /// when it comes.
    private func arm() {
        var due = engine.deadline
        if let deadline = machine.deadline { due = min(due, deadline) }
        if let sessionDue { due = min(due, sessionDue) }
        if let armedAt, armedAt <= due { return }
        armedAt = due
        owner?.arm(at: due)
    }

    // MARK: - What the sources say

    package func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {
        let cameIn = cameIn(on: path, receivedAt: receivedAt, at: now, wall: wall)
        let isHeard = engine.received(
            bytes, on: path, receivedAt: receivedAt, cameIn: cameIn, at: now, wall: wall)
        // Of what is not stamped nobody knows: a path is silent from the gateway's return on.
        if isHeard { heard(path, cameIn: receivedAt == wall ? now : cameIn, at: now, wall: wall) }
    }

    /// Takes all frames that came together. The first that is one of the protocol's shows that the path lives, before
    /// the others are judged.
    package func received(
        _ frames: inout ArrivedFrames, on path: Int, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {
        let cameIn = cameIn(on: path, receivedAt: receivedAt, at: now, wall: wall)
        var most = 1
        while !frames.isEmpty {
            let isHeard = engine.received(
                &frames, atMost: most, on: path, receivedAt: receivedAt, cameIn: cameIn, at: now)
            guard isHeard else { continue }
            heard(path, cameIn: now, at: now, wall: wall)
            most = .max
        }
    }

    private func cameIn(on path: Int, receivedAt: WallTime, at now: Instant, wall: WallTime) -> Instant {
        if let absence = absences.reads(age: wall - receivedAt, due: armedAt, at: now, wall: wall) {
            returned(after: absence, at: now, wall: wall)
        }
        return receivedAt == wall
            ? absences.cameIn(on: path, at: now) : absences.cameIn(stamped: receivedAt, at: now, wall: wall)
    }

    /// Before anything is done that no path brought: if the gateway was away, what is stale by now is told first, and what
    /// the paths brought meanwhile is waited for.
    private func work(at now: Instant, wall: WallTime) {
        guard let absence = absences.works(due: armedAt, at: now, wall: wall) else { return }
        returned(after: absence, at: now, wall: wall)
    }

    private func returned(after absence: Duration, at now: Instant, wall: WallTime) {
        machine.returned()
        engine.returned(after: absence, at: now, wall: wall)
    }

    private func heard(_ path: Int, cameIn: Instant, at now: Instant, wall: WallTime) {
        if !machine.noteHeard(path, cameIn: cameIn, at: now) {
            perform(machine.judge(at: now), at: now, wall: wall)
        }
        if !divergences.isEmpty { followDivergences(at: now, wall: wall) }
        if !delays.found.isEmpty { followDelays(at: now, wall: wall) }
        if let armedAt, let waiting = engine.waitingUntil, waiting < armedAt { arm() }
    }

    private func followDivergences(at now: Instant, wall: WallTime) {
        if divergences.takeVoid() { perform(machine.forgetDifferences(at: now), at: now, wall: wall) }
        for found in divergences.take() {
            perform(
                machine.diverged(Int(found.path), from: Int(found.deliveredBy), at: now), at: now, wall: wall)
        }
    }

    private func followDelays(at now: Instant, wall: WallTime) {
        for sample in delays.take() { perform(machine.sampled(sample, at: now), at: now, wall: wall) }
    }

    /// What had arrived on a path is read: the burst is over, as far as its source knows.
    package func drained() { engine.flush() }

    /// What had arrived on a path's connection is read, all of it.
    package func emptied(_ path: Int) { absences.emptied(path) }

    /// What a re-request server sent; `nil`: one of them did, to all who listen.
    package func recovered(
        _ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {
        work(at: now, wall: wall)
        engine.recovered(bytes, from: server, receivedAt: receivedAt, at: now, wall: wall)
        engine.flush()
        arm()
    }

    /// A re-request server will not send what it was asked for.
    package func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {
        engine.rejected(rejection, by: server, at: now)
        arm()
    }

    package func connected(_ path: Int, at now: Instant, wall: WallTime) {
        work(at: now, wall: wall)
        perform(machine.connected(path, at: now), always: true, at: now, wall: wall)
    }

    package func disconnected(_ path: Int, at now: Instant, wall: WallTime) {
        work(at: now, wall: wall)
        perform(machine.disconnected(path, at: now), always: true, at: now, wall: wall)
    }

    /// All that is wanted is subscribed on the path, as far as it can be known.
    package func resubscribed(_ path: Int, at now: Instant, wall: WallTime) {
        work(at: now, wall: wall)
        perform(machine.resubscribed(path, at: now), always: true, at: now, wall: wall)
    }

    // MARK: - What others say

    /// Nobody tells of a subject any more.
    package func forget(_ dependency: Dependency, at now: Instant, wall: WallTime) {
        work(at: now, wall: wall)
        perform(machine.forget(dependency, at: now), at: now, wall: wall)
    }

    /// An agent's word on a subject that a path may depend on.
    package func health(
        _ dependency: Dependency, _ status: Status, happenedAt: Instant?, at now: Instant, wall: WallTime
    ) {
        work(at: now, wall: wall)
        perform(machine.health(dependency, status, happenedAt: happenedAt, at: now), at: now, wall: wall)
    }

    /// A client was granted a topic of this feed, and is shown where it stands.
    ///
    /// - Parameter connection: the client's, who alone is shown it; `nil`: of all who hold the topic.
    package func granted(_ request: TopicRequest, to connection: Int32?, at now: Instant, wall: WallTime) {
        work(at: now, wall: wall)
        engine.granted(request, to: connection, at: now, wall: wall)
        if case .data(_, .all) = request { arm() }
    }

    /// The last values of topics, as fresh as the channel is now.
    package func snapshot(_ wants: SnapshotWants, at now: Instant, wall: WallTime) -> SnapshotPage? {
        work(at: now, wall: wall)
        return engine.snapshot(wants, wall: wall)
    }

    /// A client's connection is gone.
    package func departed(_ connection: Int32) { engine.departed(connection) }

    /// Ends what is under way, before it is let go.
    package func close() { engine.close() }

    /// A topic is to be subscribed upstream. What was heard all the time, since everything is subscribed, goes on as it is.
    ///
    /// - Parameter table: what clients hold by now.
    package func subscribed(
        _ topic: UpstreamTopic, among table: SubscriptionTable, at now: Instant, wall: WallTime
    ) {
        work(at: now, wall: wall)
        switch topic {
        case .instrument:
            guard !table.wantsEverything(of: options.name) else { return }
            engine.joined(topic, alreadyWanted: [], at: now, wall: wall)
        case .everything:
            engine.joined(topic, alreadyWanted: table.wanted(of: options.name), at: now, wall: wall)
        }
    }

    /// What is not subscribed upstream any more is not heard, unless everything is.
    package func unsubscribed(_ topic: UpstreamTopic, among table: SubscriptionTable) {
        guard !table.wantsEverything(of: options.name) else { return }
        switch topic {
        case .instrument: engine.released(topic, stillWanted: [])
        case .everything: engine.released(topic, stillWanted: table.wanted(of: options.name))
        }
    }

    /// What an earlier run of the gateway journalled of a channel: where it stopped, and the venue's directory.
    package func remember(_ memory: JournalMemory, channel: UInt16, at now: Instant, wall: WallTime) {
        memories[channel] = memory
        engine.remember(memory, channel: channel, at: now, wall: wall)
        arm()
    }

    /// Takes a directory that came by another way, where a session was joined in its middle.
    package func learn(_ directory: [[UInt8]], at now: Instant, wall: WallTime) -> DirectoryVerdict {
        let verdict = engine.learn(directory, at: now, wall: wall)
        arm()
        return verdict
    }

    package func memory(of channel: UInt16) -> JournalMemory? { memories[channel] }

    package func switchTo(
        _ path: Int, hold: Bool, at now: Instant, wall: WallTime
    ) throws(PathRefusal) {
        work(at: now, wall: wall)
        perform(try machine.switchTo(path, hold: hold, at: now), at: now, wall: wall)
    }

    /// Ends a hold; `false`: there is none.
    package func release(at now: Instant, wall: WallTime) -> Bool {
        guard machine.isHeld else { return false }
        work(at: now, wall: wall)
        perform(machine.release(at: now), at: now, wall: wall)
        return true
    }

    package func mute(
        _ subject: Subject, until: Instant, at now: Instant, wall: WallTime
    ) throws(PathRefusal) {
        work(at: now, wall: wall)
        perform(try machine.mute(subject, until: until, at: now), at: now, wall: wall)
    }

    package func unmute(_ subject: Subject, at now: Instant, wall: WallTime) throws(PathRefusal) {
        work(at: now, wall: wall)
        perform(try machine.unmute(subject, at: now), at: now, wall: wall)
    }

    // MARK: - Acting

    /// - Parameter always: what the engine knows of the paths may be another one though nothing is to be told.
    private func perform(_ actions: [PathAction], always: Bool = false, at now: Instant, wall: WallTime) {
        guard always || !actions.isEmpty else { return }
        for action in actions {
            if case .switched(let from, let to, let reason) = action {
                lastSwitch = "from \(options.paths[from].name) to \(options.paths[to].name): \(reason)"
            }
            owner?.perform(action)
        }
        engine.pathsChanged(condition, at: now, wall: wall)
        if machine.isSettled { lastSwitch = nil }
        owner?.settled()
        arm()
    }

    /// A path that comes back, or of a feed that was built anew.
    private var subscribing: String? {
        lastSwitch == nil ? machine.unsettledPath.map { options.paths[$0].name } : nil
    }

    private var condition: PathCondition {
        let paths = options.paths.indices
        let isHotHot = machine.options.policy == .hotHot
        return PathCondition(
            used: isHotHot ? paths.map { UInt8($0) } : [UInt8(machine.current)],
            active: paths.map { machine.isSubscribed($0) && machine.isWell($0) },
            distrusted: paths.map { machine.isDistrusted($0) },
            failover: machine.isSettled ? nil : lastSwitch, subscribing: subscribing,
            session: phase)
    }
}

extension WallTime {
    /// What has passed of its minute.
    fileprivate var nanosecondsInMinute: Int64 {
        nanoseconds - nanoseconds.flooredQuotient(by: 60_000_000_000) * 60_000_000_000
    }
}
