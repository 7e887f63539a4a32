// The folder in which the segments of one channel lie, and what is in it.
public import FeedJournal
public import Linux
import Basics
import Glibc
import Wire

/// How checksums are made here.
public let fastestCRC: Checksum = HardwareCRC32C.isThere ? HardwareCRC32C.update : CRC32C.byTable

/// Bytes that are read at once.
let pieceBytes = 1 << 18

/// The segments of one channel.
public struct ChannelFolder: Hashable, Sendable {
    public let path: String

    public init(_ path: String) { self.path = path }

    /// Below the journal's own folder.
    public init(root: String, feed: String, channel: UInt16) {
        path = "\(root)/\(SegmentName.folder(feed: feed, channel: channel))"
    }

    public func segment(_ number: UInt64) -> String { "\(path)/\(SegmentName.file(number))" }
    public func index(_ number: UInt64) -> String { "\(path)/\(SegmentName.index(number))" }
    /// What a replica had of a segment that became shorter over there.
    func surplus(_ number: UInt64) -> String { "\(segment(number)).surplus" }

    /// Whether a gateway is writing there: who does keeps a lock on the folder. A lock that cannot be had for any other
    /// reason, as on file systems that have none, says nothing of a writer.
    public var isBeingWritten: Bool {
        do throws(SystemError) {
            _ = try Files.lockAtOnce(folder: path)
            return false
        } catch {
            return error.number == EWOULDBLOCK
        }
    }

    /// Whether a gateway is writing to this segment, the folder's last.
    public func isBeingWritten(_ segment: UInt64) throws(SystemError) -> Bool {
        // In this order: what another one has followed since does not grow any more.
        guard isBeingWritten else { return false }
        return try segments().last == segment
    }

    /// Makes the folder, and those above it, where they are not there.
    func make() throws(SystemError) { try ChannelFolder.make(path) }

    private static func make(_ path: String) throws(SystemError) {
        guard !Files.isFolder(path) else { return }
        let above = Files.folder(of: path)
        if above != path, above != "." { try make(above) }
        try Files.makeFolder(path, mode: 0o750)
    }

    /// The numbers of the segments, ascending.
    public func segments() throws(SystemError) -> [UInt64] {
        try Files.names(in: path).compactMap { SegmentName.number(of: $0) }.sorted()
    }

    /// Removes a segment and what is kept beside it. One that somebody has removed already is removed.
    func remove(_ number: UInt64) throws(SystemError) {
        do throws(SystemError) {
            try Files.remove(segment(number))
        } catch  where error.number == ENOENT {
        }
        try? Files.remove(index(number))
        try? Files.remove(surplus(number))
    }

    /// The channels that have segments in a folder or below it, as far as a journal's folders go: itself, a feed's, or
    /// all feeds'.
    public static func all(below path: String, depth: Int = 2) throws(SystemError) -> [ChannelFolder] {
        let names = try Files.names(in: path).sorted()
        if names.contains(where: { SegmentName.number(of: $0) != nil }) { return [ChannelFolder(path)] }
        guard depth > 0 else { return [] }
        var found: [ChannelFolder] = []
        for name in names where Files.isFolder("\(path)/\(name)") {
            found += try all(below: "\(path)/\(name)", depth: depth - 1)
        }
        return found
    }
}

/// What one pass over a segment tells.
public struct SegmentSurvey: Sendable {
    public var size = 0
    /// `nil`: it cannot be read.
    public var header: SegmentHeader?
    public var index = SegmentIndex()
    public var digest = Digest.none
    /// Where what is whole ends.
    public var wholeThrough = 0
    public var damages: [SegmentDamage] = []
    public var memory = JournalMemory()
    /// The last record that covers sequences.
    public var covered: Coverage?

    /// Damages that are kept; one is enough to know that there is some.
    static let mostDamages = 16

    /// Reads a segment, or its first bytes.
    public init(_ path: String, upTo limit: Int = .max, _ crc: @escaping Checksum = fastestCRC)
        throws(SystemError)
    {
        let file = try ReadFile(path)
        var scanner = SegmentScanner(crc)
        var hash = SHA256()
        while size < limit {
            let piece = try file.read(min(pieceBytes, limit - size), at: size)
            if piece.isEmpty { break }
            size += piece.count
            hash.append(piece)
            scanner.push(piece)
            take(&scanner)
        }
        scanner.finish()
        take(&scanner)
        index.size = size
        index.records = scanner.records
        digest = hash.digest
        wholeThrough = scanner.wholeThrough
    }

    private mutating func take(_ scanner: inout SegmentScanner) {
        while let finding = scanner.next() {
            switch finding {
            case .header(let header): self.header = header
            case .record(let record):
                index.add(record.stamp, at: record.offset, record: record.number)
                memory.take(record)
                covered = record.coverage ?? covered
            case .damage(let damage):
                if damages.count < SegmentSurvey.mostDamages { damages.append(damage) }
            }
        }
    }

    /// Whether its end is that of a write which was cut off: nothing whole is behind the first damage.
    public var isTorn: Bool { wholeThrough < size || size == 0 }
}

extension ChannelFolder {
    /// What the journal tells whoever takes it up: where its last epoch has come to, and the directory of that one.
    ///
    /// - Throws: `SystemError` for what cannot be read; a damaged segment tells what is whole of it.
    public func memory() throws(SystemError) -> JournalMemory {
        var memory = JournalMemory()
        for number in try segments().reversed() where !memory.isComplete() {
            memory.complete(from: try SegmentSurvey(segment(number)).memory)
        }
        return memory
    }

    /// The index of a closed segment, from beside it or from the segment itself.
    public func readIndex(of number: UInt64, _ crc: @escaping Checksum = fastestCRC) throws(SystemError)
        -> SegmentIndex
    {
        if let kept = keptIndex(of: number, size: try Files.size(of: segment(number))).index { return kept }
        return try SegmentSurvey(segment(number), crc).index
    }

    /// Whether sequences ascend along a segment, as the first data in it says: where topics have numbers of their own,
    /// they do not.
    func ascends(_ number: UInt64, from first: SegmentIndex.Entry?) throws(SystemError) -> Bool {
        guard let first else { return false }
        let file = try ReadFile(segment(number))
        var scanner = SegmentScanner(fastestCRC, from: first.offset, record: first.record)
        scanner.push(try file.read(RecordHead.size + RecordHead.mostBytes, at: first.offset))
        guard case .record(let record)? = scanner.next(), let frame = try? Frame(parsing: record.contents)
        else { return false }
        return !frame.header.flags.contains(.numberedPerTopic)
    }

    /// The index beside a segment of this size, and the bytes that were read for it; `nil`: there is none, or it does
    /// not fit.
    func keptIndex(of number: UInt64, size: Int) -> (index: SegmentIndex?, read: Int) {
        guard let bytes = try? Files.read(index(number), limit: SegmentIndex.mostBytes) else {
            return (nil, 0)
        }
        return (SegmentIndex.parse(bytes, size: size, fastestCRC)?.index, bytes.count)
    }

    /// Puts an index beside its segment; where that fails, it is made again by whoever needs it.
    func keep(_ index: SegmentIndex, _ digest: Digest, of number: UInt64) {
        try? Files.write(
            index.encoded(digest: digest, fastestCRC), to: self.index(number),
            Files.Attributes(mode: 0o640), replacing: true, durably: false)
    }
}
