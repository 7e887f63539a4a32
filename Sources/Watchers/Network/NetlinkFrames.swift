// Netlink framing: a datagram is a run of messages, a message a header, a fixed part and a run of
// attributes. Every length is checked before it is used and every step makes progress, so that no input can
// stall or overrun it. Source: linux/netlink.h, netlink(7).
import Basics

/// What is wrong with a netlink datagram.
public enum NetlinkDefect: Error, Hashable, Sendable, CustomStringConvertible {
    /// A message's length field is below its header's 16 bytes or runs past the datagram.
    case messageLength(UInt32, offset: Int, left: Int)
    /// An attribute's length field is below its header's 4 bytes or runs past its message.
    case attributeLength(UInt16, left: Int)
    /// An attribute holds fewer bytes than its type needs.
    case shortAttribute(type: UInt16, wanted: Int, got: Int)
    /// Fewer bytes than a header or fixed part needs.
    case truncated(String, left: Int)

    public var description: String {
        switch self {
        case .messageLength(let length, let offset, let left):
            "netlink message at offset \(offset) claims \(length) bytes, \(left) left"
        case .attributeLength(let length, let left):
            "netlink attribute claims \(length) bytes, \(left) left"
        case .shortAttribute(let type, let wanted, let got):
            "netlink attribute \(type) holds \(got) bytes, \(wanted) wanted"
        case .truncated(let part, let left):
            "netlink \(part) is cut: \(left) bytes left"
        }
    }
}

/// One message of a datagram.
public struct NetlinkFrame: Hashable, Sendable {
    public var type: UInt16
    public var flags: UInt16
    public var sequence: UInt32
    public var port: UInt32
    /// What follows the header.
    public var payload: ArraySlice<UInt8>
}

/// Walks the messages of one datagram.
public struct NetlinkFrameReader {
    private var reader: ByteReader

    public init(_ datagram: ArraySlice<UInt8>) { reader = ByteReader(datagram) }

    /// The next message; `nil` at the end. After an error nothing more can be read, as the next message's
    /// place is unknown.
    public mutating func next() throws(NetlinkDefect) -> NetlinkFrame? {
        guard !reader.isAtEnd else { return nil }
        let offset = reader.offset
        let left = reader.count
        do {
            let length = try reader.hostEndian(UInt32.self)
            let type = try reader.hostEndian(UInt16.self)
            let flags = try reader.hostEndian(UInt16.self)
            let sequence = try reader.hostEndian(UInt32.self)
            let port = try reader.hostEndian(UInt32.self)
            guard length >= 16, length <= UInt32(clamping: left) else {
                throw NetlinkDefect.messageLength(length, offset: offset, left: left)
            }
            let payload = try reader.take(Int(length) - 16)
            _ = try reader.take(min(padding(Int(length)), reader.count))
            return NetlinkFrame(type: type, flags: flags, sequence: sequence, port: port, payload: payload)
        } catch let defect as NetlinkDefect {
            reader = ByteReader([])
            throw defect
        } catch {
            reader = ByteReader([])
            throw .truncated("header", left: left)
        }
    }
}

/// One attribute: its type without the flags of the upper two bits, and its bytes.
public struct NetlinkAttribute: Hashable, Sendable {
    public var type: UInt16
    public var bytes: ArraySlice<UInt8>

    /// The first bytes as an integer in the host's byte order; more bytes than needed are allowed.
    public func integer<T: FixedWidthInteger>(_ integer: T.Type) throws(NetlinkDefect) -> T {
        var reader = ByteReader(bytes)
        do {
            return try reader.hostEndian(T.self)
        } catch {
            throw .shortAttribute(type: type, wanted: T.bitWidth / 8, got: bytes.count)
        }
    }

    /// The bytes up to the first NUL as text.
    public var text: String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
}

/// Walks a run of attributes.
public struct NetlinkAttributeReader {
    private var reader: ByteReader

    public init(_ bytes: ArraySlice<UInt8>) { reader = ByteReader(bytes) }

    /// The next attribute; `nil` at the end. Fewer than 4 trailing bytes are padding, as in the kernel.
    public mutating func next() throws(NetlinkDefect) -> NetlinkAttribute? {
        guard reader.count >= 4 else { return nil }
        let left = reader.count
        do {
            let length = try reader.hostEndian(UInt16.self)
            let type = try reader.hostEndian(UInt16.self)
            guard length >= 4, Int(length) <= left else {
                throw NetlinkDefect.attributeLength(length, left: left)
            }
            let bytes = try reader.take(Int(length) - 4)
            _ = try reader.take(min(padding(Int(length)), reader.count))
            return NetlinkAttribute(type: type & 0x3fff, bytes: bytes)
        } catch let defect as NetlinkDefect {
            throw defect
        } catch {
            throw .truncated("attribute", left: left)
        }
    }
}

/// How many bytes pad a length to a multiple of four.
private func padding(_ length: Int) -> Int { (4 - length % 4) % 4 }
