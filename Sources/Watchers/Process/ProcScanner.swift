// Searches /proc for watched processes. It runs on the worker's thread: with thousands of processes it takes
// tens of milliseconds.
import Basics
import Configuration
import Glibc
import Linux

/// What one scan is to do.
struct ProcScanOrder: Sendable {
    var roots: FileRoots
    var watched: [ProcessWatchOptions]
    /// If the last process number given out is still this, nothing has been started since.
    var skipIfLastPID: Int32?
    /// When the host booted, as the first scan found it; `nil`: nobody has looked yet.
    var bootedAt: Int64?
}

/// What it found.
struct ProcScanReport: Sendable {
    /// By the names of the watched sets that are searched for; `nil` if nothing had been started, so that nobody looked.
    var results: [String: ProcessScanResult]?
    /// The last process number given out, from /proc/loadavg.
    var lastPID: Int32?
    /// Seconds since 1970; 0: not known.
    var bootedAt: Int64?
}

/// Performs one scan.
struct ProcScanner {
    private let roots: FileRoots
    private let bootedAt: Int64
    private let pageBytes: Int64

    static func scan(_ order: ProcScanOrder) -> ProcScanReport {
        let lastPID = lastPID(order.roots)
        if let skip = order.skipIfLastPID, skip == lastPID {
            return ProcScanReport(results: nil, lastPID: lastPID, bootedAt: order.bootedAt)
        }
        let scanner = ProcScanner(order.roots, bootedAt: order.bootedAt)
        return ProcScanReport(
            results: scanner.results(order.watched), lastPID: lastPID, bootedAt: scanner.bootedAt)
    }

    /// The sets whose process ids are in files, by what these hold.
    static func results(
        of order: ProcScanOrder, in files: [String: PidfileText], bootedAt: Int64?
    ) -> [String: ProcessScanResult] {
        let scanner = ProcScanner(order.roots, bootedAt: bootedAt)
        var results: [String: ProcessScanResult] = [:]
        for set in order.watched {
            guard let path = set.pidfile else { continue }
            results[set.name] = scanner.result(of: files[path] ?? .unanswered, at: path)
        }
        return results
    }

    /// The fifth field of /proc/loadavg.
    private static func lastPID(_ roots: FileRoots) -> Int32? {
        (try? Files.text("\(roots.proc)/loadavg", limit: 256))?.split(separator: " ").last.flatMap {
            Int32($0)
        }
    }

    private init(_ roots: FileRoots, bootedAt: Int64?) {
        self.roots = roots
        pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))
        self.bootedAt = bootedAt ?? ProcScanner.bootTime(roots)
    }

    /// `btime` of /proc/stat. Once: the kernel counts every interrupt of every processor for that file, and who sets
    /// the clock moves the time by which processes are told to have started.
    private static func bootTime(_ roots: FileRoots) -> Int64 {
        let lines = (try? Files.text("\(roots.proc)/stat"))?.split(separator: "\n") ?? []
        return lines.first { $0.hasPrefix("btime ") }.flatMap { Int64($0.dropFirst(6)) } ?? 0
    }

    private func results(_ watched: [ProcessWatchOptions]) -> [String: ProcessScanResult] {
        let watched = watched.filter { $0.pidfile == nil }
        var results = watched.map { _ in ProcessScanResult(found: []) }
        let search = ProcSearch(watched)
        if !search.isEmpty {
            do throws(SystemError) {
                for pid in try Files.names(in: roots.proc).compactMap({ Int32($0) }).sorted() {
                    look(at: pid, search, &results)
                }
            } catch {
                for index in search.sets { results[index].trouble = .hidden(error.description) }
            }
        }
        var named: [String: ProcessScanResult] = [:]
        for (set, result) in zip(watched, results) { named[set.name] = result }
        return named
    }

    private func look(at pid: Int32, _ search: ProcSearch, _ results: inout [ProcessScanResult]) {
        var process = Candidate(folder: "\(roots.proc)/\(pid)")
        let matches = search.matches(&process)
        for index in matches.hidden { results[index].unreadable += 1 }
        guard !matches.sets.isEmpty, let stat = ProcScanner.stat(roots, pid), !stat.hasEnded else { return }
        for index in matches.sets {
            results[index].residentBytes &+= stat.residentPages &* pageBytes
            results[index].found.append(identity(pid, stat))
        }
    }

    private func add(_ pid: Int32, to result: inout ProcessScanResult) {
        guard let stat = ProcScanner.stat(roots, pid), !stat.hasEnded else { return }
        result.residentBytes &+= stat.residentPages &* pageBytes
        result.found.append(identity(pid, stat))
    }

    private func result(of file: PidfileText, at path: String) -> ProcessScanResult {
        var result = ProcessScanResult(found: [])
        switch file {
        case .text(let text):
            guard let pid = Int32(text.prefix { !$0.isWhitespace }), pid > 0 else {
                result.trouble = .missing("\(path) holds no process id")
                return result
            }
            add(pid, to: &result)
        case .failed(let error):
            // What is not there, or is too large for a number holds no process id.
            let isNone = [ENOENT, ENOTDIR, EFBIG].contains(error.number)
            result.trouble = isNone ? .missing(error.description) : .hidden(error.description)
        case .unanswered: result.trouble = .unanswered("\(path) does not answer")
        }
        return result
    }

    private func identity(_ pid: Int32, _ stat: ProcStat) -> ProcessIdentity {
        // Ticks are hundredths of a second for user space on every architecture that Debian has.
        let started =
            bootedAt == 0 ? 0 : bootedAt &* 1_000_000_000 &+ Int64(clamping: stat.startTicks) &* 10_000_000
        return ProcessIdentity(
            pid: pid, startTicks: stat.startTicks, startedAt: WallTime(nanoseconds: started))
    }

    static func stat(_ roots: FileRoots, _ pid: Int32) -> ProcStat? {
        (try? Files.read("\(roots.proc)/\(pid)/stat", limit: 65_536)).flatMap { ProcStat($0) }
    }
}

/// What is looked for, by what is read of a process: of each process one look serves all sets.
private struct ProcSearch {
    private var names: [String: [Int]] = [:]
    private var executables: [String: [Int]] = [:]
    private var units: [String: [Int]] = [:]
    /// By their first words.
    private var commands: [String: [(set: Int, words: [String])]] = [:]
    /// The sets that are searched for, by their places in the list.
    private(set) var sets: [Int] = []

    init(_ watched: [ProcessWatchOptions]) {
        for (index, set) in watched.enumerated() {
            switch set.match {
            case .name(let name): names[name, default: []].append(index)
            case .executable(let path): executables[path, default: []].append(index)
            case .unit(let unit): units[unit, default: []].append(index)
            case .command(let words):
                guard let first = words.first else { continue }
                commands[first, default: []].append((index, words))
            case .pidfile: continue
            }
            sets.append(index)
        }
    }

    var isEmpty: Bool { sets.isEmpty }

    /// The sets that a process belongs to, and those that it might belong to for all that this user may see.
    func matches(_ process: inout Candidate) -> (sets: [Int], hidden: [Int]) {
        var found: [Int] = []
        if !names.isEmpty, let name = process.name, let sets = names[name] { found += sets }
        if !commands.isEmpty { found += byCommand(process.words) }
        if !units.isEmpty { found += byUnit(process.group) }
        guard !executables.isEmpty else { return (found, []) }
        switch process.executable {
        case .success(let path):
            return (found + (executables[Candidate.withoutDeleted(path)] ?? executables[path] ?? []), [])
        case .failure(let error):
            // Kernel threads, which are nobody's executable, have no command line.
            guard error.number == EACCES || error.number == EPERM, !process.words.isEmpty else {
                return (found, [])
            }
            return (found, executables.values.flatMap(\.self))
        }
    }

    private func byCommand(_ words: [String]) -> [Int] {
        var found: [Int] = []
        for word in words {
            for (set, wanted) in commands[word] ?? []
            where !found.contains(set) && contains(words, inARow: wanted) { found.append(set) }
        }
        return found
    }

    private func byUnit(_ group: ControlGroup) -> [Int] {
        var found: [Int] = []
        for unit in group.units {
            for set in units[unit] ?? [] where !found.contains(set) { found.append(set) }
        }
        return found
    }
}

/// One process, read as far as the watched sets want to know it.
private struct Candidate {
    private let folder: String
    lazy var name: String? = try? Files.text("\(folder)/comm", limit: 4096)
    lazy var words =
        (try? Files.read("\(folder)/cmdline", limit: 1 << 18)).map { commandWords($0) } ?? []
    /// Who may not follow the link does not know: any name can be taken.
    lazy var executable = link()
    lazy var group = ControlGroup((try? Files.read("\(folder)/cgroup", limit: 65_536)) ?? [])

    init(folder: String) { self.folder = folder }

    private func link() -> Result<String, SystemError> {
        do throws(SystemError) { return .success(try Files.target(ofLink: "\(folder)/exe")) } catch {
            return .failure(error)
        }
    }

    /// The path of an executable that was replaced while it runs.
    static func withoutDeleted(_ path: String) -> String {
        let suffix = " (deleted)"
        return path.hasSuffix(suffix) ? String(path.dropLast(suffix.count)) : path
    }
}

extension ProcessWatchOptions {
    /// The file that holds its process id; `nil`: it is searched for.
    var pidfile: String? { if case .pidfile(let path) = match { path } else { nil } }
}
