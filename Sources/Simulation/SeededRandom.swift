// The one source of chance of a simulation: the same seed gives the same numbers on each host and in each run.
import Basics

/// SplitMix64, by Sebastiano Vigna (public domain).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// 0 to `bound` - 1.
    mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "there is something to choose from")
        return Int(truncatingIfNeeded: next() % UInt64(bound))
    }

    mutating func chance(_ probability: Double) -> Bool {
        Double(next() >> 11) * 0x1p-53 < probability
    }

    /// A whole number of microseconds within the range.
    mutating func duration(_ range: ClosedRange<Duration>) -> Duration {
        let least = range.lowerBound.microseconds
        let width = range.upperBound.microseconds - least
        return .microseconds(least + Int64(truncatingIfNeeded: next() % UInt64(width + 1)))
    }

    mutating func ratio(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + Double(next() >> 11) * 0x1p-53 * (range.upperBound - range.lowerBound)
    }

    mutating func element<Element>(of elements: [Element]) -> Element { elements[below(elements.count)] }

    /// A generator of its own, so that what it decides does not depend on how often others ask.
    mutating func fork() -> SeededRandom { SeededRandom(seed: next()) }
}
