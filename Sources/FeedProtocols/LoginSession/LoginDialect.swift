// What a protocol over TCP with a login adds to the course that all of them take (LoginMachine): its bytes, and what its
// messages mean.
public import Basics

/// One protocol's client, as far as it differs from the others.
public protocol LoginDialect: Sendable {
    /// Cuts what comes into messages.
    associatedtype Decoder: LoginDecoder
    /// What its messages tell beyond the session's own course.
    associatedtype News: Hashable, Sendable

    /// The protocol, for people.
    static var name: String { get }
    /// Says that we live.
    static var heartbeat: [UInt8] { get }

    /// Asks to be let in.
    var greeting: [UInt8] { get }
    /// Takes messages up to one by which the session turns, and puts what they tell behind `actions`.
    ///
    /// - Parameter isUp: whether the server has let us in.
    /// - Returns: the turn; `nil`: there was none, and all is taken that has come in whole.
    /// - Throws: `MalformedInput` where the bytes are none of the protocol's.
    mutating func read(
        _ decoder: inout Decoder, into actions: inout [LoginAction<News>], isUp: Bool, at now: Instant
    ) throws(MalformedInput) -> LoginTurn<News>?
}

/// One connection's bytes on their way to a dialect.
public protocol LoginDecoder: Sendable {
    init()
    /// Bytes came; all messages are taken out of them before the next ones.
    mutating func feed(_ piece: some Collection<UInt8>)
}

/// A message's meaning for the session itself.
public enum LoginTurn<News: Hashable & Sendable>: Hashable, Sendable {
    /// The server lets us in; the news follow.
    case accepted(News?)
    /// The session ends, after the news.
    case over(News?, LoginEnd, LoginRetry)
    /// The message has no place here: what it is, for people.
    case unexpected(String)
}

/// When it is tried again.
public enum LoginRetry: Hashable, Sendable {
    case atOnce
    /// Soon, and then less and less often.
    case backingOff
    /// As rarely as it ever is.
    case rarely
    /// Accounts are locked by trying again and again.
    case afterRefusal
}

/// What an operator decides about a connection.
public struct LoginTimes: Hashable, Sendable {
    /// A heartbeat is sent when nothing else was for so long.
    public var heartbeatEvery: Duration = .seconds(1)
    /// A connection over which nothing came for so long is dead.
    public var deadAfter: Duration
    /// How long the server may take to answer a login.
    public var loginWithin: Duration = .seconds(5)
    /// The waits before another attempt.
    public var firstRetry: Duration = .milliseconds(100)
    public var longestRetry: Duration = .seconds(5)
    /// The wait after the server did not accept who we say we are.
    public var refusedRetry: Duration = .seconds(30)
    /// Keeps clients that were refused together apart.
    public var seed: UInt64 = 0

    public init(deadAfter: Duration) { self.deadAfter = deadAfter }
}

/// What the shell of a client has to do, in order.
public enum LoginAction<News: Hashable & Sendable>: Hashable, Sendable {
    /// Open a connection, and tell `opened` or `closed`.
    case connect
    case send([UInt8])
    /// The connection is over, or is to be closed; another attempt follows by itself.
    case close(LoginEnd)
    /// The server let us in.
    case accepted
    case news(News)
}

/// Why a connection ended.
public enum LoginEnd: Hashable, Sendable, CustomStringConvertible {
    /// It could not be made, or the network or the peer ended it: the system's words.
    case closed(String)
    /// The server does not let us in: its reason.
    case rejected(String)
    /// The server did not answer the login in time.
    case noAnswer
    /// Nothing came for so long.
    case silent(Duration)
    /// The protocol's own reason, by which nobody did wrong.
    case over(String)
    case malformed(MalformedInput, protocol: String)
    /// A message that has no place here: what it is.
    case unexpected(String)

    public var description: String {
        switch self {
        case .closed(let why), .over(let why): why
        case .rejected(let why): "login rejected: \(why)"
        case .noAnswer: "no answer to the login"
        case .silent(let limit): "no word for \(limit.nanoseconds / 1_000_000) ms"
        case .malformed(let input, let name): "no \(name): \(input)"
        case .unexpected(let what): "\(what) has no place here"
        }
    }
}
