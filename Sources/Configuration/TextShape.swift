// The shape of a text before the TOML library sees it: bounds on lines and nesting, without which the library's
// recursion over a hostile file would use up the stack. It also refuses what no key takes and the line scan
// would have to follow: strings over several lines.

/// Follows brackets, dots and strings through a text.
struct TextShape {
    static let longestLine = 4096
    private static let deepestNesting = 8
    private static let mostDots = 16

    private enum State { case plain, basic, literal, comment }

    private var state = State.plain
    private var isEscaped = false
    private var depth = 0
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
    }

    /// Takes the next byte; returns what is wrong with it.
    private mutating func advance(_ byte: UInt8) -> String? {
        guard byte != UInt8(ascii: "\n") else {
            (state, isEscaped, dots, before) = (.plain, false, 0, (0, 0))
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
        switch byte {
        case UInt8(ascii: "#"): state = .comment
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            if before == (byte, byte) { return "a string over several lines, which no key takes" }
            state = byte == UInt8(ascii: "'") ? .literal : .basic
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            depth += 1
            if depth > Self.deepestNesting { return "nested too deep; no key takes that" }
        case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
        case UInt8(ascii: "."):
            dots += 1
            if dots > Self.mostDots { return "more than \(Self.mostDots) dots; no key has that many parts" }
        default: break
        }
        return nil
    }
}
