// A ROUTER that clients connect to, by endpoints of this host and beyond it. What is beyond is
// CURVE, but for what is opted in by name. It knows its connections, hangs up on whom it must, and writes to the
// log who was refused.
import Basics
import Linux
public import Reactor
public import Wire

/// Where a server socket is bound, and for what.
public struct ServerEndpoints {
    /// Endpoints of this host in the clear; those beyond it with CURVE.
    public var endpoints: [String]
    /// Endpoints beyond this host, in the clear.
    public var plaintext: [String] = []
    /// Needed by endpoints beyond this host.
    public var authenticator: Authenticator?
    /// What counts as this host; another judgement is for tests.
    var isLocal: (String) -> Bool = Endpoint.isLocal
    var limits: ConnectionBook.Limits

    public init(_ endpoints: [String], plaintext: [String] = [], authenticator: Authenticator? = nil) {
        self.endpoints = endpoints
        self.plaintext = plaintext
        self.authenticator = authenticator
        limits = ConnectionBook.Limits(descriptors: DescriptorLimit.now)
    }
}

/// Counters of a server socket, or of several.
public struct AccessCounters: Hashable, Sendable {
    /// Connections that are through the handshake now.
    public var clients = 0
    /// Connections that were refused.
    public var refused: UInt64 = 0
    /// Connections that ended because their client was taken off the list.
    public var removed: UInt64 = 0

    public init() {}

    public static func + (left: AccessCounters, right: AccessCounters) -> AccessCounters {
        var sum = left
        sum.clients += right.clients
        sum.refused &+= right.refused
        sum.removed &+= right.removed
        return sum
    }
}

/// Somebody who is connected.
public struct Peer: Hashable, Sendable {
    public var connection: Int32
    /// Its name on the list; `nil`: it came in the clear.
    public var client: String?
    /// Its IPv4 address; `nil`: it is of this host, or not known.
    public var address: String?

    public init(connection: Int32, client: String? = nil, address: String? = nil) {
        self.connection = connection
        self.client = client
        self.address = address
    }
}

/// A bound socket and its connections.
public final class ServerSocket {
    public let socket: Socket
    private let loop: EventLoop
    private let log: LimitedLog
    private let door: Doorkeeper
    private let onMessage: (Socket.Message, Caller) -> Void
    private var source: SocketSource?
    private var monitor: SocketMonitor?
    private var rebinding: Rebinding?
    /// How each endpoint is entered, by the address that libzmq gives to it.
    private var entrances: [String: Entrance] = [:]
    private var events: [SocketMonitor.Event] = []
    private var isSettling = false
    /// What is done for the messages of this turn.
    var budget: TurnBudget {
        get { source?.budget ?? TurnBudget() }
        set { source?.budget = newValue }
    }
    /// Messages that could not be received.
    public private(set) var failed: UInt64 = 0

    /// Binds to each endpoint.
    ///
    /// - Parameters:
    ///   - configure: sets further options before the socket is bound.
    ///   - onDeparture: called when a connection is gone, before its descriptor can be another one's.
    ///   - onMessage: called with each message that no stranger sent, and with who did.
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, _ type: SocketType, for service: Service,
        at endpoints: ServerEndpoints, log: LimitedLog,
        configure: (Socket) throws(MessagingError) -> Void, onDeparture: @escaping (Int32) -> Void = { _ in },
        onMessage: @escaping (Socket.Message, Caller) -> Void
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        self.onMessage = onMessage
        door = Doorkeeper(loop, of: service, at: endpoints, log: log)
        door.onDeparture = onDeparture
        do throws(MessagingError) {
            socket = try Socket(context, type)
            try ServerSocket.setLimits(of: socket, endpoints.limits)
            try configure(socket)
        } catch {
            throw .messaging(error)
        }
        monitor = try SocketMonitor(context, loop, of: socket) { [unowned self] in told($0) }
        try bind(endpoints)
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed &+= 1 }) {
                [unowned self] in heard($0)
            }
            rebinding = try Rebinding(loop, log: log, prepare: { [unowned self] in forgetGuarded() }) {
                [unowned self] endpoint throws(BusError) in try bind(endpoint, .guarded)
            }
        } catch {
            throw .system(error)
        }
        door.hangUp = { [unowned self] in hangUp(on: $0, $1) }
        door.authenticator?.guards(libzmq: self, of: service)
    }

    private static func setLimits(of socket: Socket, _ limits: ConnectionBook.Limits) throws(MessagingError) {
        try socket.set(.handshakeInterval(Int32(clamping: limits.handshake.microseconds / 1000)))
        try socket.set(.backlog(512))
        // A host that went without a word: asked after 10 s of silence, given up after 30 s.
        try socket.set(.keepalive(idle: 10, interval: 5, count: 4))
        try socket.set(.longestUnacknowledged(30_000))
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { socket.lastEndpoint }

    /// All endpoints, as they were bound.
    var endpoints: [String] { entrances.keys.sorted() }
    /// How many connections there are, those in their handshake among them.
    var connections: Int { door.book.count }
    public var counters: AccessCounters { door.counters }
}

// MARK: - Binding

extension ServerSocket {
    private func bind(_ endpoints: ServerEndpoints) throws(BusError) {
        let isLocal = endpoints.isLocal
        for endpoint in endpoints.endpoints where isLocal(endpoint) { try bind(endpoint, .local) }
        for endpoint in endpoints.plaintext { try bind(endpoint, .plaintext) }
        for endpoint in endpoints.endpoints where !isLocal(endpoint) { try bind(endpoint, .guarded) }
    }

    private func bind(_ endpoint: String, _ entrance: Entrance) throws(BusError) {
        let identity = entrance == .guarded ? try door.identity(of: endpoint) : nil
        do throws(MessagingError) {
            if let identity {
                try socket.bind(endpoint, as: identity)
            } else {
                try socket.bind(endpoint)
            }
        } catch {
            throw .messaging(error)
        }
        entrances[socket.lastEndpoint] = entrance
    }

    /// The entrance of a connection, by its own end of it: `tcp://10.0.0.1:5555`, also of an endpoint that is
    /// bound to all addresses.
    private func entrance(at address: String) -> Entrance {
        if let entrance = entrances[address] { return entrance }
        let port = address.split(separator: ":").last ?? ""
        return entrances["tcp://0.0.0.0:\(port)"] ?? .guarded
    }

    /// The descriptor is libzmq's, who may have given it to something else by now.
    private func hangUp(on descriptor: Int32, _ peer: IPv4Endpoint?) {
        if let peer {
            _ = PeerAddress.hangUp(on: descriptor, of: peer)
            return
        }
        for endpoint in entrances.keys where endpoint.hasPrefix("ipc://") {
            if PeerAddress.hangUp(on: descriptor, by: String(endpoint.dropFirst("ipc://".count))) { return }
        }
    }

    /// Our key is another one: the endpoints that it is for are closed, with the connections by them, and bound
    /// anew.
    private func changeKey() {
        var closed: [String] = []
        for (endpoint, entrance) in entrances where entrance == .guarded {
            guard rebinding?.contains(endpoint) != true else { continue }
            do throws(MessagingError) {
                try socket.unbind(endpoint)
                closed.append(endpoint)
            } catch {
                log.event(.keysReloaded, key: "", "\(endpoint) keeps the key that it had: \(error)")
            }
        }
        rebinding?.begin(closed)
    }

    /// libzmq closes their connections without a word.
    private func forgetGuarded() {
        monitor?.drain()
        door.closedGuarded()
    }
}

// MARK: - What libzmq tells

extension ServerSocket {
    /// Takes all that has come by now before it acts: a connection that is told to be gone already has a
    /// descriptor that may be another one's.
    private func told(_ event: SocketMonitor.Event) {
        events.append(event)
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        repeat {
            monitor?.drain()
            let batch = events
            events = []
            let vanished = ServerSocket.vanished(in: batch)
            for (index, event) in batch.enumerated() {
                take(event, isGone: vanished.contains(index))
            }
        } while !events.isEmpty
    }

    /// Which of the events are of connections whose end is among the events, too.
    private static func vanished(in events: [SocketMonitor.Event]) -> Set<Int> {
        var ended: Set<Int32> = []
        var vanished: Set<Int> = []
        for (index, event) in events.enumerated().reversed() {
            switch event {
            case .disconnected(let descriptor): ended.insert(descriptor)
            case .accepted(let descriptor, _): if ended.remove(descriptor) != nil { vanished.insert(index) }
            case .connected, .connectRetried, .handshakeFailed, .handshakeSucceeded: break
            }
        }
        return vanished
    }

    private func take(_ event: SocketMonitor.Event, isGone: Bool) {
        switch event {
        case .accepted(let descriptor, let address):
            let peer = isGone ? nil : PeerAddress.of(descriptor)
            door.accepted(descriptor, by: entrance(at: address), from: peer)
        case .disconnected(let descriptor): door.disconnected(descriptor)
        case .handshakeFailed(let failure): door.failed(failure)
        case .handshakeSucceeded: door.succeeded()
        case .connected, .connectRetried: break
        }
    }

    private func heard(_ message: Socket.Message) {
        monitor?.drain()
        let caller = door.heard(message.connection, userID: message.userID)
        if caller != .stranger { onMessage(message, caller) }
    }
}

// MARK: - What the authenticator tells

extension ServerSocket: GuardedByLibzmq {
    func admitted(from address: IPv4Address?) {
        monitor?.drain()
        door.admitted(from: address)
    }

    func refused(_ key: PublicKey, from address: IPv4Address?) {
        monitor?.drain()
        door.refused(key, from: address)
    }

    func renewed(from old: Credentials) {
        monitor?.drain()
        if door.renewed(from: old) { changeKey() }
    }
}

extension ConnectionRefusal: CustomStringConvertible {
    /// For a person: "it has another server key than ours".
    var description: String {
        switch self {
        case .unknownKey(let key):
            "its key is not on the list; to let it in: holdfast authorize NAME '\(key)'"
        case .otherServerKey: "it has another server key than ours"
        case .noCURVE: "no CURVE"
        case .notZeroMQ: "it does not speak ZeroMQ's CURVE"
        case .left: "it left in the handshake, as one without CURVE does"
        case .tooSlow(let limit): "no handshake within \(limit)"
        case .crowdedOut(let count): "\(count) others came while its handshake lasted"
        case .full(let count): "there are \(count) connections already"
        case .hostIsFull(let count): "there are \(count) connections of this host already"
        }
    }

    /// Whom it was about, where no address is known.
    var whoIsNameless: String {
        switch self {
        case .hostIsFull: "a client of this host"
        case .unknownKey, .otherServerKey, .noCURVE, .notZeroMQ, .left, .tooSlow, .crowdedOut, .full:
            "an address that was gone"
        }
    }
}
