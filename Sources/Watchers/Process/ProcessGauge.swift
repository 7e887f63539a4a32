// What a held process uses: memory, threads and descriptors, read through descriptors that stay open. The worker
// reads them, once a second.
import Basics
import Glibc
import Linux

/// What was measured of one process.
struct ProcessMeasure: Hashable, Sendable {
    var residentBytes: Int64
    var threads: Int64
    /// Open descriptors, and how many it may have; `nil`: hidden from the agent.
    var descriptors: Int64?
    var descriptorLimit: Int64?
    /// Processes of its control group that were killed for lack of memory so far.
    var kills: Int64?
}

/// Measures one process.
final class ProcessGauge: Sendable {
    private let stat: PolledFile
    private let folder: String
    private let kills: KillCount?
    private let descriptorLimit: Int64?
    private let pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))

    init(_ roots: FileRoots, _ pid: Int32, _ kills: KillCount?) throws(SystemError) {
        folder = "\(roots.proc)/\(pid)"
        stat = try PolledFile(path: "\(folder)/stat")
        self.kills = kills
        descriptorLimit = ProcessGauge.descriptorLimit(
            (try? Files.read("\(folder)/limits", limit: 16384)) ?? [])
    }

    /// `nil`: the process is gone.
    func read(_ buffer: inout [UInt8]) -> ProcessMeasure? {
        guard let count = try? stat.read(into: &buffer),
            let (threads, pages) = ProcessGauge.fields(buffer[..<count])
        else { return nil }
        return ProcessMeasure(
            residentBytes: pages &* pageBytes, threads: threads,
            descriptors: Files.countOfDescriptors("\(folder)/fd"), descriptorLimit: descriptorLimit,
            kills: kills?.now(&buffer))
    }

    /// Fields 20 and 24 of /proc/PID/stat, threads and resident pages, without taking the line apart.
    static func fields(_ line: ArraySlice<UInt8>) -> (threads: Int64, pages: Int64)? {
        guard let close = line.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        var field = 2
        var number: Int64 = 0
        var isNumber = false
        var threads: Int64?
        for byte in line[(close + 1)...] {
            guard byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") else {
                isNumber = (48...57).contains(byte)
                number = isNumber ? number &* 10 &+ Int64(byte &- 48) : 0
                continue
            }
            if field == 20 { threads = isNumber ? number : nil }
            if field == 24, isNumber, let threads { return (threads, number) }
            field += 1
            (number, isNumber) = (0, false)
        }
        return nil
    }

    /// The soft limit of "Max open files" in /proc/PID/limits.
    static func descriptorLimit(_ bytes: [UInt8]) -> Int64? {
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "Max open files ".utf8)
        {
            let words = line.split(separator: UInt8(ascii: " "))
            return words.count > 3 ? Int64(String(decoding: words[3], as: UTF8.self)) : nil
        }
        return nil
    }
}

/// How many processes of a control group were killed for lack of memory.
final class KillCount: Sendable {
    private let file: PolledFile

    /// `nil`: the kernel does not count for this group, or does not show it.
    init?(_ group: ControlGroup, _ roots: FileRoots) {
        guard let path = group.killCounts(roots).first(where: { Files.exists($0) }),
            let file = KillCount.open(path)
        else { return nil }
        self.file = file
    }

    private static func open(_ path: String) -> PolledFile? {
        do throws(SystemError) { return try PolledFile(path: path) } catch { return nil }
    }

    /// `nil`: the group is gone.
    func now(_ buffer: inout [UInt8]) -> Int64? {
        guard let count = try? file.read(into: &buffer) else { return nil }
        return ControlGroup.kills(buffer[..<count])
    }
}
