// The open orders of one matching unit: whose each is, and how much of it is left, so that messages which name only
// an order find their instrument. Open addressing in one array: a look-up allocates nothing.

/// A bounded table of open orders.
struct PITCHOrders {
    /// Orders that are kept; what is opened beyond is not remembered, and counted.
    static let capacity = 1 << 18
    /// The longest search, so that ill-chosen numbers cost no more than others.
    private static let longestProbe = 128
    private static let smallest = 1 << 10

    private struct Entry {
        var order: UInt64 = 0
        /// -1: the place is free.
        var instrument: Int32 = -1
        var quantity: UInt32 = 0
    }

    private var entries = [Entry](repeating: Entry(), count: PITCHOrders.smallest)
    private(set) var count = 0
    /// Orders that were not remembered.
    private(set) var refused: UInt64 = 0

    private func home(_ order: UInt64) -> Int {
        let mixed = (order ^ order >> 29) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 32) & (entries.count - 1)
    }

    /// Where an order is, or the free place where it would be; `nil`: neither within the longest search.
    private func place(of order: UInt64) -> (index: Int, isFree: Bool)? {
        var index = home(order)
        for _ in 0..<PITCHOrders.longestProbe {
            if entries[index].instrument < 0 { return (index, true) }
            if entries[index].order == order { return (index, false) }
            index = (index + 1) & (entries.count - 1)
        }
        return nil
    }

    /// The instrument of an open order; `nil`: it is not known.
    func instrument(of order: UInt64) -> Int32? {
        guard let place = place(of: order), !place.isFree else { return nil }
        return entries[place.index].instrument
    }

    mutating func open(_ order: UInt64, instrument: Int32, quantity: UInt32) {
        if count >= entries.count / 2 { grow() }
        guard let place = place(of: order), !place.isFree || count < PITCHOrders.capacity else {
            refused &+= 1
            return
        }
        if place.isFree { count += 1 }
        entries[place.index] = Entry(order: order, instrument: instrument, quantity: quantity)
    }

    /// So much of an order was executed or cancelled; without a rest it is gone.
    mutating func reduce(_ order: UInt64, by quantity: UInt32) {
        guard let place = place(of: order), !place.isFree else { return }
        let left = entries[place.index].quantity
        left > quantity ? entries[place.index].quantity = left - quantity : remove(place.index)
    }

    mutating func set(_ order: UInt64, quantity: UInt32) {
        guard let place = place(of: order), !place.isFree else { return }
        quantity > 0 ? entries[place.index].quantity = quantity : remove(place.index)
    }

    mutating func close(_ order: UInt64) {
        guard let place = place(of: order), !place.isFree else { return }
        remove(place.index)
    }

    mutating func removeAll() {
        guard count > 0 else { return }
        entries = [Entry](repeating: Entry(), count: PITCHOrders.smallest)
        count = 0
    }

    /// Frees a place and moves up whoever had to search past it.
    private mutating func remove(_ index: Int) {
        let mask = entries.count - 1
        var hole = index
        var next = (index + 1) & mask
        while entries[next].instrument >= 0 {
            let wanted = home(entries[next].order)
            if (next - wanted) & mask >= (next - hole) & mask {
                entries[hole] = entries[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        entries[hole] = Entry()
        count -= 1
    }

    private mutating func grow() {
        guard entries.count < 2 * PITCHOrders.capacity else { return }
        let old = entries
        entries = [Entry](repeating: Entry(), count: old.count * 2)
        count = 0
        for entry in old where entry.instrument >= 0 {
            guard let place = place(of: entry.order), place.isFree else {
                refused &+= 1
                continue
            }
            entries[place.index] = entry
            count += 1
        }
    }
}
