// Records that wait: in pieces, and the same bytes whatever the pieces are.
import Basics
import Testing

@testable import FeedJournal

@Suite struct RecordBatchTests {
    /// As one piece would have it, made by hand.
    private func bytes(_ frames: [[UInt8]]) -> [UInt8] {
        var all: [UInt8] = []
        for frame in frames {
            RecordHead(
                kind: .frame, length: frame.count, topicLength: frame.firstIndex(of: 0) ?? 0,
                checksum: crc(0, frame.span)
            ).encode(into: &all, crc)
            all += frame
        }
        return all
    }

    private func frames(_ sequences: ClosedRange<UInt64>, body: Int) -> [[UInt8]] {
        sequences.map { frame($0, body: [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: body)) }
    }

    /// Whether the batch stands in the file as these frames.
    private func has(_ batch: RecordBatch, _ frames: [[UInt8]]) -> Bool {
        batch.sealed(at: 0, crc) { _, _ in } == bytes(frames)
    }

    private func sizes(_ batch: RecordBatch) -> [Int] {
        var sizes: [Int] = []
        batch.forEachPiece { sizes.append($0.count) }
        return sizes
    }

    @Test func `what outgrows a piece begins another one, and stands in the file as it came`() {
        let frames = frames(1...400, body: 10_000)
        let batch = batch(frames)
        #expect(batch.pieces == 4 && sizes(batch).allSatisfy { $0 <= RecordBatch.mostInPiece })
        #expect(sizes(batch).reduce(0, +) == batch.size && batch.count == 400)
        var places: [(sequence: UInt64, offset: Int)] = []
        let isAsMade = batch.sealed(at: 81, crc) { places.append(($0.sequence, $1)) } == bytes(frames)
        #expect(isAsMade)
        let length = 16 + frames[0].count
        #expect(places.map(\.sequence) == Array(1...400))
        #expect(places.map(\.offset) == (0..<400).map { 81 + $0 * length })
        var told: [[UInt8]] = []
        batch.forEach { _, contents, _ in told.append([UInt8](copying: contents)) }
        let isTold = told == frames
        #expect(isTold)
    }

    @Test func `the longest record finds room`() {
        let frames = frames(1...20, body: RecordHead.mostBytes - frame(1, body: []).count)
        #expect(frames[0].count == RecordHead.mostBytes)
        let batch = batch(frames)
        #expect(has(batch, frames))
        #expect(sizes(batch).allSatisfy { $0 <= RecordBatch.mostInPiece })
    }

    @Test(
        arguments: [(10, 10), (10, 300), (300, 10), (300, 300), (0, 300), (300, 0), (0, 0)]
            as [(UInt64, UInt64)])
    func `one batch goes behind another, as a copy or with its storage`(first: UInt64, second: UInt64) {
        let all = frames(0...first + second, body: 10_000)
        let (before, behind) = (Array(all[1...].prefix(Int(first))), Array(all[1...].suffix(Int(second))))
        var copied = batch(before)
        copied.append(batch(behind))
        #expect(has(copied, before + behind))
        var (taken, other) = (batch(before), batch(behind))
        taken.append(taking: &other)
        let isSame = taken == copied
        #expect(isSame && taken.size == copied.size)
        #expect(other.isEmpty && other.size == 0 && sizes(other).reduce(0, +) == 0)
        // Both can be used on.
        for frame in frames(7...9, body: 5) {
            taken.append(.frame, frame, topicLength: 13)
            other.append(.frame, frame, topicLength: 13)
        }
        #expect(has(taken, before + behind + frames(7...9, body: 5)))
        #expect(has(other, frames(7...9, body: 5)))
    }

    @Test func `a batch that is used again has nothing of before, and keeps one piece's storage`() {
        var batch = batch(frames(1...400, body: 10_000))
        batch.removeAll()
        #expect(batch.isEmpty && batch.size == 0 && batch.pieces == 1)
        #expect(batch.capacity >= 1 << 16 && batch.capacity <= 3 << 20)
        batch.append(.frame, frame(3), topicLength: 13)
        #expect(has(batch, [frame(3)]))
    }

    @Test func `a disk that fails again and again costs no copies, and no pieces without end`() {
        // What failed goes first, what came meanwhile behind it: as the writer does.
        var waiting = batch(frames(1...90, body: 10_000))
        for round in 1...20 as ClosedRange<UInt64> {
            var meanwhile = batch(frames(round * 10...round * 10 + 9, body: 10_000))
            waiting.append(taking: &meanwhile)
        }
        #expect(waiting.count == 290 && waiting.pieces <= 2 * waiting.size / RecordBatch.mostInPiece + 1)
    }
}
