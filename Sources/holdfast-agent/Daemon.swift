// The life of the daemon: configuration, signals, systemd.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Reactor
import Watchers

/// sysexits(3).
enum ExitCode {
    static let fine: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let configuration: Int32 = 78
}

func runAgent(arguments: [String]) -> Int32 {
    switch Invocation(arguments) {
    case .version:
        print("holdfast-agent \(Version.number)")
        return ExitCode.fine
    case .help:
        print(usage, terminator: "")
        return ExitCode.fine
    case .wrong(let reason):
        complain("\(reason)\nTry 'holdfast-agent --help'.")
        return ExitCode.usage
    case .check(let file): return check(file)
    case .run(let file): return Daemon.run(file)
    }
}

/// One line, or several, on standard error.
private func complain(_ text: String) {
    let line = Array("holdfast-agent: \(text)\n".utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
}

/// The options of a file; of the default file, the defaults where it does not exist.
private func options(from file: String?) throws(ConfigurationError) -> AgentOptions {
    if file == nil, !Files.exists(AgentFile.defaultPath) { return AgentOptions() }
    return try AgentFile.read(path: file ?? AgentFile.defaultPath)
}

private func check(_ file: String?) -> Int32 {
    do throws(ConfigurationError) {
        _ = try options(from: file)
        let isDefault = file == nil && !Files.exists(AgentFile.defaultPath)
        print(isDefault ? "no configuration: the defaults hold" : "\(file ?? AgentFile.defaultPath): fine")
        return ExitCode.fine
    } catch {
        complain("\(error)")
        return ExitCode.configuration
    }
}

/// The running agent with its signals.
final class Daemon {
    private static let signals = [SIGTERM, SIGINT, SIGHUP]

    private let file: String?
    private let loop: EventLoop
    private let agent: Agent
    private let logger: Logger
    private var relays: [SignalRelay] = []
    private var statusTimer: Timer?
    private var shownStatus = ""
    private var hasReleasedText = false

    static func run(_ file: String?) -> Int32 {
        let logger = makeLogger()
        let given: AgentOptions
        do throws(ConfigurationError) { given = try options(from: file) } catch {
            complain("\(error)")
            return ExitCode.configuration
        }
        do {
            return try Daemon(file, given, logger).run()
        } catch {
            logger.event(.cannotStart, "\(error); the agent cannot work")
            return ExitCode.failed
        }
    }

    private static func makeLogger() -> Logger {
        let output = LogOutput.detected
        return Logger(label: "holdfast-agent") { JournalHandler(identifier: $0, output: output) }
    }

    private init(_ file: String?, _ options: AgentOptions, _ logger: Logger) throws {
        self.file = file
        self.logger = logger
        loop = try EventLoop()
        // Signals are blocked before any thread is made.
        let loop = loop
        relays = try Daemon.signals.map { try SignalRelay(loop, $0) }
        Daemon.makeFolders(for: options.bus)
        agent = try Agent(options, loop: loop, logger: logger)
    }

    private func run() throws -> Int32 {
        _ = try loop.enableWatchdog()
        statusTimer = try Timer(loop, accuracy: .milliseconds(250)) { [unowned self] in showStatus() }
        for (number, relay) in zip(Daemon.signals, relays) {
            relay.onSignal = { [unowned self] in number == SIGHUP ? reload() : stop(number) }
        }
        agent.start()
        logger.event(.started, level: .notice, "started, host \(agent.host)")
        shownStatus = agent.summary
        ServiceManager.ready(status: shownStatus)
        statusTimer?.arm(at: loop.now + .seconds(1))
        return try loop.run()
    }

    /// `systemctl status` shows the state of the host, too.
    private func showStatus() {
        if !hasReleasedText {
            hasReleasedText = true
            ProgramText.release()
        }
        if agent.summary != shownStatus {
            shownStatus = agent.summary
            ServiceManager.status(shownStatus)
        }
        statusTimer?.arm(at: loop.now + .seconds(1))
    }

    private func stop(_ number: Int32) {
        logger.event(.stopping, level: .notice, "stopping on \(number == SIGTERM ? "SIGTERM" : "SIGINT")")
        ServiceManager.stopping(status: "stopping")
        loop.exit(ExitCode.fine)
    }

    /// A file that is refused changes nothing.
    private func reload() {
        ServiceManager.reloading(at: loop.now)
        do throws(ConfigurationError) {
            agent.reload(try options(from: file))
            hasReleasedText = false
            ServiceManager.ready(status: agent.summary)
        } catch {
            logger.event(
                .reloadRefused, level: .error,
                "the configuration is refused, keeping the one in force: \(error)")
            ServiceManager.ready(status: "reload refused: \(error.problems.first.map { "\($0)" } ?? "")")
        }
    }

    /// The folders of `ipc:` endpoints, as the service manager would have made them.
    private static func makeFolders(for bus: BusOptions) {
        for endpoint in bus.publish + bus.request where endpoint.hasPrefix("ipc:///") {
            let path = endpoint.dropFirst("ipc://".count)
            guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { continue }
            _ = unsafe mkdir(String(path[..<slash]), 0o750)
        }
    }
}

/// A signal on the loop whose meaning comes later.
private final class SignalRelay {
    var onSignal: () -> Void = {}
    private var source: SignalSource?

    init(_ loop: EventLoop, _ number: Int32) throws(SystemError) {
        source = try SignalSource(loop, signal: number) { [unowned self] in onSignal() }
    }
}
