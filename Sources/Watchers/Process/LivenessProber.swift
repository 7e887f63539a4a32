// The shell of the liveness checks of one watched set: it connects, and looks at the heartbeat file, each within a
// limit and never more than one at a time.
import Basics
import Configuration
import Linux
import Messaging
import Reactor
import Wire

/// Performs the checks of one watched set.
final class LivenessProber {
    enum Answer: Equatable {
        /// A connection was accepted; or not, and why.
        case connected(LivenessCheck, String?)
        case heartbeat(WallTime?, String)

        /// What a look at the heartbeat file says; `nil`: nothing, for it was not looked.
        init?(_ look: HeartbeatLooks.Answer) {
            switch look {
            case .success(let modified): self = .heartbeat(modified, "")
            case .failure(let error): self = .heartbeat(nil, error.description)
            case nil: return nil
            }
        }
    }

    private let context: WatcherContext
    private let looks: HeartbeatLooks
    private let options: ProcessWatchOptions
    private let onAnswer: (Answer) -> Void
    private var timer: Timer?
    private var connections: [LivenessCheck: StreamConnection] = [:]
    /// Checks whose answer is awaited.
    private var pending: Set<LivenessCheck> = []
    private var isLooking = false

    init(
        _ context: WatcherContext, _ lookUps: NameLookups, _ looks: HeartbeatLooks,
        _ options: ProcessWatchOptions, _ onAnswer: @escaping (Answer) -> Void
    ) throws(SystemError) {
        self.context = context
        self.looks = looks
        self.options = options
        self.onAnswer = onAnswer
        timer = try Timer(context.loop, accuracy: .milliseconds(50)) { [unowned self] in probe() }
        for check in ProcessLiveness.checks(options) where check != .heartbeat {
            connections[check] = try StreamConnection(context.loop, lookUps, limit: options.probeLimit) {
                [unowned self] in
                connected(check, $0)
            }
        }
    }

    func start() { probe() }

    func stop() {
        timer?.disarm()
        for connection in connections.values { connection.close() }
        pending = []
    }

    private func probe() {
        // The next one first: an answer may stop all this.
        timer?.arm(at: context.loop.now + options.probeEvery)
        if let tcp = options.tcp { open(.tcp, .tcp(host: tcp.host, port: tcp.port)) }
        if let path = options.socket { open(.socket, .unix(path: path)) }
        look()
    }

    private func open(_ check: LivenessCheck, _ address: StreamAddress) {
        guard pending.insert(check).inserted else { return }
        connections[check]?.open(address)
    }

    private func connected(_ check: LivenessCheck, _ event: StreamConnection.Event) {
        switch event {
        case .opened:
            connections[check]?.close()
            pending.remove(check)
            onAnswer(.connected(check, nil))
        case .received: break
        case .closed(let reason):
            pending.remove(check)
            onAnswer(.connected(check, reason))
        }
    }

    private func look() {
        guard let path = options.heartbeatFile else { return }
        guard !isLooking else { return onAnswer(.heartbeat(nil, "stat \(path): no answer")) }
        isLooking = true
        looks.look(at: path) { [weak self] answer in
            guard let self else { return }
            isLooking = false
            if let answer = Answer(answer) { return onAnswer(answer) }
            context.limited.event(
                .watchedWithLess, key: options.name,
                "process/\(options.name): \(path) is not looked at while so many others do not answer")
        }
    }
}
