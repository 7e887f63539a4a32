// Journals in temporary folders: written, torn, damaged, opened again and read.
import Basics
import FeedJournal
import Glibc
import Linux
import Testing
import Wire

@testable import JournalFiles

/// A folder that is removed at its end.
final class Folder {
    let path: String
    init() {
        var template = Array("/tmp/hfjournal-XXXXXX".utf8CString)
        path = unsafe String(cString: mkdtemp(&template))
    }
    deinit { remove(path) }

    private func remove(_ path: String) {
        for name in (try? Files.names(in: path)) ?? [] {
            let entry = "\(path)/\(name)"
            if Files.isFolder(entry) { remove(entry) } else { unsafe unlink(entry) }
        }
        unsafe rmdir(path)
    }
}

/// - Parameter milliseconds: when it was received; `nil`: as many as its number.
func frame(
    _ sequence: UInt64, topic: String = "md/itch/AAPL/", epoch: UInt64 = 7, body: Int = 3,
    at milliseconds: Int64? = nil, flags: FrameFlags = []
) -> [UInt8] {
    var bytes: [UInt8] = []
    FrameHeader(
        kind: .data, flags: flags, feed: 0, channel: 0, epoch: epoch, sequence: sequence, state: .live,
        receiveTime: WallTime(
            nanoseconds: 1_767_355_200_000_000_000 + (milliseconds ?? Int64(sequence)) * 1_000_000)
    ).encode(
        topic: Array(topic.utf8)[...], body: [UInt8](repeating: 1, count: body)[...], into: &bytes)
    return bytes
}

func batch(_ sequences: ClosedRange<UInt64>, body: Int = 3) -> RecordBatch {
    var batch = RecordBatch()
    for sequence in sequences {
        batch.append(.frame, frame(sequence, body: body), topicLength: 13)
    }
    return batch
}

/// Does something with so much room on the disk.
func withFiles<Result>(ofAtMost bytes: Int, _ work: () throws -> Result) rethrows -> Result {
    var before = rlimit()
    signal(SIGXFSZ, SIG_IGN)
    _ = unsafe getrlimit(__rlimit_resource_t(1), &before)
    var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: before.rlim_max)
    _ = unsafe setrlimit(__rlimit_resource_t(1), &limit)
    defer { _ = unsafe setrlimit(__rlimit_resource_t(1), &before) }
    return try work()
}

/// One after the other: a full disk is a limit of the whole process here.
@Suite(.serialized) enum DiskTests {}

extension DiskTests {
    @Suite struct TailTests {
        let folder = Folder()
        let wall = WallTime(nanoseconds: 1_767_355_200_000_000_000)

        func plan(_ change: (inout JournalPlan) -> Void = { _ in }) -> JournalPlan {
            var plan = JournalPlan(
                folder: ChannelFolder(root: folder.path, feed: "itch", channel: 0), feed: "itch", channel: 0,
                run: 9,
                retention: Retention(mostBytes: 1 << 30, longest: .seconds(1_000_000_000)), wantsMemory: true,
                wantsDirectory: true)
            change(&plan)
            return plan
        }

        /// Performs jobs one after another; the last one's result.
        ///
        /// - Parameters:
        ///   - time: since the beginning,
        ///   - jump: by which the wall clock is wrong.
        @discardableResult
        func perform(
            _ jobs: [JournalJob], _ plan: JournalPlan, _ tail: JournalTail? = nil,
            after time: Duration = .zero,
            jump: Duration = .zero
        ) -> JournalResult {
            var result = JournalResult(outcome: .failed("nothing"), tail: tail)
            for var job in jobs {
                let opening = result.opening
                result = JournalTail.perform(
                    &job, result.tail, plan, at: .zero + time, wall: wall + time + jump)
                result.opening = result.opening ?? opening
            }
            return result
        }

        func sequences(
            _ start: JournalStart = .beginning, until: WallTime? = nil
        ) throws -> [UInt64] {
            var cursor = try JournalCursor(plan().folder, from: start, until: until)
            var sequences: [UInt64] = []
            while let finding = try cursor.next() {
                if case .record(let record, _) = finding, record.head.kind == .frame {
                    sequences.append(record.stamp.sequence)
                }
            }
            return sequences
        }

        /// All that is read but directories, in words: "data 5".
        func words(_ start: JournalStart = .beginning, until: WallTime? = nil) throws -> [String] {
            var cursor = try JournalCursor(plan().folder, from: start, until: until)
            var words: [String] = []
            while let finding = try cursor.next() {
                guard case .record(let record, _) = finding, record.head.kind != .directory else { continue }
                let stamp = record.stamp
                let kind = stamp.frame.map { "\($0)" } ?? "\(record.head.kind)"
                words.append("\(kind) \(stamp.sequence)")
            }
            return words
        }

        func moment(_ milliseconds: Int64) -> WallTime {
            WallTime(nanoseconds: wall.nanoseconds + milliseconds * 1_000_000)
        }

        func heard(_ sequence: UInt64, at milliseconds: Int64) -> RecordBatch {
            var batch = RecordBatch()
            batch.append(.frame, frame(sequence, at: milliseconds), topicLength: 13)
            return batch
        }

        /// A frame of the control topic.
        func told(_ kind: FrameKind, _ sequence: UInt64, at milliseconds: Int64) -> RecordBatch {
            let topic = Array("control/itch/0/".utf8)
            let header = FrameHeader(
                kind: kind, feed: 0, channel: 0, epoch: 7, sequence: sequence, state: .stale,
                receiveTime: moment(milliseconds))
            var bytes: [UInt8] = []
            header.encode(topic: topic[...], body: [], into: &bytes)
            var batch = RecordBatch()
            batch.append(.frame, bytes, topicLength: topic.count)
            return batch
        }

        func hole(_ range: SequenceRange, from first: Int64, to last: Int64) -> RecordBatch {
            let hole = Hole(
                topic: [], epoch: 7, range: range, count: range.count, from: moment(first), to: moment(last))
            var batch = RecordBatch()
            batch.append(.hole, hole.bytes, topicLength: 0)
            return batch
        }

        func faults() throws -> [String] {
            var chain = SegmentChain(fastestCRC)
            for number in try plan().folder.segments() {
                chain.begin(number)
                chain.take(try Files.read(plan().folder.segment(number), limit: 1 << 30))
                chain.end()
            }
            return chain.faults.map(\.description)
        }

        @Test func `the processor's checksum is the table's`() throws {
            try #require(HardwareCRC32C.isThere)
            let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            for count in 0...64 {
                let slice = bytes[(count)..<(count * 9)]
                #expect(HardwareCRC32C.update(5, slice.span) == CRC32C.byTable(5, slice.span))
            }
            #expect(HardwareCRC32C.update(0, Array("123456789".utf8).span) == 0xE306_9283)
        }

        @Test func `what is written over several runs and segments is one chain`() throws {
            var result = perform(
                [.open, .write(batch(1...5), sync: false), .turn(batch(6...9), sync: true)], plan())
            #expect(result.outcome == .done(size: try Files.size(of: plan().folder.segment(2))))
            result.tail = nil
            result = perform([.open, .write(batch(20...22), sync: true), .sync], plan())
            #expect(result.opening?.torn == nil && result.opening?.damages == [])
            #expect(result.opening?.memory.last == 9)
            #expect(try plan().folder.segments() == [1, 2, 3])
            #expect(try sequences() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22])
            #expect(try faults() == [])
            #expect(
                try Files.exists(plan().folder.index(1))
                    && plan().folder.readIndex(of: 1).spans.first?.last == 5)
        }

        @Test func `only one writer has a folder`() throws {
            let first = perform([.open], plan())
            guard case .failed(let why) = perform([.open], plan()).outcome else {
                Issue.record("two writers")
                return
            }
            #expect(why.contains("lock"))
            withExtendedLifetime(first) {}
        }

        @Test func `a torn tail is cut wherever it is torn, and the chain is whole again`() throws {
            perform([.open, .write(batch(1...3), sync: false)], plan())
            let path = plan().folder.segment(1)
            let bytes = try Files.read(path)
            let header = 81
            let record = (bytes.count - header) / 3
            for count in stride(from: bytes.count - 1, to: header, by: -7) {
                let other = Folder()
                let plan = plan { $0.folder = ChannelFolder(root: other.path, feed: "itch", channel: 0) }
                perform([.open], plan)
                try Files.write(
                    Array(bytes[..<count]), to: plan.folder.segment(1), Files.Attributes(mode: 0o600),
                    replacing: true)
                let result = perform([.open, .write(batch(9...9), sync: false)], plan)
                let torn = (count - header) % record
                #expect(result.opening?.torn?.bytes ?? 0 == torn, "\(count)")
                #expect(result.opening?.memory.last == UInt64((count - header) / record), "\(count)")
                var chain = SegmentChain(fastestCRC)
                for number in try plan.folder.segments() {
                    chain.begin(number)
                    chain.take(try Files.read(plan.folder.segment(number)))
                    chain.end()
                }
                #expect(chain.faults == [] && chain.segments == 2, "\(count)")
            }
        }

        @Test func `a segment without a whole header is torn altogether`() throws {
            for length in [0, 1, 40, 80] {
                perform([.open, .write(batch(1...3), sync: false), .turn(batch(4...4), sync: false)], plan())
                let last = try #require(try plan().folder.segments().last)
                try Files.cut(plan().folder.segment(last), to: length)
                let result = perform([.open], plan())
                #expect(result.opening?.torn?.segment == last || length == 0)
                #expect(try plan().folder.segments().last == last)
                #expect(try faults() == [])
            }
        }

        @Test func `damage in the middle is left, told, and named by verifying`() throws {
            perform([.open, .write(batch(1...3), sync: false)], plan())
            let path = plan().folder.segment(1)
            var bytes = try Files.read(path)
            let record = (bytes.count - 81) / 3
            bytes[81 + record + 40] ^= 4
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o600), replacing: true)
            let result = perform([.open, .write(batch(9...9), sync: false)], plan())
            #expect(result.opening?.torn == nil)
            #expect(
                result.opening?.damages.first?.hasPrefix(
                    "segment 1: record 1 (sequence 2) at byte \(81 + record)") == true)
            #expect(try Files.read(path) == bytes)
            #expect(try sequences() == [1, 3, 9])
            #expect(try faults().count == 1)
        }

        /// Performs jobs with so much room on the disk.
        func perform(
            _ jobs: [JournalJob], _ tail: JournalTail?, plan: JournalPlan? = nil, filesOfAtMost bytes: Int,
            after time: Duration = .zero
        ) -> JournalResult {
            withFiles(ofAtMost: bytes) { perform(jobs, plan ?? self.plan(), tail, after: time) }
        }

        /// The second batch is in five pieces, of which two find room.
        @Test(arguments: [(4, 1 as UInt64, 100), (30_002, 5, (5 << 20) / 2)])
        func `a full disk leaves the file as it was, and what failed can be written again`(
            last: UInt64, pieces: UInt64, room: Int
        ) throws {
            let tail = perform([.open, .write(batch(1...2), sync: false)], plan()).tail
            let size = try Files.size(of: plan().folder.segment(1))
            var more = batch(3...last)
            if pieces > 1 { more = batch(3...last, body: 80) }
            var count: UInt64 = 0
            more.forEachPiece { _ in count += 1 }
            #expect(count == pieces)
            let failed = perform([.write(more, sync: false)], tail, filesOfAtMost: size + room)
            guard case .failed = failed.outcome else {
                Issue.record("there was room")
                return
            }
            #expect(try Files.size(of: plan().folder.segment(1)) == size)
            #expect(try sequences() == [1, 2])
            let again = perform(
                [.write(more, sync: false), .turn(batch(1...1), sync: false)], plan(), failed.tail)
            guard case .done = again.outcome else {
                Issue.record("\(again.outcome)")
                return
            }
            #expect(try sequences() == Array(1...last) + [1] && faults() == [])
        }

        @Test func `a disk that fills up as a segment is begun leaves none, and it is begun again`() throws {
            let tail = perform([.open, .write(batch(1...2), sync: false)], plan()).tail
            // Room for a header, and not for what follows.
            let failed = perform([.turn(batch(3...4), sync: false)], tail, filesOfAtMost: 100)
            guard case .failed = failed.outcome else {
                Issue.record("there was room")
                return
            }
            #expect(try plan().folder.segments() == [1])
            let again = perform([.turn(batch(3...4), sync: false)], plan(), failed.tail)
            guard case .done = again.outcome else {
                Issue.record("\(again.outcome)")
                return
            }
            #expect(try sequences() == [1, 2, 3, 4] && faults() == [])
        }

        @Test func `old segments go, whole, and the chain goes on`() throws {
            let size = 81 + 4 * (16 + frame(1).count)
            let plan = plan {
                $0.retention = Retention(mostBytes: size * 3, longest: .seconds(1_000_000_000))
            }
            var jobs: [JournalJob] = [.open, .write(batch(1...4), sync: false)]
            for first in stride(from: 5, to: 40, by: 4) {
                jobs.append(.turn(batch(UInt64(first)...UInt64(first + 3)), sync: false))
            }
            let result = perform(jobs, plan)
            #expect(try plan.folder.segments() == [8, 9, 10])
            #expect(result.expired == 1)
            #expect(try faults() == [])
            #expect(!Files.exists(plan.folder.index(7)) && Files.exists(plan.folder.index(9)))
        }

        @Test func `old segments go by their age also while nothing comes`() throws {
            let plan = plan { $0.retention = Retention(mostBytes: 1 << 30, longest: .seconds(3600)) }
            var jobs: [JournalJob] = [.open, .write(batch(1...4), sync: false)]
            jobs += [.turn(batch(5...8), sync: false), .turn(batch(9...9), sync: false)]
            let tail = perform(jobs, plan).tail
            for (hours, left) in [(1, [1, 2, 3]), (2, [3])] as [(Int64, [UInt64])] {
                let result = perform([.expire], plan, tail, after: .seconds(3600 * hours))
                #expect(result.expired == 3 - left.count && result.notRemoved == nil)
                #expect(try plan.folder.segments() == left)
            }
            #expect(try faults() == [])
        }

        @Test func `an old segment that somebody has removed keeps none of the others`() throws {
            let plan = plan { $0.retention = Retention(mostBytes: 1 << 30, longest: .seconds(3600)) }
            var jobs: [JournalJob] = [.open, .write(batch(1...4), sync: false)]
            for number in 5...7 as ClosedRange<UInt64> {
                jobs.append(.turn(batch(number...number), sync: false))
            }
            let tail = perform(jobs, plan).tail
            try Files.remove(plan.folder.segment(1))
            let result = perform([.expire], plan, tail, after: .seconds(7200))
            #expect(result.expired == 3 && result.notRemoved == nil)
            #expect(try plan.folder.segments() == [4] && !Files.exists(plan.folder.index(1)))
        }

        @Test func `reading begins with a sequence or a time`() throws {
            var jobs: [JournalJob] = [.open, .write(batch(1...1500), sync: false)]
            jobs += [.turn(batch(1501...3000), sync: false), .turn(batch(3001...3002), sync: false)]
            perform(jobs, plan())
            #expect(try sequences(.sequence(2990, epoch: 7)) == Array(2990...3002))
            #expect(try sequences(.sequence(3002, epoch: nil)) == [3002])
            #expect(try sequences(.sequence(4000, epoch: nil)) == [])
            #expect(try sequences(.sequence(1, epoch: 8)) == [])
            let time = WallTime(nanoseconds: wall.nanoseconds + 2_999_500_000)
            #expect(try sequences(.time(time)) == [3000, 3001, 3002])
            try Files.remove(plan().folder.index(1))
            try Files.write(
                [1, 2, 3], to: plan().folder.index(2), Files.Attributes(mode: 0o600), replacing: true)
            #expect(try sequences(.sequence(1499, epoch: 7)).prefix(3) == [1499, 1500, 1501])
        }

        @Test func `who reads by time misses nothing that was received late and stands before`() throws {
            // Each has an entry of the index; 2 and 5 came by a re-request.
            var late = RecordBatch()
            for (number, milliseconds) in [(1, 1), (2, 60), (3, 3), (4, 4), (5, 70), (6, 6), (7, 80)] {
                let bytes = frame(UInt64(number), body: 70_000, at: Int64(milliseconds))
                late.append(.frame, bytes, topicLength: 13)
            }
            perform([.open, .write(late, sync: false), .turn(batch(100...101), sync: true)], plan())
            let time = WallTime(nanoseconds: wall.nanoseconds + 50_000_000)
            #expect(try sequences(.time(time)) == [2, 3, 4, 5, 6, 7, 100, 101])
            #expect(try sequences(until: time) == [1, 3, 4, 6])
            let later = WallTime(nanoseconds: wall.nanoseconds + 101_000_000)
            #expect(try sequences(.time(time), until: later) == [2, 3, 4, 5, 6, 7, 100])
        }

        @Test func `a time begins with what was told in it, though no data came in it`() throws {
            var jobs: [JournalJob] = [.open, .write(heard(1, at: 10), sync: false)]
            jobs += [.write(told(.state, 1, at: 40), sync: false)]
            // Segments without data, of which an index has no sequences either.
            jobs += [.turn(told(.gap, 3, at: 50), sync: false), .turn(told(.state, 9, at: 60), sync: false)]
            jobs += [.turn(heard(4, at: 90), sync: true)]
            perform(jobs, plan())
            #expect(try words(.time(moment(40)), until: moment(90)) == ["state 1", "gap 3", "state 9"])
            #expect(try words(.time(moment(41))) == ["gap 3", "state 9", "data 4"])
            #expect(try words(.time(moment(51)), until: moment(90)) == ["state 9"])
            #expect(try words(.time(moment(61))) == ["data 4"])
            #expect(try words(.time(moment(91))) == [])
            // A sequence begins with data.
            #expect(try words(.sequence(4, epoch: nil)) == ["data 4"])
            #expect(try words(.sequence(1, epoch: 7)).first == "data 1")
        }

        @Test func `what was told before a segment's first data is there until a time before that`() throws {
            var jobs: [JournalJob] = [.open, .write(heard(1, at: 10), sync: false)]
            jobs += [.turn(told(.state, 1, at: 20), sync: false)]
            jobs += [.write(told(.state, 1, at: 40), sync: false)]
            jobs += [.write(heard(2, at: 90), sync: false), .turn(heard(3, at: 95), sync: true)]
            perform(jobs, plan())
            #expect(try words(until: moment(20)) == ["data 1"])
            #expect(try words(until: moment(40)) == ["data 1", "state 1"])
            #expect(try words(until: moment(90)) == ["data 1", "state 1", "state 1"])
            #expect(try words(until: moment(91)) == ["data 1", "state 1", "state 1", "data 2"])
        }

        @Test func `a hole belongs to all of the time that it stands for`() throws {
            var jobs: [JournalJob] = [.open, .write(heard(3, at: 20), sync: false)]
            jobs += [.write(hole(SequenceRange(4, 5), from: 30, to: 60), sync: false)]
            jobs += [.turn(heard(6, at: 90), sync: true)]
            perform(jobs, plan())
            #expect(try words(.time(moment(60))) == ["hole 4", "data 6"])
            #expect(try words(.time(moment(61))) == ["data 6"])
            #expect(try words(until: moment(30)) == ["data 3"])
            #expect(try words(until: moment(31)) == ["data 3", "hole 4"])
            #expect(try words(.time(moment(40)), until: moment(50)) == ["hole 4"])
        }

        @Test func `who writes to a folder is seen, and a lock that fails otherwise is nobody's`() throws {
            #expect(!ChannelFolder("\(folder.path)/nothing").isBeingWritten)
            do {
                let writer = perform([.open, .write(batch(1...2), sync: true)], plan())
                #expect(plan().folder.isBeingWritten)
                let segments = try plan().folder.segments()
                #expect(
                    try segments.filter { try plan().folder.isBeingWritten($0) } == segments.suffix(1))
                withExtendedLifetime(writer) {}
            }
            #expect(!plan().folder.isBeingWritten)
            #expect(try !plan().folder.isBeingWritten(1))
        }

        @Test func `a repair costs what is read for it, and what closed segments hold is read once`() throws {
            var jobs: [JournalJob] = [.open, .write(batch(1...1500), sync: false)]
            jobs += [.turn(batch(1501...3000), sync: false), .turn(batch(3001...3002), sync: false)]
            let tail = try #require(perform(jobs, plan()).tail)
            var summaries = SegmentSummaries()
            func read(_ range: SequenceRange, _ instrument: String?) -> RepairFindings {
                let request = RepairRequest(
                    feed: "itch", channel: 0, epoch: 7, range: range, instrument: instrument)
                return RepairReader(request, in: plan().folder, tail: tail) { _ in true }.read(&summaries)
            }
            var sizes = 0
            for number in [1, 2, 3] as [UInt64] { sizes += try Files.size(of: plan().folder.segment(number)) }
            let nothing = read(SequenceRange(1, 3002), "NONE")
            #expect(nothing.frames == [] && nothing.bytes == 0)
            #expect(nothing.read > sizes && nothing.cost > sizes / 8)
            // What is not there any more is known without their indexes.
            try Files.remove(plan().folder.index(1))
            let before = summaries.known
            let beyond = read(SequenceRange(4000, 4001), nil)
            #expect(beyond.known == SequenceRange(1, 3002) && beyond.frames == [])
            #expect(beyond.read < pieceBytes && beyond.cost > 0)
            #expect(summaries.known == before && before.count == 2)
            // Where to begin is in the index.
            let few = read(SequenceRange(2990, 3001), nil)
            #expect(few.frames.count == 12 && few.failure == nil)
        }

        /// What a repair finds of a range, as numbers of data and ranges of gaps.
        func repaired(_ range: SequenceRange, epoch: UInt64 = 7, _ tail: JournalTail) -> [String] {
            var summaries = SegmentSummaries()
            let request = RepairRequest(feed: "itch", channel: 0, epoch: epoch, range: range)
            let findings = RepairReader(request, in: plan().folder, tail: tail) { _ in true }.read(&summaries)
            let frames = findings.frames.compactMap { try? Frame(parsing: $0) }
            let lines = frames.map { frame in
                let body = try? ControlBody(kind: frame.header.kind, parsing: frame.body)
                if case .gap(let range, _, _)? = body { return "gap \(range)" }
                return "\(frame.header.sequence) of \(String(decoding: frame.topicBytes, as: UTF8.self))"
            }
            return findings.known == nil ? lines + ["nothing is known"] : lines
        }

        @Test func `a message that concerns several instruments is repaired whole`() throws {
            var records = RecordBatch()
            // Each has an entry of the index.
            for (topic, sequence) in [("A", 1), ("X", 2), ("Y", 2), ("A", 3)] {
                let topic = "md/itch/\(topic)/"
                let bytes = frame(UInt64(sequence), topic: topic, body: 70_000, flags: .severalTopics)
                records.append(.frame, bytes, topicLength: topic.utf8.count)
            }
            let tail = try #require(perform([.open, .write(records, sync: true)], plan()).tail)
            #expect(repaired(SequenceRange(2, 2), tail) == ["2 of md/itch/X/", "2 of md/itch/Y/"])
            #expect(try sequences(.sequence(2, epoch: 7)) == [2, 2, 3])
        }

        @Test func `a gap that was told at the beginning or the end of a segment is given back`() throws {
            func gap(_ first: UInt64, _ last: UInt64) -> RecordBatch {
                let topic = "control/itch/0/"
                let body = ControlBody.gap(SequenceRange(first, last), .notRecovered, instrument: nil)
                let header = FrameHeader(
                    kind: .gap, feed: 0, channel: 0, epoch: 7, sequence: last, state: .live, receiveTime: wall
                )
                var bytes: [UInt8] = []
                header.encode(topic: Array(topic.utf8)[...], body: body.bytes[...], into: &bytes)
                var batch = RecordBatch()
                batch.append(.frame, bytes, topicLength: topic.utf8.count)
                return batch
            }
            var jobs: [JournalJob] = [
                .open, .write(batch(1...3), sync: false), .turn(gap(4, 5), sync: false),
            ]
            jobs += [.write(batch(6...7), sync: false), .write(gap(8, 9), sync: false)]
            jobs += [.turn(batch(10...11), sync: false), .write(gap(12, 12), sync: false)]
            jobs += [.turn(gap(13, 14), sync: true)]
            let tail = try #require(perform(jobs, plan()).tail)
            #expect(repaired(SequenceRange(4, 5), tail) == ["gap 4–5"])
            #expect(repaired(SequenceRange(9, 9), tail) == ["gap 8–9"])
            #expect(repaired(SequenceRange(12, 20), tail) == ["gap 12", "gap 13–14"])
        }

        @Test func `with more epochs than an index tells apart, what is there is found`() throws {
            var records = RecordBatch()
            for epoch in 1...70 as ClosedRange<UInt64> {
                records.append(.frame, frame(5, epoch: epoch), topicLength: 13)
            }
            let jobs: [JournalJob] = [.open, .write(records, sync: false), .turn(batch(1...1), sync: true)]
            let tail = try #require(perform(jobs, plan()).tail)
            #expect(repaired(SequenceRange(5, 5), epoch: 70, tail) == ["5 of md/itch/AAPL/"])
            #expect(repaired(SequenceRange(5, 5), epoch: 71, tail) == ["nothing is known"])
            #expect(try sequences(.sequence(5, epoch: 70)) == [5, 1])
        }

        @Test func `segments without an index are read in steps, said so, and have one then`() throws {
            var jobs: [JournalJob] = [.open, .write(batch(1...3000), sync: false)]
            jobs += [.turn(batch(3001...6000), sync: false), .turn(batch(6001...6002), sync: false)]
            let tail = try #require(perform(jobs, plan()).tail)
            let folder = plan().folder
            var indexes: [[UInt8]] = []
            var sizes = 0
            for number in [1, 2] as [UInt64] {
                indexes.append(try Files.read(folder.index(number)))
                try Files.remove(folder.index(number))
                sizes += try Files.size(of: folder.segment(number))
            }
            #expect(sizes > 2 * pieceBytes)
            var summaries = SegmentSummaries()
            let request = RepairRequest(
                feed: "itch", channel: 0, epoch: 7, range: SequenceRange(5999, 6001))
            let reader = RepairReader(request, in: folder, tail: tail, mostRead: 1) { _ in true }
            var findings = reader.read(&summaries)
            var said: [String] = []
            var read = findings.read
            while let unread = findings.unread, said.count < 100 {
                #expect(findings.frames == [] && findings.known == nil && findings.failure == nil)
                #expect(findings.read <= pieceBytes && findings.cost > 0)
                said.append(unread)
                findings = reader.read(&summaries)
                read += findings.read
            }
            #expect(said.first?.hasPrefix("segment 1 has no index and is read for it first, 256 of ") == true)
            #expect(Set(said).count == said.count && said.count >= 2)
            #expect(findings.known == SequenceRange(1, 6002))
            #expect(try indexes == [1, 2].map { try Files.read(folder.index($0)) })
            // Each once.
            #expect(read < sizes + 2 * pieceBytes)
            while let next = findings.next, findings.frames.count < 3 {
                var again = request
                again.after = next
                let more = RepairReader(again, in: folder, tail: tail, mostRead: 1) { _ in true }
                    .read(&summaries)
                findings.frames += more.frames
                findings.next = more.next
            }
            #expect(findings.frames.count == 3)
        }

        @Test func `two that need different segments without an index do not send each other back`() throws {
            var jobs: [JournalJob] = [.open, .write(batch(1...6000), sync: false)]
            jobs += [.turn(batch(6001...12_000), sync: false), .turn(batch(12_001...12_002), sync: false)]
            perform(jobs, plan())
            let folder = plan().folder
            var sizes = 0
            for number in [1, 2] as [UInt64] {
                try Files.remove(folder.index(number))
                sizes += try Files.size(of: folder.segment(number))
                #expect(try Files.size(of: folder.segment(number)) > 2 * pieceBytes)
            }
            var summaries = SegmentSummaries()
            var read = 0
            var turns = 0
            var isDone = [false, false]
            while isDone != [true, true], turns < 100 {
                let who = turns % 2
                turns += 1
                var budget = 1
                isDone[who] = try summaries.learn([who == 0 ? 2 : 1], in: folder, &budget, isOurs: true)
                read += 1 - budget
            }
            #expect(isDone == [true, true] && summaries.known.mapValues(\.messages) == [1: 6000, 2: 6000])
            // Each once.
            #expect(read < sizes + 2 * pieceBytes)
        }

        @Test func `who needs a segment that has its index does not wait for one that is being read`() throws
        {
            var jobs: [JournalJob] = [.open, .write(batch(1...6000), sync: false)]
            jobs += [.turn(batch(6001...6003), sync: false), .turn(batch(6004...6005), sync: false)]
            perform(jobs, plan())
            let folder = plan().folder
            try Files.remove(folder.index(1))
            var summaries = SegmentSummaries()
            var budget = 1
            #expect(try !summaries.learn([1], in: folder, &budget, isOurs: true))
            let begun = summaries.progress(2)
            budget = 1
            #expect(try summaries.learn([2], in: folder, &budget, isOurs: true))
            #expect(summaries.known.keys.sorted() == [2] && summaries.progress(2) == begun)
        }

        @Test func `one that is being read and changes, or cannot be read, is in nobody's way`() throws {
            var jobs: [JournalJob] = [.open, .write(batch(1...6000), sync: false)]
            jobs += [.turn(batch(6001...6003), sync: false), .turn(batch(6004...6005), sync: false)]
            perform(jobs, plan())
            let folder = plan().folder
            for number in [1, 2] as [UInt64] { try Files.remove(folder.index(number)) }
            for isThere in [true, false] {
                var summaries = SegmentSummaries()
                var budget = 1
                #expect(try !summaries.learn([1], in: folder, &budget, isOurs: false))
                if isThere {
                    try Files.cut(folder.segment(1), to: pieceBytes * 2)
                } else {
                    try Files.remove(folder.segment(1))
                }
                budget = 1
                #expect(try summaries.learn([2], in: folder, &budget, isOurs: false))
                #expect(summaries.known.keys.sorted() == [2])
            }
        }

        @Test func `a segment that went while it was read for its index is not missed, and leaves none`()
            throws
        {
            let jobs: [JournalJob] = [.open, .write(batch(1...3000), sync: false)]
            let tail = try #require(perform(jobs + [.turn(batch(3001...3002), sync: false)], plan()).tail)
            let folder = plan().folder
            try Files.remove(folder.index(1))
            var summaries = SegmentSummaries()
            let request = RepairRequest(
                feed: "itch", channel: 0, epoch: 7, range: SequenceRange(3001, 3001))
            let reader = RepairReader(request, in: folder, tail: tail, mostRead: 1) { _ in true }
            #expect(reader.read(&summaries).unread != nil)
            try Files.remove(folder.segment(1))
            let findings = reader.read(&summaries)
            #expect(findings.known == SequenceRange(3001, 3002) && findings.frames.count == 1)
            #expect(summaries.known == [:] && !Files.exists(folder.index(1)))
        }

        @Test func `a directory is found in an earlier segment`() throws {
            var first = RecordBatch()
            for contents in VenueDirectory(epoch: 7, units: [1: [65], 2: [66]]).records {
                first.append(.directory, contents, topicLength: 0)
            }
            first.append(batch(1...3))
            var result = perform(
                [.open, .write(first, sync: false), .turn(batch(4...4), sync: false)], plan())
            result.tail = nil
            result = perform([.open], plan())
            #expect(result.opening?.memory.directory?.ordered == [[65], [66]])
            result.tail = nil
            result = perform([.open], plan())
            #expect(result.opening?.memory.directory?.ordered == [[65], [66]])
            #expect(result.opening?.memory.epoch == 7)
            // Who wants none reads no further than to where the last run that published anything stopped.
            result.tail = nil
            result = perform([.open], plan { $0.wantsDirectory = false })
            #expect(result.opening?.memory.last == 4 && result.opening?.memory.directory == nil)
        }

        @Test func `channels are found from each folder above them`() throws {
            perform([.open], plan())
            perform([.open], plan { $0.folder = ChannelFolder(root: folder.path, feed: "itch", channel: 1) })
            #expect(try ChannelFolder.all(below: folder.path).count == 2)
            #expect(try ChannelFolder.all(below: folder.path + "/itch").count == 2)
            #expect(try ChannelFolder.all(below: folder.path + "/itch/1").count == 1)
        }
    }
}
