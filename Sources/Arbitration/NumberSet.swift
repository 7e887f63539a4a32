// A set of numbers that are given from 0 on, a bit each.

struct NumberSet: Sendable {
    private var words: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// In ascending order.
    var numbers: [UInt32] {
        var numbers: [UInt32] = []
        numbers.reserveCapacity(count)
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                numbers.append(UInt32(index * 64 + rest.trailingZeroBitCount))
                rest &= rest - 1
            }
        }
        return numbers
    }

    func contains(_ number: UInt32) -> Bool {
        let (index, bit) = place(number)
        return index < words.count && words[index] & bit != 0
    }

    /// `false`: it is there already.
    @discardableResult
    mutating func insert(_ number: UInt32) -> Bool {
        let (index, bit) = place(number)
        if index >= words.count {
            words.append(contentsOf: repeatElement(0, count: index + 1 - words.count))
        }
        guard words[index] & bit == 0 else { return false }
        words[index] |= bit
        count += 1
        return true
    }

    /// `false`: it is not there.
    @discardableResult
    mutating func remove(_ number: UInt32) -> Bool {
        guard contains(number) else { return false }
        let (index, bit) = place(number)
        words[index] &= ~bit
        count -= 1
        return true
    }

    mutating func removeAll() { self = NumberSet() }

    private func place(_ number: UInt32) -> (index: Int, bit: UInt64) {
        (Int(number >> 6), 1 << UInt64(number & 63))
    }
}
