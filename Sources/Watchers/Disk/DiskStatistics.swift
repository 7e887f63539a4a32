// /proc/diskstats, decoded: what each block device has done so far. Source: the kernel's
// Documentation/admin-guide/iostats.rst; older kernels give fewer fields.
import Basics

/// The counters of one block device since it appeared.
struct DiskStatistics: Hashable, Sendable {
    /// Bytes of a sector here, whatever the device's own are.
    static let sectorBytes = 512.0

    var reads: UInt64
    var readSectors: UInt64
    /// Time that all reads took together.
    var readMilliseconds: UInt64
    var writes: UInt64
    var writtenSectors: UInt64
    var writeMilliseconds: UInt64
    /// Requests that the device has at this moment.
    var inFlight: UInt64
    /// Time in which it had any.
    var busyMilliseconds: UInt64
    /// Discards that are done; 0 on kernels before 4.18, which count none.
    var discards: UInt64
    /// Flushes that are done; 0 on kernels before 5.5, which count none.
    var flushes: UInt64

    /// All devices of the text by name, and how many lines were of another form. Each second, so that no line is
    /// taken apart into fields.
    static func decode(_ bytes: [UInt8]) -> (devices: [String: DiskStatistics], rejected: Int) {
        var devices: [String: DiskStatistics] = [:]
        var rejected = 0
        var rest = bytes[...]
        while !rest.isEmpty {
            let line = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest[line.endIndex...].dropFirst()
            guard !line.isEmpty else { continue }
            var fields = DiskFields(line)
            guard devices.count < 4096, fields.next() != nil, fields.next() != nil, let name = fields.next(),
                let statistics = DiskStatistics(&fields)
            else {
                rejected += 1
                continue
            }
            devices[String(decoding: name, as: UTF8.self)] = statistics
        }
        return (devices, rejected)
    }

    /// The eleven numbers behind the name, and of those that newer kernels give, the twelfth and the sixteenth.
    private init?(_ fields: inout DiskFields) {
        guard let reads = fields.number(), fields.number() != nil, let readSectors = fields.number(),
            let readMilliseconds = fields.number(), let writes = fields.number(), fields.number() != nil,
            let writtenSectors = fields.number(), let writeMilliseconds = fields.number(),
            let inFlight = fields.number(), let busyMilliseconds = fields.number(), fields.number() != nil
        else { return nil }
        let discards = fields.number() ?? 0
        // Those that were merged, their sectors and their time.
        for _ in 0..<3 { _ = fields.next() }
        self.init(
            reads: reads, readSectors: readSectors, readMilliseconds: readMilliseconds, writes: writes,
            writtenSectors: writtenSectors, writeMilliseconds: writeMilliseconds, inFlight: inFlight,
            busyMilliseconds: busyMilliseconds, discards: discards, flushes: fields.number() ?? 0)
    }

    init(
        reads: UInt64 = 0, readSectors: UInt64 = 0, readMilliseconds: UInt64 = 0, writes: UInt64 = 0,
        writtenSectors: UInt64 = 0, writeMilliseconds: UInt64 = 0, inFlight: UInt64 = 0,
        busyMilliseconds: UInt64 = 0, discards: UInt64 = 0, flushes: UInt64 = 0
    ) {
        self.reads = reads
        self.readSectors = readSectors
        self.readMilliseconds = readMilliseconds
        self.writes = writes
        self.writtenSectors = writtenSectors
        self.writeMilliseconds = writeMilliseconds
        self.inFlight = inFlight
        self.busyMilliseconds = busyMilliseconds
        self.discards = discards
        self.flushes = flushes
    }
}

/// The fields of a line, one after another.
private struct DiskFields {
    private var rest: ArraySlice<UInt8>

    init(_ line: ArraySlice<UInt8>) { rest = line }

    /// `nil`: there are no more.
    mutating func next() -> ArraySlice<UInt8>? {
        let field = rest.drop { $0 == UInt8(ascii: " ") }.prefix { $0 != UInt8(ascii: " ") }
        rest = rest[field.endIndex...]
        return field.isEmpty ? nil : field
    }

    /// Up to 19 digits, without a string in between.
    mutating func number() -> UInt64? {
        guard let bytes = next(), bytes.count <= 19 else { return nil }
        var value: UInt64 = 0
        for byte in bytes {
            guard (48...57).contains(byte) else { return nil }
            value = value &* 10 &+ UInt64(byte &- 48)
        }
        return value
    }
}
