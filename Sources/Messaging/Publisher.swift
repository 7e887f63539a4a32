// The XPUB of the health bus: topic and JSON in two frames, every subscription seen, so that a late joiner
// gets the states that it asked for.
public import Linux
public import Reactor
import CZeroMQ
import Wire

/// Publishes to subscribers and hears their subscriptions.
public final class Publisher {
    private let server: ServerSocket
    private let hears: Subscriptions
    /// Publications that libzmq refused.
    public private(set) var failed = 0

    /// Binds to each endpoint; a stale Unix socket file is replaced.
    ///
    /// - Parameter onSubscription: called with the prefix of each subscription.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog,
        onSubscription: @escaping ([UInt8]) -> Void
    ) throws(BusError) {
        let hears = Subscriptions(onSubscription)
        self.hears = hears
        server = try ServerSocket(
            context, loop, .xpub, for: .publish, at: endpoints, log: log,
            configure: { socket throws(MessagingError) in try Publisher.configure(socket) },
            onDeparture: { hears.departed($0) }
        ) { message, _ in hears.heard(message) }
    }

    /// What every socket that the health bus is published by has in common.
    static func configure(_ socket: Socket) throws(MessagingError) {
        try socket.set(.xpubVerboser)
        try socket.set(.maximumMessageSize(4096))
        try socket.set(.sendHighWaterMark(100_000))
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { server.lastEndpoint }
    public var counters: AccessCounters { server.counters }
    /// For tests.
    var endpoints: [String] { server.endpoints }
    var connections: Int { server.connections }
    /// Messages from subscribers that are no subscriptions.
    public var malformed: Int { hears.malformed }

    /// Whether anybody may want samples: what nobody wants need not be written.
    public var isAskedForSamples: Bool { hears.isAskedForSamples }

    /// Publishes two frames. A subscriber that does not keep up loses messages, which the change numbers
    /// show to it.
    public func publish(topic: String, payload: [UInt8]) {
        do throws(MessagingError) {
            try server.socket.send(topic: topic, payload)
        } catch {
            failed += 1
        }
    }
}

/// Reads what subscribers send to an XPUB.
final class Subscriptions {
    private static let samples = Array("sample/".utf8)

    private let onSubscription: ([UInt8]) -> Void
    private(set) var malformed = 0
    /// How many prefixes that a sample may match a connection holds.
    private var ofSamples: [Int32: Int] = [:]

    init(_ onSubscription: @escaping ([UInt8]) -> Void) { self.onSubscription = onSubscription }

    func heard(_ message: Socket.Message) {
        guard message.frames.count == 1, let frame = message.frames.first, let first = frame.first, first <= 1
        else {
            malformed += 1
            return
        }
        let prefix = frame.dropFirst()
        if prefix.starts(with: Subscriptions.samples) || Subscriptions.samples.starts(with: prefix) {
            count(isSubscription: first == 1, of: message.connection)
        }
        if first == 1 { onSubscription(Array(prefix)) }
    }

    /// What libzmq takes back in the name of a connection that is gone is told without its number.
    private func count(isSubscription: Bool, of connection: Int32) {
        if isSubscription {
            ofSamples[connection, default: 0] += 1
        } else if let count = ofSamples[connection] {
            ofSamples[connection] = count > 1 ? count - 1 : nil
        }
    }

    func departed(_ connection: Int32) { ofSamples[connection] = nil }

    var isAskedForSamples: Bool { !ofSamples.isEmpty }
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
