// The arithmetic of a stream that several machines play in step: which message is due when, and which
// numbers are behind it. Pure functions of (seed, n), in whole numbers, the same on any host.
import Basics

/// Message n of a stream is due (n - 1) / rate seconds after its start; messages are numbered from 1.
public struct StreamSchedule: Hashable, Sendable {
    /// Messages per second.
    public let rate: UInt64

    /// - Precondition: `rate` is from 1 to 1,000,000,000.
    public init(rate: UInt64) {
        precondition((1...1_000_000_000).contains(rate), "a rate between one a second and one a nanosecond")
        self.rate = rate
    }

    /// When message `number` is due, after the start. Clamped at 290 years.
    public func due(_ number: UInt64) -> Duration {
        let before = number - min(number, 1)
        let seconds = Int64(clamping: min(before / rate, 9_000_000_000))
        let rest = Int64(before % rate * 1_000_000_000 / rate)
        return .nanoseconds(seconds * 1_000_000_000 + rest)
    }

    /// The number of the last message that is due `elapsed` after the start; 0: none.
    public func last(dueWithin elapsed: Duration) -> UInt64 {
        let nanoseconds = elapsed.nanoseconds
        guard nanoseconds >= 0 else { return 0 }
        let seconds = UInt64(nanoseconds / 1_000_000_000)
        let rest = UInt64(nanoseconds % 1_000_000_000)
        // The greatest k with k x 10^9 / rate, rounded down, not above the rest of a second.
        let inSecond = ((rest + 1) * rate - 1) / 1_000_000_000
        return seconds * rate + min(inSecond, rate - 1) + 1
    }
}

/// A number that looks random and is a pure function of its two parts (the finaliser of SplitMix64, by
/// Sebastiano Vigna).
public func scrambled(_ seed: UInt64, _ number: UInt64) -> UInt64 {
    var value = seed &+ (number &+ 1) &* 0x9E37_79B9_7F4A_7C15
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
}
