// A collector that a daemon reports to: an XPUB of its own that connects out to the collector's bound SUB, so that
// a console for many hosts needs one open port and one key. It subscribes like any subscriber, over our connection.
internal import Basics
import Linux
import Logging
import Reactor
public import Wire

/// One collector, for as long as it is reported to.
public final class Collector {
    /// Where it is, and who it must prove to be.
    public struct Address: Hashable, Sendable {
        public var endpoint: String
        /// `nil`: a collector of this host, in the clear.
        public var serverKey: PublicKey?

        public init(endpoint: String, serverKey: PublicKey?) {
            self.endpoint = endpoint
            self.serverKey = serverKey
        }
    }

    /// A collector that is not there after this long is told of in the log; it is looked for without end.
    static let patience: Duration = .seconds(5)
    /// Messages that may wait for it before it loses some.
    static let sendHighWaterMark: Int32 = 20_000

    public let address: Address
    /// What it is called as a subscriber: below zero, unlike any connection that came to us.
    let number: Int32
    private let socket: Socket
    private let log: LimitedLog
    private var source: SocketSource?
    private var connection: Connection?
    private var patience: Timer?
    private var toldTrouble: String?
    /// Messages that were no subscriptions, and receives that failed.
    public private(set) var malformed = 0
    /// Publications that libzmq did not take.
    public private(set) var failed = 0

    /// What it says; it speaks to nobody else, so that libzmq keeps what it holds.
    enum Request: Hashable {
        case subscribe([UInt8])
        case cancel([UInt8])
    }

    init(
        _ context: MessagingContext, _ loop: EventLoop, _ address: Address, number: Int32, keys: KeyPair?,
        log: LimitedLog, onRequest: @escaping (Request) -> Void
    ) throws(BusError) {
        self.address = address
        self.number = number
        self.log = log
        do throws(MessagingError) {
            socket = try Socket(context, .xpub)
            try Collector.configure(socket)
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in malformed += 1 }) {
                [unowned self] in
                if let request = Request($0.frames) { onRequest(request) } else { malformed += 1 }
            }
            patience = try Timer(loop, accuracy: .milliseconds(250)) { [unowned self] in
                if connection?.isUp != true { tellLost("\(address.endpoint) does not answer") }
            }
        } catch {
            throw .system(error)
        }
        let security = try EndpointSecurity.connecting(to: address.endpoint, address.serverKey, with: keys)
        connection = try Connection(context, loop, socket, to: address.endpoint, security) {
            [unowned self] in heard($0)
        }
        patience?.arm(at: loop.now + Collector.patience)
    }

    private static func configure(_ socket: Socket) throws(MessagingError) {
        try socket.set(.xpubVerboser)
        try socket.set(.maximumMessageSize(4096))
        try socket.set(.sendHighWaterMark(Collector.sendHighWaterMark))
        // Nothing is kept for a collector that is gone: when it is back, it subscribes and gets all states.
        try socket.set(.immediate)
        try socket.set(.reconnectInterval(200))
        try socket.set(.longestReconnectInterval(5000))
        try socket.set(.connectTimeout(3000))
        try socket.set(.handshakeInterval(3000))
        try socket.set(.heartbeat(interval: 1000, timeout: 3000, timeToLive: 0))
    }

    /// Publishes two frames, if it subscribed to them.
    func publish(topic: String, payload: [UInt8]) {
        do throws(MessagingError) {
            try socket.send(topic: topic, payload)
        } catch {
            failed += 1
        }
    }

    func rekey(_ keys: KeyPair) {
        if let serverKey = address.serverKey { connection?.reconnect(.client(keys, of: serverKey)) }
    }

    // MARK: - The connection

    private func heard(_ news: Connection.News) {
        switch news {
        case .connected:
            patience?.disarm()
            toldTrouble = nil
            log.event(
                .collectorConnected, key: address.endpoint, "reports to the collector at \(address.endpoint)",
                ["endpoint": "\(address.endpoint)"])
        case .disconnected: tellLost("\(address.endpoint) is gone")
        case .failed: tellLost(connection?.trouble ?? "\(address.endpoint) refuses us")
        }
    }

    /// Each trouble once.
    private func tellLost(_ trouble: String) {
        patience?.disarm()
        guard trouble != toldTrouble else { return }
        toldTrouble = trouble
        log.event(
            .collectorLost, key: address.endpoint, "the collector \(trouble); trying again",
            ["endpoint": "\(address.endpoint)"])
    }

    /// For the status.
    var json: JSON {
        .object([
            JSON.Member("endpoint", .string(address.endpoint)),
            JSON.Member("connected", .bool(connection?.isUp ?? false)),
            JSON.Member("trouble", connection?.trouble.map { .string($0) } ?? .null),
        ])
    }
}

extension Collector.Request {
    /// A subscription as XPUB tells of it; `nil`: it is none.
    fileprivate init?(_ frames: [[UInt8]]) {
        guard frames.count == 1, let frame = frames.first else { return nil }
        switch frame.first {
        case 1: self = .subscribe(Array(frame.dropFirst()))
        case 0: self = .cancel(Array(frame.dropFirst()))
        default: return nil
        }
    }
}
