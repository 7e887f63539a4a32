// IPv6 addresses, and addresses of either family, as values, spelled as people write them.

/// An IPv6 address, without a zone.
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
    /// The first eight bytes.
    public var high: UInt64
    /// The last eight bytes.
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let any = IPv6Address(high: 0, low: 0)
    public static let loopback = IPv6Address(high: 0, low: 1)

    /// Reads 16 bytes in network order; `nil` for any other number of bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.init(
            high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
            low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// Reads the forms of RFC 4291, section 2.2; `nil` for anything else, a zone (`%eth0`) included.
    public init?(_ text: some StringProtocol) {
        let text = String(text)
        guard text.utf8.count <= 45 else { return nil }
        let gaps = text.ranges(of: "::")
        guard gaps.count <= 1 else { return nil }
        var groups: [UInt16]
        if let gap = gaps.first {
            guard let head = IPv6Address.groups(text[..<gap.lowerBound], mayEndInIPv4: false),
                let tail = IPv6Address.groups(text[gap.upperBound...], mayEndInIPv4: true),
                head.count + tail.count < 8
            else { return nil }
            groups = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard !text.isEmpty, let all = IPv6Address.groups(text[...], mayEndInIPv4: true), all.count == 8
            else { return nil }
            groups = all
        }
        self.init(
            high: groups.prefix(4).reduce(0) { $0 << 16 | UInt64($1) },
            low: groups.dropFirst(4).reduce(0) { $0 << 16 | UInt64($1) })
    }

    private static func groups(_ text: Substring, mayEndInIPv4: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, let last = IPv4Address(part) {
                groups.append(UInt16(truncatingIfNeeded: last.number >> 16))
                groups.append(UInt16(truncatingIfNeeded: last.number))
                continue
            }
            guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit),
                let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups
    }

    /// fe80::/10: means something only together with an interface.
    public var isLinkLocal: Bool { high >> 54 == 0xFE80 >> 6 }
    /// ff00::/8.
    public var isMulticast: Bool { high >> 56 == 0xFF }
    /// An address that one host has: neither ::, nor multicast, nor a mapped IPv4 address.
    public var isHost: Bool {
        self != .any && !isMulticast && !(high == 0 && low >> 32 == 0xFFFF)
    }

    /// The 16 bytes in network order.
    public var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.bigEndian(high)
        writer.bigEndian(low)
        return writer.bytes
    }

    /// As RFC 5952 recommends: lower case, the longest run of zeros left out.
    public var description: String {
        let groups =
            stride(from: 48, through: 0, by: -16).map { UInt16(truncatingIfNeeded: high >> $0) }
            + stride(from: 48, through: 0, by: -16).map { UInt16(truncatingIfNeeded: low >> $0) }
        let zeros = IPv6Address.longestZeros(groups)
        func text(_ groups: ArraySlice<UInt16>) -> String {
            groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard zeros.count >= 2 else { return text(groups[...]) }
        return text(groups[..<zeros.lowerBound]) + "::" + text(groups[zeros.upperBound...])
    }

    private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 { start = index + 1 }
            if index + 1 - start > longest.count { longest = start..<index + 1 }
        }
        return longest
    }
}

/// An address of either family.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(IPv4Address)
    case v6(IPv6Address)

    public init?(_ text: some StringProtocol) {
        if let address = IPv4Address(text) {
            self = .v4(address)
        } else if let address = IPv6Address(text) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    /// Reads the address of one host; see `IPv4Address.init(host:)` and `IPv6Address.isHost`.
    public init?(host text: some StringProtocol) {
        if let address = IPv4Address(host: text) {
            self = .v4(address)
        } else if let address = IPv6Address(text), address.isHost {
            self = .v6(address)
        } else {
            return nil
        }
    }

    public var family: IPFamily {
        switch self {
        case .v4: .v4
        case .v6: .v6
        }
    }

    /// An IPv6 address of a link, which means something only together with an interface.
    public var isLinkLocal: Bool {
        switch self {
        case .v4: false
        case .v6(let address): address.isLinkLocal
        }
    }

    /// The bytes in network order: 4 or 16.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let address):
            var writer = ByteWriter(capacity: 4)
            writer.bigEndian(address.number)
            return writer.bytes
        case .v6(let address): return address.bytes
        }
    }

    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}

/// Which Internet protocol.
public enum IPFamily: Int, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case v4 = 4
    case v6 = 6

    public var description: String { "IPv\(rawValue)" }
}

extension IPAddress: Comparable {
    /// IPv4 first, then by number.
    public static func < (left: IPAddress, right: IPAddress) -> Bool {
        switch (left, right) {
        case (.v4(let left), .v4(let right)): left.number < right.number
        case (.v6(let left), .v6(let right)): (left.high, left.low) < (right.high, right.low)
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }
}
