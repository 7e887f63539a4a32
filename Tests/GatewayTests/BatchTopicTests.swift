// Batches of a MoldUDP64 feed as a dialogue with its engine: what stands in one, and when it goes out.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct BatchTopicTests {
    private let venue = MoldVenue()

    /// An engine of which somebody takes batches and nothing else.
    private func bench() -> Bench {
        let bench = Bench(.moldUDP64, .hotHot, wantsAll: false)
        bench.engine.granted(.batch(feed: "itch", channel: nil), to: nil, at: ms(0), wall: wall(0))
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 1)
        _ = flush(bench)
        return bench
    }

    private func flush(_ bench: Bench) -> [String] {
        bench.engine.flush()
        return bench.recorder.take()
    }

    @Test func `a burst is one frame, when it is over`() {
        let bench = bench()
        #expect(bench.receive(venue.packet(2, [venue.delete(1), venue.delete(1)]), on: 0, at: 2) == [])
        #expect(bench.receive(venue.packet(4, [venue.delete(1)]), on: 1, at: 2) == [])
        #expect(flush(bench) == ["batch/itch/0/ 2 3 4 after 1"])
        #expect(flush(bench) == [])
        #expect(bench.recorder.frames.last?.header.path == 1)
    }

    @Test
    func `a gap stands behind what came before it, and what follows still names that`() {
        let bench = bench()
        _ = bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 2)
        _ = bench.receive(venue.packet(4, [venue.delete(1)]), on: 0, at: 2)
        #expect(
            bench.tick(100) == [
                "batch/itch/0/ 2 after 1", "gap 3-3 notRecovered", "batch/itch/0/ 4 after 2",
            ])
    }

    @Test func `a change of state stands between the messages that it parts`() {
        let bench = bench()
        _ = bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 2)
        #expect(
            bench.tick(1500).prefix(2) == [
                "batch/itch/0/ 2 after 1", "state stale -: no word from upstream for 1000 ms",
            ])
    }

    @Test func `another session begins another batch`() {
        let bench = bench()
        _ = bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 2)
        let next = MoldVenue(session: MoldSession("S2"))
        _ = bench.receive(next.packet(1, [next.delete(1)]), on: 0, at: 3)
        _ = bench.receive(next.packet(2, [next.delete(1)]), on: 1, at: 4)
        _ = bench.engine.flush()
        let batches = bench.recorder.frames.filter { $0.header.kind == .batch }
        let epochs = batches.suffix(2).map(\.header.epoch)
        #expect(epochs == ["S1", "S2"].map { FrameHeader.epoch(ofSession: $0.utf8) })
        #expect(batches.last?.header.previous == 0)
    }

    @Test func `a batch that is long goes out at once`() {
        let bench = bench()
        var lines: [String] = []
        var sequence: UInt64 = 2
        for _ in 0..<100 {
            lines += bench.receive(
                venue.packet(sequence, (0..<50).map { _ in venue.delete(1) }), on: 0, at: 2)
            sequence += 50
        }
        let frames = bench.recorder.frames.filter { $0.header.kind == .batch }
        #expect(!lines.isEmpty && frames.allSatisfy { $0.body.count < BatchTopic.longest + 100 })
        _ = bench.engine.flush()
        var expected: UInt64 = 1
        for frame in bench.recorder.frames where frame.header.kind == .batch {
            #expect(frame.header.previous == expected - 1)
            let messages = try? BatchBody.messages(of: frame.body, last: frame.header.sequence)
            for (number, _) in messages ?? [] {
                #expect(number == expected)
                expected += 1
            }
        }
        #expect(expected == sequence)
    }

    @Test func `who takes instruments gets them at once, and both are complete`() {
        let bench = bench()
        bench.engine.granted(.data(feed: "itch", .all), to: nil, at: ms(1), wall: wall(1))
        #expect(bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 2) == ["md/itch/X/ 2 after 1"])
        #expect(flush(bench) == ["batch/itch/0/ 2 after 1"])
    }
}
