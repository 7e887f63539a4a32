// The loss window as dialogues: what is sent, what comes back, what is counted.
import Basics
import Detection
import Testing

struct LossWindowTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func window(capacity: Int = 10, minimum: Int = 3) -> LossWindow {
        LossWindow(capacity: capacity, lossAfter: .milliseconds(300), minimumSamples: minimum)
    }

    @Test func `a pending probe is not lost`() {
        var window = window()
        for step in 0..<3 { window.sent(at: at(Int64(step) * 100)) }
        #expect(window.expire(at: at(299)) == 0)
        #expect(window.lost == 0)
        #expect(window.ratio == nil)
        #expect(window.deadline == at(300))
        #expect(window.expire(at: at(300)) == 1)
        #expect(window.deadline == at(400))
    }

    @Test func `a late reply un-loses its probe and ends the run of losses`() {
        var window = window()
        for step in 0..<3 { window.sent(at: at(Int64(step) * 100)) }
        window.expire(at: at(600))
        #expect(window.lostInARow == 3)
        #expect(window.replied(1) == .late)
        #expect(window.lost == 2)
        #expect(window.lostInARow == 1)
    }

    @Test func `no ratio before the minimum of samples, and a lower bound that one loss cannot inflate`() {
        var window = window()
        window.sent(at: at(0))
        window.expire(at: at(300))
        #expect(window.ratio == nil)
        #expect(window.ratioAtLeast == 0)
        for step in 4..<6 {
            let number = window.sent(at: at(Int64(step) * 100))
            #expect(window.replied(number) == .inTime)
        }
        #expect(window.ratio == 1.0 / 3)
        #expect(window.ratioAtLeast == 0.1)
    }

    @Test func `duplicates and strangers change nothing`() {
        var window = window()
        window.sent(at: at(0))
        #expect(window.replied(0) == .inTime)
        #expect(window.replied(0) == .duplicate)
        #expect(window.replied(7) == .foreign)
        #expect(window.answered == 1)
    }

    @Test func `a probe that was never sent says nothing`() {
        var window = window()
        let number = window.sent(at: at(0))
        window.cancelled(number)
        #expect(window.expire(at: at(1000)) == 0)
        #expect(window.replied(number) == .foreign)
        #expect(window.lostInARow == 0)
    }

    @Test func `losses leave with the window and the run goes on`() {
        var window = window(capacity: 4)
        for step in 0..<8 {
            window.sent(at: at(Int64(step) * 400))
            window.expire(at: at(Int64(step) * 400 + 300))
        }
        #expect(window.lost == 4)
        #expect(window.lostInARow == 8)
        #expect(window.ratio == 1)
    }

    @Test func `the sixteen bits of a sequence find the newest probe that bears them`() {
        var window = window()
        for step in 0..<70_000 { window.sent(at: at(Int64(step))) }
        #expect(window.number(endingIn: UInt16(truncatingIfNeeded: 69_999)) == 69_999)
        #expect(window.number(endingIn: UInt16(truncatingIfNeeded: 69_990)) == 69_990)
        #expect(window.number(endingIn: UInt16(truncatingIfNeeded: 69_989)) == nil)
        #expect(window.number(endingIn: UInt16(truncatingIfNeeded: 70_000)) == nil)
    }

    @Test func `after a restart old probes are strangers and numbers go on`() {
        var window = window()
        window.sent(at: at(0))
        window.restart()
        #expect(window.replied(0) == .foreign)
        #expect(window.sent(at: at(100)) == 1)
    }

    @Test func `what was sent after the reply that ends an outage is judged on`() {
        var window = window()
        for step in 0..<6 { window.sent(at: at(Int64(step) * 100)) }
        window.expire(at: at(600))
        #expect(window.replied(2) == .late)
        window.forgetOutage()
        #expect(window.lost == 1 && window.lostInARow == 1 && window.answered == 0)
        #expect(window.replied(0) == .foreign)
        #expect(window.replied(2) == .foreign)
        #expect(window.deadline == at(700))
        #expect(window.replied(3) == .late)
        #expect(window.replied(4) == .inTime)
        #expect(window.lost == 0 && window.lostInARow == 0 && window.answered == 2)
    }

    @Test func `counts always add up, whatever happens`() {
        var random = SplitMix(state: 1)
        var window = window(capacity: 16, minimum: 1)
        var now: Int64 = 0
        for _ in 0..<50_000 {
            now += Int64(random.next() % 120)
            switch random.next() % 6 {
            case 0 where random.next() % 50 == 0: window.forgetOutage()
            case 0, 1, 2: window.sent(at: at(now))
            case 3: _ = window.replied(window.nextNumber &- (1 + random.next() % 20))
            case 4: window.cancelled(window.nextNumber &- (1 + random.next() % 20))
            default: window.expire(at: at(now))
            }
            #expect(window.lost >= 0 && window.answered >= 0)
            #expect(window.lost + window.answered <= 16)
        }
    }
}

/// A small seeded generator, so that a failure repeats.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
