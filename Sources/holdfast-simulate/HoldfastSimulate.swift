// `holdfast-simulate`: the proof of the gateway's promises. Each seed is a world with its own network, clock and
// faults; a seed that fails is printed, and plays again exactly.
import ArgumentParser
import Basics
import Glibc
import Linux
import Simulation

@main
struct HoldfastSimulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast-simulate",
        abstract: "Run the gateway's machines in simulated worlds full of faults and check its promises.",
        discussion: """
            Promises: every sequence is delivered once, in order, unchanged, or told as a gap; nothing stale is \
            called live; every subscription ends up on a live path when there is one; a client can tell what it \
            did not get. Exit status: 0 they held, 1 one was broken, 64 usage.
            """,
        version: "holdfast-simulate \(Version.number)")

    @Option(help: ArgumentHelp("How many worlds (default: 100; with --seed: 1).", valueName: "count"))
    var seeds: Int?
    @Option(help: ArgumentHelp("How many faults in each.", valueName: "count")) var faults = 100
    @Option(help: ArgumentHelp("The first world's seed (default: 1).", valueName: "number"))
    var seed: UInt64?
    @Flag(help: "Print what happens, an event a line.") var trace = false
    @Flag(help: "Print the result as JSON.") var json = false
    @Option(help: ArgumentHelp("Plant a mistake, to see it found: \(Defect.list).", valueName: "name"))
    var defect: Defect?

    func validate() throws {
        guard (1...1_000_000_000).contains(worlds), faults >= 0 else {
            throw ValidationError("--seeds must be from 1 to 1000000000, --faults at least 0")
        }
    }

    private var worlds: Int { seeds ?? (seed == nil ? 100 : 1) }

    func run() throws {
        let begin = Clock.monotonic
        let first = seed ?? 1
        var results: [SimulationResult] = []
        for index in 0..<UInt64(worlds) {
            let number = first &+ index
            if trace, worlds > 1 { print("seed \(number)") }
            let plan = SimulationPlan(seed: number, faults: faults, defect: defect)
            let result = Simulation(plan, trace: trace ? { print($0) } : nil).run()
            results.append(result)
            if !result.violations.isEmpty { tell(result) }
        }
        let violations = results.reduce(0) { $0 + $1.violations.count }
        report(results, violations, Clock.monotonic - begin)
        if violations > 0 { throw ExitCode(1) }
    }

    private func tell(_ result: SimulationResult) {
        guard !trace else { return }
        let planted = defect.map { " --defect \($0.rawValue)" } ?? ""
        for violation in result.violations {
            say("seed \(result.seed): \(violation)")
        }
        say("again: holdfast-simulate --seed \(result.seed) --faults \(faults)\(planted) --trace")
    }

    /// A line for a person; beside JSON, on standard error.
    private func say(_ line: String) {
        guard json else { return print(line) }
        let bytes = Array("\(line)\n".utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private func report(_ results: [SimulationResult], _ violations: Int, _ took: Duration) {
        let faults = results.reduce(0) { $0 + $1.faults }
        let messages = results.reduce(0) { $0 + $1.messages }
        let simulated = results.reduce(Duration.zero) { $0 + $1.simulated }
        let failed = results.filter { !$0.violations.isEmpty }.map(\.seed)
        guard json else {
            guard !trace else { return }
            return print(
                "\(results.count) seeds, \(faults) faults, \(violations) violations, \(messages) messages, \(Int(simulated.inSeconds)) s simulated in \(took.inSeconds) s"
            )
        }
        let report = JSON.object([
            JSON.Member("seeds", .integer(Int64(results.count))),
            JSON.Member("faults", .integer(Int64(faults))),
            JSON.Member("violations", .integer(Int64(violations))),
            JSON.Member("messages", .integer(Int64(clamping: messages))),
            JSON.Member("simulated_seconds", .number(simulated.inSeconds)),
            JSON.Member("seconds", .number(took.inSeconds)),
            JSON.Member("failed_seeds", .array(failed.map { .integer(Int64(clamping: $0)) })),
        ])
        print(report.text)
    }
}

extension Defect: ExpressibleByArgument {
    static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
