// Where the daemons of this host are: where their configuration files say or, without them, the defaults; and
// what to do when one does not answer.
import Configuration
import Glibc

enum Daemon: String, CaseIterable {
    case agent, gateway

    /// The health bus of this daemon on this host.
    var bus: BusOptions {
        switch self {
        case .agent: (try? AgentFile.read(path: AgentFile.defaultPath))?.bus ?? AgentOptions().bus
        case .gateway: (try? GatewayFile.read(path: GatewayFile.defaultPath))?.bus ?? GatewayOptions().bus
        }
    }

    var service: String { "holdfast-\(rawValue)" }

    /// The daemon that has this endpoint on this host, if one has it.
    static func owning(_ endpoint: String) -> Daemon? {
        allCases.first { $0.bus.request.contains(endpoint) || $0.bus.publish.contains(endpoint) }
    }
}

enum Advice {
    /// Whether an ipc endpoint's socket exists; other endpoints might.
    static func mightExist(_ endpoint: String) -> Bool {
        guard let path = socketPath(endpoint) else { return true }
        return unsafe access(path, F_OK) == 0
    }

    /// Why an endpoint may not answer, and what to do.
    static func forSilence(of endpoint: String) -> String {
        if let path = socketPath(endpoint), unsafe access(path, F_OK) == 0, unsafe access(path, W_OK) != 0 {
            return "permission denied: this user must be in the group of \(path)"
        }
        guard let daemon = Daemon.owning(endpoint) else { return "is a daemon running there?" }
        return "is \(daemon.service) running? systemctl status \(daemon.service)"
    }

    private static func socketPath(_ endpoint: String) -> String? {
        guard endpoint.hasPrefix("ipc:///") else { return nil }
        return String(endpoint.dropFirst(6))
    }
}
