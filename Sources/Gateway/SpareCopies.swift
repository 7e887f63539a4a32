// Messages that another gateway sent without their instrument's name, because it began later than the directory or the
// order that they name. Who else sends them may know it.
import Arbitration
import Basics

/// Copies that are kept back while another gateway may bring the same message under its instrument's name.
struct SpareCopies {
    struct Copy {
        var arrival: Arrival
        var unit: [UInt8]
        /// Who sent it without a name, a bit each.
        fileprivate var paths: UInt8
    }

    /// How many may be kept.
    let capacity: Int
    /// Ascending by their sequences, all of one session; those before `head` are gone.
    private var copies: [Copy] = []
    private var head = 0

    init(capacity: Int) { self.capacity = capacity }

    var isEmpty: Bool { head == copies.count }

    mutating func removeAll() { (copies, head) = ([], 0) }

    /// Keeps a copy back.
    ///
    /// - Parameter sound: the paths whose word counts, a bit each.
    /// - Returns: `false`, if nobody can be expected to know better, or there is no room: it is as good as any.
    mutating func keep(_ unit: ArraySlice<UInt8>, _ arrival: Arrival, sound: UInt8) -> Bool {
        let bit: UInt8 = 1 << (arrival.path & 7)
        let index = place(of: arrival.sequence)
        if index < copies.count, copies[index].arrival.sequence == arrival.sequence {
            copies[index].paths |= bit
            return sound & ~copies[index].paths != 0
        }
        guard sound & ~bit != 0, copies.count - head < capacity else { return false }
        copies.insert(Copy(arrival: arrival, unit: Array(unit), paths: bit), at: index)
        return true
    }

    /// Those of the lowest numbers, through the last one that is to wait no longer.
    mutating func take(through last: UInt64) -> [Copy] {
        let end = copies[head...].firstIndex { $0.arrival.sequence > last } ?? copies.count
        let taken = Array(copies[head..<end])
        head = end
        // Each is moved once, however many are taken one by one.
        if head > copies.count / 2 {
            copies.removeFirst(head)
            head = 0
        }
        return taken
    }

    /// Where a sequence is, or would be.
    private func place(of sequence: UInt64) -> Int {
        var (low, high) = (head, copies.count)
        while low < high {
            let middle = (low + high) / 2
            if copies[middle].arrival.sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
