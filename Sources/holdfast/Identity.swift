// Who we are to a daemon beyond this host, and which daemon we mean: the options of every command that connects.
import ArgumentParser
import Configuration
import Glibc
import Messaging
import Wire

/// A public key such as `holdfast keygen` prints.
struct PublicKeyArgument: ExpressibleByArgument {
    let key: PublicKey

    init?(argument: String) {
        guard let key = PublicKey(argument) else { return nil }
        self.key = key
    }
}

/// An endpoint, and how what goes over it is protected.
struct Target {
    var endpoint: String
    var security = EndpointSecurity.plain
}

/// The keys of a connection beyond this host.
struct IdentityOptions: ParsableArguments {
    @Option(
        name: .customLong("server-key"),
        help: ArgumentHelp(
            "The public key of the daemon at a tcp endpoint; over there, holdfast keygen --show prints it. "
                + "Repeated: one for each endpoint.", valueName: "key"))
    var serverKeys: [PublicKeyArgument] = []
    @Option(
        name: .customLong("key"),
        help: ArgumentHelp("Our own key (default: \(KeyPlace.description)).", valueName: "file"))
    var keyFile: String?

    /// The targets of endpoints that were named; ends the command if one is beyond this host and has no key.
    func targets(_ endpoints: [String]) throws -> [Target] {
        let remote = endpoints.filter { $0.hasPrefix("tcp://") }
        guard !serverKeys.isEmpty else {
            if let open = remote.first(where: { !Endpoint.isLocal($0) }) {
                complain(Self.advice(on: open))
                throw ExitCode.usage
            }
            return endpoints.map { Target(endpoint: $0) }
        }
        guard serverKeys.count == 1 && !remote.isEmpty || serverKeys.count == remote.count else {
            complain(
                remote.isEmpty
                    ? "--server-key is for a tcp endpoint; name one with --endpoint"
                    : "\(serverKeys.count) times --server-key for \(remote.count) tcp endpoints; give one, or one each"
            )
            throw ExitCode.usage
        }
        let keys = try ownKeys()
        var servers = serverKeys.map(\.key)[...]
        return endpoints.map { endpoint in
            guard endpoint.hasPrefix("tcp://"), let server = servers.first else {
                return Target(endpoint: endpoint)
            }
            if servers.count > 1 { servers = servers.dropFirst() }
            return Target(endpoint: endpoint, security: .client(keys, of: server))
        }
    }

    private static func advice(on endpoint: String) -> String {
        let hint =
            endpoint.hasPrefix("tcp://localhost:")
            ? "for this host write tcp://127.0.0.1, else name its key with --server-key"
            : "name its key with --server-key; over there, sudo holdfast keygen --show prints it"
        return "\(endpoint) is beyond this host: \(hint)"
    }

    private func ownKeys() throws -> KeyPair {
        let path = keyFile ?? KeyPlace.ofThisUser
        do throws(ConfigurationError) {
            return try KeyFile.read(path: path, isPair: \.isConsistent)
        } catch {
            complain("\(error)")
            if error.cause == .missing {
                let file = keyFile.map { " \($0)" } ?? ""
                complain("make our key with: holdfast keygen\(file)")
            }
            throw error.cause == .invalid ? ExitCode.configuration : ExitCode.noInput
        }
    }
}

/// Where the key of whoever runs the command is.
enum KeyPlace {
    static let description = "\(KeyFile.defaultPath) as root, else ~/.config/holdfast/client.key"

    static var isRoot: Bool { geteuid() == 0 }

    static var ofThisUser: String { isRoot ? KeyFile.defaultPath : home + "/.config/holdfast/client.key" }

    static var home: String {
        if let home = unsafe getenv("HOME"), unsafe home.pointee != 0 { return unsafe String(cString: home) }
        guard let entry = unsafe getpwuid(geteuid()) else { return "" }
        return unsafe String(cString: entry.pointee.pw_dir)
    }
}
