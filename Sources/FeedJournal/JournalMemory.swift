// What a gateway that starts anew takes up from its journal: the venue's messages that say which instruments there are,
// kept as they come, and whole at the beginning of each segment.
public import Basics
import Wire

/// The messages of a venue's directory, one for each instrument, in one epoch of a channel.
public struct VenueDirectory: Hashable, Sendable {
    /// More instruments are not kept.
    public static let most = 200_000
    /// No message of a directory is longer.
    static let longestUnit = 4096

    public var epoch: UInt64
    /// By a number that stands for the instrument in this journal only.
    public var units: [UInt32: [UInt8]]

    public init(epoch: UInt64, units: [UInt32: [UInt8]] = [:]) {
        self.epoch = epoch
        self.units = units
    }

    /// Takes a message; `false`: it is known, or there is no room.
    public mutating func take(_ unit: ArraySlice<UInt8>, of instrument: UInt32) -> Bool {
        guard unit.count <= VenueDirectory.longestUnit else { return false }
        if let known = units[instrument] {
            if known.elementsEqual(unit) { return false }
        } else if units.count >= VenueDirectory.most {
            return false
        }
        units[instrument] = Array(unit)
        return true
    }

    /// The messages in the order of their instruments.
    public var ordered: [[UInt8]] { units.sorted { $0.key < $1.key }.map(\.value) }

    /// The contents of as many records as it takes, in the order of the instruments.
    public var records: [[UInt8]] {
        var records: [[UInt8]] = []
        var writer = ByteWriter()
        for (instrument, unit) in units.sorted(by: { $0.key < $1.key }) {
            if writer.bytes.count > RecordHead.mostBytes / 4 {
                records.append(writer.bytes)
                writer.bytes = []
            }
            if writer.bytes.isEmpty { writer.littleEndian(epoch) }
            writer.littleEndian(instrument)
            writer.littleEndian(UInt16(unit.count))
            writer.append(unit)
        }
        return writer.bytes.isEmpty ? records : records + [writer.bytes]
    }

    /// Reads one record's contents; `nil`: they are none of that.
    public init?(parsing contents: ArraySlice<UInt8>) {
        var reader = ByteReader(contents)
        do throws(EndOfBytes) {
            self.init(epoch: try reader.littleEndian(UInt64.self))
            while !reader.isAtEnd {
                let instrument = try reader.littleEndian(UInt32.self)
                let length = Int(try reader.littleEndian(UInt16.self))
                units[instrument] = Array(try reader.take(length))
            }
        } catch {
            return nil
        }
    }
}

/// What the end of a journal tells.
public struct JournalMemory: Hashable, Sendable {
    /// The numbering in which the journal ends; 0: it has none.
    public private(set) var epoch: UInt64 = 0
    /// The last sequence of it; before any, the one before the first that its last run knew, who told that the others
    /// are missing.
    public var last: UInt64 { max(data, before) }
    /// When the last of it came.
    public private(set) var heardAt = WallTime(nanoseconds: 0)
    private var data: UInt64 = 0
    private var before: UInt64 = 0
    private var byEpoch: [UInt64: VenueDirectory] = [:]

    /// Epochs whose directories are remembered while the journal is read.
    static let mostEpochs = 8

    public init() {}

    /// That of the last epoch; `nil`: it has none.
    public var directory: VenueDirectory? { byEpoch[epoch].flatMap { $0.units.isEmpty ? nil : $0 } }

    /// Takes the next record.
    public mutating func take(_ record: Record) {
        switch record.head.kind {
        case .frame:
            let stamp = record.stamp
            guard stamp.epoch != 0 else { return }
            if stamp.epoch != epoch {
                (epoch, data, before, heardAt) = (stamp.epoch, 0, 0, stamp.receiveTime)
            }
            switch stamp.frame {
            // No channel publishes the last number that there is: another one has to follow.
            case .data where stamp.sequence < .max:
                data = max(data, stamp.sequence)
                heardAt = max(heardAt, stamp.receiveTime)
            case .heartbeat: before = max(before, JournalMemory.before(record))
            default: break
            }
        case .hole: break
        case .directory: if let more = VenueDirectory(parsing: record.contents) { add(more) }
        }
    }

    /// What lies before the beginning of a run's knowledge, which a heartbeat tells; 0: nothing.
    private static func before(_ record: Record) -> UInt64 {
        guard let frame = try? Frame(parsing: Array(record.contents)),
            case .heartbeat(_, _, _, let first, _)? = try? ControlBody(
                kind: frame.header.kind, parsing: frame.body), first > 0
        else { return 0 }
        return first - 1
    }

    private mutating func add(_ more: VenueDirectory) {
        if byEpoch[more.epoch] == nil, byEpoch.count >= JournalMemory.mostEpochs {
            byEpoch = byEpoch.filter { $0.key == epoch }
        }
        guard
            byEpoch[more.epoch, default: VenueDirectory(epoch: more.epoch)].units.count + more.units.count
                <= 2 * VenueDirectory.most
        else { return }
        byEpoch[more.epoch, default: VenueDirectory(epoch: more.epoch)].units
            .merge(more.units) { _, new in new }
    }

    /// Nothing that an earlier segment could add is missing.
    ///
    /// - Parameter wantsDirectory: whether a directory is, too; most protocols have none.
    public func isComplete(withDirectory wantsDirectory: Bool = true) -> Bool {
        data > 0 && (!wantsDirectory || directory != nil)
    }

    /// Completes what a later segment told with what only an earlier one has. A run that nothing came to does not make
    /// forget how far the one before it was.
    public mutating func complete(from earlier: JournalMemory) {
        guard epoch != 0 else { return self = earlier }
        if data == 0, earlier.epoch == epoch {
            (data, before) = (earlier.data, max(before, earlier.before))
            heardAt = max(heardAt, earlier.heardAt)
        }
        if directory == nil, let known = earlier.byEpoch[epoch] { byEpoch[epoch] = known }
    }
}
