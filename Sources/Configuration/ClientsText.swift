// Changing one client in the text of clients.toml: its lines are exchanged, and every other line, comments
// included, stays as somebody wrote it.
public import Wire

/// The lines of a `clients.toml`.
struct ClientsText {
    /// One line, and where it stands.
    private struct Line {
        var text: String
        /// How many brackets are open where it begins.
        var depth: Int
        /// Without its comment and the space around it.
        var content: Substring
        /// From its `#` on.
        var comment: Substring
    }

    /// A key of a client with its value, on one or several lines.
    private struct Entry {
        var name: String
        var lines: Range<Int>
    }

    private var lines: [Line] = []

    init(_ text: String) {
        var depth = 0
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let read = Self.read(Substring(line), depth: depth)
            lines.append(read.line)
            depth = read.depthAfter
        }
    }

    var text: String { lines.map(\.text).joined(separator: "\n") }

    // MARK: - Changes

    /// Writes the client into the `index`-th section, where its name stands already.
    mutating func replace(_ index: Int, by client: AllowedClient) {
        set("key", Self.quoted(client.key.description), unless: false, in: index)
        set("topics", Self.list(client.topics), unless: client.topics.isEmpty, in: index)
        set("operate", String(client.mayOperate), unless: !client.mayOperate, in: index)
    }

    /// Takes out the `index`-th section, but for the comments above and below it.
    mutating func remove(_ index: Int) {
        guard let section = sections[at: index] else { return }
        let last = entries(of: section).map(\.lines.upperBound).max() ?? section.lowerBound + 1
        var end = last
        // With the blank line that parted it from the next.
        if end < lines.count - 1, lines[end].text.allSatisfy(\.isWhitespace) { end += 1 }
        lines.removeSubrange(section.lowerBound..<end)
    }

    mutating func append(_ client: AllowedClient) {
        while let last = lines.last, last.text.allSatisfy(\.isWhitespace) { lines.removeLast() }
        var new = [
            "[[client]]", "name = " + Self.quoted(client.name),
            "key = " + Self.quoted(client.key.description),
        ]
        if !client.topics.isEmpty { new.append("topics = " + Self.list(client.topics)) }
        if client.mayOperate { new.append("operate = true") }
        let space = lines.isEmpty ? [] : [""]
        self = ClientsText((lines.map(\.text) + space + new + [""]).joined(separator: "\n"))
    }

    /// Exchanges the value of a key, or adds the key behind the others, `unless` it would say the default.
    private mutating func set(_ name: String, _ value: String, unless isDefault: Bool, in index: Int) {
        guard let section = sections[at: index] else { return }
        var texts = lines.map(\.text)
        let entries = entries(of: section)
        guard let entry = entries.first(where: { $0.name == name }) else {
            guard !isDefault else { return }
            let end = entries.map(\.lines.upperBound).max() ?? section.lowerBound + 1
            texts.insert("\(name) = \(value)", at: end)
            self = ClientsText(texts.joined(separator: "\n"))
            return
        }
        let first = lines[entry.lines.lowerBound]
        let indent = first.text.prefix { $0 == " " || $0 == "\t" }
        let comment = first.comment.isEmpty ? "" : "  " + first.comment
        texts.replaceSubrange(entry.lines, with: ["\(indent)\(name) = \(value)\(comment)"])
        self = ClientsText(texts.joined(separator: "\n"))
    }

    // MARK: - Where things are

    /// The lines of each `[[client]]`, with its header.
    private var sections: [Range<Int>] {
        let headers = lines.indices.filter { lines[$0].depth == 0 && lines[$0].content.hasPrefix("[") }
        return headers.enumerated().compactMap { number, header in
            let plain = lines[header].content.filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" }
            guard plain == "[[client]]" else { return nil }
            return header..<(number + 1 < headers.count ? headers[number + 1] : lines.count)
        }
    }

    private func entries(of section: Range<Int>) -> [Entry] {
        var entries: [Entry] = []
        for index in section.dropFirst() where lines[index].depth == 0 {
            guard let equals = lines[index].content.firstIndex(of: "=") else { continue }
            let name = lines[index].content[..<equals].filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" }
            var end = index + 1
            while end < section.upperBound, lines[end].depth > 0 { end += 1 }
            entries.append(Entry(name: name, lines: index..<end))
        }
        return entries
    }

    /// Follows strings, brackets and comments through a line.
    private static func read(_ text: Substring, depth: Int) -> (line: Line, depthAfter: Int) {
        var after = depth
        var quote: UInt8?
        var isEscaped = false
        var end = text.endIndex
        scan: for index in text.utf8.indices {
            let byte = text.utf8[index]
            if let open = quote {
                if byte == open, !isEscaped { quote = nil }
                isEscaped = open == UInt8(ascii: "\"") && byte == UInt8(ascii: "\\") && !isEscaped
                continue
            }
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"): quote = byte
            case UInt8(ascii: "["), UInt8(ascii: "{"): after += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): after = max(0, after - 1)
            case UInt8(ascii: "#"):
                end = index
                break scan
            default: break
            }
        }
        let content = text[..<end].drop(while: \.isWhitespace)
        let comment = text[end...]
        return (Line(text: String(text), depth: depth, content: content, comment: comment), after)
    }

    // MARK: - Values

    /// Only what TOML asks to be escaped: no name has control characters.
    private static func quoted(_ text: String) -> String {
        let escaped = text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
        return "\"\(escaped)\""
    }

    private static func list(_ items: [String]) -> String {
        let oneLine = "[" + items.map(quoted).joined(separator: ", ") + "]"
        guard oneLine.utf8.count > 100 else { return oneLine }
        return "[\n" + items.map { "    \(quoted($0)),\n" }.joined() + "]"
    }
}

extension Array {
    fileprivate subscript(at index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

extension ClientsFile {
    /// The comment at the head of a file that did not exist.
    static let opening = """
        # Who may connect to this host from beyond it: written by holdfast authorize, and by hand.

        """

    /// The text of a file with a client in place of the one of its name, or behind all others.
    /// - Parameter text: `nil`: there is no file yet.
    /// - Throws: what is wrong with the text, or that it is written in a way that only a person can change.
    public static func text(
        _ text: String?, with client: AllowedClient, name: String
    ) throws(ConfigurationError) -> String {
        let old = text ?? opening
        let clients = try clients(in: old, name: name)
        var lines = ClientsText(old)
        var expected = clients
        if let index = clients.firstIndex(where: { $0.name == client.name }) {
            lines.replace(index, by: client)
            expected[index] = client
        } else {
            lines.append(client)
            expected.append(client)
        }
        return try verified(lines.text, expected, name: name)
    }

    /// The text of a file without the client of this name.
    /// - Throws: what is wrong with the text, or that it is written in a way that only a person can change.
    public static func text(
        _ text: String, without client: String, name: String
    ) throws(ConfigurationError) -> String {
        var expected = try clients(in: text, name: name)
        guard let index = expected.firstIndex(where: { $0.name == client }) else { return text }
        var lines = ClientsText(text)
        lines.remove(index)
        expected.remove(at: index)
        return try verified(lines.text, expected, name: name)
    }

    /// The clients in the order of the text.
    private static func clients(in text: String, name: String) throws(ConfigurationError) -> [AllowedClient] {
        try ConfigurationFile.parse(text, name: name, .clients, defaults: ClientsDraft()).clients.compactMap(
            \.client)
    }

    private static func verified(
        _ text: String, _ expected: [AllowedClient], name: String
    ) throws(ConfigurationError) -> String {
        guard try clients(in: text, name: name) == expected else {
            let advice = "is not written as [[client]] sections of one key a line; change it by hand"
            throw ConfigurationError(file: name, cause: .invalid, problems: [.init(advice: advice)])
        }
        return text
    }
}
