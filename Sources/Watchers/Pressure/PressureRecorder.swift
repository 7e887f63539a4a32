// How much tasks wait, ten times a second, for the history alone. The kernel's averages move every 2 s; its sums of
// waiting time move with each reading, so shares come from those. How much memory is left costs the kernel more to say
// than all of them, and is read once a second with the samples.
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

    private let proc: String
    private var stalls: [Stall] = []
    private var buffer = [UInt8](repeating: 0, count: 4096)

    init(_ roots: FileRoots) { proc = roots.proc }

    /// Reads from now on what can be read; what was open stays so.
    func open() {
        for name in ["cpu", "memory", "io"]
        where !stalls.contains(where: { $0.subject.name == name }) {
            if let stall = try? Stall(proc, name) { stalls.append(stall) }
        }
    }

    func close() { stalls = [] }

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
        return readings
    }
}
