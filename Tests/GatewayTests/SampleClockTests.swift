// How often samples are due.
import Basics
import Testing

@testable import Gateway

@Suite struct SampleClockTests {
    /// Seconds at which a sample is due, where it is asked each second.
    private func due(every: Duration) -> [Int64] {
        var clock = SampleClock(every: every)
        return (0..<8).filter { clock.isDue(at: ms($0 * 1000)) }
    }

    @Test func `samples are as far apart as is asked for, and no nearer than the figures are taken`() {
        #expect(due(every: .milliseconds(100)) == Array(0..<8))
        #expect(due(every: .seconds(1)) == Array(0..<8))
        #expect(due(every: .seconds(3)) == [0, 3, 6])
        #expect(due(every: .milliseconds(2500)) == [0, 3, 6])
    }
}
