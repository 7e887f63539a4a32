// Generic netlink as ethtool speaks it: which number the kernel gave the family, why a link is down, and its
// speed and duplex. Sources: linux/genetlink.h, linux/ethtool_netlink.h, Documentation/networking/ethtool-netlink.
import Basics

/// How fast a link is, whether both sides may send at once, and why there is none.
public struct LinkDetails: Hashable, Sendable {
    /// Megabits per second; `nil`: the driver does not tell, or the link is down.
    public var speed: Int64?
    /// `nil`: unknown.
    public var isFullDuplex: Bool?
    /// Why there is no link, for a person; `nil`: the driver does not tell.
    public var downReason: String?

    public init(speed: Int64? = nil, isFullDuplex: Bool? = nil, downReason: String? = nil) {
        self.speed = speed
        self.isFullDuplex = isFullDuplex
        self.downReason = downReason
    }
}

/// One message of a generic netlink family.
public enum GenericNetlinkMessage: Hashable, Sendable {
    /// CTRL_CMD_NEWFAMILY: the number of the family that was asked for.
    case family(UInt16)
    /// ETHTOOL_MSG_LINKSTATE_GET_REPLY.
    case linkState(downReason: String?)
    /// ETHTOOL_MSG_LINKMODES_GET_REPLY.
    case linkModes(speed: Int64?, isFullDuplex: Bool?)
    /// NLMSG_ERROR: 0 acknowledges, a negative errno refuses.
    case failed(Int32)
    /// Well-formed, and of no interest here.
    case other(UInt16)

    /// - Parameter ethtool: the number of ethtool's family, where it is known.
    public init(_ frame: NetlinkFrame, ethtool: UInt16?) throws(NetlinkDefect) {
        var fixed = FixedPart("genlmsghdr", frame.payload)
        if frame.type == 2 {
            self = .failed(try fixed.next(Int32.self))
            return
        }
        let isControl = frame.type == 16
        guard isControl || frame.type == ethtool else {
            self = .other(frame.type)
            return
        }
        let command = try fixed.next(UInt8.self)
        _ = try fixed.next(UInt8.self)  // version
        _ = try fixed.next(UInt16.self)  // reserved
        var attributes = fixed.attributes
        switch (isControl, command) {
        case (true, 1): self = try Self.family(&attributes)
        case (false, 4): self = try Self.linkModes(&attributes)
        case (false, 6): self = try Self.linkState(&attributes)
        default: self = .other(frame.type)
        }
    }

    /// CTRL_ATTR_FAMILY_ID.
    private static func family(_ attributes: inout NetlinkAttributeReader) throws(NetlinkDefect) -> Self {
        while let attribute = try attributes.next() {
            if attribute.type == 1 { return .family(try attribute.integer(UInt16.self)) }
        }
        return .other(16)
    }

    /// ETHTOOL_A_LINKMODES_SPEED and _DUPLEX; all ones is unknown to the driver.
    private static func linkModes(_ attributes: inout NetlinkAttributeReader) throws(NetlinkDefect) -> Self {
        var speed: Int64?
        var isFullDuplex: Bool?
        while let attribute = try attributes.next() {
            switch attribute.type {
            case 5:
                let told = try attribute.integer(UInt32.self)
                speed = told == 0 || told > UInt32(Int32.max) ? nil : Int64(told)
            case 6:
                let told = try attribute.integer(UInt8.self)
                isFullDuplex = told <= 1 ? told == 1 : nil
            default: break
            }
        }
        return .linkModes(speed: speed, isFullDuplex: isFullDuplex)
    }

    /// ETHTOOL_A_LINKSTATE_EXT_STATE.
    private static func linkState(_ attributes: inout NetlinkAttributeReader) throws(NetlinkDefect) -> Self {
        var reason: String?
        while let attribute = try attributes.next() {
            if attribute.type == 5 { reason = words(try attribute.integer(UInt8.self)) }
        }
        return .linkState(downReason: reason)
    }

    /// `enum ethtool_link_ext_state`; `nil` for one of a later kernel.
    private static func words(_ state: UInt8) -> String? {
        let words = [
            "the two sides do not agree on a mode", "link training failed",
            "the two sides disagree on the encoding", "the signal is bad", "no cable", "the cable is faulty",
            "the module's EEPROM cannot be read", "calibration failed", "the module needs too much power",
            "the module is too hot", "the module is not well",
        ]
        return words.indices.contains(Int(state)) ? words[Int(state)] : nil
    }
}

/// What is asked of generic netlink.
public enum GenericNetlinkRequest: Hashable, Sendable {
    /// CTRL_CMD_GETFAMILY of "ethtool".
    case ethtoolFamily
    /// ETHTOOL_MSG_LINKSTATE_GET.
    case linkState(family: UInt16, index: Int32)
    /// ETHTOOL_MSG_LINKMODES_GET.
    case linkModes(family: UInt16, index: Int32)

    /// The message, with NLM_F_REQUEST.
    public var bytes: [UInt8] {
        switch self {
        case .ethtoolFamily: Self.message(16, command: 3, Self.attribute(2, Array("ethtool".utf8) + [0]))
        case .linkState(let family, let index): Self.message(family, command: 6, Self.header(index))
        case .linkModes(let family, let index): Self.message(family, command: 4, Self.header(index))
        }
    }

    private static func message(_ type: UInt16, command: UInt8, _ attributes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.hostEndian(UInt32(20 + attributes.count))
        writer.hostEndian(type)
        writer.hostEndian(UInt16(1))
        writer.hostEndian(UInt32(command))  // the sequence: replies bear it
        writer.hostEndian(UInt32(0))
        writer.append([command, 1, 0, 0])
        writer.append(attributes)
        return writer.bytes
    }

    /// ETHTOOL_A_…_HEADER with ETHTOOL_A_HEADER_DEV_INDEX.
    private static func header(_ index: Int32) -> [UInt8] {
        var writer = ByteWriter()
        writer.hostEndian(UInt32(bitPattern: index))
        return attribute(1 | 0x8000, attribute(1, writer.bytes))
    }

    private static func attribute(_ type: UInt16, _ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.hostEndian(UInt16(4 + bytes.count))
        writer.hostEndian(type)
        writer.append(bytes)
        writer.append(repeatElement(0, count: (4 - bytes.count % 4) % 4))
        return writer.bytes
    }
}
