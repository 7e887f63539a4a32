// A limit with two levels, a dwell and damping, as a dialogue.
import Basics
import Detection
import Testing
import Wire

struct LimitTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }
    private let warning = Limit.Level(raise: 0.8, clear: 0.7)
    private let critical = Limit.Level(raise: 0.9, clear: 0.85)

    @Test func `each level is raised and cleared at its own edges`() {
        var limit = Limit(warning: warning, critical: critical)
        #expect(limit.observed(0.79, at: at(0)) == false)
        #expect(limit.observed(0.8, at: at(1)) == true)
        #expect(limit.status == .warning)
        #expect(limit.observed(0.95, at: at(2)) == true)
        #expect(limit.status == .critical)
        #expect(limit.observed(0.86, at: at(3)) == false)
        #expect(limit.observed(0.85, at: at(4)) == true)
        #expect(limit.status == .warning)
        #expect(limit.observed(0.7, at: at(5)) == true)
        #expect(limit.status == .ok)
    }

    @Test func `where little is bad, the edges are the other way round`() {
        var limit = Limit(.below, warning: .init(raise: 100, clear: 120), critical: nil)
        #expect(limit.observed(101, at: at(0)) == false)
        #expect(limit.observed(100, at: at(1)) == true)
        #expect(limit.observed(119, at: at(2)) == false)
        #expect(limit.observed(120, at: at(3)) == true)
        #expect(limit.status == .ok)
    }

    @Test func `a value must stay for the dwell`() {
        var limit = Limit(warning: warning, critical: critical, dwell: .seconds(5))
        #expect(limit.observed(1, at: at(0)) == false)
        #expect(limit.deadline == at(5))
        #expect(limit.observed(0.5, at: at(3)) == false)
        #expect(limit.deadline == nil)
        #expect(limit.observed(1, at: at(4)) == false)
        #expect(limit.passed(at(9)) == true)
        #expect(limit.status == .critical)
    }

    @Test func `an alarm that is raised at once is held until the value was good for a while`() {
        var limit = Limit(warning: warning, critical: critical, hold: .seconds(30))
        #expect(limit.observed(0.95, at: at(0)) == true)
        #expect(limit.status == .critical)
        #expect(limit.observed(0.5, at: at(1)) == false)
        #expect(limit.deadline == at(31))
        #expect(limit.observed(0.8, at: at(20)) == false)
        #expect(limit.passed(at(31)) == true)
        #expect(limit.status == .warning)
        #expect(limit.observed(0.5, at: at(40)) == false)
        #expect(limit.passed(at(69)) == false)
        #expect(limit.passed(at(70)) == true)
        #expect(limit.status == .ok)
    }

    @Test func `what comes and goes stays told until its window is over`() {
        var limit = Limit(
            warning: warning, critical: nil, flapCount: 3, flapWindow: .seconds(60))
        for round in 0..<2 {
            #expect(limit.observed(1, at: at(Int64(round * 10))) == true)
            #expect(limit.observed(0, at: at(Int64(round * 10 + 5))) == true)
        }
        #expect(limit.observed(1, at: at(20)) == true)
        #expect(limit.observed(0, at: at(25)) == false)
        #expect(limit.status == .warning)
        #expect(limit.isFlapping)
        #expect(limit.deadline == at(60))
        #expect(limit.observed(1, at: at(40)) == false)
        #expect(limit.observed(0, at: at(45)) == false)
        #expect(limit.passed(at(69)) == false)
        #expect(limit.passed(at(70)) == true)
        #expect(limit.status == .ok)
        #expect(!limit.isFlapping)
    }

    @Test func `what is not a number changes nothing, and a reset forgets`() {
        var limit = Limit(warning: warning, critical: nil)
        #expect(limit.observed(.nan, at: at(0)) == false)
        #expect(limit.observed(.infinity, at: at(1)) == true)
        limit.reset()
        #expect(limit.status == .ok)
        #expect(limit.deadline == nil)
    }

    @Test func `without levels everything is well`() {
        var limit = Limit(warning: nil, critical: nil, flapCount: 1)
        #expect(limit.observed(1_000_000, at: at(0)) == false)
        #expect(limit.status == .ok)
    }
}
