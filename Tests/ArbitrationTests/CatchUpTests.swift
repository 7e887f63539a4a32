// An arbiter that takes a session from its beginning although it has long begun.
import Basics
import Testing
import Wire

@testable import Arbitration

/// An arbiter of two lines and a server, path 2, with a window of 64 messages.
private struct Late: ~Copyable {
    var arbiter: Arbiter
    var delivered: [UInt64] = []
    var gaps: [ClosedRange<UInt64>] = []

    init(most: UInt64 = 10_000, after last: UInt64 = 0, before next: UInt64 = 5000, bytes: Int = 1 << 20) {
        var options = ArbiterOptions(paths: 3)
        options.reorderCount = 64
        options.reorderBytes = bytes
        options.recoveryTime = .seconds(1)
        arbiter = Arbiter(options: options)
        arbiter.set(2, isActive: false)
        arbiter.catchUp(7, after: last, before: next, CatchUpOptions(most: most), at: at(0))
    }

    mutating func take(_ sequence: UInt64, on path: UInt8 = 0, at milliseconds: Int64) {
        let arrival = Arrival(
            path: path, session: 7, sequence: sequence,
            receivedAt: WallTime(nanoseconds: milliseconds * 1_000_000 + Int64(path)))
        if case .deliver = arbiter.offer(arrival, payload: [1], at: at(milliseconds)) {
            delivered.append(sequence)
        }
        drain()
    }

    mutating func tick(_ milliseconds: Int64) {
        arbiter.tick(at: at(milliseconds))
        drain()
    }

    mutating func drain() {
        while let released = arbiter.nextReleased() {
            switch released {
            case .message(let held): delivered.append(held.arrival.sequence)
            case .gap(let gap): gaps.append(gap.range.first...gap.range.last)
            case .epoch, .divergence: break
            }
        }
    }

    /// What may be asked for.
    func missing(_ milliseconds: Int64) -> [SequenceRange] {
        arbiter.missing(for: .milliseconds(20), atMost: 64, at: at(milliseconds)).ranges
    }
}

private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

@Suite struct CatchUpTests {
    @Test
    func `a session is delivered from its beginning, however long it takes and whatever comes meanwhile`() {
        var late = Late()
        var live: UInt64 = 5000
        late.take(live, at: 0)
        #expect(late.missing(30) == [SequenceRange(1, 64)])
        var time: Int64 = 30
        // Four are sent again for each new one.
        while late.arbiter.isCatchingUp, time < 60_000 {
            for range in late.missing(time).prefix(1) {
                for sequence in range.first...min(range.last, range.first + 3) {
                    late.take(sequence, on: 2, at: time)
                }
            }
            live += 1
            late.take(live, on: UInt8(live % 2), at: time)
            late.tick(time)
            time += 10
            #expect(late.arbiter.waiting <= 64)
        }
        #expect(late.gaps == [])
        #expect(late.delivered == Array(1...live))
        #expect(late.arbiter.behind == 0)
        #expect(late.arbiter.counters(of: 0).missed == 0 && late.arbiter.counters(of: 1).missed == 0)
        #expect(late.arbiter.counters.passedOver > 1000)
        // From now on a hole is told in its time.
        late.take(live + 2, at: time)
        late.tick(time + 1020)
        #expect(late.gaps == [live + 1...live + 1])
    }

    @Test func `a session of which nobody sends any more is told as missing and goes on`() {
        var late = Late()
        late.take(5000, at: 0)
        for sequence in UInt64(1)...10 { late.take(sequence, on: 2, at: 1000) }
        #expect(late.arbiter.behind == 4990)
        for time in stride(from: Int64(1000), through: 11_000, by: 100) {
            late.take(5001 + UInt64(time) / 100, at: time)
            late.tick(time)
        }
        let last: UInt64 = 5001 + 109
        #expect(late.gaps == [11...last])
        #expect(late.arbiter.losses == [.silent(SequenceRange(11, last))])
        late.take(last + 2, at: 30_000)
        #expect(late.delivered == Array(1...10) + [last + 1, last + 2])
    }

    @Test func `a session that runs away is let go`() {
        var late = Late(most: 5000)
        late.take(5000, at: 0)
        for sequence in UInt64(5001)...10_000 { late.take(sequence, at: 1) }
        late.tick(2)
        #expect(late.gaps == [] && late.arbiter.behind == 10_000)
        late.take(10_001, at: 3)
        late.tick(4)
        #expect(late.gaps == [1...10_001])
        #expect(late.arbiter.losses == [.ranAway(SequenceRange(1, 10_001))])
        late.take(10_002, at: 5)
        #expect(late.delivered == [10_002])
    }

    @Test func `when nobody answers any more, what is missing between what came is given up together`() {
        var late = Late()
        late.take(5000, at: 0)
        for sequence in UInt64(1)...60 where sequence % 10 != 0 { late.take(sequence, on: 2, at: 100) }
        late.tick(10_100)
        #expect(late.gaps == [10...10] && late.delivered.last == 19)
        late.tick(20_099)
        #expect(late.gaps == [10...10])
        late.tick(20_100)
        #expect(late.gaps == [10...10, 20...20, 30...30, 40...40, 50...50] && late.delivered.last == 59)
        let losses = late.arbiter.takeLosses()
        #expect(losses == [.silent(SequenceRange(10, 10)), .silent(SequenceRange(20, 59))])
        late.tick(30_100)
        #expect(late.gaps.last == 60...5000 && late.arbiter.isCatchingUp == false)
    }

    @Test func `what no server has is given up by itself, and the rest goes on`() {
        var late = Late()
        late.take(5000, at: 0)
        for sequence in UInt64(1)...40 where !(11...12).contains(sequence) {
            late.take(sequence, on: 2, at: 100)
        }
        late.tick(10_099)
        #expect(late.gaps == [] && late.delivered.last == 10)
        late.tick(10_100)
        #expect(late.gaps == [11...12] && late.delivered.last == 40)
        #expect(late.arbiter.isCatchingUp == true)
        let losses = late.arbiter.takeLosses()
        #expect(losses == [.silent(SequenceRange(11, 12))])
        #expect(late.missing(10_101) == [SequenceRange(41, 104)])
        for sequence in UInt64(41)...5000 { late.take(sequence, on: 2, at: 10_200) }
        #expect(late.arbiter.isCatchingUp == false)
        #expect(late.arbiter.losses == [])
        #expect(late.gaps == [11...12] && late.delivered.count == 4998)
    }

    @Test func `a first word beyond what a jump may be is believed, since the session is known`() {
        var late = Late(most: 1_000_000_000, before: 20_000_000)
        #expect(late.arbiter.behind == 19_999_999)
        late.take(20_000_000, at: 0)
        #expect(late.arbiter.behind == 20_000_000 && late.arbiter.counters.implausible == 0)
        #expect(late.missing(30) == [SequenceRange(1, 64)])
    }

    @Test func `what waits has no more bytes than it may, and only what is next is asked for then`() {
        var late = Late(bytes: 3)
        late.take(5000, at: 0)
        for sequence in UInt64(3)...10 { late.take(sequence, on: 2, at: 1) }
        #expect(late.arbiter.waiting == 4 && late.gaps == [])
        #expect(late.missing(30) == [SequenceRange(1, 2)])
        late.take(1, on: 2, at: 31)
        late.take(2, on: 2, at: 31)
        #expect(late.delivered == [1, 2, 3, 4, 5, 6] && late.gaps == [])
        #expect(late.missing(32) == [SequenceRange(7, 70)])
    }

    @Test func `who comes in time has nothing to catch up with`() {
        var late = Late(before: 1)
        late.take(1, at: 0)
        #expect(late.arbiter.isCatchingUp == false)
        late.take(3, at: 1)
        late.tick(1021)
        #expect(late.gaps == [2...2])
    }

    @Test func `another session ends it, and what is missing of the old one is told`() {
        var late = Late()
        late.take(5000, at: 0)
        late.take(1, on: 2, at: 1)
        for path in UInt8(0)...1 {
            let arrival = Arrival(
                path: path, session: 8, sequence: 1, receivedAt: WallTime(nanoseconds: Int64(path)))
            _ = late.arbiter.offer(arrival, payload: [2], at: at(10))
            late.drain()
        }
        #expect(late.gaps == [2...5000])
        #expect(late.delivered == [1, 1])
        #expect(late.arbiter.isCatchingUp == false)
        #expect(late.arbiter.losses == [.left(SequenceRange(2, 5000))])
    }

    @Test func `it goes on behind what an earlier run delivered`() {
        var late = Late(after: 4000)
        late.take(5000, at: 0)
        #expect(late.arbiter.behind == 1000)
        late.take(4001, on: 2, at: 1)
        #expect(late.delivered == [4001])
    }
}
