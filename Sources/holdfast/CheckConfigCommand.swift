// `holdfast check-config`: what a daemon would say of a file, before it has to.
import ArgumentParser
import Configuration
import Glibc
import Messaging
import Wire

struct CheckConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-config",
        abstract: "Check configuration files as the daemons would read them.",
        discussion: """
            Tells by its sections whether a file is the agent's, the gateway's or the list of clients. Every \
            problem is shown with its line. Where endpoints beyond this host need them, the key and the list of \
            clients are checked too, as far as this user may read them. The exit status is 0 if all files are \
            good, 78 if one is wrong, 66 if one cannot be read.

            EXAMPLES
              holdfast check-config /etc/holdfast/agent.toml
              sudo holdfast check-config /etc/holdfast/*.toml
            """)

    @Flag(help: "The files are for the agent.")
    var agent = false
    @Flag(help: "The files are for the gateway.")
    var gateway = false
    @Argument(help: ArgumentHelp("The files; - is standard input.", valueName: "file"))
    var files: [String]

    func validate() throws {
        if agent && gateway {
            throw ValidationError("a file is for the agent or for the gateway, not for both")
        }
    }

    func run() throws {
        var worst = ExitCode.success
        for file in files {
            do throws(ConfigurationError) {
                write("\(file): OK, \(try check(file))\n")
            } catch {
                write("\(error)\n", to: STDERR_FILENO)
                let code: ExitCode = error.cause == .invalid ? .configuration : .noInput
                if worst != .configuration { worst = code }
            }
        }
        if worst != .success { throw worst }
    }

    /// Reads the file as the daemon that it is for, and says what it is.
    private func check(_ file: String) throws(ConfigurationError) -> String {
        let name = file == "-" ? "standard input" : file
        let text = try file == "-" ? FileText.readStandardInput() : FileText.read(path: file)
        switch agent ? .agent : gateway ? .gateway : ConfigurationFile.kind(of: text) ?? kindByName(file) {
        case .agent:
            try checkAgent(text, name)
            return "for the agent"
        case .gateway:
            try checkGateway(text, name)
            return "for the gateway"
        case .clients:
            let list = try file == "-" ? ClientsFile.parse(text, name: name) : ClientsFile.read(path: file)
            return "a list of \(list.count) client\(list.count == 1 ? "" : "s")"
        case nil:
            try checkAgent(text, name)
            try checkGateway(text, name)
            return "for either daemon"
        }
    }

    private func checkAgent(_ text: String, _ name: String) throws(ConfigurationError) {
        let options = try AgentFile.parse(text, name: name)
        try checkKeys(of: name) { () throws(ConfigurationError) in
            _ = try AgentFile.passwords(for: options, text: text, name: name)
            _ = try AgentFile.credentials(for: options, text: text, name: name, isPair: \.isConsistent)
        }
    }

    private func checkGateway(_ text: String, _ name: String) throws(ConfigurationError) {
        let options = try GatewayFile.parse(text, name: name)
        try checkKeys(of: name) { () throws(ConfigurationError) in
            _ = try GatewayFile.logins(for: options, text: text, name: name)
            _ = try GatewayFile.credentials(for: options, text: text, name: name, isPair: \.isConsistent)
        }
    }

    /// Keys that only the daemon's user may read are none of the file's faults.
    private func checkKeys(
        of name: String, _ read: () throws(ConfigurationError) -> Void
    ) throws(ConfigurationError) {
        do throws(ConfigurationError) {
            try read()
        } catch  where error.cause == .forbidden {
            write("\(error)\n", to: STDERR_FILENO)
            complain("\(name): its keys are not checked, which takes root or the daemon's user")
        }
    }

    /// For files whose sections say nothing, such as one in which all is commented out.
    private func kindByName(_ file: String) -> ConfigurationFile? {
        let name = file.split(separator: "/").last ?? ""
        let kinds: [(String, ConfigurationFile)] = [
            ("gateway", .gateway), ("agent", .agent), ("clients", .clients),
        ]
        return kinds.first { name.contains($0.0) }?.1
    }
}
