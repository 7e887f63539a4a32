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
        fileprivate var since: Instant
    }

    /// How many may be kept.
    let capacity: Int
    /// How long the others have.
    let patience: Duration
    /// Ascending by their sequences, all of one session.
    private var copies: [Copy] = []

    init(capacity: Int, patience: Duration) {
        self.capacity = capacity
        self.patience = patience
    }

    var isEmpty: Bool { copies.isEmpty }

    mutating func removeAll() { copies = [] }

    /// Keeps a copy back.
    ///
    /// - Parameter sound: the paths whose word counts, a bit each.
    /// - Returns: `false`, if nobody can be expected to know better, or there is no room: it is as good as any.
    mutating func keep(_ unit: ArraySlice<UInt8>, _ arrival: Arrival, sound: UInt8, at now: Instant) -> Bool {
        let bit: UInt8 = 1 << (arrival.path & 7)
        let index = place(of: arrival.sequence)
        if index < copies.count, copies[index].arrival.sequence == arrival.sequence {
            copies[index].paths |= bit
            return sound & ~copies[index].paths != 0
        }
        guard sound & ~bit != 0, copies.count < capacity else { return false }
        copies.insert(Copy(arrival: arrival, unit: Array(unit), paths: bit, since: now), at: index)
        return true
    }

    /// Those that are kept back no longer: their messages came under a name, or did not come in time.
    ///
    /// - Parameter expected: what is below was delivered or told.
    mutating func take(below expected: UInt64, at now: Instant) -> [Copy] {
        let taken = copies.filter { $0.arrival.sequence < expected || $0.since + patience <= now }
        if !taken.isEmpty {
            copies.removeAll { $0.arrival.sequence < expected || $0.since + patience <= now }
        }
        return taken
    }

    /// Where a sequence is, or would be.
    private func place(of sequence: UInt64) -> Int {
        var (low, high) = (0, copies.count)
        while low < high {
            let middle = (low + high) / 2
            if copies[middle].arrival.sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
