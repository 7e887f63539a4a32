// The gateway as the body of a daemon.
import Configuration
import Daemon
import Gateway
import Messaging
import Wire

/// Joins the gateway to the daemon's life.
final class GatewayBody: DaemonBody {
    static let profile = DaemonProfile(
        name: "holdfast-gateway",
        usage: """
            Usage: holdfast-gateway [--config FILE] [--check[=start]]

            Takes market-data feeds over redundant paths, arbitrates them by sequence and
            publishes them over ZeroMQ.

              -c, --config FILE   read this file (default: \(GatewayFile.defaultPath))
                  --check         say whether the configuration is valid, and end;
                                  --check=start: whether a start would take it
                  --version       print the version, and end
              -h, --help          print this, and end

            Signals: SIGHUP reads the file again, SIGTERM and SIGINT end the gateway.
            Exit status: 0 ended as asked, 1 could not work, 64 wrong arguments,
            78 the configuration is refused.
            """,
        defaultFile: GatewayFile.defaultPath, mayLackFile: false)

    private let gateway: Gateway

    static func read(_ file: String?) throws(ConfigurationError) -> Secured<GatewayOptions> {
        try GatewayFile.readSecured(path: file ?? GatewayFile.defaultPath) { $0.isConsistent }
    }

    static func host(of settings: Secured<GatewayOptions>) -> String? { settings.options.host }

    static func endpoints(of settings: Secured<GatewayOptions>) -> [String] {
        let options = settings.options
        return options.bus.publish + options.bus.request + options.publish
    }

    init(_ settings: Secured<GatewayOptions>, _ surroundings: DaemonSurroundings) throws {
        gateway = try Gateway(
            settings.options, credentials: settings.credentials, context: MessagingContext(),
            loop: surroundings.loop, logger: surroundings.logger, incarnation: surroundings.incarnation)
    }

    func start() {}
    func reload(_ settings: Secured<GatewayOptions>) throws {
        try gateway.reload(settings.options, credentials: settings.credentials)
    }
    func stops(because reason: String) { gateway.stops(because: reason) }
    var summary: String { gateway.summary }
    func settled() {}
}
