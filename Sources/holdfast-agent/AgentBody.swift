// The agent as the body of a daemon.
import Configuration
import Daemon
import Messaging
import Watchers
import Wire

/// Joins the agent to the daemon's life.
final class AgentBody: DaemonBody {
    static let profile = DaemonProfile(
        name: "holdfast-agent",
        usage: """
            Usage: holdfast-agent [--config FILE] [--check[=start]]

            Watches this host's network interfaces, ways out and processes, and publishes
            every change over ZeroMQ and to the journal. Without a configuration file it
            finds what there is to watch.

              -c, --config FILE   read this file (default: \(AgentFile.defaultPath), which
                                  may be missing)
                  --check         say whether the configuration is valid, and end;
                                  --check=start: whether a start would take it
                  --version       print the version, and end
              -h, --help          print this, and end

            Signals: SIGHUP reads the file again, SIGTERM and SIGINT end the agent.
            Exit status: 0 ended as asked, 1 could not work, 64 wrong arguments,
            78 the configuration is refused.
            """,
        defaultFile: AgentFile.defaultPath, mayLackFile: true)

    private let agent: Agent

    static func read(_ file: String?) throws(ConfigurationError) -> Secured<AgentOptions> {
        try read(file, isStart: false)
    }

    static func readToStart(_ file: String?) throws(ConfigurationError) -> Secured<AgentOptions> {
        try read(file, isStart: true)
    }

    private static func read(_ file: String?, isStart: Bool) throws(ConfigurationError) -> Secured<
        AgentOptions
    > {
        guard let file else { return Secured(AgentOptions()) }
        return try AgentFile.readSecured(path: file, isStart: isStart) { $0.isConsistent }
    }

    static func host(of settings: Secured<AgentOptions>) -> String? { settings.options.host }

    static func endpoints(of settings: Secured<AgentOptions>) -> [String] {
        settings.options.bus.publish + settings.options.bus.request
    }

    init(_ settings: Secured<AgentOptions>, _ surroundings: DaemonSurroundings) throws {
        agent = try Agent(
            settings.options, credentials: settings.credentials, loop: surroundings.loop,
            logger: surroundings.logger, without: WithoutFeatures.named(in: "HOLDFAST_WITHOUT"),
            incarnation: surroundings.incarnation)
    }

    func start() { agent.start() }
    func reload(_ settings: Secured<AgentOptions>) {
        agent.reload(settings.options, credentials: settings.credentials)
    }
    func stops(because reason: String) { agent.stops(because: reason) }
    var summary: String { agent.summary }
    /// An agent shares its host with what it watches.
    func settled() { ProgramText.release() }
}
