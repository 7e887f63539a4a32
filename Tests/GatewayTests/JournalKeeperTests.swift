// The journal between an engine and the thread that writes: what is too long for it, and who lets go of whom.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Glibc
import Linux
import Reactor
import Testing
import Wire

@testable import Gateway

/// A journal that keeps nothing but words.
private final class Notes: FrameJournal {
    private(set) var lines: [String] = []

    func append(_ frames: inout FrameBatch, channel: UInt16) {
        frames.forEach { frame, topicLength in lines.append("\(frame.count - topicLength - 57)") }
        frames.removeAll()
    }

    func leaveOut(_ frame: [UInt8], topicLength: Int, channel: UInt16) {
        lines.append("left out \(frame.count - topicLength - 57)")
    }

    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, channel: UInt16, epoch: UInt64) {}
}

/// A folder in which an earlier run left a channel, a loop, and a thread.
private final class Desk {
    let loop: EventLoop
    let worker: Worker
    let root: String
    var keeper: JournalKeeper?

    init() throws {
        loop = try EventLoop()
        worker = try Worker(loop)
        root = try newFolder()
        #expect(mkdir("\(root)/quotes", 0o750) == 0)
        #expect(mkdir("\(root)/quotes/0", 0o750) == 0)
    }

    deinit {
        for name in (try? Files.names(in: "\(root)/quotes/0")) ?? [] { unlink("\(root)/quotes/0/\(name)") }
        for name in ["/quotes/0", "/quotes", ""] { rmdir(root + name) }
    }

    func open(mostWaiting: Int = 64 << 20) {
        var options = JournalOptions()
        options.mostWaiting = mostWaiting
        options.directory = root
        var feed = FeedOptions(name: "quotes", feedProtocol: .zeromq, keys: .topic, policy: .hotHot)
        feed.start = .journal
        keeper = JournalKeeper(
            feed,
            JournalSurroundings(
                options: options, loop: loop, worker: worker,
                budget: JournalBudget(most: options.mostWaitingInAll), log: { _, _ in }, run: 1))
    }

    /// Steps the loop until it is so; gives up after 20 s.
    func until(_ isSo: () -> Bool) throws {
        let limit = Clock.monotonic + .seconds(20)
        while !isSo(), Clock.monotonic < limit { try loop.step(atMost: .milliseconds(20)) }
        #expect(isSo())
    }
}

/// The engine of a feed of topics with one path.
private func journalledQuotes(_ sink: Recorder, _ journal: Notes) -> any FeedEngine {
    var options = FeedOptions(name: "quotes", feedProtocol: .zeromq, keys: .topic, policy: .hotHot)
    options.paths = [FeedPathOptions(name: "A")]
    return EnginePlan(
        options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: sink, journal: journal,
        log: { _, _ in }, now: ms(0)
    ).engine()
}

@Suite struct JournalKeeperTests {
    @Test func `a message that is longer than a record is published, and left out of the journal`() {
        let (recorder, notes) = (Recorder(), Notes())
        let engine = journalledQuotes(recorder, notes)
        engine.granted(.data(feed: "quotes", .all), to: nil, at: ms(0), wall: wall(0))
        for (sequence, count) in [(1, 3), (2, RecordHead.mostBytes), (3, 4)] as [(UInt64, Int)] {
            let payload = String(repeating: "x", count: count)
            let frame = QuotesVenue().frame(.data, "AAPL", sequence, payload: payload)
            _ = engine.received(frame[...], on: 0, receivedAt: wall(1), at: ms(1), wall: wall(1))
        }
        #expect(recorder.take().suffix(3).map { $0.prefix(20) } == (1...3).map { "md/quotes/AAPL/ \($0) af" })
        #expect(notes.lines.suffix(3) == ["3", "left out \(RecordHead.mostBytes)", "4"])
    }

    @Test func `what a client is shown when it comes is not journalled`() {
        let (recorder, notes) = (Recorder(), Notes())
        let engine = journalledQuotes(recorder, notes)
        let frame = QuotesVenue().frame(.data, "AAPL", 1)
        _ = engine.received(frame[...], on: 0, receivedAt: wall(1), at: ms(1), wall: wall(1))
        let (before, _) = (notes.lines, recorder.take())
        #expect(!before.isEmpty)
        for _ in 0..<10 {
            engine.granted(.control(feed: "quotes", channel: nil), to: 8, at: ms(2), wall: wall(2))
            engine.granted(.data(feed: "quotes", .one("AAPL")), to: 8, at: ms(2), wall: wall(2))
        }
        #expect(notes.lines == before)
        #expect(recorder.take().count == 30)
    }

    @Test func `who lets go of a journal when it is open is told nothing more`() throws {
        let desk = try Desk()
        desk.open()
        #expect(desk.keeper?.isOpening == true)
        weak let kept = desk.keeper
        desk.keeper?.onOpened = { desk.keeper = nil }
        try desk.until { desk.keeper == nil }
        #expect(kept == nil)
    }

    /// Frames with so many bytes of a body.
    private func append(_ sequences: ClosedRange<UInt64>, of count: Int, to keeper: JournalKeeper) {
        var frames = FrameBatch()
        for sequence in sequences {
            let header = FrameHeader(
                kind: .data, flags: [], feed: 0, channel: 0, epoch: 1, sequence: sequence, state: .live,
                run: 1, receiveTime: wall(1))
            var frame: [UInt8] = []
            header.encode(
                topic: Array("md/quotes/A/".utf8)[...], body: [UInt8](repeating: 1, count: count)[...],
                into: &frame)
            frames.append(frame, topicLength: 12, header)
        }
        keeper.append(&frames, channel: 0)
    }

    @Test func `at the end a disk that was too slow is waited for, and what is missing is noted`() throws {
        let desk = try Desk()
        desk.open(mostWaiting: 1 << 20)
        try desk.until { desk.keeper?.isOpening == false }
        let keeper = try #require(desk.keeper)
        let journal = try #require(keeper.channelJournal(0))
        // The first three are being written when the last one finds no room.
        append(1...3, of: 100_000, to: keeper)
        append(4...10, of: 100_000, to: keeper)
        append(11...11, of: 100_000, to: keeper)
        guard case .stopped = journal.machine.condition else {
            Issue.record("all found room")
            return
        }
        keeper.close(until: Clock.monotonic + .seconds(20))
        #expect(journal.machine.figures.written == 10 && journal.machine.figures.lost == 1)
        #expect(journal.machine.condition == .writing && journal.machine.waiting == 0)
    }

    @Test func `who waits for what is being written keeps no journal`() throws {
        let desk = try Desk()
        desk.open()
        try desk.until { desk.keeper?.isOpening == false }
        let keeper = try #require(desk.keeper)
        append(1...1, of: 1, to: keeper)
        var served = 0
        weak let channel = keeper.channelJournal(0)
        keeper.channelJournal(0)?.afterWriting { _ in served += 1 }
        #expect(served == 0)
        keeper.close(until: Clock.monotonic + .seconds(20))
        #expect(served == 1 && channel == nil)
    }

    @Test
    func
        `a journal whose feed is gone is written to its end while the loop goes on, and then its folder is free`()
        throws
    {
        let desk = try Desk()
        desk.open()
        try desk.until { desk.keeper?.isOpening == false }
        let closing = try ClosingJournals(desk.loop, patience: .seconds(3600))
        var closed: [String] = []
        closing.onClosed = { closed.append($0) }
        let keeper = try #require(desk.keeper)
        let journal = try #require(keeper.channelJournal(0))
        append(1...10, of: 100_000, to: keeper)
        closing.add(keeper, of: "quotes")
        #expect(closing.contains("quotes") && closed.isEmpty && !keeper.hasEnded)
        try desk.until { closed == ["quotes"] }
        #expect(journal.machine.figures.written == 10 && journal.machine.waiting == 0)
        #expect(closing.feeds.isEmpty)
        // The next one finds it unlocked, at its first attempt.
        desk.open()
        try desk.until { desk.keeper?.isOpening == false }
        #expect(desk.keeper?.channelJournal(0)?.machine.figures.stops == 0)
        #expect(desk.keeper?.channelJournal(0)?.machine.condition == .writing)
    }

    @Test func `a journal whose disk does not answer is given up, and where nothing waits nobody is told`()
        throws
    {
        let desk = try Desk()
        desk.open()
        try desk.until { desk.keeper?.isOpening == false }
        let closing = try ClosingJournals(desk.loop, patience: .milliseconds(20))
        var closed: [String] = []
        closing.onClosed = { closed.append($0) }
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        let (disk, answer) = (ends[0], ends[1])
        desk.worker.perform({
            var byte: UInt8 = 0
            _ = unsafe read(disk, &byte, 1)
        }) {}
        let keeper = try #require(desk.keeper)
        append(1...1, of: 1, to: keeper)
        closing.add(keeper, of: "quotes")
        try desk.until { closed == ["quotes"] }
        #expect(keeper.hasEnded && closing.feeds.isEmpty)
        // The list of the next one's folders waits for the disk as well.
        desk.open()
        closing.add(try #require(desk.keeper), of: "quotes")
        #expect(closing.feeds.isEmpty && closed == ["quotes"])
        desk.open()
        append(2...2, of: 1, to: try #require(desk.keeper))
        close(answer)
        try desk.until { desk.keeper?.isOpening == false }
        #expect(desk.keeper?.channelJournal(0)?.machine.condition == .writing)
        #expect(desk.keeper?.channelJournal(0)?.machine.figures.stops == 0)
        close(disk)
    }
}
