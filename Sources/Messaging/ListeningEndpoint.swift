// One endpoint that is listened at, as libzmq would spell it.
import Basics
import Glibc
import Linux
import Reactor
import Wire
import ZMTP

@safe
final class ListeningEndpoint {
    let entrance: Entrance
    /// As libzmq would spell it, with the port that the kernel chose.
    let bound: String
    var source: IOSource?
    private let role: ServerRole
    private let identity: ServerIdentity?
    private let listener: StreamListener

    init(
        _ endpoint: String, _ role: ServerRole, _ entrance: Entrance, _ identity: ServerIdentity?
    ) throws(MessagingError) {
        self.role = role
        self.entrance = entrance
        self.identity = identity
        guard let place = ListeningPlace(endpoint) else {
            throw MessagingError("bind \(endpoint)", number: EINVAL)
        }
        do throws(SystemError) {
            listener = try place.listen()
        } catch {
            throw MessagingError("bind \(endpoint)", number: error.number)
        }
        bound = listener.endpoint.map { "tcp://\($0)" } ?? endpoint
    }

    var descriptor: Int32 { listener.descriptor.raw }

    func accept() throws(SystemError) -> ClientConnection? {
        guard let socket = try listener.accept() else { return nil }
        let security = identity.map {
            ServerSecurity.curve($0.keys, entropy: randomBytes(CurveServer.entropyCount))
        }
        return ClientConnection(socket, entrance, ServerSession(role, security ?? .plain))
    }
}

/// Where a socket can listen.
private enum ListeningPlace {
    case unix(path: String)
    case tcp(IPv4Endpoint)

    /// Reads `ipc:///path`, `ipc://@name`, `tcp://127.0.0.1:7000`, `tcp://*:7000`, `tcp://127.0.0.1:*`.
    init?(_ endpoint: String) {
        if endpoint.hasPrefix("ipc://") {
            self = .unix(path: String(endpoint.dropFirst("ipc://".count)))
            return
        }
        guard endpoint.hasPrefix("tcp://") else { return nil }
        let parts = endpoint.dropFirst("tcp://".count).split(separator: ":")
        guard parts.count == 2 else { return nil }
        let host = parts[0] == "*" ? "0.0.0.0" : String(parts[0])
        let port = parts[1] == "*" ? 0 : UInt16(parts[1])
        guard let address = IPv4Address(host), let port else { return nil }
        self = .tcp(IPv4Endpoint(address, port))
    }

    func listen() throws(SystemError) -> StreamListener {
        switch self {
        case .unix(let path):
            if isServed(unixSocket: path) { throw SystemError("bind", number: EADDRINUSE) }
            return try StreamListener(unix: path, backlog: 512)
        case .tcp(let endpoint): return try StreamListener(at: endpoint, backlog: 512)
        }
    }
}
