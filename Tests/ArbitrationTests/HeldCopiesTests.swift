// What a path is charged with as missed, when its copy came while another path's was waiting for its turn.
import Arbitration
import Basics
import Testing

@Suite struct HeldCopiesTests {
    @Test func `a copy that comes while the first one waits is not a loss of its path`() {
        var options = ArbiterOptions(paths: 2)
        options.historyCount = 4
        var arbiter = Arbiter(options: options)
        func offer(_ sequence: UInt64, _ path: UInt8) -> Offer {
            let arrival = Arrival(
                path: path, session: 1, sequence: sequence, receivedAt: WallTime(nanoseconds: 0))
            let offer = arbiter.offer(arrival, payload: [1], at: .zero)
            while arbiter.nextReleased() != nil {}
            return offer
        }
        for path in UInt8(0)...1 { _ = offer(1, path) }
        #expect(offer(3, 0) == .held)
        #expect(offer(3, 1) == .duplicate)
        #expect(offer(2, 1) == .deliver)
        for sequence in UInt64(4)...20 {
            for path in UInt8(0)...1 { _ = offer(sequence, path) }
        }
        #expect(arbiter.counters(of: 0).missed == 1)
        #expect(arbiter.counters(of: 1).missed == 0)
    }
}
