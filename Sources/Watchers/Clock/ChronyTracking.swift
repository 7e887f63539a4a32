// chronyd's answer to `tracking`, over its control protocol, version 6 (candm.h of chrony): what is sent, and what
// comes back. All integers are big-endian. A request is as long as its reply, so that nobody can amplify.
public import Basics

/// Why a datagram is not a reply to be believed.
public enum ChronyDefect: Error, Hashable, Sendable {
    /// Shorter than a reply is.
    case short(Int)
    /// Not a reply to `tracking` in this version.
    case foreign
    /// The answer to another request.
    case sequence(UInt32)
    /// chronyd refuses: the status in its words.
    case refused(UInt16)
}

/// What chronyd knows of the clock that it disciplines.
public struct ChronyTracking: Hashable, Sendable {
    public static let requestBytes = 104
    private static let version: UInt8 = 6
    private static let command: UInt16 = 33
    private static let reply: UInt16 = 5

    public enum Leap: UInt16, Hashable, Sendable {
        case none, insert, delete, unsynchronised
    }

    public var referenceID: UInt32
    /// The source's address; `nil`: none, or a reference clock of this host.
    public var source: String?
    /// 0: not synchronised.
    public var stratum: UInt16
    public var leap: Leap
    /// When the source last corrected the clock; `nil`: never.
    public var referenceTime: WallTime?
    /// How much is still to be added to the clock, in seconds: positive when it is slow.
    public var correction: Double
    /// As measured at the last update, in seconds.
    public var lastOffset: Double
    public var rmsOffset: Double
    /// What the clock would lose or gain without correction, in parts per million: positive when it would be fast.
    public var frequency: Double
    public var residualFrequency: Double
    public var skew: Double
    /// In seconds, all the way to the primary source.
    public var rootDelay: Double
    public var rootDispersion: Double
    /// Seconds between the last two updates.
    public var updateInterval: Double

    /// The furthest that the clock can be from UTC if the source is right: chronyc(1), `tracking`.
    public var errorBound: Double { abs(correction) + rootDispersion + rootDelay / 2 }

    /// Nobody's clock but this host's own (`local` in chrony.conf), 127.127.1.1.
    public var followsItself: Bool { referenceID == 0x7F7F_0101 }

    /// The datagram that asks for it.
    public static func request(_ sequence: UInt32) -> [UInt8] {
        var writer = ByteWriter(capacity: requestBytes)
        writer.append([version, 1, 0, 0])
        writer.bigEndian(command)
        writer.bigEndian(UInt16(0))
        writer.bigEndian(sequence)
        writer.append(repeatElement(0, count: requestBytes - writer.bytes.count))
        return writer.bytes
    }

    /// Reads the answer to the request of this number.
    public init(reply bytes: [UInt8], to sequence: UInt32) throws(ChronyDefect) {
        var reader = ByteReader(bytes)
        guard let head = try? Head(&reader) else { throw .short(bytes.count) }
        guard head.marks == [ChronyTracking.version, 2, 0, 0], head.command == ChronyTracking.command else {
            throw .foreign
        }
        guard head.sequence == sequence else { throw .sequence(head.sequence) }
        guard head.status == 0 else { throw .refused(head.status) }
        guard head.reply == ChronyTracking.reply else { throw .foreign }
        guard let body = try? ChronyTracking(&reader) else { throw .short(bytes.count) }
        self = body
    }

    /// What stands before every reply.
    private struct Head {
        let marks: [UInt8]
        let command: UInt16
        let reply: UInt16
        let status: UInt16
        let sequence: UInt32

        init(_ reader: inout ByteReader) throws(EndOfBytes) {
            marks = Array(try reader.take(4))
            command = try reader.integer(UInt16.self)
            reply = try reader.integer(UInt16.self)
            status = try reader.integer(UInt16.self)
            _ = try reader.take(6)
            sequence = try reader.integer(UInt32.self)
            _ = try reader.take(8)
        }
    }

    private init(_ reader: inout ByteReader) throws(EndOfBytes) {
        referenceID = try reader.integer(UInt32.self)
        source = ChronyTracking.address(try reader.take(16), family: try reader.integer(UInt16.self))
        _ = try reader.take(2)
        stratum = try reader.integer(UInt16.self)
        leap = Leap(rawValue: try reader.integer(UInt16.self)) ?? .unsynchronised
        referenceTime = ChronyTracking.time(
            high: try reader.integer(UInt32.self), low: try reader.integer(UInt32.self),
            nanoseconds: try reader.integer(UInt32.self))
        correction = try ChronyTracking.float(&reader)
        lastOffset = try ChronyTracking.float(&reader)
        rmsOffset = try ChronyTracking.float(&reader)
        frequency = try ChronyTracking.float(&reader)
        residualFrequency = try ChronyTracking.float(&reader)
        skew = try ChronyTracking.float(&reader)
        rootDelay = try ChronyTracking.float(&reader)
        rootDispersion = try ChronyTracking.float(&reader)
        updateInterval = try ChronyTracking.float(&reader)
    }

    /// A signed exponent of 7 bits and a signed coefficient of 25 bits: coefficient * 2^(exponent - 25).
    private static func float(_ reader: inout ByteReader) throws(EndOfBytes) -> Double {
        let bits = Int32(bitPattern: try reader.integer(UInt32.self))
        // Shifting right keeps the sign, of the exponent as it stands and of the coefficient moved to the top.
        let exponent = Int(bits >> 25)
        let coefficient = Int((bits << 7) >> 7)
        return Double(sign: .plus, exponent: exponent - 25, significand: 1) * Double(coefficient)
    }

    /// Seconds in two halves; the upper one is a mark where there are only 32 bits.
    private static func time(high: UInt32, low: UInt32, nanoseconds: UInt32) -> WallTime? {
        let upper = high == 0x7FFF_FFFF ? 0 : high
        let seconds = Int64(bitPattern: UInt64(upper) << 32 | UInt64(low))
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow, seconds > 0, nanoseconds < 1_000_000_000 else { return nil }
        let (sum, carried) = whole.addingReportingOverflow(Int64(nanoseconds))
        return carried ? nil : WallTime(nanoseconds: sum)
    }

    /// Families of chrony's own: 1 is IPv4, 2 is IPv6.
    private static func address(_ bytes: ArraySlice<UInt8>, family: UInt16) -> String? {
        switch family {
        case 1: bytes.prefix(4).map { String($0) }.joined(separator: ".")
        case 2: IPv6Text.text(Array(bytes))
        default: nil
        }
    }
}

/// An IPv6 address for people: RFC 5952 without the mixed notation.
enum IPv6Text {
    /// - Parameter bytes: 16 of them; fewer give a shorter text.
    static func text(_ bytes: [UInt8]) -> String {
        let groups = stride(from: 0, to: bytes.count - 1, by: 2).map {
            UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
        }
        let run = longestZeros(groups)
        func join(_ part: some Sequence<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard run.count > 1 else { return join(groups) }
        return join(groups[..<run.lowerBound]) + "::" + join(groups[run.upperBound...])
    }

    private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 { start = index + 1 }
            if index + 1 - start > best.count { best = start..<(index + 1) }
        }
        return best
    }
}
