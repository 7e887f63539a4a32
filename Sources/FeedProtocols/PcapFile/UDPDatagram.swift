// From a captured frame to the UDP datagram in it, over IPv4 and IPv6.
public import Basics

/// An IP address.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(IPv4Address)
    case v6(UInt64, UInt64)

    /// Dotted decimal, or eight groups of hexadecimal digits.
    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let high, let low):
            [high, low].flatMap { half in
                [48, 32, 16, 0].map { String(half >> UInt64($0) & 0xFFFF, radix: 16) }
            }.joined(separator: ":")
        }
    }
}

/// A UDP datagram as it was captured.
public struct UDPDatagram {
    public let source: IPAddress
    public let sourcePort: UInt16
    public let destination: IPAddress
    public let destinationPort: UInt16
    /// What there is of the payload: all of it, unless the frame was cut and `cut` allowed.
    public let payload: ArraySlice<UInt8>
    /// The payload's length on the wire, in bytes.
    public let length: Int

    /// - Parameter cut: take a datagram whose headers were captured and whose payload was cut.
    /// - Returns: `nil` for frames that hold no whole UDP datagram: other protocols, IP fragments, link types
    ///   that are not known.
    /// - Throws: `MalformedInput`, offsets counted from the frame's first byte, where headers are cut short
    ///   or claim more than was captured.
    public init?(_ frame: CapturedFrame, cut: Bool = false) throws(MalformedInput) {
        let mayBeCut = cut && frame.originalLength > frame.bytes.count
        do {
            guard let packet = try frame.link.networkPacket(in: frame.bytes) else { return nil }
            try self.init(packet: packet, mayBeCut: mayBeCut)
        } catch {
            throw MalformedInput(error, within: 0)
        }
    }

    private init?(packet: ArraySlice<UInt8>, mayBeCut: Bool) throws(EndOfBytes) {
        var reader = ByteReader(packet)
        let parsed: (IPAddress, IPAddress, ArraySlice<UInt8>)? =
            switch packet.first.map({ $0 >> 4 }) {
            case 4: try UDPDatagram.ipv4(&reader, mayBeCut)
            case 6: try UDPDatagram.ipv6(&reader, mayBeCut)
            default: nil
            }
        guard let (source, destination, segment) = parsed else { return nil }
        self.source = source
        self.destination = destination
        var udp = ByteReader(segment)
        sourcePort = try udp.integer(UInt16.self)
        destinationPort = try udp.integer(UInt16.self)
        let length = Int(try udp.integer(UInt16.self))
        _ = try udp.take(2)
        // Length 0 is a jumbogram's (RFC 2675); anything from 1 to 7 is nonsense.
        guard length == 0 || length >= 8 else { return nil }
        self.length = length == 0 ? udp.count : length - 8
        payload = length == 0 ? udp.rest : try UDPDatagram.take(length - 8, of: &udp, mayBeCut)
    }

    private static func take(
        _ count: Int, of reader: inout ByteReader, _ mayBeCut: Bool
    ) throws(EndOfBytes) -> ArraySlice<UInt8> {
        try reader.take(mayBeCut ? min(count, reader.count) : count)
    }

    private static func ipv4(
        _ reader: inout ByteReader, _ mayBeCut: Bool
    ) throws(EndOfBytes) -> (IPAddress, IPAddress, ArraySlice<UInt8>)? {
        let headerLength = 4 * Int(try reader.integer(UInt8.self) & 0x0F)
        _ = try reader.take(1)
        let total = Int(try reader.integer(UInt16.self))
        _ = try reader.take(2)
        let fragment = try reader.integer(UInt16.self)
        _ = try reader.take(1)
        let transport = try reader.integer(UInt8.self)
        _ = try reader.take(2)
        let source = IPAddress.v4(IPv4Address(number: try reader.integer(UInt32.self)))
        let destination = IPAddress.v4(IPv4Address(number: try reader.integer(UInt32.self)))
        guard headerLength >= 20, transport == 17, fragment & 0x3FFF == 0 else { return nil }
        _ = try reader.take(headerLength - 20)
        // Total length 0 is what captures of segmentation offload show: then all of the frame counts.
        guard total == 0 || total >= headerLength else { return nil }
        let segment = total == 0 ? reader.rest : try take(total - headerLength, of: &reader, mayBeCut)
        return (source, destination, segment)
    }

    private static func ipv6(
        _ reader: inout ByteReader, _ mayBeCut: Bool
    ) throws(EndOfBytes) -> (IPAddress, IPAddress, ArraySlice<UInt8>)? {
        _ = try reader.take(4)
        let length = Int(try reader.integer(UInt16.self))
        var next = try reader.integer(UInt8.self)
        _ = try reader.take(1)
        let source = IPAddress.v6(try reader.integer(UInt64.self), try reader.integer(UInt64.self))
        let destination = IPAddress.v6(try reader.integer(UInt64.self), try reader.integer(UInt64.self))
        var payload = ByteReader(length == 0 ? reader.rest : try take(length, of: &reader, mayBeCut))
        // Hop-by-hop, routing and destination options: each at least 8 bytes, so this ends.
        while [0, 43, 60].contains(next) {
            next = try payload.integer(UInt8.self)
            let more = Int(try payload.integer(UInt8.self))
            _ = try payload.take(6 + 8 * more)
        }
        return next == 17 ? (source, destination, payload.rest) : nil
    }
}
