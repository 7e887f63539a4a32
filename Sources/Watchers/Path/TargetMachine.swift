// One target of a path: its probes, and whether it answers. The path's verdict is made of its targets'.
public import Basics
public import Configuration
public import Detection

/// What the probes towards one address say.
public struct TargetMachine: Sendable {
    public enum State: Hashable, Sendable {
        /// No verdict yet.
        case untested
        case up
        /// Silent; `replies` in a row since.
        case down(since: Instant, replies: Int)
        /// Nothing could be sent for as long as silence would have to last.
        case unsendable(String)
    }

    public let target: ProbeTarget
    public private(set) var state = State.untested
    public private(set) var window: LossWindow
    /// Smoothed round-trip time (RFC 6298: seven parts old, one part new).
    public private(set) var roundTrip: Duration?
    /// Smoothed difference between consecutive round-trip times (RFC 3550, section 6.4.1).
    public private(set) var jitter: Duration = .zero
    public private(set) var sent: UInt64 = 0
    public private(set) var lost: UInt64 = 0
    public private(set) var late: UInt64 = 0
    public private(set) var duplicates: UInt64 = 0
    /// Probes that could not be sent.
    public private(set) var unsent: UInt64 = 0

    private let downAfter: Duration
    private let downAfterProbes: Int
    private let upAfterReplies: Int
    private var liveness: Liveness
    private var lastRoundTrip: Duration?
    /// The newest round-trip times, in nanoseconds.
    private var times: Ring<Int64>
    private var sendTrouble: (since: Instant, reason: String)?

    public init(_ target: ProbeTarget, _ options: ISPOptions, at now: Instant) {
        self.target = target
        downAfter = options.downAfter
        downAfterProbes = max(1, options.downAfterProbes)
        upAfterReplies = max(1, options.upAfterReplies)
        // Suspicion doubles the rate, and every probe must stay in the window until it is settled.
        let every = max(1, options.probeEvery.nanoseconds)
        let unsettled = Int(clamping: options.lossAfter.nanoseconds / every + 1) &* 2
        let capacity = min(
            max(options.lossWindow, min(unsettled, 4096) + 2 * downAfterProbes, 1), 65_536)
        window = LossWindow(
            capacity: capacity, lossAfter: options.lossAfter, minimumSamples: min(capacity, 20))
        liveness = Liveness(silentAfter: options.downAfter, from: now)
        times = Ring(capacity: max(1, min(options.lossWindow, capacity)))
    }

    public var isUp: Bool { state == .up }

    /// Silent for longer than half of what would be an outage, and losing: worth more probes.
    public func isSuspect(at now: Instant) -> Bool {
        state == .up && window.lostInARow >= 2 && liveness.silence(at: now) * 2 >= downAfter
    }

    /// When this target may be judged silent; `nil` while nothing points to it.
    public var deadline: Instant? {
        guard state == .up || state == .untested, window.lostInARow > 0, let settled = window.deadline
        else {
            return nil
        }
        return max(liveness.deadline, settled)
    }

    public func silence(at now: Instant) -> Duration { liveness.silence(at: now) }
}

// MARK: - Events

extension TargetMachine {
    /// A probe leaves now; returns its sequence.
    public mutating func probe(at now: Instant) -> UInt16 {
        sent &+= 1
        return UInt16(truncatingIfNeeded: window.sent(at: now))
    }

    /// The probe of this sequence could not be sent. The silence that follows is not the path's.
    public mutating func sendFailed(_ sequence: UInt16, _ reason: String, at now: Instant) {
        guard let number = window.number(endingIn: sequence) else { return }
        window.cancelled(number)
        unsent &+= 1
        sendTrouble = (sendTrouble?.since ?? now, reason)
    }

    /// The probe of this sequence was handed to the kernel.
    public mutating func sendSucceeded() {
        guard sendTrouble != nil else { return }
        sendTrouble = nil
        if case .unsendable = state { state = .untested }
    }

    /// A reply arrived, at the latest now: it may have waited to be read. `measured` is the kernel's round-trip time,
    /// `nil` without its stamps. Returns whether a probe of this target asked for it.
    public mutating func replied(_ sequence: UInt16, measured: Duration?, at now: Instant) -> Bool {
        guard let number = window.number(endingIn: sequence), let sentAt = window.sentAt(number) else {
            return false
        }
        let took = TargetMachine.plausible(measured, max(now - sentAt, .zero))
        let came = min(now, sentAt + took)
        let lostBefore = window.lostInARow
        switch window.replied(number) {
        case .foreign:
            return false
        case .duplicate:
            duplicates &+= 1
        case .late:
            late &+= 1
            lost &-= 1
            measure(took)
            // What takes as long as an outage does not end one.
            guard took < downAfter else {
                restartRow()
                return true
            }
            // It had been lost itself.
            heard(at: came, isAfterLoss: lostBefore - window.lostInARow > 1)
        case .inTime:
            measure(took)
            heard(at: came, isAfterLoss: lostBefore > window.lostInARow)
        }
        return true
    }

    /// The kernel's stamps are of the wall clock: one that is set meanwhile makes a time of them that is none.
    private static func plausible(_ measured: Duration?, _ elapsed: Duration) -> Duration {
        guard let measured, measured >= .zero else { return elapsed }
        return min(measured, elapsed)
    }

    /// - Parameter isAfterLoss: a probe between this one and the newest that was answered before is lost. One that was
    ///   sent after this one and is lost may still be answered late, as this one may have been.
    private mutating func heard(at now: Instant, isAfterLoss: Bool) {
        liveness.heard(at: now)
        switch state {
        case .untested, .unsendable: state = .up
        case .up: break
        case .down(let since, let replies):
            let inARow = isAfterLoss ? 1 : replies + 1
            state = inARow >= upAfterReplies ? .up : .down(since: since, replies: inARow)
            // What was lost in the outage has been told as an outage.
            if isUp { window.forgetOutage() }
        }
    }

    /// The replies that are to come in a row are counted anew.
    private mutating func restartRow() {
        if case .down(let since, _) = state { state = .down(since: since, replies: 0) }
    }

    private mutating func measure(_ measured: Duration) {
        let time = max(measured, .zero)
        roundTrip = roundTrip.map { $0 + (time - $0) / 8 } ?? time
        if let last = lastRoundTrip {
            let difference = time > last ? time - last : last - time
            jitter += (difference - jitter) / 16
        }
        lastRoundTrip = time
        times.append(time.nanoseconds)
    }

    /// The round-trip times of the newest probes that half of them, and that 99 of 100, did not exceed (nearest
    /// rank); `nil` before the first reply.
    public var percentiles: (median: Duration, p99: Duration)? {
        let sorted = times.elements.sorted()
        guard !sorted.isEmpty else { return nil }
        func rank(_ percent: Int) -> Duration {
            .nanoseconds(sorted[min(sorted.count - 1, max(0, (sorted.count * percent + 99) / 100 - 1))])
        }
        return (rank(50), rank(99))
    }

    /// Time passed: probes are given up and silence is judged.
    public mutating func passed(_ now: Instant) {
        let given = window.expire(at: now)
        lost &+= UInt64(given)
        switch state {
        case .down: break
        case .untested, .up, .unsendable: judge(at: now)
        }
    }

    private mutating func judge(at now: Instant) {
        if let trouble = sendTrouble {
            if now - trouble.since >= downAfter { state = .unsendable(trouble.reason) }
            return
        }
        guard case .silent(let since) = liveness.state(at: now), window.lostInARow >= downAfterProbes
        else {
            return
        }
        state = .down(since: since, replies: 0)
    }

    /// The link under the path failed: only replies prove the target again.
    public mutating func linkLost(at now: Instant) {
        if case .down = state { return }
        state = .down(since: now, replies: 0)
    }

    /// The path leaves by another address: pending probes will not be answered, and that is nobody's loss.
    public mutating func rebound(at now: Instant) {
        window.restart()
        liveness.restart(at: now)
        sendTrouble = nil
        restartRow()
        if case .unsendable = state { state = .untested }
    }
}
