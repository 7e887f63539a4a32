// Who may connect by an endpoint beyond this host: our sockets ask it about each key that a CURVE handshake has proved. Such
// an endpoint can only be bound with an `Authenticator` in hand.
import Basics
import Linux
public import Wire

/// What a socket that clients connect to is for. A process has one of each.
public enum Service: String, Hashable, Sendable {
    /// The health bus.
    case publish
    case request
    case marketData = "market-data"

    /// The status code (ZeroMQ RFC 27) with which a client is refused that is not on the list.
    var refusal: String? {
        switch self {
        // It hears nothing until the time for its handshake is over: its library then comes back by itself, so that a
        // subscriber is let in soon after it is authorized.
        case .publish, .marketData: nil
        // Not you: the client is told at once, and its libzmq gives up. Who asks waits for the answer.
        case .request: "400"
        }
    }
}

/// Lets in from beyond this host who is on the list of clients. A process has one, or none.
public final class Authenticator {
    private let log: LimitedLog
    private var doors: [Service: Door] = [:]
    /// The keys and the list that are in force.
    public private(set) var credentials: Credentials

    private struct Door {
        weak var server: (any Guarded)?
    }

    public init(_ credentials: Credentials, log: LimitedLog) {
        self.credentials = credentials
        self.log = log
    }

    /// Takes over other keys and another list. Clients that are no longer on the list are hung up on, and where our
    /// own key is another one, endpoints are bound anew with it; nothing else loses its connection.
    public func renew(_ new: Credentials) {
        let old = credentials
        guard new != old else { return }
        credentials = new
        for door in doors.values { door.server?.renewed(from: old) }
        let key = new.keys == old.keys ? "" : "; our public key is now \(new.keys.publicKey)"
        log.event(.keysReloaded, key: "", "\(counted(new.allowed.count)) may connect\(key)")
    }

    private func counted(_ clients: Int) -> String { "\(clients) client\(clients == 1 ? "" : "s")" }

    // MARK: - For sockets that are bound beyond this host

    /// What a socket is bound with.
    var identity: ServerIdentity { ServerIdentity(keys: credentials.keys) }

    /// Tells a socket of other credentials.
    func guards(_ server: any Guarded, of service: Service) {
        precondition(doors[service]?.server == nil, "two sockets for \(service.rawValue)")
        doors[service] = Door(server: server)
    }

    /// Whose key a handshake has proved; `nil`: nobody's on the list.
    func judge(_ key: PublicKey) -> AllowedClient? { credentials.allowed[key] }
}

/// The CURVE server that a socket is on an endpoint. Only an `Authenticator` makes one.
struct ServerIdentity {
    let keys: KeyPair

    fileprivate init(keys: KeyPair) { self.keys = keys }
}
