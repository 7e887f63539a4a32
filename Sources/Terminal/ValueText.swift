// Measured values for people: the unit is read from the end of the value's name, as the bus spells it.
import Basics
public import Wire

public enum ValueText {
    /// `rtt_s` 0.0123 as `rtt 12.3ms`, `loss_ratio` 0.05 as `loss 5.0%`, `rx_bytes` 1500 as `rx 1.5kB`.
    public static func text(_ value: NamedValue) -> String {
        "\(name(value)) \(figure(value))".printable
    }

    /// The name without its unit, where the value's text has it: `rtt`.
    public static func name(_ value: NamedValue) -> String {
        String(value.name.dropLast(unit(value)?.suffix.count ?? 0))
    }

    /// The value without its name, `12.3ms`.
    public static func figure(_ value: NamedValue) -> String {
        guard let unit = unit(value), let number = number(value.value) else { return plain(value.value) }
        return unit.format(number)
    }

    private static func unit(
        _ value: NamedValue
    ) -> (suffix: String, format: @Sendable (Double) -> String)? {
        number(value.value) == nil ? nil : units.first { value.name.hasSuffix($0.suffix) }
    }

    /// As many of the values as fit into `width` characters.
    public static func brief(_ values: [NamedValue], width: Int) -> String {
        var result = ""
        for value in values {
            let next = text(value).printable
            guard result.count + next.count + 2 <= width else { break }
            result += result.isEmpty ? next : ", " + next
        }
        return result
    }

    private static let units: [(suffix: String, format: @Sendable (Double) -> String)] = [
        ("_per_s", { scaled($0, ["", "k", "M", "G"]) + "/s" }),
        ("_ratio", { fixed($0 * 100, 1) + "%" }),
        ("_bytes", { scaled($0, ["", "k", "M", "G", "T"]) + "B" }),
        ("_s", seconds),
    ]

    private static func number(_ value: Value) -> Double? {
        switch value {
        case .integer(let whole): Double(whole)
        case .number(let number): number
        case .text, .flag: nil
        }
    }

    private static func plain(_ value: Value) -> String {
        switch value {
        case .integer(let whole): String(whole)
        case .number(let number): Int64(exactly: number).map { "\($0)" } ?? fixed(number, 3)
        case .text(let text): text
        case .flag(let flag): flag ? "yes" : "no"
        }
    }

    /// Seconds in the unit that leaves one to three digits before the point.
    public static func seconds(_ value: Double) -> String {
        let magnitude = value.magnitude
        guard value.isFinite else { return "\(value)" }
        if magnitude == 0 { return "0s" }
        if magnitude < 1e-3 { return fixed(value * 1e6, 1) + "us" }
        if magnitude < 1 { return fixed(value * 1e3, 1) + "ms" }
        return magnitude < 120 ? fixed(value, 1) + "s" : age(.ofSeconds(magnitude))
    }

    private static func scaled(_ value: Double, _ prefixes: [String]) -> String {
        var value = value
        var index = 0
        while value.magnitude >= 1000, index + 1 < prefixes.count {
            value /= 1000
            index += 1
        }
        return fixed(value, index == 0 ? 0 : 1) + prefixes[index]
    }

    /// A number with a fixed count of decimals, rounded; beyond exact integers as Swift writes it.
    static func fixed(_ value: Double, _ decimals: Int) -> String {
        let scale = [1.0, 10, 100, 1000][min(decimals, 3)]
        let scaled = (value * scale).rounded()
        guard let whole = Int64(exactly: scaled), decimals > 0 else {
            return Int64(exactly: scaled).map { "\($0)" } ?? "\(value)"
        }
        let divisor = Int64(scale)
        let sign = whole < 0 ? "-" : ""
        let fraction = String(whole.magnitude % UInt64(divisor))
        let zeros = String(repeating: "0", count: decimals - fraction.count)
        return "\(sign)\(whole.magnitude / UInt64(divisor)).\(zeros)\(fraction)"
    }
}
