// The numbers of one line, and what of them is kept.
import Basics
import Testing
import Wire

@testable import Detection

@Suite struct LineNumbersTests {
    @Test func `a hole that is filled in many places stays within the room, and each number is somewhere`() {
        var numbers = LineNumbers()
        func take(_ first: UInt64) -> LineStep {
            numbers.take(first, 1, at: .zero, drops: 0, known: 20_000, mayRestart: false)
        }
        _ = take(1)
        #expect(take(10_002).opened == SequenceRange(2, 10_001))
        var (filled, left): (UInt64, UInt64) = (0, 0)
        var most = 0
        for number in stride(from: UInt64(3), through: 10_001, by: 2) {
            let step = take(number)
            filled += step.filled
            left += step.evicted.reduce(0) { $0 + $1.range.count }
            most = max(most, numbers.holes.count)
        }
        let open = numbers.holes.reduce(0) { $0 + $1.range.count }
        #expect(most <= LineNumbers.mostHoles && filled + left + open == 10_000)
    }
}
