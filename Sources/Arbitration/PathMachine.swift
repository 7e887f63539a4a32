// Which path of a feed delivers: fails a path by silence, by a broken connection, by falling behind its twin, in silence
// or in what it brings, or because an agent says so, and moves a hot-warm feed. It never leaves the last path that
// delivers.
// Rules: design, section 8. The moves themselves are in `PathMachineMoves.swift`.
public import Basics
public import Wire

/// The paths of one feed.
public struct PathMachine: Sendable {
    public let options: PathMachineOptions
    /// The path that the feed is on; for hot-hot the first that is well, in order of preference.
    public internal(set) var current = 0
    /// How often a hot-warm feed moved.
    public internal(set) var switches = 0
    /// An operator pinned the feed to `current`.
    public internal(set) var isHeld = false
    /// Subjects whose word is ignored, or whose alarms are known, and until when.
    public internal(set) var mutes: [Subject: Instant] = [:]

    var records: [PathRecord]
    private var lags: LagWatch
    var failbackNotBefore: Instant
    private var told: [PathState?]
    private var toldRedundancy: Redundancy?
    private var graceUntil: Instant
    private var graceFor: Instant?
    /// Whether the venue trades, and since when it does: what is silent outside a session has not failed.
    private var isInSession = true
    private var sessionSince: Instant

    /// A verdict on silence that comes later than this means that this process was not running: what arrived
    /// in the meantime is read first.
    static let lateness: Duration = .milliseconds(100)
    static let grace: Duration = .milliseconds(50)

    public init(_ options: PathMachineOptions, at now: Instant) {
        self.options = options
        records = options.paths.map { _ in PathRecord(openedAt: now) }
        told = options.paths.map { _ in nil }
        lags = LagWatch(paths: options.paths.count)
        failbackNotBefore = now
        graceUntil = now
        sessionSince = now
    }

    /// How each path is.
    public func state(of path: Int) -> PathState { records[path].state }
    public func isWell(_ path: Int) -> Bool { records[path].isWell }
    /// Whether the path carries data subscriptions.
    public func isSubscribed(_ path: Int) -> Bool { records[path].isSubscribed }
    public func lastHeard(_ path: Int) -> Instant? { records[path].lastHeard }
    /// Whether any path was ever heard.
    public var hasHeard: Bool { records.contains { $0.lastHeard != nil } }
    /// Whether a path that delivers has every subscription that is wanted; of a hot-warm feed, the one that it is on.
    public var isSettled: Bool {
        switch options.policy {
        case .hotWarm: records[current].isResubscribed
        case .hotHot:
            !options.isAsked || records.contains { $0.isWell && $0.isResubscribed }
                || records.allSatisfy { !$0.isConnected || $0.isResubscribed }
        }
    }

    /// A path that is connected and lacks subscriptions, where none has them all.
    public var unsettledPath: Int? {
        guard !isSettled else { return nil }
        switch options.policy {
        case .hotWarm: return records[current].isConnected ? current : nil
        case .hotHot: return records.firstIndex { $0.isConnected && !$0.isResubscribed }
        }
    }

    public var redundancy: Redundancy {
        let well = records.count { $0.isWell }
        return well == records.count ? .full : well > 0 ? .reduced : .none
    }

    /// Subscribes the paths that the policy names.
    public mutating func start(at now: Instant) -> [PathAction] {
        var actions: [PathAction] = []
        for path in records.indices where options.policy == .hotHot || path == current {
            records[path].isSubscribed = true
            actions.append(.activate(path))
        }
        return actions + evaluate(at: now)
    }

    // MARK: - What the paths say

    /// Anything came in on a path, data or heartbeat.
    public mutating func heard(_ path: Int, at now: Instant) -> [PathAction] {
        noteHeard(path, at: now) ? [] : evaluate(at: now)
    }

    /// The same, for each packet: whether that is all, since all is well. If not, `judge` is to be called.
    /// - Parameter cameIn: earlier than now if it waited to be read while the gateway did not run.
    public mutating func noteHeard(_ path: Int, cameIn: Instant? = nil, at now: Instant) -> Bool {
        let heardAt = max(cameIn ?? now, records[path].lastHeard ?? .zero)
        // What came while nobody was there is being read: nobody is called silent behind it.
        if now - heardAt > Self.lateness { graceUntil = max(graceUntil, now + Self.grace) }
        restartHoldDown(of: path, at: heardAt)
        let wasWell = records[path].isWell && records[path].wellSince != nil
        records[path].noteHeard(at: heardAt, provenAfter: min(options.silence, options.silenceBehindTwin))
        var isBehind = false
        for other in records.indices where other != path {
            records[other].noteOther(at: now)
            if records[other].failure == nil, records[other].isBehind(options.silenceBehindTwin) {
                isBehind = true
            }
        }
        return wasWell && !isBehind && records[current].failure == nil
    }

    /// Nobody was there for a while: how often one path spoke meanwhile and not another shows when all is read.
    public mutating func returned() {
        for path in records.indices { records[path].othersHeard = 0 }
    }

    /// What follows from what was noted.
    public mutating func judge(at now: Instant) -> [PathAction] { evaluate(at: now) }

    /// How old something was that a path brought.
    public mutating func sampled(_ sample: DelaySample, at now: Instant) -> [PathAction] {
        guard records.indices.contains(sample.path) else { return [] }
        lags.note(sample, at: now)
        guard let lag = lag(of: sample.path, at: now),
            records[sample.path].note(lag: lag, limit: options.lag, at: now)
        else { return [] }
        return evaluate(at: now)
    }

    /// How far a path is behind the best of the others that are well; negative: ahead of it; `nil`: not known.
    public func lag(of path: Int, at now: Instant) -> Duration? {
        lags.lag(of: path, behind: records.indices.filter { $0 != path && records[$0].isWell }, at: now)
    }

    public mutating func connected(_ path: Int, at now: Instant) -> [PathAction] {
        (records[path].isConnected, records[path].isDisconnected) = (true, false)
        return evaluate(at: now)
    }

    public mutating func disconnected(_ path: Int, at now: Instant) -> [PathAction] {
        (records[path].isConnected, records[path].isDisconnected) = (false, true)
        if options.isAsked { records[path].isResubscribed = false }
        return evaluate(at: now)
    }

    /// Every subscription that is wanted is active on the path.
    public mutating func resubscribed(_ path: Int, at now: Instant) -> [PathAction] {
        guard records[path].isSubscribed else { return [] }
        records[path].isResubscribed = true
        return leaveOthers() + evaluate(at: now)
    }

    /// Copies of several messages differ between two paths of which neither is out for that. Who differs from two
    /// others is wrong; of two alone nobody can know, and the preferred one is followed, so that clients get one stream
    /// and not a mixture.
    public mutating func diverged(_ path: Int, from other: Int, at now: Instant) -> [PathAction] {
        guard path != other, records.indices.contains(path), records.indices.contains(other) else {
            return []
        }
        records[path].differed[other] = now
        records[other].differed[path] = now
        let pair = [max(path, other), min(path, other)]
        let outvoted = pair.first { index in
            records[index].differed.values.count { now - $0 < Self.votesCount } > 1
        }
        if let known = pair.first(where: { records[$0].blamed != nil }), outvoted == nil || outvoted == known
        {
            records[known].blamed?.at = now
        } else {
            let wrong = outvoted ?? pair[0]
            records[wrong].blamed = (pair.first { $0 != wrong } ?? wrong, now)
            for index in records.indices where index != wrong && records[index].blamed?.against == wrong {
                records[index].blamed = nil
            }
        }
        return evaluate(at: now)
    }

    /// The numbers had begun again, which nobody knew: what differed was another message under the same number.
    public mutating func forgetDifferences(at now: Instant) -> [PathAction] {
        for path in records.indices { (records[path].blamed, records[path].differed) = (nil, [:]) }
        return evaluate(at: now)
    }

    /// Differences that are older say nothing of who is wrong now.
    static let votesCount: Duration = .seconds(5)

    /// Whether what a path brings is only compared: it differs, and another path is there to be followed.
    public func isDistrusted(_ path: Int) -> Bool {
        if case .diverging = records[path].failure { true } else { false }
    }

    /// An agent told how a subject is, by the name with which paths depend on it. `happenedAt`: the fault's own time, if
    /// it is known; a clock that is ahead makes it no later than now, or no data could refute it.
    public mutating func health(
        _ dependency: Dependency, _ status: Status, happenedAt: Instant?, at now: Instant
    ) -> [PathAction] {
        var isConcerned = false
        for path in records.indices where options.paths[path].dependsOn.contains(dependency) {
            isConcerned = true
            switch status {
            case .critical:
                records[path].note(
                    dependency, at: min(happenedAt ?? now, now), margin: options.refutationMargin)
            case .ok, .warning: records[path].clear(dependency)
            case .unknown: break
            }
        }
        return isConcerned ? evaluate(at: now) : []
    }

    /// Nobody tells of a subject any more: what was said of it counts no longer.
    public mutating func forget(_ dependency: Dependency, at now: Instant) -> [PathAction] {
        var isConcerned = false
        for path in records.indices where options.paths[path].dependsOn.contains(dependency) {
            isConcerned = true
            records[path].clear(dependency)
        }
        return isConcerned ? evaluate(at: now) : []
    }

    /// Whether the venue trades. When it begins to, silence counts from then on.
    public mutating func session(isOpen: Bool, at now: Instant) -> [PathAction] {
        guard isOpen != isInSession else { return [] }
        isInSession = isOpen
        if isOpen {
            sessionSince = now
            for path in records.indices { records[path].othersHeard = 0 }
        }
        return evaluate(at: now)
    }

    // MARK: - Time

    /// When `tick` has something to decide.
    public var deadline: Instant? {
        var soonest = silenceDeadline.map { max($0, graceUntil) }
        func consider(_ instant: Instant) { soonest = min(soonest ?? instant, instant) }
        for until in mutes.values { consider(until) }
        if let failback = failbackDeadline { consider(failback) }
        for record in records {
            if let blamed = record.blamed { consider(blamed.at + options.divergenceHold) }
            if let until = record.lagUntil { consider(until) }
        }
        return soonest
    }

    public mutating func tick(at now: Instant) -> [PathAction] {
        var actions: [PathAction] = []
        for (subject, until) in mutes where until <= now {
            mutes[subject] = nil
            actions.append(.unmuted(subject))
        }
        return actions + evaluate(at: now)
    }

    private var silenceDeadline: Instant? {
        guard isInSession else { return nil }
        return records.indices.lazy.filter { records[$0].failure == nil }
            .map { silentSince(records[$0]) + silence(of: $0) }.min()
    }

    /// How long a path may say nothing now.
    private func silence(of path: Int) -> Duration {
        records[path].lastHeard == nil
            ? max(options.silence, options.paths[path].firstWordWithin) : options.silence
    }

    private func silentSince(_ record: PathRecord) -> Instant { max(record.silentSince, sessionSince) }

    // MARK: - Verdicts

    mutating func evaluate(at now: Instant) -> [PathAction] {
        if let due = silenceDeadline, now - due > Self.lateness, graceFor != due {
            graceFor = due
            graceUntil = now + Self.grace
        }
        for path in records.indices {
            if let blamed = records[path].blamed, now - blamed.at >= options.divergenceHold {
                records[path].blamed = nil
            }
            if let until = records[path].lagUntil, until <= now { records[path].isLagging = false }
            records[path].settle(verdict(on: path, at: now), at: now, flapWindow: options.flapWindow)
        }
        // What is held against these counts only while others are well, which is known of all of them by now.
        for path in records.indices where records[path].failure?.needsOthers == true {
            records[path].settle(verdict(on: path, at: now), at: now, flapWindow: options.flapWindow)
        }
        return move(at: now) + news()
    }

    private func verdict(on path: Int, at now: Instant) -> PathFailure? {
        let record = records[path]
        if let fault = record.faults.first(where: { !$0.isRefuted && mutes[$0.dependency.subject] == nil }) {
            return .dependency(fault.dependency)
        }
        if record.isDisconnected { return .disconnected }
        guard isInSession else { return divergence(of: path) }
        let limit = silence(of: path)
        if now - silentSince(record) >= limit, now >= graceUntil || record.failure != nil {
            return record.lastHeard == nil ? .neverHeard(limit) : .silent(limit)
        }
        return record.isBehind(options.silenceBehindTwin)
            ? .behindTwin(options.silenceBehindTwin) : divergence(of: path) ?? lagging(path)
    }

    /// Whom nobody can replace is followed, whatever he says.
    private func divergence(of path: Int) -> PathFailure? {
        guard let blamed = records[path].blamed,
            records.indices.contains(where: { $0 != path && records[$0].isWell })
        else { return nil }
        return .diverging(from: options.paths[blamed.against].name)
    }

    /// Likewise.
    private func lagging(_ path: Int) -> PathFailure? {
        guard records[path].isLagging, records.indices.contains(where: { $0 != path && records[$0].isWell })
        else { return nil }
        return .lagging(options.lag)
    }

    /// What changed since it was last told.
    private mutating func news() -> [PathAction] {
        var actions: [PathAction] = []
        for path in records.indices where told[path] != records[path].state {
            told[path] = records[path].state
            actions.append(.state(path, records[path].state))
        }
        if toldRedundancy != redundancy, !records.contains(where: { $0.state == .waiting }) {
            toldRedundancy = redundancy
            actions.append(.redundancy(redundancy))
        }
        return actions
    }
}
