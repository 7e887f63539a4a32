// The ZAP handler of a context: libzmq asks it, over an `inproc` socket, for every client that wants to come in by
// an endpoint beyond this host. Without one libzmq would let everybody in, so that such an endpoint can only be
// bound with an `Authenticator` in hand.
import Basics
import Linux
public import Reactor
public import Wire

/// Lets in from beyond this host who is on the list of clients. A context has one, or none.
public final class Authenticator {
    private static let endpoint = "inproc://zeromq.zap.01"

    private let socket: Socket
    private var source: SocketSource?
    private let log: LimitedLog
    private var admission: Admission
    private var doors: [Service: Door] = [:]
    /// The keys and the list that are in force.
    public private(set) var credentials: Credentials
    /// Verdicts that libzmq did not take, and receives that failed: the handshake fails.
    public private(set) var failed: UInt64 = 0

    private struct Door {
        weak var server: (any Guarded)?
        /// The same one, where libzmq makes its handshakes.
        weak var judged: (any GuardedByLibzmq)?
    }

    /// Answers for a context from now on.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, _ credentials: Credentials, log: LimitedLog
    ) throws(BusError) {
        self.credentials = credentials
        self.log = log
        admission = Admission(allowed: credentials.allowed)
        do throws(MessagingError) {
            socket = try Socket(context, .router)
            // libzmq asks without a limit of its own, and would not ask again.
            try socket.set(.receiveHighWaterMark(0))
            try socket.set(.sendHighWaterMark(0))
            try socket.bind(Authenticator.endpoint)
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed &+= 1 }) {
                [unowned self] in heard($0)
            }
        } catch {
            throw .system(error)
        }
    }

    /// Requests that were none: an error of libzmq or of this program.
    public var malformed: UInt64 { admission.malformed }

    /// Takes over other keys and another list. Clients that are no longer on the list are hung up on, and where our
    /// own key is another one, endpoints are bound anew with it; nothing else loses its connection.
    public func renew(_ new: Credentials) {
        let old = credentials
        guard new != old else { return }
        credentials = new
        admission.allowed = new.allowed
        for door in doors.values { door.server?.renewed(from: old) }
        let key = new.keys == old.keys ? "" : "; our public key is now \(new.keys.publicKey)"
        log.event(.keysReloaded, key: "", "\(counted(new.allowed.count)) may connect\(key)")
    }

    private func counted(_ clients: Int) -> String { "\(clients) client\(clients == 1 ? "" : "s")" }

    // MARK: - For sockets that are bound beyond this host

    /// What a socket is bound with; see `Socket.bind`.
    func identity(for service: Service) -> ServerIdentity {
        ServerIdentity(authenticator: self, keys: credentials.keys, service: service)
    }

    /// Tells a socket that makes its own handshakes of other credentials.
    func guards(_ server: any Guarded, of service: Service) { add(Door(server: server), of: service) }

    /// Tells one of libzmq's who comes in by it, too.
    func guards(libzmq server: any GuardedByLibzmq, of service: Service) {
        add(Door(server: server, judged: server), of: service)
    }

    private func add(_ door: Door, of service: Service) {
        precondition(doors[service]?.server == nil, "two sockets for \(service.rawValue)")
        doors[service] = door
    }

    /// Whose key a handshake of our own has proved; `nil`: nobody's on the list.
    func judge(_ key: PublicKey) -> AllowedClient? { admission.judge(key) }

    private func heard(_ message: Socket.Message) {
        for action in admission.received(message.frames) {
            switch action {
            case .admitted(let service, let address): doors[service]?.judged?.admitted(from: address)
            case .refused(let service, let address, let key):
                doors[service]?.judged?.refused(key, from: address)
            case .reply(let frames): reply(frames)
            }
        }
    }

    private func reply(_ frames: [[UInt8]]) {
        do throws(MessagingError) {
            if try !socket.send(frames: frames) { failed &+= 1 }
        } catch {
            failed &+= 1
        }
    }
}

/// The CURVE server that a socket is on an endpoint. Only an `Authenticator` makes one.
struct ServerIdentity {
    let authenticator: Authenticator
    let keys: KeyPair
    let service: Service

    fileprivate init(authenticator: Authenticator, keys: KeyPair, service: Service) {
        self.authenticator = authenticator
        self.keys = keys
        self.service = service
    }
}
