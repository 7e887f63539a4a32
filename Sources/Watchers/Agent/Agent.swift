// The agent without its command line: watchers report into the health book, and what the book wants told goes
// to subscribers, to who asks, and to the log.
import Basics
public import Configuration
public import Linux
public import Logging
public import Messaging
public import Reactor
import Wire

/// Why an agent cannot work.
public enum AgentError: Error, Hashable, Sendable, CustomStringConvertible {
    case bus(BusError)
    case system(SystemError)

    public var description: String {
        switch self {
        case .bus(let error): error.description
        case .system(let error): error.description
        }
    }
}

/// Watches one host and tells of it.
public final class Agent {
    private let loop: EventLoop
    private let logger: Logger
    private var options: AgentOptions
    private var book: HealthBook
    private let messaging = MessagingContext()
    private var publisher: Publisher?
    private var server: RequestServer?
    private var watchers: [any Watcher] = []
    private var heartbeat: Timer?
    private var sampling: Timer?
    private var cost = CostMeter()
    private var watched: Set<Subject> = []
    /// Requests that were refused.
    public private(set) var refusedRequests: UInt64 = 0

    /// Opens the bus and makes the watchers; nothing is watched before `start`.
    public init(
        _ options: AgentOptions, loop: EventLoop, logger: Logger, roots: FileRoots = FileRoots(),
        without: WithoutFeatures = WithoutFeatures()
    ) throws(AgentError) {
        self.options = options
        self.loop = loop
        self.logger = logger
        book = HealthBook(
            host: options.host ?? hostName(), incarnation: Incarnation(startedAt: loop.wall),
            heartbeatEvery: options.bus.heartbeatEvery, expiresAfter: options.bus.expiresAfter,
            stateEvery: options.bus.stateEvery)
        do throws(BusError) { try openBus() } catch { throw .bus(error) }
        do throws(SystemError) { try makeWatchers(roots, without) } catch { throw .system(error) }
    }

    public var host: String { book.host }

    /// Begins to watch and to tell.
    public func start() {
        for watcher in watchers { watcher.start() }
        beat()
        sampling?.arm(at: nextMultiple(of: options.bus.sampleEvery, after: loop.now))
    }

    /// Takes other options over. What they do not change keeps its state and numbers; the host's name and the
    /// bus stay as they are until a restart, and the log says so.
    public func reload(_ options: AgentOptions) {
        var next = options
        if next.host != self.options.host || next.bus != self.options.bus {
            logger.warning("host and [bus] take effect at the next start, keeping what they were")
            next.host = self.options.host
            next.bus = self.options.bus
        }
        self.options = next
        for watcher in watchers { watcher.reconfigure(next) }
        logger.event(.reloaded, level: .notice, "configuration reloaded, \(summary)")
    }

    /// How many subjects there are, and how the worst of them is: for `systemctl status`.
    public var summary: String {
        "watching \(counted(watched.count, "subject", "subjects")), worst \(book.worst.rawValue)"
    }
}

// MARK: - Making

extension Agent {
    private func openBus() throws(BusError) {
        publisher = try Publisher(messaging, loop, endpoints: options.bus.publish) { [unowned self] prefix in
            perform(book.subscribed(to: prefix, wall: loop.wall))
        }
        server = try RequestServer(messaging, loop, endpoints: options.bus.request) { [unowned self] in
            answer($0)
        }
    }

    private func makeWatchers(_ roots: FileRoots, _ without: WithoutFeatures) throws(SystemError) {
        let context = try WatcherContext(
            loop: loop, worker: try Worker(loop), logger: logger, roots: roots, without: without,
            report: { [unowned self] in
                watched.insert($0.subject)
                perform(book.report($0, at: loop.now, wall: loop.wall))
                heartbeat?.arm(at: book.deadline)
            },
            sample: { [unowned self] in perform(book.sample($0, wall: loop.wall)) },
            forget: { [unowned self] in
                watched.remove($0)
                perform(book.forget($0, wall: loop.wall))
            })
        for watcher in Catalog.watchers { watchers.append(try watcher.init(context, options)) }
        heartbeat = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in beat() }
        sampling = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in takeSamples() }
    }
}

// MARK: - Working

extension Agent {
    private func beat() {
        perform(book.tick(at: loop.now, wall: loop.wall, cost: cost.measure(loop)))
        heartbeat?.arm(at: book.deadline)
    }

    private func takeSamples() {
        for watcher in watchers { watcher.sample() }
        sampling?.arm(at: nextMultiple(of: options.bus.sampleEvery, after: loop.now))
    }

    private func perform(_ actions: [HealthBook.Action]) {
        for action in actions {
            switch action {
            case .publish(let topic, let payload): publisher?.publish(topic: topic, payload: payload.bytes)
            case .transition(let state): logger.transition(state)
            }
        }
    }

    private func answer(_ bytes: [UInt8]) -> [UInt8] {
        let reply: Reply
        do throws(WireError) {
            switch try Request(parsing: bytes) {
            case .status: reply = .document(book.snapshot(wall: loop.wall))
            case .switch, .release, .mute, .unmute:
                reply = .refused("an agent watches and decides nothing; ask a gateway")
            }
        } catch {
            reply = .refused(error.description)
        }
        if case .refused = reply { refusedRequests &+= 1 }
        return reply.json.bytes
    }
}
