// What a client and Cboe's Gap Request Proxy (GRP) say to each other over TCP: blocks behind the sequenced unit header,
// unit and sequence 0, with one message as a rule, and without any as a heartbeat. What is asked for comes back by
// multicast, not over the connection. Source: Multicast PITCH 2.41, Gap Request Proxy Messages, and the exchange's own
// capture of a session.
import Basics

/// One message of either side.
public enum GapProxyMessage: Hashable, Sendable {
    case heartbeat
    case login(GapProxyLogin)
    case loginAnswered(GapProxyLoginStatus)
    case request(GapRequest)
    case response(GapResponse)
    /// A type that the specification did not have: it may add some at any time.
    case other(UInt8)
}

/// Who asks to be let in.
public struct GapProxyLogin: Hashable, Sendable {
    public static let longestSession = 4
    public static let longestUser = 4
    public static let longestPassword = 10

    /// The session's sub-identifier.
    public var session: String
    public var user: String
    public var password: String

    public init(session: String, user: String, password: String) {
        self.session = session
        self.user = user
        self.password = password
    }
}

/// What becomes of a login.
public enum GapProxyLoginStatus: Hashable, Sendable, CustomStringConvertible {
    case accepted
    case notAuthorised
    case sessionInUse
    case invalidSession
    /// A code that the specification does not have.
    case other(UInt8)

    init(code: UInt8) {
        self =
            switch code {
            case UInt8(ascii: "A"): .accepted
            case UInt8(ascii: "N"): .notAuthorised
            case UInt8(ascii: "B"): .sessionInUse
            case UInt8(ascii: "S"): .invalidSession
            case let other: .other(other)
            }
    }

    var code: UInt8 {
        switch self {
        case .accepted: UInt8(ascii: "A")
        case .notAuthorised: UInt8(ascii: "N")
        case .sessionInUse: UInt8(ascii: "B")
        case .invalidSession: UInt8(ascii: "S")
        case .other(let code): code
        }
    }

    public var description: String {
        switch self {
        case .accepted: "accepted"
        case .notAuthorised: "not authorised"
        case .sessionInUse: "the session is in use"
        case .invalidSession: "there is no such session"
        case .other(let code): "code \(code)"
        }
    }
}

/// Asks for messages of a unit again.
public struct GapRequest: Hashable, Sendable {
    public var unit: UInt8
    /// The number of the first message.
    public var first: UInt32
    public var count: UInt16

    public init(unit: UInt8, first: UInt32, count: UInt16) {
        self.unit = unit
        self.first = first
        self.count = count
    }
}

/// What becomes of a request.
public struct GapResponse: Hashable, Sendable {
    public enum Status: Hashable, Sendable {
        /// The messages will be sent to the gap multicast.
        case accepted
        /// Ahead of the unit, or too far behind.
        case outOfRange
        /// Of the session's requests none are left: of this day, this minute, this second.
        case dayQuota, minuteQuota, secondQuota
        /// More messages than one request may ask for.
        case count
        case invalidUnit
        case unitUnavailable
        /// A code that the specification does not have.
        case other(UInt8)
    }

    public var request: GapRequest
    public var status: Status

    public init(_ request: GapRequest, _ status: Status) {
        self.request = request
        self.status = status
    }
}

extension GapResponse.Status {
    init(code: UInt8) {
        self =
            switch code {
            case UInt8(ascii: "A"): .accepted
            case UInt8(ascii: "O"): .outOfRange
            case UInt8(ascii: "D"): .dayQuota
            case UInt8(ascii: "M"): .minuteQuota
            case UInt8(ascii: "S"): .secondQuota
            case UInt8(ascii: "C"): .count
            case UInt8(ascii: "I"): .invalidUnit
            case UInt8(ascii: "U"): .unitUnavailable
            case let other: .other(other)
            }
    }

    var code: UInt8 {
        switch self {
        case .accepted: UInt8(ascii: "A")
        case .outOfRange: UInt8(ascii: "O")
        case .dayQuota: UInt8(ascii: "D")
        case .minuteQuota: UInt8(ascii: "M")
        case .secondQuota: UInt8(ascii: "S")
        case .count: UInt8(ascii: "C")
        case .invalidUnit: UInt8(ascii: "I")
        case .unitUnavailable: UInt8(ascii: "U")
        case .other(let code): code
        }
    }
}

// MARK: - Reading

extension GapProxyMessage {
    private enum Kind {
        static let login: UInt8 = 0x01
        static let loginAnswered: UInt8 = 0x02
        static let request: UInt8 = 0x03
        static let response: UInt8 = 0x04
    }

    private static let loginLength = 22
    private static let requestLength = 9

    /// Reads a message with its length and type, which may be longer than what is known of it.
    /// - Parameter offset: where it stands in the stream.
    init(decoding message: ArraySlice<UInt8>, offset: Int) throws(MalformedInput) {
        let type = message.dropFirst().first ?? 0
        switch type {
        case Kind.login:
            try GapProxyMessage.check(message, GapProxyMessage.loginLength, offset)
            self = .login(
                GapProxyLogin(
                    session: message.dropFirst(2).prefix(4).trimmedText,
                    user: message.dropFirst(6).prefix(4).trimmedText,
                    password: message.dropFirst(12).prefix(10).trimmedText))
        case Kind.loginAnswered:
            try GapProxyMessage.check(message, 3, offset)
            self = .loginAnswered(GapProxyLoginStatus(code: littleEndian(UInt8.self, at: 2, of: message)))
        case Kind.request:
            self = .request(try GapProxyMessage.request(message, offset))
        case Kind.response:
            try GapProxyMessage.check(message, GapProxyMessage.requestLength + 1, offset)
            let code = littleEndian(UInt8.self, at: GapProxyMessage.requestLength, of: message)
            self = .response(
                GapResponse(try GapProxyMessage.request(message, offset), GapResponse.Status(code: code)))
        default: self = .other(type)
        }
    }

    /// The fields that a request has and its response repeats.
    private static func request(
        _ message: ArraySlice<UInt8>, _ offset: Int
    ) throws(MalformedInput) -> GapRequest {
        try check(message, requestLength, offset)
        return GapRequest(
            unit: littleEndian(UInt8.self, at: 2, of: message),
            first: littleEndian(UInt32.self, at: 3, of: message),
            count: littleEndian(UInt16.self, at: 7, of: message))
    }

    private static func check(
        _ message: ArraySlice<UInt8>, _ wanted: Int, _ offset: Int
    ) throws(MalformedInput) {
        guard message.count < wanted else { return }
        throw MalformedInput(.undersized, offset: offset, wanted: wanted, found: message.count)
    }
}

/// Cuts a GRP's stream into messages. It holds at most one block that is not complete, which a length of 16 bits
/// bounds, and the messages of one that is.
public struct GapProxyDecoder: LoginDecoder {
    private var queue = ByteQueue()
    private var messages: [GapProxyMessage] = []
    /// A stream that made no sense once makes none any more: nothing says where the next block begins.
    private var failure: MalformedInput?

    public init() {}

    /// Adds what came in. Take all messages out of it before the next piece.
    public mutating func feed(_ piece: some Collection<UInt8>) {
        if failure == nil { queue.feed(piece) }
    }

    /// The next message; `nil`: it has not come in whole.
    ///
    /// - Throws: `MalformedInput`: as a packet of PITCH, and `undersized` for a message that lacks fields of its type;
    ///   the same error again at each call from then on.
    public mutating func next() throws(MalformedInput) -> GapProxyMessage? {
        if let failure { throw failure }
        do throws(MalformedInput) {
            if messages.isEmpty { try takeBlock() }
        } catch {
            failure = error
            throw error
        }
        return messages.popLast()
    }

    private mutating func takeBlock() throws(MalformedInput) {
        guard let head = queue.peek(2) else { return }
        let length = Int(littleEndian(UInt16.self, at: 0, of: head))
        guard length >= PITCHHeader.length else {
            throw MalformedInput(
                .undersized, offset: queue.offset, wanted: PITCHHeader.length, found: length)
        }
        let offset = queue.offset
        guard let block = queue.take(length) else { return }
        let packet = try PITCHPacket(decoding: block)
        guard packet.header.count > 0 else { return messages = [.heartbeat] }
        for (_, _, message) in packet.messages {
            let place = offset + message.startIndex - block.startIndex
            messages.append(try GapProxyMessage(decoding: message, offset: place))
        }
        messages.reverse()
    }
}

// MARK: - Writing

extension GapProxyMessage {
    /// The block on the wire.
    public var bytes: [UInt8] {
        var body = ByteWriter(capacity: GapProxyMessage.loginLength)
        write(into: &body)
        var block = ByteWriter(capacity: PITCHHeader.length + body.bytes.count)
        block.littleEndian(UInt16(PITCHHeader.length + body.bytes.count))
        block.bytes += [body.bytes.isEmpty ? 0 : 1, 0]
        block.littleEndian(UInt32(0))
        block.append(body.bytes)
        return block.bytes
    }

    private func write(into body: inout ByteWriter) {
        switch self {
        case .heartbeat: break
        case .login(let login):
            body.bytes += [UInt8(GapProxyMessage.loginLength), Kind.login]
            body.padded(login.session, to: GapProxyLogin.longestSession)
            body.padded(login.user, to: GapProxyLogin.longestUser)
            body.padded("", to: 2)
            body.padded(login.password, to: GapProxyLogin.longestPassword)
        case .loginAnswered(let status): body.bytes += [3, Kind.loginAnswered, status.code]
        case .request(let request):
            GapProxyMessage.write(request, Kind.request, GapProxyMessage.requestLength, into: &body)
        case .response(let response):
            GapProxyMessage.write(
                response.request, Kind.response, GapProxyMessage.requestLength + 1, into: &body)
            body.bytes.append(response.status.code)
        case .other(let type): body.bytes += [2, type]
        }
    }

    private static func write(
        _ request: GapRequest, _ kind: UInt8, _ length: Int, into body: inout ByteWriter
    ) {
        body.bytes += [UInt8(length), kind, request.unit]
        body.littleEndian(request.first)
        body.littleEndian(request.count)
    }
}
