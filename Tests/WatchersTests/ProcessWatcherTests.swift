// The process shell with real processes on the real loop, each fallback forced.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Synchronization
import Testing
import Wire

@testable import Reactor
@testable import Watchers

/// Heartbeat files, of which one hangs.
private final class Mount: Sendable {
    let gate = Gate()
    let isAsked = Mutex(false)
    let looks = Mutex(0)

    func look(at path: String) -> Result<WallTime, SystemError> {
        isAsked.withLock { $0 = true }
        if path == "/hung" { gate.wait() }
        looks.withLock { $0 += 1 }
        return .success(WallTime(nanoseconds: 1))
    }
}

@Suite(.serialized) struct ProcessWatcherTests {
    /// What a watcher reported, on a loop that is stepped until something holds.
    private final class Bench {
        let loop: EventLoop
        var reports: [String] = []
        private(set) var watcher: ProcessWatcher?

        init(
            _ watched: ProcessWatchOptions..., without: WithoutFeatures = WithoutFeatures(),
            roots: FileRoots = FileRoots(), scanPatience: Duration = .seconds(60),
            look: @escaping HeartbeatLooks.Look = HeartbeatLooks.ofFiles,
            readPidfile: @escaping PidfileReader.Read = PidfileText.read(at:),
            find: @escaping NameLookups.Find = ResolvedAddress.lookUp(host:port:),
            onReport: @escaping (String) -> Void = { _ in }
        ) throws {
            loop = try EventLoop()
            var options = AgentOptions()
            options.process.watched = watched
            options.process.scanEvery = .milliseconds(20)
            let context = try WatcherContext(
                loop: loop, worker: Worker(loop), logger: Logger(label: "test"), roots: roots,
                without: without,
                report: { [unowned self] in
                    let name = watched.count > 1 ? "\($0.subject.name) " : ""
                    let report = "\(name)\($0.status): \($0.reason)"
                    reports.append(report)
                    onReport(report)
                }, sample: { _ in },
                forget: { [unowned self] in reports.append("forgotten: \($0)") })
            watcher = try ProcessWatcher(
                context, options, scanPatience: scanPatience,
                lookUps: NameLookups(loop, mostAsked: 8, find: find), look: look, readPidfile: readPidfile)
            watcher?.start()
        }

        /// Steps the loop until a report holds; gives up after many steps.
        func wait(for report: String) throws -> Bool {
            try wait { reports.contains(report) }
        }

        func wait(until condition: () -> Bool) throws -> Bool {
            for _ in 0..<2000 where !condition() { try loop.step(atMost: .milliseconds(5)) }
            return condition()
        }
    }

    private func watch(_ mark: String) -> ProcessWatchOptions {
        ProcessWatchOptions(name: "child", match: .command([mark]))
    }

    @Test func `a kill is told with its signal, before the parent has waited`() throws {
        let pid = try child("holdfast-test-a")
        let bench = try Bench(watch("holdfast-test-a"))
        #expect(try bench.wait(for: "ok: running as pid \(pid)"))
        kill(pid, SIGKILL)
        #expect(try bench.wait(for: "critical: killed by SIGKILL (pid \(pid))"))
        reap(pid)
    }

    @Test func `without any telling the end is unknown and not delayed`() throws {
        let pid = try child("holdfast-test-b")
        var without = WithoutFeatures()
        without.exitByPIDFD = true
        without.exitByStat = true
        let bench = try Bench(watch("holdfast-test-b"), without: without)
        #expect(try bench.wait(for: "ok: running as pid \(pid)"))
        kill(pid, SIGKILL)
        #expect(try bench.wait(for: "critical: ended, exit: unknown (pid \(pid))"))
        reap(pid)
    }

    @Test(.enabled(if: kernelTellsExits)) func `what the kernel tells after the wait is told then`() throws {
        let pid = try child("holdfast-test-c")
        var without = WithoutFeatures()
        without.exitByStat = true
        let bench = try Bench(watch("holdfast-test-c"), without: without)
        #expect(try bench.wait(for: "ok: running as pid \(pid)"))
        kill(pid, SIGKILL)
        #expect(try bench.wait(for: "critical: ended, exit: unknown (pid \(pid))"))
        reap(pid)
        #expect(try bench.wait(for: "critical: killed by SIGKILL (pid \(pid))"))
    }

    @Test func `a successor is found`() throws {
        let first = try child("holdfast-test-d")
        let bench = try Bench(watch("holdfast-test-d"))
        #expect(try bench.wait(for: "ok: running as pid \(first)"))
        kill(first, SIGKILL)
        reap(first)
        let second = try child("holdfast-test-d")
        #expect(try bench.wait(for: "ok: running as pid \(second)"))
        kill(second, SIGKILL)
        reap(second)
    }

    @Test func `a heartbeat file on a mount that hangs holds up no other`() throws {
        let pid = try child("holdfast-test-g")
        defer {
            kill(pid, SIGKILL)
            reap(pid)
        }
        var (hung, well) = (watch("holdfast-test-g"), watch("holdfast-test-g"))
        (hung.name, hung.heartbeatFile, hung.probeEvery) = ("hung", "/hung", .milliseconds(10))
        (well.name, well.heartbeatFile, well.probeEvery) = ("well", "/well", .milliseconds(10))
        let mount = Mount()
        defer { mount.gate.open() }
        let bench = try Bench(hung, well) { mount.look(at: $0) }
        #expect(try bench.wait(for: "hung critical: no heartbeat: stat /hung: no answer"))
        let before = mount.looks.withLock(\.self)
        #expect(try bench.wait { mount.looks.withLock(\.self) > before + 2 })
        #expect(
            try bench.wait { bench.reports.contains { $0.hasPrefix("well critical: no heartbeat for more") } }
        )
    }

    @Test func `a name that no server answers for holds up no other`() throws {
        let pid = try child("holdfast-test-l")
        defer {
            kill(pid, SIGKILL)
            reap(pid)
        }
        var (hung, well) = (watch("holdfast-test-l"), watch("holdfast-test-l"))
        (hung.name, hung.tcp, hung.probeEvery) = ("hung", HostPort(host: "hung", port: 1), .milliseconds(10))
        (well.name, well.tcp, well.probeEvery) = ("well", HostPort(host: "well", port: 1), .milliseconds(10))
        let servers = Mount()
        defer { servers.gate.open() }
        let bench = try Bench(
            hung, well,
            find: { host, port in
                _ = servers.look(at: "/\(host)")
                return ResolvedAddress.lookUp(host: "127.0.0.1", port: port)
            })
        // Told by the second connection that is refused.
        let words = "well critical: does not accept connections at well:1: "
        #expect(try bench.wait { bench.reports.contains { $0.hasPrefix(words) } })
    }

    @Test func `a search that does not end is told, and what comes of it later too`() throws {
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try Files.makeFolder(roots.proc, mode: 0o700)
        // Whoever opens a pipe to read waits for somebody who writes.
        #expect(mkfifo("\(roots.proc)/loadavg", 0o600) == 0)
        let bench = try Bench(watch("holdfast-test-h"), roots: roots, scanPatience: .milliseconds(100))
        let words = "the search for processes has not ended for 0.1 s: /proc does not answer"
        #expect(try bench.wait(for: "unknown: \(words)"))
        rename("\(roots.proc)/loadavg", "\(roots.proc)/pipe")
        let writer = open("\(roots.proc)/pipe", O_RDWR | O_NONBLOCK)
        #expect(writer >= 0 && close(writer) == 0)
        #expect(try bench.wait(for: "critical: not running"))
    }

    @Test func `a search that did not end and then left out what had not changed is done again`() throws {
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try Files.makeFolder(roots.proc, mode: 0o700)
        #expect(mkfifo("\(roots.proc)/loadavg", 0o600) == 0)
        let bench = try Bench(watch("holdfast-test-i"), roots: roots, scanPatience: .milliseconds(100))
        /// Answers one search, once it reads; the next one reads another pipe.
        func answer() throws -> Bool {
            var writer: Int32 = -1
            let isRead = try bench.wait {
                if writer < 0 { writer = open("\(roots.proc)/loadavg", O_WRONLY | O_NONBLOCK) }
                return writer >= 0
            }
            guard isRead, mkfifo("\(roots.proc)/next", 0o600) == 0 else { return false }
            let pipe = Descriptor(owning: writer)
            guard rename("\(roots.proc)/next", "\(roots.proc)/loadavg") == 0 else { return false }
            return write(pipe.raw, "0.1 0.2 0.3 1/100 4242\n", 23) == 23
        }
        // From the third on it is left out if nothing was started since the one before.
        for _ in 0..<2 {
            #expect(try answer())
            #expect(try bench.wait { bench.reports.last == "critical: not running" })
        }
        #expect(try bench.wait { bench.reports.last?.hasPrefix("unknown: the search for processes") == true })
        #expect(try answer())
        #expect(try answer())
        #expect(try bench.wait { bench.reports.last == "critical: not running" })
    }

    @Test func `what is gone before it can be held is told so, and the next search has its time`() throws {
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        // No process has this number: it is above the largest (PID_MAX_LIMIT).
        let folder = "\(roots.proc)/4194305"
        for path in [roots.proc, folder] { try Files.makeFolder(path, mode: 0o700) }
        try put("holdfast-test-k\0", in: "\(folder)/cmdline")
        try put("4194305 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 250 4096 3 0\n", in: "\(folder)/stat")
        let place = "\(roots.proc)/loadavg"
        try put("0.1 0.2 0.3 1/100 4242\n", in: place)
        let pipe = "\(roots.proc)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        // The first search reads the file; the next one waits at the pipe.
        let bench = try Bench(
            watch("holdfast-test-k"), roots: roots,
            onReport: { report in
                guard report.hasPrefix("ok: running") else { return }
                rename(pipe, place)
            })
        let end = "critical: ended, exit: unknown (pid 4194305)"
        #expect(try bench.wait(for: end))
        #expect(bench.reports.last == end)
        for _ in 0..<20 { try bench.loop.step(atMost: .milliseconds(5)) }
        #expect(bench.reports.last == end, "\(bench.reports)")
        let writer = Descriptor(owning: open(place, O_RDWR | O_NONBLOCK))
        #expect(writer.raw >= 0)
    }

    @Test func `a pidfile that is a pipe is waited for by nobody`() throws {
        let path = "/tmp/holdfast-pidfile-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        #expect(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        let bench = try Bench(ProcessWatchOptions(name: "child", match: .pidfile(path)))
        let words = "read \(path), which is no regular file: No such device"
        #expect(
            try bench.wait(
                for: "unknown: \(words); let the agent's user read it, or use match_command"))
    }

    @Test func `a pidfile on a mount that hangs leaves all other sets as they are`() throws {
        let pid = try child("holdfast-test-i")
        defer {
            kill(pid, SIGKILL)
            reap(pid)
        }
        let mount = Mount()
        defer { mount.gate.open() }
        let hung = ProcessWatchOptions(name: "hung", match: .pidfile("/hung"))
        let well = ProcessWatchOptions(name: "well", match: .pidfile("/well"))
        var searched = watch("holdfast-test-i")
        searched.name = "searched"
        let bench = try Bench(
            hung, well, searched,
            readPidfile: { path in
                _ = mount.look(at: path)
                return .text("\(pid)\n")
            })
        #expect(try bench.wait(for: "hung unknown: /hung does not answer"))
        #expect(bench.reports.contains("well ok: running as pid \(pid)"))
        #expect(bench.reports.contains("searched ok: running as pid \(pid)"))
        // It is not waited for again, nor asked by another thread.
        let before = mount.looks.withLock(\.self)
        #expect(try bench.wait { mount.looks.withLock(\.self) > before + 2 })
        mount.gate.open()
        #expect(try bench.wait(for: "hung ok: running as pid \(pid)"))
    }

    @Test func `what was found by the old options says nothing of a set that has others by now`() throws {
        let pid = try child("holdfast-test-j")
        defer {
            kill(pid, SIGKILL)
            reap(pid)
        }
        let mount = Mount()
        defer { mount.gate.open() }
        let gone = ProcessWatchOptions(name: "child", match: .pidfile("/hung"))
        let bench = try Bench(
            gone,
            readPidfile: { path in
                guard path == "/hung" else { return .text("\(pid)\n") }
                _ = mount.look(at: path)
                return .text("nobody\n")
            })
        #expect(try bench.wait { mount.isAsked.withLock(\.self) })
        var options = AgentOptions()
        options.process.watched = [ProcessWatchOptions(name: "child", match: .pidfile("/well"))]
        bench.watcher?.reconfigure(options)
        mount.gate.open()
        #expect(try bench.wait(for: "ok: running as pid \(pid)"))
        #expect(!bench.reports.contains { $0.hasPrefix("critical") }, "\(bench.reports)")
    }

    @Test func `a set that is no longer configured is forgotten`() throws {
        let bench = try Bench(watch("holdfast-test-e"))
        #expect(try bench.wait(for: "critical: not running"))
        bench.watcher?.reconfigure(AgentOptions())
        #expect(bench.reports.last == "forgotten: process/child")
    }
}

struct HeartbeatLooksTests {
    @Test func `a path that hangs is looked at once, for all who ask`() throws {
        let mount = Mount()
        defer { mount.gate.open() }
        let loop = try EventLoop()
        let looks = try HeartbeatLooks(loop) { mount.look(at: $0) }
        var answers: [HeartbeatLooks.Answer] = []
        for _ in 0...HeartbeatLooks.mostWaiting { looks.look(at: "/hung") { answers.append($0) } }
        #expect(answers == [nil])
        mount.gate.open()
        for _ in 0..<2000 where answers.count <= HeartbeatLooks.mostWaiting {
            try loop.step(atMost: .milliseconds(5))
        }
        #expect(answers.count == HeartbeatLooks.mostWaiting + 1)
        #expect(mount.looks.withLock(\.self) == 1)
    }

    @Test func `a file that was not looked at has not failed`() {
        #expect(LivenessProber.Answer(nil) == nil)
        let failure = SystemError("stat /f", number: ENOENT)
        #expect(
            LivenessProber.Answer(.failure(failure)) == .heartbeat(nil, "stat /f: No such file or directory"))
        let time = WallTime(nanoseconds: 1)
        #expect(LivenessProber.Answer(.success(time)) == .heartbeat(time, ""))
    }
}

/// A child that waits for its end, under a command line of its own. It inherits blocked signals, so only
/// SIGKILL is sure to end it.
private func child(_ mark: String) throws -> pid_t {
    var pid = pid_t()
    let words = ["/bin/sh", "-c", "read line", mark]
    let pointers = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { for index in pointers.indices { unsafe free(pointers[index]) } }
    // An end of a pipe that nobody writes to keeps it waiting.
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw SystemError("pipe", number: errno) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    let failure = unsafe posix_spawn(&pid, "/bin/sh", &actions, nil, pointers, environ)
    guard failure == 0 else { throw SystemError("posix_spawn", number: failure) }
    close(ends[0])
    return pid
}

private func reap(_ pid: pid_t) {
    var status: Int32 = 0
    _ = unsafe waitpid(pid, &status, 0)
}

private func put(_ text: String, in path: String) throws {
    let descriptor = Descriptor(owning: unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600))
    let bytes = Array(text.utf8)
    let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor.raw, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw SystemError("write \(path)", number: errno) }
}

/// How a process ended, while its parent waits for it between one look and the next: a pipe in place of its stat file,
/// in a /proc of its own, stops the looks there.
@Suite(.serialized) struct HeldProcessTests {
    private let loop: EventLoop
    private let worker: Worker
    private let context: WatcherContext
    private let pid: pid_t
    private let folder: String

    init() throws {
        loop = try EventLoop()
        worker = try Worker(loop)
        pid = try child("holdfast-test-f")
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        folder = "\(roots.proc)/\(pid)"
        for path in [roots.proc, folder] { try Files.makeFolder(path, mode: 0o700) }
        context = try WatcherContext(
            loop: loop, worker: worker, logger: Logger(label: "test"), roots: roots, report: { _ in },
            sample: { _ in }, forget: { _ in })
    }

    /// What the holder of the killed process says of its end.
    ///
    /// - Parameter whileRead: done once the stat file is being read, which then holds what this returns.
    private func end(_ whileRead: @escaping @Sendable (pid_t) -> String) throws -> ProcessEnd {
        let stat = "\(folder)/stat"
        try put(HeldProcessTests.stat(pid, "S"), in: stat)
        var hasEnded = false
        let identity = ProcessIdentity(pid: pid, startTicks: 250)
        let held = try HeldProcess(context, identity) { _ in hasEnded = true }
        #expect(unlink(stat) == 0 && mkfifo(stat, 0o600) == 0)
        kill(pid, SIGKILL)
        for _ in 0..<2000 where !hasEnded { try loop.step(atMost: .milliseconds(5)) }
        var isWritten = false
        worker.perform({ [pid] in
            // Waits for who reads.
            let pipe = Descriptor(owning: unsafe open(stat, O_WRONLY))
            let bytes = Array(whileRead(pid).utf8)
            return unsafe bytes.withUnsafeBytes { unsafe write(pipe.raw, $0.baseAddress, $0.count) }
        }) { _ in isWritten = true }
        let end = held.end
        // For the worker, if nobody else has read.
        let reader = Descriptor(owning: unsafe open(stat, O_RDONLY | O_NONBLOCK))
        for _ in 0..<2000 where !isWritten { try loop.step(atMost: .milliseconds(5)) }
        #expect(hasEnded && isWritten && reader.raw >= 0)
        return end
    }

    private static func stat(_ pid: pid_t, _ state: String) -> String {
        let zeros = String(repeating: "0 ", count: 28)
        return "\(pid) (a) \(state) 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 250 4096 3 \(zeros)\n"
    }

    @Test(.enabled(if: kernelTellsExits)) func `what /proc shows no more, the descriptor tells by then`()
        throws
    {
        let end = try end {
            reap($0)
            return ""
        }
        #expect(end == .killed(signal: SIGKILL))
    }

    @Test func `a status that is hidden is no exit with status 0`() throws {
        // As a link that may not be followed: the error is another one than ENOENT.
        let link = "\(folder)/exe"
        try put("", in: link)
        let end = try end {
            reap($0)
            unlink(link)
            return HeldProcessTests.stat($0, "Z")
        }
        #expect(end == .unknown)
    }
}

/// Whether PIDFD_INFO_EXIT exists: Linux 6.15.
private let kernelTellsExits: Bool = {
    let release = (try? Files.text("/proc/sys/kernel/osrelease")) ?? ""
    let numbers = release.split { !$0.isNumber }.compactMap { Int($0) }
    return numbers.count >= 2 && (numbers[0], numbers[1]) >= (6, 15)
}()

struct ProcScannerTests {
    /// A /proc of two processes, in a folder of its own.
    private func tree() throws -> FileRoots {
        let folder = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        guard unsafe mkdir(folder, 0o700) == 0 else { throw SystemError("mkdir \(folder)", number: errno) }
        try put("cpu 1 2 3\nbtime 1000\n", in: "\(folder)/stat")
        try put("0.1 0.2 0.3 1/100 4242\n", in: "\(folder)/loadavg")
        for (pid, name, state) in [(10, "feed", "S"), (11, "feed", "Z"), (12, "other", "S")] {
            guard unsafe mkdir("\(folder)/\(pid)", 0o700) == 0 else {
                throw SystemError("mkdir", number: errno)
            }
            try put(name + "\n", in: "\(folder)/\(pid)/comm")
            try put("/usr/bin/\(name)\0--line\0A\0", in: "\(folder)/\(pid)/cmdline")
            let stat = "\(pid) (\(name)) \(state) 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 250 4096 3 0\n"
            try put(stat, in: "\(folder)/\(pid)/stat")
        }
        try put("12\n", in: "\(folder)/feed.pid")
        var roots = FileRoots()
        roots.proc = folder
        return roots
    }

    private func scan(_ roots: FileRoots, _ match: ProcessWatchOptions.Match) -> ProcessScanResult? {
        let watch = ProcessWatchOptions(name: "x", match: match)
        let order = ProcScanOrder(roots: roots, watched: [watch])
        guard let path = watch.pidfile else { return ProcScanner.scan(order).results?["x"] }
        return ProcScanner.results(of: order, in: [path: .read(at: path)], bootedAt: nil)["x"]
    }

    @Test func `processes are found by name, words and pidfile, those that have ended are not`() throws {
        let roots = try tree()
        let named = try #require(scan(roots, .name("feed")))
        #expect(named.found == [ProcessIdentity(pid: 10, startTicks: 250)])
        #expect(named.found.first?.startedAt == WallTime(nanoseconds: 1_002_500_000_000))
        #expect(named.residentBytes == 3 * Int64(sysconf(Int32(_SC_PAGESIZE))))
        #expect(scan(roots, .command(["--line", "A"]))?.found.map(\.pid) == [10, 12])
        #expect(scan(roots, .pidfile("\(roots.proc)/feed.pid"))?.found.map(\.pid) == [12])
        let noNumber = "\(roots.proc)/stat holds no process id"
        #expect(scan(roots, .pidfile("\(roots.proc)/stat"))?.trouble == .missing(noNumber))
        let nowhere = "open /nowhere: No such file or directory"
        #expect(scan(roots, .pidfile("/nowhere"))?.trouble == .missing(nowhere))
        let folder = "read \(roots.proc): Is a directory"
        #expect(scan(roots, .pidfile(roots.proc))?.trouble == .hidden(folder))
    }

    @Test func `a scan is left out when no process number was given out since`() throws {
        let roots = try tree()
        let watch = ProcessWatchOptions(name: "x", match: .name("feed"))
        let skipped = ProcScanner.scan(ProcScanOrder(roots: roots, watched: [watch], skipIfLastPID: 4242))
        #expect(skipped.results == nil)
        let made = ProcScanner.scan(ProcScanOrder(roots: roots, watched: [watch], skipIfLastPID: 4241))
        #expect(made.results != nil && made.lastPID == 4242)
    }
}
