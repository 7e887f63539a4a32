// `holdfast doctor`: what is not watched on this host and why, and what to do.
import ArgumentParser
import Basics
import Configuration
import Terminal
import Wire

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what is not watched on this host, why, and what to do.",
        discussion: """
            Looks at the host as it is (rights, sysctls, NUT, chrony, the system bus) and asks the agent and, \
            where feeds are configured, the gateway for subjects that are unknown; one that does not run is one \
            of the findings. Changes nothing. The exit status is 0 if there is nothing to do, else 1.

            EXAMPLES
              sudo holdfast doctor
              holdfast doctor --json | jq '.findings[] | select(.verdict == "advice")'
            """)

    @Flag(help: "Print one JSON document.")
    var json = false
    @Option(
        name: .customLong("agent-config"),
        help: ArgumentHelp("The agent's configuration file.", valueName: "file"))
    var agentFile = AgentFile.defaultPath
    @Option(
        name: .customLong("gateway-config"),
        help: ArgumentHelp("The gateway's configuration file.", valueName: "file"))
    var gatewayFile = GatewayFile.defaultPath
    @OptionGroup var limit: TimeLimit

    func run() throws {
        let facts = try DoctorReader(agentFile: agentFile, gatewayFile: gatewayFile).facts(
            within: limit.timeLimit.duration)
        let findings = DoctorChecks.findings(of: facts)
        let isWell = findings.allSatisfy { $0.verdict != .advice }
        if json {
            let document = JSON.object([
                JSON.Member("ok", .bool(isWell)),
                JSON.Member("findings", .array(findings.map(\.json))),
            ])
            write(document.text + "\n")
        } else {
            write(DoctorReport.lines(findings, palette: Screen.outputPalette).joined(separator: "\n") + "\n")
        }
        if !isWell { throw ExitCode.failure }
    }
}
