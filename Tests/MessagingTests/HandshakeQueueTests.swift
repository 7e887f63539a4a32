// Whose step is next, as a dialogue: who waits, and the time.
import Basics
import Testing

@testable import Messaging

@Suite struct HandshakeQueueTests {
    private var queue = HandshakeQueue()
    private var now = Instant.zero + .seconds(100)

    private func host(_ number: UInt32) -> IPv4Address { IPv4Address(number: 0x0A00_0000 + number) }

    /// All that wait, in the order in which they are served from now on.
    private mutating func served() -> [Int32] {
        var order: [Int32] = []
        while let descriptor = queue.next(at: now) {
            order.append(descriptor)
            now = now + HandshakeQueue.pace
        }
        return order
    }

    @Test mutating func `there is one step at a time, and a rest before the next`() {
        #expect(queue.deadline == nil && queue.next(at: now) == nil)
        queue.add(20, from: host(1), hasBegun: false)
        queue.add(21, from: host(1), hasBegun: false)
        #expect(queue.next(at: now) == 21)
        let then = now + HandshakeQueue.pace
        #expect(queue.deadline == then)
        #expect(queue.next(at: now) == nil && queue.next(at: then - .microseconds(1)) == nil)
        #expect(queue.next(at: then) == 20)
        #expect(queue.deadline == nil && queue.count == 0)
        // Who comes at once after that has the rest before it, too.
        queue.add(22, from: host(1), hasBegun: false)
        #expect(queue.deadline == then + HandshakeQueue.pace && queue.next(at: then) == nil)
    }

    @Test mutating func `a thousand of one address do not keep another waiting`() {
        for descriptor in 100..<1100 as Range<Int32> { queue.add(descriptor, from: host(1), hasBegun: false) }
        #expect(queue.next(at: now) == 1099)
        now = now + HandshakeQueue.pace
        queue.add(20, from: host(2), hasBegun: false)
        queue.add(21, from: nil, hasBegun: false)
        #expect(Array(served().prefix(4)) == [1098, 20, 21, 1097])
    }

    @Test mutating func `who has begun goes on, and of those who begin the newest is next`() {
        for descriptor in 20..<24 as Range<Int32> {
            queue.add(descriptor, from: host(1), hasBegun: descriptor >= 22)
        }
        #expect(served() == [22, 23, 21, 20])
    }

    @Test mutating func `under a flood of its own address one that goes on at once is through in four steps`()
    {
        for descriptor in 100..<600 as Range<Int32> { queue.add(descriptor, from: host(1), hasBegun: false) }
        queue.add(20, from: host(1), hasBegun: false)
        #expect(queue.next(at: now) == 20)
        queue.add(600, from: host(1), hasBegun: false)
        queue.add(20, from: host(1), hasBegun: true)
        now = now + HandshakeQueue.pace
        #expect(queue.next(at: now) == 20)
    }

    @Test mutating func `who is gone is not served, and nobody waits twice`() {
        for descriptor in 20..<24 as Range<Int32> {
            queue.add(descriptor, from: host(UInt32(descriptor) / 2), hasBegun: false)
        }
        queue.add(20, from: host(10), hasBegun: true)
        #expect(queue.count == 4)
        queue.remove(20)
        queue.remove(21)
        queue.remove(99)
        #expect(served() == [23, 22])
        #expect(queue.count == 0)
    }
}
