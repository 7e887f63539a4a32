// How much is taken from a socket in a turn, by its cost.
import Testing

@testable import Messaging

@Suite struct TurnBudgetTests {
    private func messages(reading: Int, making: Int) -> Int {
        var budget = TurnBudget()
        var taken = 0
        while budget.hasRoom {
            budget.took()
            budget.read(bytes: reading)
            budget.made(bytes: making)
            taken += 1
        }
        return taken
    }

    @Test func `small requests are taken by number, dear ones by what they cost`() {
        #expect(messages(reading: 0, making: 0) == 64)
        #expect(messages(reading: 30, making: 300) == 59)
        #expect(messages(reading: 0, making: 60 << 10) == 4)
        #expect(messages(reading: 64 << 10, making: 0) == 1)
        #expect(messages(reading: 0, making: 1 << 30) == 1)
    }
}
