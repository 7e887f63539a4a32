// The venue's time of day as wall-clock time. ITCH counts from the venue's midnight and does not say in which
// zone: the zone is the multiple of 15 minutes that fits the first message of a session that fits any within a minute.
//
// A message that is hours old says nothing of the zone. What was asked for again does not set it. Where a connection
// sends a session from its beginning, a quarter of an hour of it passes in a moment, and some of it looks as if it were
// of now in another zone; what follows lies in the future there, which refutes it. So once a message fitted no zone, or
// a zone was refuted, messages must fit another one for some time.
import Basics

struct SourceClock: Hashable, Sendable {
    private static let zoneStep: Int64 = 900_000_000_000
    private static let day: Int64 = 86_400_000_000_000
    /// How far a message may be off and still set the zone, and how far in the future a time is believed: 60 s.
    private static let tolerance: Int64 = 60_000_000_000
    /// So many messages in a row that lie further in the future refute the zone: fewer may be damaged.
    private static let refutedAfter = 16
    /// How long messages must fit a zone once there is a doubt.
    private static let confirmedAfter: Duration = .seconds(2)

    private struct Candidate: Hashable {
        var offset: Int64
        var since: WallTime
    }

    /// Of the venue's midnight, behind that of UTC; `nil`: not known.
    private var offset: Int64?
    private var inFuture = 0
    private var isDoubted = false
    private var candidate: Candidate?
    /// When the day began, by UTC, in which the last message was received; kept, since the next one seldom is of another.
    private var midnight: Int64 = 0

    var isSet: Bool { offset != nil }

    mutating func restart() { self = SourceClock() }

    /// When a message was sent that carries this many nanoseconds since midnight; `nil`: not known.
    /// - Parameter isRecovered: it was sent again on request, and may be old.
    mutating func time(
        ofDay nanoseconds: UInt64, receivedAt: WallTime, isRecovered: Bool = false
    ) -> WallTime? {
        var inDay = Int64(clamping: nanoseconds)
        if inDay >= SourceClock.day { inDay %= SourceClock.day }
        let receivedInDay = timeInDay(of: receivedAt)
        if offset == nil, !isRecovered { learn(receivedInDay - inDay, receivedAt) }
        guard let offset else { return nil }
        // The age within half a day on either side.
        var age = receivedInDay - inDay - offset
        if age.magnitude >= UInt64(SourceClock.day) { age %= SourceClock.day }
        if age > SourceClock.day / 2 { age -= SourceClock.day }
        if age < -SourceClock.day / 2 { age += SourceClock.day }
        guard age >= -SourceClock.tolerance else {
            if !isRecovered { refute() }
            return nil
        }
        if !isRecovered { inFuture = 0 }
        return WallTime(nanoseconds: receivedAt.nanoseconds - age)
    }

    private mutating func timeInDay(of time: WallTime) -> Int64 {
        let inDay = time.nanoseconds &- midnight
        if inDay >= 0, inDay < SourceClock.day { return inDay }
        midnight = time.nanoseconds.flooredQuotient(by: SourceClock.day) * SourceClock.day
        return time.nanoseconds - midnight
    }

    private mutating func learn(_ difference: Int64, _ receivedAt: WallTime) {
        guard let found = SourceClock.zone(of: difference) else {
            (isDoubted, candidate) = (true, nil)
            return
        }
        guard isDoubted else { return offset = found }
        if candidate?.offset != found { candidate = Candidate(offset: found, since: receivedAt) }
        guard let candidate, receivedAt >= candidate.since + SourceClock.confirmedAfter else { return }
        (offset, self.candidate) = (found, nil)
    }

    private mutating func refute() {
        inFuture += 1
        guard inFuture >= SourceClock.refutedAfter else { return }
        (offset, inFuture, isDoubted) = (nil, 0, true)
    }

    /// `nil`: the difference is none.
    private static func zone(of difference: Int64) -> Int64? {
        let steps = (difference + zoneStep / 2).flooredQuotient(by: zoneStep)
        let offset = steps * zoneStep
        return (difference - offset).magnitude <= UInt64(tolerance) ? offset : nil
    }
}
