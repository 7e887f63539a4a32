// Where the daemons of this host are: where their configuration files say or, without them, the defaults; and
// what to do when one does not answer.
import ArgumentParser
import Configuration
import Glibc
import Linux
import Wire

enum Daemon: String, CaseIterable {
    case agent, gateway

    /// The health bus of this daemon on this host.
    var bus: BusOptions {
        switch self {
        case .agent: (try? AgentFile.read(path: AgentFile.defaultPath))?.bus ?? AgentOptions().bus
        case .gateway: (try? GatewayFile.read(path: GatewayFile.defaultPath))?.bus ?? GatewayOptions().bus
        }
    }

    /// An endpoint of this host at which requests are answered.
    ///
    /// - Throws: the end of the command, where the daemon is configured to serve other hosts only.
    func request() throws -> String { try local(bus.request, "bus.request") }

    /// The health bus of this daemon, as this host reaches it.
    func endpoints() throws -> EndpointPair {
        EndpointPair(publish: try local(bus.publish, "bus.publish"), request: try request())
    }

    private func local(_ endpoints: [String], _ key: String) throws -> String {
        if let endpoint = endpoints.first(where: { Endpoint.isLocal($0) }) { return endpoint }
        complain(
            "the \(rawValue)'s \(key) has no endpoint for this host: add \"ipc:///run/holdfast/NAME\" to it, "
                + "or name one with --endpoint and --server-key")
        throw ExitCode.configuration
    }

    /// The daemons that should answer on this host: the agent always, a gateway that runs, has something to do, or has a
    /// file that says nothing else because it cannot be read.
    static var expected: [Daemon] {
        var options = GatewayOptions()
        do throws(ConfigurationError) {
            options = try GatewayFile.read(path: GatewayFile.defaultPath)
        } catch {
            if error.cause != .missing { return allCases }
        }
        let hasGateway = options.hasWork || Advice.mightExist(options.bus.request[0])
        return hasGateway ? allCases : [.agent]
    }

    var service: String { "holdfast-\(rawValue)" }

    /// The services that are installed here, for `systemctl`.
    static var services: String {
        let files: [(Daemon, String)] = [
            (.agent, AgentFile.defaultPath), (.gateway, GatewayFile.defaultPath),
        ]
        let present = files.filter { Files.exists($0.1) }.map(\.0)
        return (present.isEmpty ? allCases : present).map(\.service).joined(separator: " ")
    }

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
        if let path = socketPath(endpoint), unsafe access(path, W_OK) != 0, errno == EACCES {
            let members = group(of: path).map { "the group \($0)" } ?? "the group of \(path)"
            return "permission denied: try sudo, or make this user a member of \(members)"
        }
        if !Endpoint.isLocal(endpoint) {
            return "is a daemon running there, is --server-key its public key, and has it authorized ours?"
        }
        guard let daemon = Daemon.owning(endpoint) else { return "is a daemon running there?" }
        return "is \(daemon.service) running? systemctl status \(daemon.service)"
    }

    /// The group of a file or, where this user may not even see it, of its folder.
    private static func group(of path: String) -> String? {
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        var status = stat()
        guard unsafe stat(path, &status) == 0 || stat(folder, &status) == 0 else { return nil }
        guard let entry = unsafe getgrgid(status.st_gid) else { return nil }
        return unsafe String(cString: entry.pointee.gr_name)
    }

    private static func socketPath(_ endpoint: String) -> String? {
        guard endpoint.hasPrefix("ipc:///") else { return nil }
        return String(endpoint.dropFirst(6))
    }
}
