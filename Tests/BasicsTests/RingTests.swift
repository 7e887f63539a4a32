// A ring keeps the newest and hands out what it drops.
import Basics
import Testing

@Suite struct RingTests {
    @Test func `a full ring drops its oldest element`() {
        var ring = Ring<Int>(capacity: 3)
        #expect(ring.first == nil)
        #expect((1...3).map { ring.append($0) } == [nil, nil, nil])
        #expect(ring.isFull)
        #expect(ring.append(4) == 1)
        #expect(ring.append(5) == 2)
        #expect(ring.elements == [3, 4, 5])
        #expect(ring.first == 3)
        #expect(ring.last == 5)
        #expect(ring[1] == 4)
        ring[1] = 7
        #expect(ring.elements == [3, 7, 5])
    }

    @Test func `an emptied ring starts anew`() {
        var ring = Ring<Int>(capacity: 2)
        for number in 1...3 { ring.append(number) }
        ring.removeAll()
        #expect(ring.isEmpty)
        ring.append(9)
        #expect(ring.elements == [9])
    }

    @Test func `a ring of one holds the newest`() {
        var ring = Ring<Int>(capacity: 1)
        #expect(ring.append(1) == nil)
        #expect(ring.append(2) == 1)
        #expect(ring.elements == [2])
    }
}
