// The disk shell with the real loop and threads: /proc and /sys are folders of the test, the file systems are this
// machine's.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Watchers

/// A /proc and a /sys that a test writes.
private final class Tree {
    let folder: String

    init() throws {
        folder = "/tmp/holdfast-disk-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        for part in [
            "", "/proc", "/proc/self", "/sys", "/sys/class", "/sys/class/block", "/sys/dev", "/sys/dev/block",
            "/sys/fs",
            "/sys/fs/ext4",
        ] { try Files.makeFolder(folder + part, mode: 0o700) }
    }

    deinit { Tree.remove(folder) }

    private static func remove(_ path: String) {
        guard unsafe unlink(path) != 0 else { return }
        for name in (try? Files.names(in: path)) ?? [] { remove("\(path)/\(name)") }
        unsafe rmdir(path)
    }

    var roots: FileRoots {
        var roots = FileRoots()
        (roots.proc, roots.sys) = ("\(folder)/proc", "\(folder)/sys")
        return roots
    }

    func write(_ path: String, _ text: String) throws {
        try Files.write(
            Array(text.utf8), to: "\(folder)/\(path)", .init(mode: 0o600), replacing: true, durably: false)
    }

    /// A disk, or a partition of one.
    func addDevice(_ name: String, _ number: String, partOf disk: String? = nil, below: [String] = []) throws
    {
        let place = "\(folder)/sys/devices/" + (disk.map { "\($0)/" } ?? "") + name
        try Files.makeFolder("\(folder)/sys/devices", mode: 0o700)
        try Files.makeFolder(place, mode: 0o700)
        if disk != nil {
            try Files.write([0x31], to: "\(place)/partition", .init(mode: 0o600), replacing: true)
        }
        if !below.isEmpty { try Files.makeFolder("\(place)/slaves", mode: 0o700) }
        for other in below { try Files.makeFolder("\(place)/slaves/\(other)", mode: 0o700) }
        unsafe symlink(place, "\(folder)/sys/class/block/\(name)")
        unsafe symlink(place, "\(folder)/sys/dev/block/\(number)")
    }

    func removeDevice(_ name: String, _ number: String) {
        unsafe unlink("\(folder)/sys/class/block/\(name)")
        unsafe unlink("\(folder)/sys/dev/block/\(number)")
    }

    /// `sda1` below `/tmp`, which is a real folder to ask, and what else is wanted.
    func mounts(_ more: String = "", options: String = "rw") throws {
        try write("proc/self/mountinfo", "1 0 8:1 / /tmp rw - ext4 /dev/sda1 \(options)\n\(more)")
    }

    func statistics(_ names: [String]) throws {
        try write("proc/diskstats", names.map { " 8 0 \($0) 1 2 3 4 5 6 7 8 0 10 11\n" }.joined())
    }
}

/// What a watcher reported, on a loop that is stepped until something holds.
private final class Bench {
    let loop: EventLoop
    var states: [String: String] = [:]
    var dependencies: [String: [String]] = [:]
    private(set) var watcher: DiskWatcher?

    init(_ tree: Tree, _ options: AgentOptions, asking: DiskWatcher.Asking? = nil) throws {
        loop = try EventLoop()
        let context = try WatcherContext(
            loop: loop, worker: Worker(loop), logger: Logger(label: "test"), roots: tree.roots,
            report: { [unowned self] in
                states[$0.subject.name] = "\($0.status): \($0.reason)"
                dependencies[$0.subject.name] = $0.dependsOn.map(\.name)
            }, sample: { _ in },
            forget: { [unowned self] in states[$0.name] = "forgotten" })
        watcher =
            if let asking {
                try DiskWatcher(context, options, asking: asking)
            } else {
                try DiskWatcher(context, options)
            }
        watcher?.start()
    }

    /// Steps the loop until a subject's state begins so; gives up after many steps.
    func wait(_ name: String, _ state: String) throws -> Bool {
        for _ in 0..<2000 where states[name]?.hasPrefix(state) != true {
            try loop.step(atMost: .milliseconds(5))
        }
        return states[name]?.hasPrefix(state) == true
    }
}

private func options(_ change: (inout DiskOptions) -> Void = { _ in }) -> AgentOptions {
    var options = AgentOptions()
    options.disk.pollEvery = .milliseconds(20)
    // The machine that the tests run on may be as full as it likes.
    (options.disk.space.warning, options.disk.space.critical) = (nil, nil)
    (options.disk.inodes.warning, options.disk.inodes.critical) = (nil, nil)
    change(&options.disk)
    return options
}

@Suite(.serialized) struct DiskWatcherTests {
    @Test func `a mount stands on its disk, and an unmounted one is forgotten`() throws {
        let tree = try Tree()
        try tree.addDevice("sda", "8:0")
        try tree.addDevice("sda1", "8:1", partOf: "sda")
        try tree.statistics(["sda", "sda1"])
        try tree.mounts()
        let bench = try Bench(tree, options())
        #expect(try bench.wait("/tmp", "ok: ext4 on /dev/sda1"))
        #expect(try bench.wait("sda", "ok: working"))
        #expect(bench.dependencies["/tmp"] == ["sda"])
        #expect(bench.states.keys.sorted() == ["/tmp", "sda"])
        try tree.write("proc/self/mountinfo", "")
        #expect(try bench.wait("/tmp", "forgotten"))
        #expect(try bench.wait("sda", "forgotten"))
    }

    @Test func `the host's mounts are read when ours changed without a word, or while one is out of sight`()
        throws
    {
        let tree = try Tree()
        try Files.makeFolder("\(tree.folder)/proc/1", mode: 0o700)
        try tree.statistics(["sda1", "sda2"])
        let choice = MountChoice(DiskOptions())
        var order = DiskSurveyOrder(roots: tree.roots, choice: choice, devices: [])
        func host(_ ours: String, _ hidden: String? = nil) throws {
            let more = hidden.map { "2 0 8:2 / /srv rw - ext4 /dev/sda2 \($0)\n" } ?? ""
            try tree.write("proc/1/mountinfo", "1 0 8:1 / /tmp rw - ext4 /dev/sda1 \(ours)\n\(more)")
        }
        func look() -> [String] {
            let survey = DiskSurvey.take(order)
            (order.previous, order.isUnchanged) = (survey, true)
            return survey.mounts.map { "\($0.mount.name) \($0.mount.isReadOnly ? "ro" : "rw")" }
        }
        try tree.mounts()
        try host("rw", "rw")
        #expect(look() == ["/srv rw", "/tmp rw"])
        try host("rw", "ro")
        #expect(look() == ["/srv ro", "/tmp rw"])
        try host("rw")
        #expect(look() == ["/tmp rw"])
        try host("ro")
        #expect(look() == ["/tmp rw"])
        try tree.mounts(options: "ro")
        #expect(look() == ["/tmp ro"])
    }

    @Test func `an array below a volume below a mount explains it, and its disks the array`() throws {
        let tree = try Tree()
        for (name, number) in [("sda", "8:0"), ("sdb", "8:16")] { try tree.addDevice(name, number) }
        try tree.addDevice("md0", "9:0", below: ["sda", "sdb"])
        try tree.addDevice("dm-0", "253:0", below: ["md0"])
        try tree.statistics(["sda", "sdb", "md0", "dm-0"])
        try tree.write("proc/mdstat", "md0 : active raid1 sdb[1](F) sda[0]\n  1 blocks [2/1] [U_]\n")
        try tree.write("proc/self/mountinfo", "1 0 253:0 / /tmp rw - ext4 /dev/mapper/x rw\n")
        let bench = try Bench(tree, options())
        #expect(try bench.wait("md0", "critical: 1 of 2 members"))
        #expect(try bench.wait("/tmp", "ok"))
        #expect(bench.dependencies["/tmp"] == ["md0", "sda", "sdb"])
        #expect(bench.dependencies["md0"] == ["sda", "sdb"])
        try tree.write("proc/mdstat", "md0 : active raid1 sdb[1] sda[0]\n  1 blocks [2/2] [UU]\n")
        #expect(try bench.wait("md0", "ok"))
    }

    @Test func `a device that vanishes under a mount is told of both`() throws {
        let tree = try Tree()
        try tree.addDevice("sda", "8:0")
        try tree.addDevice("sda1", "8:1", partOf: "sda")
        try tree.statistics(["sda", "sda1"])
        try tree.mounts()
        let bench = try Bench(tree, options())
        #expect(try bench.wait("/tmp", "ok"))
        tree.removeDevice("sda", "8:0")
        tree.removeDevice("sda1", "8:1")
        try tree.statistics(["sdb"])
        #expect(try bench.wait("sda", "critical: gone, and /tmp is mounted from it"))
        #expect(try bench.wait("/tmp", "critical: its device sda1 is gone while it is mounted"))
        #expect(bench.dependencies["/tmp"] == ["sda"])
    }

    @Test func `a configured device and a configured mount are missed`() throws {
        let tree = try Tree()
        try tree.statistics(["sdb"])
        try tree.mounts()
        let bench = try Bench(
            tree,
            options {
                $0.devices = ["nvme7n1"]
                $0.include = ["/nowhere"]
            })
        #expect(try bench.wait("nvme7n1", "critical: gone, and it is configured"))
        #expect(try bench.wait("/nowhere", "critical: not mounted"))
    }

    @Test func `read-only by the superblock, and errors that ext4 counts`() throws {
        let tree = try Tree()
        try tree.addDevice("sda1", "8:1")
        try Files.makeFolder("\(tree.folder)/sys/fs/ext4/sda1", mode: 0o700)
        try tree.write("sys/fs/ext4/sda1/errors_count", "0\n")
        try tree.statistics(["sda1"])
        try tree.mounts()
        let bench = try Bench(tree, options())
        #expect(try bench.wait("/tmp", "ok"))
        try tree.write("sys/fs/ext4/sda1/errors_count", "3\n")
        #expect(try bench.wait("/tmp", "critical: ext4 has noted new errors (3 in all)"))
        try tree.mounts(options: "ro")
        #expect(try bench.wait("/tmp", "critical: the kernel has made it read-only"))
    }

    @Test func `without any list it says what it cannot see`() throws {
        let tree = try Tree()
        let bench = try Bench(
            tree,
            options {
                $0.include = ["/data"]
                $0.devices = ["sda"]
            })
        #expect(try bench.wait("sda", "unknown: open \(tree.folder)/proc/diskstats: No such file"))
        #expect(try bench.wait("/data", "unknown: open \(tree.folder)/proc/self/mountinfo: No such file"))
    }

    @Test func `a write probe reaches a disk, and names what forbids it`() throws {
        let tree = try Tree()
        try tree.mounts()
        var (good, bad) = (DiskProbeOptions(name: "good"), DiskProbeOptions(name: "bad"))
        (good.folder, bad.folder) = (tree.folder, "/nonexistent")
        good.latency = LimitOptions()
        (good.every, bad.every) = (.milliseconds(100), .milliseconds(100))
        let probes = [good, bad]
        let bench = try Bench(tree, options { $0.probes = probes })
        #expect(try bench.wait("good", "ok: writes reach the disk"))
        #expect(bench.dependencies["good"] == ["/tmp"])
        #expect(try bench.wait("bad", "unknown: cannot be tried: open /nonexistent/.holdfast-probe"))
        #expect(Files.exists("\(tree.folder)/.holdfast-probe"))
    }

    @Test func `other options keep what stays and forget the rest`() throws {
        let tree = try Tree()
        try tree.statistics(["sda"])
        try tree.mounts("2 1 8:2 / /usr rw - ext4 /dev/sda2 rw\n")
        let bench = try Bench(tree, options())
        #expect(try bench.wait("/usr", "ok"))
        bench.watcher?.reconfigure(options { $0.exclude = ["/usr"] })
        #expect(try bench.wait("/usr", "forgotten"))
        #expect(bench.states["/tmp"] == "ok: ext4 on /dev/sda1")
        bench.watcher?.reconfigure(options { $0.enabled = false })
        #expect(try bench.wait("/tmp", "forgotten"))
    }
}

/// File systems that do not answer until a gate is opened.
@Suite(.serialized) struct HangingMountTests {
    private let small = FileSystemUsage(sizeBytes: 100, freeBytes: 90, availableBytes: 90)

    @Test func `a hang is told also when the loop was away as it was to be`() throws {
        let (tree, gate, small) = (try Tree(), Gate(), small)
        defer { gate.open() }
        try tree.mounts()
        let bench = try Bench(tree, options { $0.hangAfter = .milliseconds(100) }) { _ in
            gate.wait()
            return .success(small)
        }
        #expect(try bench.wait("/tmp", "unknown: not asked yet"))
        usleep(600_000)
        #expect(try bench.wait("/tmp", "critical: does not answer for"))
        gate.open()
        #expect(try bench.wait("/tmp", "ok"))
    }

    @Test func `what is asked while disks are no longer to be watched brings none back`() throws {
        let (tree, gate, small) = (try Tree(), Gate(), small)
        defer { gate.open() }
        try tree.statistics(["sda"])
        try tree.mounts()
        let bench = try Bench(tree, options()) { _ in
            gate.wait()
            return .success(small)
        }
        #expect(try bench.wait("/tmp", "unknown: not asked yet"))
        bench.watcher?.reconfigure(options { $0.enabled = false })
        #expect(bench.states["/tmp"] == "forgotten")
        gate.open()
        // Long enough for another look, were there one.
        for _ in 0..<300 { try bench.loop.step(atMost: .milliseconds(5)) }
        #expect(bench.states["/tmp"] == "forgotten")
    }

    @Test func `a mount that went out of sight before it answered is asked again when it is back`() throws {
        let (tree, gate, small) = (try Tree(), Gate(), small)
        defer { gate.open() }
        try Files.makeFolder("\(tree.folder)/proc/1", mode: 0o700)
        try tree.write("proc/1/mountinfo", "1 0 8:1 / /tmp rw - ext4 /dev/sda1 rw\n")
        try tree.mounts()
        let bench = try Bench(tree, options()) { _ in
            gate.wait()
            return .success(small)
        }
        #expect(try bench.wait("/tmp", "unknown: not asked yet"))
        try tree.write("proc/self/mountinfo", "")
        #expect(try bench.wait("/tmp", "unknown: mounted on the host, and out of the agent's sight"))
        gate.open()
        // The answer comes while nobody can use it.
        for _ in 0..<50 { try bench.loop.step(atMost: .milliseconds(5)) }
        try tree.mounts()
        #expect(try bench.wait("/tmp", "ok: ext4 on /dev/sda1"))
    }
}

@Suite(.serialized) struct PatientCallsTests {
    private func step(_ loop: EventLoop, _ calls: PatientCalls, until holds: () -> Bool) throws -> Bool {
        for _ in 0..<5000 where !holds() {
            try loop.step(atMost: .milliseconds(2))
            calls.tick()
        }
        return holds()
    }

    @Test func `a call that hangs holds up no other, and is taken when it returns`() throws {
        let loop = try EventLoop()
        // Long enough for a call that does nothing, on a machine that is busy.
        let calls = PatientCalls(loop, grace: .milliseconds(300))
        let gate = Gate()
        defer { gate.open() }
        var (done, begun): ([Int], Int) = ([], 0)
        calls.perform({ gate.wait() }) { _ in done.append(0) }
        for number in 1...20 {
            calls.perform({ number }, begun: { begun += 1 }) { done.append($0 ?? -1) }
        }
        #expect(try step(loop, calls) { done.count == 20 })
        #expect(done == Array(1...20) && calls.stuckCount == 1)
        #expect(begun == 40)
        gate.open()
        #expect(try step(loop, calls) { done.count == 21 })
        #expect(calls.stuckCount == 0)
    }

    @Test func `so many hang and no more; the rest is told that it was not asked`() throws {
        let loop = try EventLoop()
        let calls = PatientCalls(loop, grace: .milliseconds(1))
        let gate = Gate()
        var (refused, returned) = (0, 0)
        for _ in 0..<(PatientCalls.mostStuck + 4) {
            calls.perform({ gate.wait() }) { if $0 == nil { refused += 1 } else { returned += 1 } }
        }
        #expect(try step(loop, calls) { refused == 4 })
        #expect(calls.stuckCount == PatientCalls.mostStuck)
        var looks = 0
        for look in 1...2 {
            calls.perform(isVital: true, { true }) { if $0 == true { looks += 1 } }
            #expect(try step(loop, calls) { looks == look })
        }
        gate.open()
        #expect(try step(loop, calls) { returned == PatientCalls.mostStuck })
        calls.perform({ 1 }) { _ in returned += 1 }
        #expect(try step(loop, calls) { returned == PatientCalls.mostStuck + 1 })
    }
}
