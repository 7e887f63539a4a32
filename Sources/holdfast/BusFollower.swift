// One publisher, followed: a SUB and a DEALER under one `HealthView`, joined by the rule of the bus (subscribe,
// wait for the sync marker, ask for status), and again after each gap or restart.
import Basics
import Linux
import Messaging
import Reactor
import Terminal
import Wire

final class BusFollower {
    /// How long an answer to `status` may take before it is asked for again.
    private static let patience: Duration = .seconds(1)

    let endpoint: String
    private(set) var view = HealthView()
    private(set) var heartbeat: HeartbeatMessage?
    private(set) var samples: [Subject: [NamedValue]] = [:]
    private let loop: EventLoop
    private let onEvents: ([HealthView.Event], BusFollower) -> Void
    private var subscriber: Subscriber?
    private var requester: Requester?
    private var expiry: Timer?
    private var asking: Timer?

    /// - Parameter onEvents: what each message meant; the follower itself is up to date by then.
    init(
        _ context: MessagingContext, _ loop: EventLoop, publish: Target, request: Target,
        onEvents: @escaping ([HealthView.Event], BusFollower) -> Void
    ) throws {
        endpoint = publish.endpoint
        self.loop = loop
        self.onEvents = onEvents
        requester = try Requester(
            context, loop, endpoint: request.endpoint, security: request.security,
            onConnection: { [unowned self] news in if case .connected = news, !view.isComplete { ask() } }
        ) { [unowned self] in answered($0) }
        expiry = try Timer(loop) { [unowned self] in take(view.tick(at: self.loop.now)) }
        asking = try Timer(loop) { [unowned self] in ask() }
        // The marker may be lost on the way, where too much waits for others.
        let subscriber = try Subscriber(
            context, loop, endpoint: publish.endpoint, security: publish.security,
            onConnection: { [unowned self] news in
                if case .connected = news { asking?.arm(at: self.loop.now + Self.patience) }
            }
        ) { [unowned self] frames in heard(frames) }
        self.subscriber = subscriber
        for topic in ["state/", "sample/", "heartbeat/"] { try subscriber.subscribe(topic) }
        // libzmq repeats its subscriptions after a reconnect, so the marker comes again then.
        try subscriber.subscribe(Topic.sync(nonce: "watch-\(Clock.monotonic.nanoseconds)").text)
    }

    var host: String { view.host ?? endpoint }

    var picture: WatchedPublisher {
        WatchedPublisher(
            endpoint: endpoint, host: view.host, liveness: view.liveness, states: view.currentStates,
            heartbeat: heartbeat, samples: samples)
    }

    private func heard(_ frames: [[UInt8]]) {
        guard frames.count == 2 else { return take([.malformed("\(frames.count) frames, expected 2")]) }
        take(view.received(topic: frames[0], payload: frames[1], at: loop.now))
    }

    private func answered(_ bytes: [UInt8]) {
        guard let json = try? JSON(parsing: bytes) else {
            return take([.malformed("an answer that is not JSON")])
        }
        take(view.statusReply(json, at: loop.now))
        if view.isComplete { asking?.disarm() }
    }

    private func take(_ events: [HealthView.Event]) {
        for event in events {
            switch event {
            case .synced, .missed, .newIncarnation: ask()
            case .heartbeat(let message): heartbeat = message
            case .sampled(let message):
                // The view bounds its subjects, and so these.
                if view.state(of: message.subject) != nil { samples[message.subject] = message.values }
            case .gone(let subject): samples[subject] = nil
            case .changed, .hostExpired, .hostBack, .malformed, .stopping: break
            }
        }
        expiry?.arm(at: view.deadline)
        onEvents(events, self)
    }

    /// Asks for `status` and, as long as a publisher that is alive has not answered, again.
    private func ask() {
        // Nothing is asked of nobody: it would wait, to be answered all at once. The next marker or the timer asks
        // again.
        if view.liveness != .expired, requester?.isUp == true {
            _ = try? requester?.send(Request.status.json.bytes)
        }
        asking?.arm(at: loop.now + Self.patience)
    }
}
