// The shape of a text before the TOML library sees it. The library ends the process over some texts that are no
// TOML (`[&`, `a = [1, }`, a date cut short), and its recursion over a hostile file would use up the stack: so
// brackets, the start of headers and values without quotes are checked first. Refused here is also what no key
// takes and the line scan would have to follow: strings over several lines.

/// Follows brackets, words and strings through a text.
struct TextShape {
    static let longestLine = 4096
    private static let deepestNesting = 8
    private static let mostDots = 16
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    private enum State { case plain, basic, literal, comment }
    /// How far the start of a `[header]` or `[[header]]` has come.
    private enum Header { case none, possible, first, spaced, second }

    private var state = State.plain
    private var header = Header.possible
    private var isEscaped = false
    /// The brackets that are open.
    private var open: [UInt8] = []
    /// What stands here without quotes, and whether it is a value and not a key.
    private var word: [UInt8] = []
    private var isValue = false
    private var dots = 0
    /// The last two bytes, to see three quotes in a row.
    private var before: (UInt8, UInt8) = (0, 0)
    private var line = 1
    private var length = 0

    /// Refuses a text whose shape no configuration has.
    static func check(_ text: String) throws(ConfigurationProblem.Refused) {
        var shape = TextShape()
        for byte in text.utf8 {
            if let advice = shape.advance(byte) { throw .init(.init(line: shape.line, advice: advice)) }
        }
        if let advice = shape.endLine() { throw .init(.init(line: shape.line, advice: advice)) }
    }

    /// Takes the next byte; returns what is wrong with it.
    private mutating func advance(_ byte: UInt8) -> String? {
        guard byte != UInt8(ascii: "\n") else {
            if let advice = endLine() { return advice }
            (state, isEscaped, dots, before) = (.plain, false, 0, (0, 0))
            (header, isValue) = open.isEmpty ? (.possible, false) : (.none, isValue)
            line += 1
            length = 0
            return nil
        }
        length += 1
        if byte == 0 { return "a NUL byte, which no text has" }
        if length > Self.longestLine {
            return "longer than \(Self.longestLine) bytes; break it into several lines"
        }
        defer { before = (before.1, byte) }
        switch state {
        case .plain: return plain(byte)
        case .basic:
            if byte == UInt8(ascii: "\""), !isEscaped { state = .plain }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        case .literal: if byte == UInt8(ascii: "'") { state = .plain }
        case .comment: break
        }
        return nil
    }

    private mutating func plain(_ byte: UInt8) -> String? {
        if let advice = follow(header: byte) { return advice }
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: ","), UInt8(ascii: "="),
            UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "["), UInt8(ascii: "]"),
            UInt8(ascii: "{"), UInt8(ascii: "}"):
            return endWord() ?? separate(byte)
        default:
            word.append(byte)
            guard byte == UInt8(ascii: ".") else { return nil }
            dots += 1
            return dots > Self.mostDots ? "more than \(Self.mostDots) dots; no key has that many parts" : nil
        }
    }

    /// What stands between words.
    private mutating func separate(_ byte: UInt8) -> String? {
        switch byte {
        case UInt8(ascii: "#"): state = .comment
        case UInt8(ascii: "="): isValue = true
        case UInt8(ascii: ","): isValue = open.last == UInt8(ascii: "[")
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            if before == (byte, byte) { return "a string over several lines, which no key takes" }
            state = byte == UInt8(ascii: "'") ? .literal : .basic
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            open.append(byte)
            if open.count > Self.deepestNesting { return "nested too deep; no key takes that" }
            if byte == UInt8(ascii: "{") { isValue = false }
        case UInt8(ascii: "]"), UInt8(ascii: "}"):
            let opened = byte == UInt8(ascii: "]") ? UInt8(ascii: "[") : UInt8(ascii: "{")
            let closing = String(decoding: [byte], as: UTF8.self)
            guard open.popLast() == opened else { return "syntax: a \(closing) that closes nothing" }
            isValue = true
        default: break
        }
        return nil
    }

    /// The end of a line, and of the text.
    private mutating func endLine() -> String? {
        if let advice = endWord() { return advice }
        switch header {
        case .none, .possible: return nil
        case .first, .spaced, .second:
            return "syntax: a header without a name; write [section] or [[section]]"
        }
    }

    // MARK: - Words

    private mutating func endWord() -> String? {
        defer { word = [] }
        guard isValue, !word.isEmpty, !BareValue.isValue(word) else { return nil }
        let shown = Setting.printable(String(decoding: word, as: UTF8.self), 40)
        return "syntax: \(shown): a value is a number, true, false, or text in quotes"
    }

    /// A header begins a line, and its name begins with what begins a key.
    private mutating func follow(header byte: UInt8) -> String? {
        let isSpace = byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
        switch header {
        case .none: return nil
        case .possible:
            let isMark = line == 1 && length <= 3 && byte == Self.byteOrderMark[length - 1]
            if byte == UInt8(ascii: "[") { header = .first } else if !isSpace && !isMark { header = .none }
            return nil
        case .first, .spaced, .second:
            if isSpace {
                header = header == .first ? .spaced : header
            } else if header == .first, byte == UInt8(ascii: "[") {
                header = .second
            } else if BareValue.isKeyByte(byte) || [UInt8(ascii: "\""), UInt8(ascii: "'")].contains(byte) {
                header = .none
            } else {
                return "syntax: a header without a name; write [section] or [[section]]"
            }
            return nil
        }
    }
}
