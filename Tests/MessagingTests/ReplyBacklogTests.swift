// Replies that wait, in dialogue.
import Testing

@testable import Messaging

@Suite struct ReplyBacklogTests {
    /// A reply of one frame that takes so many bytes in all.
    private func reply(_ bytes: Int) -> [[UInt8]] { [[UInt8](repeating: 1, count: bytes - 32)] }

    private final class Desk {
        var backlog: ReplyBacklog<Int>

        init(replies: Int = 10, ofOne: Int = 1000) {
            backlog = ReplyBacklog(
                limits: .init(replies: replies, ofOne: ofOne, ofEach: 100, ofAll: 1000))
        }

        func add(_ reply: [[UInt8]], for key: Int) -> Bool { backlog.add(reply, for: key) }
        func next(for key: Int) -> [[UInt8]]? { backlog.next(for: key) }
    }

    @Test func `replies come out in the order in which they came, each connection's its own`() {
        let desk = Desk()
        #expect(desk.backlog.isEmpty(for: 1))
        for number in 1...3 as ClosedRange<UInt8> {
            #expect(desk.add([[], [number]], for: 1))
            #expect(desk.add([[number, 2]], for: 2))
        }
        #expect(desk.next(for: 1) == [[], [1]] && desk.next(for: 2) == [[1, 2]])
        #expect(desk.next(for: 1) == [[], [2]] && desk.next(for: 1) == [[], [3]])
        #expect(desk.next(for: 1) == nil && desk.backlog.isEmpty(for: 1) && !desk.backlog.isEmpty(for: 2))
        desk.backlog.remove(2)
        desk.backlog.remove(1)
        #expect(desk.next(for: 2) == nil && desk.backlog.bytes == 0)
    }

    @Test func `one may have so many, and so many bytes, of what is left`() {
        let few = Desk(replies: 3)
        for _ in 0..<3 { #expect(few.add(reply(40), for: 1)) }
        #expect(!few.add(reply(40), for: 1) && few.add(reply(40), for: 2))
        #expect(few.next(for: 1) != nil && few.add(reply(40), for: 1))
        let long = Desk(ofOne: 300)
        #expect(long.add(reply(300), for: 1) && !long.add(reply(40), for: 1) && !long.add(reply(301), for: 2))
        // 700 are left, of which a second one gets what it may have.
        #expect(long.add(reply(300), for: 2) && long.backlog.bytes == 600)
    }

    @Test func `who sleeps takes nothing of the little that each has`() {
        let desk = Desk()
        for key in 0..<20 { while desk.add(reply(50), for: key) {} }
        #expect(desk.backlog.bytes <= 1000 + 20 * 100)
        #expect(desk.add(reply(100), for: 99) && !desk.add(reply(101), for: 98))
        for key in 0..<20 { desk.backlog.remove(key) }
        #expect(desk.backlog.bytes == 100 && desk.add(reply(900), for: 98))
    }
}
