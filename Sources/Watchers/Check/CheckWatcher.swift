// The shell of all checks: who is due gets a place, a few at a time.
import Basics
public import Configuration
public import Linux
import Reactor
import Wire

/// Runs monitoring plugins.
public final class CheckWatcher: Watcher {
    private let context: WatcherContext
    private let spawn: CheckRun.Spawn
    /// Threads that start programs, and have none to start. A program has one to itself, since the disk that it is on
    /// may hang: they are as many as the places at most.
    private var starters: [Worker] = []
    private var options: [CheckOptions]
    private var checks: [String: CheckMachine] = [:]
    private var places = CheckPlaces()
    /// By number.
    private var runs: [Int: CheckRun] = [:]
    /// Runs that have ended and are let go of outside of their own callbacks.
    private var ended: [CheckRun] = []
    private var timer: Timer?
    private var sweeper: DeferredSource?

    public convenience init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        try self.init(context, options, spawn: CheckRun.spawnChild)
    }

    init(
        _ context: WatcherContext, _ options: AgentOptions, spawn: @escaping CheckRun.Spawn
    ) throws(SystemError) {
        self.context = context
        self.spawn = spawn
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
        for number in places.cancel(name) { runs[number]?.kill() }
    }

    private func schedule() { timer?.arm(at: checks.values.map(\.deadline).min()) }

    private func tick() {
        let now = context.loop.now
        for name in checks.keys.sorted() {
            if let finding = checks[name]?.tick(at: now) ?? nil { context.report(finding) }
            if checks[name]?.takeTurn(at: now) == true { places.due(name) }
        }
        startWaiting()
        schedule()
    }

    private func startWaiting() {
        while let next = places.next() {
            if let check = checks[next.name] { run(check, next) } else { places.gone(next.number) }
        }
    }

    private func run(_ check: CheckMachine, _ place: CheckPlaces.Run) {
        let (name, number) = (place.name, place.number)
        do throws(SystemError) {
            let starter = if let starter = starters.popLast() { starter } else { try Worker(context.loop) }
            let run = CheckRun(
                check.options, context.loop, onStarted: { [unowned self] in starters.append($0) },
                onResult: { [unowned self] in
                    if places.isOfUse(number) { finished(name, $0) }
                }, onGone: { [unowned self] in gone(number) })
            runs[number] = run
            run.start(on: starter, spawn)
        } catch {
            places.gone(number)
            finished(name, CheckResult(.notStarted("\(error)")))
        }
    }

    private func finished(_ name: String, _ result: CheckResult) {
        guard let finding = checks[name]?.finished(result, at: context.loop.now) else { return }
        context.report(finding)
        schedule()
    }

    private func gone(_ number: Int) {
        places.gone(number)
        if let run = runs.removeValue(forKey: number) { ended.append(run) }
        sweeper?.arm()
    }
}
