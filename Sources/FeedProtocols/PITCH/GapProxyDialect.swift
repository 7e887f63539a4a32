// A client of Cboe's Gap Request Proxy: asks, and keeps still while the venue says that its quota is used up.
public import Basics

public typealias GapProxyMachine = LoginMachine<GapProxyDialect>

public struct GapProxyDialect: LoginDialect {
    public typealias News = GapResponse

    public static let name = "gap request proxy"
    public static let heartbeat = GapProxyMessage.heartbeat.bytes

    private let login: GapProxyLogin
    /// The quota that the venue says is used up, and until when it is believed.
    public internal(set) var exhausted: (quota: GapResponse.Status, until: Instant)?

    public init(_ login: GapProxyLogin) { self.login = login }

    public var greeting: [UInt8] { GapProxyMessage.login(login).bytes }

    public mutating func read(
        _ decoder: inout GapProxyDecoder, into actions: inout [LoginAction<GapResponse>], isUp: Bool,
        at now: Instant
    ) throws(MalformedInput) -> LoginTurn<GapResponse>? {
        while let message = try decoder.next() {
            switch message {
            case .heartbeat, .other: break
            case .loginAnswered(let status):
                return isUp ? .unexpected("a login's answer") : GapProxyDialect.turn(after: status)
            case .response(let response):
                guard isUp else { return .unexpected("a request's answer") }
                if let rest = GapProxyDialect.rest(after: response.status) {
                    exhausted = (response.status, now + rest)
                }
                actions.append(.news(response))
            case .login, .request: return .unexpected("a client's message")
            }
        }
        return nil
    }

    private static func turn(after status: GapProxyLoginStatus) -> LoginTurn<GapResponse> {
        switch status {
        case .accepted: .accepted(nil)
        // The server has not noticed yet that our last connection is gone.
        case .sessionInUse: .over(nil, .rejected("\(status)"), .rarely)
        case .notAuthorised, .invalidSession, .other: .over(nil, .rejected("\(status)"), .afterRefusal)
        }
    }

    /// How long the server is not asked after it said that a quota is used up: it would be in vain. The day's may be given
    /// anew at any time, so it is tried again now and then. `nil`: it may be asked.
    private static func rest(after status: GapResponse.Status) -> Duration? {
        switch status {
        case .secondQuota: .seconds(1)
        case .minuteQuota: .seconds(60)
        case .dayQuota: .seconds(600)
        case .accepted, .outOfRange, .count, .invalidUnit, .unitUnavailable, .other: nil
        }
    }
}

/// Whether a request may be sent.
public enum GapProxyAsking: Hashable, Sendable {
    case now
    /// There is no connection.
    case unreachable
    /// The venue's quota is used up until then, as it said.
    case notBefore(Instant)
}

extension LoginMachine<GapProxyDialect> {
    /// A request is to be sent, and is if it may be.
    public mutating func ask(at now: Instant) -> GapProxyAsking {
        guard isUp else { return .unreachable }
        if let exhausted = dialect.exhausted {
            if now < exhausted.until { return .notBefore(exhausted.until) }
            dialect.exhausted = nil
        }
        sent(at: now)
        return .now
    }
}
