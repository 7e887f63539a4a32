// IPv4 addresses and UDP or TCP endpoints as values, spelled as people write them.

/// An IPv4 address.
public struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
    /// The address as a number: 127.0.0.1 is 0x7F000001.
    public var number: UInt32

    public init(number: UInt32) { self.number = number }

    public static let any = IPv4Address(number: 0)
    public static let loopback = IPv4Address(number: 0x7F00_0001)

    /// Reads dotted decimal, four numbers; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var number: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                let byte = UInt8(part)
            else { return nil }
            number = number << 8 | UInt32(byte)
        }
        self.number = number
    }

    /// Reads the address of one host without leading zeros, which resolvers read as octal: neither 0/8, nor
    /// multicast, nor reserved (RFC 6890).
    public init?(host text: some StringProtocol) {
        guard let address = IPv4Address(text), address.isHost, address.description == text else { return nil }
        self = address
    }

    /// An address that one host has.
    public var isHost: Bool { (1...223).contains(number >> 24) }
    /// 224.0.0.0/4.
    public var isMulticast: Bool { number >> 28 == 0xE }
    /// 127.0.0.0/8.
    public var isLoopback: Bool { number >> 24 == 127 }

    public var description: String {
        "\(number >> 24).\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)"
    }
}

/// An IPv4 address and a port: `239.1.1.1:30001`.
public struct IPv4Endpoint: Hashable, Sendable, CustomStringConvertible {
    public var address: IPv4Address
    public var port: UInt16

    public init(_ address: IPv4Address, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    /// Reads `address:port`; `nil` for anything else, port 0 included.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), let port = UInt16(parts[1]), port > 0
        else {
            return nil
        }
        self.init(address, port)
    }

    public var description: String { "\(address):\(port)" }
}
