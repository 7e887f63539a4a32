// How repairs are paced.
import Basics
import Testing

@testable import FeedJournal

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

private func expect(
    _ pacer: inout RepairPacer, _ client: String, _ now: Instant, _ wanted: RepairPacer.Verdict,
    _ place: SourceLocation = #_sourceLocation
) {
    let verdict = pacer.asks(client, at: now)
    #expect(verdict == wanted, sourceLocation: place)
}

@Suite struct PacerTests {
    @Test func `a client has one request at a time, and what it got it pays for with time`() {
        var pacer = RepairPacer()
        expect(&pacer, "a", ms(0), .now)
        expect(&pacer, "a", ms(0), .later(.milliseconds(10)))
        expect(&pacer, "b", ms(0), .now)
        pacer.gave("a", bytes: 8 << 20, at: ms(5))
        expect(&pacer, "a", ms(5), .later(.seconds(1)))
        expect(&pacer, "a", ms(1005), .now)
        #expect(pacer.postponed == 2)
    }

    @Test func `so many are served at once, and so many are remembered`() {
        var limits = RepairPacer.Limits()
        (limits.atOnce, limits.clients) = (2, 3)
        var pacer = RepairPacer(limits: limits)
        expect(&pacer, "a", ms(0), .now)
        expect(&pacer, "b", ms(0), .now)
        expect(&pacer, "c", ms(0), .later(.milliseconds(50)))
        for name in ["a", "b"] { pacer.gave(name, bytes: 8 << 20, at: ms(0)) }
        expect(&pacer, "c", ms(1), .now)
        expect(&pacer, "d", ms(1), .later(.milliseconds(500)))
        expect(&pacer, "d", ms(2000), .now)
    }
}
