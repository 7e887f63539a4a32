// What a watcher is, and what it is given: the loop, the worker, the sinks for what it finds, and where /proc
// and /sys are, so that tests can show it recorded ones.
public import Basics
public import Configuration
public import Linux
public import Logging
public import Messaging
public import Reactor
public import Wire

/// A shell around machines that watch one kind of subject. All calls come from the loop's thread.
public protocol Watcher: AnyObject {
    /// - Throws: what keeps this watcher from working at all.
    init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError)

    /// Begins to watch; what is not known yet is reported as unknown.
    func start()

    /// Takes other options over; what they do not change keeps its state.
    func reconfigure(_ options: AgentOptions)

    /// Gives a sample of each subject; called once per sample interval.
    func sample()

    /// Gives `WatcherContext.record` what is worth more than a reading per sample interval; called many times a
    /// second, so it takes what is in memory or costs microseconds.
    func record()
}

extension Watcher {
    public func record() {}
}

/// Where the kernel's file systems are.
public struct FileRoots: Hashable, Sendable {
    public var proc = "/proc"
    public var sys = "/sys"
    /// The address of the message bus of the system.
    public var systemBus = SystemBus.defaultAddress
    public var run = "/run"

    public init() {}
}

/// What is not to be used although the kernel may offer it: tests force the fallbacks.
public struct WithoutFeatures: Hashable, Sendable {
    /// `PIDFD_INFO_EXIT` (Linux 6.15).
    public var exitByPIDFD = false
    /// The wait status of a process that has ended, in /proc/PID/stat.
    public var exitByStat = false
    /// Raw ICMP sockets.
    public var rawICMP = false
    /// Carrier counters in sysfs.
    public var carrierCounters = false
    /// ethtool over generic netlink (Linux 5.6).
    public var ethtoolNetlink = false
    /// adjtimex(2), which the unit's sandbox forbids without a drop-in.
    public var kernelClock = false
    /// Being told of pressure by the kernel (Linux 6.5).
    public var pressureTriggers = false
    /// The timer that tells when the clock was set.
    public var clockSteps = false

    public init() {}

    /// What a variable of the environment names, words apart by commas; other words mean nothing.
    public static func named(in variable: String) -> WithoutFeatures {
        guard let text = environmentVariable(variable) else { return WithoutFeatures() }
        let words = text.split(separator: ",")
        var without = WithoutFeatures()
        without.exitByPIDFD = words.contains("exit-by-pidfd")
        without.exitByStat = words.contains("exit-by-stat")
        without.rawICMP = words.contains("raw-icmp")
        without.carrierCounters = words.contains("carrier-counters")
        without.ethtoolNetlink = words.contains("ethtool-netlink")
        without.kernelClock = words.contains("kernel-clock")
        without.pressureTriggers = words.contains("pressure-triggers")
        without.clockSteps = words.contains("clock-steps")
        return without
    }
}

/// Everything that a watcher may use.
public final class WatcherContext {
    public let loop: EventLoop
    /// For calls that may take their time and wait for nobody else's: what others may hold up has a thread of its own.
    public let worker: Worker
    public let logger: Logger
    /// For what the wire or the kernel can cause without end.
    public let limited: LimitedLog
    public let roots: FileRoots
    public let without: WithoutFeatures
    /// What the kernel says of links, addresses and routes, for whoever wants it.
    public let network: NetworkMonitor
    /// The host's systemd, for whoever asks it something.
    public let systemd: SystemdLink
    /// The links under the paths.
    public let links = LinkBoard()
    private let onReport: (Report) -> Void
    private let onSample: (Sample) -> Void
    private let onRecord: (Sample) -> Void
    private let onForget: (Subject) -> Void
    private let onHostGoes: (String?) -> Void

    public init(
        loop: EventLoop, worker: Worker, logger: Logger, limited: LimitedLog? = nil,
        roots: FileRoots = FileRoots(), without: WithoutFeatures = WithoutFeatures(),
        report: @escaping (Report) -> Void, sample: @escaping (Sample) -> Void,
        record: @escaping (Sample) -> Void = { _ in },
        forget: @escaping (Subject) -> Void, hostGoes: @escaping (String?) -> Void = { _ in }
    ) throws(SystemError) {
        self.loop = loop
        self.worker = worker
        self.logger = logger
        self.limited = if let limited { limited } else { try LimitedLog(loop, logger) }
        self.roots = roots
        self.without = without
        systemd = try SystemdLink(loop, address: roots.systemBus)
        network = try NetworkMonitor(loop: loop, log: self.limited)
        onReport = report
        onSample = sample
        onRecord = record
        onForget = forget
        onHostGoes = hostGoes
    }

    /// Passes a finding on, stamped with the loop's wall clock.
    ///
    /// - Parameter occurredAt: when it happened, where somebody tells.
    public func report(_ finding: Finding, occurredAt: WallTime? = nil) {
        onReport(finding.report(detectedAt: loop.wall, occurredAt: occurredAt))
    }

    public func sample(_ sample: Sample) { onSample(sample) }

    /// Keeps a reading in the history and publishes it nowhere.
    public func record(_ sample: Sample) { onRecord(sample) }

    public func forget(_ subject: Subject) { onForget(subject) }

    /// The host is about to go, and why; `nil`: it is not after all.
    public func hostGoes(because reason: String?) { onHostGoes(reason) }
}
