// Time zones as their files say, and venues' hours over summer time, holidays and midnights.
import Basics
import Testing

/// A moment in seconds since 1970.
private func moment(_ text: String) throws -> Int64 {
    try #require(WallTime(rfc3339: text)).nanoseconds / 1_000_000_000
}

private func wall(_ text: String) throws -> WallTime { try #require(WallTime(rfc3339: text)) }

/// The bytes of a file of the second version with two changes and a rule.
private func zoneFile(
    rule: String, times: [Int64] = [1000, 2000], kinds: [UInt8] = [1, 0], leaps: UInt32 = 0
)
    -> [UInt8]
{
    func header(_ writer: inout ByteWriter, _ counts: [UInt32]) {
        writer.append(Array("TZif2".utf8) + Array(repeating: 0, count: 15))
        for count in counts { writer.bigEndian(count) }
    }
    var writer = ByteWriter()
    header(&writer, [0, 0, 0, 0, 1, 4])
    writer.append(Array(repeating: 0, count: 10))
    header(&writer, [0, 0, leaps, UInt32(times.count), 2, 8])
    for time in times { writer.bigEndian(time) }
    writer.append(kinds)
    for offset: Int32 in [-3600, 7200] {
        writer.bigEndian(offset)
        writer.append([0, 0])
    }
    writer.append(Array("AAA\0BBB\0".utf8) + Array("\n\(rule)\n".utf8))
    return writer.bytes
}

@Suite struct ZoneTests {
    @Test func `offsets are those of the changes, and after the last one the rule's`() throws {
        let zone = try ZoneRules(zoneFile(rule: "CET-1CEST,M3.5.0,M10.5.0/3"))
        #expect([0, 999, 1000, 1999].map { zone.offset(at: $0) } == [-3600, -3600, 7200, 7200])
        #expect(zone.offset(at: try moment("2026-03-29T00:59:59Z")) == 3600)
        #expect(zone.offset(at: try moment("2026-03-29T01:00:00Z")) == 7200)
        #expect(zone.offset(at: try moment("2099-10-25T00:59:59Z")) == 7200)
        #expect(zone.offset(at: try moment("2099-10-25T01:00:00Z")) == 3600)
        let plain = try ZoneRules(zoneFile(rule: ""))
        #expect(plain.offset(at: 5_000_000_000) == -3600)
        #expect(ZoneRules.utc.offset(at: 5_000_000_000) == 0)
    }

    @Test(
        arguments: [
            ("<+0330>-3:30", "2026-07-01T00:00:00Z", 12_600), ("EST5", "2026-07-01T00:00:00Z", -18_000),
            // South of the equator summer goes over the new year.
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-01T00:00:00Z", 39_600),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01T00:00:00Z", 36_000),
            // Days by their number, with 29 February and without.
            ("AAA0BBB,J60/0,J61/0", "2028-03-01T00:00:00Z", 3600),
            ("AAA0BBB,59/0,60/0", "2028-02-29T12:00:00Z", 3600),
            ("AAA0BBB,J365/0,J1/0", "2028-12-31T12:00:00Z", 3600),
            // Hours before the day's midnight and beyond its end.
            ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3600),
            ("XXX3EDT4,0/0,J365/23", "2026-06-01T00:00:00Z", -14_400),
        ] as [(String, String, Int64)])
    func `a rule's offset`(rule: String, time: String, offset: Int64) throws {
        #expect(try ZoneRules(zoneFile(rule: rule)).offset(at: moment(time)) == offset)
    }

    @Test(arguments: [
        "E5", "EST", "EST25", "EST5:60", "EST5EDT", "EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0",
        "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0", "EST5EDT,J0,J9", "EST5EDT,366,1",
        "EST5EDT,M3.2.0/168,M11.1.0", "EST5EDT,M3.2.0,M11.1.0x", "<+3>3", "<+03", "EST99999999999999999999",
    ])
    func `what is no rule is refused`(rule: String) {
        #expect(throws: ZoneDefect.self) { try ZoneRules(zoneFile(rule: rule)) }
    }

    @Test func `what is no file of a zone is refused, wherever it is cut`() throws {
        let whole = zoneFile(rule: "EST5")
        for count in whole.indices {
            #expect(throws: ZoneDefect.self) { try ZoneRules(Array(whole.prefix(count))) }
        }
        #expect(throws: ZoneDefect.self) { try ZoneRules(zoneFile(rule: "EST5", times: [2000, 1000])) }
        #expect(throws: ZoneDefect.self) { try ZoneRules(zoneFile(rule: "EST5", kinds: [1, 2])) }
        #expect(throws: ZoneDefect.self) { try ZoneRules(zoneFile(rule: "EST5", leaps: 1)) }
        #expect(throws: ZoneDefect.self) { try ZoneRules([UInt8](repeating: 0, count: 70_000)) }
    }

    @Test func `bytes changed at random trap nothing`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var bytes = zoneFile(rule: "EST5EDT,M3.2.0,M11.1.0")
            for _ in 0..<4 {
                bytes[Int.random(in: bytes.indices, using: &generator)] = .random(
                    in: 0...255, using: &generator)
            }
            _ = (try? ZoneRules(bytes))?.offset(at: .random(in: -1 << 40...1 << 40, using: &generator))
        }
    }
}

@Suite struct SessionTests {
    private static let newYork = "EST5EDT,M3.2.0,M11.1.0"
    private static let workdays: Set<Weekday> = [.monday, .tuesday, .wednesday, .thursday, .friday]

    private func calendar(
        _ hours: [String], days: Set<Weekday> = workdays, holidays: [String] = [],
        others: [String: [String]] = [:]
    ) throws -> SessionCalendar {
        func parsed(_ hours: [String]) throws -> [SessionHours] {
            try hours.map { try #require(SessionHours(written: $0)) }
        }
        var otherHours: [CivilDate: [SessionHours]] = [:]
        for (date, hours) in others { otherHours[try #require(CivilDate(written: date))] = try parsed(hours) }
        return SessionCalendar(
            zone: "America/New_York", rules: try ZoneRules(zoneFile(rule: SessionTests.newYork)), days: days,
            hours: try parsed(hours),
            holidays: Set(try holidays.map { try #require(CivilDate(written: $0)) }),
            otherHours: otherHours)
    }

    private func told(_ calendar: SessionCalendar, _ time: String) throws -> String {
        switch calendar.phase(at: try wall(time)) {
        case .open: "open"
        case .closed(let opening): opening?.description ?? "closed"
        }
    }

    @Test func `a file is of the session in which, or next to which, it was written`() throws {
        let calendar = try calendar(["04:00-20:00"])
        // On Monday, 5 January, the session goes from 09:00 to 01:00 in UTC.
        let cases: [(made: String, now: String, isOfIt: Bool)] = [
            ("2026-01-05T08:00:00Z", "2026-01-05T09:00:00Z", true),
            ("2026-01-05T09:30:00Z", "2026-01-06T00:59:00Z", true),
            // Between two sessions it is the nearer one's time.
            ("2026-01-05T09:30:00Z", "2026-01-06T02:00:00Z", true),
            ("2026-01-06T00:00:00Z", "2026-01-06T08:30:00Z", false),
            ("2026-01-06T08:00:00Z", "2026-01-06T08:30:00Z", true),
            // An archive's copy, made after the close.
            ("2026-01-06T01:30:00Z", "2026-01-06T09:30:00Z", false),
            ("2026-01-02T14:00:00Z", "2026-01-05T14:00:00Z", false),
        ]
        for (made, now, isOfIt) in cases {
            #expect(
                calendar.isOfThisSession(try wall(made), now: try wall(now)) == isOfIt, "\(made) at \(now)")
        }
    }

    @Test func `a session begins and ends with its minute, in winter and in summer`() throws {
        let calendar = try calendar(["04:00-20:00"])
        #expect(try told(calendar, "2026-01-05T08:59:59.999Z") == "2026-01-05 04:00 America/New_York")
        #expect(try told(calendar, "2026-01-05T09:00:00Z") == "open")
        #expect(try told(calendar, "2026-01-06T00:59:59Z") == "open")
        #expect(try told(calendar, "2026-01-06T01:00:00Z") == "2026-01-06 04:00 America/New_York")
        #expect(try told(calendar, "2026-07-06T08:00:00Z") == "open")
        #expect(try told(calendar, "2026-07-06T07:59:00Z") == "2026-07-06 04:00 America/New_York")
    }

    @Test func `weekends and holidays have none`() throws {
        let calendar = try calendar(["04:00-20:00"], holidays: ["2026-12-25"])
        #expect(try told(calendar, "2026-12-25T15:00:00Z") == "2026-12-28 04:00 America/New_York")
        #expect(try told(calendar, "2026-12-24T15:00:00Z") == "open")
    }

    @Test func `a session over midnight belongs to the day on which it begins`() throws {
        let futures = try calendar(
            ["17:00-16:00"], days: [.sunday, .monday, .tuesday, .wednesday, .thursday],
            holidays: ["2026-12-24"])
        // Sunday evening, Monday noon, the hour between, Friday evening.
        #expect(try told(futures, "2026-01-04T22:00:00Z") == "open")
        #expect(try told(futures, "2026-01-05T17:00:00Z") == "open")
        #expect(try told(futures, "2026-01-05T21:30:00Z") == "2026-01-05 17:00 America/New_York")
        #expect(try told(futures, "2026-01-09T22:30:00Z") == "2026-01-11 17:00 America/New_York")
        #expect(try told(futures, "2026-12-24T15:00:00Z") == "open")
        #expect(try told(futures, "2026-12-24T22:30:00Z") == "2026-12-27 17:00 America/New_York")
    }

    @Test func `some dates have hours of their own, and a day may have two sessions`() throws {
        let calendar = try calendar(
            ["09:30-12:00", "13:00-16:00"],
            others: ["2026-11-27": ["09:30-12:00"], "2026-11-28": ["10:00-11:00"]])
        #expect(try told(calendar, "2026-11-25T17:30:00Z") == "2026-11-25 13:00 America/New_York")
        #expect(try told(calendar, "2026-11-27T16:59:00Z") == "open")
        #expect(try told(calendar, "2026-11-27T18:30:00Z") == "2026-11-28 10:00 America/New_York")
        #expect(try told(calendar, "2026-11-28T15:30:00Z") == "open")
    }

    @Test func `a day that is whole has no end`() throws {
        let always = try calendar(["00:00-24:00"], days: Set(Weekday.allCases))
        #expect(try told(always, "2026-03-08T06:59:59Z") == "open")
        #expect(try told(always, "2026-03-08T04:59:59Z") == "open")
        #expect(try told(try calendar(["00:00-24:00"], days: []), "2026-03-08T06:59:59Z") == "closed")
    }

    @Test func `an answer holds for its minute, and a clock that is set back has another`() throws {
        var watch = SessionWatch(try calendar(["04:00-20:00"]))
        #expect(watch.phase(at: try wall("2026-01-05T08:59:59Z")) != .open)
        #expect(watch.phase(at: try wall("2026-01-05T09:00:00Z")) == .open)
        #expect(watch.phase(at: try wall("2026-01-05T09:00:59.9Z")) == .open)
        #expect(watch.phase(at: try wall("2026-01-05T08:59:59Z")) != .open)
        for end in [Int64.min, .max] { _ = watch.phase(at: WallTime(nanoseconds: end)) }
    }

    @Test(arguments: [
        "", "-", "4:00-20:00", "04:00", "04:00-04:00", "24:00-04:00", "04:60-05:00", "04:00-24:01",
        "04:00–20:00",
        "04:00-20:00-21:00", "+4:00-20:00",
    ])
    func `what is no pair of times is refused`(text: String) { #expect(SessionHours(written: text) == nil) }

    @Test(arguments: [
        "", "2026-2-3", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-32", "26-01-01", "2026/01/01",
    ])
    func `what is no date is refused`(text: String) { #expect(CivilDate(written: text) == nil) }
}
