// What a UPS says of itself, as NUT's variables give it (docs/nut-names.txt of NUT). Devices and drivers report
// nonsense: what cannot be is left out, by name, and never taken for a reading.
internal import Basics

/// The words of `ups.status`.
public struct UPSStatusWords: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// On mains.
    public static let onLine = UPSStatusWords(rawValue: 1 << 0)
    public static let onBattery = UPSStatusWords(rawValue: 1 << 1)
    public static let lowBattery = UPSStatusWords(rawValue: 1 << 2)
    public static let highBattery = UPSStatusWords(rawValue: 1 << 3)
    public static let replaceBattery = UPSStatusWords(rawValue: 1 << 4)
    public static let charging = UPSStatusWords(rawValue: 1 << 5)
    public static let discharging = UPSStatusWords(rawValue: 1 << 6)
    /// The load hangs on mains alone.
    public static let bypass = UPSStatusWords(rawValue: 1 << 7)
    /// The battery is drained on purpose, to measure it.
    public static let calibrating = UPSStatusWords(rawValue: 1 << 8)
    /// The load is not supplied.
    public static let off = UPSStatusWords(rawValue: 1 << 9)
    public static let overloaded = UPSStatusWords(rawValue: 1 << 10)
    public static let trimming = UPSStatusWords(rawValue: 1 << 11)
    public static let boosting = UPSStatusWords(rawValue: 1 << 12)
    /// Forced shutdown: the primary has decided to cut the power.
    public static let forcedShutdown = UPSStatusWords(rawValue: 1 << 13)
    public static let alarm = UPSStatusWords(rawValue: 1 << 14)
    /// The driver waits for the device's first data.
    public static let waiting = UPSStatusWords(rawValue: 1 << 15)
    public static let testing = UPSStatusWords(rawValue: 1 << 16)
    public static let ecoMode = UPSStatusWords(rawValue: 1 << 17)
    public static let overheated = UPSStatusWords(rawValue: 1 << 18)
    /// The driver says that it has lost the device.
    public static let noCommunication = UPSStatusWords(rawValue: 1 << 19)

    static let byWord: [String: UPSStatusWords] = [
        "OL": .onLine, "OB": .onBattery, "LB": .lowBattery, "HB": .highBattery, "RB": .replaceBattery,
        "CHRG": .charging, "DISCHRG": .discharging, "BYPASS": .bypass, "CAL": .calibrating, "OFF": .off,
        "OVER": .overloaded, "TRIM": .trimming, "BOOST": .boosting, "FSD": .forcedShutdown, "ALARM": .alarm,
        "WAIT": .waiting, "TEST": .testing, "ECO": .ecoMode, "ESS": .ecoMode, "OVERHEAT": .overheated,
        "NOCOMM": .noCommunication, "COMM": [],
    ]
}

/// One reading of a UPS.
public struct UPSReading: Hashable, Sendable {
    /// No battery of a rack lasts longer; what reports more has overflowed.
    public static let longestRuntime: Duration = .seconds(48 * 3600)

    public var status: UPSStatusWords = []
    /// `ups.status` as it was given; `nil`: the driver has none.
    public var statusText: String?
    /// From 0 to 1.
    public var charge: Double?
    /// The charge at which the device itself calls the battery low, from 0 to 1.
    public var lowCharge: Double?
    /// How long the device thinks that the battery lasts.
    public var runtime: Duration?
    /// Of what the device can supply; above 1 is overload.
    public var load: Double?
    /// What the device warns of, in its own words.
    public var alarm: String?
    /// Variables whose values cannot be, with the values.
    public var rejected: [String: String] = [:]
    /// Words of `ups.status` that NUT does not document.
    public var unknownWords: [String] = []

    public init(variables: [String: String]) {
        readStatus(variables["ups.status"])
        charge = ratio("battery.charge", in: variables, upTo: 1)
        lowCharge = ratio("battery.charge.low", in: variables, upTo: 1)
        load = ratio("ups.load", in: variables, upTo: 3)
        runtime = readRuntime(variables["battery.runtime"])
        alarm = variables["ups.alarm"].flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func readStatus(_ text: String?) {
        statusText = text
        for word in (text ?? "").split(separator: " ") {
            if let known = UPSStatusWords.byWord[String(word)] {
                status.formUnion(known)
            } else if unknownWords.count < 8 {
                unknownWords.append(String(word.prefix(32)))
            }
        }
    }

    /// Per cent in, a ratio out.
    private mutating func ratio(
        _ name: String, in variables: [String: String], upTo most: Double
    ) -> Double? {
        guard let text = variables[name] else { return nil }
        guard let value = UPSReading.number(text), value >= 0, value / 100 <= most else {
            rejected[name] = text
            return nil
        }
        return value / 100
    }

    /// Seconds. On mains 0 means "not known"; on battery it is believed only together with a low battery.
    private mutating func readRuntime(_ text: String?) -> Duration? {
        guard let text else { return nil }
        let saysEmpty = status.isSuperset(of: [.onBattery, .lowBattery])
        guard let value = UPSReading.number(text), value > 0 || (value == 0 && saysEmpty),
            value <= UPSReading.longestRuntime.inSeconds, value != 65535
        else {
            rejected["battery.runtime"] = text
            return nil
        }
        return .ofSeconds(value)
    }

    /// A plain decimal number; no sign but minus, no exponent, no hexadecimal.
    static func number(_ text: String) -> Double? {
        let digits = text.drop { $0 == " " }
        guard !digits.isEmpty, digits.utf8.count <= 20,
            digits.utf8.allSatisfy({
                (48...57).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
            })
        else { return nil }
        return Double(String(digits))
    }
}
