// Reads carrier counters in sysfs through descriptors kept open: no RTNL lock, two reads a NIC. The kernel
// may hold a real NIC's link events back for a second; these tell within one interval.
import Basics
import Linux
import Reactor

/// The counters of one NIC.
private final class CarrierFiles {
    private let up: PolledFile
    private let down: PolledFile

    /// - Throws: also when the name belongs to another device by now, or /sys shows another namespace.
    init(_ roots: FileRoots, name: String, index: Int32) throws(SystemError) {
        let folder = "\(roots.sys)/class/net/\(name)"
        guard try Int32(Files.text("\(folder)/ifindex", limit: 64)) == index else {
            throw SystemError("\(folder)/ifindex is not \(index)", number: 19)
        }
        up = try PolledFile(path: "\(folder)/carrier_up_count")
        down = try PolledFile(path: "\(folder)/carrier_down_count")
    }

    /// `nil` when the device is gone. Down is read last: a loss between the reads is then seen, and never a
    /// return without its loss.
    func read() -> CarrierCounts? {
        guard let up = try? up.integer(), let down = try? down.integer() else { return nil }
        return CarrierCounts(up: UInt32(truncatingIfNeeded: up), down: UInt32(truncatingIfNeeded: down))
    }
}

/// Polls the counters of many NICs on one timer.
final class CarrierPoller {
    private let loop: EventLoop
    private let roots: FileRoots
    private let onCounts: (Int32, CarrierCounts) -> Void
    private var timer: Timer?
    private var files: [Int32: CarrierFiles] = [:]
    var interval: Duration

    init(
        _ context: WatcherContext, every interval: Duration,
        onCounts: @escaping (Int32, CarrierCounts) -> Void
    ) throws(SystemError) {
        loop = context.loop
        roots = context.roots
        self.interval = interval
        self.onCounts = onCounts
        timer = try Timer(loop) { [unowned self] in poll() }
    }

    func add(index: Int32, name: String) throws(SystemError) {
        files[index] = try CarrierFiles(roots, name: name, index: index)
        if files.count == 1 { arm() }
    }

    func remove(index: Int32) { files[index] = nil }

    private func arm() { timer?.arm(at: nextMultiple(of: interval, after: loop.now)) }

    private func poll() {
        for (index, file) in files {
            // A device that is gone is told by rtnetlink.
            if let counts = file.read() { onCounts(index, counts) }
        }
        if !files.isEmpty { arm() }
    }
}
