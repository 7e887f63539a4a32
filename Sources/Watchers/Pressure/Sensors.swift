// Temperatures and fans of /sys/class/hwmon, and the error counts of memory in /sys/devices/system/edac. Reading a
// sensor may take long (some sit behind a slow bus): all of this runs on the worker. Source: the kernel's documents
// on the hwmon sysfs interface and on EDAC.
import Basics
import Linux

/// One file that a sensor's driver fills, kept open.
final class Sensor: Sendable {
    enum Kind: Hashable, Sendable {
        /// Millidegrees Celsius, and where the driver sees danger.
        case temperature(maximum: Double?, critical: Double?)
        /// Revolutions per minute.
        case fan
        case correctedErrors
        case uncorrectedErrors
    }

    /// What makes it the same sensor at another look.
    struct Identity: Hashable, Sendable {
        var name: String
        var kind: Kind
    }

    var identity: Identity { Identity(name: name, kind: kind) }

    let kind: Kind
    /// On the bus: `coretemp_core_0`.
    let name: String
    /// For people: `coretemp Core 0`.
    let label: String
    private let file: PolledFile

    init(_ kind: Kind, name: String, label: String, path: String) throws(SystemError) {
        self.kind = kind
        self.name = name
        self.label = label
        file = try PolledFile(path: path)
    }

    /// In degrees, revolutions per minute or errors; `nil`: no number, or one that no sensor means.
    func read() throws(SystemError) -> Double? {
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = try file.read(into: &buffer)
        guard let value = DecimalText.integer(buffer[..<count]) else { return nil }
        switch kind {
        case .temperature:
            let degrees = Double(value) / 1000
            return Sensor.sane.contains(degrees) ? degrees : nil
        case .fan: return (0...200_000).contains(value) ? Double(value) : nil
        case .correctedErrors, .uncorrectedErrors: return value >= 0 ? Double(value) : nil
        }
    }

    /// Sensors that are not connected say -128, 127.5 … 255.
    static let sane = -60.0...200.0
}

/// What a look at one sensor gave.
struct SensorReading: Sendable {
    var sensor: Sensor
    var result: Result<Double, SensorFailure>
}

/// What the worker brings back.
struct SensorLook: Sendable {
    /// Which sensors there are; `nil`: nobody looked for others.
    var found: [Sensor]?
    var readings: [SensorReading]
}

/// Why a sensor is not known, in words.
struct SensorFailure: Error, Hashable, Sendable {
    var words: String
}

/// Finds sensors and reads them.
enum SensorBank {
    /// Sensors beyond these many of a kind are left out.
    static let mostTemperatures = 32
    static let mostFans = 16
    static let mostControllers = 16
    private static let mostChips = 64

    /// All sensors that can be read now, and those that were known before and are still there.
    static func find(_ roots: FileRoots, known: Set<Sensor.Identity> = []) -> [Sensor] {
        var sensors: [Sensor] = []
        var taken: Set<String> = []
        let folder = "\(roots.sys)/class/hwmon"
        for chip in numbered(names(folder)).prefix(mostChips) {
            sensors += hwmon("\(folder)/\(chip)", chip, &taken)
        }
        sensors = limited(sensors) + memoryControllers("\(roots.sys)/devices/system/edac/mc")
        return sensors.filter { known.contains($0.identity) || ((try? $0.read()) ?? nil) != nil }
    }

    static func read(_ sensors: [Sensor]) -> [SensorReading] {
        sensors.map { sensor in
            do throws(SystemError) {
                if let value = try sensor.read() {
                    return SensorReading(sensor: sensor, result: .success(value))
                }
                return SensorReading(
                    sensor: sensor, result: .failure(SensorFailure(words: "\(sensor.label): no sane value")))
            } catch {
                return SensorReading(
                    sensor: sensor,
                    result: .failure(
                        SensorFailure(words: "\(sensor.label): \(SystemError.text(error.number))")))
            }
        }
    }

    private static func names(_ folder: String) -> [String] { (try? Files.names(in: folder)) ?? [] }

    /// In the order of their numbers: `hwmon2` before `hwmon10`.
    private static func numbered(_ names: [String]) -> [String] {
        names.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
    }

    private static func hwmon(_ folder: String, _ chip: String, _ taken: inout Set<String>) -> [Sensor] {
        let chipName = text("\(folder)/name") ?? chip
        var sensors: [Sensor] = []
        for file in numbered(names(folder)) where file.hasSuffix("_input") {
            let stem = String(file.dropLast("_input".count))
            guard let kind = kind(of: stem, in: folder) else { continue }
            let label = "\(chipName) \(text("\(folder)/\(stem)_label") ?? stem)"
            // Two chips of one kind, or two sensors of one label, need more than that for a name.
            let name = taken.insert(plain(label)).inserted ? plain(label) : plain("\(label) \(chip) \(stem)")
            if let made = try? Sensor(kind, name: name, label: label, path: "\(folder)/\(file)") {
                sensors.append(made)
            }
        }
        return sensors
    }

    private static func kind(of stem: String, in folder: String) -> Sensor.Kind? {
        if stem.hasPrefix("fan") { return .fan }
        guard stem.hasPrefix("temp") else { return nil }
        return .temperature(
            maximum: degrees("\(folder)/\(stem)_max"), critical: degrees("\(folder)/\(stem)_crit"))
    }

    /// A limit that the driver knows; one that no machine reaches, or freezing, is none.
    private static func degrees(_ path: String) -> Double? {
        guard let bytes = try? Files.read(path, limit: 64), let value = DecimalText.integer(bytes) else {
            return nil
        }
        let degrees = Double(value) / 1000
        return (20...150).contains(degrees) ? degrees : nil
    }

    private static func memoryControllers(_ folder: String) -> [Sensor] {
        numbered(names(folder).filter { $0.hasPrefix("mc") && Int($0.dropFirst(2)) != nil }).prefix(
            mostControllers
        )
        .flatMap { controller in
            [("ce_count", Sensor.Kind.correctedErrors), ("ue_count", .uncorrectedErrors)].compactMap {
                file, kind in
                try? Sensor(
                    kind, name: controller, label: "\(controller) \(file)",
                    path: "\(folder)/\(controller)/\(file)")
            }
        }
    }

    private static func limited(_ sensors: [Sensor]) -> [Sensor] {
        let fans = sensors.filter { $0.kind == .fan }
        return Array(sensors.filter { $0.kind != .fan }.prefix(mostTemperatures)) + fans.prefix(mostFans)
    }

    private static func text(_ path: String) -> String? {
        guard let text = try? Files.text(path, limit: 256), !text.isEmpty else { return nil }
        let shown = text.unicodeScalars.prefix(40).filter {
            $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value)
        }
        return String(String.UnicodeScalarView(shown))
    }

    /// Lower case letters, digits and underscores.
    static func plain(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let lower = (65...90).contains(byte) ? byte + 32 : byte
            let isPlain = (97...122).contains(lower) || (48...57).contains(lower)
            if isPlain {
                result.unicodeScalars.append(Unicode.Scalar(lower))
            } else if !result.hasSuffix("_") {
                result += "_"
            }
        }
        return result
    }
}
