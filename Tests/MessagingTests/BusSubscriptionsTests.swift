// What subscribers of the health bus hold, and when they are answered, as dialogues.
import Testing

@testable import Messaging

@Suite struct BusSubscriptionsTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func subscriptions(
        _ change: (inout BusSubscriptions.Limits) -> Void = { _ in }
    ) -> BusSubscriptions {
        var limits = BusSubscriptions.Limits()
        change(&limits)
        return BusSubscriptions(limits: limits)
    }

    private func expect(
        _ held: inout BusSubscriptions, _ prefix: [UInt8], by connection: Int32,
        _ refusal: BusSubscriptions.Refusal?, _ location: SourceLocation = #_sourceLocation
    ) {
        let result = held.subscribe(prefix, by: connection)
        #expect(result == refusal, sourceLocation: location)
    }

    @Test func `a message goes to whose prefixes match, once to each`() {
        var held = subscriptions()
        let asked: [(prefix: String, connection: Int32)] = [
            ("", 1), ("state/", 1), ("state/a/", 2), ("state/a/", 2), ("heartbeat/", 3),
        ]
        for (prefix, connection) in asked {
            let refusal = held.subscribe(bytes(prefix), by: connection)
            #expect(refusal == nil)
        }
        #expect(held.count == 4)
        #expect(held.receivers(of: bytes("state/a/nic/")).sorted() == [1, 2])
        #expect(held.receivers(of: bytes("state/b/")).sorted() == [1])
        #expect(held.receivers(of: bytes("stat")).sorted() == [1])
        // It was asked for twice, and is taken back by one word, as with libzmq.
        held.cancel(bytes("state/a/"), by: 2)
        held.cancel(bytes("state/a/"), by: 3)
        held.cancel([], by: 1)
        #expect(held.receivers(of: bytes("state/a/nic/")) == [1])
        held.departed(1)
        #expect(held.receivers(of: bytes("state/a/nic/")) == [])
        #expect(held.receivers(of: bytes("heartbeat/a/")) == [3])
        #expect(held.count == 1)
    }

    @Test func `a connection holds so many prefixes and bytes, and others hold theirs`() {
        var held = subscriptions { ($0.prefixes, $0.bytes, $0.longest) = (3, 10, 6) }
        expect(&held, bytes("longest"), by: 1, .tooLong(6))
        for prefix in ["a", "b", "c"] { expect(&held, bytes(prefix), by: 1, nil) }
        expect(&held, bytes("d"), by: 1, .tooMany(3))
        expect(&held, bytes("a"), by: 1, nil)
        expect(&held, bytes("d"), by: 2, nil)
        #expect(held.receivers(of: bytes("d")) == [2])
        held.cancel(bytes("a"), by: 1)
        expect(&held, bytes("123456"), by: 1, nil)
        held.cancel(bytes("b"), by: 1)
        expect(&held, bytes("1234"), by: 1, .tooManyBytes(10))
        #expect(held.refused == 3)
        held.departed(1)
        for prefix in ["a", "b", "c"] { expect(&held, bytes(prefix), by: 1, nil) }
    }

    @Test func `whether samples are asked for follows who holds what`() {
        var held = subscriptions()
        #expect(!held.isAskedForSamples)
        _ = held.subscribe(bytes("state/"), by: 1)
        #expect(!held.isAskedForSamples)
        for prefix in ["sample/a/", "sam", ""] { _ = held.subscribe(bytes(prefix), by: 1) }
        _ = held.subscribe(bytes("sample/a/"), by: 2)
        for prefix in ["sample/a/", "sam", ""] { held.cancel(bytes(prefix), by: 1) }
        #expect(held.isAskedForSamples)
        held.departed(2)
        #expect(!held.isAskedForSamples)
    }
}

@Suite struct RepeatQueueTests {
    /// `<connection> <prefix> <place>` of what is next; it is done so far as `upTo` says.
    private func next(_ queue: inout RepeatQueue, upTo place: UInt64? = nil) -> String? {
        guard let work = queue.next() else { return nil }
        queue.answered(upTo: place)
        return "\(work.connection) \(String(decoding: work.prefix, as: UTF8.self)) \(work.place)"
    }

    private func ask(_ queue: inout RepeatQueue, _ prefixes: String..., by connection: Int32) {
        for prefix in prefixes {
            let hasRoom = queue.subscribed(to: Array(prefix.utf8), by: connection)
            #expect(hasRoom)
        }
    }

    @Test func `each is answered in the order in which it asked, and all take turns`() {
        var queue = RepeatQueue()
        ask(&queue, "a", "b", "sync/1/", by: 1)
        ask(&queue, "c", "sync/2/", by: 2)
        #expect(queue.count == 5)
        #expect(next(&queue, upTo: 40) == "1 a 0")
        #expect(next(&queue) == "2 c 0")
        #expect(next(&queue, upTo: 80) == "1 a 40")
        #expect(next(&queue) == "2 sync/2/ 0")
        #expect(next(&queue) == "1 a 80")
        #expect(next(&queue) == "1 b 0")
        #expect(next(&queue) == "1 sync/1/ 0")
        #expect(next(&queue) == nil)
        #expect(queue.isIdle && queue.count == 0)
    }

    @Test func `who does not take what it is sent has its turn when it does, and others meanwhile`() {
        var queue = RepeatQueue()
        ask(&queue, "a", "sync/1/", by: 1)
        ask(&queue, "b", by: 2)
        #expect(next(&queue, upTo: 16) == "1 a 0")
        #expect(next(&queue, upTo: 16) == "2 b 0")
        queue.pause()
        #expect(next(&queue) == "2 b 16")
        #expect(next(&queue) == nil)
        #expect(queue.isIdle && queue.count == 2)
        ask(&queue, "c", by: 1)
        #expect(queue.isIdle)
        queue.resume(2)
        #expect(queue.isIdle)
        queue.resume(1)
        #expect((0..<4).map { _ in next(&queue) } == ["1 a 16", "1 sync/1/ 0", "1 c 0", nil])
        // Nor does one wait for who is gone.
        ask(&queue, "a", by: 1)
        _ = queue.next()
        queue.pause()
        queue.departed(1)
        queue.resume(1)
        #expect(queue.isIdle && queue.count == 0)
        ask(&queue, "a", by: 1)
        #expect(next(&queue) == "1 a 0")
    }

    @Test func `what waits is not queued twice, and what is answered in part is answered again`() {
        var queue = RepeatQueue()
        ask(&queue, "a", "b", "a", "a", by: 1)
        #expect(queue.count == 2)
        #expect(next(&queue, upTo: 7) == "1 a 0")
        ask(&queue, "a", "a", "sync/1/", by: 1)
        #expect(queue.count == 4)
        let rest = (0..<5).map { _ in next(&queue) }
        #expect(rest == ["1 a 7", "1 b 0", "1 a 0", "1 sync/1/ 0", nil])
    }

    @Test func `a storm of subscriptions that are taken back leaves nothing to do and nothing to keep`() {
        var queue = RepeatQueue(mostWaiting: 4)
        ask(&queue, "x", by: 2)
        for number in 0..<100_000 {
            let prefix = Array("\(number)".utf8)
            _ = queue.subscribed(to: prefix, by: 1)
            queue.cancelled(prefix, by: 1)
        }
        #expect(queue.count == 1)
        for number in 0..<100_000 {
            ask(&queue, "a", "b", by: 1)
            queue.cancelled(Array((number % 2 == 0 ? "a" : "b").utf8), by: 1)
        }
        #expect(next(&queue) == "2 x 0")
        #expect(next(&queue) == "1 a 0")
        #expect(next(&queue) == nil)
    }

    @Test func `of one connection so many wait, and the others are refused and counted`() {
        var queue = RepeatQueue(mostWaiting: 2)
        ask(&queue, "a", "b", by: 1)
        let hasRoom = queue.subscribed(to: Array("c".utf8), by: 1)
        #expect(!hasRoom)
        ask(&queue, "b", by: 1)
        ask(&queue, "c", by: 2)
        #expect(queue.refused == 1 && queue.count == 3)
    }

    @Test func `who goes is waited for no more, and its number may be another's`() {
        var queue = RepeatQueue()
        ask(&queue, "a", by: 1)
        ask(&queue, "b", by: 2)
        #expect(next(&queue, upTo: 5) == "1 a 0")
        queue.departed(1)
        ask(&queue, "c", by: 1)
        let rest = (0..<3).map { _ in next(&queue) }
        #expect(rest == ["2 b 0", "1 c 0", nil])
    }

    @Test func `what is taken back while it is answered goes no further`() {
        var queue = RepeatQueue()
        ask(&queue, "a", by: 1)
        #expect(next(&queue, upTo: 5) == "1 a 0")
        queue.cancelled(Array("a".utf8), by: 1)
        #expect(next(&queue) == nil)
        ask(&queue, "a", by: 1)
        #expect(next(&queue) == "1 a 0")
    }
}
