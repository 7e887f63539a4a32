// When what was recorded is due, as dialogues: its times in, when it is to be sent out.
import Testing

@testable import Basics

private func instant(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

private struct Dialogue {
    var pace: RecordedPace
    /// The recording begins at noon.
    static let noon: Int64 = 1_767_355_200_000

    /// A piece that was recorded so many milliseconds after noon is looked at, and due then.
    mutating func piece(
        _ recorded: Int64, at now: Int64, due: Int64, _ place: SourceLocation = #_sourceLocation
    ) {
        let time = WallTime(nanoseconds: (Dialogue.noon + recorded) * 1_000_000)
        #expect(pace.due(time, at: instant(now)) == instant(due), sourceLocation: place)
    }
}

@Suite struct RecordedPaceTests {
    @Test func `the first piece is due at once and the others as long after it as they were recorded`() {
        var talk = Dialogue(pace: RecordedPace(speed: 1))
        talk.piece(250, at: 5000, due: 5000)
        talk.piece(250, at: 5000, due: 5000)
        talk.piece(260, at: 5000, due: 5010)
        // Asked again when its turn has come.
        talk.piece(260, at: 5010, due: 5010)
        talk.piece(3_600_250, at: 5010, due: 3_605_000)
    }

    @Test func `a speed divides what lies between them`() {
        var fast = Dialogue(pace: RecordedPace(speed: 10))
        fast.piece(0, at: 100, due: 100)
        fast.piece(500, at: 100, due: 150)
        fast.piece(3_600_000, at: 150, due: 360_100)
        var slow = Dialogue(pace: RecordedPace(speed: 0.25))
        slow.piece(0, at: 100, due: 100)
        slow.piece(500, at: 100, due: 2100)
    }

    @Test func `who is late catches up, and is not late for what follows`() {
        var talk = Dialogue(pace: RecordedPace(speed: 2))
        talk.piece(0, at: 100, due: 100)
        talk.piece(20, at: 900, due: 110)
        talk.piece(40, at: 900, due: 120)
        talk.piece(2000, at: 900, due: 1100)
    }

    @Test func `flat out everything is due now`() {
        var talk = Dialogue(pace: RecordedPace(speed: nil))
        talk.piece(0, at: 100, due: 100)
        talk.piece(3_600_000, at: 101, due: 101)
        talk.piece(10, at: 102, due: 102)
    }

    @Test func `a piece without a time is due now and begins nothing`() {
        var talk = Dialogue(pace: RecordedPace(speed: 1))
        #expect(talk.pace.due(nil, at: instant(7)) == instant(7))
        talk.piece(100, at: 50, due: 50)
        #expect(talk.pace.due(nil, at: instant(60)) == instant(60))
        talk.piece(130, at: 60, due: 80)
    }

    @Test func `a recording whose clock was set back goes on at once, and one set forward waits`() {
        var talk = Dialogue(pace: RecordedPace(speed: 1))
        talk.piece(1000, at: 50, due: 50)
        talk.piece(0, at: 60, due: -950)
        talk.piece(1020, at: 60, due: 70)
    }

    @Test func `what is due after the end of time is not due before it`() {
        var talk = Dialogue(pace: RecordedPace(speed: 0.000_001))
        talk.piece(0, at: 50, due: 50)
        let tomorrow = WallTime(nanoseconds: (Dialogue.noon + 86_400_000) * 1_000_000)
        #expect(talk.pace.due(tomorrow, at: instant(60)) == Instant(nanoseconds: .max))
    }
}
