// How far a channel can be trusted: live, recovering, stale or closed. A word from an active path, data or
// heartbeat, keeps a channel alive: a quiet market is not a dead feed. Without a word it is stale at the
// end of its freshness limit, by its own deadline and not by someone's next tick.
//
// The state is part of the stream: perform the actions in order, before publishing whatever comes next.
public import Basics
public import Wire

/// The freshness of one channel.
public struct ChannelMachine: ~Copyable, Sendable {
    public let options: ChannelOptions
    public private(set) var state = ChannelState.recovering
    public private(set) var reason = ChannelReason.joining
    /// The last number published or told as missing; 0: none.
    public private(set) var last: UInt64 = 0
    /// Messages published, and numbers told as missing, since the start.
    public private(set) var messages: UInt64 = 0
    public private(set) var missing: UInt64 = 0

    private let startedAt: Instant
    private let freshnessNanoseconds: Int64
    /// When any path that was in use then was heard last.
    private var lastWord: Instant?
    /// When each path was heard last.
    private var heard = InlineArray<8, Instant?>(repeating: nil)
    /// The paths that the feed uses, a bit each.
    private var active: UInt8
    /// The paths whose source says that it is stale itself, a bit each.
    private var stale: UInt8 = 0
    /// The paths whose source says that it is recovering itself, a bit each.
    private var recovering: UInt8 = 0
    /// The paths whose source says that it is closed itself, a bit each. Unlike a venue's end, which is said once, that holds
    /// only while it is said again.
    private var closed: UInt8 = 0
    /// Whether nothing better came of the paths in use, when the state was judged last.
    private var isRecoveringAtSource = false
    /// Why not all that is wanted is subscribed on the paths in use.
    private var unsettled: ChannelReason?
    private var holeSince: Instant?
    private var isCatchingUp = false
    private var hasDirectory = true
    /// The number that would have come next when the session ended.
    private var ended: UInt64?
    private var nextHeartbeat: Instant
    /// Whether the venue trades, and since when it does.
    private var session = SessionPhase.open
    private var sessionSince: Instant

    /// - Parameter active: the indices of the paths that the feed uses at first, below 8.
    public init(options: ChannelOptions, active: [UInt8], at now: Instant) {
        self.options = options
        startedAt = now
        sessionSince = now
        freshnessNanoseconds = options.freshness.nanoseconds
        self.active = mask(of: active)
        nextHeartbeat = now
    }

    /// When `tick` must be called.
    public var deadline: Instant {
        var deadline = nextHeartbeat
        if ended == nil {
            switch state {
            case .live: deadline = min(deadline, wordUntil)
            case .recovering: deadline = min(deadline, freshUntil)
            case .stale: break
            case .closed: if session.isOpen { deadline = min(deadline, closedUntil) }
            }
        }
        if let holeSince, state == .live { deadline = min(deadline, holeSince + options.gapDwell) }
        return deadline
    }

    /// The flags of a data frame that is published now. `wall` is the time on the clock that `sourceTime`
    /// was read from.
    public func flags(sourceTime: WallTime?, wall: WallTime) -> FrameFlags {
        var flags: FrameFlags = []
        if state == .recovering || isCatchingUp || isRecoveringAtSource { flags.insert(.recovering) }
        if state == .stale { flags.insert(.stale) }
        if let sourceTime, wall.nanoseconds &- sourceTime.nanoseconds > freshnessNanoseconds {
            flags.insert(.late)
        }
        return flags
    }

    /// A path said something, data or heartbeat; before what it said is published.
    /// - Parameter cameIn: earlier than now if it waited to be read while the gateway did not run.
    public mutating func heard(_ path: UInt8, cameIn: Instant? = nil, at now: Instant) -> [ChannelAction] {
        noteHeard(path, cameIn: cameIn ?? now) ? [] : judge(at: now)
    }

    /// The same, as far as it costs little: whether that is all, since the channel is live. If not, `heard` is to be
    /// called as well.
    public mutating func noteHeard(_ path: UInt8, cameIn: Instant) -> Bool {
        let bit: UInt8 = 1 << (path & 7)
        heard[Int(path & 7)] = max(cameIn, heard[Int(path & 7)] ?? cameIn)
        stale &= ~bit
        recovering &= ~bit
        if active & bit != 0 { lastWord = max(cameIn, lastWord ?? cameIn) }
        return state == .live
    }

    /// A path's source says that it is not fresh any more. When all do, nothing here is.
    public mutating func heardStale(_ path: UInt8, at now: Instant) -> [ChannelAction] {
        stale |= 1 << (path & 7)
        return judge(at: now)
    }

    /// A path's source says something, and that it is recovering itself: the path is well, but what it brings may be old
    /// or have gaps. When none of those in use brings better, neither is here.
    public mutating func heardRecovering(
        _ path: UInt8, cameIn: Instant? = nil, at now: Instant
    ) -> [ChannelAction] {
        _ = noteHeard(path, cameIn: cameIn ?? now)
        recovering |= 1 << (path & 7)
        return judge(at: now)
    }

    /// A path's source says that it is closed itself, and it is not live in between. So is the channel, while no other path
    /// in use brings better.
    public mutating func heardClosed(
        _ path: UInt8, cameIn: Instant? = nil, at now: Instant
    ) -> [ChannelAction] {
        _ = noteHeard(path, cameIn: cameIn ?? now)
        recovering |= 1 << (path & 7)
        closed |= 1 << (path & 7)
        return judge(at: now)
    }

    /// A path's source says, by what it is else, that it is not closed; after that was told.
    public mutating func heardOpen(_ path: UInt8, at now: Instant) -> [ChannelAction] {
        let bit: UInt8 = 1 << (path & 7)
        guard closed & bit != 0 else { return [] }
        closed &= ~bit
        return judge(at: now)
    }

    /// A message is published; before the next one is.
    public mutating func published(sequence: UInt64, at now: Instant) -> [ChannelAction] {
        last = sequence
        messages &+= 1
        guard let ended, sequence >= ended else { return [] }
        self.ended = nil
        return judge(at: now)
    }

    /// The same, as far as it costs little: what the message's header says of the channel. `nil`: the session had ended,
    /// and `published` is to be called instead.
    public mutating func notePublished(
        sequence: UInt64, sourceTime: WallTime?, wall: WallTime
    ) -> (flags: FrameFlags, state: ChannelState)? {
        guard ended == nil else { return nil }
        last = sequence
        messages &+= 1
        return (flags(sourceTime: sourceTime, wall: wall), state)
    }

    /// A gap became certain.
    public mutating func told(_ gap: Gap, at now: Instant) -> [ChannelAction] {
        last = max(last, gap.range.last)
        missing &+= gap.range.count
        return judge(at: now) + [.gap(gap)]
    }

    /// Numbers are missing and may still come, or none are any more.
    public mutating func hole(isOpen: Bool, at now: Instant) -> [ChannelAction] {
        guard isOpen != (holeSince != nil) else { return [] }
        holeSince = isOpen ? now : nil
        return judge(at: now)
    }

    /// Whether what the session had before we came is being sent.
    public mutating func catchingUp(_ isSo: Bool, at now: Instant) -> [ChannelAction] {
        isCatchingUp = isSo
        return judge(at: now)
    }

    /// The feed uses these paths from now on, by index.
    public mutating func use(_ paths: [UInt8], at now: Instant) -> [ChannelAction] {
        let changed = mask(of: paths)
        guard changed != active else { return [] }
        active = changed
        return judge(at: now)
    }

    /// The feed begins to move to other paths; it is complete again when `resubscribed`.
    public mutating func failoverBegan(
        to paths: [UInt8], because why: String, at now: Instant
    ) -> [ChannelAction] {
        active = mask(of: paths)
        unsettled = .failover(why)
        return judge(at: now)
    }

    /// A path is subscribed anew, without which the feed is not complete until `resubscribed`.
    public mutating func subscriptionBegan(
        on paths: [UInt8], of path: String, at now: Instant
    ) -> [ChannelAction] {
        active = mask(of: paths)
        unsettled = .subscribing(path)
        return judge(at: now)
    }

    /// Every subscription is active on the paths in use.
    public mutating func resubscribed(at now: Instant) -> [ChannelAction] {
        unsettled = nil
        return judge(at: now)
    }

    /// Whether instruments can be named.
    public mutating func directory(isKnown: Bool, at now: Instant) -> [ChannelAction] {
        hasDirectory = isKnown
        return judge(at: now)
    }

    /// The venue ended the session; `next` is the number that would have come.
    public mutating func sessionEnded(next: UInt64, at now: Instant) -> [ChannelAction] {
        ended = next
        return judge(at: now)
    }

    /// Whether the venue trades. When it begins to, what ended was the session before, and freshness counts from now.
    public mutating func session(is phase: SessionPhase, at now: Instant) -> [ChannelAction] {
        guard phase != session else { return [] }
        if phase.isOpen {
            sessionSince = now
            ended = nil
        }
        session = phase
        return judge(at: now)
    }

    /// The numbering began anew.
    public mutating func epochChanged(at now: Instant) -> [ChannelAction] {
        ended = nil
        closed = 0
        last = 0
        return judge(at: now)
    }

    /// Nobody was there for a while: the state as it is before what came meanwhile is read.
    public mutating func returned(at now: Instant) -> [ChannelAction] { judge(at: now) }

    /// Time has passed: first the state, then the heartbeat that carries it.
    public mutating func tick(at now: Instant) -> [ChannelAction] {
        var actions = judge(at: now)
        if now >= nextHeartbeat {
            actions.append(.heartbeat(last: last, messages: messages, missing: missing))
            let next = nextHeartbeat + options.controlEvery
            nextHeartbeat = next > now ? next : now + options.controlEvery
        }
        return actions
    }

    /// The state as of now, told if it or its reason changed.
    private mutating func judge(at now: Instant) -> [ChannelAction] {
        isRecoveringAtSource = recovering & active != 0 && !hearsBetter(at: now)
        let (next, why) = verdict(at: now)
        guard next != state || why != reason else { return [] }
        (state, reason) = (next, why)
        return [.state(next, why, path: onlyPath)]
    }

    private func verdict(at now: Instant) -> (ChannelState, ChannelReason) {
        if case .closed(let opening) = session { return (.closed, .outsideSession(until: opening)) }
        // What it had is still being sent then, and nothing else is to be expected.
        if ended != nil { return isCatchingUp ? (.recovering, .catchingUp) : (.closed, .sessionEnded) }
        if isClosedAtSource(at: now) {
            return isCatchingUp ? (.recovering, .catchingUp) : (.closed, .closedAtSource)
        }
        if active != 0, stale & active == active { return (.stale, .staleAtSource) }
        if freshUntil <= now { return (.stale, .silent(options.freshness)) }
        if let unsettled { return (.recovering, unsettled) }
        if lastHeard == nil || wordUntil <= now { return (.recovering, .joining) }
        if isCatchingUp { return (.recovering, .catchingUp) }
        if isRecoveringAtSource { return (.recovering, .recoveringAtSource) }
        if let holeSince, holeSince + options.gapDwell <= now { return (.recovering, .gap) }
        return hasDirectory ? (.live, .complete) : (.recovering, .noDirectory)
    }

    /// When the freshness limit ends unless something is heard. Until a path that has just come into use is
    /// heard for the first time, the last word of the one before it counts.
    private var wordUntil: Instant { (lastHeard ?? lastWord ?? startedAt) + options.freshness }

    /// When the channel is stale: a session that has just begun is given the limit, too.
    private var freshUntil: Instant { max(wordUntil, sessionSince + options.freshness) }

    /// The last word from any path in use.
    private var lastHeard: Instant? {
        var latest: Instant?
        for path in heard.indices where active & (1 << path) != 0 {
            guard let time = heard[path] else { continue }
            latest = max(latest ?? time, time)
        }
        return latest
    }

    /// Whether a path in use has said within the limit that it is neither recovering nor stale.
    private func hearsBetter(at now: Instant) -> Bool { hears(active & ~recovering & ~stale, at: now) }

    /// The paths in use that have said so, a bit each.
    public func soundPaths(at now: Instant) -> UInt8 {
        heard.indices.reduce(0) { paths, path in
            let bit: UInt8 = 1 << path
            return active & ~recovering & ~stale & bit != 0 && hears(bit, at: now) ? paths | bit : paths
        }
    }

    /// Whether a path in use has said within the limit that it is closed, and none that it is live or recovering.
    private func isClosedAtSource(at now: Instant) -> Bool {
        closed & active != 0 && hears(closed & active, at: now) && !hears(active & ~closed & ~stale, at: now)
    }

    /// Whether one of these paths was heard within the limit.
    private func hears(_ paths: UInt8, at now: Instant) -> Bool {
        for path in heard.indices where paths & (1 << path) != 0 {
            if let time = heard[path], time + options.freshness > now { return true }
        }
        return false
    }

    /// When what the closed paths said holds no more.
    private var closedUntil: Instant {
        var latest = startedAt
        for path in heard.indices where closed & active & (1 << path) != 0 {
            if let time = heard[path] { latest = max(latest, time) }
        }
        return latest + options.freshness
    }

    private var onlyPath: UInt8? {
        active.nonzeroBitCount == 1 ? UInt8(truncatingIfNeeded: active.trailingZeroBitCount) : nil
    }
}

/// Paths as bits; indices beyond 7 are none of a channel's.
private func mask(of paths: [UInt8]) -> UInt8 { paths.reduce(0) { $1 < 8 ? $0 | 1 << $1 : $0 } }
