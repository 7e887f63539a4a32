// A client of Cboe's Gap Request Proxy without its socket: logs in, asks, says that it lives, notices when the server
// does not, keeps still while the venue says that its quota is used up, and begins again: less and less often, but
// without end.
public import Basics

/// The client's side of the connection to one server.
public struct GapProxyMachine: Sendable {
    private enum State: Hashable {
        case idle
        case waiting(until: Instant)
        case connecting
        /// The login was sent; the answer must have come by then.
        case loggingIn(until: Instant)
        case up(since: Instant)
    }

    public let options: GapProxyOptions
    /// Connections that the server let in.
    public private(set) var logins: UInt64 = 0
    /// Blocks that were none, or had no place where they came.
    public private(set) var errors: UInt64 = 0
    /// Why there is no connection; `nil`: none was lost yet.
    public private(set) var lastEnd: GapProxyEnd?
    /// Connections that were asked for.
    public private(set) var attempts: UInt64 = 0
    /// The wait before the next attempt, while there is no connection and none is being made.
    public private(set) var retryAfter: Duration = .zero
    /// The quota that the venue says is used up, and until when it is believed.
    public private(set) var exhausted: (quota: GapResponse.Status, until: Instant)?

    private var state = State.idle
    private var decoder = GapProxyDecoder()
    private var lastSent = Instant.zero
    private var lastHeard = Instant.zero
    private var retry: Duration

    public init(options: GapProxyOptions) {
        self.options = options
        retry = options.firstRetry
    }

    /// Whether it can be asked.
    public var isUp: Bool {
        if case .up = state { return true }
        return false
    }

    /// When `tick` must be called; `nil`: only the network can bring something.
    public var deadline: Instant? {
        switch state {
        case .idle, .connecting: nil
        case .waiting(let until), .loggingIn(let until): until
        case .up: min(lastHeard + options.deadAfter, lastSent + options.heartbeatEvery)
        }
    }

    // MARK: - Events

    public mutating func start() -> [GapProxyAction] {
        guard case .idle = state else { return [] }
        return connect()
    }

    /// The server may be back: what is waited for is tried now, unless it was the login that was refused.
    public mutating func hurry() -> [GapProxyAction] {
        guard case .waiting = state else { return [] }
        if case .rejected = lastEnd { return [] }
        return connect()
    }

    /// The connection stands.
    public mutating func opened(at now: Instant) -> [GapProxyAction] {
        guard case .connecting = state else { return [] }
        decoder = GapProxyDecoder()
        state = .loggingIn(until: now + options.loginWithin)
        (lastSent, lastHeard) = (now, now)
        return [.send(GapProxyMessage.login(options.login).bytes)]
    }

    /// The connection could not be made, or ended without our doing.
    public mutating func closed(_ why: String, at now: Instant) -> [GapProxyAction] {
        switch state {
        case .idle, .waiting: []
        case .connecting, .loggingIn, .up: end(.closed(why), at: now)
        }
    }

    /// Bytes came.
    public mutating func received(_ bytes: some Collection<UInt8>, at now: Instant) -> [GapProxyAction] {
        guard hasConnection else { return [] }
        decoder.feed(bytes)
        lastHeard = now
        var actions: [GapProxyAction] = []
        do throws(MalformedInput) {
            while hasConnection, let message = try decoder.next() { take(message, &actions, at: now) }
        } catch {
            errors += 1
            actions += end(.malformed(error), at: now)
        }
        return actions
    }

    /// A request is to be sent, and is if it may be.
    public mutating func ask(at now: Instant) -> GapProxyAsking {
        guard isUp else { return .unreachable }
        if let exhausted {
            if now < exhausted.until { return .notBefore(exhausted.until) }
            self.exhausted = nil
        }
        lastSent = now
        return .now
    }

    /// Time has passed.
    public mutating func tick(at now: Instant) -> [GapProxyAction] {
        switch state {
        case .idle, .connecting: return []
        case .waiting(let until): return until <= now ? connect() : []
        case .loggingIn(let until): return until <= now ? end(.noAnswer, at: now) : []
        case .up:
            if now - lastHeard >= options.deadAfter { return end(.silent(options.deadAfter), at: now) }
            guard now - lastSent >= options.heartbeatEvery else { return [] }
            lastSent = now
            return [.send(GapProxyMessage.heartbeat.bytes)]
        }
    }

    // MARK: - Messages

    private var hasConnection: Bool {
        switch state {
        case .idle, .waiting, .connecting: false
        case .loggingIn, .up: true
        }
    }

    private mutating func take(
        _ message: GapProxyMessage, _ actions: inout [GapProxyAction], at now: Instant
    ) {
        switch message {
        case .heartbeat, .other: break
        case .loginAnswered(.accepted):
            guard !isUp else { return refuse("a login's answer", &actions, at: now) }
            state = .up(since: now)
            logins += 1
            actions.append(.accepted)
        case .loginAnswered(let status):
            guard !isUp else { return refuse("a login's answer", &actions, at: now) }
            actions += end(.rejected(status), at: now)
        case .response(let response):
            guard isUp else { return refuse("a request's answer", &actions, at: now) }
            note(response.status, at: now)
            actions.append(.answered(response))
        case .login, .request: refuse("a client's message", &actions, at: now)
        }
    }

    /// A quota that is used up stays so for a while: to ask meanwhile would be in vain.
    private mutating func note(_ status: GapResponse.Status, at now: Instant) {
        switch status {
        case .secondQuota: exhausted = (status, now + options.secondRest)
        case .minuteQuota: exhausted = (status, now + options.minuteRest)
        case .dayQuota: exhausted = (status, now + options.dayRest)
        case .accepted, .outOfRange, .count, .invalidUnit, .unitUnavailable, .other: break
        }
    }

    private mutating func refuse(_ what: String, _ actions: inout [GapProxyAction], at now: Instant) {
        errors += 1
        actions += end(.unexpected(what), at: now)
    }

    // MARK: - Attempts

    private mutating func connect() -> [GapProxyAction] {
        state = .connecting
        retryAfter = .zero
        attempts += 1
        return [.connect]
    }

    private mutating func end(_ why: GapProxyEnd, at now: Instant) -> [GapProxyAction] {
        if case .up(let since) = state, now - since >= options.longestRetry { retry = options.firstRetry }
        retryAfter = wait(after: why)
        state = .waiting(until: now + retryAfter)
        lastEnd = why
        return [.close(why)]
    }

    private mutating func wait(after why: GapProxyEnd) -> Duration {
        let base =
            switch why {
            // The server has not noticed yet that our last connection is gone.
            case .rejected(.sessionInUse): options.longestRetry
            case .rejected: options.refusedRetry
            case .closed, .noAnswer, .silent, .malformed, .unexpected: retry
            }
        retry = min(retry * 2, options.longestRetry)
        let share = Double(scrambled(options.seed, attempts) % 1024) / 1024
        return base + base / 2 * share
    }
}
