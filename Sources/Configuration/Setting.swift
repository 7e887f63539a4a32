// A value of a configuration file after its syntax is understood. It keeps the rest of this module
// independent of the TOML library and of the library's sharp edges.

/// A value of the file.
enum Setting: Hashable, Sendable {
    case text(String)
    case integer(Int64)
    case number(Double)
    case flag(Bool)
    case list([Setting])
    case table([String: Setting])
    /// A kind of value that no key takes: a date, a time, something nested too deep.
    case other(String)

    /// The value as it would stand in the file, cut to what fits into a message.
    var spelled: String {
        switch self {
        case .text(let text): "\"\(Setting.printable(text))\""
        case .integer(let value): String(value)
        case .number(let value): String(value)
        case .flag(let flag): String(flag)
        case .list(let items): items.isEmpty ? "[]" : "[…]"
        case .table: "a table"
        case .other(let what): what
        }
    }

    /// Text of a file for a message: control characters replaced, and never longer than a line can bear.
    static func printable(_ text: String, _ limit: Int = 60) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(limit) {
            let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
            result.unicodeScalars.append(isControl ? "?" : scalar)
        }
        return text.unicodeScalars.count > limit ? result + "…" : result
    }
}
