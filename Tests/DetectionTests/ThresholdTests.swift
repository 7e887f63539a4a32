// Hysteresis, flap damping and liveness as dialogues.
import Basics
import Detection
import Testing

struct ThresholdTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func `between the edges nothing changes`() {
        var alarm = Hysteresis(raise: 0.02, clear: 0.01)
        #expect(alarm.observed(0.015, at: at(0)) == false)
        #expect(alarm.observed(0.02, at: at(1)) == true)
        #expect(alarm.observed(0.015, at: at(2)) == false)
        #expect(alarm.isRaised)
        #expect(alarm.observed(0.01, at: at(3)) == true)
        #expect(!alarm.isRaised)
    }

    @Test func `a peak shorter than the dwell raises nothing`() {
        var alarm = Hysteresis(raise: 10, clear: 5, dwell: .milliseconds(100))
        #expect(alarm.observed(11, at: at(0)) == false)
        #expect(alarm.deadline == at(100))
        #expect(alarm.observed(9, at: at(50)) == false)
        #expect(alarm.deadline == nil)
        #expect(alarm.observed(11, at: at(60)) == false)
        #expect(alarm.passed(at(159)) == false)
        #expect(alarm.passed(at(160)) == true)
        #expect(alarm.isRaised)
    }

    @Test func `a dip shorter than the hold clears nothing, and the dwell is for raising alone`() {
        var alarm = Hysteresis(raise: 10, clear: 5, dwell: .milliseconds(100), hold: .milliseconds(900))
        #expect(alarm.observed(11, at: at(0)) == false)
        #expect(alarm.observed(11, at: at(100)) == true)
        #expect(alarm.observed(5, at: at(200)) == false)
        #expect(alarm.deadline == at(1100))
        #expect(alarm.observed(6, at: at(1000)) == false)
        #expect(alarm.deadline == nil)
        #expect(alarm.observed(4, at: at(1100)) == false)
        #expect(alarm.passed(at(1999)) == false)
        #expect(alarm.passed(at(2000)) == true)
        #expect(!alarm.isRaised)
    }

    @Test func `a value that is not a number changes nothing`() {
        var alarm = Hysteresis(raise: 1, clear: 1)
        #expect(alarm.observed(.nan, at: at(0)) == false)
        #expect(alarm.observed(.infinity, at: at(1)) == true)
        alarm.reset()
        #expect(!alarm.isRaised)
    }

    @Test func `three losses in the window flap, and time ends it`() {
        var damping = FlapDamping(count: 3, window: .seconds(60))
        damping.lost(at: at(0))
        damping.lost(at: at(1000))
        #expect(!damping.isFlapping(at: at(1000)))
        #expect(damping.deadline == nil)
        damping.lost(at: at(2000))
        #expect(damping.isFlapping(at: at(2000)))
        #expect(damping.deadline == at(60_000))
        #expect(!damping.isFlapping(at: at(60_000)))
    }

    @Test func `many losses at once flap at once`() {
        var damping = FlapDamping(count: 3, window: .seconds(60))
        damping.lost(1_000_000, at: at(5))
        #expect(damping.isFlapping(at: at(5)))
        damping.lost(-1, at: at(6))
        #expect(damping.deadline == at(60_005))
    }

    @Test func `before the first word it is awaited, then alive, then silent`() {
        var liveness = Liveness(silentAfter: .milliseconds(700), from: at(0))
        #expect(liveness.state(at: at(10)) == .awaited)
        liveness.heard(at: at(100))
        #expect(liveness.state(at: at(799)) == .alive)
        #expect(liveness.deadline == at(800))
        #expect(liveness.state(at: at(800)) == .silent(since: at(100)))
        liveness.heard(at: at(50))
        #expect(liveness.silence(at: at(900)) == .milliseconds(800))
        liveness.restart(at: at(1000))
        #expect(liveness.state(at: at(1001)) == .awaited)
    }
}
