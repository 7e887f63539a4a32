// The words of a client of Cboe's Gap Request Proxy: its limits, what its shell has to do, and why a connection ended.
public import Basics

/// What an operator decides about a connection.
public struct GapProxyOptions: Hashable, Sendable {
    public var login: GapProxyLogin
    /// A heartbeat is sent when nothing else was for so long. The venue hangs up on who is silent for two times five
    /// seconds, and sends its own each second.
    public var heartbeatEvery: Duration = .seconds(1)
    /// A connection over which nothing came for so long is dead.
    public var deadAfter: Duration = .seconds(5)
    /// How long the server may take to answer a login.
    public var loginWithin: Duration = .seconds(5)
    /// The waits before another attempt: doubled each time, and each up to a half longer.
    public var firstRetry: Duration = .milliseconds(100)
    public var longestRetry: Duration = .seconds(5)
    /// The wait after the server did not accept the login: accounts are locked by trying again and again.
    public var refusedRetry: Duration = .seconds(30)
    /// How long the server is not asked after it said that the quota of a second, a minute or a day is used up. The
    /// day's may be given anew at any time: it is tried again now and then.
    public var secondRest: Duration = .seconds(1)
    public var minuteRest: Duration = .seconds(60)
    public var dayRest: Duration = .seconds(600)
    /// Keeps clients that were refused together apart.
    public var seed: UInt64 = 0

    public init(_ login: GapProxyLogin) { self.login = login }
}

/// What the shell of a client has to do, in order.
public enum GapProxyAction: Hashable, Sendable {
    /// Open a connection, and tell `opened` or `closed`.
    case connect
    case send([UInt8])
    /// The connection is over, or is to be closed; another attempt follows by itself.
    case close(GapProxyEnd)
    /// The server let us in: it can be asked.
    case accepted
    /// What became of a request.
    case answered(GapResponse)
}

/// Whether a request may be sent.
public enum GapProxyAsking: Hashable, Sendable {
    case now
    /// There is no connection.
    case unreachable
    /// The venue's quota is used up until then, as it said.
    case notBefore(Instant)
}

/// Why a connection ended.
public enum GapProxyEnd: Hashable, Sendable, CustomStringConvertible {
    /// It could not be made, or the network or the peer ended it: the system's words.
    case closed(String)
    case rejected(GapProxyLoginStatus)
    /// The server did not answer the login in time.
    case noAnswer
    /// Nothing came for so long.
    case silent(Duration)
    case malformed(MalformedInput)
    /// A message that has no place here.
    case unexpected(String)

    public var description: String {
        switch self {
        case .closed(let why): why
        case .rejected(let why): "login rejected: \(why)"
        case .noAnswer: "no answer to the login"
        case .silent(let limit): "no word for \(limit.nanoseconds / 1_000_000) ms"
        case .malformed(let input): "no gap request proxy: \(input)"
        case .unexpected(let what): "\(what) has no place here"
        }
    }
}
