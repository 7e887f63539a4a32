// How much tasks wait and how much memory is left, ten times a second, for the history alone. The kernel's averages
// move every 2 s; its sums of waiting time move with each reading, so shares come from those.
import Basics
import Linux
import Wire

/// The sums of one of /proc/pressure/cpu, memory and io, in microseconds since the boot. Source: the kernel's document
/// on pressure stall information.
struct StallTotals: Hashable, Sendable {
    var some: UInt64
    /// `nil`: the file has no such line, as of processors before Linux 5.13.
    var full: UInt64?

    /// `nil` for what is not of this form. Called many times a second: it allocates nothing.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.starts(with: "some ".utf8), let end = bytes.firstIndex(of: 0x0A),
            let some = StallTotals.total(bytes[..<end])
        else { return nil }
        self.some = some
        let rest = bytes[end...].dropFirst()
        guard !rest.isEmpty else { return }
        guard rest.starts(with: "full ".utf8),
            let full = StallTotals.total(rest.prefix { $0 != 0x0A })
        else { return nil }
        self.full = full
    }

    /// The number behind the line's last `=`, which is that of `total=`.
    private static func total(_ line: ArraySlice<UInt8>) -> UInt64? {
        guard let equals = line.lastIndex(of: 0x3D), line[..<equals].hasSuffix("total") else { return nil }
        return DecimalText.integer(line[equals...].dropFirst()).flatMap { UInt64(exactly: $0) }
    }
}

extension ArraySlice<UInt8> {
    fileprivate func hasSuffix(_ text: StaticString) -> Bool {
        suffix(text.utf8CodeUnitCount).elementsEqual(text.description.utf8)
    }
}

/// Reads files of /proc through descriptors kept open and gives what they say of the moment.
final class PressureRecorder {
    private final class Stall {
        let subject: Subject
        private let file: PolledFile
        private var last: (at: Instant, totals: StallTotals)?

        init(_ proc: String, _ name: String) throws(SystemError) {
            subject = Subject(.pressure, name)
            file = try PolledFile(path: "\(proc)/pressure/\(name)")
        }

        /// The shares of the time since the reading before, from 0 to 1; `nil`: no reading before, or a sum went back.
        func shares(_ buffer: inout [UInt8], at now: Instant) throws(SystemError) -> (
            some: Double, full: Double?
        )? {
            guard let totals = StallTotals(buffer[..<(try file.read(into: &buffer))]) else { return nil }
            defer { last = (now, totals) }
            guard let last, now > last.at else { return nil }
            let time = now - last.at
            guard let some = Stall.share(totals.some, since: last.totals.some, of: time) else { return nil }
            guard let full = totals.full, let before = last.totals.full else { return (some, nil) }
            return (some, Stall.share(full, since: before, of: time))
        }

        private static func share(_ total: UInt64, since before: UInt64, of time: Duration) -> Double? {
            total < before ? nil : min(1, Double(total - before) * 1000 / Double(time.nanoseconds))
        }
    }

    private final class Memory {
        private let file: PolledFile
        init(_ proc: String) throws(SystemError) { file = try PolledFile(path: "\(proc)/meminfo") }

        func availableRatio(_ buffer: inout [UInt8]) throws(SystemError) -> Double? {
            AvailableMemory(buffer[..<(try file.read(into: &buffer))])?.ratio
        }
    }

    private let proc: String
    private var stalls: [Stall] = []
    private var memory: Memory?
    private var buffer = [UInt8](repeating: 0, count: 4096)

    init(_ roots: FileRoots) { proc = roots.proc }

    /// Reads from now on what can be read; what was open stays so.
    func open(stalls wanted: Bool) {
        if memory == nil { memory = try? Memory(proc) }
        for name in ["cpu", "memory", "io"]
        where wanted && !stalls.contains(where: { $0.subject.name == name }) {
            if let stall = try? Stall(proc, name) { stalls.append(stall) }
        }
    }

    func close() { (stalls, memory) = ([], nil) }

    /// A file that cannot be read any more is left out, until it is opened again.
    func readings(at now: Instant) -> [Sample] {
        var readings: [Sample] = []
        readings.reserveCapacity(3)
        for stall in stalls {
            do throws(SystemError) {
                guard let shares = try stall.shares(&buffer, at: now) else { continue }
                var values = [NamedValue("waiting_ratio", .number(shares.some))]
                if let full = shares.full { values.append(NamedValue("all_waiting_ratio", .number(full))) }
                readings.append(Sample(stall.subject, values))
            } catch {
                stalls.removeAll { $0 === stall }
            }
        }
        do throws(SystemError) {
            if let ratio = try memory?.availableRatio(&buffer) {
                let value = NamedValue("available_ratio", .number(ratio))
                readings.append(Sample(Subject(.pressure, "memory"), [value]))
            }
        } catch {
            memory = nil
        }
        return readings
    }
}

/// The first lines of /proc/meminfo, which say how much memory there is and how much could be had.
struct AvailableMemory: Hashable, Sendable {
    var ratio: Double

    /// `nil`: no such lines among the first four. Called many times a second: it allocates nothing.
    init?(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        var total: Int64?
        for _ in 0..<4 {
            let line = rest.prefix { $0 != 0x0A }
            if line.starts(with: "MemTotal:".utf8) { total = AvailableMemory.number(line) }
            if line.starts(with: "MemAvailable:".utf8) {
                guard let total, total > 0, let available = AvailableMemory.number(line) else { return nil }
                ratio = min(max(Double(available) / Double(total), 0), 1)
                return
            }
            rest = rest[line.endIndex...].dropFirst()
        }
        return nil
    }

    private static func number(_ line: ArraySlice<UInt8>) -> Int64? {
        DecimalText.integer(line.drop { $0 != 0x3A }.dropFirst().drop { $0 == 0x20 }.prefix { $0 != 0x20 })
    }
}
