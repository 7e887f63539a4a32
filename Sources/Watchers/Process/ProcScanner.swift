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
}

/// What it found.
struct ProcScanReport: Sendable {
    /// By the watched sets' names; `nil` if nothing had been started, so that nobody looked.
    var results: [String: ProcessScanResult]?
    /// The last process number given out, from /proc/loadavg.
    var lastPID: Int32?
}

/// Performs one scan.
struct ProcScanner {
    private let roots: FileRoots
    private let bootedAt: Int64
    private let pageBytes: Int64

    static func scan(_ order: ProcScanOrder) -> ProcScanReport {
        let lastPID = lastPID(order.roots)
        if let skip = order.skipIfLastPID, skip == lastPID {
            return ProcScanReport(results: nil, lastPID: lastPID)
        }
        return ProcScanReport(results: ProcScanner(order.roots).results(order.watched), lastPID: lastPID)
    }

    /// The fifth field of /proc/loadavg.
    private static func lastPID(_ roots: FileRoots) -> Int32? {
        (try? Files.text("\(roots.proc)/loadavg", limit: 256))?.split(separator: " ").last.flatMap {
            Int32($0)
        }
    }

    private init(_ roots: FileRoots) {
        self.roots = roots
        pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))
        let lines = (try? Files.text("\(roots.proc)/stat"))?.split(separator: "\n") ?? []
        bootedAt = lines.first { $0.hasPrefix("btime ") }.flatMap { Int64($0.dropFirst(6)) } ?? 0
    }

    private func results(_ watched: [ProcessWatchOptions]) -> [String: ProcessScanResult] {
        var results: [String: ProcessScanResult] = [:]
        for set in watched { results[set.name] = byFile(set) }
        let searched = watched.filter { if case .pidfile = $0.match { false } else { true } }
        guard !searched.isEmpty else { return results }
        let names: [String]
        do throws(SystemError) { names = try Files.names(in: roots.proc) } catch {
            for set in searched { results[set.name]?.trouble = .hidden(error.description) }
            return results
        }
        for pid in names.compactMap({ Int32($0) }).sorted() {
            var process = Candidate(folder: "\(roots.proc)/\(pid)")
            for set in searched {
                look(at: pid, &process, set, &results[set.name, default: .init(found: [])])
            }
        }
        return results
    }

    private func look(
        at pid: Int32, _ process: inout Candidate, _ set: ProcessWatchOptions,
        _ result: inout ProcessScanResult
    ) {
        switch process.matches(set.match) {
        case .no: break
        case .hidden: result.unreadable += 1
        case .yes: add(pid, to: &result)
        }
    }

    private func add(_ pid: Int32, to result: inout ProcessScanResult) {
        guard let stat = ProcScanner.stat(roots, pid), !stat.hasEnded else { return }
        result.residentBytes &+= stat.residentPages &* pageBytes
        result.found.append(identity(pid, stat))
    }

    /// A set whose process id is in a file.
    private func byFile(_ set: ProcessWatchOptions) -> ProcessScanResult {
        guard case .pidfile(let path) = set.match else { return ProcessScanResult(found: []) }
        var result = ProcessScanResult(found: [])
        do throws(SystemError) {
            let text = try Files.text(path, limit: 4096)
            guard let pid = Int32(text.prefix { !$0.isWhitespace }), pid > 0 else {
                result.trouble = .missing("\(path) holds no process id")
                return result
            }
            add(pid, to: &result)
        } catch {
            // What is not there, or is too large for a number holds no process id.
            let isNone = [ENOENT, ENOTDIR, EFBIG].contains(error.number)
            result.trouble = isNone ? .missing(error.description) : .hidden(error.description)
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

/// One process, read as far as the watched sets want to know it.
private struct Candidate {
    enum Match { case yes, no, hidden }

    let folder: String
    private lazy var name: String? = try? Files.text("\(folder)/comm", limit: 4096)
    private lazy var words =
        (try? Files.read("\(folder)/cmdline", limit: 1 << 18)).map { commandWords($0) } ?? []
    private lazy var executable = link()
    private lazy var group = ControlGroup((try? Files.read("\(folder)/cgroup", limit: 65_536)) ?? [])

    init(folder: String) { self.folder = folder }

    mutating func matches(_ match: ProcessWatchOptions.Match) -> Match {
        switch match {
        case .name(let wanted): return name == wanted ? .yes : .no
        case .command(let wanted): return contains(words, inARow: wanted) ? .yes : .no
        case .executable(let wanted): return matches(executable: wanted)
        case .unit(let wanted): return group.belongs(to: wanted) ? .yes : .no
        case .pidfile: return .no
        }
    }

    /// Who may not follow the link does not know: any name can be taken. Kernel threads, which are nobody's
    /// executable, have no command line.
    private mutating func matches(executable wanted: String) -> Match {
        switch executable {
        case .success(let path):
            let suffix = " (deleted)"
            return path == wanted || path == wanted + suffix ? .yes : .no
        case .failure(let error):
            guard error.number == EACCES || error.number == EPERM else { return .no }
            return words.isEmpty ? .no : .hidden
        }
    }

    private func link() -> Result<String, SystemError> {
        do throws(SystemError) { return .success(try Files.target(ofLink: "\(folder)/exe")) } catch {
            return .failure(error)
        }
    }
}
