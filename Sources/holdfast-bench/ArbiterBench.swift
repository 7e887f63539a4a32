// The arbiter by itself: two copies of each message, in order, and with one line behind the other. And what it costs to
// keep the last value of each topic.
import Arbitration
import ArgumentParser
import Basics
import CAllocations
import Linux
import Wire

struct ArbiterBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "arbiter",
        abstract: "Time the arbiter alone, and last values: nanoseconds and allocations a message.")

    /// As many as have a last value.
    private static let topics = 100_000

    @Option(help: "Messages, each of which comes twice.") var messages = 5_000_000
    @Option(help: "By how many packets of ten messages the second line is behind.") var behind = 3
    @Option(help: "One message in so many is lost on the first line; 0: none.") var lossOn = 0

    func run() throws {
        let payload = [UInt8](repeating: 0x2A, count: 64)[...]
        var arbiter = Arbiter(options: ArbiterOptions(paths: 2))
        var delivered = offer(to: &arbiter, 1..<100_001, payload)
        let (start, before) = (Clock.monotonic, callocations_count())
        delivered = offer(to: &arbiter, 100_001..<UInt64(100_001 + messages), payload)
        let nanoseconds = Double((Clock.monotonic - start).nanoseconds)
        let allocations = callocations_count() - before
        let (perValue, valueAllocations) = keepValues(payload)
        tell([
            JSON.Member("messages", count: messages), JSON.Member("delivered", count: delivered),
            JSON.Member("offers", count: messages * 2),
            JSON.Member("ns_per_message", .number(nanoseconds / Double(messages))),
            JSON.Member("ns_per_offer", .number(nanoseconds / Double(messages * 2))),
            JSON.Member("allocations", count: allocations),
            JSON.Member("ns_per_value", .number(perValue)),
            JSON.Member("value_allocations", count: valueAllocations),
        ])
    }

    /// What the last value of each of so many topics costs, when it changes.
    private func keepValues(_ payload: ArraySlice<UInt8>) -> (nanoseconds: Double, allocations: Int) {
        var values = LastValues()
        keep(1, payload, in: &values)
        let (start, before) = (Clock.monotonic, callocations_count())
        let rounds = max(1, messages / ArbiterBench.topics)
        for round in 0..<rounds { keep(UInt64(round + 2), payload, in: &values) }
        let nanoseconds = Double((Clock.monotonic - start).nanoseconds)
        return (
            nanoseconds / Double(rounds * ArbiterBench.topics), Int(callocations_count() - before)
        )
    }

    private func keep(_ sequence: UInt64, _ payload: ArraySlice<UInt8>, in values: inout LastValues) {
        let header = FrameHeader(
            kind: .data, feed: 0, channel: 0, epoch: 1, sequence: sequence, previous: sequence - 1, path: 0,
            state: .live, receiveTime: WallTime(nanoseconds: 1))
        for topic in 0..<ArbiterBench.topics { values.keep(topic, header, body: payload.span) }
    }

    private func offer(to arbiter: inout Arbiter, _ numbers: Range<UInt64>, _ payload: ArraySlice<UInt8>)
        -> Int
    {
        var delivered = 0
        let (lag, lossOn) = (UInt64(behind * 10), UInt64(lossOn))
        var now = Clock.monotonic
        var arrival = Arrival(path: 0, session: 1, sequence: 0, receivedAt: WallTime(nanoseconds: 1))
        for start in stride(from: numbers.lowerBound, to: numbers.upperBound + lag, by: 10) {
            now = now + .microseconds(5)
            arrival.receivedAt = WallTime(nanoseconds: now.nanoseconds)
            for path in [0, 1] as [UInt8] {
                arrival.path = path
                for number in start..<start + 10 {
                    guard number >= (path == 0 ? 0 : lag) else { continue }
                    arrival.sequence = path == 0 ? number : number - lag
                    guard numbers.contains(arrival.sequence) else { continue }
                    if path == 0, lossOn > 0, number % lossOn == 0 { continue }
                    if case .deliver = arbiter.offer(arrival, payload: payload, at: now) { delivered += 1 }
                    while arbiter.mayRelease, let released = arbiter.nextReleased() {
                        if case .message = released { delivered += 1 }
                    }
                }
            }
        }
        return delivered
    }
}
