// When what was recorded is played again, at the pace of the recording or a multiple of it: for journals and captures.

/// Tells when each of a recording's pieces is due: the first one at once, the others as long after it as their times say,
/// so that who is late catches up and no delay adds to the next.
public struct RecordedPace: Hashable, Sendable {
    /// So many times as fast as it was recorded; `nil`: as fast as it goes.
    public let speed: Double?
    /// When the first piece was due, and its time in the recording.
    private var origin: (at: Instant, recorded: WallTime)? {
        get { originAt.map { ($0, originRecorded) } }
        set { (originAt, originRecorded) = (newValue?.at, newValue?.recorded ?? WallTime(nanoseconds: 0)) }
    }
    private var originAt: Instant?
    private var originRecorded = WallTime(nanoseconds: 0)

    /// - Parameter speed: above 0.
    public init(speed: Double?) {
        precondition(speed.map { $0 > 0 } ?? true, "a speed is above 0")
        self.speed = speed
    }

    /// When a piece's turn comes; it is due if that is not after `now`. A recording whose clock was set back goes on at
    /// once.
    ///
    /// - Parameter recorded: the piece's time; `nil`: it has none, and is due now.
    public mutating func due(_ recorded: WallTime?, at now: Instant) -> Instant {
        guard let speed, let recorded else { return now }
        guard let origin else {
            origin = (now, recorded)
            return now
        }
        let distance = Duration.ofSeconds((recorded - origin.recorded).inSeconds / speed)
        // What is due after the end of time is not due before it.
        let (sum, isBeyond) = origin.at.nanoseconds.addingReportingOverflow(distance.nanoseconds)
        return Instant(nanoseconds: isBeyond ? (distance < .zero ? .min : .max) : sum)
    }
}
