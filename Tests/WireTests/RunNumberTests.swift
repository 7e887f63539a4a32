// The number of a new run: above the one before, whatever the clock says.
import Basics
import Testing
import Wire

@Suite struct RunNumberTests {
    private static func wall(_ text: String) throws -> WallTime { try #require(WallTime(rfc3339: text)) }

    @Test func `a run is numbered by the time of its start`() throws {
        let now = try Self.wall("2026-01-02T03:04:05.678901Z")
        let first = RunNumber(startedAt: now, after: nil)
        #expect(first == RunNumber(startedAt: now, after: Incarnation(1)))
        #expect(first.incarnation.number == 1_767_323_045_678_901)
        #expect(first.incarnation.time == now)
        #expect(first.doubt == nil)
    }

    @Test(arguments: ["2026-01-02T03:04:05Z", "2026-01-02T03:04:04Z", "2025-06-01T00:00:00Z"])
    func `a run that starts behind the one before goes on counting from it`(text: String) throws {
        let last = Incarnation(startedAt: try Self.wall("2026-01-02T03:04:05Z"))
        let next = RunNumber(startedAt: try Self.wall(text), after: last)
        #expect(next.incarnation.number == last.number + 1)
        #expect(next.doubt == .behind(last))
    }

    @Test func `a clock that was never set is told, and the run is above the one before all the same`() throws
    {
        let unset = try Self.wall("1970-01-01T00:02:03Z")
        let last = Incarnation(startedAt: try Self.wall("2026-01-02T03:04:05Z"))
        #expect(RunNumber(startedAt: unset, after: last).incarnation.number == last.number + 1)
        #expect(RunNumber(startedAt: unset, after: last).doubt == .notSet)
        #expect(RunNumber(startedAt: unset, after: nil).incarnation.time == unset)
        #expect(RunNumber(startedAt: unset, after: nil).doubt == .notSet)
        #expect(RunNumber(startedAt: RunNumber.earliest, after: nil).doubt == nil)
        #expect(try Self.wall("2025-01-01T00:00:00Z") == RunNumber.earliest)
    }

    @Test func `when no number is left, a run begins with the time again`() throws {
        let now = try Self.wall("2026-01-02T03:04:05Z")
        let last = try #require(Incarnation((1 << 53) - 1))
        #expect(RunNumber(startedAt: now, after: last).incarnation.time == now)
        #expect(RunNumber(startedAt: now, after: last).doubt == .behind(last))
    }
}
