// Follows one agent's health bus without a gap: subscribes, waits for its marker, asks for all states, and
// asks again whenever it missed something. What changes goes to the feeds' path machines.
import Basics
import Configuration
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// One agent, as the gateway hears it.
final class AgentFollower {
    /// Called with each change: who tells it, the subject, its status, `nil` if it is not watched any more, and since when.
    typealias OnChange = (AgentFollower, Subject, Status?, WallTime?) -> Void

    /// How long an answer may take before it is asked for again.
    static let patience: Duration = .seconds(1)

    let endpoint: AgentEndpoint
    private let loop: EventLoop
    private let logger: Logger
    private let limited: LimitedLog
    private let onChange: OnChange
    private var view = HealthView()
    private var subscriber: Subscriber?
    private var requester: Requester?
    private var timer: Timer?
    private var askAgain: Instant?
    private var nonces: UInt64 = 0
    private var marker: String?
    private var toldTrouble: String?

    init(
        _ context: MessagingContext, _ loop: EventLoop, _ endpoint: AgentEndpoint, keys: KeyPair?,
        logger: Logger, limited: LimitedLog, onChange: @escaping OnChange
    ) throws(BusError) {
        self.endpoint = endpoint
        self.loop = loop
        self.limited = limited
        var logger = logger
        logger[metadataKey: "endpoint"] = "\(endpoint.publish)"
        self.logger = logger
        self.onChange = onChange
        requester = try Requester(
            context, loop, endpoint: endpoint.request,
            security: .connecting(to: endpoint.request, endpoint.serverKey, with: keys),
            onConnection: { [unowned self] news in
                if case .connected = news, askAgain != nil { ask() }
                tellTrouble()
            }
        ) { [unowned self] in answered($0) }
        let subscriber = try Subscriber(
            context, loop, endpoint: endpoint.publish,
            security: .connecting(to: endpoint.publish, endpoint.serverKey, with: keys),
            onConnection: { [unowned self] news in
                if case .connected = news { join() }
                tellTrouble()
            }
        ) { [unowned self] in heard($0) }
        self.subscriber = subscriber
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(5)) { [unowned self] in tick() }
        } catch {
            throw .system(error)
        }
        do throws(MessagingError) {
            try subscriber.subscribe("state/")
            try subscriber.subscribe("heartbeat/")
        } catch {
            throw .messaging(error)
        }
    }

    /// The states that are known now.
    var states: [StateMessage] { view.currentStates }
    /// Whether it tells of a subject, however that is.
    func knows(_ subject: Subject) -> Bool { view.state(of: subject) != nil }
    /// All that it tells of is known.
    var isComplete: Bool { view.liveness == .alive && view.isComplete }
    var host: String? { view.host }
    var liveness: HealthView.Liveness { view.liveness }
    /// Messages that made no sense.
    var malformed: UInt64 { view.malformed }
    /// Why it is not heard or does not answer, if it is there and will not have us.
    var trouble: String? { subscriber?.trouble ?? requester?.trouble }

    /// Our keys are others from now on.
    func rekey(_ keys: KeyPair) {
        guard let serverKey = endpoint.serverKey else { return }
        subscriber?.reconnect(.client(keys, of: serverKey))
        requester?.reconnect(.client(keys, of: serverKey))
    }

    /// Each trouble once; it is tried again and again, and over when we are in.
    private func tellTrouble() {
        guard trouble != toldTrouble else { return }
        guard let trouble else {
            guard subscriber?.isConnected ?? false else { return }
            toldTrouble = nil
            return logger.event(.agentBack, "agent \(endpoint.publish) lets us in")
        }
        toldTrouble = trouble
        logger.event(.agentLost, "agent \(trouble): its word counts as unknown")
    }

    // MARK: - Joining

    /// After each connect: a marker behind the subscriptions, so that "now ask" is known exactly.
    private func join() {
        if let marker {
            attempt { () throws(MessagingError) in try subscriber?.unsubscribe("sync/\(marker)/") }
        }
        nonces &+= 1
        let nonce = "gateway-\(loop.now.nanoseconds)-\(nonces)"
        marker = nonce
        attempt { () throws(MessagingError) in try subscriber?.subscribe("sync/\(nonce)/") }
        askAgain = loop.now + AgentFollower.patience
        arm()
    }

    /// Nothing is asked of nobody: it would wait, to be answered all at once.
    private func ask() {
        askAgain = loop.now + AgentFollower.patience
        guard requester?.isUp == true else { return }
        attempt { () throws(MessagingError) in _ = try requester?.send(Request.status.json.bytes) }
    }

    private func attempt(_ call: () throws(MessagingError) -> Void) {
        do throws(MessagingError) {
            try call()
        } catch {
            let message = "agent \(endpoint.publish): \(error), trying again"
            limited.event(.upstreamFailed, key: endpoint.publish, message, by: logger)
        }
    }

    // MARK: - What the agent says

    private func heard(_ frames: [[UInt8]]) {
        guard frames.count == 2 else { return apply([.malformed("\(frames.count) frames, expected 2")]) }
        apply(view.received(topic: frames[0], payload: frames[1], at: loop.now))
    }

    private func answered(_ bytes: [UInt8]) {
        do throws(JSONError) {
            let json = try JSON(parsing: bytes)
            askAgain = nil
            apply(view.statusReply(json, at: loop.now))
        } catch {
            apply([.malformed("status: \(error)")])
        }
    }

    private func tick() {
        if let again = askAgain, again <= loop.now { ask() }
        apply(view.tick(at: loop.now))
    }

    private func arm() {
        let soonest = [askAgain, view.deadline].compactMap(\.self).min()
        timer?.arm(at: soonest)
    }

    private func apply(_ events: [HealthView.Event]) {
        for event in events { apply(event) }
        arm()
    }

    private func apply(_ event: HealthView.Event) {
        switch event {
        case .changed(let message, _):
            onChange(self, message.subject, message.status, message.since)
        case .gone(let subject): onChange(self, subject, nil, nil)
        case .synced, .missed, .newIncarnation: ask()
        case .hostExpired:
            logger.event(.agentLost, "agent \(endpoint.publish) is not heard: its word counts as unknown")
        case .hostBack: logger.event(.agentBack, "agent \(endpoint.publish) is heard again")
        case .malformed(let reason):
            let message = "agent \(endpoint.publish): \(reason), ignoring"
            limited.event(.malformedInput, key: endpoint.publish, message, by: logger)
        case .sampled, .heartbeat, .stopping: break
        }
    }
}
