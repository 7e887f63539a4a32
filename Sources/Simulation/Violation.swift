// What an invariant's breach looks like.
import Basics

/// The promises that are checked.
package enum Invariant: String, Hashable, Sendable, CaseIterable {
    /// Every sequence is delivered exactly once, in order, unchanged, or told as a gap.
    case delivery
    /// Nothing stale is called live.
    case freshness
    /// Every subscription ends up on a live path when there is one.
    case liveness
    /// What a client did not get, the documented rules tell it.
    case losses
    /// Re-request servers are asked no more often than configured, and no more topics subscribed.
    case quota
    /// What was said to be written is in the journal after any end, as it was released; what is not there, a hole tells.
    case journal
    /// Windows, tables and queues stay within their bounds.
    case bounds
}

package struct Violation: Hashable, Sendable, CustomStringConvertible {
    package var invariant: Invariant
    /// Simulated time since the start.
    package var after: Duration
    package var what: String

    package var description: String {
        let micros = after.microseconds
        return "\(invariant.rawValue) at \(micros / 1_000_000).\(padded(micros % 1_000_000, 6)) s: \(what)"
    }
}
