// What a replica takes of the pieces that it pulls, and what it says of damage in them.
import Basics
import Testing
import Wire

@testable import FeedJournal

@Suite struct PulledPieceTests {
    private let start = header().count

    /// One piece at the beginning of a segment.
    private func judge(_ bytes: [UInt8], isEnd: Bool) -> PulledPiece {
        PulledPiece(bytes, at: PulledPiece.Position(segment: 1), isEnd: isEnd, crc)
    }

    private func sequences(_ piece: PulledPiece) -> [UInt64] { piece.stamps.map(\.stamp.sequence) }

    private func records(_ frames: [[UInt8]]) -> [[UInt8]] {
        frames.map { batch([$0]).sealed(at: 0, crc) { _, _ in } }
    }

    /// Everything that is taken of a segment, pulled in pieces.
    private func pull(_ bytes: [UInt8], pieces: Int) -> (taken: [UInt8], all: [PulledPiece]) {
        var (taken, all): ([UInt8], [PulledPiece]) = ([], [])
        var position = PulledPiece.Position(segment: 1)
        while position.offset < bytes.count {
            let piece = Array(bytes[position.offset...].prefix(pieces))
            let isEnd = position.offset + piece.count == bytes.count
            let judged = PulledPiece(piece, at: position, isEnd: isEnd, crc)
            guard judged.taken > 0 else { break }
            taken += piece.prefix(judged.taken)
            position = judged.position
            all.append(judged)
        }
        return (taken, all)
    }

    @Test func `what is whole is taken, and the rest waits for more`() {
        let whole = segment(1, 1...5)
        let piece = judge(Array(whole.dropLast(3)), isEnd: false)
        #expect(sequences(piece) == [1, 2, 3, 4] && piece.damages == [] && piece.header?.number == 1)
        #expect(piece.taken == piece.position.offset && piece.position.records == 4)
        var next = PulledPiece(Array(whole[piece.taken...]), at: piece.position, isEnd: true, crc)
        #expect(sequences(next) == [5] && next.position.offset == whole.count)
        next = PulledPiece(Array(whole[piece.taken...].dropLast()), at: piece.position, isEnd: false, crc)
        #expect(next.taken == 0 && next.position.offset == piece.position.offset)
    }

    @Test func `damage is taken as it stands, and names its record and what is missing`() {
        var bytes = segment(1, 4710...4713)
        let size = (bytes.count - start) / 4
        bytes[start + 2 * size - 1] ^= 1
        let piece = judge(bytes, isEnd: true)
        #expect(sequences(piece) == [4710, 4712, 4713] && piece.taken == bytes.count)
        #expect(
            piece.damages.map(\.description) == [
                "segment 1: record 1 (sequence 4711) at byte \(start + size): the checksum of its contents does not fit; sequence 4711 is missing"
            ])
        #expect(piece.position.records == 4)
    }

    @Test func `damage in a row is named one by one, and what is missing for all of it once`() {
        var bytes = segment(1, 1...6)
        let size = (bytes.count - start) / 6
        for record in 1...3 { bytes[start + record * size + 40] ^= 1 }
        let piece = judge(bytes, isEnd: true)
        #expect(piece.damages.map(\.missing) == [nil, nil, SequenceRange(2, 4)])
        #expect(piece.damages.last?.description.hasSuffix("; sequences 2–4 are missing") == true)
    }

    @Test func `sequences that the venue's gap has told are not missing for the damage`() {
        let gap = ControlBody.gap(SequenceRange(2, 5), .notRecovered, instrument: nil).bytes
        var parts = records([
            frame(1), frame(5, topic: "control/itch/0/", kind: .gap, body: gap), frame(6), frame(7),
        ])
        parts[2][30] ^= 1
        #expect(judge(header() + parts.joined(), isEnd: true).damages.map(\.missing) == [SequenceRange(6, 6)])
        parts[2][30] ^= 1
        parts[1][30] ^= 1
        // Of a gap that cannot be read, it is not known that it was one.
        #expect(judge(header() + parts.joined(), isEnd: true).damages.map(\.missing) == [SequenceRange(2, 5)])
    }

    @Test func `where topics have numbers of their own, nothing is guessed`() {
        var parts = records((1...3).map { frame($0, topic: "md/q/A\($0)/", flags: .numberedPerTopic) })
        parts[1][40] ^= 1
        let piece = judge(header() + parts.joined(), isEnd: true)
        #expect(piece.damages.count == 1 && piece.damages[0].missing == nil)
    }

    @Test func `damage at the end of a piece waits for what is behind it; at the end of all it does not`() {
        var bytes = segment(1, 1...6)
        let size = (bytes.count - start) / 6
        bytes[start + 4 * size - 1] ^= 1
        let first = judge(Array(bytes.prefix(start + 4 * size + 10)), isEnd: false)
        #expect(first.damages == [] && first.taken == start + 3 * size && first.position.records == 3)
        let second = PulledPiece(Array(bytes[first.taken...]), at: first.position, isEnd: true, crc)
        #expect(second.damages.map(\.missing) == [SequenceRange(4, 4)])
        #expect(second.damages[0].damage.record == 3 && sequences(second) == [5, 6])
        let last = judge(Array(bytes.prefix(start + 4 * size)), isEnd: true)
        #expect(last.taken == start + 4 * size && last.damages.count == 1 && last.damages[0].missing == nil)
        let head = judge(
            Array(bytes.prefix(start + 3 * size)) + [UInt8](repeating: 0, count: 20), isEnd: true)
        #expect(
            head.damages.map(\.description) == [
                "segment 1: record 3 (after sequence 3) at byte \(start + 3 * size): its head is damaged, 20 bytes cannot be read"
            ])
    }

    @Test
    func `wherever one byte is flipped, all bytes are taken, and what is not whole is missing, exactly`() {
        let whole = segment(1, 1...9)
        let size = (whole.count - start) / 9
        for place in whole.indices {
            var bytes = whole
            bytes[place] ^= 0x10
            for pieces in [6 * size, 7 * size + 13, whole.count] {
                let (taken, all) = pull(bytes, pieces: pieces)
                #expect(taken == bytes)
                let found = all.flatMap { sequences($0) }
                let missing = all.flatMap(\.damages).compactMap(\.missing).flatMap {
                    Array($0.first...$0.last)
                }
                #expect(!all.flatMap(\.damages).isEmpty)
                let record = (place - start) / size
                let expected = place < start ? [] : [UInt64(record + 1)]
                #expect(found == (1...9).filter { !expected.contains($0) }, "\(place)")
                // Of what is behind nothing or before nothing it is not known how much it is.
                #expect(missing == (place >= start && (1...7).contains(record) ? expected : []))
            }
        }
    }

    @Test func `whatever comes, no more is taken than came, and it goes on`() {
        let none: Checksum = { _, _ in 0 }
        let whole =
            SegmentHeader(
                feed: "itch", channel: 0, number: 1, run: 9, created: WallTime(nanoseconds: 1),
                previous: .none
            ).encoded(none)
            + batch(
                (1...6).map { frame($0) } + [
                    frame(6, topic: "control/itch/0/", kind: .gap, body: [UInt8](repeating: 0xFF, count: 20))
                ]
            ).sealed(at: 81, none) { _, _ in }
        var random = SplitMix(seed: 4711)
        for round in 0..<3000 {
            var bytes = whole
            for _ in 0..<(round % 5) {
                bytes[Int.random(in: bytes.indices, using: &random)] = .random(in: 0 ... .max, using: &random)
            }
            bytes = Array(bytes.prefix(.random(in: 0...bytes.count, using: &random)))
            var position = PulledPiece.Position(segment: 1)
            position.offset = round % 2 == 0 ? 0 : 81
            position.covered = Coverage(epoch: 7, range: SequenceRange(1, .max))
            let piece = PulledPiece(bytes, at: position, isEnd: round % 3 == 0, none)
            #expect((0...bytes.count).contains(piece.taken))
            #expect(piece.position.offset == position.offset + piece.taken)
        }
    }

    @Test func `more damage than a record can be long is passed over piece by piece`() {
        let (first, last) = (segment(1, 1...2), records([frame(3)])[0])
        let bytes = first + [UInt8](repeating: 0, count: 1_300_000) + last
        let (taken, all) = pull(bytes, pieces: 1 << 19)
        #expect(taken == bytes)
        #expect(all.flatMap { sequences($0) } == [1, 2, 3])
        #expect(all.flatMap(\.damages).count >= 2)
    }

    @Test func `a doubt is dispelled by the same bytes at the same place, and by no others`() {
        let (place, other) = (
            PullRequest.Place(segment: 1, offset: 9), PullRequest.Place(segment: 1, offset: 8)
        )
        let doubt = ReplicaDoubt([1, 2, 3], at: place, crc)
        #expect(doubt.isAbout(place) && !doubt.isAbout(other))
        #expect(doubt.isDispelled(by: [1, 2, 3], at: place, crc))
        #expect(doubt.isDispelled(by: [1, 2, 3, 4], at: place, crc))
        for bytes: [UInt8] in [[1, 2], [1, 2, 4], []] {
            #expect(!doubt.isDispelled(by: bytes, at: place, crc))
        }
        #expect(!doubt.isDispelled(by: [1, 2, 3], at: other, crc))
    }
}
