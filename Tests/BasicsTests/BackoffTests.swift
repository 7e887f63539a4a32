// Waits between attempts.
import Basics
import Testing

@Suite struct BackoffTests {
    @Test func `waits grow to a bound and are never the same for all`() {
        var backoff = Backoff(first: .seconds(1), longest: .seconds(10))
        #expect((0..<6).map { _ in backoff.wait(random: 0) } == [1, 2, 4, 8, 10, 10].map { .seconds($0) })
        #expect(backoff.wait(random: 512) == .milliseconds(12_500))
        backoff.reset()
        #expect(backoff.wait(random: 1023) < .milliseconds(1500))
    }
}
