// Text for a terminal: cut, padded, and cleaned of what would steer it. What comes over the bus was written by
// others, and an escape sequence in a reason must not reach anybody's terminal.
public import Wire

extension String {
    /// The text with control characters replaced, so that it is one line and only text.
    public var printable: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .lineSeparator, .paragraphSeparator, .format: "?"
                    case _: scalar
                    }
                }))
    }

    /// The text in exactly `width` characters: cut with an ellipsis, or padded with spaces.
    public func fitted(to width: Int) -> String {
        guard width > 0 else { return "" }
        let length = count
        if length == width { return self }
        if length < width { return self + String(repeating: " ", count: width - length) }
        return prefix(width - 1) + "…"
    }

    /// The text without the spaces at its end.
    public var trimmedEnd: String {
        var text = self[...]
        while text.last == " " { text = text.dropLast() }
        return String(text)
    }
}

/// How long ago something was, in the one unit that a person needs: `12s`, `7m`, `5h`, `3d`.
public func age(_ duration: Duration) -> String {
    let seconds = max(0, duration.components.seconds)
    return switch seconds {
    case ..<120: "\(seconds)s"
    case ..<7200: "\(seconds / 60)m"
    case ..<172_800: "\(seconds / 3600)h"
    case _: "\(seconds / 86400)d"
    }
}

/// Whether and how statuses are coloured.
public struct Palette: Hashable, Sendable {
    public var isColoured: Bool

    public init(isColoured: Bool) { self.isColoured = isColoured }

    /// The text in the colour of a status.
    public func paint(_ text: String, _ status: Status) -> String {
        let code =
            switch status {
            case .ok: "32"
            case .warning: "33"
            case .critical: "1;31"
            case .unknown: "35"
            }
        return isColoured ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// A heading.
    public func heading(_ text: String) -> String { isColoured ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

    /// What matters less.
    public func faint(_ text: String) -> String { isColoured ? "\u{1B}[2m\(text)\u{1B}[0m" : text }
}
