// What is to happen in simulated time: a heap of things to do, in the order of their time and, at one time, in
// the order in which they were noted.
import Basics

struct Agenda {
    private struct Item {
        let at: Instant
        let order: UInt64
        let work: () -> Void

        func precedes(_ other: Item) -> Bool { (at, order) < (other.at, other.order) }
    }

    private var items: [Item] = []
    private var order: UInt64 = 0

    var count: Int { items.count }
    /// When the next thing is to happen.
    var next: Instant? { items.first?.at }

    mutating func note(at instant: Instant, _ work: @escaping () -> Void) {
        items.append(Item(at: instant, order: order, work: work))
        order += 1
        var child = items.count - 1
        while child > 0, items[child].precedes(items[(child - 1) / 2]) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The next thing to do.
    mutating func take() -> (at: Instant, work: () -> Void)? {
        guard let first = items.first, let last = items.popLast() else { return nil }
        guard !items.isEmpty else { return (first.at, first.work) }
        items[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < items.count && items[child].precedes(items[least]) {
                least = child
            }
            if least == parent { break }
            items.swapAt(parent, least)
            parent = least
        }
        return (first.at, first.work)
    }
}
