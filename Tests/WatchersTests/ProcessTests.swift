// Watched processes as dialogues, and the decoding of /proc.
import Configuration
import Linux
import Testing
import Watchers
import Wire

struct ProcessTests {
    private func machine(minimum: Int = 1, maximum: Int? = nil) -> ProcessMachine {
        var options = ProcessWatchOptions(name: "feed", match: .name("feed"))
        options.minimum = minimum
        options.maximum = maximum
        return ProcessMachine(options)
    }

    private func process(_ pid: Int32, _ start: UInt64 = 100) -> ProcessIdentity {
        ProcessIdentity(pid: pid, startTicks: start)
    }

    private func said(_ actions: [ProcessAction]) -> [String] {
        actions.compactMap {
            if case .report(let finding) = $0 { "\(finding.status): \(finding.reason)" } else { nil }
        }
    }

    @Test func `before the first scan nobody knows, after it the process is held`() {
        var machine = machine()
        #expect(said(machine.started()) == ["unknown: not looked for yet"])
        let actions = machine.scanned(.init(found: [process(7)]))
        #expect(actions.first == .hold(process(7)))
        #expect(said(actions) == ["ok: running as pid 7"])
        #expect(machine.scanned(.init(found: [process(7)])) == [])
    }

    @Test func `a killed process is critical at once, with its signal, and is looked for again`() {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        let actions = machine.ended(process(7), .killed(signal: 9))
        #expect(said(actions) == ["critical: killed by SIGKILL (pid 7)"])
        #expect(actions.contains(.release(process(7))))
        #expect(actions.last == .rescan)
        #expect(machine.scanned(.init(found: [])) == [])
        #expect(said(machine.scanned(.init(found: [process(8)]))) == ["ok: running as pid 8"])
    }

    @Test(arguments: [
        (ProcessEnd.exited(3), "critical: exited with status 3 (pid 7)"),
        (.unknown, "critical: ended, exit: unknown (pid 7)"),
        (.killed(signal: 64), "critical: killed by signal 64 (pid 7)"),
    ])
    func `the end is told as far as the kernel tells it`(end: ProcessEnd, words: String) {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(said(machine.ended(process(7), end)) == [words])
    }

    @Test func `an end that is explained later is told again`() {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        _ = machine.ended(process(7), .unknown)
        #expect(said(machine.learned(process(7), .exited(1))) == ["critical: exited with status 1 (pid 7)"])
        #expect(machine.learned(process(7), .exited(2)) == [])
        #expect(machine.learned(process(6), .exited(2)) == [])
    }

    @Test func `a pid used again is another process`() {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7, 100)]))
        let actions = machine.scanned(.init(found: [process(7, 900)]))
        #expect(actions.prefix(2) == [.release(process(7, 100)), .hold(process(7, 900))])
        #expect(machine.ended(process(7, 100), .exited(0)) == [])
        #expect(machine.count == 1)
    }

    @Test func `a restart that only a scan sees is a change`() {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(said(machine.scanned(.init(found: [process(9, 500)]))) == ["ok: running as pid 9"])
        #expect(machine.ends == 1 && machine.starts == 1)
    }

    @Test func `too few and too many are told with their numbers`() {
        var machine = machine(minimum: 2, maximum: 2)
        #expect(
            said(machine.scanned(.init(found: [process(1)]))) == ["critical: not running; 1 of 2 running"])
        #expect(said(machine.scanned(.init(found: [process(1), process(2)]))) == ["ok: several running"])
        let three = [process(1), process(2), process(3)]
        #expect(said(machine.scanned(.init(found: three))) == ["warning: more than 2 running"])
        _ = machine.ended(process(3), .exited(0))
        let words = "critical: killed by SIGSEGV (pid 2); 1 of 2 running"
        #expect(said(machine.ended(process(2), .killed(signal: 11))) == [words])
    }

    @Test func `of a set whose members come and go the number is a value, and no successor is missed`() {
        var machine = machine()
        let five = machine.scanned(.init(found: (Int32(1)...5).map { process($0) }))
        #expect(said(five) == ["ok: several running"])
        let four = machine.ended(process(5), .exited(0))
        #expect(said(four) == ["ok: several running"] && !four.contains(.rescan))
        #expect(machine.sample.values.contains(NamedValue("processes", .integer(4))))
        for pid in Int32(2)...3 { #expect(!machine.ended(process(pid), .exited(0)).contains(.rescan)) }
        let one = machine.ended(process(1), .exited(0))
        #expect(said(one) == ["ok: running as pid 4"] && !one.contains(.rescan))
        #expect(machine.ended(process(4), .exited(0)).last == .rescan)
    }

    @Test func `a successor of one of those that must run is looked for at once`() {
        var machine = machine(minimum: 2)
        _ = machine.scanned(.init(found: (Int32(1)...3).map { process($0) }))
        #expect(!machine.ended(process(1), .exited(0)).contains(.rescan))
        #expect(machine.ended(process(2), .exited(0)).last == .rescan)
        var optional = self.machine(minimum: 0)
        _ = optional.scanned(.init(found: [process(1)]))
        let none = optional.ended(process(1), .exited(0))
        #expect(said(none) == ["ok: none running"] && none.last == .rescan)
    }

    @Test func `hidden executables are unknown and not missing, told once however many they are`() {
        var machine = machine()
        let words = """
            unknown: not found, but the executables of other users' processes are hidden from the agent: \
            use match_command, or install the drop-in executables.conf
            """
        #expect(said(machine.scanned(.init(found: [], unreadable: 2))) == [words])
        #expect(said(machine.scanned(.init(found: [], unreadable: 3))) == [])
        #expect(said(machine.scanned(.init(found: []))) == ["critical: not running"])
        #expect(said(machine.scanned(.init(found: [process(7)], unreadable: 2))) == ["ok: running as pid 7"])
    }

    @Test func `a pidfile that is missing means not running, one that may not be read means nothing`() {
        var machine = machine()
        let missing = "open /run/x.pid: No such file or directory"
        let gone = machine.scanned(.init(found: [], trouble: .missing(missing)))
        #expect(said(gone) == ["critical: not running: \(missing)"])
        let denied = "open /run/x.pid: Permission denied"
        let hidden = machine.scanned(.init(found: [], trouble: .hidden(denied)))
        #expect(
            said(hidden) == ["unknown: \(denied); let the agent's user read it, or use match_command"])
    }

    @Test func `who may not look lets go of nothing, and a held process that runs stays told as running`() {
        var machine = machine()
        let hidden = ScanTrouble.hidden("open /run/x.pid: Permission denied")
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(machine.scanned(.init(found: [], trouble: hidden)) == [])
        #expect(machine.running == [process(7)] && machine.ends == 0)
        #expect(machine.scanned(.init(found: [process(7)])) == [])
        #expect(machine.starts == 0)
    }

    @Test func `of what is not held nobody knows whether it runs while nobody may look`() {
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(machine.notHeld(process(7)) == [])
        let hidden = machine.scanned(.init(found: [], trouble: .hidden("open /proc: Too many open files")))
        let words =
            "unknown: open /proc: Too many open files; let the agent's user read it, or use match_command"
        #expect(said(hidden) == [words])
        #expect(said(machine.scanned(.init(found: [process(7)]))) == ["ok: running as pid 7"])
        #expect(machine.ends == 0 && machine.starts == 0)
    }

    @Test func `while a search does not end, what is held stays told, and of the rest nothing is known`() {
        let words = "the search for processes has not ended for 5.0 s: /proc does not answer"
        var new = machine()
        #expect(said(new.notScanned(for: .seconds(5))) == ["unknown: \(words)"])
        var machine = machine()
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(machine.notScanned(for: .seconds(5)) == [])
        #expect(
            said(machine.ended(process(7), .exited(3))) == [
                "unknown: \(words); last seen: exited with status 3 (pid 7)"
            ])
        #expect(said(machine.scanned(.init(found: [process(8)]))) == ["ok: running as pid 8"])
    }

    @Test func `whether an ended process has a successor is unknown to who may not look`() {
        var machine = machine()
        let hidden = ScanTrouble.hidden("open /run/x.pid: Permission denied")
        _ = machine.scanned(.init(found: [process(7)]))
        #expect(said(machine.ended(process(7), .exited(3))) == ["critical: exited with status 3 (pid 7)"])
        let words =
            "unknown: open /run/x.pid: Permission denied; let the agent's user read it, or use match_command"
            + "; last seen: exited with status 3 (pid 7)"
        #expect(said(machine.scanned(.init(found: [], trouble: hidden))) == [words])
        #expect(said(machine.scanned(.init(found: []))) == ["critical: exited with status 3 (pid 7)"])
    }

    @Test func `processes beyond the bound are counted and not held`() {
        var machine = machine()
        let many = (1...Int32(ProcessMachine.mostHeld + 10)).map { process($0) }
        let actions = machine.scanned(.init(found: many))
        #expect(actions.count { if case .hold = $0 { true } else { false } } == ProcessMachine.mostHeld)
        #expect(machine.count == many.count)
    }

    @Test func `stat is read past any name`() throws {
        let line =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 10 0 0 0 5 6 0 0 20 0 3 0 98765 1048576 321 18446744073709551615"
        let stat = try #require(ProcStat(Array(line.utf8)))
        #expect(stat.name == "a) b (c)")
        #expect(stat.startTicks == 98765)
        #expect(stat.residentPages == 321)
        #expect(!stat.hasEnded)
        for cut in 0..<(line.utf8.count - 24) { #expect(ProcStat(Array(line.utf8.prefix(cut))) == nil) }
    }

    @Test func `words of a command line are found in a row`() {
        let words = commandWords(Array("/usr/bin/java\0-jar\0feed.jar\0".utf8))
        #expect(words == ["/usr/bin/java", "-jar", "feed.jar"])
        #expect(contains(words, inARow: ["-jar", "feed.jar"]))
        #expect(!contains(words, inARow: ["feed.jar", "-jar"]))
        #expect(!contains(words, inARow: []))
        #expect(!contains([], inARow: ["x"]))
    }
}
