// Wall-clock stamps both ways, the calendar, and durations at their limits.
import Basics
import Testing

@Suite struct TimeTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1000, "1969-12-31T23:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_767_323_045_678_901_000, "2026-01-02T03:04:05.678901Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (-2_203_891_200_000_000_000, "1900-03-01T00:00:00.000000Z"),
        ] as [(Int64, String)])
    func `a wall time is written in UTC with microseconds`(nanoseconds: Int64, text: String) {
        #expect(WallTime(nanoseconds: nanoseconds).rfc3339 == text)
    }

    @Test func `every microsecond that is written is read back`() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<1000 {
            let micros = Int64.random(in: -9_000_000_000_000_000...9_000_000_000_000_000, using: &generator)
            let time = WallTime(nanoseconds: micros * 1000)
            #expect(WallTime(rfc3339: time.rfc3339) == time)
        }
    }

    @Test func `the ends of the range are written without overflow`() {
        #expect(WallTime(nanoseconds: .max).rfc3339 == "2262-04-11T23:47:16.854775Z")
        #expect(WallTime(nanoseconds: .min).rfc3339 == "1677-09-21T00:12:43.145224Z")
    }

    @Test func `a fraction has none to nine digits`() {
        #expect(WallTime(rfc3339: "1970-01-01T00:00:01Z")?.nanoseconds == 1_000_000_000)
        #expect(WallTime(rfc3339: "1970-01-01T00:00:00.5Z")?.nanoseconds == 500_000_000)
        #expect(WallTime(rfc3339: "1970-01-01T00:00:00.000000001Z")?.nanoseconds == 1)
        #expect(WallTime(rfc3339: "1970-01-01T00:00:00.0000000001Z") == nil)
    }

    @Test func `a leap second is the second after`() {
        #expect(
            WallTime(rfc3339: "2016-12-31T23:59:60Z") == WallTime(rfc3339: "2017-01-01T00:00:00Z"))
    }

    @Test(arguments: [
        "", "Z", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1970-01-32T00:00:00Z", "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.-5Z",
        "-970-01-01T00:00:00Z", "1970/01/01T00:00:00Z", "+970-01-01T00:00:00Z", "1970-01-01T00:00:00+00Z",
        "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2262-04-11T23:47:16.854775808Z",
        "1970-01-01T00:00:00.123456789012345678901234567890Z", "日本語日本語日本語日本語日本語Z",
    ])
    func `what RFC 3339 or nanoseconds cannot hold is refused`(text: String) {
        #expect(WallTime(rfc3339: text) == nil)
    }

    @Test func `days and dates agree over four centuries`() {
        for day in stride(from: Int64(-80_000), through: 80_000, by: 7) {
            #expect(CivilDate(daysSince1970: day).daysSince1970 == day)
        }
        #expect(CivilDate(daysSince1970: -1).description == "1969-12-31")
    }

    @Test func `durations at their limits are clamped`() {
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min).nanoseconds == .min)
        #expect(Duration.nanoseconds(-1500).microseconds == -2)
        #expect(Duration.ofSeconds(.infinity).nanoseconds == .max)
        #expect(Duration.ofSeconds(.nan).nanoseconds == 0)
        #expect(Duration.ofSeconds(-1e300).nanoseconds == .min)
        #expect(Duration.ofSeconds(0.25) == .milliseconds(250))
    }

    @Test func `instants subtract to durations`() {
        let start = Instant(nanoseconds: 5)
        #expect((start + .seconds(2)) - start == .seconds(2))
        #expect(start - .seconds(1) < start)
    }
}
