// The XPUB socket that clients subscribe to: each subscription is judged by the table and granted or refused
// while libzmq still knows whose it is. A client that does not keep up loses messages, which its `previous`
// numbers show.
import Arbitration
import Basics
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// What the downstream socket asks of the rest of the gateway.
protocol DownstreamOwner: AnyObject {
    /// A client was granted a topic: show it where it stands.
    func granted(_ request: TopicRequest, prefix: String)
    /// A feed's upstream subscriptions changed.
    func upstream(_ action: SubscriptionAction)
}

/// Publishes market data and the control topics.
final class Downstream: FrameSink {
    /// Frames that may wait for one client before it loses some.
    static let sendHighWaterMark: Int32 = 50_000
    /// Refused subscriptions that are remembered for the `status` request.
    static let rememberedRefusals = 64

    struct Refused {
        var prefix: String
        var reason: String
        var at: WallTime
    }

    private(set) var table = SubscriptionTable()
    private(set) var refusals = Ring<Refused>(capacity: Downstream.rememberedRefusals)
    /// Frames that libzmq did not take.
    private(set) var failedSends: UInt64 = 0
    /// Messages from clients that are no subscriptions.
    private(set) var malformed: UInt64 = 0

    weak var owner: (any DownstreamOwner)?
    private let loop: EventLoop
    private var server: ServerSocket?
    private var lingering: Timer?
    private let log: LimitedLog

    init(
        _ context: MessagingContext, _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        server = try ServerSocket(
            context, loop, .xpub, for: .marketData, at: endpoints, log: log,
            configure: { socket throws(MessagingError) in
                try socket.set(.xpubManual)
                try socket.set(.maximumMessageSize(4096))
                try socket.set(.sendHighWaterMark(Downstream.sendHighWaterMark))
            },
            onDeparture: { [unowned self] in perform(table.closed($0, at: loop.now)) },
            onMessage: { [unowned self] in heard($0, $1) })
        do throws(SystemError) {
            lingering = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in expire() }
        } catch {
            throw .system(error)
        }
    }

    /// The endpoint bound last.
    var lastEndpoint: String { server?.lastEndpoint ?? "" }
    /// How many clients are connected.
    var clients: Int { access.clients }
    var access: AccessCounters { server?.counters ?? AccessCounters() }

    /// Sends one frame to everybody who holds its topic.
    func publish(_ frame: [UInt8]) {
        do throws(MessagingError) {
            try server?.socket.send(frame)
        } catch {
            failedSends &+= 1
        }
    }

    // MARK: - Feeds

    func addFeed(_ name: String, linger: Duration?) {
        table.addFeed(name, linger: linger)
        lingering?.arm(at: table.deadline)
    }

    func removeFeed(_ name: String) { table.removeFeed(name) }

    // MARK: - Clients

    /// libzmq tells of a closed descriptor before the kernel can give its number to another client, and the server
    /// socket reads that before a subscription is booked on it.
    private func heard(_ message: Socket.Message, _ caller: Caller) {
        guard message.frames.count == 1, let frame = message.frames.first, let first = frame.first, first <= 1
        else {
            malformed &+= 1
            return
        }
        let connection = message.connection
        let prefix = frame.dropFirst()
        if first == 0 {
            perform(table.unsubscribe(prefix, by: connection < 0 ? nil : connection, at: loop.now))
        } else if server?.isConnected(connection) == true {
            perform(table.subscribe(prefix, by: connection, at: loop.now))
        }
    }

    private func expire() { perform(table.tick(at: loop.now)) }

    private func perform(_ actions: [SubscriptionAction]) {
        for action in actions {
            switch action {
            case .grant(let prefix, let request):
                apply(prefix) { () throws(MessagingError) in try server?.socket.subscribe(prefix.utf8) }
                owner?.granted(request, prefix: prefix)
            case .revoke(let prefix):
                apply(prefix) { () throws(MessagingError) in try server?.socket.unsubscribe(prefix.utf8) }
            case .refuse(let connection, let prefix, let refusal): refuse(connection, prefix, refusal)
            case .narrow(let connection, let prefix, let entitled):
                refuse(connection, prefix, .notEntitled(entitled))
            case .subscribeUpstream, .unsubscribeUpstream: owner?.upstream(action)
            }
        }
        lingering?.arm(at: table.deadline)
    }

    private func apply(_ prefix: String, _ change: () throws(MessagingError) -> Void) {
        do throws(MessagingError) {
            try change()
        } catch {
            failedSends &+= 1
            log.event(
                .subscriptionRefused, key: "",
                "the subscription \"\(prefix)\" could not be applied: \(error)",
                ["topic": "\(prefix)"])
        }
    }

    private func refuse(_ connection: Int32, _ prefix: String, _ refusal: SubscriptionRefusal) {
        refusals.append(Refused(prefix: prefix, reason: refusal.description, at: loop.wall))
        log.event(
            .subscriptionRefused, key: "\(connection)", "refused the subscription \"\(prefix)\": \(refusal)",
            ["connection": "\(connection)", "topic": "\(prefix)"])
    }
}
