// `holdfast history`: the last seconds of a subject's numbers, as its daemon remembers them.
import ArgumentParser
import Basics
import Configuration
import Terminal
import Wire

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Show how a subject's numbers moved in the last seconds.",
        discussion: """
            The agent keeps the last minute of each subject, ten readings a second of NICs, paths and pressure; \
            how much is set in [history]. The lowest block is the least of what is shown, the highest the most.

            EXAMPLES
              holdfast history path/isp-a
              holdfast history nic/eth0 --seconds 10
              holdfast history path/isp-a --json | jq '.values.rtt_s'
            """)

    @Argument(help: ArgumentHelp("KIND/NAME, as holdfast status shows it.", valueName: "subject"))
    var subject: SubjectArgument
    @Option(help: ArgumentHelp("How far back, at most what the daemon keeps.", valueName: "number"))
    var seconds = 60.0
    @Flag(help: "Print the points as one JSON document.")
    var json = false
    @Option(
        help: ArgumentHelp(
            "Where the daemon answers requests (default: this host's, by the subject's kind).",
            valueName: "endpoint"))
    var endpoint: String?
    @OptionGroup var identity: IdentityOptions
    @OptionGroup var limit: TimeLimit

    func validate() throws {
        guard (0.1...Request.longestHistory.inSeconds).contains(seconds) else {
            throw ValidationError("--seconds must be from 0.1 to 86400")
        }
    }

    func run() throws {
        let targets = try identity.targets([try endpoint ?? subject.subject.daemon.request()])
        let request = Request.history(subject.subject, last: .ofSeconds(seconds))
        let outcomes = try Asking.ask(request, of: targets, within: limit.timeLimit.duration)
        for (endpoint, outcome) in outcomes { try show(outcome.done(by: endpoint), from: endpoint) }
    }

    private func show(_ members: [JSON.Member], from endpoint: String) throws {
        let document: HistoryDocument
        do throws(WireError) {
            document = try HistoryDocument(json: .object([JSON.Member("v", .integer(1))] + members))
        } catch {
            throw Outcome.cannotRead("\(error)", from: endpoint)
        }
        if json { return write(document.json.text + "\n") }
        let lines = HistoryTable.lines(
            of: document, width: Screen.outputWidth, palette: Screen.outputPalette)
        write(lines.joined(separator: "\n") + "\n")
    }
}

extension Subject {
    /// Whose subject it is.
    fileprivate var daemon: Daemon {
        switch kind {
        case .feed, .feedPath, .client, .replica: .gateway
        case .nic, .path, .ups, .disk, .process, .unit, .clock, .pressure, .line, .check: .agent
        }
    }
}
