// The arbiter by itself: two copies of each message, in order, and with one line behind the other.
import Arbitration
import ArgumentParser
import Basics
import CAllocations
import Linux

struct ArbiterBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "arbiter", abstract: "Time the arbiter alone: nanoseconds and allocations a message.")

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
        tell([
            JSON.Member("messages", count: messages), JSON.Member("delivered", count: delivered),
            JSON.Member("offers", count: messages * 2),
            JSON.Member("ns_per_message", .number(nanoseconds / Double(messages))),
            JSON.Member("ns_per_offer", .number(nanoseconds / Double(messages * 2))),
            JSON.Member("allocations", count: allocations),
        ])
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
                    while let released = arbiter.nextReleased() {
                        if case .message = released { delivered += 1 }
                    }
                }
            }
        }
        return delivered
    }
}
