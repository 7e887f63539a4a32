// What the closed segments of a channel hold, which does not change any more and is remembered; and how the index of one
// is made from the segment itself, where there is none beside it. A segment may have gigabytes, and others wait for the
// thread that reads: it is read in steps, each as long as its budget, and what was read is kept until the next one.
import FeedJournal
import Basics
import Linux

/// How far a segment without an index has been read.
struct IndexScan: Sendable {
    let segment: UInt64
    /// The segment's, in bytes, and how much of it has been read.
    let size: Int
    private(set) var position = 0
    private var isAtEnd = false
    private var scanner = SegmentScanner(fastestCRC)
    private var hash = SHA256()
    private var index = SegmentIndex()

    init(_ segment: UInt64, size: Int) {
        self.segment = segment
        self.size = size
    }

    /// Reads on, not much beyond a budget, from which it takes what was read.
    ///
    /// - Returns: the index and the digest that it is kept with; `nil`: the budget is spent.
    mutating func read(
        in folder: ChannelFolder, _ budget: inout Int
    ) throws(SystemError) -> (index: SegmentIndex, digest: Digest)? {
        let file = try ReadFile(folder.segment(segment))
        while !isAtEnd {
            guard budget > 0 else { return nil }
            let piece = try file.read(min(pieceBytes, size - position), at: position)
            isAtEnd = piece.isEmpty || position + piece.count == size
            position += piece.count
            budget -= piece.count
            hash.append(piece)
            scanner.push(piece)
            take()
        }
        scanner.finish()
        take()
        index.size = position
        index.records = scanner.records
        return (index, hash.digest)
    }

    private mutating func take() {
        while let finding = scanner.next() {
            guard case .record(let record) = finding else { continue }
            index.add(record.stamp, at: record.offset, record: record.number)
        }
    }
}

/// What the closed segments of a channel hold, as far as it is known.
public struct SegmentSummaries: Sendable {
    /// Without places.
    private(set) var known: [UInt64: SegmentIndex] = [:]
    /// The segment that is being read.
    private var scan: IndexScan?

    public init() {}

    /// Reads on until all of these segments are known, or the budget is spent, from which it takes what was read.
    ///
    /// - Parameter isOurs: nobody else writes there, so that an index that is missing is put there.
    /// - Returns: whether all are known.
    mutating func learn(
        _ numbers: [UInt64], in folder: ChannelFolder, _ budget: inout Int, isOurs: Bool
    ) throws(SystemError) -> Bool {
        for number in numbers where known[number] == nil {
            guard budget > 0, let index = try index(of: number, in: folder, &budget, isOurs) else {
                return false
            }
            known[number] = index.summary
        }
        return true
    }

    private mutating func index(
        of number: UInt64, in folder: ChannelFolder, _ budget: inout Int, _ isOurs: Bool
    ) throws(SystemError) -> SegmentIndex? {
        let size = try Files.size(of: folder.segment(number))
        if scan?.segment == number, scan?.size != size { scan = nil }
        if scan?.segment != number {
            let (kept, read) = folder.keptIndex(of: number, size: size)
            budget -= read
            if let kept { return kept }
            guard finish(in: folder, &budget, isOurs) else { return nil }
        }
        return try read(on: scan ?? IndexScan(number, size: size), in: folder, &budget, isOurs)
    }

    /// A segment that is being read is read to its end before another one is begun: two that need different ones would
    /// send each other back to the beginning for ever.
    ///
    /// - Returns: whether none is being read any more.
    private mutating func finish(in folder: ChannelFolder, _ budget: inout Int, _ isOurs: Bool) -> Bool {
        guard let reading = scan else { return true }
        scan = nil
        // One that has changed, or cannot be read, is begun anew by whoever needs it.
        guard (try? Files.size(of: folder.segment(reading.segment))) == reading.size else { return true }
        if let index = try? read(on: reading, in: folder, &budget, isOurs) {
            known[reading.segment] = index.summary
        }
        return scan == nil
    }

    private mutating func read(
        on begun: IndexScan, in folder: ChannelFolder, _ budget: inout Int, _ isOurs: Bool
    ) throws(SystemError) -> SegmentIndex? {
        var reading = begun
        scan = nil
        guard let (index, digest) = try reading.read(in: folder, &budget) else {
            scan = reading
            return nil
        }
        if isOurs {
            folder.keep(index, digest, of: reading.segment)
            // Whoever let go of the segment meanwhile has looked for its index before that.
            if !Files.exists(folder.segment(reading.segment)) {
                try? Files.remove(folder.index(reading.segment))
            }
        }
        return index
    }

    /// Segments that went are not needed any more.
    mutating func forget(except numbers: [UInt64]) {
        let wanted = Set(numbers)
        if known.contains(where: { !wanted.contains($0.key) }) {
            known = known.filter { wanted.contains($0.key) }
        }
        if let scan, !wanted.contains(scan.segment) { self.scan = nil }
    }

    /// A segment that may have changed is known only if it has the size that it had.
    mutating func check(_ number: UInt64, in folder: ChannelFolder) throws(SystemError) {
        guard let index = known[number] else { return }
        if index.size != (try Files.size(of: folder.segment(number))) { known[number] = nil }
    }

    /// For a person: what is being read, of so many segments.
    func progress(_ count: Int) -> String {
        guard let scan else {
            return "the indexes of \(count) segments are read first, \(known.count) so far"
        }
        let place = "\(scan.position >> 10) of \(scan.size >> 10) KiB"
        return "segment \(scan.segment) has no index and is read for it first, \(place) so far"
    }
}
