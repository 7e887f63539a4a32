// What the path machine knows about one path: when it was heard, what was said against it, and its record
// of failures.
import Basics
import Wire

struct PathRecord: Sendable {
    /// What an agent said against the path.
    struct Fault: Hashable, Sendable {
        var dependency: Dependency
        /// When it happened, as far as it is known.
        var at: Instant
        /// Data that came in later proves the path.
        var isRefuted: Bool
    }

    /// When the path was opened.
    let openedAt: Instant
    var lastHeard: Instant?
    var isDisconnected = false
    /// It said that it is.
    var isConnected = false
    var faults: [Fault] = []
    /// When it differed from each other path, last.
    var differed: [Int: Instant] = [:]
    /// It is held to be wrong, against this other path, since it last differed then.
    var blamed: (against: Int, at: Instant)?
    /// How often other paths spoke since this one last did, first and last.
    var othersHeard = 0
    var othersFirst = Instant.zero
    var othersLast = Instant.zero

    /// It brings what it brings too late, compared with another path.
    var isLagging = false
    /// Samples in a row that contradict that.
    var lagWords = 0
    /// When its lag was known last.
    var lagKnownAt: Instant?

    /// The verdict of the last evaluation.
    var failure: PathFailure?
    var wellSince: Instant?
    /// Failures in a row, each within the flap window of the one before.
    var failures = 0
    var lastFailure: Instant?

    var isSubscribed = false
    var isResubscribed = false

    init(openedAt: Instant) { self.openedAt = openedAt }

    var isWell: Bool { failure == nil && lastHeard != nil }

    /// The moment from which silence counts.
    var silentSince: Instant { lastHeard ?? openedAt }

    var state: PathState {
        if let failure { return .failed(failure) }
        if lastHeard == nil { return .waiting }
        if !isSubscribed { return .standby }
        return isResubscribed ? .active : .recovering
    }

    /// Others spoke at least this often, so that heartbeats which alternate between two quiet paths do not
    /// look like one of them falling behind.
    static let leastOthersHeard = 3

    func isBehind(_ limit: Duration) -> Bool {
        lastHeard != nil && othersHeard >= Self.leastOthersHeard && othersLast - othersFirst >= limit
    }

    mutating func noteOther(at now: Instant) {
        if othersHeard == 0 { othersFirst = now }
        othersHeard &+= 1
        othersLast = now
    }

    mutating func noteHeard(at now: Instant, provenAfter: Duration) {
        lastHeard = now
        othersHeard = 0
        guard !faults.isEmpty else { return }
        for index in faults.indices where now - faults[index].at >= provenAfter {
            faults[index].isRefuted = true
        }
    }

    /// So many samples in a row show that a path lags, or no longer does.
    static let lagWordsNeeded = 5
    /// A lag of which nothing more is known for so long is none.
    static let lagHold: Duration = .seconds(5)

    /// A lag was measured. Whether that changes what is thought of the path: it lags at the limit, and no longer does
    /// below half of it.
    mutating func note(lag: Duration, limit: Duration, at now: Instant) -> Bool {
        lagKnownAt = now
        lagWords = (isLagging ? lag < limit / 2 : lag >= limit) ? lagWords + 1 : 0
        guard lagWords >= Self.lagWordsNeeded else { return false }
        (isLagging, lagWords) = (!isLagging, 0)
        return true
    }

    /// When a lag is forgotten; `nil`: there is none.
    var lagUntil: Instant? { isLagging ? lagKnownAt.map { $0 + Self.lagHold } : nil }

    /// Records a fault; one that is known already keeps what was decided about it.
    mutating func note(_ dependency: Dependency, at: Instant, margin: Duration) {
        let isRefuted = lastHeard.map { $0 - at >= margin } ?? false
        let fault = Fault(dependency: dependency, at: at, isRefuted: isRefuted)
        guard let index = faults.firstIndex(where: { $0.dependency == dependency }) else {
            return faults.append(fault)
        }
        if faults[index].at < at { faults[index] = fault }
    }

    mutating func clear(_ dependency: Dependency) { faults.removeAll { $0.dependency == dependency } }

    /// Takes over a verdict and keeps the record of failures.
    mutating func settle(_ verdict: PathFailure?, at now: Instant, flapWindow: Duration) {
        if verdict != nil, failure == nil {
            let isFlapping = lastFailure.map { now - $0 < flapWindow } ?? false
            failures = isFlapping ? failures &+ 1 : 1
            lastFailure = now
        }
        failure = verdict
        if !isWell { wellSince = nil } else if wellSince == nil { wellSince = now }
    }
}
