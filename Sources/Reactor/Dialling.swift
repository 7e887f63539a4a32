// How a peer is reached: its addresses are found, and tried one after the other, each for a while. A value; `Dialler`
// carries it out.
import Basics

/// One attempt after another to reach a peer.
struct Dialling: Sendable {
    enum Action: Hashable, Sendable {
        /// Find the addresses. The answer bears this number, so that one of an earlier attempt is told from it.
        case lookUp(attempt: Int)
        /// Connect to this one of them, counted from 0.
        case connect(Int)
        /// The last one came to nothing, and why, for a person, without the peer's name.
        case failed(String)
    }

    private enum State: Sendable {
        case idle
        case lookingUp(until: Instant)
        case connecting(Int, of: Int, until: Instant)
    }

    /// How long name servers may take.
    static let lookUpLimit: Duration = .seconds(30)

    /// How long connecting to one address may take.
    let limit: Duration
    private var state = State.idle
    private var attempt = 0

    init(limit: Duration) { self.limit = limit }

    /// When `tick` is to be called; `nil`: nothing is under way.
    var deadline: Instant? {
        switch state {
        case .idle: nil
        case .lookingUp(let until), .connecting(_, _, let until): until
        }
    }

    /// Begins anew; whatever was under way is forgotten.
    mutating func dial(at now: Instant) -> Action {
        stop()
        state = .lookingUp(until: now + Dialling.lookUpLimit)
        return .lookUp(attempt: attempt)
    }

    /// Nothing more is tried.
    mutating func stop() {
        state = .idle
        attempt += 1
    }

    /// So many addresses were found.
    mutating func found(_ count: Int, attempt: Int, at now: Instant) -> Action? {
        guard case .lookingUp = state, attempt == self.attempt else { return nil }
        return next(0, of: count, "no address", at: now)
    }

    /// None was found.
    mutating func notFound(_ reason: String, attempt: Int) -> Action? {
        guard case .lookingUp = state, attempt == self.attempt else { return nil }
        return end(reason)
    }

    /// The connection stands.
    mutating func connected() { stop() }

    /// The address that was tried refuses, or cannot be reached.
    mutating func failed(_ reason: String, at now: Instant) -> Action? {
        guard case .connecting(let place, let count, _) = state else { return nil }
        return next(place + 1, of: count, reason, at: now)
    }

    /// Time has passed.
    mutating func tick(at now: Instant) -> Action? {
        guard let deadline, deadline <= now else { return nil }
        switch state {
        case .idle: return nil
        case .lookingUp: return end("no address was found within \(Dialling.lookUpLimit.inSeconds) s")
        case .connecting: return failed("no answer within \(limit.inSeconds) s", at: now)
        }
    }

    private mutating func next(_ place: Int, of count: Int, _ reason: String, at now: Instant) -> Action {
        guard place < count else { return end(reason) }
        state = .connecting(place, of: count, until: now + limit)
        return .connect(place)
    }

    private mutating func end(_ reason: String) -> Action {
        stop()
        return .failed(reason)
    }
}
