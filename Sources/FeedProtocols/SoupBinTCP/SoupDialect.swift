// A SoupBinTCP client: asks to go on where it stopped, and counts messages, which carry no numbers.
public import Basics

public typealias SoupClientMachine = LoginMachine<SoupDialect>

public struct SoupDialect: LoginDialect {
    public enum News: Hashable, Sendable {
        /// What follows begins there.
        case begins(SoupPosition)
        /// A message of the session.
        case message(sequence: UInt64, ArraySlice<UInt8>)
        /// A sign of life; `next` is the number of the message that comes next.
        case heartbeat(next: UInt64)
        /// The session is over; `next` is one past its last number.
        case sessionEnded(next: UInt64)
    }

    public static let name = "SoupBinTCP"
    public static let heartbeat = SoupPacket.clientHeartbeat.bytes

    public let user: String
    private let password: String
    /// Where the first login begins: number 1 of the current session gives all of it, 0 what is sent from then on.
    private let start: SoupPosition
    /// Where the next login asks to go on.
    public private(set) var position: SoupPosition
    /// Messages outside the numbering.
    public private(set) var unsequenced: UInt64 = 0
    /// The epoch that the first login takes up, until the server has said which one it has.
    private var resumed: UInt64?

    /// - Parameter resume: where an earlier run stopped: the number that follows, in the session of this epoch. If the
    ///   server has another session by now, the first login is repeated from `start`.
    public init(
        user: String, password: String, start: SoupPosition = SoupPosition(next: 1),
        resume: (epoch: UInt64, next: UInt64)? = nil
    ) {
        (self.user, self.password, self.start) = (user, password, start)
        position = resume.map { SoupPosition(next: $0.next) } ?? start
        resumed = resume?.epoch
    }

    public var greeting: [UInt8] {
        SoupPacket.login(SoupLogin(user: user, password: password, position: position)).bytes
    }

    public mutating func read(
        _ decoder: inout SoupDecoder, into actions: inout [LoginAction<News>], isUp: Bool, at now: Instant
    ) throws(MalformedInput) -> LoginTurn<News>? {
        while let packet = try decoder.next() {
            switch packet {
            case .sequenced(let data):
                guard isUp, position.next < .max else { return .unexpected("a message") }
                actions.append(.news(.message(sequence: position.next, data)))
                position.next += 1
            case .serverHeartbeat: if isUp { actions.append(.news(.heartbeat(next: position.next))) }
            case .unsequenced:
                unsequenced += 1
                if isUp { actions.append(.news(.heartbeat(next: position.next))) }
            case .debug: break
            case .accepted(let accepted):
                return isUp ? .unexpected("a login's answer") : self.accepted(accepted)
            case .rejected(let why): return isUp ? .unexpected("a login's answer") : rejected(why)
            case .endOfSession:
                guard isUp else { return .unexpected("the session's end") }
                // The next session is hours away as a rule.
                return .over(.sessionEnded(next: position.next), .over("the session ended"), .rarely)
            case .login, .clientHeartbeat, .logout: return .unexpected("a client's packet")
            }
        }
        return nil
    }

    private mutating func accepted(_ accepted: SoupPosition) -> LoginTurn<News> {
        guard accepted.next > 0 else { return .unexpected("a login's answer") }
        guard isResumed(accepted.session) else {
            position = start
            return .over(nil, .over("another session than before: from its start"), .atOnce)
        }
        position = accepted
        return .accepted(.begins(accepted))
    }

    /// Whether a session is the one that an earlier run stopped in, where there was one.
    private mutating func isResumed(_ session: MoldSession) -> Bool {
        guard let epoch = resumed else { return true }
        resumed = nil
        return session.epoch == epoch
    }

    /// A session that is gone is not asked for again: the current one begins where the first login began.
    private mutating func rejected(_ why: SoupRejection) -> LoginTurn<News> {
        let retry: LoginRetry
        switch why {
        case .sessionNotAvailable: (position, resumed, retry) = (start, nil, .backingOff)
        case .notAuthorised: retry = .afterRefusal
        case .other: retry = .backingOff
        }
        return .over(nil, .rejected("\(why)"), retry)
    }
}
