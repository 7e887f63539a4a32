// Reading the fields of the bus's JSON documents, with errors that name the key, what was found and what
// would be right.
import Basics

/// Why a JSON document is no message of ours.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The key, such as `status` or `states[3].since`.
    public var key: String
    /// What stood there, cut to 64 characters; `nil`: nothing.
    public var found: String?
    /// What would be right.
    public var expected: String

    public init(key: String, found: String?, expected: String) {
        self.key = key
        self.found = found
        self.expected = expected
    }

    public var description: String {
        "\(key.isEmpty ? "the message" : "\"\(key)\"") is \(found ?? "missing"), expected \(expected)"
    }
}

/// The version of the health bus and of requests, in each document's `v`.
let schemaVersion: Int64 = 1
/// The longest reason, in bytes.
let longestReason = 1024
/// How many values a state or sample may carry.
let mostValues = 256
/// Integers from here on are not exact in every JSON reader.
let exactIntegers: Int64 = 1 << 53

/// Typed access to the keys of one object.
struct Fields {
    let json: JSON

    /// Of a part of a document, which has no version of its own.
    init(part json: JSON) { self.json = json }

    /// Checks that it is an object of the version that we read.
    init(_ json: JSON) throws(WireError) {
        guard json.members != nil else {
            throw WireError(key: "", found: Fields.brief(json), expected: "an object")
        }
        self.json = json
        let version = try integer("v")
        guard version == schemaVersion else { throw failure("v", "\(schemaVersion)") }
    }

    func failure(_ key: String, _ expected: String) -> WireError {
        WireError(key: key, found: json[key].map(Fields.brief), expected: expected)
    }

    static func brief(_ json: JSON) -> String {
        switch json {
        case .array: "an array"
        case .object: "an object"
        case .null, .bool, .integer, .number, .string: String(json.text.prefix(64))
        }
    }

    func has(_ key: String) -> Bool {
        switch json[key] {
        case nil, .null: false
        case .bool, .integer, .number, .string, .array, .object: true
        }
    }

    func integer(_ key: String) throws(WireError) -> Int64 {
        guard let value = json[key]?.integer, (0..<exactIntegers).contains(value) else {
            throw failure(key, "a whole number from 0, below 2^53")
        }
        return value
    }

    /// `0` where it is left out.
    func channelOrZero(_ key: String) throws(WireError) -> UInt16 {
        let number = has(key) ? try integer(key) : 0
        guard let channel = UInt16(exactly: number) else { throw failure(key, "0 to 65535") }
        return channel
    }

    /// Epochs need all 64 bits, which not every JSON library gives to numbers.
    func epoch(_ key: String) throws(WireError) -> UInt64 {
        let number = json[key]?.integer.flatMap { UInt64(exactly: $0) }
        guard let epoch = json[key]?.string.flatMap({ UInt64($0) }) ?? number else {
            throw failure(key, "the header's epoch, as a text of decimal digits")
        }
        return epoch
    }

    func number(_ key: String, _ range: ClosedRange<Double>) throws(WireError) -> Double {
        guard let value = json[key]?.double, range.contains(value) else {
            throw failure(key, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func name(_ key: String) throws(WireError) -> String {
        guard let text = json[key]?.string, !text.isEmpty, text.utf8.count <= Topic.longestName else {
            throw failure(key, "a text of 1 to \(Topic.longestName) bytes")
        }
        return text
    }

    func text(_ key: String) throws(WireError) -> String {
        guard let text = json[key]?.string, text.utf8.count <= longestReason else {
            throw failure(key, "a text of at most \(longestReason) bytes")
        }
        return text
    }

    func time(_ key: String) throws(WireError) -> WallTime {
        guard let time = json[key]?.string.flatMap({ WallTime(rfc3339: $0) }) else {
            throw failure(key, "a time such as \"2026-01-02T03:04:05.678901Z\"")
        }
        return time
    }

    func status(_ key: String) throws(WireError) -> Status {
        guard let status = json[key]?.string.flatMap({ Status(rawValue: $0) }) else {
            throw failure(key, "one of " + Status.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return status
    }

    /// A subject as one text, `nic/eth0`.
    func subject(_ key: String) throws(WireError) -> Subject {
        guard let subject = json[key]?.string.flatMap({ Subject(parsing: $0) }),
            subject.name.utf8.count <= Topic.longestName
        else { throw failure(key, "a kind and a name such as \"nic/eth0\"") }
        return subject
    }

    /// A subject as the two keys `kind` and `name`.
    func kindAndName() throws(WireError) -> Subject {
        guard let kind = json["kind"]?.string.flatMap({ Kind(rawValue: $0) }) else {
            throw failure("kind", "one of " + Kind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return Subject(kind, try name("name"))
    }

    func values() throws(WireError) -> [NamedValue] {
        guard let members = json["values"]?.members, members.count <= mostValues else {
            throw failure("values", "an object of at most \(mostValues) values")
        }
        var values: [NamedValue] = []
        values.reserveCapacity(members.count)
        for member in members {
            guard let value = Value(json: member.value) else { continue }
            values.append(NamedValue(member.key, value))
        }
        return values
    }
}

extension [NamedValue] {
    /// The values as one object, as many as a message may carry.
    var json: JSON { .object(prefix(mostValues).map { JSON.Member($0.name, $0.value.json) }) }
}
