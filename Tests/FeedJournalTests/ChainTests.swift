// What verifying a channel's segments finds; the index; and what is let go of.
import Basics
import Testing
import Wire

@testable import FeedJournal

@Suite struct ChainTests {
    private func verify(_ segments: [(UInt64, [UInt8])]) -> SegmentChain {
        var chain = SegmentChain(crc)
        for (number, bytes) in segments {
            chain.begin(number)
            for start in stride(from: 0, to: bytes.count, by: 100) {
                chain.take(Array(bytes[start..<min(start + 100, bytes.count)]))
            }
            chain.end()
        }
        return chain
    }

    private func threeSegments() -> [(UInt64, [UInt8])] {
        let one = segment(1, 1...5)
        let two = segment(2, 6...9, previous: digest(one))
        let three = segment(3, 10...10, previous: digest(two))
        return [(1, one), (2, two), (3, three)]
    }

    @Test func `a whole chain has no fault, and the digest of its last segment`() {
        let segments = threeSegments()
        let chain = verify(segments)
        #expect(chain.faults == [])
        #expect(chain.segments == 3 && chain.records == 10 && chain.frames == 10)
        #expect(chain.digest == digest(segments[2].1))
    }

    @Test func `the first segments may be gone, but none in between`() {
        let segments = threeSegments()
        #expect(verify(Array(segments.dropFirst())).faults == [])
        let faults = verify([segments[0], segments[2]]).faults.map(\.description)
        #expect(faults == ["segment 3: segment 2 before it is missing"])
    }

    @Test func `a byte that is changed with its checksums still shows in the chain`() {
        var segments = threeSegments()
        segments[0].1 = segment(1, 1...5).dropLast(100) + segment(1, 1...5).suffix(100)
        #expect(verify(segments).faults == [])
        segments[0].1 = segment(1, 1...4)
        let fault = verify(segments).faults.first?.description ?? ""
        #expect(fault.hasPrefix("segment 2: the segment before it was changed: its digest was "))
    }

    @Test func `every flipped byte of every segment is a fault that names its segment`() {
        let segments = threeSegments()
        for which in segments.indices {
            for place in segments[which].1.indices {
                var changed = segments
                changed[which].1[place] ^= 0x10
                let faults = verify(changed).faults
                #expect(faults.first?.segment == segments[which].0, "\(which) \(place): \(faults)")
                #expect(faults.count >= (which < 2 ? 2 : 1))
            }
        }
    }

    @Test func `numbers that do not fit are named`() {
        let one = segment(1, 1...2)
        #expect(
            verify([(2, one)]).faults.map(\.description) == [
                "segment 2: its header says that it is segment 1"
            ])
        let header = header()
        let wrong = header + batch([frame(5), frame(4)]).sealed(at: header.count, crc) { _, _ in }
        #expect(
            verify([(1, wrong)]).faults.map(\.description) == [
                "segment 1: record 1: sequence 4 comes after 5"
            ])
        let topics = [
            frame(5, flags: .numberedPerTopic), frame(1, topic: "md/itch/B/", flags: .numberedPerTopic),
        ]
        let own = header + batch(topics).sealed(at: header.count, crc) { _, _ in }
        #expect(verify([(1, own)]).faults == [])
    }

    // MARK: - Index

    private func index(_ bytes: [UInt8]) -> SegmentIndex {
        var index = SegmentIndex()
        for case .record(let record) in scan(bytes) {
            index.add(record.stamp, at: record.offset, record: record.number)
        }
        index.size = bytes.count
        return index
    }

    @Test func `an index tells where to begin to read`() throws {
        let bytes = segment(1, 1000...4000)
        let index = index(bytes)
        #expect(index.spans == [SegmentIndex.Span(epoch: 7, first: 1000, last: 4000, count: 3001)])
        #expect(index.entries.count == (bytes.count - 81) / 65_536 + 1)
        let entry = try #require(index.entry(before: 3000, of: 7))
        #expect(entry.sequence <= 3000 && entry.sequence > 2000)
        var scanner = SegmentScanner(crc, from: entry.offset, record: entry.record)
        scanner.push(Array(bytes[entry.offset...]))
        guard case .record(let record) = scanner.next() else {
            throw EndOfBytes(offset: 0, wanted: 1, left: 0)
        }
        #expect(record.stamp.sequence == entry.sequence && record.number == entry.record)
        #expect(index.mayHold(7, SequenceRange(4000, 5000)) && !index.mayHold(7, SequenceRange(4001, 5000)))
        #expect(!index.mayHold(8, SequenceRange(1000, 2000)))
    }

    @Test func `reading begins before all frames of a message`() throws {
        var index = SegmentIndex()
        for (record, sequence) in [1, 2, 2, 3].enumerated() {
            let stamp = RecordStamp(
                frame: .data, epoch: 7, sequence: UInt64(sequence), receiveTime: WallTime(nanoseconds: 1))
            index.add(stamp, at: 100_000 * record, record: UInt64(record))
        }
        #expect(index.entries.map(\.sequence) == [1, 2, 2, 3])
        #expect(index.entry(before: 2, of: 7)?.record == 0)
        #expect(index.entry(before: 3, of: 7)?.record == 2)
        #expect(index.entry(before: 1, of: 7) == nil)
    }

    @Test func `what is missing between two segments may be told in either`() {
        func reaches(_ segments: [ClosedRange<UInt64>?]) -> [SequenceRange?] {
            let indexes = segments.map { sequences in
                sequences.map { index(segment(1, $0)) } ?? index(header())
            }
            return SegmentIndex.reaches(of: 7, in: indexes)
        }
        #expect(
            reaches([1...10, 20...30, nil, 40...40]) == [
                SequenceRange(1, 19), SequenceRange(11, 39), SequenceRange(31, 39), SequenceRange(31, .max),
            ])
        // Where it cannot be, and where segments overlap.
        #expect(
            reaches([nil, 5...6, nil, nil]) == [nil, SequenceRange(5, .max), SequenceRange(7, .max), nil])
        #expect(
            reaches([1...9, 5...20, 21...22])
                == [1...9, 5...20, 21...(.max)].map { SequenceRange($0.lowerBound, $0.upperBound) })
        #expect(SegmentIndex.reaches(of: 8, in: [index(segment(1, 1...2))]) == [nil])
    }

    @Test func `an index is read as it was written, and no other one is`() throws {
        let index = index(segment(1, 1...900))
        let digest = digest([1])
        let bytes = index.encoded(digest: digest, crc)
        let read = try #require(SegmentIndex.parse(bytes, size: index.size, crc))
        #expect(read.index == index && read.digest == digest)
        #expect(SegmentIndex.parse(bytes, size: index.size + 1, crc) == nil)
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1
            #expect(SegmentIndex.parse(changed, size: index.size, crc) == nil)
            #expect(SegmentIndex.parse(Array(bytes[..<place]), size: index.size, crc) == nil)
        }
    }

    @Test func `an index tells from when to when all of it is; of version 1 it may be any time`() throws {
        func time(_ nanoseconds: Int64) -> WallTime {
            WallTime(nanoseconds: frameHeader(1).receiveTime.nanoseconds + nanoseconds)
        }
        let start = header()
        var records = batch([frame(1, at: 20), frame(1, kind: .state, at: 10)])
        // Its times stand in no order.
        let hole = Hole(
            topic: [], epoch: 7, range: SequenceRange(2, 3), count: 2, from: time(40), to: time(30))
        records.append(.hole, hole.bytes, topicLength: 0)
        for contents in VenueDirectory(epoch: 7, units: [1: [65]]).records {
            records.append(.directory, contents, topicLength: 0)
        }
        let all = index(start + records.sealed(at: start.count, crc) { _, _ in })
        #expect(all.moments == time(10)...time(40))
        #expect(all.times?.first == time(20) && all.times?.last == time(20))
        #expect(index(start).moments == nil)
        let bytes = all.encoded(digest: Digest.none, crc)
        #expect(SegmentIndex.parse(bytes, size: all.size, crc)?.index == all)
        // Which does not say it.
        var old = Array(bytes.dropLast(4))
        old[8] = 1
        old.removeSubrange(80..<96)
        var writer = ByteWriter()
        writer.append(old)
        writer.littleEndian(crc(0, old.span))
        let read = try #require(SegmentIndex.parse(writer.bytes, size: all.size, crc)).index
        #expect(read.spans == all.spans && read.entries == all.entries && read.records == all.records)
        #expect(read.moments == WallTime(nanoseconds: .min)...WallTime(nanoseconds: .max))
    }

    // MARK: - Retention

    @Test func `the oldest whole segments go first, and never the one that is written`() {
        let closed = (1...4).map {
            Retention.Candidate(
                number: UInt64($0), size: 100, newest: Instant(nanoseconds: Int64($0) * 1_000_000_000))
        }
        let now = Instant(nanoseconds: 5_000_000_000)
        let bySize = Retention(mostBytes: 250, longest: .seconds(100))
        #expect(bySize.expired(closed, written: 50, at: now) == [1, 2])
        #expect(bySize.expired(closed, written: 500, at: now) == [1, 2, 3, 4])
        let byAge = Retention(mostBytes: 10_000, longest: .milliseconds(2500))
        #expect(byAge.expired(closed, written: 50, at: now) == [1, 2])
        #expect(byAge.expired([], written: 50, at: now) == [])
    }

    @Test func `how old a segment is, is learnt once, and no time that there is makes it otherwise`() {
        let (now, wall) = (Instant(nanoseconds: 5_000_000_000), WallTime(nanoseconds: 1 << 60))
        let hour = Retention(mostBytes: 10_000, longest: .seconds(3600))
        for (age, left) in [
            (.zero, 3600), (.seconds(3000), 600), (.seconds(-3000), 3600), (.seconds(4000), -400),
        ] as [(Duration, Int64)] {
            let newest = WallTime(nanoseconds: wall.nanoseconds - age.nanoseconds)
            let closed = [Retention.Candidate(number: 1, size: 1, newest: newest, at: now, wall)]
            #expect(hour.expired(closed, written: 1, at: now + .seconds(left)) == [])
            #expect(hour.expired(closed, written: 1, at: now + .seconds(left + 1)) == [1])
        }
        for time in [Int64.min, -1, 0, .max] {
            let newest = WallTime(nanoseconds: time)
            let closed = [Retention.Candidate(number: 1, size: 1, newest: newest, at: now, wall)]
            #expect(hour.expired(closed, written: 1, at: now + .seconds(3601)) == [1])
        }
    }

    // MARK: - The directory

    @Test func `the last epoch's directory is remembered`() {
        var memory = JournalMemory()
        func take(_ kind: RecordKind, _ contents: [UInt8]) {
            let topic = kind == .frame ? contents.firstIndex(of: 0) ?? 0 : 0
            let head = RecordHead(kind: kind, length: contents.count, topicLength: topic, checksum: 0)
            memory.take(Record(head: head, number: 0, offset: 0, contents: contents[...]))
        }
        let first = VenueDirectory(epoch: 7, units: [1: [65, 65], 2: []])
        for contents in first.records { take(.directory, contents) }
        take(.frame, frame(5))
        #expect(memory.directory == first && memory.last == 5)
        take(.frame, frame(1, epoch: 8))
        #expect(memory.directory == nil && memory.epoch == 8 && memory.last == 1)
        take(.directory, VenueDirectory(epoch: 8, units: [1: [66]]).records[0])
        take(.directory, VenueDirectory(epoch: 8, units: [3: [67]]).records[0])
        #expect(memory.directory?.ordered == [[66], [67]])
        take(.directory, [1, 2, 3])
        take(.directory, VenueDirectory(epoch: 8, units: [4: [68]]).records[0].dropLast())
        #expect(memory.directory?.ordered == [[66], [67]])

        var later = JournalMemory()
        later.complete(from: memory)
        #expect(later == memory)
    }

    @Test func `a run that nothing came to does not make forget where the one before stopped`() {
        func memory(_ frames: [UInt8]...) -> JournalMemory {
            var memory = JournalMemory()
            for frame in frames {
                let head = RecordHead(
                    kind: .frame, length: frame.count, topicLength: frame.firstIndex(of: 0) ?? 0, checksum: 0)
                memory.take(Record(head: head, number: 0, offset: 0, contents: frame[...]))
            }
            return memory
        }
        let directory = VenueDirectory(epoch: 7, units: [1: [65]])
        func taught(_ memory: JournalMemory) -> JournalMemory {
            var memory = memory
            let contents = directory.records[0]
            let head = RecordHead(kind: .directory, length: contents.count, topicLength: 0, checksum: 0)
            memory.take(Record(head: head, number: 0, offset: 0, contents: contents[...]))
            return memory
        }
        let earlier = taught(memory(frame(5)))
        var idle = taught(memory(frame(0, kind: .heartbeat)))
        #expect(idle.last == 0 && idle.directory == directory && !idle.isComplete())
        idle.complete(from: earlier)
        #expect(idle == earlier && idle.isComplete())
        var another = memory(frame(0, epoch: 8, kind: .heartbeat))
        another.complete(from: earlier)
        #expect(another.epoch == 8 && another.last == 0 && another.directory == nil)

        // It has told that what lies before its beginning is missing: nobody is to get that after all.
        let begun = ControlBody.heartbeat(
            published: 0, gaps: 0, interval: .milliseconds(100), first: 192, isNamed: true)
        let middle = memory(frame(5), frame(0, kind: .heartbeat, body: begun.bytes))
        #expect(middle.last == 191)
        let onward = memory(frame(0, kind: .heartbeat, body: begun.bytes), frame(200))
        #expect(onward.last == 200)
        var lower = memory(frame(0, kind: .heartbeat, body: begun.bytes))
        lower.complete(from: memory(frame(1000)))
        #expect(lower.last == 1000)
        #expect(memory(frame(.max)).last == 0)
    }

    @Test func `a large directory takes several records, and a repeat takes none`() {
        var directory = VenueDirectory(epoch: 7)
        for number in 0..<20_000 {
            let isNew = directory.take([UInt8](repeating: 7, count: 20)[...], of: UInt32(number))
            #expect(isNew)
        }
        let (again, other) = (
            directory.take([UInt8](repeating: 7, count: 20)[...], of: 5), directory.take([8], of: 5)
        )
        let long = directory.take([UInt8](repeating: 7, count: 5000)[...], of: 6)
        #expect(!again && other && !long)
        let records = directory.records
        #expect(records.count > 1 && records.allSatisfy { $0.count <= RecordHead.mostBytes })
        let read = records.compactMap { VenueDirectory(parsing: $0[...]) }.map(\.units)
        #expect(read.reduce([:]) { $0.merging($1) { _, new in new } } == directory.units)
    }
}
