// The machine that decides when is written, as a dialogue: frames in, jobs out.
import Basics
import Testing
import Wire

@testable import FeedJournal

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// A writer and its disk.
private struct Dialogue: ~Copyable {
    var writer: JournalWriter
    /// Of the job that is under way.
    private var records = RecordBatch()

    init(
        of budget: JournalBudget = JournalBudget(most: .max),
        _ change: (inout JournalWriterOptions) -> Void = { _ in }
    ) {
        var options = JournalWriterOptions()
        options.batchBytes = 400
        change(&options)
        writer = JournalWriter(
            options: options, control: Array("control/itch/0/".utf8), budget: budget, at: ms(0))
        #expect(writer.condition == .opening)
        let (first, second) = (writer.nextJob(at: ms(0)), writer.nextJob(at: ms(0)))
        #expect(first == .open && second == nil)
        writer.finished(.done(size: 81), at: ms(0))
        #expect(writer.condition == .writing)
    }

    /// A frame of 73 + 16 bytes.
    mutating func frame(
        _ sequence: UInt64, at time: Int64, topic: String = "md/itch/AAPL/", flags: FrameFlags = []
    ) {
        frames(sequence...sequence, at: time, topic: topic, flags: flags)
    }

    /// Frames that were released together.
    mutating func frames(
        _ sequences: ClosedRange<UInt64>, at time: Int64, topic: String = "md/itch/AAPL/",
        flags: FrameFlags = []
    ) {
        var batch = FrameBatch()
        for sequence in sequences {
            let header = frameHeader(sequence, flags: flags, at: time)
            var bytes: [UInt8] = []
            header.encode(topic: Array(topic.utf8)[...], body: [1, 2, 3], into: &bytes)
            batch.append(bytes, topicLength: topic.utf8.count, header)
        }
        _ = writer.take(&batch, at: ms(time))
        #expect(batch.isEmpty)
    }

    /// What is to be done now: "write 5 6", "write 7 sync", "sync", "turn 8", "-".
    mutating func job(at time: Int64, isLast: Bool = false) -> String {
        let directory = writer.turns(at: ms(time)) ? VenueDirectory(epoch: 7, units: [1: [65]]).records : []
        let job = writer.nextJob(directory: directory, isLast: isLast, at: ms(time))
        if var job { records = job.takeRecords() }
        switch job {
        case nil: return "-"
        case .open: return "open"
        case .sync: return "sync"
        case .expire: return "expire"
        case .write(let batch, let sync): return "write\(words(batch))\(sync ? " sync" : "")"
        case .turn(let batch, let sync): return "turn\(words(batch))\(sync ? " sync" : "")"
        }
    }

    mutating func expect(
        _ wanted: String, at time: Int64, isLast: Bool = false, _ place: SourceLocation = #_sourceLocation
    ) {
        let job = job(at: time, isLast: isLast)
        #expect(job == wanted, sourceLocation: place)
    }

    private func words(_ batch: RecordBatch) -> String {
        let bytes = FeedJournalTests.header() + batch.sealed(at: 81, crc) { _, _ in }
        return scan(bytes).compactMap { finding -> String? in
            guard case .record(let record) = finding else { return nil }
            switch record.head.kind {
            case .frame: return " \(record.stamp.sequence)"
            case .directory: return " directory"
            case .hole:
                let hole = Hole(record.contents, topicLength: record.head.topicLength)
                let topic = String(decoding: hole?.topic ?? [], as: UTF8.self)
                return " hole \(topic) \(hole?.range?.description ?? "-") (\(hole?.count ?? 0))"
            }
        }.joined()
    }

    mutating func done(_ size: Int = 1000, at time: Int64) {
        writer.finished(.done(size: size), returning: records, at: ms(time))
    }
    mutating func failed(at time: Int64, _ how: (String) -> JournalOutcome = { .failed($0) }) {
        writer.finished(how("no space"), returning: records, at: ms(time))
    }
}

@Suite struct WriterTests {
    @Test func `frames wait for others, but not long`() {
        var talk = Dialogue()
        talk.frame(5, at: 0)
        talk.expect("-", at: 0)
        #expect(talk.writer.deadline(at: ms(0)) == ms(10))
        talk.frame(6, at: 3)
        talk.expect("write 5 6", at: 10)
        talk.frame(7, at: 11)
        talk.expect("-", at: 30)
        #expect(talk.writer.figures.written == 0 && talk.writer.taken == 3)
        talk.done(at: 31)
        #expect(talk.writer.figures.written == 2 && talk.writer.figures.writtenThrough == (7, 6))
        talk.expect("write 7", at: 31)
    }

    @Test func `a full batch does not wait`() {
        var talk = Dialogue()
        for sequence in 1...5 { talk.frame(UInt64(sequence), at: 0) }
        #expect(talk.writer.deadline(at: ms(0)) == ms(0))
        talk.expect("write 1 2 3 4 5", at: 0)
    }

    @Test func `what is synced is what was written before`() {
        var talk = Dialogue { $0.sync = .every(.milliseconds(100)) }
        talk.frame(5, at: 0)
        talk.expect("write 5", at: 10)
        talk.done(at: 12)
        #expect(talk.writer.figures.synced == 0)
        #expect(talk.writer.deadline(at: ms(12)) == ms(112))
        talk.expect("-", at: 111)
        talk.expect("sync", at: 112)
        talk.done(at: 120)
        #expect(talk.writer.figures.synced == 1)
        // Nothing but to look for old segments.
        #expect(talk.writer.deadline(at: ms(120)) == ms(600_000))

        // A sync that is due goes before what waits.
        talk.frame(6, at: 200)
        talk.expect("write 6", at: 210)
        talk.done(at: 211)
        talk.frame(7, at: 305)
        talk.expect("sync", at: 315)
        talk.done(at: 316)
        talk.expect("write 7", at: 316)
        talk.done(at: 317)
        #expect(talk.writer.figures.written == 3 && talk.writer.figures.synced == 2)

        var each = Dialogue { $0.sync = .eachBatch }
        each.frame(5, at: 0)
        each.expect("write 5 sync", at: 10)
        each.done(at: 20)
        #expect(each.writer.figures.synced == 1)
    }

    @Test func `what a sync failed for does not count as synced later`() {
        var talk = Dialogue {
            $0.sync = .every(.milliseconds(100))
            $0.segmentBytes = 1000
        }
        talk.frame(5, at: 0)
        talk.expect("write 5", at: 10)
        talk.done(800, at: 10)
        talk.expect("sync", at: 110)
        talk.done(800, at: 110)
        talk.frames(6...7, at: 200)
        talk.expect("write 6 7", at: 210)
        talk.done(900, at: 210)
        talk.expect("sync", at: 310)
        talk.failed(at: 310) { .unsynced($0) }
        #expect(talk.writer.condition == .stopped("no space"))
        talk.expect("sync", at: 1310)
        talk.done(900, at: 1310)
        #expect(talk.writer.condition == .writing)
        #expect(talk.writer.figures.written == 3 && talk.writer.figures.synced == 1)
        // The same where a segment is to be closed: nothing of the next one is lost.
        talk.frame(8, at: 1400)
        talk.expect("write 8", at: 1410)
        talk.done(1000, at: 1410)
        talk.frame(9, at: 1420)
        talk.expect("turn directory 9", at: 1430)
        talk.failed(at: 1430) { .unsynced($0) }
        talk.frame(10, at: 1440)
        talk.expect("sync", at: 2430)
        talk.done(1000, at: 2430)
        talk.expect("turn directory 9 10", at: 2430)
        talk.done(300, at: 2440)
        talk.expect("sync", at: 2540)
        talk.done(300, at: 2540)
        #expect(talk.writer.figures.written == 6 && talk.writer.figures.synced == 3)
    }

    @Test func `a segment that has its size is closed, and the next one begins with the directory`() {
        var talk = Dialogue { $0.segmentBytes = 500 }
        talk.frame(5, at: 0)
        talk.expect("write 5", at: 10)
        talk.done(500, at: 11)
        talk.expect("-", at: 20)
        talk.frame(6, at: 20)
        talk.expect("turn directory 6", at: 30)
        talk.done(100, at: 31)
        talk.frame(7, at: 31)
        talk.expect("write 7", at: 41)
        talk.done(190, at: 42)
        talk.frame(8, at: 3_700_000)
        talk.expect("turn directory 8", at: 3_700_010)
    }

    @Test func `when too much waits, journalling stops and goes on with an exact hole`() {
        var talk = Dialogue { $0.mostWaiting = 360 }
        for sequence in 1...4 { talk.frame(UInt64(sequence), at: 0) }
        talk.expect("write 1 2 3 4", at: 10)
        #expect(talk.writer.condition == .writing)
        for sequence in 5...9 { talk.frame(UInt64(sequence), at: 11) }
        guard case .stopped(let why) = talk.writer.condition else {
            Issue.record("it goes on")
            return
        }
        #expect(why.hasPrefix("the disk is too slow"))
        #expect(talk.writer.figures.lost == 5 && talk.writer.figures.stops == 1)
        talk.done(at: 30)
        #expect(talk.writer.condition == .writing)
        talk.frame(10, at: 31)
        talk.expect("write hole control/itch/0/ 5–9 (5) 10", at: 41)
    }

    @Test func `what waits of all channels is bounded together`() {
        let budget = JournalBudget(most: 500)
        var one = Dialogue(of: budget) { $0.mostWaiting = 360 }
        var other = Dialogue(of: budget) { $0.mostWaiting = 360 }
        one.frames(1...3, at: 0)
        other.frames(1...2, at: 0)
        #expect(budget.waiting == 5 * 89)
        other.frame(3, at: 1)
        #expect(other.writer.figures.lost == 1 && one.writer.condition == .writing)
        guard case .stopped(let why) = other.writer.condition else {
            Issue.record("it goes on")
            return
        }
        #expect(why.hasSuffix("of all channels wait to be written"))
        other.expect("write 1 2", at: 10)
        #expect(budget.waiting == 5 * 89)
        other.done(at: 11)
        #expect(other.writer.condition == .writing)
        other.expect("write hole control/itch/0/ 3 (1)", at: 21)
        other.done(at: 22)
        #expect(budget.waiting == 3 * 89)
        one.expect("write 1 2 3", at: 23)
        one.failed(at: 24)
        #expect(budget.waiting == 3 * 89)
    }

    @Test func `a channel whose folder refuses all leaves the others half of the room`() {
        let budget = JournalBudget(most: 1000)
        var refused = Dialogue(of: budget)
        refused.frame(1, at: 0)
        refused.expect("write 1", at: 10)
        refused.failed(at: 11)
        refused.frames(2...20, at: 12)
        #expect(budget.waiting == 5 * 89 && refused.writer.figures.lost == 15)
        var sound = Dialogue(of: budget)
        sound.frames(1...6, at: 13)
        #expect(sound.writer.condition == .writing && sound.writer.figures.lost == 0)
        sound.expect("write 1 2 3 4 5 6", at: 23)
        sound.done(at: 24)
        #expect(budget.waiting == 5 * 89)
    }

    @Test func `a channel of which nothing waits records its hole when others have made room`() {
        let budget = JournalBudget(most: 300)
        var idle = Dialogue(of: budget)
        do {
            var full = Dialogue(of: budget)
            full.frames(1...3, at: 0)
            idle.frame(1, at: 1)
            #expect(idle.writer.figures.lost == 1)
            #expect(idle.writer.deadline(at: ms(1)) == ms(1001))
            idle.expect("-", at: 1001)
            #expect(idle.writer.deadline(at: ms(1001)) == ms(2001))
        }
        #expect(budget.waiting == 0, "a writer that is gone has nothing waiting")
        idle.expect("-", at: 2001)
        #expect(idle.writer.condition == .writing && idle.writer.deadline(at: ms(2001)) == ms(2011))
        idle.expect("write hole control/itch/0/ 1 (1)", at: 2011)
    }

    @Test func `of frames that came together those that find room are journalled, and the rest is a hole`() {
        var talk = Dialogue { $0.mostWaiting = 360 }
        talk.frames(1...3, at: 0)
        talk.frames(4...6, at: 0)
        #expect(talk.writer.figures.lost == 2 && talk.writer.taken == 4)
        talk.expect("write 1 2 3 4", at: 10)
        talk.frames(7...8, at: 11)
        talk.done(at: 12)
        #expect(talk.writer.figures.writtenThrough == (7, 4))
        talk.frames(9...10, at: 13)
        talk.expect("write hole control/itch/0/ 5–8 (4) 9 10", at: 23)
    }

    @Test func `a frame that is too long for a record is a hole in its place`() {
        var talk = Dialogue { $0.mostWaiting = 360 }
        let long = frame(6, body: [UInt8](repeating: 1, count: RecordHead.mostBytes))
        talk.frame(5, at: 0)
        talk.writer.leaveOut(long.span, topicLength: 13, at: ms(1))
        talk.frame(7, at: 2)
        #expect(talk.writer.figures.lost == 1 && talk.writer.condition == .writing)
        talk.expect("write 5 hole control/itch/0/ 6 (1) 7", at: 10)
        talk.done(at: 11)
        #expect(talk.writer.figures.written == 2)
        // Alone it is written, too.
        talk.writer.leaveOut(long.span, topicLength: 13, at: ms(12))
        talk.expect("write hole control/itch/0/ 6 (1)", at: 22)
        talk.done(at: 23)
        // Where nothing is journalled it is one of the others.
        for sequence in 8...13 { talk.frame(UInt64(sequence), at: 24) }
        talk.writer.leaveOut(frame(14, body: long).span, topicLength: 13, at: ms(25))
        talk.expect("write 8 9 10 11", at: 34)
        talk.done(at: 35)
        talk.frame(15, at: 36)
        talk.expect("write hole control/itch/0/ 12–14 (3) 15", at: 46)
    }

    @Test func `where topics have numbers of their own, holes name them`() {
        var talk = Dialogue { $0.mostWaiting = 90 }
        talk.frame(1, at: 0, flags: .numberedPerTopic)
        talk.frame(2, at: 0, flags: .numberedPerTopic)
        talk.frame(3, at: 0, flags: .numberedPerTopic)
        talk.frame(77, at: 0, topic: "md/itch/B/", flags: .numberedPerTopic)
        talk.expect("write 1", at: 10)
        talk.done(at: 11)
        talk.expect("write hole md/itch/AAPL/ 2–3 (2) hole md/itch/B/ 77 (1)", at: 21)
    }

    @Test func `a full disk loses nothing as long as there is room in memory`() {
        var talk = Dialogue { $0.mostWaiting = 500 }
        talk.frame(1, at: 0)
        talk.expect("write 1", at: 10)
        talk.frame(2, at: 11)
        talk.failed(at: 12)
        #expect(talk.writer.condition == .stopped("no space") && talk.writer.figures.stops == 1)
        #expect(talk.writer.figures.written == 0 && talk.writer.figures.lost == 0)
        talk.expect("-", at: 500)
        #expect(talk.writer.deadline(at: ms(500)) == ms(1012))
        talk.expect("write 1 2", at: 1012)
        talk.failed(at: 1013)
        for sequence in 3...9 { talk.frame(UInt64(sequence), at: 1014) }
        #expect(talk.writer.figures.lost == 4 && talk.writer.figures.stops == 2)
        talk.expect("write 1 2 3 4 5", at: 2014)
        talk.done(at: 2015)
        #expect(talk.writer.figures.written == 5 && talk.writer.figures.writtenThrough == (7, 5))
        #expect(talk.writer.condition == .writing)
        talk.frame(10, at: 2016)
        talk.expect("write hole control/itch/0/ 6–9 (4) 10", at: 2030)
    }

    @Test func `a journal that cannot be opened is tried again`() {
        var writer = JournalWriter(options: JournalWriterOptions(), control: [], at: ms(0))
        var job = writer.nextJob(at: ms(0))
        #expect(job == .open)
        writer.finished(.failed("no such folder"), at: ms(1))
        #expect(writer.condition == .stopped("no such folder"))
        job = writer.nextJob(at: ms(500))
        #expect(job == nil)
        job = writer.nextJob(at: ms(1001))
        #expect(job == .open)
        writer.finished(.done(size: 81), at: ms(1002))
        #expect(writer.condition == .writing)
    }

    @Test func `segments that are too old are looked for also while nothing comes`() {
        var talk = Dialogue { $0.expireEvery = .seconds(60) }
        talk.frame(5, at: 0)
        talk.expect("write 5", at: 10)
        talk.done(at: 11)
        let due = talk.writer.deadline(at: ms(11))
        talk.expect("-", at: 59_000)
        guard let due else { return #expect(Bool(false)) }
        let job = talk.writer.nextJob(at: due)
        #expect(job == .expire && talk.writer.condition == .writing)
        // What comes meanwhile waits for it.
        talk.frame(6, at: 60_010)
        talk.expect("-", at: 60_030)
        talk.done(at: 60_031)
        talk.expect("write 6", at: 60_031)
        talk.done(at: 60_032)
        talk.expect("-", at: 60_040)
        talk.expect("sync", at: 130_000, isLast: true)
        talk.done(at: 130_001)
        talk.expect("-", at: 130_001, isLast: true)
        talk.expect("expire", at: 130_001)
    }

    @Test func `at the end everything is written and synced`() {
        var talk = Dialogue { $0.sync = .every(.seconds(60)) }
        talk.frame(5, at: 0)
        talk.expect("write 5", at: 1, isLast: true)
        talk.done(at: 2)
        talk.expect("sync", at: 2, isLast: true)
        talk.done(at: 3)
        talk.expect("-", at: 3, isLast: true)
    }
}
