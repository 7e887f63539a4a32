// What libzmq tells about a socket's connections: made, refused, gone. Events come over a socket of their
// own, so that they have no order with the messages.
import CZeroMQ
import Glibc
import Linux
public import Reactor
import ZMTP

/// Watches the connections of one socket.
public final class SocketMonitor {
    /// Something happened to a connection, which is named by its descriptor.
    public enum Event: Hashable, Sendable {
        case connected(Int32)
        case handshakeSucceeded
        case handshakeFailed(HandshakeFailure)
        case disconnected(Int32)
        case connectRetried
    }

    private let monitored: Socket
    private let socket: Socket
    private var source: SocketSource?
    private let onEvent: (Event) -> Void
    /// Events that were no events.
    public private(set) var malformed = 0

    /// - Parameter socket: is kept until the monitor goes.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, of socket: Socket, onEvent: @escaping (Event) -> Void
    ) throws(BusError) {
        monitored = socket
        self.onEvent = onEvent
        do throws(MessagingError) {
            let endpoint = context.nextMonitorEndpoint()
            try socket.startMonitor(endpoint, events: SocketMonitor.events)
            self.socket = try Socket(context, .pair)
            // A full queue would stop libzmq's I/O thread.
            try self.socket.set(.receiveHighWaterMark(0))
            try self.socket.connect(endpoint)
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, self.socket, onError: { [unowned self] _ in malformed += 1 }) {
                [unowned self] message in heard(message)
            }
        } catch {
            throw .system(error)
        }
    }

    deinit { monitored.stopMonitor() }

    private static let events =
        ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED
        | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH

    /// The first frame is a 16-bit event and a 32-bit value, both in the host's byte order.
    private func heard(_ message: Socket.Message) {
        guard let frame = message.frames.first, frame.count == 6 else {
            malformed += 1
            return
        }
        let kind = unsafe frame.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt16.self) }
        let value = unsafe frame.withUnsafeBytes {
            unsafe $0.loadUnaligned(fromByteOffset: 2, as: Int32.self)
        }
        switch Int32(kind) {
        case ZMQ_EVENT_CONNECTED: onEvent(.connected(value))
        case ZMQ_EVENT_DISCONNECTED: onEvent(.disconnected(value))
        case ZMQ_EVENT_CONNECT_RETRIED: onEvent(.connectRetried)
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: onEvent(.handshakeSucceeded)
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: onEvent(.handshakeFailed(.refused(status: value)))
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: onEvent(.handshakeFailed(.notUnderstood(code: value)))
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: onEvent(.handshakeFailed(.closed(errno: value)))
        default: malformed += 1
        }
    }
}

extension HandshakeFailure {
    /// Nothing came for too long.
    static let silent = HandshakeFailure.closed(errno: ETIMEDOUT)
    /// The other side does not use CURVE, or we do not.
    static let otherMechanism = ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
    /// What the other side sent cannot be opened with our keys.
    static let otherKey = ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC

    /// As libzmq would tell of what our own ZMTP found.
    init(_ error: ZMTPError) {
        switch error {
        case .mechanism, .role: self = .notUnderstood(code: HandshakeFailure.otherMechanism)
        case .refused(let reason): self = .refused(status: Int32(reason) ?? 500)
        case .box: self = .notUnderstood(code: HandshakeFailure.otherKey)
        case .replayed, .weakKey, .notZMTP, .version, .flags, .tooLong, .tooManyFrames, .command, .malformed,
            .socketType:
            self = .notUnderstood(code: 0)
        }
    }
}
