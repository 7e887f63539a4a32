// `holdfast check-config`: what a daemon would say of a file, before it has to.
import ArgumentParser
import Configuration
import Glibc

struct CheckConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-config",
        abstract: "Check configuration files as the daemons would read them.",
        discussion: """
            Tells by its sections whether a file is the agent's or the gateway's. Every problem is shown with \
            its line. The exit status is 0 if all files are good, 78 if one is wrong, 66 if one cannot be read.

            EXAMPLES
              holdfast check-config /etc/holdfast/agent.toml
              holdfast check-config /etc/holdfast/*.toml
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
                let kind = try check(file)
                write("\(file): OK, \(kind.map { "for the \($0)" } ?? "for either daemon")\n")
            } catch {
                write("\(error)\n", to: STDERR_FILENO)
                let code: ExitCode = error.cause == .unreadable ? .noInput : .configuration
                if worst != .configuration { worst = code }
            }
        }
        if worst != .success { throw worst }
    }

    /// Reads the file as the daemon that it is for; `nil`: good for either.
    private func check(_ file: String) throws(ConfigurationError) -> ConfigurationFile? {
        let name = file == "-" ? "standard input" : file
        let text = try file == "-" ? FileText.readStandardInput() : FileText.read(path: file)
        let kind = agent ? .agent : gateway ? .gateway : ConfigurationFile.kind(of: text) ?? kindByName(file)
        if kind != .gateway { _ = try AgentFile.parse(text, name: name) }
        if kind != .agent { _ = try GatewayFile.parse(text, name: name) }
        return kind
    }

    /// For files whose sections say nothing, such as one in which all is commented out.
    private func kindByName(_ file: String) -> ConfigurationFile? {
        let name = file.split(separator: "/").last ?? ""
        return name.contains("gateway") ? .gateway : name.contains("agent") ? .agent : nil
    }
}
