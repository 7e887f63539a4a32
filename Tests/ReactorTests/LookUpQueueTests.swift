// Which name is looked up next, as a dialogue: who asks, and who has an answer.
import Testing

@testable import Reactor

@Suite struct LookUpQueueTests {
    private var queue = LookUpQueue(lanes: 2, mostAsked: 6)

    /// Asks for names as `host:port`; how many found room.
    private mutating func ask(_ names: String...) -> Int {
        var taken = 0
        for name in names {
            let parts = name.split(separator: ":")
            let isTaken = queue.ask(LookUpQueue.Name(host: String(parts[0]), port: UInt16(parts[1]) ?? 0))
            taken += isTaken ? 1 : 0
        }
        return taken
    }

    /// What is begun now, as `lane host:port`.
    private mutating func begun() -> [String] {
        var begun: [String] = []
        while let (lane, name) = queue.next() { begun.append("\(lane) \(name.host):\(name.port)") }
        return begun
    }

    @Test mutating func `a name without an answer delays no other`() {
        _ = ask("slow:1")
        #expect(begun() == ["0 slow:1"])
        _ = ask("a:1", "b:1")
        #expect(begun() == ["1 a:1"])
        queue.answered(by: 1)
        #expect(begun() == ["1 b:1"])
    }

    @Test mutating func `the names of one host wait for each other, and nobody waits for them`() {
        _ = ask("slow:1", "slow:2", "slow:3", "a:1")
        #expect(begun() == ["0 slow:1", "1 a:1"])
        queue.answered(by: 1)
        #expect(begun() == [])
        queue.answered(by: 0)
        #expect(begun() == ["0 slow:2"])
    }

    @Test mutating func `a name that is asked for again has one answer for all`() {
        _ = ask("a:1", "a:1")
        #expect(begun() == ["0 a:1"])
        _ = ask("a:1")
        #expect(begun() == [])
        queue.answered(by: 0)
        #expect(begun() == [])
        _ = ask("a:1")
        #expect(begun() == ["0 a:1"])
    }

    @Test mutating func `beyond the bound nobody is taken until there are answers`() {
        #expect(ask("a:1", "a:1", "a:1", "a:1", "b:1", "c:1", "d:1", "a:1") == 6)
        #expect(begun() == ["0 a:1", "1 b:1"])
        queue.answered(by: 0)
        #expect(ask("d:1", "d:1", "d:1", "d:1", "d:1") == 4)
        // Of nothing there is no answer.
        queue.answered(by: 0)
        #expect(ask("d:1") == 0)
    }
}
