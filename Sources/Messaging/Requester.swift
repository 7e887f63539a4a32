// A DEALER on the loop: asks a daemon's ROUTER. The caller keeps the time limit: a daemon that is not there
// simply never answers.
import Linux
public import Reactor

/// Sends requests to one endpoint and receives their replies in order.
public final class Requester {
    private let socket: Socket
    private var source: SocketSource?
    /// Receives that failed.
    public private(set) var failed = 0

    /// - Parameters:
    ///   - security: as a CURVE client of an endpoint beyond this host.
    ///   - onReply: called with the last frame of each reply.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, endpoint: String,
        security: EndpointSecurity = .plain, onReply: @escaping ([UInt8]) -> Void
    ) throws(BusError) {
        do throws(MessagingError) {
            socket = try Socket(context, .dealer)
            try socket.set(.maximumMessageSize(64 << 20))
            try socket.set(.reconnectInterval(100))
            try socket.set(.connectTimeout(1000))
            try socket.connect(endpoint, security)
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed += 1 }) { message in
                if let reply = message.frames.last { onReply(reply) }
            }
        } catch {
            throw .system(error)
        }
    }

    /// Sends a request. `false`: too many wait for a peer that is not there.
    public func send(_ request: [UInt8]) throws(MessagingError) -> Bool { try socket.send(request) }
}
