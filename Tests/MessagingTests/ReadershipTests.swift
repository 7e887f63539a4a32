// Who reads a stream and did not get all of it, as a dialogue: who asks, what is sent and what arrives, and who is given
// up.
import Testing

@testable import Messaging

@Suite struct ReadershipTests {
    private var readers = Readership()

    private mutating func subscribe(_ prefix: String, by reader: Int32) -> [Readership.Action] {
        readers.subscribed(to: Array(prefix.utf8), by: reader, from: "10.0.0.\(reader)")
    }

    /// Publishes a frame, which all that hold its topic take.
    private mutating func publish(_ topic: String) -> [Int32] {
        let receivers = readers.published(Array(topic.utf8)).sorted()
        for reader in receivers { readers.sent(to: reader) }
        return receivers
    }

    private mutating func look(_ reader: Int32, _ waiting: Int, times: Int = 1) -> [Readership.Action] {
        (0..<times).flatMap { _ in readers.looked(at: reader, waiting: waiting) }
    }

    @Test mutating func `when all was sent, the end is when the last has read it and left`() {
        #expect(subscribe("md/itch/", by: 7) == [] && subscribe("md/itch/A/", by: 8) == [])
        #expect(publish("md/itch/A/") == [7, 8] && publish("md/itch/B/") == [7])
        #expect(readers.ended() == [.finish(7), .finish(8)] && !readers.isDone)
        readers.departed(8, hasReadAll: true)
        #expect(!readers.isDone)
        readers.departed(7, hasReadAll: true)
        #expect(readers.isDone && readers.lostCount == 0)
    }

    @Test mutating func `whoever comes at the end is not waited for`() {
        #expect(readers.ended() == [] && readers.isDone)
        #expect(subscribe("", by: 7) == [] && readers.isDone && readers.present == [])
    }

    @Test mutating func `for whom nothing arrives is given up, with what may be missing`() {
        _ = subscribe("", by: 7)
        for _ in 0..<3 { _ = publish("a/") }
        #expect(look(7, 0) == [])
        for _ in 0..<2 { _ = publish("a/") }
        #expect(look(7, 500, times: 10) == [])
        #expect(look(7, 500) == [.hangUp(7)])
        #expect(readers.lost == [.init(address: "10.0.0.7", loss: .stalled, sent: 5, doubtful: 2)])
        #expect(publish("a/") == [] && readers.present == [])
        readers.departed(7, hasReadAll: false)
        #expect(readers.lostCount == 1)
    }

    @Test mutating func `who takes a little is waited for, and so is who has nothing to take`() {
        _ = subscribe("", by: 7)
        _ = publish("a/")
        for waiting in (1...100).reversed() { #expect(look(7, waiting, times: 5) == []) }
        #expect(look(7, 0, times: 100) == [])
        _ = publish("a/")
        #expect(look(7, 100, times: 10) == [])
        _ = publish("a/")
        #expect(look(7, 100, times: 10) == [])
        #expect(look(7, 100) == [.hangUp(7)])
    }

    @Test
    mutating func `whose host has all is waited for longer, since it may still be reading, and not for ever`()
    {
        _ = subscribe("", by: 7)
        _ = publish("a/")
        _ = readers.ended()
        #expect(look(7, 10, times: 10) == [] && look(7, 1, times: 10) == [])
        #expect(look(7, 0, times: 99) == [])
        #expect(look(7, 0) == [.hangUp(7)])
        #expect(readers.isDone)
        #expect(readers.lost == [.init(address: "10.0.0.7", loss: .unconfirmed, sent: 1, doubtful: 0)])
    }

    @Test mutating func `who leaves with all that there was lost nothing, unless more comes`() {
        _ = subscribe("", by: 7)
        _ = publish("a/")
        readers.departed(7, hasReadAll: true)
        #expect(readers.lostCount == 0)
        var other = readers
        _ = other.ended()
        #expect(other.lostCount == 0)
        #expect(publish("a/") == [])
        #expect(readers.lost == [.init(address: "10.0.0.7", loss: .left, sent: 1, doubtful: 0)])
    }

    @Test
    mutating func `whose connection breaks did not get all, unless it had taken back what it asked for`() {
        for reader: Int32 in [7, 8] { _ = subscribe("a/", by: reader) }
        _ = publish("a/")
        readers.cancelled(Array("a/".utf8), by: 8)
        readers.departed(7, hasReadAll: false)
        readers.departed(8, hasReadAll: false)
        #expect(readers.lost == [.init(address: "10.0.0.7", loss: .left, sent: 1, doubtful: 1)])
    }

    @Test mutating func `a descriptor that is another connection's now begins anew`() {
        _ = subscribe("a/", by: 7)
        readers.departed(7, hasReadAll: true)
        _ = subscribe("b/", by: 7)
        #expect(publish("a/") == [] && publish("b/") == [7])
        #expect(readers.lost.map(\.sent) == [0])
    }

    @Test mutating func `what is asked for beyond the bounds is refused, and told`() {
        var limits = BusSubscriptions.Limits()
        limits.prefixes = 1
        readers = Readership(limits: limits)
        #expect(subscribe("a/", by: 7) == [] && subscribe("b/", by: 7) == [.hangUp(7)])
        #expect(readers.lost.map(\.loss) == [.refused("a connection holds 1 prefixes at most")])
    }

    @Test mutating func `who is here when it is stopped had not taken all, and a hundred are named`() {
        for reader in 1...Int32(150) { _ = subscribe("", by: reader) }
        _ = readers.ended()
        readers.stopped()
        #expect(readers.isDone && readers.lostCount == 150 && readers.lost.count == 100)
        #expect(readers.lost.first == .init(address: "10.0.0.1", loss: .stopped, sent: 0, doubtful: 0))
    }

    @Test mutating func `after an interrupt who is here is waited for, not long; the second time not at all`()
    {
        for reader in [7, 8] as [Int32] { _ = subscribe("", by: reader) }
        _ = publish("a/")
        #expect(readers.interrupted() == [.finish(7), .finish(8), .waitAtMost(.seconds(5))])
        // However much is taken meanwhile.
        for waiting in (1...50).reversed() { #expect(look(7, waiting) == []) }
        readers.departed(8, hasReadAll: true)
        #expect(!readers.isDone && readers.interrupted() == [] && readers.isDone)
        #expect(readers.lost == [.init(address: "10.0.0.7", loss: .stopped, sent: 1, doubtful: 1)])
    }

    @Test mutating func `an interrupt while the last are waited for leaves them as long as any other`() {
        _ = subscribe("", by: 7)
        _ = publish("a/")
        #expect(readers.ended() == [.finish(7)])
        #expect(readers.interrupted() == [.waitAtMost(.seconds(5))] && !readers.isDone)
        var other = readers
        other.departed(7, hasReadAll: true)
        #expect(other.isDone && other.lostCount == 0)
        readers.stopped()
        #expect(readers.isDone && readers.lost.map(\.loss) == [.stopped])
    }

    @Test mutating func `an interrupt while nobody is here is the end`() {
        _ = readers.interrupted()
        #expect(readers.isDone)
    }

    @Test mutating func `who dies with what it has not read is not told to have all`() {
        _ = subscribe("", by: 7)
        for _ in 0..<3 { _ = publish("a/") }
        _ = look(7, 0)
        var other = readers
        _ = other.published(Array("a/".utf8))
        other.sent(to: 7)
        readers.departed(7, hasReadAll: false)
        other.departed(7, hasReadAll: false)
        #expect(
            (readers.lost + other.lost).map(\.description) == [
                "the subscriber at 10.0.0.7 left before the end: it was sent 3 frames, all of which arrived at its host; how many it has read is not seen here",
                "the subscriber at 10.0.0.7 left before the end: it was sent 4 frames, of which the last 1 may not have arrived at its host; how many of the others it has read is not seen here",
            ])
    }

    @Test mutating func `those that left are remembered no further than a hundred, and all are counted`() {
        for reader in 1...Int32(150) {
            _ = subscribe("", by: reader)
            readers.departed(reader, hasReadAll: true)
        }
        #expect(publish("a/") == [])
        #expect(readers.lostCount == 150 && readers.lost.count == 100)
    }
}
