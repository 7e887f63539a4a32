// Queues of bytes: what is sent is what was appended, and what may wait is bounded for each and for all.
import Testing

@testable import ZMTP

@Suite struct SendQueueTests {
    private func append(_ bytes: [UInt8], to queue: inout SendQueue, _ room: inout QueueRoom) {
        queue.append(bytes.count, &room) { $0.append(contentsOf: bytes) }
    }

    @Test func `what is appended is sent in order, in whatever pieces it is taken`() {
        var room = QueueRoom()
        var queue = SendQueue()
        var sent: [UInt8] = []
        var expected: [UInt8] = []
        for step in 0..<400 {
            let bytes = (0..<(step % 7)).map { _ in UInt8(truncatingIfNeeded: step) }
            expected += bytes
            append(bytes, to: &queue, &room)
            queue.send(&room) { waiting in
                let taken = waiting.prefix(step % 5)
                sent += taken
                return taken.count
            }
            let count = queue.count
            #expect(room.used >= count)
        }
        queue.send(&room) { waiting in
            sent += waiting
            return waiting.count
        }
        #expect(sent == expected)
        let isEmpty = queue.isEmpty
        #expect(isEmpty)
    }

    @Test func `one queue takes no more than one may`() {
        var room = QueueRoom(ofOne: 100, ofEach: 10, ofAll: 1000)
        var queue = SendQueue()
        var may = [queue.mayTake(100, room), queue.mayTake(1000, room)]
        #expect(may == [true, true], "one message may wait, whatever its length")
        append([UInt8](repeating: 0, count: 60), to: &queue, &room)
        may = [queue.mayTake(40, room), queue.mayTake(41, room)]
        #expect(may == [true, false])
    }

    @Test func `many that are not read share what there is, and each has a little of its own`() {
        var room = QueueRoom(ofOne: 1 << 20, ofEach: 300, ofAll: 1 << 20)
        var lengths: [Int] = []
        var queues: [Reader] = []
        for _ in 0..<100 {
            let reader = Reader()
            while reader.queue.mayTake(100, room) {
                append([UInt8](repeating: 1, count: 100), to: &reader.queue, &room)
            }
            lengths.append(reader.queue.count)
            queues.append(reader)
        }
        #expect(lengths[0] > lengths[1] && lengths[1] > lengths[2])
        #expect(lengths.last == 300)
        #expect(room.used <= room.ofAll + 100 * (300 + slack))
        #expect(queues.count == 100)
    }

    /// What the kernel's pages and malloc's sizes add to an array.
    private let slack = 4096 + 64

    @Test(arguments: [100, 3000, 100_000])
    func `the memory of a queue is hardly more than what waits in it`(size: Int) {
        var room = QueueRoom()
        var queue = SendQueue()
        let message = [UInt8](repeating: 1, count: size)
        while queue.mayTake(size, room) {
            append(message, to: &queue, &room)
            let count = queue.count
            #expect(room.used <= max(2 * min(count, SendQueue.doubled), count + count / 8) + slack)
        }
        let count = queue.count
        #expect(count > room.ofOne - size && room.used <= room.ofOne + slack)
    }

    @Test func `a reader that is slow is served from the memory that its queue has`() {
        var room = QueueRoom(ofOne: 1000, ofEach: 1000, ofAll: 1000)
        var queue = SendQueue()
        var (next, expected): (UInt8, UInt8) = (0, 0)
        var isWhole = true
        for _ in 0..<5000 {
            while queue.mayTake(10, room) {
                append([UInt8](repeating: next, count: 10), to: &queue, &room)
                next &+= 1
            }
            queue.send(&room) { waiting in
                isWhole = isWhole && waiting.prefix(10).allSatisfy { $0 == expected }
                expected &+= 1
                return 10
            }
            #expect(room.used <= 1000 + 64)
        }
        #expect(isWhole)
    }

    @Test func `what is empty keeps little, and more where there is plenty`() {
        for (ofAll, isKept) in [(4 << 20, true), (100 << 10, false)] {
            var room = QueueRoom(ofOne: 1 << 20, ofEach: 1 << 20, ofAll: ofAll)
            var queue = SendQueue()
            append([UInt8](repeating: 1, count: 100 << 10), to: &queue, &room)
            queue.send(&room) { $0.count }
            #expect((room.used >= 100 << 10) == isKept)
            #expect(isKept || room.used == 0)
        }
    }

    private final class Reader { var queue = SendQueue() }

    @Test func `a queue that goes gives its room back`() {
        var room = QueueRoom()
        var queue = SendQueue()
        append([1, 2, 3], to: &queue, &room)
        queue.removeAll(&room)
        #expect(room.used == 0 && queue.isEmpty)
    }
}
