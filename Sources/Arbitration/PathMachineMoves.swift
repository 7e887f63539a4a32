// How a feed moves between its paths: failover, failback, and what an operator asks for.
public import Basics
public import Wire

extension PathMachine {
    // MARK: - What an operator asks for

    /// Moves a hot-warm feed. Without `hold` the path must be well, and the feed goes back to a preferred path
    /// after the hold-down; with `hold` it stays whatever happens, until `release`.
    public mutating func switchTo(
        _ path: Int, hold: Bool, at now: Instant
    ) throws(PathRefusal) -> [PathAction] {
        guard options.policy == .hotWarm else { throw .hotHot }
        guard hold || records[path].isWell else {
            throw .notWell(path: options.paths[path].name, records[path].state)
        }
        var actions: [PathAction] = []
        if isHeld != hold {
            isHeld = hold
            actions.append(.held(hold))
        }
        failbackNotBefore = now + holdDown(of: min(path, current))
        if path != current { actions += move(to: path, because: .requested) }
        return actions + evaluate(at: now)
    }

    /// Ends an operator's hold.
    public mutating func release(at now: Instant) -> [PathAction] {
        guard isHeld else { return [] }
        isHeld = false
        return [.held(false)] + evaluate(at: now)
    }

    public var orders: OperatorOrders {
        OperatorOrders(heldOn: isHeld ? options.paths[current].name : nil, mutes: mutes)
    }

    /// Takes over what was asked of the machine before this one, whose options were others, ahead of `start`. A hold on a
    /// path that is none of this feed's any more ends.
    public mutating func take(_ orders: OperatorOrders, at now: Instant) -> [PathAction] {
        var actions: [PathAction] = []
        if options.policy == .hotWarm, let name = orders.heldOn,
            let path = options.paths.firstIndex(where: { $0.name == name })
        {
            (current, isHeld) = (path, true)
            actions.append(.held(true))
        }
        let valid = orders.mutes.filter { $0.value > now }.sorted { $0.value < $1.value }
        for (subject, until) in valid.suffix(options.mostMutes) {
            mutes[subject] = until
            actions.append(.muted(subject, until: until))
        }
        return actions
    }

    /// Ignores what agents say of a subject until then, whichever host it is of. Of a feed or a path of it, it only marks
    /// the alarm as known.
    public mutating func mute(
        _ subject: Subject, until: Instant, at now: Instant
    ) throws(PathRefusal) -> [PathAction] {
        guard mutes[subject] != nil || mutes.count < options.mostMutes else {
            throw .tooManyMutes(limit: options.mostMutes)
        }
        mutes[subject] = until
        return [.muted(subject, until: until)] + evaluate(at: now)
    }

    public mutating func unmute(_ subject: Subject, at now: Instant) throws(PathRefusal) -> [PathAction] {
        guard mutes.removeValue(forKey: subject) != nil else { throw .notMuted(subject) }
        return [.unmuted(subject)] + evaluate(at: now)
    }

    // MARK: - Moves

    /// Moves the feed if its path failed and another is better, or if a preferred one has earned it.
    mutating func move(at now: Instant) -> [PathAction] {
        switch options.policy {
        case .hotHot:
            current = records.firstIndex { $0.isWell } ?? current
            return []
        case .hotWarm:
            guard !isHeld else { return [] }
            if let failure = records[current].failure {
                guard let next = successor(after: failure) else { return [] }
                return move(to: next, because: .failed(failure))
            }
            guard let preferred = failbackTarget(at: now) else { return [] }
            return move(to: preferred, because: .failback)
        }
    }

    /// The new path is subscribed before the old one is left: `resubscribed` leaves it.
    mutating func move(to path: Int, because reason: SwitchReason) -> [PathAction] {
        let from = current
        current = path
        switches &+= 1
        var actions: [PathAction] = [.switched(from: from, to: path, reason)]
        if !records[path].isSubscribed {
            records[path].isSubscribed = true
            records[path].isResubscribed = false
            actions.append(.activate(path))
        }
        return actions + leaveOthers()
    }

    /// Once the feed's path has every subscription, the others give theirs up.
    mutating func leaveOthers() -> [PathAction] {
        guard options.policy == .hotWarm, records[current].isResubscribed else { return [] }
        var actions: [PathAction] = []
        for path in records.indices where path != current && records[path].isSubscribed {
            records[path].isSubscribed = false
            records[path].isResubscribed = false
            actions.append(.deactivate(path))
        }
        return actions
    }

    private func successor(after failure: PathFailure) -> Int? {
        let heard = records[current].lastHeard
        return records.indices.first { path in
            guard path != current, records[path].isWell, let candidate = records[path].lastHeard else {
                return false
            }
            guard failure.isSilence, let heard else { return true }
            return candidate > heard
        }
    }

    private func failbackTarget(at now: Instant) -> Int? {
        records.indices.prefix(current).first { failbackTime(of: $0).map { $0 <= now } ?? false }
    }

    /// When the next preferred path will have earned the feed.
    var failbackDeadline: Instant? {
        guard options.policy == .hotWarm, !isHeld, records[current].failure == nil else { return nil }
        return records.indices.prefix(current).compactMap(failbackTime).min()
    }

    private func failbackTime(of path: Int) -> Instant? {
        guard hasKeptUp(path) else { return nil }
        return records[path].wellSince.map { max($0 + holdDown(of: path), failbackNotBefore) }
    }

    /// Outside a session silence fails no path, and earns none the feed either: one that says nothing while the feed's
    /// own speaks may be dead. Where all are silent it is the venue.
    private func hasKeptUp(_ path: Int) -> Bool {
        guard let feeds = records[current].lastHeard else { return true }
        let record = records[path]
        return !record.isBehind(options.silenceBehindTwin) && record.silentSince + options.silence >= feeds
    }

    /// A path that is heard again, and was forgiven that it was not, is well from then on.
    mutating func restartHoldDown(of path: Int, at now: Instant) {
        guard options.policy == .hotWarm, records[path].silentSince + options.silence <= now else { return }
        records[path].wellSince = nil
    }

    /// How long a path must be well before the feed returns to it.
    func holdDown(of path: Int) -> Duration {
        var hold = options.holdDown
        let failures = min(max(records[path].failures, 1), 64)
        for _ in 1..<failures where hold < options.longestHoldDown { hold = hold * 2 }
        return min(hold, max(options.holdDown, options.longestHoldDown))
    }
}
