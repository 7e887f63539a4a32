// The agent without its command line: watchers report into the health book, and what the book wants told goes
// to subscribers, to who asks, and to the log.
import Basics
public import Configuration
public import Linux
public import Logging
public import Messaging
public import Reactor
public import Wire

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
    private let bus: HealthBus
    private let messaging = MessagingContext()
    private let authenticator: Authenticator?
    private let limited: LimitedLog
    private var credentials: Credentials?
    private var watchers: [any Watcher] = []
    private var sampling: Timer?
    private var recording: Timer?
    private var watched: Set<Subject> = []
    /// The host's name on the bus.
    public let host: String

    /// Opens the bus and makes the watchers; nothing is watched before `start`.
    ///
    /// - Parameters:
    ///   - credentials: for what is beyond this host, in either direction; not read without such.
    ///   - incarnation: this run's number; `nil`: the time now.
    public init(
        _ options: AgentOptions, credentials: Credentials? = nil, loop: EventLoop, logger: Logger,
        roots: FileRoots = FileRoots(), without: WithoutFeatures = WithoutFeatures(),
        incarnation: Incarnation? = nil
    ) throws(AgentError) {
        self.options = options
        self.credentials = credentials
        self.loop = loop
        self.logger = logger
        host = options.host ?? hostName()
        let book = HealthBook(
            host: host, incarnation: incarnation ?? Incarnation(startedAt: loop.wall),
            heartbeatEvery: options.bus.heartbeatEvery, expiresAfter: options.bus.expiresAfter,
            stateEvery: options.bus.stateEvery, history: options.history.limits)
        do throws(SystemError) { limited = try LimitedLog(loop, logger) } catch { throw .system(error) }
        do throws(BusError) {
            let (messaging, limited) = (messaging, limited)
            authenticator = credentials.map { Authenticator($0, log: limited) }
            bus = try HealthBus(
                messaging, loop, book: book, publish: options.bus.publish, request: options.bus.request,
                authenticator: authenticator, logger: logger, limited: limited, answer: Agent.answer)
            try bus.report(to: options.collectors, keys: credentials?.keys)
        } catch {
            throw .bus(error)
        }
        do throws(SystemError) { try makeWatchers(roots, without) } catch { throw .system(error) }
    }

    /// Begins to watch and to tell.
    public func start() {
        for watcher in watchers { watcher.start() }
        sampling?.arm(at: nextMultiple(of: options.bus.sampleEvery, after: loop.now))
        recording?.arm(at: nextMultiple(of: options.history.recordEvery, after: loop.now))
    }

    /// Takes other options and credentials over. What they do not change keeps its state, numbers and connections;
    /// the host's name and the bus stay as they are until a restart, and the log says so.
    public func reload(_ options: AgentOptions, credentials: Credentials? = nil) {
        var next = options
        if next.host != self.options.host || next.bus != self.options.bus {
            logger.event(
                .restartNeeded, "host and [bus] take effect at the next start, keeping what they were")
            next.host = self.options.host
            next.bus = self.options.bus
        }
        self.options = next
        bus.keep(next.history.limits)
        renew(credentials)
        reportToCollectors()
        for watcher in watchers { watcher.reconfigure(next) }
    }

    /// Without new ones the old ones stay: what was bound with them is open until a restart.
    private func renew(_ new: Credentials?) {
        guard let new else { return }
        let oldKeys = credentials?.keys
        credentials = new
        authenticator?.renew(new)
        if new.keys != oldKeys { bus.rekey(new.keys) }
    }

    private func reportToCollectors() {
        do throws(BusError) {
            try bus.report(to: options.collectors, keys: credentials?.keys)
        } catch {
            logger.event(.collectorLost, "cannot report to every collector: \(error)")
        }
    }

    /// Tells subscribers that the agent is about to end, and why. That its host goes is the better reason.
    public func stops(because reason: String) { bus.stops(because: bus.stopping ?? reason) }

    /// How many subjects there are, and how the worst of them is: for `systemctl status`.
    public var summary: String {
        "watching \(counted(watched.count, "subject", "subjects")), worst \(bus.worst.rawValue)"
    }
}

// MARK: - Making

extension Agent {
    private func makeWatchers(_ roots: FileRoots, _ without: WithoutFeatures) throws(SystemError) {
        let context = try WatcherContext(
            loop: loop, worker: try Worker(loop), logger: logger, limited: limited, roots: roots,
            without: without,
            report: { [unowned self] in
                watched.insert($0.subject)
                bus.report($0)
            },
            sample: { [unowned self] in bus.sample($0) },
            record: { [unowned self] in bus.record($0) },
            forget: { [unowned self] in
                watched.remove($0)
                bus.forget($0)
            },
            hostGoes: { [unowned self] in bus.stops(because: $0) })
        for watcher in Catalog.watchers { watchers.append(try watcher.init(context, options)) }
        sampling = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in takeSamples() }
        recording = try Timer(loop, accuracy: .milliseconds(20)) { [unowned self] in record() }
    }
}

// MARK: - Working

extension Agent {
    private func takeSamples() {
        for watcher in watchers { watcher.sample() }
        sampling?.arm(at: nextMultiple(of: options.bus.sampleEvery, after: loop.now))
    }

    /// For the history alone: what is in memory anyway, more often than it is published.
    private func record() {
        for watcher in watchers { watcher.record() }
        recording?.arm(at: nextMultiple(of: options.history.recordEvery, after: loop.now))
    }

    /// An agent has nothing to add to its status, and nothing else to do for others.
    private static func answer(_ request: Request) -> Reply {
        switch request {
        case .status, .history: .done([])
        case .repair, .pull, .snapshot, .lease: .refused("an agent has no market data; ask a gateway")
        case .switch, .release, .mute, .unmute:
            .refused("an agent watches and decides nothing; ask a gateway")
        }
    }
}

extension HistoryOptions {
    fileprivate var limits: HistoryLimits {
        var limits = HistoryLimits()
        limits.keep = keep
        limits.mostBytes = mostBytes
        limits.before = before
        return limits
    }
}

extension AgentOptions {
    fileprivate var collectors: [Collector.Address] {
        reportTo.map { Collector.Address(endpoint: $0.endpoint, serverKey: $0.serverKey) }
    }
}
