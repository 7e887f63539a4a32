// Pressure, memory, load and sensors: the kernel's files as recorded on real hosts, missing and garbled ones, and the
// gauges in dialogue.
import Basics
import Configuration
import Detection
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Watchers

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

struct PressureTextTests {
    @Test func `a file of pressure is read`() throws {
        let stall = try #require(
            PressureStall(
                bytes(
                    "some avg10=7.39 avg60=1.66 avg300=1.13 total=258\nfull avg10=0.06 avg60=1 avg300=1 total=1\n"
                )))
        #expect(abs(stall.some - 0.0739) < 1e-9)
        #expect(stall.full.map { abs($0 - 0.0006) < 1e-9 } == true)
        #expect(PressureStall(bytes("some avg10=0.10 avg60=2.00 avg300=3.85 total=15\n"))?.full == nil)
    }

    @Test(arguments: [
        "", "some", "full avg10=1 total=1\n", "some avg10=x", "some avg10=-1", "none avg10=1",
        "some avg10=900",
    ])
    func `what is no file of pressure is none`(text: String) { #expect(PressureStall(bytes(text)) == nil) }

    @Test func `memory is read, in bytes`() throws {
        let text =
            "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   300 kB\nSwapTotal: 100 kB\nSwapFree: 25 kB\n"
        let memory = try #require(MemoryState(bytes(text)))
        #expect(memory.total == 1_024_000 && memory.available == 307_200)
        let values = PressureMachines.measured(memory, stall: nil)
        #expect(values["available_ratio"] == 0.3 && values["swap_used_ratio"] == 0.75)
    }

    @Test(arguments: [
        "", "MemTotal: x kB\n", "MemTotal: 0 kB\n", "MemTotal: 99999999999999999999 kB\n", "\u{0}\u{1}",
    ])
    func `what is no file of memory is none`(text: String) { #expect(MemoryState(bytes(text)) == nil) }

    @Test func `the load is read`() {
        #expect(LoadAverage(bytes("0.21 0.37 0.39 1/719 19737\n"))?.averages == [0.21, 0.37, 0.39])
        for bad in ["", "1 2", "a b c d", "nan inf 1 1/2 3"] { #expect(LoadAverage(bytes(bad)) == nil) }
    }

    @Test(arguments: [("12", 12), ("-5\n", -5), ("007 x", 7)])
    func `a number of the kernel is read`(text: String, value: Int64) {
        #expect(DecimalText.integer(bytes(text)) == value)
    }

    @Test(arguments: ["", "-", "1.5", "x", "1234567890123456789"])
    func `what is no number is none`(text: String) { #expect(DecimalText.integer(bytes(text)) == nil) }

    @Test(.enabled(if: recordings != nil)) func `recorded hosts are read`() throws {
        let host = try #require(recordings) + "/host"
        for name in [
            "procfs/proc/pressure/cpu", "procfs/proc/pressure/io", "node_exporter/proc/pressure/memory",
        ] {
            #expect(PressureStall(try Files.read("\(host)/\(name)")) != nil, "\(name)")
        }
        for name in ["procfs", "node_exporter"] {
            #expect(MemoryState(try Files.read("\(host)/\(name)/proc/meminfo")) != nil, "\(name)")
            #expect(LoadAverage(try Files.read("\(host)/\(name)/proc/loadavg")) != nil, "\(name)")
        }
        var roots = FileRoots()
        roots.sys = "\(host)/node_exporter/sys"
        let sensors = SensorBank.find(roots)
        #expect(sensors.map(\.name) == ["hwmon4_foosensor", "hwmon4_foosensor_hwmon4_temp2"])
        #expect(sensors.first?.kind == .temperature(maximum: 100, critical: 100))
        #expect(try sensors.first?.read() == 55)
    }
}

struct GaugeMachineTests {
    private func machine() -> GaugeMachine {
        let level = Limit.Level(raise: 0.1, clear: 0.2)
        return GaugeMachine(
            Subject(.pressure, "memory"), fine: "enough memory",
            [
                Gauge("available_ratio", Limit(.below, warning: level, critical: nil, dwell: .seconds(5))) {
                    "\(percent($0)) of memory is available"
                },
                Gauge("full_ratio", Limit(.above, warning: nil, critical: .init(raise: 0.5, clear: 0.4))) {
                    "waits \(percent($0))"
                },
            ])
    }

    private func words(_ finding: Finding?) -> String? { finding.map { "\($0.status): \($0.reason)" } }

    @Test func `a value beyond its limit is told after its dwell, and the worst first`() {
        var machine = machine()
        #expect(machine.started().status == .unknown)
        let fine = ["available_ratio": 0.5, "full_ratio": 0]
        #expect(words(machine.observed(fine, at: at(0))) == "ok: enough memory")
        #expect(machine.observed(fine, at: at(1000)) == nil)
        #expect(machine.observed(["available_ratio": 0.05, "full_ratio": 0], at: at(2000)) == nil)
        #expect(machine.deadline == at(7000))
        #expect(words(machine.tick(at: at(7000))) == "warning: 5.0 % of memory is available")
        let finding = machine.observed(["available_ratio": 0.04, "full_ratio": 0.9], at: at(8000))
        #expect(words(finding) == "critical: waits 90.0 %, 4.0 % of memory is available")
        #expect(finding?.values.first == NamedValue("available_ratio", .number(0.04)))
    }

    @Test func `what is missing is named and counted, and disturbs nothing else`() {
        var machine = machine()
        _ = machine.started()
        let finding = machine.observed(
            ["full_ratio": 0.9], missing: ["/proc/meminfo: other contents"], at: at(0))
        #expect(words(finding) == "critical: waits 90.0 %")
        #expect(finding?.values.contains(NamedValue("unreadable", .integer(1))) == true)
        let well = machine.observed(["full_ratio": 0], missing: ["/proc/meminfo: other contents"], at: at(1))
        #expect(words(well) == "ok: enough memory; not known: /proc/meminfo: other contents")
        let blind = machine.observed([:], missing: ["a", "b"], at: at(2))
        #expect(words(blind) == "unknown: not known: a and 1 more")
        #expect(
            words(machine.observed(["available_ratio": 0.5, "full_ratio": 0], at: at(3)))
                == "ok: enough memory")
    }
}

struct PressureRecorderTests {
    @Test func `sums of waiting time are read, of files with one line and with two`() throws {
        let two =
            "some avg10=7.39 avg60=1.66 avg300=1.13 total=258\nfull avg10=0.06 avg60=1 avg300=1 total=17\n"
        let totals = try #require(StallTotals(bytes(two)[...]))
        #expect(totals.some == 258 && totals.full == 17)
        let one = try #require(StallTotals(bytes("some avg10=0.10 avg60=2.00 avg300=3.85 total=15\n")[...]))
        #expect(one.some == 15 && one.full == nil)
    }

    @Test(arguments: [
        "", "some", "some \n", "full avg10=1 total=1\n", "some avg10=1 total=x\n", "some avg10=1 total=-1\n",
        "some avg10=1 total=99999999999999999999\n", "some avg10=1\n", "some total=1\nnone total=1\n",
        "some total=1\nfull", "some total=1",
    ])
    func `what has no sums has none`(text: String) { #expect(StallTotals(bytes(text)[...]) == nil) }

    private func told(_ readings: [Sample]) -> [String] {
        readings.flatMap { reading in
            reading.values.map { "\(reading.subject.name) \($0.name) \($0.value.json.text)" }
        }
    }

    @Test func `shares are those of the time between two readings, and a sum that went back is none`() throws
    {
        var roots = FileRoots()
        roots.proc = "/tmp/holdfast-proc-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        for folder in [roots.proc, "\(roots.proc)/pressure"] { try Files.makeFolder(folder, mode: 0o700) }
        func put(_ name: String, _ text: String) throws {
            let descriptor = Descriptor(
                owning: open("\(roots.proc)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600))
            #expect(write(descriptor.raw, text, text.utf8.count) == text.utf8.count)
        }
        try put("pressure/cpu", "some total=1000\n")
        try put("pressure/io", "some total=1000\nfull total=500\n")
        let recorder = PressureRecorder(roots)
        recorder.open()
        #expect(recorder.readings(at: at(0)).isEmpty)
        try put("pressure/cpu", "some total=26000\n")
        try put("pressure/io", "some total=901000\nfull total=500\n")
        #expect(
            told(recorder.readings(at: at(100))) == [
                "cpu waiting_ratio 0.25", "io waiting_ratio 1.0", "io all_waiting_ratio 0.0",
            ])
        try put("pressure/cpu", "some total=7\n")
        try put("pressure/io", "garbled\n")
        recorder.open()
        #expect(recorder.readings(at: at(200)).isEmpty)
        try put("pressure/cpu", "some total=25007\n")
        #expect(told(recorder.readings(at: at(300))) == ["cpu waiting_ratio 0.25"])
        recorder.close()
        #expect(recorder.readings(at: at(400)).isEmpty)
    }
}

struct SensorTests {
    /// A /sys of its own, made of these files.
    private func tree(_ files: [String: String]) throws -> FileRoots {
        var roots = FileRoots()
        roots.sys = "/tmp/holdfast-sys-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        for (name, text) in files { try put(text, "\(roots.sys)/\(name)") }
        return roots
    }

    private func put(_ text: String, _ path: String) throws {
        var folder = ""
        for part in path.split(separator: "/").dropLast() {
            folder += "/" + part
            try Files.makeFolder(folder, mode: 0o700)
        }
        try Files.write(Array(text.utf8), to: path, .init(mode: 0o600), replacing: true, durably: false)
    }

    /// What the sensors amount to, in words; files are read anew.
    private func look(_ sensors: [Sensor], _ machines: inout SensorMachines, at now: Instant) -> [String] {
        machines.observed(SensorBank.read(sensors), at: now).map {
            "\($0.subject.name) \($0.status): \($0.reason)"
        }
    }

    private let chip = "class/hwmon/hwmon0"

    @Test func `a sensor's own limits hold, and the configuration's before them`() throws {
        let roots = try tree([
            "\(chip)/name": "coretemp\n", "\(chip)/temp1_label": "Core 0\n", "\(chip)/temp1_input": "85000\n",
            "\(chip)/temp1_max": "80000\n", "\(chip)/temp1_crit": "100000\n",
        ])
        var options = PressureOptions()
        options.temperature.dwell = .zero
        let sensors = SensorBank.find(roots)
        var machines = SensorMachines(sensors, options)
        #expect(machines.started().map(\.subject.name) == ["temperature"])
        #expect(look(sensors, &machines, at: at(0)) == ["temperature warning: coretemp Core 0 at 85 °C"])
        #expect(machines.temperature?.values == [NamedValue("coretemp_core_0_celsius", .number(85))])
        options.temperature.warning = 60
        options.temperature.critical = 84
        machines = SensorMachines(sensors, options)
        #expect(look(sensors, &machines, at: at(0)) == ["temperature critical: coretemp Core 0 at 85 °C"])
    }

    @Test func `sensors that say nothing sane at the start are none, and later are named`() throws {
        let roots = try tree([
            "\(chip)/temp1_input": "-128000\n", "\(chip)/temp2_input": "255500\n",
            "\(chip)/temp3_input": "warm\n",
            "\(chip)/temp4_input": "40000\n", "\(chip)/temp4_crit": "0\n", "\(chip)/in0_input": "12\n",
        ])
        let sensors = SensorBank.find(roots)
        #expect(sensors.map(\.label) == ["hwmon0 temp4"])
        #expect(sensors.first?.kind == .temperature(maximum: nil, critical: nil))
        var machines = SensorMachines(sensors, PressureOptions())
        #expect(look(sensors, &machines, at: at(0)) == ["temperature ok: all sensors below their limits"])
        // The same file: the driver's answer changes, not the name.
        let file = "\(roots.sys)/\(chip)/temp4_input"
        let descriptor = Descriptor(owning: open(file, O_WRONLY | O_TRUNC))
        #expect(write(descriptor.raw, "hot", 3) == 3)
        #expect(
            look(sensors, &machines, at: at(1)) == [
                "temperature unknown: not known: hwmon0 temp4: no sane value"
            ])
    }

    @Test func `a fan that turned and stands is told, one that never turned is not`() throws {
        let roots = try tree([
            "\(chip)/name": "nct\n", "\(chip)/fan1_input": "0\n", "\(chip)/fan2_input": "900\n",
        ])
        let sensors = SensorBank.find(roots)
        var machines = SensorMachines(sensors, PressureOptions())
        #expect(look(sensors, &machines, at: at(0)) == ["fan ok: no fan has stopped"])
        let descriptor = Descriptor(owning: open("\(roots.sys)/\(chip)/fan2_input", O_WRONLY | O_TRUNC))
        #expect(write(descriptor.raw, "0\n", 2) == 2)
        #expect(look(sensors, &machines, at: at(1000)) == [])
        #expect(machines.tick(at: at(11_000)).map(\.reason) == ["nct fan2 has stopped"])
    }

    @Test func `new errors of memory are told, old ones are not`() throws {
        let controller = "devices/system/edac/mc/mc0"
        let roots = try tree(["\(controller)/ce_count": "500\n", "\(controller)/ue_count": "3\n"])
        let sensors = SensorBank.find(roots)
        var machines = SensorMachines(sensors, PressureOptions())
        #expect(
            look(sensors, &machines, at: at(0)) == ["memory-errors ok: no memory errors in the last hour"])
        func count(_ file: String, _ text: String) {
            let descriptor = Descriptor(
                owning: open("\(roots.sys)/\(controller)/\(file)", O_WRONLY | O_TRUNC))
            #expect(write(descriptor.raw, text, text.utf8.count) == text.utf8.count)
        }
        count("ce_count", "515")
        #expect(
            look(sensors, &machines, at: at(5000)).first?.hasPrefix("memory-errors warning: 15 memory errors")
                == true)
        count("ue_count", "4")
        #expect(
            look(sensors, &machines, at: at(6000)).first?.hasPrefix("memory-errors critical: 1 memory error ")
                == true)
        #expect(
            look(sensors, &machines, at: at(3_700_000)) == [
                "memory-errors ok: no memory errors in the last hour"
            ])
        // A counter that goes back was reset.
        count("ue_count", "0")
        #expect(look(sensors, &machines, at: at(3_701_000)) == [])
    }

    @Test func `a sensor that appears changes nothing for the others, and one that cannot be read stays one`()
        throws
    {
        let controller = "devices/system/edac/mc/mc0"
        let roots = try tree([
            "\(chip)/name": "nct\n", "\(chip)/temp1_input": "90000\n", "\(chip)/fan1_input": "900\n",
            "\(controller)/ce_count": "0\n",
        ])
        var options = PressureOptions()
        (options.temperature.warning, options.temperature.dwell) = (80, .zero)
        var sensors = SensorBank.find(roots)
        var machines = SensorMachines(sensors, options)
        _ = look(sensors, &machines, at: at(0))
        try put("500\n", "\(roots.sys)/\(controller)/ce_count")
        try put("0\n", "\(roots.sys)/\(chip)/fan1_input")
        try put("warm\n", "\(roots.sys)/\(chip)/temp1_input")
        try put("30000\n", "\(roots.sys)/\(chip)/temp2_input")
        let known = Set(sensors.map(\.identity))
        sensors = SensorBank.find(roots, known: known)
        #expect(sensors.map(\.label) == ["nct temp1", "nct temp2", "nct fan1", "mc0 ce_count"])
        let before = machines
        machines = SensorMachines(sensors, options)
        machines.inherit(before)
        #expect(machines.temperature?.finding?.reason == "nct temp1 at 90 °C")
        #expect(
            look(sensors, &machines, at: at(1000)) == [
                "temperature ok: all sensors below their limits; not known: nct temp1: no sane value",
                "memory-errors warning: 500 memory errors in the last hour were corrected: replace the module"
                    + " before it fails",
            ])
        #expect(machines.tick(at: at(11_000)).map(\.reason) == ["nct fan1 has stopped"])
    }

    @Test func `sensors that do not answer are unknown after a few turns, and judged anew when they do`()
        throws
    {
        let roots = try tree(["\(chip)/name": "nct\n", "\(chip)/temp1_input": "40000\n"])
        let sensors = SensorBank.find(roots)
        var machines = SensorMachines(sensors, PressureOptions())
        _ = look(sensors, &machines, at: at(0))
        #expect(machines.notAnswered(at: at(5000)).isEmpty && machines.notAnswered(at: at(10_000)).isEmpty)
        let told = machines.notAnswered(at: at(15_000))
        #expect(told.map(\.status) == [.unknown])
        #expect(told.map(\.reason) == ["not known: the sensors do not answer"])
        #expect(machines.notAnswered(at: at(20_000)).isEmpty)
        #expect(
            look(sensors, &machines, at: at(25_000)) == ["temperature ok: all sensors below their limits"])
    }

    @Test func `a storm of errors stays in its bound and is not lost`() {
        var window = ErrorWindow()
        window.counted(0, of: "mc0", at: at(0))
        for second in 1...7200 { window.counted(Double(second), of: "mc0", at: at(Int64(second) * 1000)) }
        let count = window.count(at: at(7_200_000))
        #expect((3500...3700).contains(count))
    }
}

@Suite(.serialized) struct PressureWatcherTests {
    private func run(_ roots: FileRoots, until done: ([Subject: Report]) -> Bool) throws -> [Subject: Report]
    {
        let loop = try EventLoop()
        var reports: [Subject: Report] = [:]
        let context = try WatcherContext(
            loop: loop, worker: Worker(loop), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            roots: roots, report: { reports[$0.subject] = $0 }, sample: { _ in }, forget: { _ in })
        let watcher = try PressureWatcher(context, AgentOptions())
        watcher.start()
        for _ in 0..<2000 where !done(reports) { try loop.step(atMost: .milliseconds(5)) }
        return reports
    }

    @Test(.enabled(if: recordings != nil)) func `a recorded host has its subjects`() throws {
        let host = try #require(recordings) + "/host/node_exporter"
        var roots = FileRoots()
        (roots.proc, roots.sys) = (host + "/proc", host + "/sys")
        let temperature = Subject(.pressure, "temperature")
        let reports = try run(roots) { $0[temperature]?.status == .ok }
        #expect(Set(reports.keys.map(\.name)) == ["cpu", "memory", "io", "temperature"])
        #expect(reports[Subject(.pressure, "io")]?.status == .ok)
        // The recording has no list of processors, and of memory no MemAvailable.
        #expect(reports[Subject(.pressure, "cpu")]?.reason.contains("not known") == true)
        #expect(reports[Subject(.pressure, "memory")]?.reason.contains("MemAvailable") == true)
    }

    @Test func `a host that shows nothing is unknown`() throws {
        var roots = FileRoots()
        (roots.proc, roots.sys) = ("/nonexistent", "/nonexistent")
        let memory = Subject(.pressure, "memory")
        let reports = try run(roots) { $0[memory]?.reason.contains("No such file") == true }
        #expect(reports.values.allSatisfy { $0.status == .unknown })
        #expect(Set(reports.keys.map(\.name)) == ["cpu", "memory"])
    }

    @Test func `a sensor that hangs holds up nobody else's calls`() throws {
        var roots = FileRoots()
        roots.sys = "/tmp/holdfast-sys-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        for folder in ["", "/class", "/class/hwmon", "/class/hwmon/hwmon0"] {
            try Files.makeFolder(roots.sys + folder, mode: 0o700)
        }
        // Whoever opens a pipe to read waits for somebody who writes.
        let pipe = "\(roots.sys)/class/hwmon/hwmon0/temp1_input"
        #expect(mkfifo(pipe, 0o600) == 0)
        let loop = try EventLoop()
        let worker = try Worker(loop)
        let context = try WatcherContext(
            loop: loop, worker: worker, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            roots: roots, report: { _ in }, sample: { _ in }, forget: { _ in })
        let watcher = try PressureWatcher(context, AgentOptions())
        watcher.start()
        var isAnswered = false
        worker.perform({ true }) { isAnswered = $0 }
        for _ in 0..<2000 where !isAnswered { try loop.step(atMost: .milliseconds(5)) }
        #expect(isAnswered)
        let writer = Descriptor(owning: open(pipe, O_RDWR | O_NONBLOCK))
        #expect(writer.raw >= 0)
    }
}
