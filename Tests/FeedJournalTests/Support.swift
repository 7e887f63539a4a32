// What the journal's tests share: frames, segments, and what a scanner says of bytes in short lines.
import Basics
import Wire

@testable import FeedJournal

let crc: Checksum = CRC32C.byTable

func frame(
    _ sequence: UInt64, topic: String = "md/itch/AAPL/", epoch: UInt64 = 7, kind: FrameKind = .data,
    flags: FrameFlags = [], at time: Int64 = 0, body: [UInt8] = [1, 2, 3]
) -> [UInt8] {
    var bytes: [UInt8] = []
    frameHeader(sequence, epoch: epoch, kind: kind, flags: flags, at: time)
        .encode(topic: Array(topic.utf8)[...], body: body[...], into: &bytes)
    return bytes
}

func frameHeader(
    _ sequence: UInt64, epoch: UInt64 = 7, kind: FrameKind = .data, flags: FrameFlags = [], at time: Int64 = 0
) -> FrameHeader {
    FrameHeader(
        kind: kind, flags: flags, feed: 0, channel: 0, epoch: epoch, sequence: sequence, state: .live, run: 9,
        receiveTime: WallTime(nanoseconds: 1_767_355_200_000_000_000 + time))
}

func batch(_ frames: [[UInt8]]) -> RecordBatch {
    var batch = RecordBatch()
    for frame in frames {
        batch.append(.frame, frame, topicLength: frame.firstIndex(of: 0) ?? 0)
    }
    return batch
}

extension RecordHead {
    /// Appends the head with its own checksum.
    func encode(into output: inout [UInt8], _ crc: Checksum) {
        var writer = ByteWriter()
        writer.littleEndian(UInt32(length))
        writer.littleEndian(UInt16(kind.rawValue))
        writer.littleEndian(UInt16(topicLength))
        writer.littleEndian(checksum)
        writer.littleEndian(crc(0, writer.bytes.span))
        output += writer.bytes
    }
}

func header(_ number: UInt64 = 1, previous: Digest = .none) -> [UInt8] {
    SegmentHeader(
        feed: "itch", channel: 0, number: number, run: 9, created: WallTime(nanoseconds: 1),
        previous: previous
    ).encoded(crc)
}

/// A whole segment with data from a sequence on.
func segment(_ number: UInt64 = 1, _ sequences: ClosedRange<UInt64>, previous: Digest = .none) -> [UInt8] {
    let header = header(number, previous: previous)
    let frames = sequences.map { frame($0, at: Int64($0)) }
    return header + batch(frames).sealed(at: header.count, crc) { _, _ in }
}

func digest(_ bytes: [UInt8]) -> Digest {
    var hash = SHA256()
    hash.append(bytes)
    return hash.digest
}

/// What a scanner finds, fed in pieces of a size.
func scan(_ bytes: [UInt8], pieces: Int = .max) -> [SegmentScanner.Finding] {
    var scanner = SegmentScanner(crc)
    var findings: [SegmentScanner.Finding] = []
    var rest = bytes[...]
    while !rest.isEmpty {
        let piece = rest.prefix(pieces)
        rest = rest.dropFirst(piece.count)
        scanner.push(Array(piece))
        while let finding = scanner.next() { findings.append(finding) }
    }
    scanner.finish()
    while let finding = scanner.next() { findings.append(finding) }
    return findings
}

/// The findings as words: "header", "5", "damage record 1 (sequence 6) at byte …".
func words(_ findings: [SegmentScanner.Finding]) -> [String] {
    findings.map { finding in
        switch finding {
        case .header: "header"
        case .record(let record): "\(record.stamp.sequence)"
        case .damage(let damage): "damage \(damage)"
        }
    }
}
