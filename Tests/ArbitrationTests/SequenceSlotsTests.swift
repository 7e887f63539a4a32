// Slots by number: each number has one, shared with those a whole round away, and there are no others.
import Testing

@testable import Arbitration

@Suite struct SequenceSlotsTests {
    @Test(arguments: [(0, 2), (2, 2), (3, 4), (1000, 1024)] as [(Int, UInt64)])
    func `each number of a round has its own slot, whatever the number is`(least: Int, count: UInt64) {
        var slots = SequenceSlots<UInt64>(atLeast: least, repeating: 7)
        #expect(slots.count == count)
        for first in [0, 5, UInt64.max - count + 1] {
            for number in first...(first + (count - 1)) { slots[number] = number ^ 0xFF }
            for number in first...(first + (count - 1)) {
                let held = slots[number]
                #expect(held == number ^ 0xFF)
                let round = slots[number &- count]
                #expect(round == held)
            }
        }
    }

    @Test func `what nothing was put into is as it was made`() {
        let slots = SequenceSlots<UInt64>(atLeast: 4, repeating: 7)
        let held = (0..<8 as Range<UInt64>).map { slots[$0] }
        #expect(held == Array(repeating: 7, count: 8))
    }
}
