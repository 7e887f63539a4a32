// Which incarnation a run gets: the time of its start, but always above the run before, whatever the clock says.
public import Basics

/// The number of a new run, and what is wrong with the clock that it was to be taken from.
public struct RunNumber: Hashable, Sendable {
    /// Why the clock is not believed.
    public enum Doubt: Hashable, Sendable {
        /// It shows a time before this program was made.
        case notSet
        /// It shows a time before the start of the run before.
        case behind(Incarnation)
    }

    /// No host's clock can rightly show a time before this one: 2025-01-01T00:00:00Z.
    public static let earliest = WallTime(nanoseconds: 1_735_689_600_000_000_000)

    public var incarnation: Incarnation
    public var doubt: Doubt?

    /// - Parameter last: the run before; `nil`: none is known.
    public init(startedAt wall: WallTime, after last: Incarnation?) {
        let now = Incarnation(startedAt: wall)
        incarnation = now
        if wall < RunNumber.earliest { doubt = .notSet }
        guard let last, now <= last else { return }
        // Nobody can count on beyond 2^53; until the year 2255 that takes a broken clock and a broken file.
        incarnation = Incarnation(last.number + 1) ?? now
        doubt = doubt ?? .behind(last)
    }
}

extension Incarnation {
    /// The time that it stands for, which is that of the run's start unless the clock was doubted.
    public var time: WallTime { WallTime(nanoseconds: number &* 1000) }
}
