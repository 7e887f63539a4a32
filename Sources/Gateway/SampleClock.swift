// When samples are due, as the bus's `sample_every` says.
import Basics

struct SampleClock {
    private let every: Duration
    private var due = Instant.zero

    init(every: Duration) { self.every = every }

    /// Asked about once a second, or whenever figures are taken.
    mutating func isDue(at now: Instant) -> Bool {
        guard now >= due else { return false }
        due = now + every
        return true
    }
}
