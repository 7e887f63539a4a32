// The shell of all watched process sets: scans on the worker, descriptors on the loop.
import Basics
public import Configuration
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches processes.
public final class ProcessWatcher: Watcher {
    /// After an end a successor is looked for at once, then after this, doubled each time; so long
    /// after a search comes the one that was asked for during it.
    private static let firstBackOff: Duration = .milliseconds(5)
    /// Ended processes that are kept to learn how they ended.
    private static let mostEnded = 64
    /// Scans that may be left out in a row while nothing is started.
    private static let mostSkipped = 10
    /// Names that may wait for their addresses: one of each set, and one that it had before a reload.
    private static let mostLookedUp = 512

    private struct Watched {
        var machine: ProcessMachine
        var held: [ProcessIdentity: HeldProcess] = [:]
        /// Ended, and nobody has told how yet.
        var ended: [HeldProcess] = []
        var prober: LivenessProber?
        var isProbed = false
    }

    private let context: WatcherContext
    private var options: ProcessOptions
    private var sets: [String: Watched] = [:]
    private var timer: Timer?
    private var isScanning = false
    /// The scan that is under way does not end.
    private var isLate = false
    private let scanPatience: Duration
    private var alarm = PatientAlarm()
    private var wantsAnother = false
    /// Ends seen while a scan was under way, which may still report them as running.
    private var endedMeanwhile: Set<ProcessIdentity> = []
    private var backOff: Duration?
    private var lastPID: Int32?
    private var bootedAt: Int64?
    private var quietScans = 0
    private var isMeasuring = false
    /// For the names in liveness checks; made when there is one.
    private var lookUps: NameLookups?
    private var looks: HeartbeatLooks?
    private let look: HeartbeatLooks.Look
    private let pidfiles: PidfileReader
    /// Whoever reads a process's command line waits for those that change its memory.
    private lazy var scanner: Worker = (try? Worker(context.loop)) ?? context.worker
    /// Whether systemd may be asked how a service ended.
    private var asksSystemd: Bool
    private var isFollowing = false

    public convenience init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        try self.init(
            context, options, scanPatience: .seconds(5), look: HeartbeatLooks.ofFiles,
            readPidfile: PidfileText.read(at:))
    }

    /// - Parameters:
    ///   - scanPatience: a scan that takes longer is told not to answer.
    ///   - lookUps: `nil`: by the name servers of the host.
    init(
        _ context: WatcherContext, _ options: AgentOptions, scanPatience: Duration,
        lookUps: NameLookups? = nil, look: @escaping HeartbeatLooks.Look,
        readPidfile: @escaping PidfileReader.Read
    ) throws(SystemError) {
        self.context = context
        self.options = options.process
        self.scanPatience = scanPatience
        self.lookUps = lookUps
        self.look = look
        pidfiles = try PidfileReader(context.loop, readPidfile)
        asksSystemd = options.unit.enabled
        timer = try Timer(context.loop, accuracy: .milliseconds(1)) { [unowned self] in wake() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        self.options = options.process
        asksSystemd = options.unit.enabled
        arrange()
    }

    public func sample() {
        for set in sets.values { context.sample(set.machine.sample) }
        measure()
    }

    /// Brings the sets in line with the options; those whose options are the same live on.
    private func arrange() {
        let wanted = options.enabled ? options.watched : []
        for (name, set) in sets where !wanted.contains(set.machine.options) {
            sets[name] = nil
            if !wanted.contains(where: { $0.name == name }) { context.forget(set.machine.subject) }
        }
        for watch in wanted where sets[watch.name] == nil {
            var machine = ProcessMachine(watch)
            let actions = machine.started()
            sets[watch.name] = Watched(machine: machine, prober: prober(watch))
            perform(actions, watch.name)
            if isLate { notScanned(watch.name) }
        }
        if asksSystemd, !isFollowing, !wanted.isEmpty {
            isFollowing = true
            context.systemd.follow { _ in }
        }
        lastPID = nil
        scan()
    }
}

// MARK: - Scans

extension ProcessWatcher {
    private func scan() {
        guard !sets.isEmpty else { return }
        guard !isScanning else {
            wantsAnother = true
            return
        }
        wantsAnother = false
        endedMeanwhile = []
        let order = ProcScanOrder(
            roots: context.roots, watched: sets.values.map(\.machine.options), skipIfLastPID: skippable,
            bootedAt: bootedAt)
        isScanning = scanner.perform(
            { ProcScanner.scan(order) }, then: { [weak self] in self?.searched($0, order) })
        let now = context.loop.now
        timer?.arm(at: isScanning ? alarm.set(for: now + scanPatience) : now + .milliseconds(100))
    }

    private func wake() {
        guard isScanning else { return scan() }
        // Whoever was held still himself takes first what has come meanwhile.
        guard alarm.rang(at: context.loop.now) else {
            timer?.arm(at: alarm.set(for: context.loop.now))
            return
        }
        isLate = true
        for name in sets.keys.sorted() { notScanned(name) }
    }

    private func notScanned(_ name: String) {
        perform(sets[name]?.machine.notScanned(for: scanPatience) ?? [], name)
    }

    /// Nothing was started between the last two scans: if nothing has been since, the next one is needless. A
    /// process that was forked before the last scan has run its program by now, and been seen.
    private var skippable: Int32? {
        guard backOff == nil, quietScans > 0, quietScans % ProcessWatcher.mostSkipped != 0 else { return nil }
        return lastPID
    }

    /// The search is over; what is in files is looked at behind it, and does not hold it up.
    private func searched(_ report: ProcScanReport, _ order: ProcScanOrder) {
        let paths = Set(order.watched.compactMap(\.pidfile))
        guard report.results != nil, !paths.isEmpty else { return scanned(report, order) }
        pidfiles.read(paths) { [weak self] in self?.follow($0, report, order) }
    }

    private func follow(
        _ files: [String: PidfileText], _ report: ProcScanReport, _ order: ProcScanOrder
    ) {
        let isTaken = scanner.perform(
            { ProcScanner.results(of: order, in: files, bootedAt: report.bootedAt) },
            then: { [weak self] found in
                var whole = report
                whole.results?.merge(found) { _, new in new }
                // A file that does not answer is asked again, whether anything is started or not.
                if files.values.contains(.unanswered) { whole.lastPID = nil }
                self?.scanned(whole, order)
            })
        if !isTaken { scanned(report, order) }
    }

    private func scanned(_ report: ProcScanReport, _ order: ProcScanOrder) {
        let wasLate = isLate
        isLate = false
        // It left out what it was said not to have found, and that needs an answer of its own.
        if wasLate, report.results == nil {
            (isScanning, lastPID, quietScans) = (false, nil, 0)
            return scan()
        }
        quietScans = report.lastPID == lastPID && report.lastPID != nil ? quietScans + 1 : 0
        (lastPID, bootedAt) = (report.lastPID, report.bootedAt)
        for (name, result) in report.results ?? [:] {
            // Of a set that has other options by now it says nothing.
            guard let options = sets[name]?.machine.options, order.watched.contains(options) else { continue }
            var result = result
            result.found.removeAll { endedMeanwhile.contains($0) }
            perform(sets[name]?.machine.scanned(result) ?? [], name)
        }
        // Not before: who was gone before it could be held asks for another one, and is not found in this one any more.
        (isScanning, endedMeanwhile) = (false, [])
        timer?.arm(at: wantsAnother ? context.loop.now + ProcessWatcher.firstBackOff : nextScan())
    }

    /// When whatever else is done so often is done too, unless a successor is looked for.
    private func nextScan() -> Instant {
        let now = context.loop.now
        guard let pause = backOff else { return nextMultiple(of: options.scanEvery, after: now) }
        let next = pause * 2
        backOff = next < options.scanEvery ? next : nil
        return now + min(pause, options.scanEvery)
    }
}

// MARK: - Use and liveness

extension ProcessWatcher {
    private struct Reading: Sendable {
        var identity: ProcessIdentity
        var measure: ProcessMeasure
    }

    /// On the worker, like the scans.
    private func measure() {
        var gauges: [(name: String, identity: ProcessIdentity, gauge: ProcessGauge)] = []
        for (name, set) in sets {
            for held in set.held.values {
                if let gauge = held.gauge { gauges.append((name, held.identity, gauge)) }
            }
        }
        guard !isMeasuring, !gauges.isEmpty else { return }
        isMeasuring = scanner.perform({ [gauges] in ProcessWatcher.read(gauges) }) {
            [weak self] readings in
            self?.isMeasuring = false
            self?.measured(readings)
        }
    }

    private static func read(
        _ gauges: [(name: String, identity: ProcessIdentity, gauge: ProcessGauge)]
    ) -> [String: [Reading]] {
        var readings: [String: [Reading]] = [:]
        var buffer = [UInt8](repeating: 0, count: 1024)
        for (name, identity, gauge) in gauges {
            guard let measure = gauge.read(&buffer) else { continue }
            readings[name, default: []].append(Reading(identity: identity, measure: measure))
        }
        return readings
    }

    private func measured(_ readings: [String: [Reading]]) {
        for (name, readings) in readings {
            // What has ended meanwhile counts no longer.
            let readings = readings.filter { sets[name]?.held[$0.identity] != nil }
            guard !readings.isEmpty else { continue }
            for reading in readings { sets[name]?.held[reading.identity]?.measured(reading.measure) }
            let actions = sets[name]?.machine.measured(readings.map(\.measure), at: context.loop.now) ?? []
            perform(actions, name)
        }
    }

    private func prober(_ watch: ProcessWatchOptions) -> LivenessProber? {
        guard !ProcessLiveness.checks(watch).isEmpty else { return nil }
        do throws(SystemError) {
            let lookUps =
                if let lookUps { lookUps } else {
                    try NameLookups(context.loop, mostAsked: ProcessWatcher.mostLookedUp)
                }
            self.lookUps = lookUps
            let looks = if let looks { looks } else { try HeartbeatLooks(context.loop, look) }
            self.looks = looks
            return try LivenessProber(context, lookUps, looks, watch) { [unowned self] in
                took($0, watch.name)
            }
        } catch {
            context.limited.event(
                .watchedWithLess, key: watch.name,
                "process/\(watch.name): \(error); whether it works is not checked")
            return nil
        }
    }

    private func took(_ answer: LivenessProber.Answer, _ name: String) {
        guard sets[name]?.isProbed == true else { return }
        let actions: [ProcessAction]? =
            switch answer {
            case .connected(let check, let failure): sets[name]?.machine.connected(check, failure)
            case .heartbeat(let modified, let failure):
                sets[name]?.machine.heartbeat(
                    modified, failure, wall: context.loop.wall, at: context.loop.now)
            }
        perform(actions ?? [], name)
    }

    /// What does not run is not asked whether it works.
    private func attend(_ name: String) {
        guard let set = sets[name], let prober = set.prober else { return }
        let isProbed = set.machine.count > 0
        guard isProbed != set.isProbed else { return }
        sets[name]?.isProbed = isProbed
        isProbed ? prober.start() : prober.stop()
    }
}

// MARK: - Actions

extension ProcessWatcher {
    private func perform(_ actions: [ProcessAction], _ name: String) {
        var found: [ProcessIdentity] = []
        for action in actions {
            switch action {
            case .hold(let process): found.append(process)
            case .release(let process): sets[name]?.held[process] = nil
            case .report(let finding): context.report(finding)
            case .rescan:
                backOff = ProcessWatcher.firstBackOff
                scan()
            }
        }
        // Behind what was found: that one of them is gone by now is the newer of the two.
        for process in found { hold(process, name) }
        attend(name)
    }

    private func hold(_ process: ProcessIdentity, _ name: String) {
        do throws(SystemError) {
            let held = try HeldProcess(context, process) { [unowned self] in event($0, name) }
            sets[name]?.held[process] = held
            if held.hasEnded { event(held, name) }
        } catch {
            // ESRCH: it ended between the scan and now. Anything else: only scans can tell its end.
            guard error.number == 3 else {
                let subject = Subject(.process, name)
                context.limited.event(
                    .watchedWithLess, key: "\(subject)",
                    "\(subject): \(error); its end is told by scans alone",
                    ["subject": "\(subject)"])
                return perform(sets[name]?.machine.notHeld(process) ?? [], name)
            }
            ended(process, .unknown, name)
        }
    }

    private func event(_ held: HeldProcess, _ name: String) {
        guard held.hasEnded else { return }
        let end = held.end
        guard sets[name]?.held[held.identity] != nil else { return learned(held, end, name) }
        if end == .unknown {
            sets[name]?.ended.append(held)
            if let count = sets[name]?.ended.count, count > ProcessWatcher.mostEnded {
                sets[name]?.ended.removeFirst()
            }
        }
        ended(held.identity, end, name)
        askSystemd(held, end, name)
    }

    /// What the kernel does not tell, systemd may: how a service's main process ended, or why it was killed.
    private func askSystemd(_ held: HeldProcess, _ end: ProcessEnd, _ name: String) {
        guard end == .unknown || end == .killed(signal: 9), let service = held.service, context.systemd.isUp
        else { return }
        context.systemd.exit(ofMain: held.identity.pid, service) { [weak self] end in
            guard let self, let end else { return }
            learned(held, end, name)
        }
    }

    private func ended(_ process: ProcessIdentity, _ end: ProcessEnd, _ name: String) {
        if isScanning { endedMeanwhile.insert(process) }
        guard let actions = sets[name]?.machine.ended(process, end) else { return }
        perform(actions, name)
    }

    /// The kernel tells how a process ended once its parent has waited for it.
    private func learned(_ held: HeldProcess, _ end: ProcessEnd, _ name: String) {
        sets[name]?.ended.removeAll { $0 === held }
        guard end != .unknown, let actions = sets[name]?.machine.learned(held.identity, end) else { return }
        perform(actions, name)
    }
}
