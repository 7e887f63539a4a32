// The shell of all checks: who is due gets a place, a few at a time.
import Basics
public import Configuration
public import Linux
import Reactor
import Wire

/// Runs monitoring plugins.
public final class CheckWatcher: Watcher {
    /// Programs that run at once; the unit allows 64 tasks in all.
    static let mostAtOnce = 8

    private let context: WatcherContext
    /// Programs are started apart from other work: the disk that one is on may hang.
    private var worker: Worker?
    private var options: [CheckOptions]
    private var checks: [String: CheckMachine] = [:]
    /// Due, and waiting for a place.
    private var waiting: [String] = []
    private var running: [Int: Running] = [:]
    private var runs = 0
    /// Runs that have ended and are let go of outside of their own callbacks.
    private var ended: [CheckRun] = []
    private struct Running {
        let name: String
        let run: CheckRun
        /// Its check is no longer configured so.
        var isCancelled = false
    }

    private var timer: Timer?
    private var sweeper: DeferredSource?

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.checks
        timer = try Timer(context.loop, accuracy: .milliseconds(20)) { [unowned self] in tick() }
        sweeper = try DeferredSource(context.loop) { [unowned self] in
            ended = []
            startWaiting()
        }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        self.options = options.checks
        arrange()
    }

    public func sample() {
        for check in checks.values { context.sample(Sample(check.subject, check.values)) }
    }

    /// Brings the checks in line with the options; those whose options are the same live on.
    private func arrange() {
        for (name, check) in checks where !options.contains(check.options) {
            checks[name] = nil
            cancel(name)
            if !options.contains(where: { $0.name == name }) { context.forget(check.subject) }
        }
        for check in options where checks[check.name] == nil {
            let first = CheckMachine.firstStart(check, of: options.count, at: context.loop.now)
            var machine = CheckMachine(check, first: first)
            context.report(machine.started())
            checks[check.name] = machine
        }
        schedule()
    }

    private func cancel(_ name: String) {
        waiting.removeAll { $0 == name }
        for (number, entry) in running where entry.name == name {
            running[number]?.isCancelled = true
            entry.run.kill()
        }
    }

    private func isRunning(_ name: String) -> Bool {
        running.values.contains { $0.name == name && !$0.isCancelled }
    }

    private func schedule() { timer?.arm(at: checks.values.map(\.deadline).min()) }

    private func tick() {
        let now = context.loop.now
        for name in checks.keys.sorted() {
            if let finding = checks[name]?.tick(at: now) ?? nil { context.report(finding) }
            if checks[name]?.takeTurn(at: now) == true { waiting.append(name) }
        }
        startWaiting()
        schedule()
    }

    private func startWaiting() {
        while running.count < CheckWatcher.mostAtOnce, !waiting.isEmpty {
            let name = waiting.removeFirst()
            guard let check = checks[name], !isRunning(name) else { continue }
            run(check)
        }
    }

    private func run(_ check: CheckMachine) {
        let name = check.options.name
        do throws(SystemError) {
            let worker = if let worker { worker } else { try Worker(context.loop) }
            self.worker = worker
            runs += 1
            let number = runs
            let run = CheckRun(
                check.options, context.loop,
                onResult: { [unowned self] in
                    if running[number]?.isCancelled == false { finished(name, $0) }
                }, onGone: { [unowned self] in gone(number) })
            running[number] = Running(name: name, run: run)
            run.start(worker)
        } catch {
            finished(name, CheckResult(.notStarted("\(error)")))
        }
    }

    private func finished(_ name: String, _ result: CheckResult) {
        guard let finding = checks[name]?.finished(result, at: context.loop.now) else { return }
        context.report(finding)
        schedule()
    }

    private func gone(_ number: Int) {
        if let entry = running.removeValue(forKey: number) { ended.append(entry.run) }
        sweeper?.arm()
    }
}
