// Sessions for protocols without one: who moves to another numbering, when, and who stays.
import Basics
import Testing

@testable import Arbitration

/// A channel's labels with time in milliseconds.
private final class Labels {
    /// 2026-01-02T12:00:00Z, a Friday.
    static let noon: Int64 = 1_767_355_200_000_000_000
    private(set) var labels: SessionLabels

    init(
        paths: Int = 2, last: UInt64? = nil, period: SessionLabels.Period = .day,
        calendar: SessionCalendar? = nil, past: SessionLabels.Past? = nil
    ) {
        var options = SessionLabels.Options(paths: paths)
        options.last = last
        options.period = period
        options.calendar = calendar
        labels = SessionLabels(options: options)
        if let past { labels.remember(past) }
    }

    /// The label of a number that is the first one at that time.
    static func first(
        _ number: UInt64, count: UInt64 = 1, resets: Bool = false, at time: String,
        _ calendar: SessionCalendar? = nil, period: SessionLabels.Period = .day,
        past: SessionLabels.Past? = nil
    ) throws -> UInt64 {
        let wall = try #require(WallTime(rfc3339: time))
        return Labels(period: period, calendar: calendar, past: past).labels(number, count, resets, wall)
    }

    private func labels(_ first: UInt64, _ count: UInt64, _ resets: Bool, _ wall: WallTime) -> UInt64 {
        labels.label(
            first: first, count: count, resets: resets, path: 0, receivedAt: wall,
            at: Instant(nanoseconds: 1)
        ).session
    }

    func take(
        _ first: UInt64, count: UInt64 = 1, resets: Bool = false, on path: Int = 0, at time: Int64
    ) -> String {
        let label = labels.label(
            first: first, count: count, resets: resets, path: path,
            receivedAt: WallTime(nanoseconds: Labels.noon + time * 1_000_000),
            at: Instant(nanoseconds: time * 1_000_000))
        return "\(label.session):\(label.first)"
    }
}

@Suite struct SessionLabelTests {
    @Test func `a numbering is named by its date, the same on both paths`() {
        let labels = Labels()
        #expect(labels.take(5, at: 0) == "20260102000000:5")
        #expect(labels.take(5, on: 1, at: 1) == "20260102000000:5")
    }

    @Test func `a reset moves its path at once and the other one when it brings it`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(1000, on: 1, at: 0)
        #expect(labels.take(1, resets: true, at: 10) == "20260102001000:1")
        #expect(labels.take(1001, on: 1, at: 11) == "20260102000000:1001")
        #expect(labels.take(2, at: 12) == "20260102001000:2")
        #expect(labels.take(1, resets: true, on: 1, at: 13) == "20260102001000:1")
        #expect(!labels.labels.isInferred)
    }

    @Test func `a copy of a reset is no other one, a later reset is`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        _ = labels.take(2, at: 11)
        #expect(labels.take(1, resets: true, at: 20) == "20260102001000:1")
        #expect(labels.take(3, at: 30) == "20260102001000:3")
        #expect(labels.take(1, resets: true, at: 2000) == "20260102002000:1")
    }

    @Test
    func `a number far ahead counts when another one is near it, so that a stray packet begins nothing anew`()
    {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        _ = labels.take(4_000_000_000, at: 10)
        for (number, time) in [(1001, 600), (1002, 610), (1003, 620), (1004, 630)] as [(UInt64, Int64)] {
            #expect(labels.take(number, at: time) == "20260102000000:\(number)")
        }
        _ = labels.take(4_000_000_000, at: 1200)
        _ = labels.take(4_000_000_001, at: 1210)
        for number: UInt64 in 1...2 { _ = labels.take(number, at: 2000 + Int64(number)) }
        #expect(labels.take(3, at: 2010) == "20260102001000:3")
    }

    @Test(arguments: [5098, 1_000_000, 10_000_000] as [UInt64])
    func `a stray packet not so far ahead begins nothing anew either`(_ number: UInt64) {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        _ = labels.take(number, at: 10)
        for (number, time) in [(1001, 600), (1002, 610), (1003, 620), (1004, 630)] as [(UInt64, Int64)] {
            #expect(labels.take(number, at: time) == "20260102000000:\(number)")
        }
    }

    @Test func `a stray packet that is the first one of its path begins nothing anew either`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(1_000_000, on: 1, at: 10)
        for (number, time) in [(1001, 600), (1002, 610), (1003, 620), (1004, 630)] as [(UInt64, Int64)] {
            #expect(labels.take(number, on: 1, at: time) == "20260102000000:\(number)")
        }
    }

    @Test func `a reset within the numbers changes no numbering`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        #expect(labels.take(1001, resets: true, at: 10) == "20260102000000:1001")
    }

    @Test func `who missed the reset moves when its packets begin again`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(1000, on: 1, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        #expect(labels.take(2, on: 1, at: 11) == "20260102001000:2")
    }

    @Test func `who was away takes up the numbering of the others`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(10, on: 1, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        for number in 1...100 { _ = labels.take(UInt64(number * 20), at: 10 + Int64(number) * 10) }
        #expect(labels.take(2001, on: 1, at: 1100) == "20260102001000:2001")
    }

    @Test func `three packets that begin again after a silence are another numbering`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        // Heartbeats that announce 1.
        #expect(labels.take(1, count: 0, at: 1000) == "20260102000000:1")
        #expect(labels.take(1, count: 0, at: 2000) == "20260102000000:1")
        #expect(labels.take(1, count: 0, at: 3000) == "20260102001000:1")
        #expect(labels.labels.isInferred)
        #expect(labels.take(1, at: 4000) == "20260102001000:1")
    }

    @Test func `old packets while new ones come, or a few of them, move nobody`() {
        let labels = Labels(paths: 2)
        _ = labels.take(1000, at: 0)
        for number in 0..<50 {
            #expect(labels.take(UInt64(10 + number), on: 1, at: Int64(number)).hasPrefix("20260102000000:"))
            _ = labels.take(UInt64(1001 + number), at: Int64(number))
        }
        #expect(labels.take(5, at: 1000) == "20260102000000:5")
        #expect(labels.take(6, at: 1001) == "20260102000000:6")
        #expect(labels.take(1051, at: 1002) == "20260102000000:1051")
    }

    @Test func `after the last number comes 1, and the numbers go on`() {
        let last: UInt64 = 4_294_967_295
        let labels = Labels(last: last)
        #expect(labels.take(last - 1, count: 2, at: 0) == "20260102000000:4294967294")
        #expect(labels.take(1, at: 1) == "20260102000000:4294967296")
        // The other path is still before it, and follows.
        #expect(labels.take(last, on: 1, at: 2) == "20260102000000:4294967295")
        #expect(labels.take(1, on: 1, at: 3) == "20260102000000:4294967296")
        #expect(labels.take(2, count: 0, at: 4) == "20260102000000:4294967297")
    }

    // MARK: - What an earlier run knew

    private func past(_ session: UInt64, _ last: UInt64, at time: String) throws -> SessionLabels.Past {
        SessionLabels.Past(
            session: session, last: last, heardAt: try #require(WallTime(rfc3339: time)))
    }

    @Test func `a numbering goes on under the name that an earlier run gave it`() throws {
        let known = try past(20_260_102_001_000, 100_000, at: "2026-01-02T11:59:00Z")
        func name(_ first: UInt64, resets: Bool = false) throws -> UInt64 {
            try Labels.first(first, resets: resets, at: "2026-01-02T12:00:00Z", past: known)
        }
        for first in [34_464, 100_000, 100_001, 900_000] as [UInt64] {
            #expect(try name(first) == 20_260_102_001_000)
        }
        #expect(try name(34_463) == 20_260_102_002_000)
        #expect(try name(1, resets: true) == 20_260_102_002_000)
        #expect(try name(100_001, resets: true) == 20_260_102_001_000)
    }

    @Test func `the name after one that the arbiter inferred is the one that all give`() throws {
        let known = try past(20_260_102_001_001, 100_000, at: "2026-01-02T11:59:00Z")
        #expect(try Labels.first(100_001, at: "2026-01-02T12:00:00Z", past: known) == 20_260_102_001_001)
        #expect(
            try Labels.first(1, resets: true, at: "2026-01-02T12:00:00Z", past: known) == 20_260_102_002_000)
    }

    @Test func `without a calendar a numbering goes on beyond midnight, and not into the next day`() throws {
        let known = try past(20_260_102_000_000, 5000, at: "2026-01-02T23:59:00Z")
        #expect(try Labels.first(6000, at: "2026-01-03T00:01:00Z", past: known) == 20_260_102_000_000)
        #expect(try Labels.first(6000, at: "2026-01-03T14:00:00Z", past: known) == 20_260_103_000_000)
    }

    @Test func `a week's numbering goes on in its week`() throws {
        let known = try past(20_251_228_001_000, 5000, at: "2025-12-29T12:00:00Z")
        func name(at time: String) throws -> UInt64 {
            try Labels.first(6000, at: time, period: .week, past: known)
        }
        #expect(try name(at: "2026-01-02T12:00:00Z") == 20_251_228_001_000)
        #expect(try name(at: "2026-01-05T12:00:00Z") == 20_260_104_000_000)
    }

    @Test func `names that no clock gave, or a wrong one, are not gone on with`() throws {
        for session in [14_695_981_039_346_656_037, 20_360_102_000_000, .max] as [UInt64] {
            let known = try past(session, 5000, at: "2026-01-02T11:59:00Z")
            #expect(try Labels.first(6000, at: "2026-01-02T12:00:00Z", past: known) == 20_260_102_000_000)
        }
    }

    // MARK: - The venue's clocks

    /// From Sunday to Thursday, each session from 20:00 to 19:00 on the next day, where clocks change by the rule of New York.
    private func newYork() throws -> SessionCalendar {
        var writer = ByteWriter()
        for counts in [[0, 0, 0, 0, 1, 4], [0, 0, 0, 0, 1, 4]] as [[UInt32]] {
            writer.append(Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15))
            for count in counts { writer.bigEndian(count) }
            writer.append([UInt8](repeating: 0, count: 10))
        }
        writer.append(Array("\nEST5EDT,M3.2.0,M11.1.0\n".utf8))
        return SessionCalendar(
            zone: "America/New_York", rules: try ZoneRules(writer.bytes),
            days: [.sunday, .monday, .tuesday, .wednesday, .thursday],
            hours: [SessionHours(opens: 20 * 60, closes: 19 * 60)])
    }

    @Test func `two gateways of which one came after midnight in UTC give the same name`() throws {
        let calendar = try newYork()
        // The session of Sunday, 4 January, begins at 01:00 on the 5th in UTC.
        for time in ["2026-01-05T01:00:00Z", "2026-01-05T23:59:59Z", "2026-01-06T00:00:01Z"] {
            #expect(try Labels.first(700, at: time, calendar) == 20_260_104_000_000)
        }
        #expect(try Labels.first(700, at: "2026-01-06T01:00:00Z", calendar) == 20_260_105_000_000)
        // In summer it begins an hour earlier.
        #expect(try Labels.first(700, at: "2026-07-07T00:00:00Z", calendar) == 20_260_706_000_000)
        #expect(try Labels.first(700, at: "2026-07-06T22:59:00Z", calendar) == 20_260_705_000_000)
    }

    @Test func `a session whose clocks change while it runs keeps its name`() throws {
        // Whole days, of which 8 March has 23 hours and 1 November 25.
        var calendar = try newYork()
        calendar.days = Set(Weekday.allCases)
        calendar.hours = [SessionHours(opens: 0, closes: 1440)]
        for (time, name) in [
            ("2026-03-08T04:59:59Z", 20_260_307_000_000), ("2026-03-08T05:00:00Z", 20_260_308_000_000),
            ("2026-03-09T03:59:59Z", 20_260_308_000_000), ("2026-03-09T04:00:00Z", 20_260_309_000_000),
            ("2026-11-01T04:00:00Z", 20_261_101_000_000), ("2026-11-02T04:59:59Z", 20_261_101_000_000),
            ("2026-11-02T05:00:00Z", 20_261_102_000_000),
        ] as [(String, UInt64)] {
            #expect(try Labels.first(700, at: time, calendar) == name, "\(time)")
        }
    }

    @Test func `between two sessions a numbering is of the nearer one, and an empty one of the next`() throws
    {
        let calendar = try newYork()
        // Saturday, 10 January: the last session began on Thursday, the next one begins on Sunday.
        #expect(try Labels.first(700, at: "2026-01-10T12:00:00Z", calendar) == 20_260_108_000_000)
        #expect(try Labels.first(1, count: 0, at: "2026-01-10T12:00:00Z", calendar) == 20_260_111_000_000)
        #expect(try Labels.first(700, at: "2026-01-11T20:00:00Z", calendar) == 20_260_111_000_000)
        let known = try past(20_260_108_001_000, 700, at: "2026-01-09T23:59:00Z")
        #expect(
            try Labels.first(701, count: 0, at: "2026-01-11T20:00:00Z", calendar, past: known)
                == 20_260_108_001_000)
        #expect(
            try Labels.first(800, at: "2026-01-12T02:00:00Z", calendar, past: known) == 20_260_111_000_000)
    }

    @Test
    func `between two sessions a number that begins again is of the next one, however few the last one had`()
        throws
    {
        let calendar = try newYork()
        // Heard a minute after the end on Friday, 9 January.
        let known = try past(20_260_108_000_000, 700, at: "2026-01-10T00:01:00Z")
        func name(_ first: UInt64, count: UInt64 = 1, at time: String) throws -> UInt64 {
            try Labels.first(first, count: count, at: time, calendar, past: known)
        }
        #expect(try name(1, count: 0, at: "2026-01-10T00:02:00Z") == 20_260_111_000_000)
        #expect(try name(1, at: "2026-01-10T00:02:00Z") == 20_260_111_000_000)
        #expect(try name(20, at: "2026-01-10T00:02:00Z") == 20_260_111_000_000)
        #expect(try name(650, at: "2026-01-11T20:00:00Z") == 20_260_111_000_000)
        // The end of the last one again, on a slower line.
        #expect(try name(699, at: "2026-01-10T00:02:00Z") == 20_260_108_000_000)
        #expect(try name(701, count: 0, at: "2026-01-11T20:00:00Z") == 20_260_108_000_000)
        // What was heard of the next one goes on.
        let next = try past(20_260_111_000_000, 700, at: "2026-01-11T20:00:00Z")
        #expect(
            try Labels.first(701, at: "2026-01-11T20:01:00Z", calendar, past: next) == 20_260_111_000_000)
        #expect(
            try Labels.first(699, at: "2026-01-11T20:01:00Z", calendar, past: next) == 20_260_111_000_000)
        #expect(
            try Labels.first(1, at: "2026-01-11T20:01:00Z", calendar, past: next) == 20_260_111_001_000)
        // While a session runs, it is what an earlier run heard of it.
        let running = try past(20_260_108_000_000, 700, at: "2026-01-09T12:00:00Z")
        #expect(
            try Labels.first(1, at: "2026-01-09T12:01:00Z", calendar, past: running) == 20_260_108_000_000)
    }

    @Test func `a reset after midnight in UTC is one of the session that runs`() throws {
        let labels = Labels(paths: 1, calendar: try newYork())
        // Noon of 2 January is in the session of the 1st.
        #expect(labels.take(700, at: 0) == "20260101000000:700")
        #expect(labels.take(1, resets: true, at: 3_600_000) == "20260101001000:1")
    }

    @Test func `a venue that never trades has the dates of UTC`() throws {
        var calendar = try newYork()
        calendar.days = []
        #expect(try Labels.first(700, at: "2026-01-06T01:00:00Z", calendar) == 20_260_106_000_000)
    }

    @Test func `a week is named by its Sunday and begins on Saturday at noon`() {
        let day: Int64 = 86_400_000
        let labels = Labels(paths: 1, period: .week)
        #expect(labels.take(7, at: 0) == "20251228000000:7")
        #expect(labels.take(1, resets: true, at: 2 * day) == "20260104000000:1")
        func date(_ days: Int64) -> UInt64 {
            SessionLabels.date(of: WallTime(nanoseconds: Labels.noon + days * day * 1_000_000), .week)
        }
        #expect(date(0) == 20_251_228 && date(1) == 20_260_104 && date(7) == 20_260_104)
    }
}
