// The daemon around the gateway: start, reload, stop, and what systemd is told of each.
import Basics
import Configuration
import Gateway
import Glibc
import Linux
import Logging
import Messaging
import Reactor

final class Daemon {
    /// The status line of `systemctl status` is refreshed this often.
    static let statusEvery: Duration = .seconds(5)
    private static let name = "holdfast-gateway"

    private let config: String
    private let logger: Logger
    private let loop: EventLoop
    private let gateway: Gateway
    private var signals: [SignalSource] = []
    private var status: Timer?

    // MARK: - Entry

    static func main() -> Never {
        do throws(WrongArgument) {
            switch try Arguments(CommandLine.arguments.dropFirst()) {
            case .help:
                print(Arguments.usage)
                exit(0)
            case .version:
                print("\(name) \(Version.number)")
                exit(0)
            case .check(let config): exit(check(config))
            case .run(let config): exit(run(config))
            }
        } catch {
            complain("\(error); try --help")
            exit(64)
        }
    }

    private static func complain(_ text: String) {
        let line = Array("\(name): \(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress!, $0.count) }
    }

    private static func check(_ config: String) -> Int32 {
        do throws(ConfigurationError) {
            let options = try GatewayFile.read(path: config)
            print("\(config): good, \(options.feeds.count) feed\(options.feeds.count == 1 ? "" : "s")")
            return 0
        } catch {
            complain("\(error)")
            return 78
        }
    }

    private static func run(_ config: String) -> Int32 {
        let options: GatewayOptions
        do throws(ConfigurationError) {
            options = try GatewayFile.read(path: config)
        } catch {
            complain("\(error)")
            return 78
        }
        do {
            let daemon = try Daemon(config: config, options: options)
            return try daemon.serve()
        } catch {
            complain("\(error)")
            return 1
        }
    }

    // MARK: - Life

    private init(config: String, options: GatewayOptions) throws {
        self.config = config
        let output = LogOutput.detected
        LoggingSystem.bootstrap { _ in JournalHandler(identifier: Daemon.name, output: output) }
        logger = Logger(label: Daemon.name)
        loop = try EventLoop()
        // Blocked before libzmq starts its threads, which inherit the mask.
        var stop: (() -> Void)?
        var reload: (() -> Void)?
        signals = [
            try SignalSource(loop, signal: SIGTERM) { stop?() },
            try SignalSource(loop, signal: SIGINT) { stop?() },
            try SignalSource(loop, signal: SIGHUP) { reload?() },
        ]
        gateway = try Gateway(options, context: MessagingContext(), loop: loop, logger: logger)
        stop = { [unowned self] in self.stop() }
        reload = { [unowned self] in self.reload() }
        status = try Timer(loop, accuracy: .seconds(1)) { [unowned self] in refreshStatus() }
    }

    private func serve() throws -> Int32 {
        _ = try loop.enableWatchdog()
        logger.event(.started, level: .notice, "started, reading \(config)")
        ServiceManager.ready(status: gateway.summary)
        status?.arm(at: loop.now + Daemon.statusEvery)
        return try loop.run()
    }

    private func refreshStatus() {
        ServiceManager.status(gateway.summary)
        status?.arm(at: loop.now + Daemon.statusEvery)
    }

    private func stop() {
        ServiceManager.stopping(status: "stopping")
        logger.event(.stopping, level: .notice, "stopping")
        loop.exit(0)
    }

    /// A file that is not good changes nothing.
    private func reload() {
        ServiceManager.reloading(at: Clock.monotonic)
        do {
            try gateway.reload(try GatewayFile.read(path: config))
            logger.event(.reloaded, level: .notice, "reloaded \(config)")
            ServiceManager.ready(status: gateway.summary)
        } catch {
            logger.event(.reloadRefused, level: .error, "not reloaded, going on as before: \(error)")
            ServiceManager.ready(status: "reload refused, going on as before: \(error)")
        }
    }
}
