// One run of a plugin: started on a thread of its own, read within bounds, ended in time with all that it started.
import Basics
import Configuration
import Linux
import Reactor

final class CheckRun {
    /// Starts a command with an environment and where its output goes; it may never return.
    typealias Spawn = @Sendable ([String], [String], Int32) -> Result<Int32, SystemError>

    /// Bytes that are looked at; the rest is thrown away.
    private static let mostKept = 16_384
    /// After so many the pipe is closed.
    private static let mostRead = 1 << 20
    /// Bytes read before others get their turn.
    private static let mostAtOnce = 65_536
    /// How long the kernel may take to end what was killed.
    private static let killPatience: Duration = .seconds(1)
    /// What a plugin finds; nothing of the agent's own.
    private static let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "LANG=C",
    ]

    private let options: CheckOptions
    private let loop: EventLoop
    private let onStarted: (Worker) -> Void
    private let onResult: (CheckResult) -> Void
    private let onGone: () -> Void
    private let startedAt: Instant
    /// Until the program is started.
    private var worker: Worker?
    private var reading: HeldDescriptor?
    private var child: Int32?
    private var process: ProcessHolder?
    private var outputSource: IOSource?
    private var endSource: IOSource?
    private var timer: Timer?
    private var kept: [UInt8] = []
    private var readBytes = 0
    private var isKilled = false
    private var isTold = false

    private final class ProcessHolder {
        let pidfd: PIDFD
        init(_ pid: Int32) throws(SystemError) { pidfd = try PIDFD(opening: pid) }
    }

    /// - Parameters:
    ///   - onStarted: takes the thread that started the program.
    ///   - onResult: called once.
    ///   - onGone: called after that, once nothing of the run is left.
    init(
        _ options: CheckOptions, _ loop: EventLoop, onStarted: @escaping (Worker) -> Void,
        onResult: @escaping (CheckResult) -> Void, onGone: @escaping () -> Void
    ) {
        self.options = options
        self.loop = loop
        self.onStarted = onStarted
        self.onResult = onResult
        self.onGone = onGone
        startedAt = loop.now
    }

    /// Nobody is left behind.
    deinit {
        if let child, endSource != nil { Child.killGroup(child) }
    }

    /// Starts the program.
    ///
    /// - Parameter worker: a thread for that alone.
    func start(on worker: Worker, _ spawn: @escaping Spawn) {
        self.worker = worker
        do throws(SystemError) {
            let pipe = try Pipe()
            let writing = pipe.writing
            reading = pipe.reading
            timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in timeIsOver() }
            // It takes its time from here on: the disk that the program is on may hang.
            timer?.arm(at: startedAt + options.timeout)
            let (command, environment, output) = (
                options.command, CheckRun.environment, writing.descriptor.raw
            )
            let isAccepted = worker.perform({ spawn(command, environment, output) }) {
                [weak self, writing] result in
                // Our writing end lives until here, whoever has gone meanwhile.
                withExtendedLifetime(writing) {}
                guard let self else {
                    if case .success(let pid) = result { Child.killGroup(pid) }
                    return
                }
                started(result)
            }
            if !isAccepted { finish(.notStarted("too many programs wait to be started")) }
        } catch {
            finish(.notStarted("\(error)"))
        }
    }

    /// Ends it before its time. Its result is still told, and then that it is gone.
    func kill() {
        isKilled = true
        if let child { Child.killGroup(child) }
    }

    static let spawnChild: Spawn = { command, environment, output in
        do throws(SystemError) {
            return .success(try Child.start(command, environment: environment, output: output))
        } catch {
            return .failure(error)
        }
    }

    private func started(_ result: Result<Int32, SystemError>) {
        giveBack()
        switch result {
        case .failure(let error): finish(.notStarted("\(error)"))
        case .success(let pid): follow(pid)
        }
    }

    private func giveBack() {
        guard let worker else { return }
        self.worker = nil
        onStarted(worker)
    }

    private func follow(_ pid: Int32) {
        child = pid
        do throws(SystemError) {
            guard let reading else { return }
            let made = try ProcessHolder(pid)
            process = made
            outputSource = try IOSource(loop, descriptor: reading.descriptor.raw) { [unowned self] in
                readOutput(atMost: CheckRun.mostAtOnce)
            }
            endSource = try IOSource(loop, descriptor: made.pidfd.descriptor.raw) { [unowned self] in ended()
            }
            // After its output, so that what it said last is there.
            endSource?.setPriority(10)
            if isKilled { Child.killGroup(pid) }
        } catch {
            Child.killGroup(pid)
            finish(.notStarted("\(error)"))
        }
    }

    private func readOutput(atMost most: Int) {
        var left = most
        var buffer = [UInt8](repeating: 0, count: 8192)
        while left > 0, let reading {
            guard let count = (try? reading.descriptor.read(into: &buffer)) ?? nil else { return }
            guard count > 0 else { return closeOutput() }
            left -= count
            readBytes += count
            kept.append(contentsOf: buffer[..<min(count, max(0, CheckRun.mostKept - kept.count))])
            if readBytes > CheckRun.mostRead { return closeOutput() }
        }
    }

    /// Whoever goes on writing is told by SIGPIPE.
    private func closeOutput() { (outputSource, reading) = (nil, nil) }

    private func timeIsOver() {
        if isKilled {
            // It waits in the kernel, or to be started; its place is taken until it ends.
            return tell(.stuck)
        }
        isKilled = true
        if let child { Child.killGroup(child) }
        timer?.arm(at: loop.now + CheckRun.killPatience)
    }

    private func ended() {
        guard let child else { return }
        readOutput(atMost: CheckRun.mostAtOnce)
        // What it left behind goes with it, while its number is still its own.
        Child.killGroup(child)
        let end: ProcessExit?
        do throws(SystemError) { end = try Child.reap(child) } catch {
            endSource = nil
            self.child = nil
            return finish(.notStarted("its end is not known: \(error)"))
        }
        guard let exit = end else { return }
        endSource = nil
        self.child = nil
        if isKilled { return finish(.timedOut) }
        switch exit {
        case .status(let code): finish(.exited(code))
        case .signal(let number): finish(.killed(signal: number))
        }
    }

    private func finish(_ outcome: CheckOutcome) {
        timer?.disarm()
        giveBack()
        tell(outcome)
        (outputSource, endSource, reading, process) = (nil, nil, nil, nil)
        onGone()
    }

    private func tell(_ outcome: CheckOutcome) {
        guard !isTold else { return }
        isTold = true
        onResult(
            CheckResult(
                outcome, output: CheckOutput(kept), took: loop.now - startedAt,
                discarded: readBytes - kept.count))
    }
}
