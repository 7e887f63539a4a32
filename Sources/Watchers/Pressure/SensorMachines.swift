// Temperatures, fans and memory errors, judged: the gauges of what was found, and how errors are counted over an hour.
// Values: readings in, findings out.
import Basics
import Configuration
import Detection
import Wire

/// Errors within a sliding hour, from counters that only the boot resets.
struct ErrorWindow: Sendable {
    static let window: Duration = .seconds(3600)
    private static let grain: Duration = .seconds(60)

    private var last: [String: Double] = [:]
    private var increments = Ring<(at: Instant, count: Double)>(capacity: 64)

    /// Takes a counter's value. What was counted before the first look is nobody's news, and a counter that went back
    /// was reset.
    mutating func counted(_ value: Double, of name: String, at now: Instant) {
        let before = last[name]
        last[name] = value
        guard let before, value > before else { return }
        let (count, newest) = (value - before, increments.last)
        // One entry a minute is enough, and keeps the ring from losing any within the hour.
        if let newest, now - newest.at < ErrorWindow.grain {
            increments.replaceLast((newest.at, newest.count + count))
        } else {
            increments.append((now, count))
        }
    }

    func count(at now: Instant) -> Double {
        increments.elements.filter { now - $0.at < ErrorWindow.window }.reduce(0) { $0 + $1.count }
    }
}

/// What the sensors of a host amount to: up to three subjects.
struct SensorMachines: Sendable {
    /// Looks that are due while the last one has not ended, before the sensors are said not to answer.
    private static let mostUnanswered = 3

    private(set) var temperature: GaugeMachine?
    private(set) var fan: GaugeMachine?
    private(set) var errors: GaugeMachine?
    private var corrected = ErrorWindow()
    private var uncorrected = ErrorWindow()
    /// Fans that were seen turning: only those can stop.
    private var turning: Set<String> = []
    private let identities: Set<Sensor.Identity>
    private var unanswered = 0

    init(_ sensors: [Sensor], _ options: PressureOptions) {
        identities = Set(sensors.map(\.identity))
        let temperatures = sensors.filter { if case .temperature = $0.kind { true } else { false } }
        if !temperatures.isEmpty {
            temperature = GaugeMachine(
                Subject(.pressure, "temperature"), fine: "all sensors below their limits",
                temperatures.map { SensorMachines.gauge($0, options.temperature) })
        }
        let fans = sensors.filter { $0.kind == .fan }
        if !fans.isEmpty {
            fan = GaugeMachine(
                Subject(.pressure, "fan"), fine: "no fan has stopped",
                fans.map { SensorMachines.gauge(fan: $0) })
        }
        if sensors.contains(where: { $0.kind == .correctedErrors || $0.kind == .uncorrectedErrors }) {
            errors = SensorMachines.errors(options)
        }
    }

    /// Goes on where the machines of the sensors of before stand: a sensor that comes or goes changes nothing for the
    /// others.
    mutating func inherit(_ old: SensorMachines) {
        let others = identities.symmetricDifference(old.identities)
        // A sensor whose driver names other limits than before is judged anew.
        let changed = Set(others.flatMap { ["\($0.name)_celsius", "\($0.name)_rpm"] })
        if let before = old.temperature { temperature?.inherit(before) { !changed.contains($0) } }
        if let before = old.fan { fan?.inherit(before) { !changed.contains($0) } }
        if let before = old.errors { errors?.inherit(before) { _ in true } }
        (corrected, uncorrected, turning) = (old.corrected, old.uncorrected, old.turning)
    }

    private static func gauge(_ sensor: Sensor, _ options: LimitOptions) -> Gauge {
        var options = options
        if options.warning == nil, options.critical == nil,
            case .temperature(let maximum, let critical) = sensor.kind
        {
            // Drivers that know one danger give it twice.
            options.warning = maximum.flatMap { maximum in
                critical.map { maximum < $0 } ?? true ? maximum : nil
            }
            options.critical = critical
        }
        return Gauge("\(sensor.name)_celsius", Limit(.above, options)) { [label = sensor.label] in
            "\(label) at \(Int($0.rounded())) °C"
        }
    }

    private static func gauge(fan: Sensor) -> Gauge {
        let limit = Limit(.below, warning: .init(raise: 0.5, clear: 1), critical: nil, dwell: .seconds(10))
        return Gauge("\(fan.name)_rpm", limit) { [label = fan.label] _ in "\(label) has stopped" }
    }

    private static func errors(_ options: PressureOptions) -> GaugeMachine {
        let one = Limit.Level(raise: 1, clear: 0)
        return GaugeMachine(
            Subject(.pressure, "memory-errors"), fine: "no memory errors in the last hour",
            [
                Gauge("uncorrected_last_hour", Limit(.above, warning: nil, critical: one)) {
                    "\(counted(Int($0), "memory error", "memory errors")) in the last hour could not be corrected"
                },
                Gauge("corrected_last_hour", Limit(.above, options.correctedErrors)) {
                    "\(Int($0)) memory errors in the last hour were corrected: replace the module before it fails"
                },
            ])
    }

    /// The first findings.
    mutating func started() -> [Finding] {
        [temperature?.started(), fan?.started(), errors?.started()].compactMap(\.self)
    }

    /// A look is due, and the last one has not ended: one of the sensors hangs.
    mutating func notAnswered(at now: Instant) -> [Finding] {
        unanswered = min(unanswered + 1, SensorMachines.mostUnanswered)
        guard unanswered == SensorMachines.mostUnanswered else { return [] }
        let missing = ["the sensors do not answer"]
        return [
            temperature?.observed([:], missing: missing, at: now) ?? nil,
            fan?.observed([:], missing: missing, at: now) ?? nil,
            errors?.observed([:], missing: missing, at: now) ?? nil,
        ].compactMap(\.self)
    }

    mutating func observed(_ readings: [SensorReading], at now: Instant) -> [Finding] {
        unanswered = 0
        var (degrees, speeds, missing) = ([String: Double](), [String: Double](), [[String](), [], []])
        var totals: (corrected: Double, uncorrected: Double) = (0, 0)
        for reading in readings {
            switch (reading.sensor.kind, reading.result) {
            case (.temperature, .success(let value)): degrees["\(reading.sensor.name)_celsius"] = value
            case (.temperature, .failure(let failure)): missing[0].append(failure.words)
            case (.fan, .success(let value)):
                if value > 0 { turning.insert(reading.sensor.name) }
                if turning.contains(reading.sensor.name) { speeds["\(reading.sensor.name)_rpm"] = value }
            case (.fan, .failure(let failure)): missing[1].append(failure.words)
            case (.correctedErrors, .success(let value)):
                corrected.counted(value, of: reading.sensor.name, at: now)
                totals.corrected += value
            case (.uncorrectedErrors, .success(let value)):
                uncorrected.counted(value, of: reading.sensor.name, at: now)
                totals.uncorrected += value
            case (.correctedErrors, .failure(let failure)), (.uncorrectedErrors, .failure(let failure)):
                missing[2].append(failure.words)
            }
        }
        errors?.others = [
            NamedValue("corrected_errors", .number(totals.corrected)),
            NamedValue("uncorrected_errors", .number(totals.uncorrected)),
        ]
        let counts = [
            "uncorrected_last_hour": uncorrected.count(at: now),
            "corrected_last_hour": corrected.count(at: now),
        ]
        return [
            temperature?.observed(degrees, missing: missing[0], at: now) ?? nil,
            fan?.observed(speeds, missing: missing[1], at: now) ?? nil,
            errors?.observed(counts, missing: missing[2], at: now) ?? nil,
        ].compactMap(\.self)
    }

    mutating func tick(at now: Instant) -> [Finding] {
        [temperature?.tick(at: now) ?? nil, fan?.tick(at: now) ?? nil, errors?.tick(at: now) ?? nil]
            .compactMap(\.self)
    }

    var machines: [GaugeMachine] { [temperature, fan, errors].compactMap(\.self) }
    var deadline: Instant? { machines.compactMap(\.deadline).min() }
}
