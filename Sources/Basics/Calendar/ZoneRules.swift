// When a time zone's clocks are how far from UTC, as a compiled file of the time zone database says. Source: RFC 9636,
// The Time Zone Information Format.

/// Why bytes are no time zone.
public struct ZoneDefect: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    static let cut = ZoneDefect(description: "not a file of the time zone database, or cut short")
}

/// The offsets of one time zone, past and to come.
public struct ZoneRules: Hashable, Sendable {
    /// The longest file that is taken; the longest of the database has 3.5 kB.
    public static let mostBytes = 65_536
    /// Offsets are below this (RFC 9636, section 3.2).
    static let farthest: Int64 = 26 * 3600

    struct Change: Hashable, Sendable {
        /// Seconds since 1970.
        var at: Int64
        /// Seconds east of UTC from then on.
        var offset: Int64
    }

    /// Ascending.
    private let changes: [Change]
    /// What held before the first change.
    private let first: Int64
    /// What holds after the last one; `nil`: its offset.
    private let rule: ZoneRule?

    /// Universal time.
    public static let utc = ZoneRules(changes: [], first: 0, rule: nil)

    init(changes: [Change], first: Int64, rule: ZoneRule?) {
        (self.changes, self.first, self.rule) = (changes, first, rule)
    }

    /// Decodes a file.
    public init(_ bytes: [UInt8]) throws(ZoneDefect) {
        guard bytes.count <= ZoneRules.mostBytes else { throw ZoneDefect(description: "too long") }
        var file = ZoneFile(bytes)
        let header = try file.header()
        guard header.version >= UInt8(ascii: "2") else {
            self = try file.rules(header, timeWidth: 4, hasRule: false)
            return
        }
        // The first block says the same in 32 bits, for readers of the first version.
        _ = try file.take(header.length(timeWidth: 4))
        self = try file.rules(file.header(), timeWidth: 8, hasRule: true)
    }

    /// Seconds east of UTC at a moment, in seconds since 1970.
    public func offset(at moment: Int64) -> Int64 {
        guard let last = changes.last else { return rule?.offset(at: moment) ?? first }
        if moment >= last.at { return rule?.offset(at: moment) ?? last.offset }
        var (low, high) = (0, changes.count)
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].at <= moment { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? first : changes[low - 1].offset
    }
}

/// The parts of a file, from front to back.
private struct ZoneFile {
    struct Header {
        var version: UInt8
        var universal, standard, leaps, times, types, characters: Int

        func length(timeWidth: Int) -> Int {
            times * (timeWidth + 1) + types * 6 + characters + leaps * (timeWidth + 4) + standard + universal
        }
    }

    private var reader: ByteReader

    init(_ bytes: [UInt8]) { reader = ByteReader(bytes) }

    mutating func take(_ count: Int) throws(ZoneDefect) -> ArraySlice<UInt8> {
        do throws(EndOfBytes) { return try reader.take(count) } catch { throw .cut }
    }

    private mutating func count() throws(ZoneDefect) -> Int {
        Int(try take(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
    }

    private mutating func signed(_ width: Int) throws(ZoneDefect) -> Int64 {
        let bits = try take(width).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return width == 4 ? Int64(Int32(truncatingIfNeeded: bits)) : Int64(bitPattern: bits)
    }

    mutating func header() throws(ZoneDefect) -> Header {
        guard try take(4).elementsEqual("TZif".utf8), let version = try take(1).first else { throw .cut }
        _ = try take(15)
        return Header(
            version: version, universal: try count(), standard: try count(), leaps: try count(),
            times: try count(), types: try count(), characters: try count())
    }

    mutating func rules(_ header: Header, timeWidth: Int, hasRule: Bool) throws(ZoneDefect) -> ZoneRules {
        guard header.leaps == 0 else {
            throw ZoneDefect(description: "counts leap seconds, which no clock here does")
        }
        guard header.types > 0, header.times <= reader.count else { throw .cut }
        var moments: [Int64] = []
        for _ in 0..<header.times { moments.append(try signed(timeWidth)) }
        let kinds = try take(header.times)
        guard zip(moments, moments.dropFirst()).allSatisfy(<) else { throw .cut }
        let offsets = try offsets(header.types)
        guard kinds.allSatisfy({ Int($0) < offsets.count }) else { throw .cut }
        _ = try take(header.characters + header.standard + header.universal)
        let changes = zip(moments, kinds).map { ZoneRules.Change(at: $0, offset: offsets[Int($1)]) }
        return ZoneRules(changes: changes, first: offsets[0], rule: hasRule ? try rule() : nil)
    }

    private mutating func offsets(_ count: Int) throws(ZoneDefect) -> [Int64] {
        guard count <= 256 else { throw .cut }
        var offsets: [Int64] = []
        for _ in 0..<count {
            let offset = try signed(4)
            guard abs(offset) < ZoneRules.farthest else { throw .cut }
            offsets.append(offset)
            _ = try take(2)
        }
        return offsets
    }

    /// The text between the last two line feeds; an empty one is none.
    private mutating func rule() throws(ZoneDefect) -> ZoneRule? {
        let rest = try take(reader.count)
        guard rest.first == 0x0A, let end = rest.dropFirst().firstIndex(of: 0x0A) else { throw .cut }
        let text = rest[..<end].dropFirst()
        guard !text.isEmpty else { return nil }
        guard let rule = ZoneRule(text) else {
            throw ZoneDefect(
                description:
                    "a rule that is not understood: \(String(decoding: text.prefix(60), as: UTF8.self))")
        }
        return rule
    }
}
