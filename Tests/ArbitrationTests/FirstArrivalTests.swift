// When sequences first came, as a path's delay is told from.
import Basics
import Testing

@testable import Arbitration

private func wall(_ milliseconds: Int64) -> WallTime { WallTime(nanoseconds: milliseconds * 1_000_000) }

@Suite struct FirstArrivalTests {
    @Test func `who is first is not late`() {
        var arrivals = FirstArrivals()
        for sequence in 1...1000 as ClosedRange<UInt64> {
            arrivals.heard(sequence, of: 1, at: wall(Int64(sequence)))
            #expect(arrivals.arrival(of: sequence, session: 1) == wall(Int64(sequence)))
        }
        #expect(arrivals.arrival(of: 1001, session: 1) == nil)
    }

    @Test func `a copy is late by how long ago the first one came, or by a little less`() throws {
        var arrivals = FirstArrivals()
        for sequence in 1...1000 as ClosedRange<UInt64> {
            arrivals.heard(sequence, of: 1, at: wall(Int64(sequence)))
        }
        for sequence in 1...1000 as ClosedRange<UInt64> {
            let first = try #require(arrivals.arrival(of: sequence, session: 1))
            #expect(first >= wall(Int64(sequence)) && first <= wall(Int64(sequence) + 20), "\(sequence)")
            // The copy is no news.
            arrivals.heard(sequence, of: 1, at: wall(5000))
            #expect(arrivals.arrival(of: sequence, session: 1) == first)
        }
    }

    @Test func `behind what was marked the last one's time is known exactly`() {
        var arrivals = FirstArrivals()
        arrivals.heard(1, of: 1, at: wall(0))
        arrivals.heard(2, of: 1, at: wall(5))
        arrivals.heard(3, of: 1, at: wall(10))
        #expect(arrivals.arrival(of: 2, session: 1) == wall(10))
        #expect(arrivals.arrival(of: 3, session: 1) == wall(10))
    }

    @Test func `however long it goes on, what is kept is bounded and never told as later than it was`() throws
    {
        var arrivals = FirstArrivals()
        for step in 1...20_000 as ClosedRange<UInt64> {
            arrivals.heard(10 * step, of: 1, at: wall(20 * Int64(step)))
        }
        var last = wall(0)
        for sequence in stride(from: 1, through: 200_000, by: 7) as StrideThrough<UInt64> {
            let first = try #require(arrivals.arrival(of: sequence, session: 1))
            #expect(first >= wall(2 * Int64(sequence)) && first >= last)
            last = first
        }
        // What came lately is known to the twentieth of a second.
        let recent = try #require(arrivals.arrival(of: 199_950, session: 1))
        #expect(recent <= wall(2 * 199_950 + 40))
    }

    @Test func `another session begins anew, and of the one before nothing is said`() {
        var arrivals = FirstArrivals()
        arrivals.heard(500, of: 1, at: wall(0))
        arrivals.heard(3, of: 2, at: wall(100))
        arrivals.heard(501, of: 1, at: wall(200))
        #expect(arrivals.arrival(of: 500, session: 1) == nil)
        #expect(arrivals.arrival(of: 3, session: 2) == wall(100))
        #expect(arrivals.arrival(of: 4, session: 2) == nil)
    }
}
