// A line of NUT's protocols: words apart by spaces, quoted where they hold spaces, with a backslash before a quote
// or a backslash (docs/net-protocol.txt and docs/sock-protocol.txt of NUT). The network protocol and the drivers'
// sockets share this form.

/// Splits lines into words.
enum NUTLine {
    /// Longer lines are refused: NUT's own values end at 256 bytes or so.
    static let longest = 2048
    static let mostWords = 16

    /// The words of a line without its end; `nil`: a quote that is not closed, or a control character.
    static func words(_ line: some Collection<UInt8>) -> [String]? {
        var words: [[UInt8]] = []
        var word: [UInt8]?
        var isQuoted = false
        var isEscaped = false
        for byte in line {
            guard byte >= 0x20 || byte == UInt8(ascii: "\t") else { return nil }
            if isEscaped {
                word = (word ?? []) + [byte]
                isEscaped = false
                continue
            }
            switch byte {
            case UInt8(ascii: "\\"): isEscaped = true
            case UInt8(ascii: "\""):
                isQuoted.toggle()
                word = word ?? []
            case UInt8(ascii: " ") where !isQuoted, UInt8(ascii: "\t") where !isQuoted:
                if let done = word { words.append(done) }
                word = nil
            default: word = (word ?? []) + [byte]
            }
            guard words.count < mostWords else { return nil }
        }
        guard !isQuoted, !isEscaped else { return nil }
        if let done = word { words.append(done) }
        return words.map { String(decoding: $0, as: UTF8.self) }
    }

    /// A word as it is sent: quoted where it must be. `nil`: it cannot be sent at all.
    static func quoted(_ word: String) -> String? {
        guard word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
        let plain = word.utf8.allSatisfy {
            $0 != 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        if plain, !word.isEmpty { return word }
        let escaped = word.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }
        return "\"" + String(escaped) + "\""
    }
}

/// Cuts a stream into lines, within a bound.
struct NUTLines: Sendable {
    private var pending: [UInt8] = []
    private var isSkipping = false
    /// Lines that were too long, and dropped.
    private(set) var tooLong: UInt64 = 0

    /// The lines that `bytes` complete, without their ends.
    mutating func received(_ bytes: some Collection<UInt8>) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                append(byte)
                continue
            }
            if !isSkipping { lines.append(pending.last == UInt8(ascii: "\r") ? pending.dropLast() : pending) }
            isSkipping = false
            pending.removeAll(keepingCapacity: true)
        }
        return lines
    }

    private mutating func append(_ byte: UInt8) {
        guard !isSkipping else { return }
        guard pending.count < NUTLine.longest else {
            isSkipping = true
            tooLong &+= 1
            pending.removeAll(keepingCapacity: true)
            return
        }
        pending.append(byte)
    }
}
