// The clock: chronyd's answers as Debian's chronyd 4.3 sent them, and the machine in dialogue.
import Basics
import Configuration
import Glibc
import Linux
import Testing
import Wire

@testable import Watchers

/// A client of another chronyd on the loopback, at stratum 9.
private let synchronised = hex(
    """
    06020000 0021 0005 0000 000000000000 01020304 0000000000000000
    7f000001 7f000001000000000000000000000000 00010000 0009 0000 00000000 6b03740d 0624a50c
    df3a60e6 dcb663ff dec10855 09341270 00cc5082 0ef73bf8 e2b14d37 e880cfd7 fc8375a2
    """)
/// A chronyd that follows nobody, with `local stratum 8`.
private let alone = hex(
    """
    06020000 0021 0005 0000 000000000000 01020304 0000000000000000
    7f7f0101 00000000000000000000000000000000 00000000 0008 0000 00000000 6b03740c 27b34dd9
    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    """)
private let number: UInt32 = 0x0102_0304

struct ChronyTrackingTests {
    @Test func `a question is as long as its answer`() {
        let request = ChronyTracking.request(number)
        #expect(request.count == synchronised.count)
        #expect(request.prefix(20) == hex("06010000 0021 0000 01020304 00000000 00000000")[...])
    }

    @Test func `an answer of chronyd is read`() throws {
        let tracking = try ChronyTracking(reply: synchronised, to: number)
        #expect(tracking.source == "127.0.0.1")
        #expect(tracking.stratum == 9 && tracking.leap == .none && !tracking.followsItself)
        #expect(tracking.referenceTime?.rfc3339 == "2026-11-22T23:00:29.103064Z")
        #expect(abs(tracking.correction - -2.944741e-6) < 1e-9)
        #expect(tracking.rootDelay > 0 && tracking.rootDelay < 1e-3)
        #expect(tracking.rootDispersion > 0 && tracking.rootDispersion < 1)
        #expect(tracking.errorBound > tracking.rootDispersion + tracking.rootDelay / 2)
    }

    @Test func `a clock that follows itself is told apart`() throws {
        let tracking = try ChronyTracking(reply: alone, to: number)
        #expect(tracking.followsItself && tracking.source == nil && tracking.stratum == 8)
    }

    @Test func `what is not the answer is refused, and why`() {
        func defect(_ change: (inout [UInt8]) -> Void) -> ChronyDefect? {
            var bytes = synchronised
            change(&bytes)
            do throws(ChronyDefect) {
                _ = try ChronyTracking(reply: bytes, to: number)
                return nil
            } catch {
                return error
            }
        }
        #expect(defect { _ in } == nil)
        #expect(defect { $0 = [] } == .short(0))
        #expect(defect { $0.removeLast() } == .short(103))
        #expect(defect { $0[0] = 5 } == .foreign)
        #expect(defect { $0[1] = 1 } == .foreign)
        #expect(defect { $0[5] = 34 } == .foreign)
        #expect(defect { $0[7] = 6 } == .foreign)
        #expect(defect { $0[9] = 2 } == .refused(2))
        #expect(defect { $0[19] = 9 } == .sequence(0x0102_0309))
    }

    @Test func `no bytes make it trap`() {
        var random = SplitMix(state: 7)
        for _ in 0..<2000 {
            var bytes = synchronised
            for _ in 0..<8 {
                bytes[Int.random(in: 28..<104, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let tracking = try? ChronyTracking(reply: bytes, to: number)
            #expect(tracking?.errorBound.isFinite == true)
            _ = tracking.map { ClockReading($0, at: WallTime(nanoseconds: .max)) }
        }
    }

    @Test(arguments: [
        ("20010db8000000000000000000000001", "2001:db8::1"), ("00000000000000000000000000000001", "::1"),
        ("20010db8000100000001000000000001", "2001:db8:1:0:1::1"),
        ("fe800000000000000000000000000000", "fe80::"),
    ])
    func `an IPv6 source is spelled`(bytes: String, text: String) {
        #expect(IPv6Text.text(hex(bytes)) == text)
    }
}

struct ClockMachineTests {
    private let wall = WallTime(nanoseconds: 1_795_388_430_000_000_000)

    private func machine(_ change: (inout ClockOptions) -> Void = { _ in }) -> ClockMachine {
        var options = ClockOptions()
        change(&options)
        var machine = ClockMachine(Subject(.clock, "system"), options)
        #expect(machine.started().status == .unknown)
        return machine
    }

    private func tracking(_ change: (inout ChronyTracking) -> Void = { _ in }) throws -> ChronyAnswer {
        var tracking = try ChronyTracking(reply: synchronised, to: number)
        change(&tracking)
        return .tracking(tracking)
    }

    private func words(_ finding: Finding?) -> String? { finding.map { "\($0.status): \($0.reason)" } }

    private func value(_ name: String, _ machine: ClockMachine) -> Value? {
        machine.values.first { $0.name == name }?.value
    }

    @Test func `a synchronised clock is well, and its offset and bound are apart`() throws {
        var machine = machine()
        let finding = machine.answered(try tracking { $0.correction = 0.002 }, at: at(0), wall: wall)
        #expect(words(finding) == "ok: synchronised: chrony follows 127.0.0.1")
        #expect(value("offset_s", machine) == .number(-0.002))
        #expect(value("stratum", machine) == .integer(9))
        #expect(value("synchronised", machine) == .flag(true))
        guard case .number(let bound) = value("error_bound_s", machine) else {
            Issue.record("no bound")
            return
        }
        #expect(bound > 0.002)
    }

    @Test func `a clock that loses its source is told after the dwell, and not before`() throws {
        var machine = machine()
        _ = machine.answered(try tracking(), at: at(0), wall: wall)
        let lost = try tracking { $0.leap = .unsynchronised }
        #expect(machine.answered(lost, at: at(1000), wall: wall)?.status == .ok)
        #expect(machine.deadline == at(31_000))
        #expect(
            words(machine.tick(at: at(31_000)))
                == "warning: not synchronised: chrony has no source that it trusts")
        #expect(machine.answered(try tracking(), at: at(32_000), wall: wall)?.status == .warning)
        #expect(machine.tick(at: at(62_000))?.status == .ok)
    }

    @Test func `a clock that never was synchronised is unknown first`() throws {
        var machine = machine()
        machine.observed(kernel: KernelClockReading(isSynchronised: false))
        #expect(machine.answered(.absent, at: at(0), wall: wall)?.status == .unknown)
        let finding = machine.tick(at: at(30_000))
        #expect(finding?.status == .warning)
        #expect(finding?.reason.hasPrefix("not synchronised: nobody disciplines it") == true)
    }

    @Test func `a chronyd that follows only itself keeps no time`() throws {
        var machine = machine { $0.unsynchronisedFor = .zero }
        let finding = machine.answered(
            .tracking(try ChronyTracking(reply: alone, to: number)), at: at(0), wall: wall)
        #expect(words(finding) == "warning: not synchronised: chrony follows only this host's own clock")
    }

    @Test func `a chronyd that is gone is told at once when the port is closed, else at the second silence`()
        throws
    {
        var machine = machine()
        machine.observed(kernel: KernelClockReading(isSynchronised: true))
        _ = machine.answered(try tracking(), at: at(0), wall: wall)
        #expect(machine.answered(.silent, at: at(2000), wall: wall)?.status == .ok)
        let gone = "warning: chronyd no longer answers: see systemctl status chrony"
        #expect(words(machine.answered(.silent, at: at(4000), wall: wall)) == gone)
        #expect(machine.answered(try tracking(), at: at(6000), wall: wall)?.status == .ok)
        #expect(words(machine.answered(.absent, at: at(8000), wall: wall)) == gone)
    }

    @Test func `without chronyd the kernel tells, without the kernel timesyncd's stamp, and else nobody`() {
        var machine = machine()
        machine.observed(kernel: KernelClockReading(isSynchronised: true, offset: 1e-5, maximumError: 0.01))
        #expect(
            words(machine.answered(.absent, at: at(0), wall: wall)) == "ok: synchronised: the kernel says so")
        #expect(value("error_bound_s", machine) == .number(0.01))
        machine.observed(kernel: nil, stampAge: .seconds(60))
        #expect(
            words(machine.answered(.absent, at: at(0), wall: wall))
                == "ok: synchronised: systemd-timesyncd keeps it")
        machine.observed(kernel: nil)
        let finding = machine.answered(nil, at: at(0), wall: wall)
        #expect(finding?.status == .unknown)
        #expect(finding?.reason.contains("drop-in clock.conf") == true)
    }

    @Test func `that no time service runs is a fact, and told after the dwell`() {
        var machine = machine()
        machine.observed(kernel: nil, services: [])
        #expect(machine.isUntold)
        #expect(machine.answered(.absent, at: at(0), wall: wall)?.status == .unknown)
        #expect(
            words(machine.tick(at: at(30_000)))
                == "warning: not synchronised: nothing keeps it, as no time service runs: install chrony")
        #expect(value("synchronised", machine) == .flag(false) && value("source", machine) == .text("none"))
        machine.observed(kernel: nil, services: ["ntpd"])
        #expect(
            words(machine.answered(.absent, at: at(31_000), wall: wall))?.hasPrefix(
                "unknown: ntpd runs, and only")
                == true)
    }

    @Test func `a service that does not tell leaves the clock unknown, and which one is told`() {
        var machine = machine { $0.unsynchronisedFor = .zero }
        func told(_ services: [String]?) -> String {
            machine.observed(kernel: nil, services: services)
            return words(machine.answered(.absent, at: at(0), wall: wall)) ?? ""
        }
        #expect(told(nil).hasSuffix("in a container the host keeps it"))
        #expect(
            told(["chronyd", "ntpd"]).hasPrefix("unknown: chronyd runs and does not answer on 127.0.0.1:323"))
        #expect(told(["ptp4l"]).hasPrefix("unknown: ptp4l runs"))
        #expect(
            told(["systemd-timesyn"])
                == "warning: not synchronised: systemd-timesyncd has not heard from a server since it began")
        #expect(told([]).hasPrefix("warning"))
    }

    @Test func `a class of the law makes a clock that nothing keeps critical`() {
        var machine = machine {
            $0.unsynchronisedFor = .zero
            $0.accuracy = .automated
        }
        machine.observed(kernel: nil, services: [])
        #expect(machine.answered(nil, at: at(0), wall: wall)?.status == .critical)
    }

    @Test func `services are seen in the host's own namespace of processes alone`() throws {
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        for folder in ["", "/1", "/77", "/self", "/self/ns"] {
            try Files.makeFolder(roots.proc + folder, mode: 0o700)
        }
        func put(_ name: String, _ text: String) throws {
            try Files.write(
                Array(text.utf8), to: "\(roots.proc)/\(name)", .init(mode: 0o600), replacing: true,
                durably: false)
        }
        func namespace(_ number: String) {
            unlink("\(roots.proc)/self/ns/pid")
            symlink("pid:[\(number)]", "\(roots.proc)/self/ns/pid")
        }
        #expect(TimeServices.running(roots) == nil)
        try put("1/comm", "systemd\n")
        namespace("4026532836")
        #expect(TimeServices.running(roots) == nil, "a container")
        namespace("4026531836")
        #expect(TimeServices.running(roots) == [])
        try put("77/comm", "systemd-timesyn\n")
        #expect(TimeServices.running(roots) == ["systemd-timesyn"])
        unlink("\(roots.proc)/1/comm")
        #expect(TimeServices.running(roots) == nil, "processes of others are hidden")
    }

    @Test func `timesyncd that has not heard from its server for long keeps nothing`() {
        var machine = machine { $0.unsynchronisedFor = .zero }
        machine.observed(kernel: nil, stampAge: .seconds(5000))
        #expect(machine.answered(.absent, at: at(0), wall: wall)?.status == .warning)
    }

    @Test(arguments: [
        (ClockClass.highFrequency, 90e-6, 110e-6), (.automated, 0.9e-3, 1.1e-3), (.voice, 0.9, 1.1),
    ])
    func `a class of the law is a limit`(accuracy: ClockClass, fine: Double, bad: Double) throws {
        var machine = machine {
            $0.accuracy = accuracy
            $0.offset.dwell = .zero
            $0.errorBound.warning = 100
        }
        #expect(machine.answered(try tracking { $0.correction = fine }, at: at(0), wall: wall)?.status == .ok)
        let finding = machine.answered(try tracking { $0.correction = -bad }, at: at(1), wall: wall)
        #expect(finding?.status == .critical)
        #expect(finding?.reason.hasSuffix("from UTC (\(accuracy.rawValue))") == true)
    }

    @Test func `a bound beyond the class is a warning, and no synchronisation is critical`() throws {
        var machine = machine {
            $0.accuracy = .highFrequency
            $0.errorBound.dwell = .zero
            $0.unsynchronisedFor = .zero
        }
        let wide = machine.answered(
            try tracking {
                $0.correction = 0
                $0.rootDelay = 0.01
                $0.rootDispersion = 0
            }, at: at(0), wall: wall)
        #expect(words(wide) == "warning: may be up to 5.0 ms from UTC (rts25-hft)")
        #expect(machine.answered(try tracking { $0.stratum = 0 }, at: at(1), wall: wall)?.status == .critical)
    }

    @Test func `own limits outrank the class's`() throws {
        var machine = machine {
            $0.accuracy = .highFrequency
            $0.offset = LimitOptions(warning: 0.1, critical: 0.2)
            $0.errorBound.warning = 10
        }
        #expect(
            machine.answered(try tracking { $0.correction = 0.15 }, at: at(0), wall: wall)?.status == .warning
        )
    }

    @Test func `a step is a warning with its size, for a while`() throws {
        var machine = machine()
        _ = machine.answered(try tracking(), at: at(0), wall: wall)
        #expect(machine.compared(.init(lead: .seconds(100)), wasSet: false, at: at(0)) == nil)
        let finding = machine.compared(.init(lead: .milliseconds(101_500)), wasSet: true, at: at(1000))
        #expect(words(finding) == "warning: the clock was set by +1.5 s")
        #expect(value("steps", machine) == .integer(1) && value("last_step_s", machine) == .number(1.5))
        #expect(machine.deadline == at(61_000))
        #expect(machine.tick(at: at(61_000))?.status == .ok)
    }

    @Test func `a step back is seen at a poll too, and noise is none`() throws {
        var machine = machine()
        _ = machine.answered(try tracking(), at: at(0), wall: wall)
        _ = machine.compared(
            .init(lead: .seconds(100), uncertainty: .microseconds(1)), wasSet: false, at: at(0))
        let noise = ClockMachine.WallLead(
            lead: .seconds(100) + .microseconds(300), uncertainty: .milliseconds(1))
        #expect(machine.compared(noise, wasSet: false, at: at(1)) == nil)
        #expect(value("steps", machine) == .integer(0))
        let finding = machine.compared(
            .init(lead: .seconds(99), uncertainty: .microseconds(1)), wasSet: false, at: at(2))
        #expect(words(finding) == "warning: the clock was set by -1.0 s")
    }

    @Test func `a step below the least is counted and not told`() throws {
        var machine = machine()
        _ = machine.answered(try tracking(), at: at(0), wall: wall)
        _ = machine.compared(.init(lead: .seconds(100)), wasSet: false, at: at(0))
        #expect(
            machine.compared(.init(lead: .seconds(100) + .microseconds(3)), wasSet: true, at: at(1)) == nil)
        #expect(value("steps", machine) == .integer(1))
    }
}

struct ShortTimeTests {
    @Test(arguments: [
        (12.34e-6, "12.3 µs"), (-0.0015, "-1.5 ms"), (2, "2.0 s"), (0, "0.0 µs"), (1e300, "1e+300 s"),
    ])
    func `a time is spelled in its unit`(seconds: Double, text: String) {
        #expect(shortTime(seconds) == text)
    }
}
