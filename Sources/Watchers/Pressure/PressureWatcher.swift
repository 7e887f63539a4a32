// The shell of pressure: files of /proc kept open and read on the loop, sensors on a worker of
// their own, and the kernel's own word when tasks begin to wait, where it gives it without a real-time thread.
import Basics
public import Configuration
import Detection
public import Linux
import Logging
import Reactor
import Wire

/// Watches what the host runs short of, and its sensors.
public final class PressureWatcher: Watcher {
    /// Sensors appear when drivers load; those that vanished are looked for anew.
    private static let findEvery: Duration = .seconds(60)

    private let context: WatcherContext
    private var options: PressureOptions
    private var cpu: GaugeMachine?
    private var memory: GaugeMachine?
    private var io: GaugeMachine?
    private var sensors: SensorMachines?
    private var found: [Sensor] = []
    private var known: Set<Sensor.Identity> = []
    private var findAt = Instant.zero
    private var isReading = false
    /// Tells a worker's answer that belongs to earlier options.
    private var generation = 0
    private let recorder: PressureRecorder
    /// Some sensors sit behind a bus that hangs.
    private let sensorWorker: Worker
    private var files: [String: HeldFile] = [:]
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var processors: Result<Int, SensorFailure> = .failure(SensorFailure(words: "processors"))
    private var triggers: [Trigger] = []
    private var pollTimer: Timer?
    private var sensorTimer: Timer?
    private var dwellTimer: Timer?

    /// A file that is kept open while it can be read.
    private final class HeldFile {
        let file: PolledFile
        init(_ path: String) throws(SystemError) { file = try PolledFile(path: path) }
    }

    private final class Trigger {
        let trigger: PressureTrigger
        var source: IOSource?
        init(_ path: String, share: Double) throws(SystemError) {
            trigger = try PressureTrigger(path, share: share)
        }
    }

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.pressure
        recorder = PressureRecorder(context.roots)
        sensorWorker = try Worker(context.loop)
        pollTimer = try Timer(context.loop, accuracy: .milliseconds(250)) { [unowned self] in poll() }
        sensorTimer = try Timer(context.loop, accuracy: .milliseconds(250)) { [unowned self] in
            lookAtSensors()
        }
        dwellTimer = try Timer(context.loop, accuracy: .milliseconds(250)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        guard options.pressure != self.options else { return }
        let before = subjects
        stop()
        self.options = options.pressure
        arrange()
        for subject in before where !subjects.contains(subject) { context.forget(subject) }
    }

    public func sample() {
        // The newest values ride along with the repeats of the states.
        for finding in machines.compactMap(\.finding) {
            context.report(finding)
            context.sample(Sample(finding.subject, finding.values))
        }
    }

    public func record() {
        for reading in recorder.readings(at: context.loop.now) { context.record(reading) }
    }

    private var machines: [GaugeMachine] { [cpu, memory, io].compactMap(\.self) + (sensors?.machines ?? []) }
    private var subjects: [Subject] { machines.map(\.subject) }

    private func stop() {
        (cpu, memory, io, sensors) = (nil, nil, nil, nil)
        (found, known, files, triggers, isReading) = ([], [], [:], [], false)
        recorder.close()
        generation += 1
        for timer in [pollTimer, sensorTimer, dwellTimer] { timer?.disarm() }
    }

    private func arrange() {
        guard options.enabled else { return }
        processors = countProcessors()
        let stalls = hasStalls
        cpu = PressureMachines.cpu(options, stalls: stalls)
        memory = PressureMachines.memory(options, stalls: stalls)
        if stalls { io = PressureMachines.io(options) }
        tell([cpu?.started(), memory?.started(), io?.started()])
        if stalls { listen() } else { less("pressure", "the kernel keeps no pressure information") }
        poll()
        findAt = context.loop.now
        lookAtSensors()
    }

    private func less(_ name: String, _ what: String) {
        context.logger.event(.watchedWithLess, level: .info, what, ["subject": "\(Subject(.pressure, name))"])
    }
}

// MARK: - Processors, memory, input and output

extension PressureWatcher {
    /// With `psi=0` the files are there, and opening them fails.
    private var hasStalls: Bool {
        (try? Files.read("\(context.roots.proc)/pressure/memory", limit: 4096)) != nil
    }

    private func countProcessors() -> Result<Int, SensorFailure> {
        let path = "\(context.roots.sys)/devices/system/cpu/online"
        do throws(SystemError) {
            if let list = CPUList(parsing: try Files.text(path, limit: 65_536)), !list.isEmpty {
                return .success(list.count)
            }
            return .failure(SensorFailure(words: "\(path): no list of processors"))
        } catch {
            return .failure(SensorFailure(words: "\(error)"))
        }
    }

    private func poll() {
        pollTimer?.arm(at: context.loop.now + options.pollEvery)
        if io != nil { recorder.open() }
        readAll()
    }

    private func readAll() {
        let now = context.loop.now
        var missing: [String] = []
        func read<T>(_ name: String, _ decode: (ArraySlice<UInt8>) -> T?) -> T? {
            switch contents(name, decode) {
            case .success(let value): return value
            case .failure(let failure):
                missing.append(failure.words)
                return nil
            }
        }
        func taken() -> [String] {
            defer { missing = [] }
            return missing
        }
        let load = read("loadavg") { LoadAverage($0) }
        var count: Int?
        switch processors {
        case .success(let number): count = number
        case .failure(let failure): missing.append(failure.words)
        }
        let cpuStall = io == nil ? nil : read("pressure/cpu") { PressureStall($0) }
        cpu?.others = PressureMachines.others(load)
        let ofCPU = PressureMachines.measured(load, processors: count, stall: cpuStall)
        tell([cpu?.observed(ofCPU, missing: taken(), at: now) ?? nil])

        let state = read("meminfo") { MemoryState($0) }
        if let state, state.available == nil { missing.append("meminfo has no MemAvailable") }
        let memoryStall = io == nil ? nil : read("pressure/memory") { PressureStall($0) }
        memory?.others = PressureMachines.others(state, stall: memoryStall)
        let ofMemory = PressureMachines.measured(state, stall: memoryStall)
        tell([memory?.observed(ofMemory, missing: taken(), at: now) ?? nil])

        guard io != nil else { return }
        let ioStall = read("pressure/io") { PressureStall($0) }
        io?.others = ioStall.map { [NamedValue("some_ratio", .number($0.some))] } ?? []
        tell([io?.observed(PressureMachines.measured(io: ioStall), missing: taken(), at: now) ?? nil])
    }

    private func contents<T>(_ name: String, _ decode: (ArraySlice<UInt8>) -> T?) -> Result<T, SensorFailure>
    {
        let path = "\(context.roots.proc)/\(name)"
        do throws(SystemError) {
            if files[name] == nil { files[name] = try HeldFile(path) }
            let count = try files[name]?.file.read(into: &buffer) ?? 0
            if let value = decode(buffer[..<count]) { return .success(value) }
            return .failure(SensorFailure(words: "\(path): other contents than expected"))
        } catch {
            files[name] = nil
            return .failure(SensorFailure(words: "\(error)"))
        }
    }

    /// The kernel tells when tasks wait for more than a share of 2 s. Of who may, the kernel takes any such wish as
    /// one for a real-time thread: then the averages must do.
    private func listen() {
        guard !context.without.pressureTriggers, !Capabilities.hasResource else { return }
        for (name, limit) in [
            ("cpu", options.cpuStall), ("memory", options.memoryStall), ("io", options.ioStall),
        ] {
            guard let share = limit.warning ?? limit.critical else { continue }
            do throws(SystemError) {
                let made = try Trigger("\(context.roots.proc)/pressure/\(name)", share: share)
                made.source = try IOSource(
                    context.loop, descriptor: made.trigger.descriptor.raw, interest: .change,
                    edgeTriggered: true
                ) { [unowned self] in readAll() }
                triggers.append(made)
            } catch {
                // Linux before 6.5: the averages are read at each poll all the same.
                return less(name, "the kernel does not tell of pressure by itself: \(error)")
            }
        }
    }
}

// MARK: - Sensors

extension PressureWatcher {
    /// One call at a time: a sensor that hangs holds up nothing but its like.
    private func lookAtSensors() {
        sensorTimer?.arm(at: context.loop.now + options.sensorsEvery)
        guard !isReading else { return tell(self.sensors?.notAnswered(at: context.loop.now) ?? []) }
        let (sensors, known, roots, number) = (found, known, context.roots, generation)
        let isFinding = context.loop.now >= findAt
        if isFinding { findAt = context.loop.now + PressureWatcher.findEvery }
        isReading = sensorWorker.perform({ () -> SensorLook in
            let now = isFinding ? SensorBank.find(roots, known: known) : sensors
            return SensorLook(found: isFinding ? now : nil, readings: SensorBank.read(now))
        }) { [weak self] answer in
            guard let self, generation == number else { return }
            isReading = false
            if let new = answer.found { take(new) }
            tell(self.sensors?.observed(answer.readings, at: context.loop.now) ?? [])
        }
    }

    /// Sensors that are the same keep their state.
    private func take(_ new: [Sensor]) {
        found = new
        let identities = Set(new.map(\.identity))
        guard identities != known else { return }
        known = identities
        let before = sensors?.machines.map(\.subject) ?? []
        var made = SensorMachines(new, options)
        let first = made.started()
        if let sensors { made.inherit(sensors) }
        sensors = made
        for subject in before where !made.machines.contains(where: { $0.subject == subject }) {
            context.report(Finding(subject, .unknown, "its sensors are gone"))
        }
        tell(first.filter { !before.contains($0.subject) })
    }

    private func tick() {
        let now = context.loop.now
        tell([cpu?.tick(at: now) ?? nil, memory?.tick(at: now) ?? nil, io?.tick(at: now) ?? nil])
        tell(sensors?.tick(at: now) ?? [])
    }

    private func tell(_ findings: [Finding?]) {
        for finding in findings.compactMap(\.self) { context.report(finding) }
        dwellTimer?.arm(
            at: ([cpu?.deadline, memory?.deadline, io?.deadline, sensors?.deadline]).compactMap(\.self).min())
    }
}
