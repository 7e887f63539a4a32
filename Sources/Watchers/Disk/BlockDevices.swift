// Which disks and arrays a mount stands on, as /sys knows it: partitions are parts of disks, device-mapper volumes
// and arrays have others below them. It runs on the worker's thread.
import Basics
import Linux

/// Looks devices up in /sys.
struct BlockDevices: Sendable {
    /// How deep devices may be stacked, and how many may lie under one mount.
    private static let (deepest, most) = (8, 32)

    let sys: String

    /// The kernel's name of a mount's device: `sda1`, `dm-0`. `nil`: it has none, or is gone.
    func name(of mount: WatchedMount) -> String? {
        if mount.device.major != 0 {
            let target = try? Files.target(ofLink: "\(sys)/dev/block/\(mount.device)")
            return target?.split(separator: "/").last.map(String.init)
        }
        // A file system over several devices is mounted by the name of one of them.
        guard mount.source.hasPrefix("/dev/") else { return nil }
        let name = String(mount.source.dropFirst(5))
        if name.hasPrefix("mapper/") { return mapped(String(name.dropFirst(7))) }
        return !name.contains("/") && exists(name) ? name : nil
    }

    func exists(_ device: String) -> Bool { Files.exists("\(sys)/class/block/\(device)") }

    /// The arrays and disks below a device, nearest first.
    func devices(below device: String) -> [String] {
        var found: [String] = []
        collect(device, depth: 0, into: &found)
        return found
    }

    private func collect(_ device: String, depth: Int, into found: inout [String]) {
        guard depth < BlockDevices.deepest, found.count < BlockDevices.most else { return }
        let whole = whole(device)
        let below = ((try? Files.names(in: "\(sys)/class/block/\(whole)/slaves")) ?? []).sorted()
        if below.isEmpty || whole.hasPrefix("md"), !found.contains(whole) { found.append(whole) }
        for next in below { collect(next, depth: depth + 1, into: &found) }
    }

    /// The disk that a partition is part of.
    func whole(_ device: String) -> String {
        let folder = "\(sys)/class/block/\(device)"
        guard Files.exists("\(folder)/partition"), let target = try? Files.target(ofLink: folder) else {
            return device
        }
        return target.split(separator: "/").dropLast().last.map(String.init) ?? device
    }

    /// The device-mapper volume of a name.
    private func mapped(_ name: String) -> String? {
        ((try? Files.names(in: "\(sys)/class/block")) ?? []).first {
            $0.hasPrefix("dm-") && (try? Files.text("\(sys)/class/block/\($0)/dm/name", limit: 4096)) == name
        }
    }
}
