// Decodes rtnetlink messages. Sources: linux/rtnetlink.h, linux/if_link.h, rtnetlink(7).
import Basics

extension RouteNetlinkMessage {
    /// Decodes one message; one that is malformed says nothing of its neighbours in the datagram.
    public init(_ frame: NetlinkFrame) throws(NetlinkDefect) {
        switch frame.type {
        case 1: self = .other(1)
        case 2: self = .failed(try Self.code(frame))
        case 3: self = .done(frame.payload.count >= 4 ? try Self.code(frame) : 0)
        case 4: self = .overrun
        case 16: self = try LinkMessage.read(frame.payload).map { .link($0) } ?? .other(16)
        case 17: self = try LinkMessage.read(frame.payload).map { .linkRemoved($0) } ?? .other(17)
        case 20: self = try AddressMessage.read(frame.payload).map { .address($0) } ?? .other(20)
        case 21: self = try AddressMessage.read(frame.payload).map { .addressRemoved($0) } ?? .other(21)
        // NLM_F_REPLACE.
        case 24 where frame.flags & 0x100 != 0:
            self = try RouteMessage.read(frame.payload).map { .routeReplaced($0) } ?? .other(24)
        case 24: self = try RouteMessage.readHops(frame.payload).map { .route($0) } ?? .other(24)
        case 25: self = try RouteMessage.readHops(frame.payload).map { .routeRemoved($0) } ?? .other(25)
        case 28: self = .neighbour(try NeighbourMessage(frame.payload))
        case 92: self = try Self.statistics(frame.payload)
        default: self = .other(frame.type)
        }
    }

    private static func code(_ frame: NetlinkFrame) throws(NetlinkDefect) -> Int32 {
        var fixed = FixedPart("error code", frame.payload)
        return try fixed.next(Int32.self)
    }
}

extension RouteNetlinkMessage {
    /// `struct if_stats_msg` and IFLA_STATS_LINK_64.
    private static func statistics(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) -> RouteNetlinkMessage
    {
        var fixed = FixedPart("if_stats_msg", payload)
        _ = try fixed.next(UInt32.self)  // family and padding
        let index = try fixed.next(Int32.self)
        _ = try fixed.next(UInt32.self)  // which statistics follow
        var attributes = fixed.attributes
        while let attribute = try attributes.next() {
            if attribute.type == 1 { return .statistics(index: index, try LinkStatistics(attribute)) }
        }
        return .other(92)
    }
}

/// Reads the fixed part of a message in the host's byte order.
struct FixedPart {
    private let name: String
    private var reader: ByteReader

    init(_ name: String, _ bytes: ArraySlice<UInt8>) {
        self.name = name
        reader = ByteReader(bytes)
    }

    var attributes: NetlinkAttributeReader { NetlinkAttributeReader(reader.rest) }
    var rest: ArraySlice<UInt8> { reader.rest }

    mutating func next<T: FixedWidthInteger>(_ type: T.Type) throws(NetlinkDefect) -> T {
        let left = reader.count
        do {
            return try reader.hostEndian(T.self)
        } catch {
            throw .truncated(name, left: left)
        }
    }
}

extension LinkMessage {
    /// `struct ifinfomsg` and its attributes; `nil` for what a protocol says of a link, of the family AF_BRIDGE or
    /// AF_INET6: it leaves out what the link is, and its removal is that of the protocol from the link.
    static func read(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) -> LinkMessage? {
        var fixed = FixedPart("ifinfomsg", payload)
        let family = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt8.self)  // padding
        let hardwareType = try fixed.next(UInt16.self)
        var link = LinkMessage(index: try fixed.next(Int32.self))
        link.hardwareType = hardwareType
        guard family == 0 else { return nil }
        try link.take(&fixed)
        return link
    }

    private mutating func take(_ fixed: inout FixedPart) throws(NetlinkDefect) {
        flags = try fixed.next(UInt32.self)
        _ = try fixed.next(UInt32.self)  // change mask
        var attributes = fixed.attributes
        var up: UInt32?
        var down: UInt32?
        while let attribute = try attributes.next() {
            switch attribute.type {
            case 47: up = try attribute.integer(UInt32.self)
            case 48: down = try attribute.integer(UInt32.self)
            default: try take(attribute)
            }
        }
        if let up, let down { carrierCounts = CarrierCounts(up: up, down: down) }
    }

    private mutating func take(_ attribute: NetlinkAttribute) throws(NetlinkDefect) {
        switch attribute.type {
        case 1: address = hardwareAddress(attribute.bytes)
        case 3: name = attribute.text
        case 4: mtu = try attribute.integer(UInt32.self)
        case 5: lower = try attribute.integer(Int32.self)
        case 10: master = try attribute.integer(Int32.self)
        case 16: operationalState = OperationalState(rawValue: try attribute.integer(UInt8.self))
        case 18: try take(details: attribute)
        case 23: statistics = try LinkStatistics(attribute)
        case 37: isLowerElsewhere = try attribute.integer(Int32.self) >= 0
        case 54: permanentAddress = hardwareAddress(attribute.bytes)
        default: break
        }
    }

    /// IFLA_LINKINFO: the kind, and what bonds say. The kind stands before its data.
    private mutating func take(details attribute: NetlinkAttribute) throws(NetlinkDefect) {
        var nested = NetlinkAttributeReader(attribute.bytes)
        var memberOf: String?
        while let inner = try nested.next() {
            switch inner.type {
            case 1: kind = inner.text
            case 2: if kind == "bond" { bond = try BondMessage(inner.bytes) }
            case 4: memberOf = inner.text
            case 5: if memberOf == "bond" { bondMember = try BondMemberMessage(inner.bytes) }
            default: break
            }
        }
    }
}

extension BondMessage {
    /// IFLA_BOND_MODE and IFLA_BOND_ACTIVE_SLAVE.
    init(_ bytes: ArraySlice<UInt8>) throws(NetlinkDefect) {
        self.init()
        var attributes = NetlinkAttributeReader(bytes)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case 1: mode = try attribute.integer(UInt8.self)
            case 2: activeMember = try attribute.integer(Int32.self)
            default: break
            }
        }
    }
}

extension BondMemberMessage {
    /// IFLA_BOND_SLAVE_STATE and IFLA_BOND_SLAVE_MII_STATUS.
    init(_ bytes: ArraySlice<UInt8>) throws(NetlinkDefect) {
        self.init()
        var attributes = NetlinkAttributeReader(bytes)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case 1: isActive = try attribute.integer(UInt8.self) == 0
            case 2: isLinkUp = try attribute.integer(UInt8.self) == 0
            default: break
            }
        }
    }
}

extension NeighbourMessage {
    /// `struct ndmsg` and NDA_DST.
    init(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) {
        var fixed = FixedPart("ndmsg", payload)
        _ = try fixed.next(UInt32.self)  // family and padding
        let index = try fixed.next(Int32.self)
        let state = try fixed.next(UInt16.self)
        _ = try fixed.next(UInt16.self)  // flags and type
        self.init(index: index, state: state, address: nil)
        var attributes = fixed.attributes
        while let attribute = try attributes.next() {
            if attribute.type == 1 { address = IPAddress(attribute) }
        }
    }
}

extension LinkStatistics {
    /// The first eight of `struct rtnl_link_stats64` and, where told, the sixteenth; later kernels append fields.
    init(_ attribute: NetlinkAttribute) throws(NetlinkDefect) {
        guard attribute.bytes.count >= 64 else {
            throw .shortAttribute(type: attribute.type, wanted: 64, got: attribute.bytes.count)
        }
        var fixed = FixedPart("statistics", attribute.bytes)
        receivedPackets = try fixed.next(UInt64.self)
        sentPackets = try fixed.next(UInt64.self)
        receivedBytes = try fixed.next(UInt64.self)
        sentBytes = try fixed.next(UInt64.self)
        receiveErrors = try fixed.next(UInt64.self)
        sendErrors = try fixed.next(UInt64.self)
        receiveDrops = try fixed.next(UInt64.self)
        sendDrops = try fixed.next(UInt64.self)
        var missed = FixedPart("statistics", attribute.bytes.dropFirst(120))
        if attribute.bytes.count >= 128 { receiveMissed = try missed.next(UInt64.self) }
    }
}

extension IPAddress {
    /// By the number of bytes; `nil` for neither 4 nor 16 of them, as of a neighbour of another protocol.
    fileprivate init?(_ attribute: NetlinkAttribute) {
        if attribute.bytes.count == 4 {
            self = .v4(IPv4Address(number: attribute.bytes.reduce(0) { $0 << 8 | UInt32($1) }))
        } else if let address = IPv6Address(bytes: attribute.bytes) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    /// An address of this family and no other.
    fileprivate init(_ attribute: NetlinkAttribute, _ family: IPFamily) throws(NetlinkDefect) {
        guard let address = IPAddress(attribute), address.family == family else {
            throw .shortAttribute(
                type: attribute.type, wanted: family == .v4 ? 4 : 16, got: attribute.bytes.count)
        }
        self = address
    }
}

extension IPFamily {
    /// AF_INET or AF_INET6.
    fileprivate init?(kernel family: UInt8) {
        switch family {
        case 2: self = .v4
        case 10: self = .v6
        default: return nil
        }
    }
}

extension AddressMessage {
    /// `struct ifaddrmsg` and its attributes; `nil` for a family other than IPv4 and IPv6.
    static func read(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) -> AddressMessage? {
        var fixed = FixedPart("ifaddrmsg", payload)
        let family = try fixed.next(UInt8.self)
        let prefixLength = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt16.self)  // flags and scope
        let index = try fixed.next(Int32.self)
        guard let family = IPFamily(kernel: family) else { return nil }
        var attributes = fixed.attributes
        var address: IPAddress?
        var local: IPAddress?
        while let attribute = try attributes.next() {
            switch attribute.type {
            case 1: address = try IPAddress(attribute, family)
            case 2: local = try IPAddress(attribute, family)
            default: break
            }
        }
        guard let own = local ?? address else { return nil }
        return AddressMessage(index: index, prefixLength: prefixLength, local: own)
    }
}

extension RouteMessage {
    private struct Parts {
        let family: IPFamily
        var destination: IPAddress
        var metric: UInt32 = 0
        var index: Int32?
        var gateway: IPAddress?
        var table: UInt32
        var hops: [Hop] = []

        init(family: IPFamily, table: UInt8) {
            self.family = family
            self.table = UInt32(table)
            destination = family == .v4 ? .v4(.any) : .v6(.any)
        }

        mutating func take(_ attribute: NetlinkAttribute) throws(NetlinkDefect) {
            switch attribute.type {
            case 1: destination = try IPAddress(attribute, family)
            case 4: index = try attribute.integer(Int32.self)
            case 5: gateway = try IPAddress(attribute, family)
            case 6: metric = try attribute.integer(UInt32.self)
            case 9: hops = try RouteMessage.hops(attribute.bytes, family)
            case 15: table = try attribute.integer(UInt32.self)
            default: break
            }
        }
    }

    /// A unicast route of the main table over a next hop; `nil` for any other.
    static func readHops(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) -> RouteMessage? {
        try read(payload).flatMap { $0.hops.isEmpty ? nil : $0 }
    }

    /// `struct rtmsg` and its attributes; `nil` for a route of another table than the main one. One that is not
    /// unicast, or on the link, has no next hop.
    static func read(_ payload: ArraySlice<UInt8>) throws(NetlinkDefect) -> RouteMessage? {
        var fixed = FixedPart("rtmsg", payload)
        let family = try fixed.next(UInt8.self)
        let prefixLength = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt16.self)  // source length and type of service
        let table = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt16.self)  // protocol and scope
        let type = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt32.self)  // flags
        guard let family = IPFamily(kernel: family) else { return nil }
        var parts = Parts(family: family, table: table)
        var attributes = fixed.attributes
        while let attribute = try attributes.next() { try parts.take(attribute) }
        if let index = parts.index, let gateway = parts.gateway {
            parts.hops.append(Hop(index: index, gateway: gateway))
        }
        guard parts.table == 254 else { return nil }
        return RouteMessage(
            destination: parts.destination, prefixLength: prefixLength, metric: parts.metric,
            hops: type == 1 ? parts.hops : [])
    }

    /// RTA_MULTIPATH: a run of `struct rtnexthop`, each with attributes.
    private static func hops(_ bytes: ArraySlice<UInt8>, _ family: IPFamily) throws(NetlinkDefect) -> [Hop] {
        var rest = bytes
        var hops: [Hop] = []
        while rest.count >= 8 {
            var fixed = FixedPart("rtnexthop", rest)
            let length = Int(try fixed.next(UInt16.self))
            _ = try fixed.next(UInt16.self)  // flags and hops
            let index = try fixed.next(Int32.self)
            guard length >= 8, length <= rest.count else {
                throw .attributeLength(UInt16(truncatingIfNeeded: length), left: rest.count)
            }
            var attributes = NetlinkAttributeReader(rest.prefix(length).dropFirst(8))
            while let attribute = try attributes.next() {
                guard attribute.type == 5 else { continue }
                hops.append(Hop(index: index, gateway: try IPAddress(attribute, family)))
            }
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return hops
    }
}

/// Octets in hexadecimal with colons; `nil` for none or all zero.
private func hardwareAddress(_ bytes: ArraySlice<UInt8>) -> String? {
    guard bytes.count <= 32, bytes.contains(where: { $0 != 0 }) else { return nil }
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        if !text.isEmpty { text.append(UInt8(ascii: ":")) }
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
