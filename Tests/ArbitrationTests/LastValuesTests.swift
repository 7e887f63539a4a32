// What is kept for clients that join late, and what is let go: a gap, another epoch, no room.
import Arbitration
import Basics
import Testing
import Wire

@Suite struct LastValuesTests {
    private func header(_ sequence: UInt64) -> FrameHeader {
        FrameHeader(
            kind: .data, feed: 0, channel: 0, epoch: 7, sequence: sequence, state: .live,
            receiveTime: WallTime(nanoseconds: 0))
    }

    @Test func `the last message of a topic is its value`() {
        var values = LastValues()
        values.keep(3, header(5), body: [1, 2, 3])
        values.keep(3, header(6), body: [4])
        values.keep(0, header(2), body: [])
        #expect(values.value(of: 3)?.header.sequence == 6)
        #expect(values.value(of: 3)?.body == [4])
        #expect(values.value(of: 0)?.body == [])
        #expect(values.value(of: 1) == nil)
        #expect(values.value(of: 4) == nil)
        #expect(values.count == 2)
    }

    @Test func `what may be outdated is not handed out`() {
        var values = LastValues()
        values.keep(0, header(1), body: [1])
        values.keep(1, header(2), body: [2])
        values.forget(0)
        values.forget(0)
        values.forget(9)
        #expect(values.value(of: 0) == nil)
        #expect(values.count == 1)
        values.keep(0, header(3), body: [3])
        #expect(values.value(of: 0)?.body == [3])
        values.forgetAll()
        #expect(values.value(of: 0) == nil)
        #expect(values.value(of: 1) == nil)
        #expect(values.count == 0)
        values.keep(1, header(1), body: [4])
        #expect(values.value(of: 1)?.body == [4])
        #expect(values.count == 1)
    }

    @Test func `there is room for so many topics and so many bytes`() {
        var limits = LastValues.Limits()
        (limits.topics, limits.bytes) = (2, 4096)
        var values = LastValues(limits: limits)
        let long = [UInt8](repeating: 1, count: 3000)
        values.keep(0, header(1), body: long[...])
        values.keep(2, header(2), body: [1])
        #expect(values.refused == 1)
        values.keep(1, header(3), body: [1])
        values.keep(1, header(4), body: long[...])
        // What it had is not its last value any more.
        #expect(values.value(of: 1) == nil)
        #expect(values.refused == 2)
        #expect(values.bytes <= 4096)
        values.keep(1, header(5), body: [2])
        #expect(values.value(of: 1)?.header.sequence == 5)
    }

    @Test func `topics of an earlier epoch make room for those of this one`() {
        var limits = LastValues.Limits()
        limits.bytes = 4096
        var values = LastValues(limits: limits)
        let long = [UInt8](repeating: 1, count: 3000)
        values.keep(0, header(1), body: long[...])
        values.forgetAll()
        values.keep(1, header(1), body: long[...])
        #expect(values.value(of: 1)?.body == long)
        #expect(values.refused == 0)
        #expect((3000...4096).contains(values.bytes))
    }
}
