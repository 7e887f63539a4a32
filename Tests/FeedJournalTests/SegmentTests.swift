// Segments as they are written, and every way in which bytes can be other ones than these.
import Basics
import Testing
import Wire

@testable import FeedJournal

@Suite struct SegmentTests {
    @Test func `what is written is read again`() throws {
        let bytes = segment(3, 5...8)
        let findings = scan(bytes)
        #expect(words(findings) == ["header", "5", "6", "7", "8"])
        guard case .header(let header) = findings[0], case .record(let record) = findings[2] else {
            Issue.record("no header and record")
            return
        }
        #expect(header.number == 3 && header.feed == "itch" && header.run == 9 && header.previous == .none)
        #expect(Array(record.contents) == frame(6, at: 6))
        #expect(String(decoding: record.topic, as: UTF8.self) == "md/itch/AAPL/")
        #expect(record.stamp.epoch == 7 && record.number == 1 && record.stamp.frame == .data)
        #expect(try Frame(parsing: record.contents).header.sequence == 6)
    }

    @Test func `the layout is the document's`() {
        let bytes = header(258)
        #expect(bytes.count == 77 + 4)
        #expect(Array(bytes.prefix(10)) == Array("HFJOURNL".utf8) + [1, 0])
        #expect(Array(bytes[16..<24]) == [2, 1, 0, 0, 0, 0, 0, 0])
        let record = Array(segment(1, 5...5).dropFirst(header().count))
        let contents = frame(5, at: 5)
        #expect(Array(record.prefix(8)) == [UInt8(contents.count), 0, 0, 0, 1, 0, 13, 0])
        #expect(Array(record[16...]) == contents)
        #expect(record[8..<12].elementsEqual(littleEndian(crc(0, contents.span))))
        #expect(record[12..<16].elementsEqual(littleEndian(crc(0, record.span.extracting(..<12)))))
    }

    private func littleEndian(_ value: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.littleEndian(value)
        return writer.bytes
    }

    @Test(arguments: [1, 2, 7, 16, 17, 64, 1000])
    func `the pieces in which a segment comes do not matter`(size: Int) {
        let bytes = segment(1, 5...40)
        #expect(scan(bytes, pieces: size) == scan(bytes))
    }

    @Test func `a segment that is cut anywhere is read to there, and the cut is named`() {
        let bytes = segment(1, 5...8)
        let records = scan(bytes).compactMap { finding -> Int? in
            if case .record(let record) = finding { record.offset } else { nil }
        }
        let ends = records.dropFirst() + [bytes.count]
        for count in 0..<bytes.count {
            let found = words(scan(Array(bytes[..<count]), pieces: 33))
            let whole = ends.filter { $0 <= count }.count
            if count < header().count {
                #expect(found.allSatisfy { $0.hasPrefix("damage ") }, "\(count): \(found)")
                #expect(count == 0 || found.first?.hasPrefix("damage header: ") == true, "\(count): \(found)")
                continue
            }
            #expect(found.prefix(whole + 1).elementsEqual(["header", "5", "6", "7", "8"].prefix(whole + 1)))
            let isClean = count == header().count || ends.contains(count)
            #expect(found.count == whole + (isClean ? 1 : 2), "\(count): \(found)")
            if !isClean {
                #expect(found.last?.contains("record \(whole)") == true, "\(count): \(found)")
                #expect(found.last?.contains("cut off") == true, "\(count): \(found)")
            }
        }
    }

    @Test(arguments: [0x01, 0x80, 0xFF] as [UInt8])
    func `any flipped byte is found, and costs one record at most`(mask: UInt8) {
        let bytes = segment(1, 5...8)
        let starts = scan(bytes).compactMap { finding -> Int? in
            if case .record(let record) = finding { record.offset } else { nil }
        }
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= mask
            let found = words(scan(changed))
            let damages = found.filter { $0.hasPrefix("damage ") }
            guard let hit = starts.lastIndex(where: { $0 <= place }) else {
                #expect(damages.first?.hasPrefix("damage header") == true, "\(place): \(found)")
                #expect(found.suffix(4) == ["5", "6", "7", "8"], "\(place): \(found)")
                continue
            }
            #expect(damages.count == 1, "\(place): \(found)")
            #expect(damages.first?.contains("record \(hit) ") == true || hit == 0, "\(place): \(found)")
            #expect(damages.first?.contains("at byte \(starts[hit])") == true, "\(place): \(found)")
            let rest = ["5", "6", "7", "8"].enumerated().filter { $0.offset != hit }.map(\.element)
            #expect(found.filter { !$0.hasPrefix("damage ") } == ["header"] + rest, "\(place): \(found)")
        }
    }

    @Test func `a flipped byte is named by record and sequence`() {
        var bytes = segment(1, 4711...4713)
        let record = Array(segment(1, 4711...4711)).count
        bytes[record + 16 + 13 + 1 + 56] ^= 1
        #expect(
            words(scan(bytes))[2]
                == "damage record 1 (sequence 4712) at byte \(record): the checksum of its contents does not fit"
        )
        bytes = segment(1, 4711...4713)
        bytes[record] ^= 1
        #expect(
            words(scan(bytes))[2].hasPrefix(
                "damage record 1 (after sequence 4711) at byte \(record): its head"))
    }

    @Test func `random bytes, and a segment with random bytes in it, never trap`() {
        var generator = SplitMix(seed: 11)
        for round in 0..<400 {
            var bytes = round % 2 == 0 ? [] : segment(1, 1...6)
            for _ in 0..<Int.random(in: 1...200, using: &generator) {
                let at = Int.random(in: 0...bytes.count, using: &generator)
                bytes.insert(UInt8.random(in: 0...255, using: &generator), at: at)
            }
            let findings = scan(bytes, pieces: Int.random(in: 1...300, using: &generator))
            #expect(findings.contains { if case .damage = $0 { true } else { false } })
        }
    }

    @Test func `of a long damaged stretch nothing is held, and it is one damage`() {
        let whole = segment(1, 5...6)
        var scanner = SegmentScanner(crc)
        scanner.push(whole)
        while scanner.next() != nil {}
        for piece in 1...20 {
            scanner.push([UInt8](repeating: 0, count: 1000))
            #expect(scanner.next() == nil && scanner.held < RecordHead.size)
            #expect(scanner.searchedThrough + scanner.held == whole.count + piece * 1000)
        }
        scanner.push(batch([frame(9)]).sealed(at: 0, crc) { _, _ in })
        guard case .damage(let damage)? = scanner.next() else {
            Issue.record("no damage")
            return
        }
        #expect(damage.problem == .head && damage.offset == whole.count && damage.bytes == 20_000)
        #expect(words([scanner.next()].compactMap(\.self)) == ["9"])
        #expect(scanner.next() == nil && scanner.wholeThrough == scanner.position)
    }

    @Test func `a head that promises too much is none`() {
        for head in [
            RecordHead(kind: .frame, length: RecordHead.mostBytes + 1, topicLength: 4, checksum: 0),
            RecordHead(kind: .frame, length: 10, topicLength: 10, checksum: 0),
            RecordHead(kind: .frame, length: 10_000, topicLength: 3000, checksum: 0),
        ] {
            var bytes: [UInt8] = []
            head.encode(into: &bytes, crc)
            #expect(RecordHead(bytes[...], crc) == nil)
        }
    }

    @Test func `names of files have one spelling`() {
        #expect(SegmentName.file(42) == "000000000042.journal")
        #expect(SegmentName.number(of: "000000000042.journal") == 42)
        for other in [
            "42.journal", "000000000042.index", "-00000000042.journal", "000000000000.journal", "x", "",
        ] {
            #expect(SegmentName.number(of: other) == nil, "\(other)")
        }
        #expect(SegmentName.folder(feed: "..", channel: 3) == "%2E./3")
        #expect(SegmentName.folder(feed: "a b", channel: 0) == "a%20b/0")
    }
}

/// SplitMix64: the same numbers in each run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
