// `holdfast status`: how everything is, now.
import ArgumentParser
import Basics
import Configuration
import Linux
import Terminal
import Wire

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show how everything is that the daemons of this host watch.",
        discussion: """
            Asks the agent and, if it runs or its configuration has feeds or replicas or is refused, the \
            gateway. The exit status is that of the worst state, as monitoring plugins have it: 0 ok, \
            1 warning, 2 critical, 3 unknown or no answer.

            EXAMPLES
              holdfast status
              holdfast status --json | jq '.daemons[].states[]? | select(.status != "ok")'
              holdfast status --endpoint tcp://127.0.0.1:5556
              holdfast status --endpoint tcp://10.0.0.1:5556 --server-key 'KEY'
            """)

    @Flag(help: "Print one JSON document instead of a table.")
    var json = false
    @Flag(help: "Ask the agent of this host only.")
    var agent = false
    @Flag(help: "Ask the gateway of this host only.")
    var gateway = false
    @Option(
        name: .customLong("endpoint"),
        help: ArgumentHelp(
            "Ask the daemon whose requests are answered here; may be repeated.", valueName: "endpoint"))
    var endpoints: [String] = []
    @OptionGroup var identity: IdentityOptions
    @OptionGroup var limit: TimeLimit

    func run() throws {
        let asked = try targets()
        let outcomes = try Asking.ask(.status, of: asked, within: limit.timeLimit.duration)
        let answers = outcomes.map { DaemonAnswer(endpoint: $0.endpoint, $0.outcome) }
        if json {
            write(DaemonAnswer.json(of: answers).text + "\n")
        } else {
            show(answers)
        }
        let worst = DaemonAnswer.worst(of: answers)
        if worst != .ok { throw ExitCode(worst.exitStatus) }
    }

    /// Who is asked: who was named, else who should be here.
    private func targets() throws -> [Target] {
        var daemons: [Daemon] = []
        if agent { daemons.append(.agent) }
        if gateway { daemons.append(.gateway) }
        if daemons.isEmpty && endpoints.isEmpty {
            daemons = Daemon.expected
        }
        return try daemons.map { Target(endpoint: try $0.request()) } + identity.targets(endpoints)
    }

    private func show(_ answers: [DaemonAnswer]) {
        let states = answers.flatMap { $0.document?.states ?? [] }
        if answers.contains(where: { $0.document != nil }) {
            let lines = StatusTable.lines(
                for: states, at: Clock.wall, width: Screen.outputWidth, palette: Screen.outputPalette)
            write(lines.joined(separator: "\n") + "\n")
        }
        let incidents = IncidentLines.lines(of: states, at: Clock.wall)
        if !incidents.isEmpty { write("\n" + incidents.joined(separator: "\n") + "\n") }
        let notes = answers.flatMap { StatusNotes.lines(of: $0.reply, at: Clock.wall) }
        if !notes.isEmpty { write("\n" + notes.joined(separator: "\n") + "\n") }
        for answer in answers {
            if let failure = answer.failure { complain("\(answer.endpoint): \(failure)") }
        }
    }
}

/// What one daemon answered to `status`.
struct DaemonAnswer {
    var endpoint: String
    var document: StatusDocument?
    /// The document with all that came with it.
    var reply = JSON.object([])
    /// Why there is no document.
    var failure: String?

    init(endpoint: String, _ outcome: Outcome) {
        self.endpoint = endpoint
        switch outcome {
        case .answered(.done(let members)):
            do throws(WireError) {
                let version = JSON.Member("v", .integer(1))
                reply = .object([version] + members)
                document = try StatusDocument(json: reply)
            } catch {
                failure = "an answer that this version cannot read: \(error)"
            }
        case .answered(.refused(let reason)): failure = "refused: \(reason.printable)"
        case .silent: failure = "no answer; " + Advice.forSilence(of: endpoint)
        case .unreadable(let reason): failure = "an answer that this version cannot read: \(reason)"
        }
    }

    /// The worst state of all; a daemon without an answer is unknown.
    static func worst(of answers: [DaemonAnswer]) -> Status {
        let states = answers.flatMap { $0.document?.states.map(\.status) ?? [.unknown] }
        return Status.worst(of: states)
    }

    /// `{"worst":…,"daemons":[{"endpoint":…,"answered":true, the status document and what came with it …}]}`.
    static func json(of answers: [DaemonAnswer]) -> JSON {
        let daemons = answers.map { answer -> JSON in
            let head = [
                JSON.Member("endpoint", .string(answer.endpoint)),
                JSON.Member("answered", .bool(answer.document != nil)),
            ]
            let error = answer.failure.map { [JSON.Member("error", .string($0))] } ?? []
            let reply = answer.document == nil ? [] : answer.reply.members ?? []
            return .object(head + error + reply)
        }
        let incidents = Incident.all(of: answers.flatMap { $0.document?.states ?? [] })
        return .object([
            JSON.Member("worst", .string(worst(of: answers).rawValue)),
            JSON.Member("incidents", .array(incidents.map(\.json))),
            JSON.Member("daemons", .array(daemons)),
        ])
    }
}
