// A connection out of a socket. libzmq makes it again after every loss, with two exceptions that are mended here:
// after a refusal of our key, or of our way of speaking, it gives up for good; and when the peer closes in the
// handshake, as one does whose key is not the one that we know, it comes back several times a second for ever.
internal import Basics
import Linux
public import Reactor
public import Wire

/// One endpoint that a socket is connected to, and what is known of it.
public final class Connection {
    /// What happened to it.
    public enum News: Hashable, Sendable {
        case connected
        case disconnected
        /// The peer is there and will not have us; it is tried again later.
        case failed(HandshakeFailure)
    }

    public let endpoint: String
    private let socket: Socket
    private let loop: EventLoop
    private let onNews: (News) -> Void
    private var security: EndpointSecurity
    private var monitor: SocketMonitor?
    private var timer: Timer?
    private var trials = HandshakeTrials()
    /// The descriptor that libzmq uses now, and the one of the connection that is up.
    private var attempt: Int32?
    private var established: Int32?
    private var isWaiting = false

    /// Connects the socket, which can have no other monitor. What happens is told from the loop.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, _ socket: Socket, to endpoint: String,
        _ security: EndpointSecurity = .plain, onNews: @escaping (News) -> Void
    ) throws(BusError) {
        self.endpoint = endpoint
        self.socket = socket
        self.loop = loop
        self.security = security
        self.onNews = onNews
        monitor = try SocketMonitor(context, loop, of: socket) { [unowned self] in heard($0) }
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(100)) { [unowned self] in again() }
        } catch {
            throw .system(error)
        }
        do throws(MessagingError) {
            try socket.connect(endpoint, security)
        } catch {
            throw .messaging(error)
        }
    }

    public var isUp: Bool { established != nil }

    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    public var trouble: String? { trials.trouble(at: endpoint, isSecured: security != .plain) }

    /// Connects anew, at once, with other keys.
    public func reconnect(_ security: EndpointSecurity) {
        self.security = security
        trials.reset()
        hangUp()
        if established != nil {
            established = nil
            onNews(.disconnected)
        }
        again()
    }

    // MARK: - What libzmq tells

    private func heard(_ event: SocketMonitor.Event) {
        switch event {
        case .connected(let descriptor): attempt = descriptor
        case .handshakeSucceeded:
            established = attempt
            trials.reset()
            onNews(.connected)
        case .disconnected(let descriptor):
            guard descriptor == established else { return }
            established = nil
            onNews(.disconnected)
        case .handshakeFailed(let failure): failed(failure)
        case .connectRetried:
            // Nobody is there now, whoever it was before.
            if !isWaiting { trials.nobodyThere() }
        }
    }

    private func failed(_ failure: HandshakeFailure) {
        guard !isWaiting else { return }
        guard let wait = trials.failed(failure, random: .random(in: 0...UInt64.max)) else { return }
        hangUp()
        isWaiting = true
        timer?.arm(at: loop.now + wait)
        onNews(.failed(failure))
    }

    // MARK: - Trying again

    private func hangUp() {
        isWaiting = false
        timer?.disarm()
        // Of a connection that libzmq gave up there may be nothing left.
        _ = try? socket.disconnect(endpoint)
    }

    private func again() {
        isWaiting = false
        do throws(MessagingError) {
            try socket.connect(endpoint, security)
        } catch {
            isWaiting = true
            timer?.arm(at: loop.now + HandshakeTrials.longestPause)
        }
    }
}

/// Why a handshake came to nothing.
public enum HandshakeFailure: Hashable, Sendable {
    /// The peer's ZAP handler refused us (RFC 27): 400 the key, 300 and 500 trouble of its own.
    case refused(status: Int32)
    /// One of both does not speak the other's protocol, or does not mean the same keys (`ZMQ_PROTOCOL_ERROR_…`).
    case notUnderstood(code: Int32)
    /// The peer closed, or said nothing for too long.
    case closed(errno: Int32)

    /// Whether it can have happened to a peer that would have us.
    var isAccident: Bool {
        switch self {
        case .closed: true
        case .refused, .notUnderstood: false
        }
    }

    /// What the peer does, for a person: "refuses our key".
    func explained(isSecured: Bool) -> String {
        switch self {
        case .refused(400): "refuses our key"
        case .refused(let status): "could not judge our key (\(status))"
        case .notUnderstood: isSecured ? "does not speak CURVE" : "wants CURVE keys"
        case .closed:
            isSecured
                ? "ends the handshake: is server_key its key, and ours on its list?" : "ends the handshake"
        }
    }
}

extension EndpointSecurity {
    /// How to connect to an endpoint: as a CURVE client where the configuration gives its key.
    public static func connecting(
        to endpoint: String, _ serverKey: PublicKey?, with keys: KeyPair?
    ) throws(BusError) -> EndpointSecurity {
        guard let serverKey else { return .plain }
        guard let keys else { throw .noKeys(endpoint: endpoint) }
        return .client(keys, of: serverKey)
    }
}
