// From a captured frame to the network packet in it: the link layers that market data is captured on.
import Basics

/// A link-layer type of a capture (the tcpdump group's registry).
public struct LinkType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let null = LinkType(rawValue: 0)
    public static let ethernet = LinkType(rawValue: 1)
    public static let raw = LinkType(rawValue: 101)
    public static let loop = LinkType(rawValue: 108)
    public static let linuxCooked = LinkType(rawValue: 113)
    public static let ipv4 = LinkType(rawValue: 228)
    public static let ipv6 = LinkType(rawValue: 229)
    public static let linuxCooked2 = LinkType(rawValue: 276)

    /// The IP packet behind the link-layer header; `nil` where there is none, or this type is not known.
    func networkPacket(in frame: ArraySlice<UInt8>) throws(EndOfBytes) -> ArraySlice<UInt8>? {
        var reader = ByteReader(frame)
        switch self {
        case .ethernet:
            _ = try reader.take(12)
            return try LinkType.behindEtherType(&reader)
        case .linuxCooked:
            _ = try reader.take(14)
            return try LinkType.behindEtherType(&reader)
        case .linuxCooked2:
            let etherType = try reader.integer(UInt16.self)
            _ = try reader.take(18)
            return LinkType.isIP(etherType) ? reader.rest : nil
        case .null, .loop:
            return try LinkType.behindFamily(&reader)
        // 12 and 14 are what some systems write for raw IP.
        case .raw, .ipv4, .ipv6, LinkType(rawValue: 12), LinkType(rawValue: 14):
            return reader.rest
        default: return nil
        }
    }

    private static func isIP(_ etherType: UInt16) -> Bool { etherType == 0x0800 || etherType == 0x86DD }

    /// Steps over VLAN tags: 802.1Q, 802.1ad and the older 0x9100.
    private static func behindEtherType(_ reader: inout ByteReader) throws(EndOfBytes) -> ArraySlice<UInt8>? {
        var etherType = try reader.integer(UInt16.self)
        while [0x8100, 0x88A8, 0x9100].contains(etherType) {
            _ = try reader.take(2)
            etherType = try reader.integer(UInt16.self)
        }
        return isIP(etherType) ? reader.rest : nil
    }

    /// An address family in the capturing host's byte order: 2 is IPv4; 10, 24, 28 and 30 are IPv6 on
    /// Linux, the BSDs and macOS.
    private static func behindFamily(_ reader: inout ByteReader) throws(EndOfBytes) -> ArraySlice<UInt8>? {
        let family = try reader.integer(UInt32.self)
        return [2, 10, 24, 28, 30].contains(min(family, family.byteSwapped)) ? reader.rest : nil
    }
}
