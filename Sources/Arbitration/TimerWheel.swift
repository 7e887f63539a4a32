// When each of many things is due: a wheel of buckets, each a linked list through arrays. Scheduling and
// cancelling cost the same for ten things as for a hundred thousand, and allocate nothing.
import Basics

/// One due time per handle, kept to an eighth of a second: never early, at most that much late.
struct TimerWheel {
    private static let none: Int32 = -1
    private static let granularity: Int64 = 125_000_000

    private struct Link {
        var next = TimerWheel.none
        var previous = TimerWheel.none
        var bucket = TimerWheel.none
    }

    private var heads: [Int32]
    private var links: [Link] = []
    private let start: Int64
    /// The turn whose bucket is emptied next, counted from the start.
    private var turn: Int64 = 0
    private var scheduled = 0

    /// - Parameter longest: how far ahead anything is ever scheduled; later times are cut to it.
    init(longest: Duration, from now: Instant) {
        let turns = max(1, longest.nanoseconds / Self.granularity) + 2
        heads = Array(repeating: Self.none, count: powerOfTwo(atLeast: Int(min(turns, 1 << 20))))
        start = now.nanoseconds
    }

    /// The time of the next turn; `nil`: nothing is scheduled.
    var deadline: Instant? {
        scheduled == 0 ? nil : Instant(nanoseconds: start + turn * Self.granularity)
    }

    mutating func grow(to count: Int) {
        links.append(contentsOf: repeatElement(Link(), count: max(0, count - links.count)))
    }

    /// Schedules a handle that is not scheduled.
    mutating func schedule(_ handle: Int, at due: Instant) {
        let elapsed = due.nanoseconds - start + Self.granularity - 1
        let wanted = elapsed.flooredQuotient(by: Self.granularity)
        let clamped = min(max(wanted, turn), turn + Int64(heads.count) - 1)
        let bucket = Int(clamped) & (heads.count - 1)
        let head = heads[bucket]
        links[handle] = Link(next: head, previous: Self.none, bucket: Int32(bucket))
        if head != Self.none { links[Int(head)].previous = Int32(handle) }
        heads[bucket] = Int32(handle)
        scheduled += 1
    }

    /// Takes a handle out, if it is in.
    mutating func cancel(_ handle: Int) {
        let link = links[handle]
        guard link.bucket != Self.none else { return }
        if link.next != Self.none { links[Int(link.next)].previous = link.previous }
        if link.previous == Self.none {
            heads[Int(link.bucket)] = link.next
        } else {
            links[Int(link.previous)].next = link.next
        }
        links[handle] = Link()
        scheduled -= 1
    }

    /// Takes out a handle that is due; `nil`: none is.
    mutating func next(at now: Instant) -> Int? {
        let current = (now.nanoseconds - start).flooredQuotient(by: Self.granularity)
        guard scheduled > 0 else {
            turn = max(turn, current)
            return nil
        }
        while turn <= current {
            let head = heads[Int(turn) & (heads.count - 1)]
            if head != Self.none {
                cancel(Int(head))
                return Int(head)
            }
            turn += 1
        }
        return nil
    }
}
