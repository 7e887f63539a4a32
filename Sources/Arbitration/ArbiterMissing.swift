// What an arbiter misses and may still be brought: for whoever asks for it again.
public import Basics

/// Numbers that are missing and not yet told.
public struct Missing: Hashable, Sendable {
    /// Those that have been missing for long enough to be asked for, in ascending order.
    public var ranges: [SequenceRange]
    /// Whether `ranges` names all of them.
    public var isComplete: Bool
    /// When more will have been missing for that long; `nil`: nothing else is missing.
    public var ripensAt: Instant?

    public init(_ ranges: [SequenceRange], isComplete: Bool = true, ripensAt: Instant? = nil) {
        self.ranges = ranges
        self.isComplete = isComplete
        self.ripensAt = ripensAt
    }
}

extension Arbiter {
    /// Whether a number is below the highest known one, was not brought and is not told.
    public func isMissing(_ sequence: UInt64) -> Bool {
        hasHole && sequence >= expected && sequence <= highest && sequence > givenUp.through
            && !window.holds(sequence)
    }

    /// The last number that `tick` would tell as missing now, with all that is missing below; `nil`: none.
    public func givesUp(at now: Instant) -> UInt64? {
        catchUp == nil ? holes.expired(openSince: now - options.holeTime) : nil
    }

    /// What has been missing for `patience`, the lowest numbers first.
    /// - Parameter most: how many ranges are named at most; what lies further ahead than the window reaches is
    ///   left for later.
    public func missing(for patience: Duration, atMost most: Int, at now: Instant) -> Missing {
        guard hasHole, !isChanging else { return Missing([]) }
        let ripensAt = holes.oldest(openedAfter: now - patience).map { $0 + patience }
        guard let ripe = holes.expired(openSince: now - patience) else {
            return Missing([], ripensAt: ripensAt)
        }
        // What is asked for while catching up must be within reach when it comes.
        let reach = UInt64(options.reorderCount) &* (catchUp == nil ? 2 : 1)
        var end = min(ripe, highest, expected &+ (reach &- (catchUp == nil ? 0 : 1)))
        // Only what is next has room then.
        if catchUp != nil, isOutOfRoom, let held = window.lowest(above: expected) { end = min(end, held - 1) }
        var ranges: [SequenceRange] = []
        var sequence = expected
        while sequence <= end {
            guard !window.holds(sequence) else {
                sequence += 1
                continue
            }
            guard ranges.count < most else {
                return Missing(ranges, isComplete: false, ripensAt: ripensAt)
            }
            let first = sequence
            if window.count == 0 { sequence = end + 1 }
            while sequence <= end, !window.holds(sequence) { sequence += 1 }
            ranges.append(SequenceRange(first, sequence - 1))
        }
        return Missing(ranges, isComplete: end == min(ripe, highest), ripensAt: ripensAt)
    }
}
