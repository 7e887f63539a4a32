// The shell of the liveness checks of one watched set: it connects, and looks at the heartbeat file, each within a
// limit and never more than one at a time.
import Basics
import Configuration
import Linux
import Reactor
import Wire

/// Performs the checks of one watched set.
final class LivenessProber {
    enum Answer {
        /// A connection was accepted; or not, and why.
        case connected(LivenessCheck, String?)
        case heartbeat(WallTime?, String)
    }

    private let context: WatcherContext
    private let worker: Worker
    private let options: ProcessWatchOptions
    private let onAnswer: (Answer) -> Void
    private var timer: Timer?
    private var connections: [LivenessCheck: StreamConnection] = [:]
    /// Checks whose answer is awaited.
    private var pending: Set<LivenessCheck> = []
    private var isLooking = false

    /// - Parameter worker: one that others can do without: a mount or a name server may hold it up.
    init(
        _ context: WatcherContext, _ worker: Worker, _ options: ProcessWatchOptions,
        _ onAnswer: @escaping (Answer) -> Void
    ) throws(SystemError) {
        self.context = context
        self.worker = worker
        self.options = options
        self.onAnswer = onAnswer
        timer = try Timer(context.loop, accuracy: .milliseconds(50)) { [unowned self] in probe() }
        for check in ProcessLiveness.checks(options) where check != .heartbeat {
            connections[check] = try StreamConnection(context.loop, worker, limit: options.probeLimit) {
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

    /// On the worker: the file may be on a mount that hangs.
    private func look() {
        guard let path = options.heartbeatFile else { return }
        guard !isLooking else { return onAnswer(.heartbeat(nil, "stat \(path): no answer")) }
        isLooking = worker.perform({ LivenessProber.modified(path) }) { [weak self] answer in
            guard let self else { return }
            isLooking = false
            switch answer {
            case .success(let modified): onAnswer(.heartbeat(modified, ""))
            case .failure(let error): onAnswer(.heartbeat(nil, error.description))
            }
        }
    }

    private static func modified(_ path: String) -> Result<WallTime, SystemError> {
        do throws(SystemError) {
            return .success(WallTime(nanoseconds: try Files.modified(path)))
        } catch {
            return .failure(error)
        }
    }
}
