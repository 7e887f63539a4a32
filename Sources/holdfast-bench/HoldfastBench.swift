// `holdfast-bench`: what the figures are measured with: senders at a steady rate, a counting subscriber, libzmq's
// own proxy for comparison, and the arbiter by itself. `Tests/holdfast-bench` puts them together.
import ArgumentParser

@main
struct HoldfastBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast-bench",
        abstract: "The parts of Holdfast's benchmarks; Tests/holdfast-bench runs them.",
        subcommands: [
            SendMold.self, SendQuotes.self, Subscribe.self, Proxy.self, Merge.self,
            ArbiterBench.self, Knock.self,
        ])
}
