// ZMTP 3.0 and 3.1 (ZeroMQ RFCs 23 and 37) on the wire, and as much of 2.0 (RFC 15) as clients need: the greeting and
// the frames, which all of them cut alike. A frame is a flags byte, a length of one or of eight bytes in network byte
// order, and that many bytes.
import Basics

/// What the other side sent is not ZMTP, or not what may come now. The connection ends.
public enum ZMTPError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It begins otherwise than every ZMTP since 2.0 does.
    case notZMTP
    /// Older than 2.0, or than 3.0 where only that will do: the major version.
    case version(UInt8)
    /// Its mechanism is not the one that this endpoint has.
    case mechanism(String, expected: String)
    /// Both sides are servers.
    case role
    /// Bits that no frame has.
    case flags(UInt8)
    /// Longer than this endpoint takes.
    case tooLong(bytes: UInt64, limit: Int)
    /// A message of more than so many.
    case tooManyFrames(limit: Int)
    /// A command that is not known, or not now.
    case command(String)
    /// The command's bytes end early, or make no sense.
    case malformed(String)
    /// A socket of a type that does not talk to ours.
    case socketType(String)
    /// It refuses us, with its reason.
    case refused(String)
    /// A command's box does not open with our keys, or holds what it must not. A HELLO's: the client has another
    /// server key than ours.
    case box(String)
    /// A number that is not above the one before: somebody says again what was said.
    case replayed(String)
    /// A public key with which nothing is secret.
    case weakKey

    public var description: String {
        switch self {
        case .notZMTP: "it does not speak ZMTP"
        case .version(let major): "it speaks ZMTP \(major), which is too old here"
        case .mechanism(let name, let expected): "its mechanism is \(name), and \(expected) is needed"
        case .role: "it has the same side of the handshake as we"
        case .flags(let flags): "a frame with the flags 0x\(String(flags, radix: 16))"
        case .tooLong(let bytes, let limit): "a frame of \(bytes) bytes; at most \(limit) are taken"
        case .tooManyFrames(let limit): "a message of more than \(limit) frames"
        case .command(let name): "the command \(name) does not belong here"
        case .malformed(let name): "its \(name) is not whole"
        case .socketType(let type): "its socket is a \(type), which does not go with ours"
        case .refused(let reason): "it refuses: \(reason)"
        case .box(let name): "its \(name) is not sealed with the keys that we know"
        case .replayed(let name): "its \(name) has a number that was there before"
        case .weakKey: "its key keeps nothing secret"
        }
    }
}

/// The bits of a frame's first byte.
public struct ZMTPFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Another frame of the same message follows.
    public static let more = ZMTPFlags(rawValue: 1)
    /// The length has eight bytes.
    static let long = ZMTPFlags(rawValue: 2)
    public static let command = ZMTPFlags(rawValue: 4)
    static let known: ZMTPFlags = [.more, .long, .command]
}

public enum ZMTPFrame {
    /// Appends a frame's flags and length; its bytes follow.
    @inlinable
    public static func appendHeader(_ flags: ZMTPFlags, count: Int, to bytes: inout [UInt8]) {
        if count <= 255 {
            bytes.append(flags.rawValue)
            bytes.append(UInt8(count))
        } else {
            bytes.append(flags.rawValue | 2)
            var shift = 64
            while shift > 0 {
                shift -= 8
                bytes.append(UInt8(truncatingIfNeeded: count >> shift))
            }
        }
    }

    /// A whole frame.
    public static func encode(_ body: some Collection<UInt8>, _ flags: ZMTPFlags = []) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + 9)
        appendHeader(flags, count: body.count, to: &bytes)
        bytes.append(contentsOf: body)
        return bytes
    }

    /// The frame that begins at an index: its flags, where its bytes are, and thereby where the next one begins.
    /// `nil`: it is not whole yet.
    ///
    /// - Parameter limit: the longest that is taken.
    @inlinable
    public static func next(
        in bytes: [UInt8], from start: Int, to end: Int, limit: Int
    ) throws(ZMTPError) -> (flags: ZMTPFlags, body: Range<Int>)? {
        guard start < end else { return nil }
        let flags = bytes[start]
        guard flags <= 7 else { throw .flags(flags) }
        var count: Int
        var body = start + 2
        if flags & 2 == 0 {
            guard body <= end else { return nil }
            count = Int(bytes[start + 1])
        } else {
            body = start + 9
            guard body <= end else { return nil }
            var long: UInt64 = 0
            for index in (start + 1)..<body { long = long << 8 | UInt64(bytes[index]) }
            guard long <= UInt64(limit) else { throw .tooLong(bytes: long, limit: limit) }
            count = Int(long)
        }
        guard count <= limit else { throw .tooLong(bytes: UInt64(count), limit: limit) }
        guard body + count <= end else { return nil }
        return (ZMTPFlags(rawValue: flags & 5), body..<(body + count))
    }
}

/// The first 64 bytes of each side.
public enum ZMTPGreeting {
    public static let size = 64
    static let signature: [UInt8] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f]
    /// How ZMTP 2.0 is said behind the signature (RFC 15); versions from 3 on say themselves.
    static let second: UInt8 = 1
    /// What a side that speaks several versions says before it knows which the other speaks.
    static let opening = signature + [3]

    public static func encode(mechanism: String, isServer: Bool) -> [UInt8] {
        var bytes = signature + [3, 1]
        bytes += mechanism.utf8
        bytes += repeatElement(0, count: 32 - bytes.count)
        bytes.append(isServer ? 1 : 0)
        bytes += repeatElement(0, count: size - bytes.count)
        return bytes
    }

    private static func major(ofRevision revision: UInt8) -> UInt8 { min(revision + 1, 2) }

    /// What the other side says behind its signature; `nil`: that is to come.
    static func revision(of bytes: ArraySlice<UInt8>) throws(ZMTPError) -> UInt8? {
        if let first = bytes.first, first != 0xff { throw .notZMTP }
        let rest = bytes.dropFirst(9)
        if let last = rest.first, last != 0x7f { throw .notZMTP }
        return rest.dropFirst().first
    }

    /// Reads a greeting as far as it has come: what is wrong is told by its first wrong byte. `nil`: more is to come.
    ///
    /// - Returns: the minor version, 0 or more.
    static func check(
        _ bytes: ArraySlice<UInt8>, mechanism: String, isServer: Bool
    ) throws(ZMTPError) -> UInt8? {
        guard let revision = try revision(of: bytes) else { return nil }
        guard revision >= 3 else { throw .version(major(ofRevision: revision)) }
        guard bytes.count >= size else { return nil }
        let greeting = Array(bytes.prefix(size))
        let name = greeting[12..<32].prefix { $0 != 0 }
        guard name.elementsEqual(mechanism.utf8) else {
            throw .mechanism(String(decoding: name, as: UTF8.self), expected: mechanism)
        }
        // NULL has no sides, and libzmq's servers do not say that they are one.
        if mechanism != "NULL", isServer, greeting[32] == 1 { throw .role }
        return greeting[11]
    }
}

/// The commands of the handshake and of an open connection.
public enum ZMTPCommand {
    /// The name of a command, and what follows it.
    public static func split(
        _ body: ArraySlice<UInt8>
    ) throws(ZMTPError) -> (name: String, rest: ArraySlice<UInt8>) {
        guard let length = body.first, body.count > Int(length) else { throw .malformed("command") }
        let name = body.dropFirst().prefix(Int(length))
        return (String(decoding: name, as: UTF8.self), body.dropFirst(1 + Int(length)))
    }

    /// A command's bytes, without the frame around it.
    public static func encode(_ name: String, _ rest: some Collection<UInt8> = []) -> [UInt8] {
        [UInt8(name.utf8.count)] + name.utf8 + rest
    }

    /// Properties of a peer, as READY and INITIATE carry them: a name with a length of one byte, a value with one of
    /// four.
    public static func encode(_ metadata: [(name: String, value: String)]) -> [UInt8] {
        var writer = ByteWriter()
        for (name, value) in metadata {
            writer.bigEndian(UInt8(name.utf8.count))
            writer.append(name.utf8)
            writer.bigEndian(UInt32(value.utf8.count))
            writer.append(value.utf8)
        }
        return writer.bytes
    }

    /// The value of a property; names have no case. `nil`: there is none.
    public static func property(
        _ wanted: String, in metadata: ArraySlice<UInt8>
    ) throws(ZMTPError) -> String? {
        var reader = ByteReader(metadata)
        var found: String?
        do throws(EndOfBytes) {
            while !reader.isAtEnd {
                let name = try reader.take(Int(try reader.integer(UInt8.self)))
                let value = try reader.take(Int(try reader.integer(UInt32.self)))
                if String(decoding: name, as: UTF8.self).lowercased() == wanted.lowercased() {
                    found = String(decoding: value, as: UTF8.self)
                }
            }
        } catch {
            throw .malformed("metadata")
        }
        return found
    }

    /// The reason of an ERROR.
    static func reason(_ rest: ArraySlice<UInt8>) -> String {
        String(decoding: rest.dropFirst().prefix(Int(rest.first ?? 0)), as: UTF8.self)
    }
}
