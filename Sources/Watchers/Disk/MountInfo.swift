// /proc/PID/mountinfo, decoded: what is mounted where, and which of it the eye of a process meets. Source:
// proc_pid_mountinfo(5).
import Basics

/// A device's number. Major 0 stands for file systems without a block device, and for those with several.
struct DeviceNumber: Hashable, Sendable, CustomStringConvertible {
    var major: UInt32
    var minor: UInt32

    var description: String { "\(major):\(minor)" }
}

/// One line: a mount.
struct MountEntry: Hashable, Sendable {
    var id: Int
    var parent: Int
    var device: DeviceNumber
    /// The folder of the file system that is seen at the mount point: `/` but for bind mounts and subvolumes.
    var root: [UInt8]
    var mountPoint: [UInt8]
    /// Whether this mount alone forbids writing; a sandbox makes it so for its own eyes.
    var isMountReadOnly: Bool
    /// `ext4`, `nfs4`, `fuse.sshfs` …
    var type: String
    /// What was mounted: `/dev/sda1`, `server:/export`.
    var source: String
    /// Whether the file system itself, its superblock, is read-only for everybody.
    var isReadOnly: Bool
    /// Whether it is so because it has given up: ext4 since Linux 6.15 leaves `rw` and adds one of these.
    var hasGivenUp: Bool

    /// The mount point as text; bytes that are not UTF-8 are replaced.
    var name: String { String(decoding: mountPoint, as: UTF8.self) }
}

/// All mounts of a mount namespace.
struct MountInfo: Hashable, Sendable {
    /// Mounts beyond this many are left out.
    static let most = 4096

    private(set) var entries: [MountEntry] = []
    /// Lines that were no mounts, or too many.
    private(set) var rejected = 0
    private var parents: [Int: Int] = [:]

    init(_ bytes: [UInt8]) {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard entries.count < MountInfo.most, let entry = MountEntry(line) else {
                rejected += 1
                continue
            }
            entries.append(entry)
            parents[entry.id] = entry.parent
        }
    }

    /// Whether a path walk to the mount point ends in this mount: nothing is mounted over it, or over a folder on
    /// the way.
    func isVisible(_ entry: MountEntry) -> Bool {
        let above = ancestors(of: entry)
        return !entries.contains { other in
            other.id != entry.id && !above.contains(other.id)
                && MountInfo.contains(other.mountPoint, entry.mountPoint)
        }
    }

    private func ancestors(of entry: MountEntry) -> Set<Int> {
        var found: Set<Int> = []
        var next = entry.parent
        while found.insert(next).inserted, let parent = parents[next] { next = parent }
        found.remove(entry.id)
        return found
    }

    /// Whether `path` is `folder` or lies below it.
    static func contains(_ folder: [UInt8], _ path: [UInt8]) -> Bool {
        guard path.starts(with: folder) else { return false }
        return folder.count == path.count || folder == [UInt8(ascii: "/")]
            || path[folder.count] == UInt8(ascii: "/")
    }
}

extension MountEntry {
    /// Decodes one line; `nil` for what is not of this form.
    init?(_ line: ArraySlice<UInt8>) {
        let space = UInt8(ascii: " ")
        guard let end = MountEntry.separator(in: line) else { return nil }
        let front = line[..<end].split(separator: space)
        // The source may be empty, which leaves two spaces.
        let back = line[(end + 3)...].split(separator: space, omittingEmptySubsequences: false)
        guard front.count >= 6, back.count >= 3, let id = MountEntry.number(front[0]),
            let parent = MountEntry.number(front[1]), let device = DeviceNumber(front[2])
        else { return nil }
        self.id = id
        self.parent = parent
        self.device = device
        root = MountEntry.unescaped(front[3])
        mountPoint = MountEntry.unescaped(front[4])
        isMountReadOnly = MountEntry.has("ro", front[5])
        type = String(decoding: MountEntry.unescaped(back[0]), as: UTF8.self)
        source = String(decoding: MountEntry.unescaped(back[1]), as: UTF8.self)
        hasGivenUp = MountEntry.has("emergency_ro", back[2]) || MountEntry.has("shutdown", back[2])
        isReadOnly = MountEntry.has("ro", back[2]) || hasGivenUp
        guard mountPoint.first == UInt8(ascii: "/"), !mountPoint.contains(0) else { return nil }
    }

    /// Where ` - ` stands, which ends the optional fields.
    private static func separator(in line: ArraySlice<UInt8>) -> Int? {
        let mark = Array(" - ".utf8)
        return line.indices.dropLast(2).first {
            line[$0] == mark[0] && line[$0..<($0 + 3)].elementsEqual(mark)
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int? {
        Int(String(decoding: bytes, as: UTF8.self))
    }

    private static func has(_ option: String, _ options: ArraySlice<UInt8>) -> Bool {
        options.split(separator: UInt8(ascii: ",")).contains { $0.elementsEqual(option.utf8) }
    }

    /// The kernel writes spaces, tabs, newlines and backslashes as `\040`.
    static func unescaped(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        guard bytes.contains(UInt8(ascii: "\\")) else { return Array(bytes) }
        var result: [UInt8] = []
        var rest = bytes
        while let byte = rest.first {
            rest = rest.dropFirst()
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                result.append(value)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}

extension DeviceNumber {
    /// Reads `8:1`.
    init?(_ bytes: ArraySlice<UInt8>) {
        let parts = bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, let major = UInt32(String(decoding: parts[0], as: UTF8.self)),
            let minor = UInt32(String(decoding: parts[1], as: UTF8.self))
        else { return nil }
        self.init(major: major, minor: minor)
    }
}
