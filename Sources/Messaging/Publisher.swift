// The XPUB of the health bus: topic and JSON in two frames, every subscription seen, so that a late joiner
// gets the states that it asked for.
public import Linux
public import Reactor
import CZeroMQ
import Wire

/// Publishes to subscribers and hears their subscriptions.
public final class Publisher {
    private let socket: Socket
    private var source: SocketSource?
    private let onSubscription: ([UInt8]) -> Void
    /// Messages from subscribers that are no subscriptions.
    public private(set) var malformed = 0
    /// Publications that libzmq refused.
    public private(set) var failed = 0

    /// Binds to each endpoint; a stale Unix socket file is replaced.
    ///
    /// - Parameter onSubscription: called with the prefix of each subscription.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, endpoints: [String],
        onSubscription: @escaping ([UInt8]) -> Void
    ) throws(BusError) {
        self.onSubscription = onSubscription
        do throws(MessagingError) {
            socket = try Socket(context, .xpub)
            try socket.set(.xpubVerboser)
            try socket.set(.maximumMessageSize(4096))
            try socket.set(.sendHighWaterMark(100_000))
            for endpoint in endpoints { try socket.bind(endpoint) }
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in malformed += 1 }) {
                [unowned self] message in heard(message)
            }
        } catch {
            throw .system(error)
        }
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { socket.lastEndpoint }

    private func heard(_ message: Socket.Message) {
        guard message.frames.count == 1, let frame = message.frames.first, let first = frame.first, first <= 1
        else {
            malformed += 1
            return
        }
        if first == 1 { onSubscription(Array(frame.dropFirst())) }
    }

    /// Publishes two frames. A subscriber that does not keep up loses messages, which the change numbers
    /// show to it.
    public func publish(topic: String, payload: [UInt8]) {
        do throws(MessagingError) {
            try socket.send(frames: [Array(topic.utf8), payload])
        } catch {
            failed += 1
        }
    }
}

/// Why a part of the bus could not be opened.
public enum BusError: Error, Hashable, Sendable, CustomStringConvertible {
    case messaging(MessagingError)
    case system(SystemError)
    /// The endpoint needs CURVE, and the process has no keys.
    case noKeys(endpoint: String)

    public var description: String {
        switch self {
        case .messaging(let error): error.description
        case .system(let error): error.description
        case .noKeys(let endpoint): "\(endpoint) needs the keys of [curve], and there are none"
        }
    }
}
