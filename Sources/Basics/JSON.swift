// JSON (RFC 8259) for the health bus: a value, a writer with a stable order of keys, and a bounded reader.
// It stands here because the pure modules, which know the bus, import no Foundation.

/// A JSON value. Objects keep the order of their keys.
public enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([Member])

    /// One key and its value.
    public struct Member: Hashable, Sendable {
        public var key: String
        public var value: JSON

        public init(_ key: String, _ value: JSON) {
            self.key = key
            self.value = value
        }
    }

    /// The value of a key of an object; `nil` for another kind of value or a missing key.
    public subscript(key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    public var string: String? { if case .string(let text) = self { text } else { nil } }
    public var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }
    public var array: [JSON]? { if case .array(let items) = self { items } else { nil } }
    public var members: [Member]? { if case .object(let members) = self { members } else { nil } }

    /// The value as a whole number, also when it was written as `3.0`.
    public var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int64(exactly: value)
        case .null, .bool, .string, .array, .object: nil
        }
    }

    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .null, .bool, .string, .array, .object: nil
        }
    }
}

// MARK: - Writing

extension JSON {
    /// The value as one line of UTF-8 text.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The value as UTF-8 without spaces.
    public var bytes: [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        write(into: &output)
        return output
    }

    private func write(into output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
        case .integer(let value): output.append(contentsOf: String(value).utf8)
        case .number(let value): output.append(contentsOf: (value.isFinite ? "\(value)" : "null").utf8)
        case .string(let text): JSON.write(text, into: &output)
        case .array(let items):
            output.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                item.write(into: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.write(member.key, into: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(into: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { bytes in
            // Hardly any text has something to escape.
            if unsafe bytes.contains(where: { needsEscape($0) }) {
                unsafe bytes.forEach { writeEscaped($0, into: &output) }
            } else {
                unsafe output.append(contentsOf: bytes)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func writeEscaped(_ byte: UInt8, into output: inout [UInt8]) {
        func hexDigit(_ value: UInt8) -> UInt8 {
            value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "a") &+ (value &- 10)
        }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            output.append(UInt8(ascii: "\\"))
            output.append(byte)
        case 0x0A: output.append(contentsOf: "\\n".utf8)
        case 0x0D: output.append(contentsOf: "\\r".utf8)
        case 0x09: output.append(contentsOf: "\\t".utf8)
        case 0..<0x20:
            output.append(contentsOf: "\\u00".utf8)
            output.append(hexDigit(byte >> 4))
            output.append(hexDigit(byte & 15))
        default: output.append(byte)
        }
    }
}

// MARK: - Reading

/// Why a text is not the JSON that was expected, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    public var offset: Int
    public var reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    public var description: String { "offset \(offset): \(reason)" }
}

extension JSON {
    /// How deep arrays and objects may nest before the reader refuses.
    public static let deepestNesting = 32

    /// Reads exactly one value and nothing after it.
    public init(parsing bytes: some Collection<UInt8>) throws(JSONError) {
        var parser = JSONParser(bytes: Array(bytes))
        self = try parser.document()
    }

    public init(parsing text: String) throws(JSONError) { try self.init(parsing: text.utf8) }
}

private struct JSONParser {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    func failure(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

    mutating func document() throws(JSONError) -> JSON {
        let result = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("nothing may follow the value") }
        return result
    }

    mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) { position += 1 }
    }

    mutating func accept(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
        guard accept(character) else { throw failure("expected '\(character)'") }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        guard depth < JSON.deepestNesting else { throw failure("nested too deep") }
        skipSpace()
        guard position < bytes.count else { throw failure("expected a value, found the end") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    mutating func word(_ text: String, _ meaning: JSON) throws(JSONError) -> JSON {
        guard bytes[position...].starts(with: text.utf8) else { throw failure("expected \(text)") }
        position += text.utf8.count
        return meaning
    }

    mutating func object(depth: Int) throws(JSONError) -> JSON {
        try expect("{")
        var members: [JSON.Member] = []
        if accept("}") { return .object(members) }
        repeat {
            skipSpace()
            let key = try string()
            try expect(":")
            members.append(JSON.Member(key, try value(depth: depth + 1)))
        } while accept(",")
        try expect("}")
        return .object(members)
    }

    mutating func array(depth: Int) throws(JSONError) -> JSON {
        try expect("[")
        var items: [JSON] = []
        if accept("]") { return .array(items) }
        repeat { items.append(try value(depth: depth + 1)) } while accept(",")
        try expect("]")
        return .array(items)
    }

    /// RFC 8259, section 6: no plus sign, no leading zeros, digits on both sides of a point.
    mutating func number() throws(JSONError) -> JSON {
        let start = position
        if next(is: UInt8(ascii: "-")) { position += 1 }
        let leading = position
        let hasZeros = next(is: UInt8(ascii: "0"))
        var isValid = digits() && !(hasZeros && position > leading + 1)
        var isWhole = true
        if next(is: UInt8(ascii: ".")) {
            position += 1
            isWhole = false
            isValid = digits() && isValid
        }
        if next(is: UInt8(ascii: "e")) || next(is: UInt8(ascii: "E")) {
            position += 1
            isWhole = false
            if next(is: UInt8(ascii: "+")) || next(is: UInt8(ascii: "-")) { position += 1 }
            isValid = digits() && isValid
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isValid, isWhole, let whole = Int64(text) { return .integer(whole) }
        guard isValid, let value = Double(text), value.isFinite else {
            position = start
            throw failure("expected a value")
        }
        return .number(value)
    }

    func next(is byte: UInt8) -> Bool { position < bytes.count && bytes[position] == byte }

    /// Passes over a run of digits; false if there is none.
    mutating func digits() -> Bool {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
            position += 1
        }
        return position > start
    }

    mutating func string() throws(JSONError) -> String {
        try expect("\"")
        var text: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure("a control character in a string")
            default: text.append(byte)
            }
        }
        throw failure("a string without an end")
    }

    mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard position < bytes.count else { throw failure("a string without an end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeEscape()).utf8)
        default: throw failure("an unknown escape")
        }
    }

    mutating func unicodeEscape() throws(JSONError) -> Character {
        let first = try hexQuad()
        if (0xD800..<0xDC00).contains(first) {
            guard bytes[position...].starts(with: "\\u".utf8) else {
                throw failure("half of a surrogate pair")
            }
            position += 2
            let second = try hexQuad()
            guard (0xDC00..<0xE000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
            else { throw failure("half of a surrogate pair") }
            return Character(scalar)
        }
        guard let scalar = Unicode.Scalar(first) else { throw failure("half of a surrogate pair") }
        return Character(scalar)
    }

    mutating func hexQuad() throws(JSONError) -> UInt32 {
        let digits = bytes[position...].prefix(4)
        // A sign is none.
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw failure("expected four hexadecimal digits") }
        position += 4
        return value
    }
}
