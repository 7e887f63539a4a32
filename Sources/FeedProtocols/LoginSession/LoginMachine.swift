// A client of a protocol with a login, without its socket: connects, logs in, says that it lives, notices when the server
// does not, and begins again: less and less often, but without end.
public import Basics

/// The client's side of the connection to one server.
public struct LoginMachine<Dialect: LoginDialect>: Sendable {
    public typealias Action = LoginAction<Dialect.News>

    private enum State: Hashable {
        case idle
        case waiting(until: Instant)
        case connecting
        /// The login was sent; the answer must have come by then.
        case loggingIn(until: Instant)
        case up(since: Instant)
    }

    public let times: LoginTimes
    /// What the protocol itself keeps.
    public internal(set) var dialect: Dialect
    /// Connections that the server let in.
    public private(set) var logins: UInt64 = 0
    /// Messages that were none, or had no place where they came.
    public private(set) var errors: UInt64 = 0
    /// Why there is no connection; `nil`: none was lost yet.
    public private(set) var lastEnd: LoginEnd?
    /// Connections that were asked for.
    public private(set) var attempts: UInt64 = 0
    /// The wait before the next attempt, while there is no connection and none is being made.
    public private(set) var retryAfter: Duration = .zero

    /// Another for each connection: what an earlier one left half said is forgotten.
    private var decoder = Dialect.Decoder()
    private var state = State.idle
    private var lastSent = Instant.zero
    private var lastHeard = Instant.zero
    private var backoff: Backoff

    public init(_ dialect: Dialect, _ times: LoginTimes) {
        self.dialect = dialect
        self.times = times
        backoff = Backoff(first: times.firstRetry, longest: times.longestRetry)
    }

    /// Whether the server has let us in.
    public var isUp: Bool {
        if case .up = state { return true }
        return false
    }

    private var hasConnection: Bool {
        switch state {
        case .idle, .waiting, .connecting: false
        case .loggingIn, .up: true
        }
    }

    /// When `tick` must be called; `nil`: only the network can bring something.
    public var deadline: Instant? {
        switch state {
        case .idle, .connecting: nil
        case .waiting(let until), .loggingIn(let until): until
        case .up: min(lastHeard + times.deadAfter, lastSent + times.heartbeatEvery)
        }
    }

    // MARK: - Events

    public mutating func start() -> [Action] {
        guard case .idle = state else { return [] }
        return connect()
    }

    /// The server may be reachable again: what is waited for is tried now, unless the server was, and rejected the login.
    public mutating func hurry() -> [Action] {
        guard case .waiting = state else { return [] }
        if case .rejected = lastEnd { return [] }
        return connect()
    }

    /// The connection stands.
    public mutating func opened(at now: Instant) -> [Action] {
        guard case .connecting = state else { return [] }
        state = .loggingIn(until: now + times.loginWithin)
        (lastSent, lastHeard) = (now, now)
        decoder = Dialect.Decoder()
        return [.send(dialect.greeting)]
    }

    /// The connection could not be made, or ended without our doing.
    public mutating func closed(_ why: String, at now: Instant) -> [Action] {
        switch state {
        case .idle, .waiting: []
        case .connecting, .loggingIn, .up: [end(.closed(why), .backingOff, at: now)]
        }
    }

    /// Bytes came.
    public mutating func received(_ bytes: some Collection<UInt8>, at now: Instant) -> [Action] {
        guard hasConnection else { return [] }
        decoder.feed(bytes)
        lastHeard = now
        var actions: [Action] = []
        do throws(MalformedInput) {
            while hasConnection, let turn = try dialect.read(&decoder, into: &actions, isUp: isUp, at: now) {
                take(turn, &actions, at: now)
            }
        } catch {
            errors += 1
            actions.append(end(.malformed(error, protocol: Dialect.name), .backingOff, at: now))
        }
        return actions
    }

    /// Something else than a heartbeat was sent.
    mutating func sent(at now: Instant) { lastSent = now }

    /// Time has passed.
    public mutating func tick(at now: Instant) -> [Action] {
        switch state {
        case .idle, .connecting: return []
        case .waiting(let until): return until <= now ? connect() : []
        case .loggingIn(let until): return until <= now ? [end(.noAnswer, .backingOff, at: now)] : []
        case .up:
            if now - lastHeard >= times.deadAfter {
                return [end(.silent(times.deadAfter), .backingOff, at: now)]
            }
            guard now - lastSent >= times.heartbeatEvery else { return [] }
            lastSent = now
            return [.send(Dialect.heartbeat)]
        }
    }

    private mutating func take(
        _ turn: LoginTurn<Dialect.News>, _ actions: inout [Action], at now: Instant
    ) {
        switch turn {
        case .accepted(let news):
            state = .up(since: now)
            logins += 1
            actions.append(.accepted)
            if let news { actions.append(.news(news)) }
        case .over(let news, let why, let retry):
            if let news { actions.append(.news(news)) }
            actions.append(end(why, retry, at: now))
        case .unexpected(let what):
            errors += 1
            actions.append(end(.unexpected(what), .backingOff, at: now))
        }
    }

    // MARK: - Attempts

    private mutating func connect() -> [Action] {
        state = .connecting
        retryAfter = .zero
        attempts += 1
        return [.connect]
    }

    private mutating func end(_ why: LoginEnd, _ retry: LoginRetry, at now: Instant) -> Action {
        if case .up(let since) = state, now - since >= times.longestRetry { backoff.reset() }
        let random = scrambled(times.seed, attempts)
        let next = backoff.wait(random: random)
        retryAfter =
            switch retry {
            case .atOnce: .zero
            case .backingOff: next
            case .rarely: Backoff.spread(times.longestRetry, random: random)
            case .afterRefusal: Backoff.spread(times.refusedRetry, random: random)
            }
        state = .waiting(until: now + retryAfter)
        lastEnd = why
        return .close(why)
    }
}
