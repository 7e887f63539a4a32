// Performance data of a plugin: `'label'=value[unit];[warn];[crit];[min];[max]`, apart by spaces. Source: the
// Monitoring Plugins Development Guidelines, "Performance data" and "Threshold and ranges".

/// A threshold: when a value alerts.
public struct PerfdataRange: Hashable, Sendable {
    /// `nil`: no bound.
    public var low: Double?
    public var high: Double?
    /// Values within alert, instead of those outside.
    public var alertsInside: Bool

    /// `10` is 0 to 10; `10:` from 10 on; `~:10` up to 10; `@5:10` the other way round.
    public init?(_ text: some StringProtocol) {
        var rest = text[...]
        alertsInside = rest.first == "@"
        if alertsInside { rest.removeFirst() }
        let ends = rest.split(separator: ":", omittingEmptySubsequences: false)
        guard let first = ends.first, ends.count <= 2, !rest.isEmpty else { return nil }
        if ends.count == 1 {
            guard let high = Perfdata.number(first) else { return nil }
            self.low = 0
            self.high = high
            return
        }
        low = nil
        high = nil
        if first != "~" {
            guard let number = first.isEmpty ? 0 : Perfdata.number(first) else { return nil }
            low = number
        }
        if !ends[1].isEmpty {
            guard let number = Perfdata.number(ends[1]) else { return nil }
            high = number
        }
    }
}

/// One measured value of a plugin.
public struct Perfdata: Hashable, Sendable {
    public var label: String
    /// `nil`: `U`, the plugin could not tell.
    public var value: Double?
    public var unit: String
    public var warning: PerfdataRange?
    public var critical: PerfdataRange?
    public var minimum: Double?
    public var maximum: Double?

    /// The items of a text, at most `most`, and how many more there were that made no sense or no place.
    public static func items(_ text: some StringProtocol, most: Int) -> (items: [Perfdata], refused: Int) {
        var items: [Perfdata] = []
        var refused = 0
        var rest = Substring(text)
        while let word = nextWord(&rest) {
            guard items.count < most, let item = Perfdata(word) else {
                refused += 1
                continue
            }
            items.append(item)
        }
        return (items, refused)
    }

    /// The next word; spaces within single quotes are part of it.
    private static func nextWord(_ rest: inout Substring) -> Substring? {
        rest = rest.drop { $0.isWhitespace }
        guard !rest.isEmpty else { return nil }
        var isQuoted = false
        let end = rest.firstIndex { character in
            if character == "'" { isQuoted.toggle() }
            return !isQuoted && character.isWhitespace
        }
        let word = rest[..<(end ?? rest.endIndex)]
        rest = rest[(end ?? rest.endIndex)...]
        return word
    }

    init?(_ word: Substring) {
        guard let (label, data) = Perfdata.split(word) else { return nil }
        let fields = data.split(separator: ";", omittingEmptySubsequences: false)
        guard let first = fields.first, fields.count <= 5 || fields[5...].allSatisfy(\.isEmpty) else {
            return nil
        }
        self.label = label
        if first == "U" {
            value = nil
            unit = ""
        } else {
            let digits = first.prefix { $0.isASCII && ($0.isNumber || "+-.eE".contains($0)) }
            // `5e` is five of the unit e, and not a number that stops in the middle.
            guard let (value, unit) = Perfdata.measured(first, digits), Perfdata.isUnit(unit) else {
                return nil
            }
            self.value = value
            self.unit = unit
        }
        warning = fields.count > 1 ? PerfdataRange(fields[1]) : nil
        critical = fields.count > 2 ? PerfdataRange(fields[2]) : nil
        minimum = fields.count > 3 ? Perfdata.number(fields[3]) : nil
        maximum = fields.count > 4 ? Perfdata.number(fields[4]) : nil
    }

    private static func isUnit(_ text: String) -> Bool {
        text.utf8.count <= 8 && !text.contains(where: \.isNumber)
    }

    private static func measured(_ text: Substring, _ digits: Substring) -> (Double, String)? {
        var end = digits.endIndex
        while end > text.startIndex {
            if let value = number(text[..<end]) { return (value, String(text[end...])) }
            end = text.index(before: end)
        }
        return nil
    }

    /// The label without its quotes, two of which within stand for one; and what follows the sign.
    private static func split(_ text: Substring) -> (String, Substring)? {
        guard text.first == "'" else {
            guard let sign = text.firstIndex(of: "="), sign > text.startIndex else { return nil }
            return (String(text[..<sign]), text[text.index(after: sign)...])
        }
        var label = ""
        var rest = text.dropFirst()
        while let character = rest.popFirst() {
            guard character == "'" else {
                label.append(character)
                continue
            }
            if rest.first == "'" {
                label.append("'")
                rest.removeFirst()
            } else {
                return rest.first == "=" && !label.isEmpty ? (label, rest.dropFirst()) : nil
            }
        }
        return nil
    }

    /// A finite number as the guidelines write it: digits, a point, a sign, perhaps an exponent.
    static func number(_ text: some StringProtocol) -> Double? {
        guard (1...40).contains(text.utf8.count),
            text.utf8.allSatisfy({ (48...57).contains($0) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains($0) }),
            let value = Double(String(text)), value.isFinite
        else { return nil }
        return value
    }
}
