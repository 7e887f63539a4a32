// The venue's time of day as wall-clock time. ITCH counts from the venue's midnight and does not say in which
// zone: the zone is the multiple of 15 minutes that fits the first message of a session, and a clock that fits
// none within a minute is not believed.
import Basics

struct SourceClock: Hashable, Sendable {
    private static let zoneStep: Int64 = 900_000_000_000
    private static let day: Int64 = 86_400_000_000_000
    /// How far the first message may be off and still set the zone.
    static let tolerance: Duration = .seconds(60)

    private enum Zone: Hashable {
        case notSet
        case offset(Int64)
        case notBelieved
    }

    private var zone = Zone.notSet

    mutating func restart() { zone = .notSet }

    /// When a message was sent that carries this many nanoseconds since midnight; `nil`: not known.
    mutating func time(ofDay nanoseconds: UInt64, receivedAt: WallTime) -> WallTime? {
        let inDay = Int64(clamping: nanoseconds) % SourceClock.day
        let receivedInDay =
            receivedAt.nanoseconds - receivedAt.nanoseconds.flooredQuotient(by: SourceClock.day)
            * SourceClock.day
        if case .notSet = zone { zone = SourceClock.zone(of: receivedInDay - inDay) }
        guard case .offset(let offset) = zone else { return nil }
        // The age within half a day on either side.
        var age = (receivedInDay - inDay - offset) % SourceClock.day
        if age > SourceClock.day / 2 { age -= SourceClock.day }
        if age < -SourceClock.day / 2 { age += SourceClock.day }
        return WallTime(nanoseconds: receivedAt.nanoseconds - age)
    }

    private static func zone(of difference: Int64) -> Zone {
        let steps = (difference + zoneStep / 2).flooredQuotient(by: zoneStep)
        let offset = steps * zoneStep
        return (difference - offset).magnitude <= UInt64(tolerance.nanoseconds)
            ? .offset(offset) : .notBelieved
    }
}
