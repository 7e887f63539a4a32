// Text to settings: the only file of the project that knows the TOML library. The library reports a line for
// errors of syntax only, cuts text at a NUL, and recurses over what it read, so the text is checked first.
import TOMLKit

enum Syntax {
    /// The longest file that is read, in bytes.
    static let longestText = 1 << 20
    private static let deepestNesting = 32

    /// The settings of a text, by key.
    static func parse(_ text: String) throws(ConfigurationProblem.Refused) -> [String: Setting] {
        try check(text)
        let root: TOMLTable
        do {
            root = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw .init(
                .init(
                    line: error.source.begin.line,
                    advice: "syntax: " + Setting.printable(error.description, 200)))
        } catch {
            throw .init(.init(advice: "syntax: \(error)"))
        }
        let settings = members(of: root, depth: 0)
        // The library never frees a document; this gives most of it back.
        root.clear()
        return settings
    }

    private static func check(_ text: String) throws(ConfigurationProblem.Refused) {
        guard text.utf8.count <= longestText else {
            throw .init(.init(advice: "longer than \(longestText) bytes, which is the limit"))
        }
        if text.contains("\\u0000") || text.contains("\\U00000000") {
            throw .init(.init(advice: "an escaped NUL (\\u0000), which no value has"))
        }
        try TextShape.check(text)
    }

    private static func members(of table: TOMLTable, depth: Int) -> [String: Setting] {
        var members: [String: Setting] = [:]
        for key in table.keys {
            // A key with an escaped NUL comes out cut and is not found under its name again.
            guard let value = table[key] else {
                members[key] = .other("a key with a NUL")
                continue
            }
            members[key] = setting(value.tomlValue, depth: depth + 1)
        }
        return members
    }

    private static func setting(_ value: TOMLValue, depth: Int) -> Setting {
        guard depth < deepestNesting else { return .other("a value nested too deep") }
        switch value.type {
        case .string: return value.string.map(Setting.text) ?? .other("a string")
        case .int: return value.int.map { .integer(Int64($0)) } ?? .other("a whole number")
        case .double: return value.double.map(Setting.number) ?? .other("a number")
        case .bool: return value.bool.map(Setting.flag) ?? .other("true or false")
        case .table: return value.table.map { .table(members(of: $0, depth: depth)) } ?? .other("a table")
        case .array: return value.array.map { .list(items(of: $0, depth: depth)) } ?? .other("a list")
        case .date: return .other("a date")
        case .time: return .other("a time of day")
        case .dateTime: return .other("a date and time")
        }
    }

    private static func items(of array: TOMLArray, depth: Int) -> [Setting] {
        (0..<array.count).map { setting(array[$0].tomlValue, depth: depth + 1) }
    }
}

extension ConfigurationProblem {
    /// The problem of a text whose syntax is not understood, thrown.
    struct Refused: Error {
        var problem: ConfigurationProblem

        init(_ problem: ConfigurationProblem) { self.problem = problem }
    }
}
