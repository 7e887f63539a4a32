// The disk under a channel's journal, which outlives the gateway: segments as bytes, of which a kill can leave the last
// write torn. What the thread that writes does in the gateway is done here, on bytes.
import Basics
import FeedJournal
import Wire

final class SimulatedDisk {
    private let feed: String
    private let channel: UInt16
    /// Number n at n - 1.
    private(set) var segments: [[UInt8]] = []
    /// Records in the last one.
    private var records: UInt64 = 0

    init(feed: String, channel: UInt16) {
        self.feed = feed
        self.channel = channel
    }

    /// Does what a job says; the size of the segment that is written to then.
    func perform(_ job: JournalJob, run: UInt32, at wall: WallTime) -> Int {
        switch job {
        case .open:
            cutTornEnd()
            begin(run, wall)
        case .write(let batch, _): append(sealed(batch))
        case .turn(let batch, _):
            begin(run, wall)
            append(sealed(batch))
        case .sync, .expire: break
        }
        return segments.last?.count ?? 0
    }

    /// A kill in the midst of a job: of what it writes, only the first bytes are there.
    func tear(_ job: JournalJob, run: UInt32, at wall: WallTime, keeping share: Double) {
        let before = segments.last?.count ?? 0
        let count = segments.count
        _ = perform(job, run: run, at: wall)
        guard let last = segments.popLast() else { return }
        let from = segments.count + 1 > count ? 0 : before
        segments.append(Array(last.prefix(from + Int(Double(last.count - from) * share))))
    }

    /// Takes bytes from the end, which no disk does.
    func forget(_ bytes: Int) {
        guard let last = segments.popLast() else { return }
        segments.append(Array(last.dropLast(bytes)))
    }

    /// Takes the frame that a run wrote last, if there is a hole before it: no more than the hole tells of.
    func forgetLastFrame(of run: UInt32) {
        let all = segments.indices.map { records(of: $0) }.filter { $0.header?.run == run }
        guard all.contains(where: { $0.records.contains { $0.head.kind == .hole } }),
            let number = segments.indices.last, records(of: number).header?.run == run,
            let frame = records(of: number).records.last, frame.head.kind == .frame
        else { return }
        segments[number] = Array(segments[number].prefix(frame.offset))
    }

    private func sealed(_ batch: RecordBatch) -> [UInt8] {
        batch.sealed(at: segments.last?.count ?? 0, CRC32C.byTable) { _, _ in
            self.records &+= 1
        }
    }

    private func append(_ bytes: [UInt8]) {
        guard !segments.isEmpty else { return }
        segments[segments.count - 1] += bytes
    }

    private func begin(_ run: UInt32, _ wall: WallTime) {
        var hash = SHA256()
        if let last = segments.last { hash.append(last) }
        records = 0
        segments.append(
            SegmentHeader(
                feed: feed, channel: channel, number: UInt64(segments.count + 1), run: run, created: wall,
                previous: segments.isEmpty ? .none : hash.digest
            ).encoded(CRC32C.byTable))
    }

    private func cutTornEnd() {
        guard let last = segments.popLast() else { return }
        var scanner = SegmentScanner(CRC32C.byTable)
        scanner.push(last)
        scanner.finish()
        while scanner.next() != nil {}
        if scanner.wholeThrough > 0 { segments.append(Array(last.prefix(scanner.wholeThrough))) }
    }

    // MARK: - Reading

    /// The records of a segment, as far as it is whole, behind its header.
    func records(of number: Int) -> (header: SegmentHeader?, records: [Record], isWhole: Bool) {
        var scanner = SegmentScanner(CRC32C.byTable)
        scanner.push(segments[number])
        scanner.finish()
        var (header, records, isWhole): (SegmentHeader?, [Record], Bool) = (nil, [], true)
        while let finding = scanner.next() {
            switch finding {
            case .header(let found): header = found
            case .record(let record): records.append(record)
            case .damage: isWhole = false
            }
        }
        return (header, records, isWhole)
    }

    /// What a gateway that starts anew takes up from it.
    var memory: JournalMemory {
        var memory = JournalMemory()
        for number in segments.indices.reversed().prefix(17)
        where !memory.isComplete() {
            var own = JournalMemory()
            for record in records(of: number).records { own.take(record) }
            memory.complete(from: own)
        }
        return memory
    }

    /// What `holdfast verify` would find.
    var faults: [JournalFault] {
        var chain = SegmentChain(CRC32C.byTable)
        for (index, bytes) in segments.enumerated() {
            chain.begin(UInt64(index + 1))
            chain.take(bytes)
            chain.end()
        }
        return chain.faults
    }
}
