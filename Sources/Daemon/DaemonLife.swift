// The life of a daemon: command line, configuration, signals, and what the service manager and the journal are
// told of each. Both daemons live it; what they do is their body's.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Reactor
import Wire

/// sysexits(3).
enum ExitCode {
    static let fine: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let configuration: Int32 = 78
}

/// A running daemon with its signals.
public final class DaemonLife<Body: DaemonBody> {
    /// How often `systemctl status` is brought up to date.
    private let statusEvery: Duration = .seconds(1)
    /// What libzmq's thread gets to send the last words; a second signal ends it at once.
    private let lastWordsTake: Duration = .milliseconds(50)

    private let file: String?
    private let loop: EventLoop
    private let log: DaemonLog
    private let body: Body
    private var signals: [SignalSource] = []
    private var timer: Timer?
    private var shownStatus = ""
    private var hasSettled = false
    private var isStopping = false
    private var ending: Timer?
    private var wasReloadRefused = false
    /// The service manager has been told that a start or a reload is over.
    private var isReadyTold = false

    // MARK: - Entry

    /// Does what the command line says; returns the exit status.
    public static func main(_ arguments: [String]) -> Int32 {
        switch Invocation(arguments) {
        case .version:
            print("\(Body.profile.name) \(Version.number)")
            return ExitCode.fine
        case .help:
            print(Body.profile.usage)
            return ExitCode.fine
        case .wrong(let reason):
            complain("\(reason)\nTry '\(Body.profile.name) --help'.")
            return ExitCode.usage
        case .check(let file, let isStart): return check(file, isStart: isStart)
        case .run(let file): return run(file)
        }
    }

    /// One line, or several, on standard error.
    private static func complain(_ text: String) {
        let line = Array("\(Body.profile.name): \(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress!, $0.count) }
    }

    /// The file to read; `nil`: the default one, which is not there and need not be.
    private static func present(_ file: String?) -> String? {
        if let file { return file }
        let profile = Body.profile
        return profile.mayLackFile && !Files.exists(profile.defaultFile) ? nil : profile.defaultFile
    }

    private static func check(_ file: String?, isStart: Bool) -> Int32 {
        let file = present(file)
        do throws(ConfigurationError) {
            let settings = try isStart ? Body.readToStart(file) : Body.read(file)
            for warning in StartChecks.warnings(Body.endpoints(of: settings)) {
                complain("warning: \(warning)")
            }
            complain(file.map { "\($0): good" } ?? "no configuration: the defaults hold")
            return ExitCode.fine
        } catch {
            complain("\(error)")
            return ExitCode.configuration
        }
    }

    private static func run(_ file: String?) -> Int32 {
        let record = IncarnationFile(daemon: Body.profile.name)
        let last = Result { () throws(SystemError) in try record.read() }
        let number = RunNumber(startedAt: Clock.wall, after: try? last.get())
        var log = DaemonLog(Body.profile.name, host: nil, number.incarnation)
        do throws(ConfigurationError) {
            let settings = try Body.readToStart(present(file))
            log = log.of(Body.host(of: settings), number.incarnation)
            return start(file, settings, number, log) {
                if case .failure(let error) = last { notKept(error, log) }
                do throws(SystemError) { try record.keep(number.incarnation) } catch { notKept(error, log) }
            }
        } catch {
            log.logger.event(.configurationRefused, "the configuration is refused: \(error)", error.fields)
            ServiceManager.status("the configuration is refused: \(error.firstLine)")
            return ExitCode.configuration
        }
    }

    /// - Parameter onStarted: called when nothing can keep it from working any more.
    private static func start(
        _ file: String?, _ settings: Body.Settings, _ number: RunNumber, _ log: DaemonLog,
        onStarted: () -> Void
    ) -> Int32 {
        // Before any other thread is started.
        let onIsolated = Housekeeping.leaveIsolatedProcessors()
        do {
            try StartChecks.requireDescriptors()
            StartChecks.makeFolders(of: Body.endpoints(of: settings))
            let life = try DaemonLife(file, settings, number.incarnation, log)
            tellDoubt(number, log)
            if let onIsolated { tellIsolated(onIsolated, log) }
            onStarted()
            return try life.run(number.incarnation)
        } catch {
            log.logger.event(.cannotStart, "cannot start: \(error)")
            ServiceManager.status("cannot start: \(error)")
            return ExitCode.failed
        }
    }

    private static func tellDoubt(_ number: RunNumber, _ log: DaemonLog) {
        guard let doubt = number.doubt else { return }
        let cause =
            switch doubt {
            case .notSet: "which is before this program was made"
            case .behind(let last): "but the run before began at \(last.time.rfc3339)"
            }
        log.logger.event(
            .clockNotSet,
            "the clock says \(Clock.wall.rfc3339), \(cause): times are wrong until it is set; "
                + "see timedatectl and chronyc tracking")
    }

    private static func tellIsolated(_ why: String, _ log: DaemonLog) {
        log.logger.event(
            .onIsolatedProcessors,
            "it may run on processors that are set apart (isolcpus=, nohz_full=): \(why); see CPUAffinity= of the unit"
        )
    }

    private static func notKept(_ error: SystemError, _ log: DaemonLog) {
        log.logger.event(
            .incarnationNotKept,
            "\(error); if the clock is behind at a later start, subscribers will take that run for an older one"
        )
    }

    // MARK: - Life

    private init(
        _ file: String?, _ settings: Body.Settings, _ incarnation: Incarnation, _ log: DaemonLog
    ) throws {
        self.file = file
        self.log = log
        let loop = try EventLoop()
        self.loop = loop
        // Blocked before libzmq and the workers start their threads, which inherit the mask.
        var onSignal: ((Int32) -> Void)?
        signals = try [SIGTERM, SIGINT, SIGHUP].map { number in
            try SignalSource(loop, signal: number) { onSignal?(number) }
        }
        body = try Body(
            settings, DaemonSurroundings(loop: loop, logger: log.logger, incarnation: incarnation))
        onSignal = { [unowned self] in $0 == SIGHUP ? reload() : stop($0) }
        timer = try Timer(loop, accuracy: .milliseconds(250)) { [unowned self] in lookAround() }
        ending = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in self.loop.exit(ExitCode.fine)
        }
    }

    private func run(_ incarnation: Incarnation) throws -> Int32 {
        _ = try loop.enableWatchdog()
        body.start()
        log.logger.event(.started, "started, \(body.summary)")
        tellReady(waits: true)
        timer?.arm(at: loop.now + statusEvery)
        return try loop.run()
    }

    private var status: String {
        wasReloadRefused ? "the last reload was refused, see the journal; \(body.summary)" : body.summary
    }

    /// Said again each time that this looks around, until a manager that is behind has taken it; then nobody waits for it.
    private func tellReady(waits: Bool) {
        shownStatus = status
        isReadyTold = ServiceManager.ready(status: shownStatus, waits: waits)
    }

    private func lookAround() {
        if !hasSettled {
            hasSettled = true
            body.settled()
        }
        if !isReadyTold, !isStopping {
            tellReady(waits: false)
        } else if status != shownStatus, ServiceManager.status(status) {
            shownStatus = status
        }
        log.tellLost()
        timer?.arm(at: loop.now + statusEvery)
    }

    private func stop(_ number: Int32) {
        guard !isStopping else { return loop.exit(ExitCode.fine) }
        isStopping = true
        let name = number == SIGTERM ? "SIGTERM" : "SIGINT"
        log.logger.event(.stopping, "stopping on \(name)")
        ServiceManager.stopping(status: "stopping")
        body.stops(because: "stopped by \(name)")
        ending?.arm(at: loop.now + lastWordsTake)
    }

    /// A file that is refused changes nothing.
    private func reload() {
        ServiceManager.reloading(at: loop.now)
        do {
            try body.reload(try Body.read(Self.present(file)))
            wasReloadRefused = false
            log.logger.event(.reloaded, "configuration read again, \(body.summary)")
        } catch {
            wasReloadRefused = true
            let fields = (error as? ConfigurationError)?.fields ?? [:]
            let event = (error as? any JournalledError)?.event ?? .reloadRefused
            log.logger.event(event, "reload refused, going on as before: \(error)", fields)
        }
        hasSettled = false
        tellReady(waits: true)
    }
}

extension ConfigurationError {
    /// HOLDFAST_FILE, and HOLDFAST_LINE where it is known, of the first problem.
    fileprivate var fields: Logger.Metadata {
        var fields: Logger.Metadata = ["file": "\(file)"]
        if let line = problems.first?.line { fields["line"] = "\(line)" }
        return fields
    }

    fileprivate var firstLine: Substring { description.prefix { !$0.isNewline } }
}
