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

    @Test(arguments: [nil, 3] as [UInt8?])
    func `a value has the header that it was published with`(path: UInt8?) {
        let header = FrameHeader(
            kind: .data, flags: [.numberedPerTopic, .late], feed: 0, channel: 9, epoch: .max,
            sequence: 1 << 40,
            previous: 12, path: path, state: .recovering,
            sourceTime: path.map { WallTime(nanoseconds: Int64($0)) }, receiveTime: WallTime(nanoseconds: 17))
        var values = LastValues(channel: 9)
        values.keep(1, header, body: [UInt8](repeating: 1, count: 100))
        values.keep(0, header, body: [2])
        #expect(values.value(of: 1)?.header == header)
        #expect(values.value(of: 1)?.body == [UInt8](repeating: 1, count: 100))
    }

    @Test func `values that change and stay as long take nothing more`() {
        var values = LastValues()
        for topic in 0..<100 {
            values.keep(topic, header(1), body: [UInt8](repeating: 1, count: 60 + topic))
        }
        let (bytes, memory) = (values.bytes, values.memory)
        for sequence in 2..<20 {
            for topic in 0..<100 {
                let body = [UInt8](repeating: UInt8(sequence), count: 60 + topic)
                values.keep(topic, header(UInt64(sequence)), body: body)
            }
        }
        #expect(values.bytes == bytes)
        #expect(values.memory == memory)
        #expect(values.value(of: 70)?.body == [UInt8](repeating: 19, count: 130))
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
        values.keep(0, header(1), body: long)
        values.keep(2, header(2), body: [1])
        #expect(values.refused == 1)
        values.keep(1, header(3), body: [1])
        values.keep(1, header(4), body: long)
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
        values.keep(0, header(1), body: long)
        values.forgetAll()
        values.keep(1, header(1), body: long)
        #expect(values.value(of: 1)?.body == long)
        #expect(values.refused == 0)
        #expect((3000...4096).contains(values.bytes))
    }
}

extension LastValues {
    fileprivate mutating func keep(_ topic: Int, _ header: FrameHeader, body: [UInt8]) {
        keep(topic, header, body: body.span)
    }
}
