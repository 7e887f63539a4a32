// A ZeroMQ socket as a plain class: options by name, frames as bytes, "not now" as a value. One thread uses
// it, the loop's.
import CZeroMQ
import Glibc
public import Wire

/// A call of libzmq that failed.
public struct MessagingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call and what it was for: `bind tcp://127.0.0.1:7000`.
    public var call: String
    public var number: Int32

    init(_ call: String) {
        self.call = call
        number = zmq_errno()
    }

    init(_ call: String, number: Int32) {
        self.call = call
        self.number = number
    }

    public var description: String {
        let reason = "\(call): \(unsafe String(cString: zmq_strerror(number)))"
        guard call.hasPrefix("bind "), let advice = bindAdvice(String(call.dropFirst(5)), number) else {
            return reason
        }
        return "\(reason); \(advice)"
    }
}

/// The process's ZeroMQ context: its I/O thread and its sockets. Keep it until the last socket is gone.
@safe
public final class MessagingContext {
    let context: UnsafeMutableRawPointer

    public init() {
        guard let created = unsafe zmq_ctx_new() else { preconditionFailure("zmq_ctx_new: out of memory") }
        unsafe context = created
        unsafe zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 4096)
    }

    deinit { unsafe zmq_ctx_term(context) }

    private var monitors = 0

    /// An `inproc` endpoint that no monitor of this context has had: libzmq gives a closed socket's endpoint
    /// free only later.
    func nextMonitorEndpoint() -> String {
        monitors += 1
        return "inproc://monitor-\(monitors)"
    }
}

/// The socket types that Holdfast uses.
public enum SocketType: Sendable {
    case xpub, sub, dealer
    /// For the events of a `SocketMonitor`.
    case pair

    var code: Int32 {
        switch self {
        case .xpub: ZMQ_XPUB
        case .sub: ZMQ_SUB
        case .dealer: ZMQ_DEALER
        case .pair: ZMQ_PAIR
        }
    }
}

/// The options that Holdfast sets. Durations are in milliseconds, as in libzmq.
public enum SocketOption: Sendable {
    case linger(Int32)
    case sendHighWaterMark(Int32)
    case receiveHighWaterMark(Int32)
    case reconnectInterval(Int32)
    case longestReconnectInterval(Int32)
    case connectTimeout(Int32)
    case handshakeInterval(Int32)
    /// Interval, time to answer, and how long the peer may wait for one.
    case heartbeat(interval: Int32, timeout: Int32, timeToLive: Int32)
    case maximumMessageSize(Int64)
    case xpubVerboser
    case immediate
}

/// How what goes over a connection that we make is protected (ZeroMQ RFCs 23 to 26).
public enum EndpointSecurity: Hashable, Sendable {
    /// In the clear: endpoints of this host, and what is opted in by name.
    case plain
    /// We are a CURVE client of the server with this key.
    case client(KeyPair, of: PublicKey)
}

@safe
public final class Socket {
    let socket: UnsafeMutableRawPointer
    private let context: MessagingContext
    private let incoming: UnsafeMutablePointer<zmq_msg_t>
    /// Something was called since the last look at `isReadable` that makes libzmq read its commands: the
    /// descriptor then has no new edge for what they brought.
    var mayHaveNews = true
    private var isSecured = false

    /// Opens a socket that does not wait at its end (`ZMQ_LINGER` = 0).
    public init(_ context: MessagingContext, _ type: SocketType) throws(MessagingError) {
        self.context = context
        guard let opened = unsafe zmq_socket(context.context, type.code) else {
            throw MessagingError("zmq_socket")
        }
        unsafe socket = opened
        unsafe incoming = .allocate(capacity: 1)
        unsafe zmq_msg_init(incoming)
        try set(.linger(0))
    }

    deinit {
        unsafe zmq_msg_close(incoming)
        unsafe incoming.deallocate()
        unsafe zmq_close(socket)
    }

    /// Binds in the clear. Fails for an ipc endpoint that another process serves: libzmq would take it over without
    /// a word.
    public func bind(_ endpoint: String) throws(MessagingError) {
        if endpoint.hasPrefix("ipc://"), isServed(unixSocket: String(endpoint.dropFirst("ipc://".count))) {
            throw MessagingError("bind \(endpoint)", number: EADDRINUSE)
        }
        if unsafe zmq_bind(socket, endpoint) != 0 { throw MessagingError("bind \(endpoint)") }
    }

    public func connect(_ endpoint: String, _ security: EndpointSecurity = .plain) throws(MessagingError) {
        try secure(security)
        mayHaveNews = true
        if unsafe zmq_connect(socket, endpoint) != 0 { throw MessagingError("connect \(endpoint)") }
    }

    /// Ends the connection to an endpoint; ENOENT: there is none.
    public func disconnect(_ endpoint: String) throws(MessagingError) {
        mayHaveNews = true
        if unsafe zmq_disconnect(socket, endpoint) != 0 { throw MessagingError("disconnect \(endpoint)") }
    }

    /// libzmq copies the options to an endpoint when it is bound or connected.
    private func secure(_ security: EndpointSecurity) throws(MessagingError) {
        // Sets the mechanism back to NULL.
        if isSecured { try set(ZMQ_CURVE_SERVER, Int32(0), "ZMQ_CURVE_SERVER") }
        guard case .client(let keys, let server) = security else { return }
        try set(ZMQ_CURVE_PUBLICKEY, keys.publicKey.bytes, "ZMQ_CURVE_PUBLICKEY")
        try set(ZMQ_CURVE_SECRETKEY, keys.secretKey.bytes, "ZMQ_CURVE_SECRETKEY")
        try set(ZMQ_CURVE_SERVERKEY, server.bytes, "ZMQ_CURVE_SERVERKEY")
        isSecured = true
    }

    /// The endpoint last bound, with the port that the kernel chose for `tcp://127.0.0.1:*`.
    public var lastEndpoint: String {
        var buffer = [UInt8](repeating: 0, count: 1024)
        var size = buffer.count
        guard unsafe zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &buffer, &size) == 0 else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Has libzmq tell about connections on an `inproc` endpoint; see `SocketMonitor`.
    func startMonitor(_ endpoint: String, events: Int32) throws(MessagingError) {
        let result = unsafe zmq_socket_monitor(socket, endpoint, events)
        if result != 0 { throw MessagingError("zmq_socket_monitor") }
    }

    func stopMonitor() { unsafe zmq_socket_monitor(socket, nil, 0) }

    // MARK: Options

    public func set(_ option: SocketOption) throws(MessagingError) {
        switch option {
        case .linger(let value): try set(ZMQ_LINGER, value, "ZMQ_LINGER")
        case .sendHighWaterMark(let value): try set(ZMQ_SNDHWM, value, "ZMQ_SNDHWM")
        case .receiveHighWaterMark(let value): try set(ZMQ_RCVHWM, value, "ZMQ_RCVHWM")
        case .reconnectInterval(let value): try set(ZMQ_RECONNECT_IVL, value, "ZMQ_RECONNECT_IVL")
        case .longestReconnectInterval(let value):
            try set(ZMQ_RECONNECT_IVL_MAX, value, "ZMQ_RECONNECT_IVL_MAX")
        case .connectTimeout(let value): try set(ZMQ_CONNECT_TIMEOUT, value, "ZMQ_CONNECT_TIMEOUT")
        case .handshakeInterval(let value): try set(ZMQ_HANDSHAKE_IVL, value, "ZMQ_HANDSHAKE_IVL")
        case .heartbeat(let interval, let timeout, let timeToLive):
            try set(ZMQ_HEARTBEAT_IVL, interval, "ZMQ_HEARTBEAT_IVL")
            try set(ZMQ_HEARTBEAT_TIMEOUT, timeout, "ZMQ_HEARTBEAT_TIMEOUT")
            try set(ZMQ_HEARTBEAT_TTL, timeToLive, "ZMQ_HEARTBEAT_TTL")
        case .maximumMessageSize(let value): try set(ZMQ_MAXMSGSIZE, value, "ZMQ_MAXMSGSIZE")
        case .xpubVerboser: try set(ZMQ_XPUB_VERBOSER, Int32(1), "ZMQ_XPUB_VERBOSER")
        case .immediate: try set(ZMQ_IMMEDIATE, Int32(1), "ZMQ_IMMEDIATE")
        }
    }

    /// SUB: asks for a prefix.
    public func subscribe(_ prefix: some Collection<UInt8>) throws(MessagingError) {
        try set(ZMQ_SUBSCRIBE, Array(prefix), "ZMQ_SUBSCRIBE")
    }

    public func unsubscribe(_ prefix: some Collection<UInt8>) throws(MessagingError) {
        try set(ZMQ_UNSUBSCRIBE, Array(prefix), "ZMQ_UNSUBSCRIBE")
    }

    private func set(_ option: Int32, _ value: Int32, _ name: String) throws(MessagingError) {
        var value = value
        if unsafe zmq_setsockopt(socket, option, &value, 4) != 0 { throw MessagingError(name) }
    }

    private func set(_ option: Int32, _ value: Int64, _ name: String) throws(MessagingError) {
        var value = value
        if unsafe zmq_setsockopt(socket, option, &value, 8) != 0 { throw MessagingError(name) }
    }

    private func set(_ option: Int32, _ bytes: [UInt8], _ name: String) throws(MessagingError) {
        mayHaveNews = true
        let result = unsafe bytes.withUnsafeBytes {
            unsafe zmq_setsockopt(socket, option, $0.baseAddress, $0.count)
        }
        if result != 0 { throw MessagingError(name) }
    }

    private func integer(_ option: Int32) -> Int32 {
        var value: Int32 = 0
        var size = 4
        let result = unsafe zmq_getsockopt(socket, option, &value, &size)
        precondition(result == 0, "zmq_getsockopt \(option) failed")
        return value
    }

    /// The descriptor that wakes the loop; edge-triggered, see `SocketSource`.
    var descriptor: Int32 { integer(ZMQ_FD) }

    /// Whether a message can be received now.
    var isReadable: Bool { integer(ZMQ_EVENTS) & Int32(ZMQ_POLLIN) != 0 }

    // MARK: Frames

    /// Sends one frame without waiting. `false`: the high-water mark is reached (a DEALER without a peer);
    /// a XPUB drops for the slow peer and answers `true`.
    @discardableResult
    public func send(_ frame: [UInt8], more: Bool = false) throws(MessagingError) -> Bool {
        let sent = unsafe frame.withUnsafeBytes { unsafe sendBytes($0, more: more) }
        return sent ? true : try notSent()
    }

    /// Sends a topic and what it is about.
    @discardableResult
    func send(topic: String, _ payload: [UInt8]) throws(MessagingError) -> Bool {
        var topic = topic
        let sent = topic.withUTF8 { unsafe sendBytes(UnsafeRawBufferPointer($0), more: true) }
        guard sent else { return try notSent() }
        return try send(payload)
    }

    private func sendBytes(_ bytes: UnsafeRawBufferPointer, more: Bool) -> Bool {
        mayHaveNews = true
        let flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)
        return unsafe zmq_send(socket, bytes.baseAddress, bytes.count, flags) >= 0
    }

    /// "Not now" as a value, all else as an error.
    private func notSent() throws(MessagingError) -> Bool {
        switch zmq_errno() {
        case EAGAIN, EHOSTUNREACH: return false
        default: throw MessagingError("zmq_send")
        }
    }

    /// Sends all frames of one message, or none of them.
    @discardableResult
    public func send(frames: [[UInt8]]) throws(MessagingError) -> Bool {
        for (index, frame) in frames.enumerated() {
            guard try send(frame, more: index + 1 < frames.count) else { return false }
        }
        return true
    }

    /// One received message.
    public struct Message {
        public var frames: [[UInt8]]
    }

    /// The frames that one message may have; more are read and dropped.
    public static let mostFrames = 16

    /// The next message; `nil`: nothing now.
    public func receive() throws(MessagingError) -> Message? {
        var message = Message(frames: [])
        while try takeNext() {
            if message.frames.count < Socket.mostFrames {
                message.frames.append(unsafe Array(incomingBytes))
            }
            if unsafe zmq_msg_more(incoming) == 0 { return message }
        }
        return nil
    }

    /// Has the next frame in `incoming`. `false`: nothing now, and the descriptor tells when there is something.
    private func takeNext() throws(MessagingError) -> Bool {
        while unsafe zmq_msg_recv(incoming, socket, ZMQ_DONTWAIT) < 0 {
            switch zmq_errno() {
            case EAGAIN:
                // All commands are read by now: the next one makes an edge.
                mayHaveNews = false
                return false
            case EINTR: continue
            default:
                mayHaveNews = true
                throw MessagingError("zmq_msg_recv")
            }
        }
        mayHaveNews = true
        return true
    }

    /// Valid until the next call.
    private var incomingBytes: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: zmq_msg_data(incoming), count: zmq_msg_size(incoming))
    }
}
