// The words of a SoupBinTCP client: its limits, what its shell has to do, and why a connection ended.
import Basics

/// What an operator decides about a connection.
public struct SoupClientOptions: Hashable, Sendable {
    public var user: String
    public var password: String
    /// Where the first login begins: number 1 of the current session gives all of it, 0 what is sent from then on.
    public var start = SoupPosition(next: 1)
    /// Where an earlier run stopped: the number that follows, in the session of this epoch. If the server has another
    /// session by now, the first login is repeated from `start`.
    public var resume: (epoch: UInt64, next: UInt64)? {
        get { resumed.map { ($0.epoch, $0.next) } }
        set { resumed = newValue.map { Resumed(epoch: $0.epoch, next: $0.next) } }
    }
    private struct Resumed: Hashable { var epoch, next: UInt64 }
    private var resumed: Resumed?
    /// A heartbeat is sent when nothing else was for so long.
    public var heartbeatEvery: Duration = .seconds(1)
    /// A connection over which nothing came for so long is dead.
    public var deadAfter: Duration = .milliseconds(1500)
    /// How long the server may take to answer a login.
    public var loginWithin: Duration = .seconds(5)
    /// The waits before another attempt: doubled each time, and each up to a half longer.
    public var firstRetry: Duration = .milliseconds(100)
    public var longestRetry: Duration = .seconds(5)
    /// The wait after the server did not accept user and password: accounts are locked by trying again and again.
    public var refusedRetry: Duration = .seconds(30)
    /// Keeps clients that were refused together apart.
    public var seed: UInt64 = 0

    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }
}

/// What the shell of a client has to do, in order.
public enum SoupClientAction: Hashable, Sendable {
    /// Open a connection, and tell `opened` or `closed`.
    case connect
    case send([UInt8])
    /// The connection is over, or is to be closed; another attempt follows by itself.
    case close(SoupEnd)
    /// The server let us in, and will send what follows from there.
    case accepted(SoupPosition)
    /// A message of the session.
    case message(sequence: UInt64, ArraySlice<UInt8>)
    /// A sign of life; `next` is the number of the message that comes next.
    case heartbeat(next: UInt64)
    /// The session is over; `next` is one past its last number.
    case sessionEnded(next: UInt64)
}

/// Why a connection ended.
public enum SoupEnd: Hashable, Sendable, CustomStringConvertible {
    /// It could not be made, or the network or the peer ended it: the system's words.
    case closed(String)
    case rejected(SoupRejection)
    /// The server did not answer the login in time.
    case noAnswer
    /// The server has another session than the one that was to go on.
    case otherSession
    /// Nothing came for so long.
    case silent(Duration)
    case sessionEnded
    case malformed(MalformedInput)
    /// A packet that has no place here: its type, for people.
    case unexpected(String)

    public var description: String {
        switch self {
        case .closed(let why): why
        case .rejected(let why): "login rejected: \(why)"
        case .otherSession: "another session than before: from its start"
        case .noAnswer: "no answer to the login"
        case .silent(let limit): "no word for \(limit.nanoseconds / 1_000_000) ms"
        case .sessionEnded: "the session ended"
        case .malformed(let input): "no SoupBinTCP: \(input)"
        case .unexpected(let what): "\(what) has no place here"
        }
    }
}
