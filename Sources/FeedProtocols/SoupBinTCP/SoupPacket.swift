// SoupBinTCP 3.00 and 4.0: packets of a stream, each a length, a type and a payload. Numbers are text, padded on
// one side or the other depending on who wrote the server; sequenced data carries no number at all: the receiver
// counts from where the login was accepted.
public import Basics

/// One packet, of either side.
public enum SoupPacket: Hashable, Sendable {
    /// Text for people; means nothing.
    case debug(ArraySlice<UInt8>)
    /// The server lets the client in; its next sequenced packet has this number.
    case accepted(SoupPosition)
    case rejected(SoupRejection)
    /// The next message of the session.
    case sequenced(ArraySlice<UInt8>)
    /// Data outside the numbering; from the server only since version 4.0. It does not advance the count.
    case unsequenced(ArraySlice<UInt8>)
    case serverHeartbeat
    case endOfSession
    case login(SoupLogin)
    case clientHeartbeat
    case logout
}

/// A place in a session.
public struct SoupPosition: Hashable, Sendable {
    /// Ten bytes, as MoldUDP64 names its sessions; blank in a login: whichever is current.
    public var session: MoldSession
    /// The number of the next message, from 1; 0 in a login: the next one to be sent.
    public var next: UInt64

    public init(session: MoldSession = MoldSession(""), next: UInt64) {
        self.session = session
        self.next = next
    }
}

/// Why a login was rejected.
public enum SoupRejection: Hashable, Sendable, CustomStringConvertible {
    case notAuthorised
    case sessionNotAvailable
    /// A code that the specification does not have.
    case other(UInt8)

    init(code: UInt8) {
        self =
            switch code {
            case UInt8(ascii: "A"): .notAuthorised
            case UInt8(ascii: "S"): .sessionNotAvailable
            case let other: .other(other)
            }
    }

    var code: UInt8 {
        switch self {
        case .notAuthorised: UInt8(ascii: "A")
        case .sessionNotAvailable: UInt8(ascii: "S")
        case .other(let code): code
        }
    }

    public var description: String {
        switch self {
        case .notAuthorised: "not authorised"
        case .sessionNotAvailable: "the session is not available"
        case .other(let code): "code \(code)"
        }
    }
}

/// Who asks to be let in, and from where on.
public struct SoupLogin: Hashable, Sendable {
    public static let longestUser = 6
    public static let longestPassword = 10

    public var user: String
    public var password: String
    public var position: SoupPosition

    public init(user: String, password: String, position: SoupPosition) {
        self.user = user
        self.password = password
        self.position = position
    }
}

// MARK: - Reading

extension SoupPacket {
    /// The length of a login, and of one of version 4.1, which ends in a heartbeat time.
    private static let loginLengths = 47...52
    private static let acceptedLength = 31

    /// Reads the type and the payload of a packet, at least one byte.
    /// - Parameter offset: where they stand in the stream.
    init(_ body: ArraySlice<UInt8>, offset: Int) throws(MalformedInput) {
        let payload = body.dropFirst()
        let type = body.first ?? 0
        switch type {
        case UInt8(ascii: "S"): self = .sequenced(payload)
        case UInt8(ascii: "+"): self = .debug(payload)
        case UInt8(ascii: "U"): self = .unsequenced(payload)
        case UInt8(ascii: "A"):
            try SoupPacket.check(body, 31...31, offset)
            self = .accepted(try SoupPacket.position(payload, offset + 1))
        case UInt8(ascii: "J"):
            try SoupPacket.check(body, 2...2, offset)
            self = .rejected(SoupRejection(code: payload.first ?? 0))
        case UInt8(ascii: "L"):
            try SoupPacket.check(body, SoupPacket.loginLengths, offset)
            self = .login(
                SoupLogin(
                    user: payload.prefix(6).trimmedText,
                    password: payload.dropFirst(6).prefix(10).trimmedText,
                    position: try SoupPacket.position(payload.dropFirst(16).prefix(30), offset + 17)))
        case UInt8(ascii: "H"), UInt8(ascii: "Z"), UInt8(ascii: "R"), UInt8(ascii: "O"):
            try SoupPacket.check(body, 1...1, offset)
            self = SoupPacket.bare(type)
        default:
            throw MalformedInput(.unknownKind, offset: offset, wanted: 0, found: Int(type))
        }
    }

    private static func bare(_ type: UInt8) -> SoupPacket {
        switch type {
        case UInt8(ascii: "H"): .serverHeartbeat
        case UInt8(ascii: "Z"): .endOfSession
        case UInt8(ascii: "R"): .clientHeartbeat
        default: .logout
        }
    }

    private static func check(
        _ body: ArraySlice<UInt8>, _ lengths: ClosedRange<Int>, _ offset: Int
    ) throws(MalformedInput) {
        if body.count < lengths.lowerBound {
            throw MalformedInput(.undersized, offset: offset, wanted: lengths.lowerBound, found: body.count)
        }
        if body.count > lengths.upperBound {
            throw MalformedInput(.oversized, offset: offset, wanted: lengths.upperBound, found: body.count)
        }
    }

    /// A session of ten bytes and a number of twenty.
    private static func position(
        _ bytes: ArraySlice<UInt8>, _ offset: Int
    ) throws(MalformedInput) -> SoupPosition {
        let session = MoldSession(bytes.prefix(10).trimmedText)
        return SoupPosition(session: session, next: try number(bytes.dropFirst(10), offset + 10))
    }

    /// Digits, padded on either side.
    private static func number(_ bytes: ArraySlice<UInt8>, _ offset: Int) throws(MalformedInput) -> UInt64 {
        let text = bytes.trimmedText
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt64(text)
        else {
            throw MalformedInput(.inconsistent, offset: offset, wanted: bytes.count, found: text.utf8.count)
        }
        return number
    }
}

// MARK: - Writing

extension SoupPacket {
    /// The longest payload of a data packet, in bytes.
    public static let longestPayload = Int(UInt16.max) - 1

    /// The packet on the wire. A payload that is too long is cut.
    public var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 64)
        write(into: &writer)
        return writer.bytes
    }

    public func write(into writer: inout ByteWriter) {
        switch self {
        case .sequenced(let data): SoupPacket.write("S", data, into: &writer)
        case .unsequenced(let data): SoupPacket.write("U", data, into: &writer)
        case .debug(let text): SoupPacket.write("+", text, into: &writer)
        case .accepted(let position):
            SoupPacket.write("A", SoupPacket.bytes(of: position), into: &writer)
        case .rejected(let why): SoupPacket.write("J", [why.code], into: &writer)
        case .login(let login):
            var payload = ByteWriter(capacity: 46)
            payload.padded(login.user, to: SoupLogin.longestUser)
            payload.padded(login.password, to: SoupLogin.longestPassword)
            payload.append(SoupPacket.bytes(of: login.position))
            SoupPacket.write("L", payload.bytes[...], into: &writer)
        case .serverHeartbeat: SoupPacket.write("H", [], into: &writer)
        case .endOfSession: SoupPacket.write("Z", [], into: &writer)
        case .clientHeartbeat: SoupPacket.write("R", [], into: &writer)
        case .logout: SoupPacket.write("O", [], into: &writer)
        }
    }

    private static func write(
        _ type: Unicode.Scalar, _ payload: ArraySlice<UInt8>, into writer: inout ByteWriter
    ) {
        let payload = payload.prefix(longestPayload)
        writer.bigEndian(UInt16(payload.count + 1))
        writer.bytes.append(UInt8(ascii: type))
        writer.append(payload)
    }

    /// Both right-aligned, as the specification has it: session and number padded with spaces on the left.
    private static func bytes(of position: SoupPosition) -> ArraySlice<UInt8> {
        let fields = [(position.session.description, 10), (String(position.next), 20)]
        return fields.reduce(into: []) { bytes, field in
            bytes += repeatElement(UInt8(ascii: " "), count: max(0, field.1 - field.0.utf8.count))
            bytes += field.0.utf8
        }
    }
}
