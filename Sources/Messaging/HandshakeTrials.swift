// What failed handshakes mean, and when another one is worth trying: the same rule for the connections that libzmq makes
// and for our own.
import Basics

/// Handshakes with one peer, as far as they failed.
struct HandshakeTrials: Hashable, Sendable {
    /// A handshake may be cut by accident; after this many in a row it is meant so.
    static let accidents = 3
    static let longestPause: Duration = .seconds(10)

    private var inARow = 0
    private var backoff = Backoff(first: .seconds(1), longest: longestPause)
    /// Why the peer will not have us; `nil`: it does, or nobody is there.
    private(set) var failure: HandshakeFailure?

    /// One more came to nothing.
    ///
    /// - Parameter random: any number; keeps hosts that were refused together apart.
    /// - Returns: how long to wait before the next one; `nil`: it may have been an accident.
    mutating func failed(_ failure: HandshakeFailure, random: UInt64) -> Duration? {
        inARow += 1
        if failure.isAccident, inARow < HandshakeTrials.accidents { return nil }
        self.failure = failure
        return backoff.wait(random: random)
    }

    /// One went through, or it is tried with other keys.
    mutating func reset() { self = HandshakeTrials() }

    /// Nobody is there now, whoever it was before.
    mutating func nobodyThere() { failure = nil }

    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    func trouble(at endpoint: String, isSecured: Bool) -> String? {
        failure.map { "\(endpoint) \($0.explained(isSecured: isSecured))" }
    }
}
