// File systems, disks, arrays and probes as dialogues.
import Basics
import Configuration
import Detection
import Glibc
import Linux
import Testing
import Wire

@testable import Watchers

private let gigabyte: UInt64 = 1_000_000_000

private func usage(used: Double, inodesUsed: Double = 0.1) -> FileSystemUsage {
    let free = UInt64((100 * (1 - used)).rounded()) * gigabyte
    return FileSystemUsage(
        sizeBytes: 100 * gigabyte, freeBytes: free, availableBytes: free, inodes: 1000,
        freeInodes: UInt64(1000 * (1 - inodesUsed)))
}

/// A mount and its clock, in milliseconds.
private struct Mount {
    var options = DiskOptions()
    var machine: MountMachine
    var facts = MountFacts(type: "ext4", source: "/dev/sda1")
    var now: Int64 = 1_000_000

    init(dwell: Duration = .zero, window: Duration = .seconds(60)) {
        options.space = LimitOptions(
            warning: 0.9, critical: 0.95, dwell: dwell)
        options.inodes = options.space
        options.fullInHours = LimitOptions(warning: 24, critical: 4, dwell: dwell)
        options.forecastWindow = window
        machine = MountMachine(Subject(.disk, "/data"), options)
        _ = machine.mounted(facts, at: at(now))
    }

    mutating func passes(_ milliseconds: Int64) -> Finding? {
        now += milliseconds
        return machine.tick(at: at(now))
    }

    mutating func asks() { machine.asked(at: at(now)) }

    mutating func answers(_ usage: FileSystemUsage, after milliseconds: Int64 = 1000) -> Finding? {
        now += milliseconds
        return machine.answered(usage, at: at(now))
    }

    mutating func becomes(_ change: (inout MountFacts) -> Void) -> Finding? {
        change(&facts)
        return machine.mounted(facts, at: at(now))
    }

    var finding: Finding { machine.finding(at: at(now)) }

    func value(_ name: String) -> Value? { finding.values.first { $0.name == name }?.value }
}

private func words(_ finding: Finding?) -> String {
    finding.map { "\($0.status.rawValue): \($0.reason)" } ?? "nothing"
}

struct MountMachineTests {
    @Test func `it is unknown until it has answered`() {
        var mount = Mount()
        #expect(words(mount.finding) == "unknown: not asked yet")
        #expect(words(mount.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sda1")
        #expect(mount.answers(usage(used: 0.6)) == nil)
        #expect(mount.value("used_ratio") == .number(0.6))
    }

    @Test func `space is a limit, told in whole per cent that do not dance`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        #expect(words(mount.answers(usage(used: 0.91))) == "warning: 91 % of its space is used")
        #expect(mount.answers(usage(used: 0.92)) == nil)
        #expect(words(mount.answers(usage(used: 0.93))) == "warning: 93 % of its space is used")
        #expect(mount.answers(usage(used: 0.92)) == nil)
        #expect(words(mount.answers(usage(used: 1))) == "critical: 100 % of its space is used")
        #expect(words(mount.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sda1")
    }

    @Test func `a burst shorter than the dwell is no alarm`() {
        var mount = Mount(dwell: .seconds(5))
        _ = mount.answers(usage(used: 0.5))
        #expect(mount.answers(usage(used: 0.97)) == nil)
        #expect(mount.answers(usage(used: 0.5)) == nil)
        #expect(mount.answers(usage(used: 0.97)) == nil)
        #expect(words(mount.passes(5000)) == "critical: 97 % of its space is used")
    }

    @Test func `inodes run out on their own, and the worst is told first`() {
        var mount = Mount()
        #expect(
            words(mount.answers(usage(used: 0.1, inodesUsed: 1))) == "critical: 100 % of its inodes are used")
        let both = words(mount.answers(usage(used: 0.91, inodesUsed: 1)))
        #expect(both == "critical: 100 % of its inodes are used; 91 % of its space is used")
    }

    @Test func `what root keeps for itself is neither used nor free`() {
        let reserved = FileSystemUsage(sizeBytes: 100, freeBytes: 10, availableBytes: 5)
        #expect(MountMachine.usedRatio(reserved) == 90.0 / 95)
        #expect(MountMachine.usedRatio(.init(sizeBytes: 0, freeBytes: 0, availableBytes: 0)) == nil)
        #expect(MountMachine.usedInodesRatio(reserved) == nil)
    }

    @Test func `it is told when it will be full`() {
        var mount = Mount(window: .seconds(60))
        var told: [String] = []
        for second in 0..<60 {
            // One per cent in ten seconds.
            let free = UInt64(50 * gigabyte) - UInt64(second) * (gigabyte / 10)
            let usage = FileSystemUsage(sizeBytes: 100 * gigabyte, freeBytes: free, availableBytes: free)
            if let finding = mount.answers(usage) { told.append(words(finding)) }
        }
        #expect(told == ["ok: ext4 on /dev/sda1", "critical: full in 8 min if it goes on like this"])
        #expect(mount.value("full_in_s") != nil)
    }

    @Test func `no answer in time is critical, told again each time that it has lasted twice as long`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        mount.asks()
        #expect(mount.machine.deadline == at(mount.now + 1400))
        #expect(mount.passes(1399) == nil)
        #expect(words(mount.passes(1)) == "critical: does not answer for 1.4 s")
        #expect(mount.passes(1000) == nil)
        #expect(mount.value("unanswered_s") == .number(2.4))
        #expect(words(mount.passes(400)) == "critical: does not answer for 2.8 s")
        #expect(words(mount.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sda1")
        #expect(mount.value("unanswered_s") == nil)
    }

    @Test func `a question that is given up is no hang, and its time is awaited no longer`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        mount.asks()
        #expect(words(mount.passes(1400)) == "critical: does not answer for 1.4 s")
        mount.machine.givenUp()
        #expect(mount.machine.deadline == nil)
        #expect(words(mount.passes(1400)) == "ok: ext4 on /dev/sda1")
    }

    @Test func `a hang that is none by other options is awaited anew, and one that stays is told on`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        mount.asks()
        let asked = mount.now
        #expect(words(mount.passes(1500)) == "critical: does not answer for 1.5 s")
        var options = mount.options
        options.hangAfter = .seconds(1)
        #expect(mount.machine.reconfigure(options, at: at(mount.now)) == nil)
        #expect(mount.machine.deadline == at(asked + 3000))
        options.hangAfter = .seconds(600)
        mount.now += 500
        let judged = mount.machine.reconfigure(options, at: at(mount.now))
        #expect(words(judged) == "ok: ext4 on /dev/sda1")
        #expect(mount.passes(1000) == nil)
        #expect(mount.machine.deadline == at(asked + 600_000))
        #expect(words(mount.passes(597_000)) == "critical: does not answer for 600.0 s")
    }

    @Test func `becoming read-only is critical, having been mounted so is not`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        let kernel = mount.becomes { $0.isReadOnly = true }
        #expect(words(kernel).hasPrefix("critical: the kernel has made it read-only"))
        let person = mount.becomes { $0.isMountReadOnly = true }
        #expect(words(person) == "critical: remounted read-only")
        #expect(words(mount.becomes { $0.isReadOnly = false }) == "ok: ext4 on /dev/sda1")

        var archive = Mount()
        _ = archive.machine.unmounted(at: at(archive.now))
        _ = archive.becomes { ($0.isReadOnly, $0.isMountReadOnly) = (true, true) }
        #expect(words(archive.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sda1, mounted read-only")
    }

    @Test func `errors of the past warn, new ones are critical for an hour`() {
        var mount = Mount()
        _ = mount.becomes { $0.errors = 0 }
        _ = mount.answers(usage(used: 0.5))
        #expect(
            words(mount.becomes { $0.errors = 2 }).hasPrefix("critical: ext4 has noted new errors (2 in all)")
        )
        #expect(mount.passes(3_599_000) == nil)
        #expect(words(mount.passes(1000)).hasPrefix("warning: ext4 has noted 2 errors"))
        #expect(mount.machine.deadline == nil)
        #expect(words(mount.becomes { $0.errors = 0 }) == "ok: ext4 on /dev/sda1")
    }

    @Test func `an answer with an error is critical, a refusal is unknown`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        let dead = mount.machine.failed(SystemError("statvfs /data", number: EIO), at: at(mount.now))
        #expect(words(dead) == "critical: statvfs /data: Input/output error")
        let hidden = mount.machine.failed(SystemError("statvfs /data", number: EACCES), at: at(mount.now))
        #expect(words(hidden) == "unknown: cannot be asked: statvfs /data: Permission denied")
        #expect(words(mount.machine.notAsked(at: at(mount.now))).hasPrefix("unknown: not asked while"))
    }

    @Test func `insane figures are unknown and disturb no limit`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        let insane = FileSystemUsage(sizeBytes: 10, freeBytes: 11, availableBytes: .max)
        #expect(words(mount.answers(insane)) == "unknown: it says that more is free than it has")
        #expect(words(mount.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sda1")
        let largest = FileSystemUsage(sizeBytes: .max, freeBytes: .max, availableBytes: .max)
        #expect(words(mount.answers(largest)) == "nothing")
    }

    @Test func `a device that is gone, a mount that is missing, and one out of sight`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.5))
        let gone = mount.becomes { $0.goneDevice = "sda1" }
        #expect(words(gone) == "critical: its device sda1 is gone while it is mounted")
        #expect(words(mount.machine.unmounted(at: at(mount.now))) == "critical: not mounted")
        let back = mount.becomes { ($0.goneDevice, $0.isInSight) = (nil, false) }
        #expect(words(back) == "unknown: mounted on the host, and out of the agent's sight")
    }

    @Test func `other options keep the state, and judge it at once`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.93))
        var options = mount.options
        options.inodes = LimitOptions(warning: 0.5)
        #expect(mount.machine.reconfigure(options, at: at(mount.now)) == nil)
        options.space = LimitOptions(critical: 0.92)
        let judged = mount.machine.reconfigure(options, at: at(mount.now))
        #expect(words(judged) == "critical: 93 % of its space is used")
    }

    @Test func `another file system at the same place begins anew`() {
        var mount = Mount()
        _ = mount.answers(usage(used: 0.99))
        let other = mount.becomes { $0.source = "/dev/sdb1" }
        #expect(words(other) == "unknown: not asked yet")
        #expect(words(mount.answers(usage(used: 0.5))) == "ok: ext4 on /dev/sdb1")
    }
}

struct OpenQuestionsTests {
    @Test func `the answer to a question that was given up does not count, nor does it end the next one`() {
        var questions = OpenQuestions()
        let first = questions.put("/data")
        #expect(questions.wait(for: "/data") && !questions.wait(for: "/srv"))
        questions.giveUp("/data")
        #expect(!questions.wait(for: "/data"))
        let second = questions.put("/data")
        #expect(!questions.wait(for: "/data", first) && questions.wait(for: "/data", second))
        #expect(questions.answered("/data", first) == false)
        #expect(questions.wait(for: "/data"))
        #expect(questions.answered("/data", second) == true)
        #expect(!questions.wait(for: "/data"))
        #expect(questions.answered("/data", second) == false)
        let third = questions.put("/data")
        questions.giveUpAll()
        #expect(questions.answered("/data", third) == false)
    }
}

struct PatientAlarmTests {
    @Test func `after an absence answers have their time, and then what is overdue is judged`() {
        var alarm = PatientAlarm()
        #expect(alarm.rang(at: at(0)) == true)
        #expect(alarm.set(for: at(1000)) == at(1000))
        #expect(alarm.rang(at: at(1250)) == true, "that is no absence")
        #expect(alarm.set(for: at(2000)) == at(2000))
        #expect(alarm.rang(at: at(5000)) == false)
        #expect(alarm.set(for: at(2000)) == at(5020))
        // An answer sets it anew, and what is overdue stays so.
        #expect(alarm.set(for: at(2000)) == at(5020))
        #expect(alarm.rang(at: at(5010)) == false)
        #expect(alarm.set(for: at(2000)) == at(5020))
        #expect(alarm.rang(at: at(5020)) == true)
        #expect(alarm.set(for: at(6000)) == at(6000))
    }
}

/// A device and its clock, in seconds.
private struct Device {
    var machine: DeviceMachine
    var statistics = DiskStatistics()
    var now: Int64 = 1000

    init(dwell: Duration = .zero) {
        var options = DiskOptions()
        options.latency = LimitOptions(
            warning: 0.2, critical: 2, dwell: dwell)
        options.utilisation = LimitOptions(warning: 0.95)
        machine = DeviceMachine(Subject(.disk, "sda"), options)
    }

    /// A second in which so many writes took so long each.
    mutating func works(
        writes: UInt64 = 0, milliseconds: UInt64 = 0, inFlight: UInt64 = 0, busy: UInt64 = 0,
        discards: UInt64 = 0, flushes: UInt64 = 0, array: MDArray? = nil
    ) -> Finding? {
        now += 1
        statistics.discards += discards
        statistics.flushes += flushes
        statistics.writes += writes
        statistics.writtenSectors += writes * 8
        statistics.writeMilliseconds += writes * milliseconds
        statistics.busyMilliseconds += busy
        statistics.inFlight = inFlight
        return machine.read(statistics, array: array, dependsOn: [], at: at(now * 1000))
    }

    func value(_ name: String) -> Value? { machine.values.first { $0.name == name }?.value }
}

struct DeviceMachineTests {
    @Test func `rates are of the time between two readings`() {
        var device = Device()
        #expect(words(device.works()) == "ok: working")
        #expect(device.works(writes: 100, milliseconds: 3, busy: 300) == nil)
        #expect(device.value("latency_s") == .number(0.003))
        #expect(device.value("utilisation_ratio") == .number(0.3))
        #expect(device.value("writes_per_s") == .number(100))
        #expect(device.value("written_bytes_per_s") == .number(409_600))
        _ = device.works()
        #expect(device.value("latency_s") == nil)
    }

    @Test func `slow requests are a limit`() {
        var device = Device()
        _ = device.works()
        #expect(words(device.works(writes: 10, milliseconds: 300)) == "warning: a request takes 300 ms")
        #expect(device.works(writes: 10, milliseconds: 400) == nil)
        #expect(words(device.works(writes: 1, milliseconds: 2500)) == "critical: a request takes 2.5 s")
        #expect(words(device.works(writes: 10, milliseconds: 1)) == "ok: working")
    }

    @Test func `a device that completes nothing is as slow as its oldest request`() {
        var device = Device(dwell: .seconds(3))
        _ = device.works(writes: 1)
        for _ in 0..<3 { #expect(device.works(inFlight: 2) == nil) }
        #expect(words(device.works(inFlight: 2)) == "warning: a request takes 4.0 s")
        #expect(words(device.works(inFlight: 2)) == "critical: a request takes 4.0 s")
        for _ in 0..<3 { _ = device.works(writes: 2) }
        #expect(words(device.works(writes: 2)) == "ok: working")
    }

    @Test func `a device that discards or flushes, and is asked nothing else, does not hang`() {
        var device = Device()
        _ = device.works()
        for _ in 0..<20 { #expect(device.works(inFlight: 2, discards: 3) == nil) }
        for _ in 0..<20 { #expect(device.works(inFlight: 1, flushes: 1) == nil) }
        #expect(device.value("latency_s") == nil)
        #expect(words(device.works(inFlight: 2)) == "warning: a request takes 1.0 s")
    }

    @Test func `a busy device is a limit of its own`() {
        var device = Device()
        _ = device.works()
        #expect(
            words(device.works(writes: 10, milliseconds: 1, busy: 1000))
                == "warning: busy almost all the time")
    }

    @Test func `a counter that goes back is another device, and no figure`() {
        var device = Device()
        _ = device.works(writes: 100)
        _ = device.works(writes: 100, milliseconds: 1)
        device.statistics = DiskStatistics()
        #expect(device.works() == nil)
        #expect(device.value("writes_per_s") == nil)
        _ = device.works(writes: 5, milliseconds: 1)
        #expect(device.value("writes_per_s") == .number(5))
    }

    @Test func `gone is critical and unreadable is unknown, by name`() {
        var device = Device()
        _ = device.works()
        let gone = device.machine.gone("/data is mounted from it", at: at(2_000_000))
        #expect(words(gone) == "critical: gone, and /data is mounted from it")
        #expect(device.machine.values.isEmpty)
        let unreadable = device.machine.unreadable("open /proc/diskstats: no", at: at(2_001_000))
        #expect(words(unreadable) == "unknown: open /proc/diskstats: no")
        #expect(words(device.works()) == "ok: working")
    }

    private func array(_ level: String, _ working: Int, of wanted: Int) -> MDArray {
        var array = MDArray(name: "md0")
        (array.level, array.wanted, array.working) = (level, wanted, working)
        return array
    }

    @Test(arguments: [
        ("raid1", 2, 2, Status.ok), ("raid1", 1, 2, .critical), ("raid1", 2, 3, .warning),
        ("raid5", 2, 3, .critical), ("raid6", 3, 4, .warning), ("raid6", 2, 4, .critical),
        ("raid10", 3, 4, .critical),
    ])
    func `an array without a member is as bad as its level has it`(
        level: String, working: Int, wanted: Int, status: Status
    ) {
        var device = Device()
        #expect(device.works(array: array(level, working, of: wanted))?.status == status)
    }

    @Test func `an array from its failure to its repair`() {
        var device = Device()
        #expect(words(device.works(array: array("raid1", 2, of: 2))) == "ok: raid1, all 2 members")
        var broken = array("raid1", 1, of: 2)
        broken.failed = ["sdb1"]
        let failed = words(device.works(array: broken))
        #expect(failed.hasPrefix("critical: 1 of 2 members: the next failure loses data"))
        #expect(failed.hasSuffix("; failed: sdb1"))
        var rebuilt = array("raid1", 1, of: 2)
        (rebuilt.operation, rebuilt.progress) = (.recovery, 0.5)
        #expect(words(device.works(array: rebuilt)) == "warning: 1 of 2 members, being rebuilt")
        #expect(device.value("progress_ratio") == .number(0.5))
        #expect(words(device.works(array: array("raid1", 2, of: 2))) == "ok: raid1, all 2 members")
        var checked = array("raid1", 2, of: 2)
        checked.operation = .check
        #expect(words(device.works(array: checked)) == "ok: raid1, all 2 members, check")
        var inactive = MDArray(name: "md0")
        inactive.isActive = false
        #expect(words(device.works(array: inactive)) == "critical: the array is not active")
    }
}

struct ProbeMachineTests {
    private func machine() -> ProbeMachine {
        ProbeMachine(DiskProbeOptions(name: "journal"), hangAfter: .seconds(2), dependsOn: [])
    }

    @Test func `writes that take too long, fail, hang and recover`() {
        var probe = machine()
        #expect(words(probe.finding(at: at(0))) == "unknown: not written yet")
        let quick = WriteProbe(latency: .milliseconds(2), isDirect: true)
        #expect(words(probe.wrote(quick, at: at(1000))) == "ok: writes reach the disk")
        let slow = WriteProbe(latency: .milliseconds(150), isDirect: true)
        #expect(words(probe.wrote(slow, at: at(2000))) == "warning: a write takes 150 ms to reach the disk")
        let full = SystemError("write /data/x", number: ENOSPC)
        #expect(words(probe.failed(full, at: at(3000))) == "critical: write /data/x: No space left on device")
        let forbidden = SystemError("open /data/x", number: EROFS)
        #expect(words(probe.failed(forbidden, at: at(4000))).hasPrefix("unknown: cannot be tried: "))
        probe.asked(at: at(5000))
        #expect(probe.deadline == at(7000))
        #expect(words(probe.tick(at: at(7000))) == "critical: a write is not done for 2.0 s")
        #expect(words(probe.wrote(quick, at: at(8000))) == "ok: writes reach the disk")
    }
}
