// When a venue trades: what tells a closed market from a dead feed. A value; whoever has a wall clock asks it.

/// A day of the week.
public enum Weekday: String, Hashable, Sendable, CaseIterable {
    case sunday = "sun"
    case monday = "mon"
    case tuesday = "tue"
    case wednesday = "wed"
    case thursday = "thu"
    case friday = "fri"
    case saturday = "sat"

    /// The day of a date; 1970-01-01 was a Thursday.
    public init(daysSince1970 days: Int64) {
        let number = (days + 4) - (days + 4).flooredQuotient(by: 7) * 7
        self = Weekday.allCases[Int(number)]
    }

    /// From 0 for Sunday to 6.
    var number: Int64 { Int64(Weekday.allCases.firstIndex(of: self) ?? 0) }
}

/// From when until when, in minutes from midnight on the zone's clocks. One that closes at or before its opening does
/// so on the next day.
public struct SessionHours: Hashable, Sendable {
    public var opens: Int64
    public var closes: Int64

    /// - Parameters: from 0 to 1439, and to 1440.
    public init(opens: Int64, closes: Int64) {
        self.opens = opens
        self.closes = closes
    }

    /// Reads `04:00-20:00`; midnight at the end is `24:00`. `nil` for anything else.
    public init?(written text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let opens = SessionHours.minutes(parts[0]), opens < 1440,
            let closes = SessionHours.minutes(parts[1]), opens != closes
        else { return nil }
        self.init(opens: opens, closes: closes)
    }

    private static func minutes(_ text: some StringProtocol) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":"), let hour = twoDigits(bytes[0..<2]),
            let minute = twoDigits(bytes[3..<5]), minute < 60, hour * 60 + minute <= 1440
        else { return nil }
        return hour * 60 + minute
    }

    var end: Int64 { closes <= opens ? closes + 1440 : closes }
}

extension CivilDate {
    /// Reads `2026-12-25`; `nil` for anything else, and for days that are none.
    public init?(written text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count == 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            let century = twoDigits(bytes[0..<2]), let year = twoDigits(bytes[2..<4]),
            let month = twoDigits(bytes[5..<7]), let day = twoDigits(bytes[8..<10]), (1...12).contains(month)
        else { return nil }
        let date = CivilDate(year: century * 100 + year, month: month, day: day)
        guard CivilDate(daysSince1970: date.daysSince1970) == date else { return nil }
        self = date
    }
}

private func twoDigits(_ bytes: ArraySlice<UInt8>) -> Int64? {
    var value: Int64 = 0
    for byte in bytes {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
    }
    return value
}

/// Whether a venue trades.
public enum SessionPhase: Hashable, Sendable {
    case open
    /// `nil`: no opening within a year.
    case closed(until: SessionOpening?)

    public var isOpen: Bool {
        switch self {
        case .open: true
        case .closed: false
        }
    }
}

/// When a session begins, on the zone's clocks.
public struct SessionOpening: Hashable, Sendable, CustomStringConvertible {
    public var date: CivilDate
    /// From midnight.
    public var minutes: Int64
    public var zone: String

    public init(date: CivilDate, minutes: Int64, zone: String) {
        self.date = date
        self.minutes = minutes
        self.zone = zone
    }

    /// `2026-11-30 04:00 America/New_York`.
    public var description: String {
        "\(date) \(padded(minutes / 60, 2)):\(padded(minutes % 60, 2)) \(zone)"
    }
}

/// The hours of a venue, by date.
public struct SessionCalendar: Hashable, Sendable {
    /// How far ahead an opening is looked for.
    static let farthest: Int64 = 366

    public var zone: String
    public var rules: ZoneRules
    /// The days on which sessions begin.
    public var days: Set<Weekday>
    public var hours: [SessionHours]
    /// Dates on which none begins.
    public var holidays: Set<CivilDate>
    /// Dates with hours of their own.
    public var otherHours: [CivilDate: [SessionHours]]

    public init(
        zone: String, rules: ZoneRules, days: Set<Weekday>, hours: [SessionHours],
        holidays: Set<CivilDate> = [], otherHours: [CivilDate: [SessionHours]] = [:]
    ) {
        self.zone = zone
        self.rules = rules
        self.days = days
        self.hours = hours
        self.holidays = holidays
        self.otherHours = otherHours
    }

    /// Whether a session goes on, and if not, when the next one begins.
    public func phase(at wall: WallTime) -> SessionPhase {
        let moment = wall.nanoseconds.flooredQuotient(by: 1_000_000_000)
        let minutes = (moment + rules.offset(at: moment)).flooredQuotient(by: 60)
        let day = minutes.flooredQuotient(by: 1440)
        let now = minutes - day * 1440
        // A session reaches into the next day at most, so those of two dates are all that can go on.
        let goesOn =
            hours(on: day).contains { $0.opens <= now && now < $0.end }
            || hours(on: day - 1).contains { now + 1440 < $0.end }
        return goesOn ? .open : .closed(until: opening(after: now, on: day))
    }

    func opening(after now: Int64, on day: Int64) -> SessionOpening? {
        for next in day...(day + SessionCalendar.farthest) {
            let openings = hours(on: next).map(\.opens).filter { next > day || $0 > now }
            guard let minutes = openings.min() else { continue }
            return SessionOpening(date: CivilDate(daysSince1970: next), minutes: minutes, zone: zone)
        }
        return nil
    }

    /// The sessions that begin on a date.
    func hours(on day: Int64) -> [SessionHours] {
        let date = CivilDate(daysSince1970: day)
        if let others = otherHours[date] { return others }
        return days.contains(Weekday(daysSince1970: day)) && !holidays.contains(date) ? hours : []
    }
}

/// A calendar with the answer that it gave last: sessions begin and end with a minute, so one answer serves for each.
public struct SessionWatch: Sendable {
    private let calendar: SessionCalendar
    private var last: (minute: Int64, phase: SessionPhase)?

    public init(_ calendar: SessionCalendar) { self.calendar = calendar }

    /// Called as often as anybody likes.
    public mutating func phase(at wall: WallTime) -> SessionPhase {
        let minute = wall.nanoseconds.flooredQuotient(by: 60_000_000_000)
        if let last, last.minute == minute { return last.phase }
        let phase = calendar.phase(at: wall)
        last = (minute, phase)
        return phase
    }
}
