// A SUB socket on the loop, for following a health bus. Reconnects by itself, and finds a
// connection that is half open.
import Linux
public import Reactor

/// Receives what it subscribed to.
public final class Subscriber {
    public let socket: Socket
    private var connection: Connection?
    private var source: SocketSource?
    /// Receives that failed.
    public private(set) var failed = 0

    /// Messages that may wait unread; what comes beyond is dropped by libzmq.
    private static let receiveHighWaterMark: Int32 = 100_000
    /// A peer that does not answer a ping for so many milliseconds is reconnected.
    private static let heartbeatTimeout: Int32 = 1000

    /// - Parameters:
    ///   - security: as a CURVE client of an endpoint beyond this host.
    ///   - onConnection: called with what happens to the connection.
    ///   - onMessage: called with the frames of each message.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, endpoint: String,
        security: EndpointSecurity = .plain,
        onConnection: @escaping (Connection.News) -> Void = { _ in },
        onMessage: @escaping ([[UInt8]]) -> Void
    ) throws(BusError) {
        do throws(MessagingError) {
            socket = try Socket(context, .sub)
            // Every subscription must reach the peer: libzmq would drop those beyond its default of 1,000.
            try socket.set(.sendHighWaterMark(0))
            try socket.set(.receiveHighWaterMark(Subscriber.receiveHighWaterMark))
            try socket.set(.maximumMessageSize(1 << 20))
            try socket.set(.reconnectInterval(100))
            try socket.set(.connectTimeout(1000))
            try socket.set(.handshakeInterval(1000))
            let timeout = Subscriber.heartbeatTimeout
            try socket.set(.heartbeat(interval: timeout / 3, timeout: timeout, timeToLive: 0))
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed += 1 }) {
                onMessage($0.frames)
            }
        } catch {
            throw .system(error)
        }
        connection = try Connection(context, loop, socket, to: endpoint, security, onNews: onConnection)
    }

    public var isConnected: Bool { connection?.isUp ?? false }
    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    public var trouble: String? { connection?.trouble }

    /// Connects anew with other keys; what was subscribed stays subscribed.
    public func reconnect(_ security: EndpointSecurity) { connection?.reconnect(security) }

    public func subscribe(_ prefix: String) throws(MessagingError) { try socket.subscribe(prefix.utf8) }

    public func unsubscribe(_ prefix: String) throws(MessagingError) { try socket.unsubscribe(prefix.utf8) }
}
