// Traffic of NICs ten times a second, for the history alone: two counters in sysfs through descriptors kept open,
// which takes no RTNL lock.
import Basics
import Linux
import Wire

/// Reads the byte counters of some NICs and gives their rates.
final class NICRecorder {
    /// More NICs than these have the readings of their samples only.
    static let mostNICs = 32

    private final class Counters {
        private let received: PolledFile
        private let sent: PolledFile
        private var last: (at: Instant, received: UInt64, sent: UInt64)?

        init(_ folder: String) throws(SystemError) {
            received = try PolledFile(path: "\(folder)/rx_bytes")
            sent = try PolledFile(path: "\(folder)/tx_bytes")
        }

        /// Bytes per second since the reading before; `nil`: no reading before, or a counter went back.
        func rates(at now: Instant) throws(SystemError) -> (received: Double, sent: Double)? {
            guard let received = try received.integer(), let sent = try sent.integer() else { return nil }
            defer { last = (now, received, sent) }
            guard let last, now > last.at, received >= last.received, sent >= last.sent else { return nil }
            let seconds = (now - last.at).inSeconds
            return (Double(received - last.received) / seconds, Double(sent - last.sent) / seconds)
        }
    }

    private let folder: String
    private var counters: [String: Counters] = [:]

    init(_ roots: FileRoots) { folder = "\(roots.sys)/class/net" }

    /// Reads these from now on, the first of them if they are too many.
    func watch(_ names: [String]) {
        let names = names.prefix(NICRecorder.mostNICs)
        counters = counters.filter { names.contains($0.key) }
        for name in names where counters[name] == nil {
            counters[name] = try? Counters("\(folder)/\(name)/statistics")
        }
    }

    /// A device that is gone is left out, until it is watched again.
    func readings(at now: Instant) -> [Sample] {
        var readings: [Sample] = []
        for (name, file) in counters {
            do throws(SystemError) {
                guard let rates = try file.rates(at: now) else { continue }
                let values = [
                    NamedValue("rx_bytes_per_s", .number(rates.received)),
                    NamedValue("tx_bytes_per_s", .number(rates.sent)),
                ]
                readings.append(Sample(Subject(.nic, name), values))
            } catch {
                counters[name] = nil
            }
        }
        return readings
    }
}
