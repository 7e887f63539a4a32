// The rule that a zone follows from its last recorded change on: `EST5EDT,M3.2.0,M11.1.0`. Sources: POSIX.1-2024, Base
// Definitions, section 8.3 (TZ); RFC 9636, section 3.3.1, which lets hours reach from -167 to 167.

/// Standard time, and where there is one, summer time and the days on which it begins and ends.
struct ZoneRule: Hashable, Sendable {
    struct Summer: Hashable, Sendable {
        var offset: Int64
        var begins: YearlyMoment
        var ends: YearlyMoment
    }

    /// Seconds east of UTC.
    var standard: Int64
    var summer: Summer?

    /// `nil` for what is no rule.
    init?(_ text: ArraySlice<UInt8>) {
        var text = RuleText(text)
        guard text.skipName(), let west = text.duration(upToHours: 24) else { return nil }
        standard = -west
        guard !text.isAtEnd else { return }
        guard text.skipName() else { return nil }
        var offset = standard + 3600
        if text.next != UInt8(ascii: ",") {
            guard let west = text.duration(upToHours: 24) else { return nil }
            offset = -west
        }
        guard text.skip(","), let begins = text.moment(), text.skip(","), let ends = text.moment(),
            text.isAtEnd
        else { return nil }
        summer = Summer(offset: offset, begins: begins, ends: ends)
    }

    func offset(at moment: Int64) -> Int64 {
        guard let summer else { return standard }
        let year = CivilDate(daysSince1970: (moment &+ standard).flooredQuotient(by: 86400)).year
        let begins = summer.begins.seconds(in: year) - standard
        let ends = summer.ends.seconds(in: year) - summer.offset
        let isSummer =
            begins < ends
            ? begins <= moment && moment < ends : !(ends <= moment && moment < begins)
        return isSummer ? summer.offset : standard
    }
}

/// A moment of each year, on the zone's clocks.
struct YearlyMoment: Hashable, Sendable {
    enum Day: Hashable, Sendable {
        /// From 1 to 365; 29 February is never counted.
        case withoutLeapDay(Int64)
        /// From 0 to 365.
        case ofYear(Int64)
        /// The week is from 1 to 5, which means the last; of weekdays 0 is Sunday.
        case ofMonth(Int64, week: Int64, weekday: Int64)
    }

    var day: Day
    /// Seconds from that day's midnight.
    var time: Int64

    /// Seconds since 1970, as if the clocks were those of UTC.
    func seconds(in year: Int64) -> Int64 { days(in: year) * 86400 + time }

    private func days(in year: Int64) -> Int64 {
        let newYear = CivilDate(year: year, month: 1, day: 1).daysSince1970
        switch day {
        case .withoutLeapDay(let number):
            let isLeap = CivilDate(year: year + 1, month: 1, day: 1).daysSince1970 - newYear == 366
            return newYear + number - 1 + (isLeap && number >= 60 ? 1 : 0)
        case .ofYear(let number): return newYear + number
        case .ofMonth(let month, let week, let weekday):
            let first = CivilDate(year: year, month: month, day: 1).daysSince1970
            let next = CivilDate(
                year: month == 12 ? year + 1 : year, month: month == 12 ? 1 : month + 1, day: 1
            ).daysSince1970
            let day = first + (weekday - Weekday(daysSince1970: first).number + 7) % 7 + (week - 1) * 7
            return day < next ? day : day - 7
        }
    }
}

/// Reads a rule's parts from front to back.
private struct RuleText {
    private var rest: ArraySlice<UInt8>

    init(_ text: ArraySlice<UInt8>) { rest = text }

    var isAtEnd: Bool { rest.isEmpty }
    var next: UInt8? { rest.first }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// Three letters or more, or anything within `<` and `>`.
    mutating func skipName() -> Bool {
        if skip("<") {
            guard let end = rest.firstIndex(of: UInt8(ascii: ">")), end - rest.startIndex >= 3 else {
                return false
            }
            rest = rest[end...].dropFirst()
            return true
        }
        let name = rest.prefix { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 & 0xDF }
        rest = rest[name.endIndex...]
        return name.count >= 3
    }

    private mutating func number(_ range: ClosedRange<Int64>) -> Int64? {
        let digits = rest.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        guard (1...3).contains(digits.count) else { return nil }
        rest = rest[digits.endIndex...]
        let value = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
        return range.contains(value) ? value : nil
    }

    /// `[+-]hh[:mm[:ss]]`, in seconds.
    mutating func duration(upToHours most: Int64) -> Int64? {
        let isNegative = skip("-")
        if !isNegative { _ = skip("+") }
        guard var seconds = number(0...most).map({ $0 * 3600 }) else { return nil }
        for unit: Int64 in [60, 1] where rest.first == UInt8(ascii: ":") {
            rest = rest.dropFirst()
            guard let value = number(0...59) else { return nil }
            seconds += value * unit
        }
        return isNegative ? -seconds : seconds
    }

    /// A day, and the time where it is not 2 o'clock.
    mutating func moment() -> YearlyMoment? {
        guard let day = day() else { return nil }
        guard skip("/") else { return YearlyMoment(day: day, time: 7200) }
        return duration(upToHours: 167).map { YearlyMoment(day: day, time: $0) }
    }

    private mutating func day() -> YearlyMoment.Day? {
        if skip("J") { return number(1...365).map { .withoutLeapDay($0) } }
        guard skip("M") else { return number(0...365).map { .ofYear($0) } }
        guard let month = number(1...12), skip("."), let week = number(1...5), skip("."),
            let weekday = number(0...6)
        else { return nil }
        return .ofMonth(month, week: week, weekday: weekday)
    }
}
