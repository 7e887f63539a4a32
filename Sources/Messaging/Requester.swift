// A DEALER on the loop: asks a daemon's ROUTER. The caller keeps the time limit: a daemon that is not there
// simply never answers.
import Linux
public import Reactor

/// Sends requests to one endpoint and receives their replies in order.
public final class Requester {
    private let socket: Socket
    private var connection: Connection?
    private var source: SocketSource?
    /// Receives that failed.
    public private(set) var failed = 0

    /// - Parameters:
    ///   - security: as a CURVE client of an endpoint beyond this host.
    ///   - onConnection: called with what happens to the connection.
    ///   - onReply: called with the last frame of each reply.
    public convenience init(
        _ context: MessagingContext, _ loop: EventLoop, endpoint: String,
        security: EndpointSecurity = .plain,
        onConnection: @escaping (Connection.News) -> Void = { _ in },
        onReply: @escaping ([UInt8]) -> Void
    ) throws(BusError) {
        try self.init(
            context, loop, repliesOf: endpoint, security: security, onConnection: onConnection,
            onFrames: { if let reply = $0.last { onReply(reply) } })
    }

    /// - Parameter onFrames: called with all frames of each reply.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, repliesOf endpoint: String,
        security: EndpointSecurity = .plain,
        onConnection: @escaping (Connection.News) -> Void = { _ in },
        onFrames: @escaping ([[UInt8]]) -> Void
    ) throws(BusError) {
        do throws(MessagingError) {
            socket = try Socket(context, .dealer)
            try socket.set(.maximumMessageSize(64 << 20))
            try socket.set(.reconnectInterval(100))
            try socket.set(.connectTimeout(1000))
            try socket.set(.handshakeInterval(1000))
            try socket.set(.heartbeat(interval: 1000, timeout: 3000, timeToLive: 0))
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed += 1 }) { message in
                onFrames(message.frames)
            }
        } catch {
            throw .system(error)
        }
        connection = try Connection(context, loop, socket, to: endpoint, security, onNews: onConnection)
    }

    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    public var trouble: String? { connection?.trouble }

    /// Whether there is a connection now.
    public var isUp: Bool { connection?.isUp ?? false }

    /// Connects anew with other keys. What was asked and not answered yet may be lost.
    public func reconnect(_ security: EndpointSecurity) { connection?.reconnect(security) }

    /// Sends a request. `false`: too many wait for a peer that is not there.
    public func send(_ request: [UInt8]) throws(MessagingError) -> Bool { try socket.send(request) }
}
