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

    /// All devices of the text by name, and how many lines were of another form.
    static func decode(_ bytes: [UInt8]) -> (devices: [String: DiskStatistics], rejected: Int) {
        var devices: [String: DiskStatistics] = [:]
        var rejected = 0
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "))
            guard fields.count >= 14, devices.count < 4096, let statistics = DiskStatistics(fields) else {
                rejected += 1
                continue
            }
            devices[String(decoding: fields[2], as: UTF8.self)] = statistics
        }
        return (devices, rejected)
    }

    private init?(_ fields: [ArraySlice<UInt8>]) {
        var numbers: [UInt64] = []
        for field in fields[3..<14] {
            guard let number = DiskStatistics.number(field) else { return nil }
            numbers.append(number)
        }
        reads = numbers[0]
        readSectors = numbers[2]
        readMilliseconds = numbers[3]
        writes = numbers[4]
        writtenSectors = numbers[6]
        writeMilliseconds = numbers[7]
        inFlight = numbers[8]
        busyMilliseconds = numbers[9]
    }

    init(
        reads: UInt64 = 0, readSectors: UInt64 = 0, readMilliseconds: UInt64 = 0, writes: UInt64 = 0,
        writtenSectors: UInt64 = 0, writeMilliseconds: UInt64 = 0, inFlight: UInt64 = 0,
        busyMilliseconds: UInt64 = 0
    ) {
        self.reads = reads
        self.readSectors = readSectors
        self.readMilliseconds = readMilliseconds
        self.writes = writes
        self.writtenSectors = writtenSectors
        self.writeMilliseconds = writeMilliseconds
        self.inFlight = inFlight
        self.busyMilliseconds = busyMilliseconds
    }

    /// Up to 19 digits, without a string in between.
    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64? {
        guard (1...19).contains(bytes.count) else { return nil }
        var value: UInt64 = 0
        for byte in bytes {
            guard (48...57).contains(byte) else { return nil }
            value = value &* 10 &+ UInt64(byte &- 48)
        }
        return value
    }
}
