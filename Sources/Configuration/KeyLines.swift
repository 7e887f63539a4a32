// On which line a key stands: a light scan of the text for headers and keys, because the TOML library keeps no
// lines. What it cannot place for certain it leaves out; then the line of the section around it is shown.

/// The lines of a file's keys by key path, `path.isp[0].name`.
struct KeyLines {
    /// `nil`: seen on two lines, so on neither for certain.
    private var lines: [String: Int?] = [:]
    /// How many `[[…]]` tables of each resolved path there were so far.
    private var counts: [String: Int] = [:]
    private var section = ""

    init(of text: String) {
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() { scan(Array(line), number: index + 1) }
    }

    /// The line of a key or, failing that, of the nearest thing around it that has one.
    func line(of keyPath: String) -> Int? {
        var path = keyPath[...]
        while true {
            if let found = lines[String(path)], let line = found { return line }
            guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
            path = path[..<cut]
        }
    }

    /// What stands at the top: sections, also empty ones, and keys that belong to none.
    var names: Set<String> { Set(lines.keys.map { String($0.prefix { $0 != "." && $0 != "[" }) }) }

    /// Every key path of the text that holds a value, indices left out: `path.isp[].name`.
    var keys: Set<String> { Set(valuePaths) }
    private var valuePaths: [String] = []

    private mutating func scan(_ line: [UInt8], number: Int) {
        var text = Substring(decoding: line, as: UTF8.self)
        if number == 1, text.unicodeScalars.first == "\u{FEFF}" { text = text.dropFirst() }
        text = text.trimmingSpace
        if text.hasPrefix("[[") {
            header(text.dropFirst(2), repeated: true, number: number)
        } else if text.hasPrefix("[") {
            header(text.dropFirst(), repeated: false, number: number)
        } else if let parts = KeyLines.key(text, endingWith: "=") {
            let path = ([section] + parts).filter { !$0.isEmpty }.joined(separator: ".")
            record(path, number)
            valuePaths.append(KeyLines.withoutIndices(path))
        }
    }

    private mutating func header(_ text: Substring, repeated: Bool, number: Int) {
        guard let parts = KeyLines.key(text, endingWith: "]"), !parts.isEmpty else { return }
        var path = ""
        for (index, part) in parts.enumerated() {
            path += path.isEmpty ? part : "." + part
            let isLast = index == parts.count - 1
            if isLast, repeated { counts[path, default: 0] += 1 }
            if let count = counts[path] { path += "[\(count - 1)]" }
        }
        section = path
        record(path, number)
    }

    private mutating func record(_ path: String, _ number: Int) {
        lines[path] = lines[path] == nil ? .some(number) : .some(nil)
    }

    /// The parts of a dotted key, bare or quoted, that ends with `end`; `nil` if there is none.
    private static func key(_ text: Substring, endingWith end: Character) -> [String]? {
        var parts: [String] = []
        var rest = text.trimmingSpace
        while let first = rest.first {
            let part: Substring
            if first == "\"" || first == "'" {
                guard let close = rest.dropFirst().firstIndex(of: first) else { return nil }
                part = rest[rest.index(after: rest.startIndex)..<close]
                rest = rest[rest.index(after: close)...]
            } else {
                part = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }
                guard !part.isEmpty else { return nil }
                rest = rest[part.endIndex...]
            }
            parts.append(String(part))
            rest = rest.trimmingSpace
            if rest.first == end { return parts }
            guard rest.first == "." else { return nil }
            rest = rest.dropFirst().trimmingSpace
        }
        return nil
    }

    /// `path.isp[0].name` as `path.isp[].name`.
    static func withoutIndices(_ path: String) -> String {
        var result = ""
        var isInside = false
        for character in path {
            if character == "]" { isInside = false }
            if !isInside { result.append(character) }
            if character == "[" { isInside = true }
        }
        return result
    }
}

extension Substring {
    /// Without the white space around it.
    fileprivate var trimmingSpace: Substring {
        let start = drop { $0.isWhitespace }
        guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return start[start.endIndex...] }
        return start[...last]
    }
}
