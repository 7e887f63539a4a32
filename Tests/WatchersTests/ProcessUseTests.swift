// What processes use and whether they work, as dialogues; and the decoding of what the kernel says of both.
import Basics
import Configuration
import Glibc
import Linux
import Testing
import Wire

@testable import Watchers

struct ProcessUseTests {
    private func machine(_ change: (inout ProcessWatchOptions) -> Void) -> ProcessMachine {
        var options = ProcessWatchOptions(name: "feed", match: .name("feed"))
        change(&options)
        var machine = ProcessMachine(options)
        _ = machine.scanned(.init(found: [ProcessIdentity(pid: 7, startTicks: 100)]))
        return machine
    }

    private func said(_ actions: [ProcessAction]) -> [String] {
        actions.compactMap {
            if case .report(let finding) = $0 { "\(finding.status): \(finding.reason)" } else { nil }
        }
    }

    private func measure(
        _ mebibytes: Int64 = 1, threads: Int64 = 1, descriptors: Int64? = 10, of limit: Int64? = 100
    ) -> ProcessMeasure {
        ProcessMeasure(
            residentBytes: mebibytes << 20, threads: threads, descriptors: descriptors, descriptorLimit: limit
        )
    }

    @Test func `memory over its limits is told as it was then, and cleared lower`() {
        var machine = machine {
            $0.rssBytes = LimitOptions(warning: Double(100 << 20), critical: Double(200 << 20))
        }
        #expect(machine.measured([measure(99)], at: at(0)) == [])
        #expect(
            said(machine.measured([measure(60), measure(41)], at: at(1))) == [
                "warning: 101 MiB of resident memory"
            ])
        // The number dances, and that is no news.
        #expect(machine.measured([measure(102)], at: at(2)) == [])
        #expect(said(machine.measured([measure(210)], at: at(3))) == ["critical: 210 MiB of resident memory"])
        #expect(said(machine.measured([measure(50)], at: at(4))) == ["ok: running as pid 7"])
    }

    @Test func `descriptors are judged by the process that has the fewest left, and by default`() {
        var machine = machine { _ in }
        let many = measure(descriptors: 96)
        #expect(
            said(machine.measured([measure(), many], at: at(0))) == [
                "critical: 96.0 % of its descriptors in use"
            ])
        // Those that are hidden are not judged.
        #expect(said(machine.measured([measure(descriptors: nil)], at: at(1))) == ["ok: running as pid 7"])
        #expect(machine.measured([measure(of: nil)], at: at(2)) == [])
        #expect(machine.measured([measure(descriptors: 1 << 40, of: 0)], at: at(3)) == [])
    }

    @Test func `threads have a limit, and an end clears it`() {
        var machine = machine { $0.threads = LimitOptions(warning: 10) }
        #expect(said(machine.measured([measure(threads: 12)], at: at(0))) == ["warning: 12 threads"])
        let ended = machine.ended(ProcessIdentity(pid: 7, startTicks: 100), .exited(1))
        #expect(said(ended) == ["critical: exited with status 1 (pid 7)"])
        let next = machine.scanned(.init(found: [ProcessIdentity(pid: 8, startTicks: 200)]))
        #expect(said(next) == ["ok: running as pid 8"])
    }

    @Test func `a connection that is refused twice in a row is critical, one that is accepted ends it`() {
        var machine = machine { $0.tcp = HostPort(host: "127.0.0.1", port: 5432) }
        #expect(machine.connected(.tcp, "connect: Connection refused") == [])
        let words = "critical: does not accept connections at 127.0.0.1:5432: connect: Connection refused"
        #expect(said(machine.connected(.tcp, "connect: Connection refused")) == [words])
        #expect(machine.connected(.tcp, "connect: Connection refused") == [])
        #expect(said(machine.connected(.tcp, nil)) == ["ok: running as pid 7"])
        #expect(machine.connected(.tcp, "x") == [])
        #expect(machine.connected(.tcp, nil) == [])
    }

    @Test func `a heartbeat that stops is critical, and a step of the wall clock is none`() {
        var machine = machine {
            $0.heartbeatFile = "/run/x"
            $0.heartbeatWithin = .seconds(5)
        }
        func wall(_ seconds: Int64) -> WallTime { WallTime(nanoseconds: seconds * 1_000_000_000) }
        #expect(machine.heartbeat(wall(100), "", wall: wall(101), at: at(1000)) == [])
        // The wall clock jumps by an hour; the file does not.
        #expect(machine.heartbeat(wall(100), "", wall: wall(3701), at: at(2000)) == [])
        #expect(machine.heartbeat(wall(100), "", wall: wall(3704), at: at(5000)) == [])
        let late = machine.heartbeat(wall(100), "", wall: wall(3705), at: at(5001))
        #expect(said(late) == ["critical: no heartbeat for more than 5s in /run/x"])
        #expect(
            said(machine.heartbeat(wall(3706), "", wall: wall(3706), at: at(6000))) == [
                "ok: running as pid 7"
            ])
        #expect(
            machine.heartbeat(nil, "stat /run/x: No such file or directory", wall: wall(0), at: at(7000))
                == [])
        let gone = machine.heartbeat(
            nil, "stat /run/x: No such file or directory", wall: wall(0), at: at(8000))
        #expect(said(gone) == ["critical: no heartbeat: stat /run/x: No such file or directory"])
    }

    @Test func `a heartbeat file that is old when the watch begins is old`() {
        var machine = machine { $0.heartbeatFile = "/run/x" }
        let old = machine.heartbeat(
            WallTime(nanoseconds: 0), "", wall: WallTime(nanoseconds: 60_000_000_000), at: at(0))
        #expect(said(old) == ["critical: no heartbeat for more than 5s in /run/x"])
    }

    @Test func `a heartbeat file that the last process left is no older than the next one`() {
        var machine = machine { $0.heartbeatFile = "/run/x" }
        func wall(_ seconds: Int64) -> WallTime { WallTime(nanoseconds: seconds * 1_000_000_000) }
        #expect(machine.heartbeat(wall(100), "", wall: wall(101), at: at(1000)) == [])
        _ = machine.ended(ProcessIdentity(pid: 7, startTicks: 100), .exited(1))
        _ = machine.scanned(.init(found: [ProcessIdentity(pid: 8, startTicks: 200)]))
        #expect(machine.heartbeat(wall(100), "", wall: wall(111), at: at(11_000)) == [])
        #expect(machine.heartbeat(wall(100), "", wall: wall(116), at: at(16_000)) == [])
        let late = machine.heartbeat(wall(100), "", wall: wall(117), at: at(16_001))
        #expect(said(late) == ["critical: no heartbeat for more than 5s in /run/x"])
    }

    @Test func `a heartbeat file that went with the last process may come with the next one`() {
        var machine = machine { $0.heartbeatFile = "/run/x" }
        func look(_ second: Int64) -> [ProcessAction] {
            machine.heartbeat(
                nil, "No such file or directory", wall: WallTime(nanoseconds: second * 1_000_000_000),
                at: at(1000 * second))
        }
        _ = machine.ended(ProcessIdentity(pid: 7, startTicks: 100), .exited(1))
        _ = machine.scanned(.init(found: [ProcessIdentity(pid: 8, startTicks: 200)]))
        for second: Int64 in 11...16 { #expect(look(second) == []) }
        #expect(look(17) == [])
        #expect(said(look(18)) == ["critical: no heartbeat: No such file or directory"])
    }

    @Test func `a kill for lack of memory is told as that, also when it is learned later`() {
        var machine = machine { _ in }
        let process = ProcessIdentity(pid: 7, startTicks: 100)
        #expect(said(machine.ended(process, .killed(signal: 9))) == ["critical: killed by SIGKILL (pid 7)"])
        #expect(
            said(machine.learned(process, .outOfMemory)) == ["critical: killed for lack of memory (pid 7)"])
        #expect(machine.learned(process, .killed(signal: 9)) == [])
    }

    @Test func `a process found by its unit names the unit as what explains it`() {
        var machine = ProcessMachine(ProcessWatchOptions(name: "feed", match: .unit("feed.service")))
        guard case .report(let finding) = machine.started().first else { return #expect(Bool(false)) }
        #expect(finding.dependsOn == [Subject(.unit, "feed.service")])
    }
}

struct ControlGroupTests {
    private let unified = "0::/system.slice/matcher.service\n"
    private let hybrid = """
        4:memory:/system.slice/matcher.service
        2:cpu,cpuacct:/system.slice
        1:name=systemd:/system.slice/matcher.service/sub
        0::/system.slice/matcher.service/sub

        """

    @Test func `the unit is found in both layouts`() {
        for text in [unified, hybrid] {
            let group = ControlGroup(Array(text.utf8))
            #expect(group.service == "matcher.service")
            #expect(group.belongs(to: "matcher.service") && group.belongs(to: "system.slice"))
            #expect(!group.belongs(to: "matcher") && !group.belongs(to: "other.service"))
        }
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n"
        #expect(ControlGroup(Array(user.utf8)).service == nil)
        #expect(ControlGroup(Array(user.utf8)).belongs(to: "a.service"))
        #expect(ControlGroup(Array("0::/init.scope\n".utf8)).service == nil)
    }

    @Test func `kills are counted where the kernel counts them`() {
        var roots = FileRoots()
        roots.sys = "/s"
        let base = "/s/fs/cgroup"
        let path = "/system.slice/matcher.service"
        #expect(
            ControlGroup(Array(hybrid.utf8)).killCounts(roots) == [
                "\(base)\(path)/sub/memory.events", "\(base)/unified\(path)/sub/memory.events",
                "\(base)/memory\(path)/memory.oom_control",
            ])
        #expect(ControlGroup.kills(Array("low 0\noom 3\noom_kill 2\noom_group_kill 1\n".utf8)[...]) == 2)
        #expect(ControlGroup.kills(Array("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n".utf8)[...]) == 5)
        #expect(ControlGroup.kills(Array("oom_kill_disable 0\noom_kill many\n".utf8)[...]) == nil)
    }

    @Test(arguments: ["", "0", "0::", "0::relative\n", "::::\n", "0::/../../etc\n", "9:memory\n\u{0}:\n"])
    func `what has another form is nobody's group`(text: String) {
        let group = ControlGroup(Array(text.utf8))
        #expect(group.service == nil && group.killCounts(FileRoots()).isEmpty)
    }
}

struct ProcessGaugeTests {
    private let line =
        "42 (a) b (c)) S 1 42 42 0 -1 4194560 10 0 0 0 5 6 0 0 20 0 3 0 98765 1048576 321 18446744073709551615"

    @Test func `threads and resident memory are read past any name`() {
        let fields = ProcessGauge.fields(Array(line.utf8)[...])
        #expect(fields?.threads == 3 && fields?.pages == 321)
        // Cut before the resident memory's end it is no measurement.
        let end = line.utf8.count - " 18446744073709551615".utf8.count
        for cut in 0...end { #expect(ProcessGauge.fields(Array(line.utf8.prefix(cut))[...]) == nil) }
        #expect(ProcessGauge.fields(Array(line.replacing(" 3 0 ", with: " x 0 ").utf8)[...]) == nil)
    }

    @Test func `the limit of descriptors is the soft one`() {
        let limits = """
            Limit                     Soft Limit           Hard Limit           Units
            Max cpu time              unlimited            unlimited            seconds
            Max open files            1024                 524288               files

            """
        #expect(ProcessGauge.descriptorLimit(Array(limits.utf8)) == 1024)
        #expect(ProcessGauge.descriptorLimit(Array("Max open files   unlimited unlimited files".utf8)) == nil)
        #expect(ProcessGauge.descriptorLimit(Array("Max open files ".utf8)) == nil)
        #expect(ProcessGauge.descriptorLimit([]) == nil)
    }

    @Test func `this very process is measured`() throws {
        let gauge = try ProcessGauge(FileRoots(), getpid(), nil)
        var buffer = [UInt8](repeating: 0, count: 1024)
        let measure = try #require(gauge.read(&buffer))
        #expect(measure.residentBytes > 1 << 20 && measure.threads >= 1)
        let descriptors = try #require(measure.descriptors)
        #expect(descriptors > 2 && descriptors <= measure.descriptorLimit ?? .max)
    }
}
