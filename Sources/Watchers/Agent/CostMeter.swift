// What the agent costs its host, between two heartbeats.
import Basics
import Linux
import Reactor
import Wire

struct CostMeter {
    private var last: (at: Instant, time: Duration, iterations: UInt64)?

    /// The cost since the call before; of the first call, nothing but memory.
    mutating func measure(_ loop: EventLoop) -> Cost {
        let now = loop.now
        let cost = ProcessCost.now()
        let iterations = loop.iterations
        defer { last = (now, cost.processorTime, iterations) }
        guard let last, now > last.at else {
            return Cost(cpuRatio: 0, residentBytes: cost.residentBytes, wakeupsPerSecond: 0)
        }
        let elapsed = (now - last.at).inSeconds
        return Cost(
            cpuRatio: (cost.processorTime - last.time).inSeconds / elapsed, residentBytes: cost.residentBytes,
            wakeupsPerSecond: Double(iterations &- last.iterations) / elapsed)
    }
}
