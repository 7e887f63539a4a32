// Which mounts are watched, and under which names. Each file system once, by the mount point where the host sees
// all of it; a sandbox's bind mounts of the same are no file systems of their own.
import Basics
import Configuration
import Linux

/// A mount to watch.
struct WatchedMount: Hashable, Sendable {
    /// The mount point, and so the subject's name.
    var name: String
    /// Where this process asks it; `nil`: mounted on the host, and not in this process's own sight.
    var path: [UInt8]?
    var device: DeviceNumber
    var type: String
    var source: String
    /// The file system itself is read-only.
    var isReadOnly: Bool
    /// It was mounted so; `false` while `isReadOnly`: the kernel has made it so.
    var isMountReadOnly: Bool
}

/// The rules by which mounts are chosen.
struct MountChoice: Hashable, Sendable {
    /// Mounts beyond this many are left out, and the log says so.
    static let mostMounts = 64

    /// File systems without one block device that are local all the same.
    private static let localTypes: Set = ["btrfs", "zfs", "bcachefs"]
    /// Images that are full by their nature.
    private static let imageTypes: Set = ["squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs"]
    /// What is only a door to the real thing.
    private static let neverTypes: Set = ["autofs"]

    var discover = true
    var include: [NamePattern] = []
    var exclude: [NamePattern] = []

    init(_ options: DiskOptions) {
        discover = options.discover
        include = options.include.map { NamePattern($0) }
        exclude = options.exclude.map { NamePattern($0) }
    }

    /// The mounts to watch, by name.
    ///
    /// - Parameters:
    ///   - own: what this process sees.
    ///   - host: what the host's first process sees; `nil` where that cannot be read.
    func chosen(own: MountInfo, host: MountInfo?) -> [WatchedMount] {
        var result: [WatchedMount] = []
        for candidate in candidates(own, host).sorted(by: MountChoice.isBetter) {
            let entry = candidate.entry
            let isIncluded = include.contains { $0.matches(entry.name) }
            guard isIncluded || (discover && MountChoice.isLocal(entry)),
                !exclude.contains(where: { $0.matches(entry.name) }),
                !result.contains(where: { $0.name == entry.name }),
                isIncluded || !result.contains(where: { $0.device == entry.device })
            else { continue }
            result.append(
                WatchedMount(
                    name: entry.name, path: candidate.path, device: entry.device, type: entry.type,
                    source: entry.source, isReadOnly: entry.isReadOnly,
                    isMountReadOnly: entry.isMountReadOnly && !entry.hasGivenUp))
        }
        return result.sorted { $0.name < $1.name }
    }

    /// Names that must be mounted: those that were configured without a wildcard.
    var required: [String] { include.filter { !$0.isWildcard }.map(\.text) }

    private struct Candidate {
        var entry: MountEntry
        var path: [UInt8]?
    }

    /// What is in sight here, as the host mounted it; and what the host sees and we do not.
    private func candidates(_ own: MountInfo, _ host: MountInfo?) -> [Candidate] {
        let seen = own.entries.filter { isOfInterest($0) && own.isVisible($0) }
        guard let host else { return seen.map { Candidate(entry: $0, path: $0.mountPoint) } }
        let hosts = host.entries.filter { isOfInterest($0) && host.isVisible($0) }
        var found = hosts.map { entry in
            Candidate(entry: entry, path: MountChoice.path(to: entry, seen, own))
        }
        // What only this process sees is asked where it is; at the same place it hides the host's.
        for entry in seen where !hosts.contains(where: { $0.device == entry.device }) {
            found.removeAll { $0.path == nil && $0.entry.mountPoint == entry.mountPoint }
            found.append(Candidate(entry: entry, path: entry.mountPoint))
        }
        return found
    }

    /// Where this process asks one of the host's file systems. Any part of it answers for the whole: a sandbox with a
    /// `/tmp` of its own sees nothing else of a file system that is mounted there.
    private static func path(to entry: MountEntry, _ seen: [MountEntry], _ own: MountInfo) -> [UInt8]? {
        let same = seen.filter { $0.device == entry.device }
        if let here = same.first(where: { $0.mountPoint == entry.mountPoint }) ?? same.first {
            return here.mountPoint
        }
        let parts = own.entries.filter { $0.device == entry.device && own.isVisible($0) }
        return (parts.first { $0.mountPoint == entry.mountPoint } ?? parts.first)?.mountPoint
    }

    private func isOfInterest(_ entry: MountEntry) -> Bool {
        guard !MountChoice.neverTypes.contains(entry.type) else { return false }
        return discover && MountChoice.isLocal(entry) || include.contains { $0.matches(entry.name) }
    }

    /// On a block device here, and whole: what a container gets of its host's disk (`/etc/hosts`) is no disk of its
    /// own. Subvolumes are parts by nature, and so may be what the system runs from.
    private static func isLocal(_ entry: MountEntry) -> Bool {
        if localTypes.contains(entry.type) { return true }
        let slash = [UInt8(ascii: "/")]
        return entry.device.major != 0 && !imageTypes.contains(entry.type)
            && (entry.root == slash || entry.mountPoint == slash)
    }

    /// Whole file systems before parts, short names before long ones.
    private static func isBetter(_ left: Candidate, _ right: Candidate) -> Bool {
        func rank(_ candidate: Candidate) -> (Int, Int, Int) {
            let isWhole = candidate.entry.root == [UInt8(ascii: "/")]
            return (isWhole ? 0 : 1, candidate.entry.mountPoint.count, candidate.entry.id)
        }
        return rank(left) < rank(right)
    }
}
