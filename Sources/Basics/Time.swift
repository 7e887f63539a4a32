// Time as values: a monotonic instant, a wall-clock stamp, and the conversions that the edges need.
// Only the event loop reads a clock; everything else is handed an `Instant`.

/// A point on the host's monotonic clock (`CLOCK_MONOTONIC`).
public struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since an arbitrary point, commonly the boot.
    public var nanoseconds: Int64

    @inlinable
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable
    public static var zero: Instant { Instant(nanoseconds: 0) }

    @inlinable
    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    @inlinable
    public static func + (instant: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &+ duration.nanoseconds)
    }

    @inlinable
    public static func - (instant: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &- duration.nanoseconds)
    }

    @inlinable
    public static func - (later: Instant, earlier: Instant) -> Duration {
        Duration(nanosecondsOf: later.nanoseconds &- earlier.nanoseconds)
    }
}

/// The next instant that is a multiple of an interval: what has like intervals then wakes together.
public func nextMultiple(of interval: Duration, after now: Instant) -> Instant {
    let step = max(1, interval.nanoseconds)
    return Instant(nanoseconds: (now.nanoseconds / step &+ 1) &* step)
}

/// A wall-clock stamp (`CLOCK_REALTIME`), for messages to people and other hosts; never for decisions
/// about elapsed time.
public struct WallTime: Hashable, Comparable, Sendable {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static func < (left: WallTime, right: WallTime) -> Bool { left.nanoseconds < right.nanoseconds }

    public static func - (later: WallTime, earlier: WallTime) -> Duration {
        Duration(nanosecondsOf: later.nanoseconds &- earlier.nanoseconds)
    }

    public static func + (time: WallTime, duration: Duration) -> WallTime {
        WallTime(nanoseconds: time.nanoseconds &+ duration.nanoseconds)
    }

    public var dateInUTC: CivilDate {
        CivilDate(daysSince1970: nanoseconds.flooredQuotient(by: 86_400_000_000_000))
    }

    /// RFC 3339 in UTC with microseconds: `2026-01-02T03:04:05.678901Z`.
    public var rfc3339: String {
        let day = nanoseconds.flooredQuotient(by: 86_400_000_000_000)
        let inDay = nanoseconds &- day &* 86_400_000_000_000
        let date = CivilDate(daysSince1970: day)
        let seconds = inDay / 1_000_000_000
        let micros = (inDay % 1_000_000_000) / 1000
        // Every message bears a few of these: written once, from the last digit to the first.
        return unsafe String(unsafeUninitializedCapacity: 27) { buffer in
            func write(_ number: Int64, _ positions: Range<Int>, then mark: Unicode.Scalar) {
                var rest = number
                for position in positions.reversed() {
                    unsafe buffer[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                }
                unsafe buffer[positions.upperBound] = UInt8(ascii: mark)
            }
            write(date.year, 0..<4, then: "-")
            write(date.month, 5..<7, then: "-")
            write(date.day, 8..<10, then: "T")
            write(seconds / 3600, 11..<13, then: ":")
            write(seconds / 60 % 60, 14..<16, then: ":")
            write(seconds % 60, 17..<19, then: ".")
            write(micros, 20..<26, then: "Z")
            return 27
        }
    }

    /// Reads what `rfc3339` writes, with 0 to 9 digits of a fraction; a leap second, `:60`, is the second
    /// after. `nil` for anything else, and for years that nanoseconds cannot hold.
    public init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 30, bytes.last == UInt8(ascii: "Z") else { return nil }
        for (position, separator) in zip([4, 7, 10, 13, 16], "--T::".utf8) where bytes[position] != separator
        {
            return nil
        }
        guard let year = digits(bytes[0..<4]), let month = digits(bytes[5..<7]),
            let day = digits(bytes[8..<10]),
            let hour = digits(bytes[11..<13]), let minute = digits(bytes[14..<16]),
            let second = digits(bytes[17..<19]), hour < 24, minute < 60, second <= 60,
            let fraction = WallTime.fraction(bytes[19..<(bytes.count - 1)])
        else { return nil }
        let date = CivilDate(year: year, month: month, day: day)
        guard (1...12).contains(month), CivilDate(daysSince1970: date.daysSince1970) == date else {
            return nil
        }
        let seconds = date.daysSince1970 * 86400 + hour * 3600 + minute * 60 + second
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carried) = whole.addingReportingOverflow(fraction)
        guard !overflow, !carried else { return nil }
        nanoseconds = sum
    }

    /// The nanoseconds of `.5`; of nothing, 0.
    private static func fraction(_ bytes: ArraySlice<UInt8>) -> Int64? {
        guard let point = bytes.first else { return 0 }
        guard point == UInt8(ascii: "."), bytes.count <= 10, let value = digits(bytes.dropFirst()) else {
            return nil
        }
        return (bytes.count..<10).reduce(value) { result, _ in result * 10 }
    }
}

/// At least one decimal digit and nothing else, at most 18 of them.
private func digits(_ bytes: ArraySlice<UInt8>) -> Int64? {
    guard (1...18).contains(bytes.count) else { return nil }
    var value: Int64 = 0
    for byte in bytes {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
    }
    return value
}

/// A date of the proleptic Gregorian calendar. The conversion is Howard Hinnant's `days_from_civil`.
public struct CivilDate: Hashable, Sendable, CustomStringConvertible {
    public var year: Int64
    public var month: Int64
    public var day: Int64

    public init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    public init(daysSince1970 days: Int64) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Days since 1970-01-01.
    public var daysSince1970: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear.flooredQuotient(by: 400)
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// ISO 8601: `2026-01-02`.
    public var description: String { padded(year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2) }
}

extension Int64 {
    /// Division rounded towards negative infinity.
    public func flooredQuotient(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

extension Duration {
    /// A duration of so many nanoseconds, without the standard library's way through generic integers: instants are
    /// subtracted wherever anything is timed.
    @inlinable
    init(nanosecondsOf nanoseconds: Int64) {
        self.init(attoseconds: Int128(nanoseconds) &* 1_000_000_000)
    }

    /// The whole duration in nanoseconds; clamped at ±292 years.
    @inlinable
    public var nanoseconds: Int64 {
        let attoseconds = attoseconds
        // Below 18 s they fit into 64 bits, which divide many times faster than 128.
        if attoseconds >= 0, attoseconds <= Int128(UInt64.max) {
            return Int64(truncatingIfNeeded: UInt64(truncatingIfNeeded: attoseconds) / 1_000_000_000)
        }
        return Int64(clamping: attoseconds / 1_000_000_000)
    }

    /// The duration as a floating-point number of seconds, for values that are published.
    public var inSeconds: Double { Double(nanoseconds) / 1e9 }

    /// The duration in whole microseconds, rounded down.
    public var microseconds: Int64 { nanoseconds.flooredQuotient(by: 1000) }

    /// The duration as a floating-point number of milliseconds.
    public var inMilliseconds: Double { Double(nanoseconds) / 1e6 }

    /// A duration from a floating-point number of seconds; not finite or beyond ±292 years is clamped.
    public static func ofSeconds(_ seconds: Double) -> Duration {
        guard seconds.isFinite else {
            return .nanoseconds(seconds > 0 ? Int64.max : seconds < 0 ? Int64.min : 0)
        }
        let nanoseconds = seconds * 1e9
        if nanoseconds >= 9.2e18 { return .nanoseconds(Int64.max) }
        if nanoseconds <= -9.2e18 { return .nanoseconds(Int64.min) }
        return .nanoseconds(Int64(nanoseconds))
    }
}

/// A number in decimal with leading zeros, at least `width` digits.
public func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number.magnitude)
    let zeros = String(repeating: "0", count: max(0, width - digits.count))
    return (number < 0 ? "-" : "") + zeros + digits
}
