// Watched units of systemd as dialogues: crashes behind restarts, states, what is missed and made up for.
import Basics
import Configuration
import Reactor
import Testing
import Watchers
import Wire

struct UnitTests {
    private func machine(_ change: (inout UnitWatchOptions) -> Void = { _ in }) -> UnitMachine {
        var options = UnitWatchOptions(name: "matcher.service")
        change(&options)
        return UnitMachine(options)
    }

    private func reading(
        _ active: String, _ sub: String, run: String = "a", restarts: Int64 = 0, pid: Int64 = 0,
        code: Int64 = 0, status: Int64 = 0, result: String = "success", job: Bool = false, since: Int64 = 0
    ) -> UnitReading {
        var reading = UnitReading()
        reading.id = "matcher.service"
        reading.loadState = "loaded"
        (reading.activeState, reading.subState, reading.invocation) = (active, sub, run)
        (reading.restarts, reading.mainPID, reading.lastPID) = (restarts, pid, pid == 0 ? 7 : pid)
        (reading.lastCode, reading.lastStatus, reading.result) = (code, status, result)
        (reading.hasJob, reading.activeSince) = (job, since)
        return reading
    }

    private func running(_ run: String = "a", restarts: Int64 = 0, pid: Int64 = 7) -> UnitReading {
        reading("active", "running", run: run, restarts: restarts, pid: pid)
    }

    private func crashed(
        _ run: String = "a", restarts: Int64 = 0, code: Int64 = 1, status: Int64 = 1,
        result: String = "exit-code"
    ) -> UnitReading {
        reading(
            "activating", "auto-restart", run: run, restarts: restarts, code: code, status: status,
            result: result)
    }

    private func said(_ finding: Finding?) -> String? { finding.map { "\($0.status): \($0.reason)" } }

    @Test func `nothing is known before systemd has answered`() {
        var machine = machine()
        #expect(said(machine.started()) == "unknown: not asked for yet")
        #expect(said(machine.read(running(), at: at(0))) == "ok: running as pid 7")
        #expect(machine.read(running(), at: at(1)) == nil)
    }

    @Test func `what systemd does not answer is unknown, and asked again until it does`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        #expect(said(machine.unanswered("systemd: late", at: at(1000))) == "unknown: systemd: late")
        #expect(machine.deadline == at(6000))
        #expect(machine.asksAgain(at: at(5999)) == false)
        #expect(machine.asksAgain(at: at(6000)) == true)
        #expect(machine.asksAgain(at: at(6001)) == false, "one question at a time")
        #expect(machine.deadline == nil)
        #expect(machine.unanswered("systemd: late", at: at(11_000)) == nil)
        #expect(machine.asksAgain(at: at(16_000)) == true)
        #expect(said(machine.read(running(), at: at(16_001))) == "ok: running as pid 7")
        #expect(machine.deadline == nil)
        _ = machine.unanswered("systemd: late", at: at(17_000))
        _ = machine.lost("no bus", at: at(18_000))
        #expect(machine.deadline == nil, "the bus tells when it is back")
    }

    @Test func `a crash behind a restart is told at once, kept for the window, and over`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        let down = machine.read(crashed(), at: at(1000))
        #expect(said(down) == "critical: ended: exit status 1")
        #expect(down?.values.contains(NamedValue("exit_status", .integer(1))) == true)
        // systemd counts the restart before it starts the unit.
        #expect(machine.read(crashed(restarts: 1), at: at(1100)) == nil)
        let starting = reading("activating", "start", run: "b", restarts: 1)
        #expect(said(machine.read(starting, at: at(1101))) == "warning: starting again after exit status 1")
        let back = machine.read(running("b", restarts: 1, pid: 9), at: at(1102))
        #expect(said(back) == "warning: started again after exit status 1")
        #expect(machine.crashes == 1)
        #expect(machine.tick(at: at(60_000)) == nil)
        #expect(machine.deadline == at(61_000))
        #expect(said(machine.tick(at: at(61_000))) == "ok: running as pid 9")
        #expect(machine.deadline == nil)
    }

    @Test(arguments: [
        (Int64(1), Int64(3), "exit-code", "exit status 3"), (2, 9, "signal", "SIGKILL"),
        (3, 11, "core-dump", "SIGSEGV, core dumped"), (2, 9, "oom-kill", "killed for lack of memory"),
        (2, 6, "watchdog", "silent for longer than its WatchdogSec"),
        (0, 0, "exit-code", "result exit-code"), (1, 0, "success", "exit status 0"),
    ])
    func `the end is told as systemd tells it`(code: Int64, status: Int64, result: String, words: String) {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        let down = machine.read(crashed(code: code, status: status, result: result), at: at(1))
        #expect(said(down) == "critical: ended: \(words)")
    }

    @Test func `crash after crash becomes critical, also while it runs`() {
        var machine = machine()
        _ = machine.read(running("run0"), at: at(0))
        for number in 1...3 {
            let time = Int64(number) * 1000
            _ = machine.read(crashed("run\(number - 1)", restarts: Int64(number - 1)), at: at(time))
            _ = machine.read(running("run\(number)", restarts: Int64(number)), at: at(time + 100))
        }
        #expect(machine.crashes == 3)
        // Two of them are older than the window by now.
        #expect(
            said(machine.tick(at: at(61_500))) == "warning: started again after exit status 1; 2 times in 1m")
        #expect(said(machine.tick(at: at(63_000))) == "ok: running as pid 7")
    }

    @Test func `restarts that nobody saw are told by their count`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        #expect(said(machine.lost("the message bus: gone", at: at(1))) == "unknown: the message bus: gone")
        let back = machine.read(running("c", restarts: 2, pid: 9), at: at(5000))
        #expect(said(back) == "warning: started again after an end that nobody saw; 2 times in 1m")
        #expect(machine.crashes == 2)
    }

    @Test func `a crash whose restart is told in the same breath is one`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        _ = machine.read(crashed(restarts: 1), at: at(1))
        #expect(machine.crashes == 1)
        _ = machine.read(running("b", restarts: 1), at: at(2))
        #expect(machine.crashes == 1)
        // Of two runs between two readings the first one's end was not seen.
        _ = machine.read(crashed("c", restarts: 2), at: at(3))
        #expect(machine.crashes == 3)
        _ = machine.read(running("d", restarts: 3), at: at(4))
        #expect(machine.crashes == 3)
    }

    @Test func `a restart by hand is no crash, and a change all the same`() {
        var machine = machine()
        _ = machine.read(running(restarts: 4), at: at(0))
        #expect(said(machine.read(reading("deactivating", "stop-sigterm"), at: at(1))) == "warning: stopping")
        let between = reading("inactive", "dead", code: 1, job: true)
        #expect(said(machine.read(between, at: at(2))) == "warning: starting")
        #expect(said(machine.read(running("b", pid: 9), at: at(3))) == "ok: running as pid 9")
        #expect(machine.crashes == 0)
    }

    @Test func `what has stopped, failed or cannot be started says how`() {
        var machine = machine()
        let stopped = reading("inactive", "dead", code: 1)
        #expect(said(machine.read(stopped, at: at(0))) == "critical: inactive; last: exit status 0")
        let failed = reading("failed", "failed", run: "b", code: 1, status: 2, result: "exit-code")
        #expect(said(machine.read(failed, at: at(1))) == "critical: failed: exit status 2")
        var limited = failed
        limited.result = "start-limit-hit"
        let often = "critical: failed: exit status 2, started too often"
        #expect(said(machine.read(limited, at: at(2))) == often)
        #expect(machine.crashes == 1)
        _ = machine.read(stopped, at: at(3))
        let dependency = "critical: not started: a unit that it requires failed"
        #expect(said(machine.jobEnded("dependency", at: at(4))) == dependency)
        #expect(machine.jobEnded("dependency", at: at(5)) == nil)
        #expect(said(machine.jobEnded("done", at: at(6))) == "critical: inactive; last: exit status 0")
    }

    @Test func `a unit that is not there, or masked, is no other's fault`() {
        var machine = machine()
        var missing = reading("inactive", "dead")
        missing.loadState = "not-found"
        #expect(said(machine.read(missing, at: at(0))) == "critical: there is no such unit")
        missing.loadState = "masked"
        #expect(said(machine.read(missing, at: at(1))) == "critical: masked")
        missing.loadState = "bad-setting"
        let words = "critical: cannot be loaded: bad-setting; see systemctl status"
        #expect(said(machine.read(missing, at: at(2))) == words)
        // What runs although its file is gone runs.
        var gone = running()
        gone.loadState = "not-found"
        #expect(said(machine.read(gone, at: at(3))) == "ok: running as pid 7")
    }

    @Test func `what systemd drops from its memory does not run`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        #expect(machine.unloaded(at: at(1))?.status == .critical)
        var absent = self.machine()
        #expect(absent.unloaded(at: at(0)) == nil)
    }

    @Test func `a run that is too young is a warning until it is old enough`() {
        var machine = machine { $0.minimumUptime = .seconds(30) }
        var young = running()
        young.activeSince = 1_000_000
        #expect(said(machine.read(young, at: at(2000))) == "warning: active for less than 30s")
        #expect(machine.deadline == at(31_000))
        #expect(said(machine.tick(at: at(31_000))) == "ok: running as pid 7")
        #expect(machine.deadline == nil)
    }

    @Test func `a unit that must not run is critical when it does`() {
        var machine = machine { $0.expected = .inactive }
        #expect(said(machine.read(reading("inactive", "dead"), at: at(0))) == "ok: inactive")
        #expect(said(machine.read(running(), at: at(1))) == "critical: active, and should be inactive")
        let failed = reading("failed", "failed", code: 1, status: 2, result: "exit-code")
        #expect(said(machine.read(failed, at: at(2))) == "warning: failed: exit status 2")
    }

    @Test func `crashes are counted within a bound`() {
        var machine = machine()
        _ = machine.read(running(), at: at(0))
        let many = Int64(UnitMachine.mostCrashes) * 4
        let back = machine.read(running("b", restarts: many), at: at(1))
        #expect(machine.crashes == UInt64(many))
        #expect(back?.reason.hasSuffix("; \(UnitMachine.mostCrashes) times in 1m") == true)
        _ = machine.read(running("c", restarts: .max), at: at(2))
        _ = machine.read(running("d", restarts: .min), at: at(3))
    }

    @Test func `properties of another type, or that nobody asked for, change nothing`() {
        var reading = running()
        let before = reading
        reading.take([
            "ActiveState": .integer(3), "NRestarts": .text("many"), "InvocationID": .text("x"),
            "Nonsense": .bytes([1]), "SubState": .other,
        ])
        #expect(reading == before)
        reading.take(["InvocationID": .bytes([0x0a, 0xff]), "Job": .integer(12), "NRestarts": .integer(3)])
        #expect(reading.invocation == "0aff" && reading.hasJob && reading.restarts == 3)
    }
}

struct FailedUnitsTests {
    private func said(_ actions: [FailedUnits.Action]) -> [String] {
        actions.map {
            switch $0 {
            case .ask(let unit): "ask \(unit)"
            case .report(let finding): "\(finding.subject) \(finding.status): \(finding.reason)"
            case .forget(let subject): "forget \(subject)"
            case .list: "list"
            }
        }
    }

    private var failedReading: UnitReading {
        var reading = UnitReading()
        (reading.activeState, reading.result, reading.lastCode, reading.lastStatus) = (
            "failed", "exit-code", 1, 4
        )
        return reading
    }

    @Test func `a list that systemd does not answer is asked for again, until it is there`() {
        var units = FailedUnits(watched: [])
        #expect(said(units.unanswered("systemd: late", at: at(1000))).count == 1)
        #expect(units.tick(at: at(5999)) == [])
        #expect(units.tick(at: at(6000)) == [.list])
        #expect(units.tick(at: at(7000)) == [], "one question at a time")
        _ = units.unanswered("systemd: late", at: at(11_000))
        _ = units.listed([], at: at(12_000))
        #expect(units.tick(at: at(20_000)) == [])
        _ = units.unanswered("systemd: late", at: at(21_000))
        _ = units.lost("no bus")
        #expect(units.tick(at: at(30_000)) == [])
    }

    @Test func `that nothing has failed is told too`() {
        var units = FailedUnits(watched: [])
        #expect(said(units.listed([], at: at(0))) == ["unit/failed ok: no unit has failed"])
        #expect(units.listed([], at: at(1)) == [])
    }

    @Test func `a failed unit is asked how, told, told to be well, and forgotten`() {
        var units = FailedUnits(watched: [])
        _ = units.listed([], at: at(0))
        let listed = said(units.listed(["a.service"], at: at(1)))
        #expect(listed == ["ask a.service", "unit/failed warning: 1 unit has failed: a.service"])
        let details = said(units.details(of: "a.service", failedReading))
        #expect(details == ["unit/a.service warning: failed: exit status 4"])
        let well = ["unit/a.service ok: no longer failed", "unit/failed ok: no unit has failed"]
        #expect(said(units.listed([], at: at(1000))) == well)
        #expect(units.details(of: "a.service", failedReading) == [])
        #expect(units.tick(at: at(60_999)) == [])
        #expect(said(units.tick(at: at(61_000))) == ["forget unit/a.service"])
        #expect(units.tick(at: at(61_001)) == [])
        #expect(units.subjects == [FailedUnits.summary])
    }

    @Test func `a unit with a watch of its own is summed up and not told twice`() {
        var units = FailedUnits(watched: ["a.service"])
        let listed = units.listed(["a.service"], at: at(0))
        #expect(said(listed) == ["unit/failed warning: 1 unit has failed: a.service"])
        guard case .report(let finding) = listed.first else { return #expect(Bool(false)) }
        #expect(finding.dependsOn == [Subject(.unit, "a.service")])
    }

    @Test func `a watch of its own takes over a unit and leaves it, and nothing else is told`() {
        var units = FailedUnits(watched: ["a.service"])
        _ = units.listed(["a.service", "b.service", "c.service"], at: at(0))
        #expect(units.reconfigure(watched: ["a.service", "b.service"]) == [])
        #expect(units.subjects.map(\.name) == ["c.service", "failed"])
        #expect(units.reconfigure(watched: ["b.service"]) == [.ask("a.service")])
        #expect(units.listed(["a.service", "b.service", "c.service"], at: at(1)) == [])
        #expect(said(units.details(of: "a.service", failedReading)).count == 1)
    }

    @Test func `when systemd cannot be asked, what it said is unknown, and is told anew after that`() {
        var units = FailedUnits(watched: [])
        _ = units.listed(["a.service"], at: at(0))
        let lost = said(units.lost("the message bus: gone"))
        #expect(
            lost == [
                "unit/a.service unknown: the message bus: gone", "unit/failed unknown: the message bus: gone",
            ])
        let back = said(units.listed(["a.service"], at: at(1)))
        #expect(back == ["ask a.service", "unit/failed warning: 1 unit has failed: a.service"])
        _ = units.lost("gone")
        let other = said(units.listed([], at: at(2)))
        #expect(other == ["unit/a.service ok: no longer failed", "unit/failed ok: no unit has failed"])
    }

    @Test func `more units than the bound are counted`() {
        var units = FailedUnits(watched: [])
        let names = (0..<100).map { "u\($0).service" }
        let actions = units.listed(names, at: at(0))
        #expect(actions.count { if case .ask = $0 { true } else { false } } == FailedUnits.mostTold)
        #expect(
            said(actions).last?.hasPrefix("unit/failed warning: 100 units have failed: u0.service") == true)
    }
}
