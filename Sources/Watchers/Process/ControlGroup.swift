// A process's control groups, from /proc/PID/cgroup (cgroups(7)): which unit of systemd it belongs to, and where the
// kernel counts what it killed for lack of memory.
import Basics
import Linux

/// Where a process stands in the trees of control groups.
public struct ControlGroup: Hashable, Sendable {
    /// The path in the unified tree, and in that of memory where there are several; empty: none.
    public private(set) var unified = ""
    public private(set) var memory = ""
    private var systemd = ""

    /// Reads the lines `0::/system.slice/a.service`, `4:memory:/…`, `1:name=systemd:/…`; what has another form is
    /// passed over.
    public init(_ bytes: [UInt8]) {
        for line in bytes.split(separator: UInt8(ascii: "\n")).prefix(64) {
            let parts = line.split(
                separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let path = String(decoding: parts[2], as: UTF8.self)
            guard path.hasPrefix("/"), !path.contains("/../"), !path.hasSuffix("/..") else { continue }
            let controllers = parts[1].split(separator: UInt8(ascii: ","))
            if parts[1].isEmpty { unified = path }
            if controllers.contains(where: { $0.elementsEqual("memory".utf8) }) { memory = path }
            if parts[1].elementsEqual("name=systemd".utf8) { systemd = path }
        }
    }

    /// Whether it belongs to a unit of systemd, or to one of the units below it.
    public func belongs(to unit: String) -> Bool { units.contains(unit) }

    /// The names of the units of systemd that it belongs to, one below the other, and of its other groups.
    var units: [String] {
        let paths = systemd.isEmpty || systemd == unified ? [unified] : [unified, systemd]
        return paths.flatMap { $0.split(separator: "/").map { String($0) } }
    }

    /// The service that it belongs to, of the innermost manager; `nil`: none.
    public var service: String? {
        let path = systemd.isEmpty ? unified : systemd
        // A user's own manager is a service of the system too, but not one that could tell of the process.
        let parts = path.split(separator: "/")
        guard let name = parts.first(where: { $0.hasSuffix(".service") }), !name.hasPrefix("user@") else {
            return nil
        }
        return String(name)
    }

    /// The files that may hold the count of kills for lack of memory, the best first.
    func killCounts(_ roots: FileRoots) -> [String] {
        let base = roots.sys + "/fs/cgroup"
        var files: [String] = []
        if !unified.isEmpty {
            files += ["\(base)\(unified)/memory.events", "\(base)/unified\(unified)/memory.events"]
        }
        if !memory.isEmpty { files.append("\(base)/memory\(memory)/memory.oom_control") }
        return files
    }

    /// The number after `oom_kill` in memory.events (cgroup v2) or memory.oom_control (v1).
    static func kills(_ bytes: ArraySlice<UInt8>) -> Int64? {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count == 2, words[0].elementsEqual("oom_kill".utf8) else { continue }
            return Int64(String(decoding: words[1], as: UTF8.self))
        }
        return nil
    }
}
