// A SoupBinTCP client without its socket: logs in, counts messages, says that it lives, notices when the server
// does not, and begins again where it stopped: less and less often, but without end.
public import Basics

/// The client's side of one path's connection.
public struct SoupClientMachine: Sendable {
    private enum State: Hashable {
        case idle
        case waiting(until: Instant)
        case connecting
        /// The login was sent; the answer must have come by then.
        case loggingIn(until: Instant)
        case up(since: Instant)
    }

    public let options: SoupClientOptions
    /// Where the next login asks to go on.
    public private(set) var position: SoupPosition
    /// Connections that the server let in.
    public private(set) var logins: UInt64 = 0
    /// Packets that were none, or had no place where they came.
    public private(set) var errors: UInt64 = 0
    /// Messages outside the numbering.
    public private(set) var unsequenced: UInt64 = 0
    /// Why there is no connection; `nil`: none was lost yet.
    public private(set) var lastEnd: SoupEnd?

    private var state = State.idle
    /// The epoch that the first login takes up, until the server has said which one it has.
    private var resumed: UInt64?
    private var decoder = SoupDecoder()
    private var lastSent = Instant.zero
    private var lastHeard = Instant.zero
    private var retry: Duration
    /// Connections that were asked for.
    public private(set) var attempts: UInt64 = 0
    /// The wait before the next attempt, while there is no connection and none is being made.
    public private(set) var retryAfter: Duration = .zero

    public init(options: SoupClientOptions) {
        self.options = options
        position = options.resume.map { SoupPosition(next: $0.next) } ?? options.start
        resumed = options.resume?.epoch
        retry = options.firstRetry
    }

    /// Whether messages can come.
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

    public mutating func start(at now: Instant) -> [SoupClientAction] {
        guard case .idle = state else { return [] }
        return connect()
    }

    /// The path may be back: what is waited for is tried now.
    public mutating func hurry(at now: Instant) -> [SoupClientAction] {
        guard case .waiting = state else { return [] }
        if case .rejected(.notAuthorised) = lastEnd { return [] }
        return connect()
    }

    /// The connection stands.
    public mutating func opened(at now: Instant) -> [SoupClientAction] {
        guard case .connecting = state else { return [] }
        decoder = SoupDecoder()
        state = .loggingIn(until: now + options.loginWithin)
        (lastSent, lastHeard) = (now, now)
        let login = SoupLogin(user: options.user, password: options.password, position: position)
        return [.send(SoupPacket.login(login).bytes)]
    }

    /// The connection could not be made, or ended without our doing.
    public mutating func closed(_ why: String, at now: Instant) -> [SoupClientAction] {
        switch state {
        case .idle, .waiting: []
        case .connecting, .loggingIn, .up: end(.closed(why), at: now)
        }
    }

    /// Bytes came.
    public mutating func received(
        _ bytes: some Collection<UInt8>, at now: Instant
    ) -> [SoupClientAction] {
        decoder.feed(bytes)
        lastHeard = now
        var actions: [SoupClientAction] = []
        do throws(MalformedInput) {
            while hasConnection, let packet = try decoder.next() { take(packet, &actions, at: now) }
        } catch {
            errors += 1
            actions += end(.malformed(error), at: now)
        }
        return actions
    }

    /// Time has passed.
    public mutating func tick(at now: Instant) -> [SoupClientAction] {
        switch state {
        case .idle, .connecting: return []
        case .waiting(let until): return until <= now ? connect() : []
        case .loggingIn(let until): return until <= now ? end(.noAnswer, at: now) : []
        case .up:
            if now - lastHeard >= options.deadAfter { return end(.silent(options.deadAfter), at: now) }
            guard now - lastSent >= options.heartbeatEvery else { return [] }
            lastSent = now
            return [.send(SoupPacket.clientHeartbeat.bytes)]
        }
    }

    // MARK: - Packets

    private var hasConnection: Bool {
        switch state {
        case .idle, .waiting, .connecting: false
        case .loggingIn, .up: true
        }
    }

    private mutating func take(
        _ packet: SoupPacket, _ actions: inout [SoupClientAction], at now: Instant
    ) {
        switch packet {
        case .sequenced(let data):
            guard isUp, position.next < .max else { return refuse("a message", &actions, at: now) }
            actions.append(.message(sequence: position.next, data))
            position.next += 1
        case .accepted(let accepted):
            guard !isUp, accepted.next > 0 else { return refuse("a login's answer", &actions, at: now) }
            guard isResumed(accepted.session) else {
                position = options.start
                actions += end(.otherSession, at: now)
                return
            }
            state = .up(since: now)
            position = accepted
            logins += 1
            actions += [.accepted(accepted), .heartbeat(next: accepted.next)]
        case .rejected(let why):
            guard !isUp else { return refuse("a login's answer", &actions, at: now) }
            reject(why, &actions, at: now)
        case .serverHeartbeat:
            if isUp { actions.append(.heartbeat(next: position.next)) }
        case .unsequenced:
            unsequenced += 1
            if isUp { actions.append(.heartbeat(next: position.next)) }
        case .debug: break
        case .endOfSession:
            guard isUp else { return refuse("the session's end", &actions, at: now) }
            actions.append(.sessionEnded(next: position.next))
            actions += end(.sessionEnded, at: now)
        case .login, .clientHeartbeat, .logout: refuse("a client's packet", &actions, at: now)
        }
    }

    /// Whether a session is the one that an earlier run stopped in, where there was one.
    private mutating func isResumed(_ session: MoldSession) -> Bool {
        guard let epoch = resumed else { return true }
        resumed = nil
        return session.epoch == epoch
    }

    private mutating func refuse(_ what: String, _ actions: inout [SoupClientAction], at now: Instant) {
        errors += 1
        actions += end(.unexpected(what), at: now)
    }

    /// A session that is gone is not asked for again: the current one begins where the first login began.
    private mutating func reject(
        _ why: SoupRejection, _ actions: inout [SoupClientAction], at now: Instant
    ) {
        switch why {
        case .sessionNotAvailable: (position, resumed) = (options.start, nil)
        case .notAuthorised, .other: break
        }
        actions += end(.rejected(why), at: now)
    }

    // MARK: - Attempts

    private mutating func connect() -> [SoupClientAction] {
        state = .connecting
        retryAfter = .zero
        attempts += 1
        return [.connect]
    }

    private mutating func end(_ why: SoupEnd, at now: Instant) -> [SoupClientAction] {
        if case .up(let since) = state, now - since >= options.longestRetry { retry = options.firstRetry }
        retryAfter = wait(after: why)
        state = .waiting(until: now + retryAfter)
        lastEnd = why
        return [.close(why)]
    }

    private mutating func wait(after why: SoupEnd) -> Duration {
        let base =
            switch why {
            case .rejected(.notAuthorised): options.refusedRetry
            // The next session is hours away as a rule.
            case .sessionEnded: options.longestRetry
            case .otherSession: Duration.zero
            case .rejected, .closed, .noAnswer, .silent, .malformed, .unexpected: retry
            }
        retry = min(retry * 2, options.longestRetry)
        let share = Double(scrambled(options.seed, attempts) % 1024) / 1024
        return base + base / 2 * share
    }
}
