// What a plugin printed: the first line for people, performance data behind `|`, on that line and after the long text.
// Source: the Monitoring Plugins Development Guidelines, "Plugin Output for Nagios".
public import Wire

/// A plugin's output, read within bounds.
public struct CheckOutput: Hashable, Sendable {
    /// Performance data beyond this many items is counted, not kept.
    static let mostItems = 24
    /// Values published of one check.
    static let mostValues = 40
    static let longestText = 200

    /// The first line, without control characters; empty: there was none.
    public var text: String
    public var items: [Perfdata]
    /// Performance data that made no sense, or found no place.
    public var refused: Int

    public init(_ bytes: [UInt8]) {
        let lines = String(decoding: bytes, as: UTF8.self)
            .split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        let first = (lines.first ?? "").split(separator: "|", maxSplits: 1, omittingEmptySubsequences: false)
        text = CheckOutput.sane(first.first ?? "")
        var data = first.count > 1 ? String(first[1]) : ""
        var isData = false
        for line in lines.dropFirst() {
            if isData {
                data += " \(line)"
            } else if let bar = line.firstIndex(of: "|") {
                isData = true
                data += " \(line[line.index(after: bar)...])"
            }
        }
        (items, refused) = Perfdata.items(data, most: CheckOutput.mostItems)
    }

    private static func sane(_ line: some StringProtocol) -> String {
        var result = ""
        for scalar in line.unicodeScalars.prefix(longestText) {
            let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
            // What turns a line around has no place in another program's text.
            let turns = (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            result.unicodeScalars.append(isControl || turns ? " " : scalar)
        }
        while result.last == " " { result.removeLast() }
        return String(result.drop { $0 == " " })
    }

    /// The items as values with their units in their names.
    public var values: [NamedValue] {
        var values: [NamedValue] = []
        var names: Set<String> = []
        func add(_ name: String, _ value: Double?) {
            guard let value, value.isFinite, values.count < CheckOutput.mostValues,
                names.insert(name).inserted
            else { return }
            values.append(NamedValue(name, .number(value)))
        }
        let converted = items.map { ($0, Conversion($0)) }
        for (item, conversion) in converted { add(conversion.name, conversion.of(item.value)) }
        for (item, conversion) in converted {
            // A plain level says most; the rest of a range has no one number.
            for (word, range) in [("warning", item.warning), ("critical", item.critical)] {
                guard let range, !range.alertsInside else { continue }
                add("\(conversion.stem)_\(word)\(conversion.suffix)", conversion.of(range.high ?? range.low))
            }
        }
        return values
    }

    /// From a plugin's unit to the bus's.
    private struct Conversion {
        let stem: String
        let suffix: String
        let factor: Double

        init(_ item: Perfdata) {
            let plain = SensorBank.plain(item.label).split(separator: "_").joined(separator: "_")
            stem = plain.isEmpty ? "value" : String(plain.prefix(48))
            (suffix, factor) = Conversion.unit(item.unit)
        }

        private static func unit(_ unit: String) -> (String, Double) {
            switch unit {
            case "": ("", 1)
            case "s": ("_s", 1)
            case "ms": ("_s", 1e-3)
            case "us": ("_s", 1e-6)
            case "ns": ("_s", 1e-9)
            case "%": ("_ratio", 0.01)
            case "c": ("_total", 1)
            case "B": ("_bytes", 1)
            // Plugins count in powers of 1024, whatever they call them.
            case "KB", "kB", "KiB": ("_bytes", 1024)
            case "MB", "MiB": ("_bytes", 1_048_576)
            case "GB", "GiB": ("_bytes", 1_073_741_824)
            case "TB", "TiB": ("_bytes", 1_099_511_627_776)
            default: ("_" + SensorBank.plain(unit), 1)
            }
        }

        var name: String { stem + suffix }
        func of(_ value: Double?) -> Double? { value.map { $0 * factor } }
    }
}
