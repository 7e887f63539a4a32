// The publisher's side of one subscriber's connection, as RFCs 23, 37 (ZMTP 3.0, 3.1) and 29 (publish-subscribe) have
// it: bytes come in, and what they mean comes out. A pure machine; sockets and queues are the shell's.
import Basics
public import Wire

/// How a publisher's endpoint is entered.
public enum PublisherSecurity: Sendable {
    /// NULL: whoever comes is let in.
    case plain
    /// CURVE, with our keys: who proves to hold a key is let in when it has been judged.
    case curve(KeyPair, entropy: [UInt8])
}

/// One subscriber's connection.
public struct PublisherSession: Sendable {
    public struct Limits: Hashable, Sendable {
        /// The longest frame that a subscriber may send, in bytes.
        public var frame = 4096
        /// The longest context of a PING (RFC 37).
        public var pingContext = 16

        public init() {}
    }

    /// What the shell has to do, in this order.
    public enum Event: Hashable, Sendable {
        /// Send these bytes as they are: they belong to the handshake.
        case send([UInt8])
        /// Answer a PING with this context, by `encode(pong:into:)` when its turn comes: boxes are numbered in the order
        /// in which they are made.
        case pong([UInt8])
        /// Whoever holds this key wants to come in: `admit` it, or leave it waiting until its time is over.
        case judge(PublicKey)
        /// It is through the handshake: from now on it may be sent messages.
        case opened
        case subscribe([UInt8])
        case cancel([UInt8])
        /// A message that is no subscription: counted, and nothing else.
        case strange
    }

    private enum Stage: Sendable {
        case greeting
        case handshake
        case judgement
        case open
    }

    /// The subscriber's types of sockets that go with ours.
    private static let types: Set = ["SUB", "XSUB"]

    private let limits: Limits
    private var curve: CurveServer?
    private var stage = Stage.greeting
    /// Bytes of a frame, or of the greeting, that is not whole yet.
    private var unread: [UInt8] = []
    /// The frame that comes belongs to a message of several, which no subscription is.
    private var isContinued = false

    public init(_ security: PublisherSecurity, limits: Limits = Limits()) {
        self.limits = limits
        switch security {
        case .plain: break
        case .curve(let keys, let entropy): curve = CurveServer(keys, entropy: entropy)
        }
    }

    public var isOpen: Bool { stage == .open }

    /// What we send as soon as the connection stands.
    public var greeting: [UInt8] { ZMTPGreeting.encode(mechanism: mechanism, isServer: curve != nil) }

    private var mechanism: String { curve == nil ? "NULL" : "CURVE" }

    /// Takes what has come.
    ///
    /// - Throws: why the connection has to end.
    public mutating func receive(
        _ bytes: ArraySlice<UInt8>, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        unread.append(contentsOf: bytes)
        var start = 0
        defer {
            // With no more room than it needs.
            if start > 0 { unread = Array(unread[start...]) }
        }
        if stage == .greeting {
            guard try ZMTPGreeting.check(unread[...], mechanism: mechanism, isServer: true) != nil else {
                return
            }
            start = ZMTPGreeting.size
            stage = .handshake
            if curve == nil {
                take(.send(ZMTPFrame.encode(ZMTPCommand.encode("READY", properties), .command)))
            }
        }
        while let frame = try ZMTPFrame.next(in: unread, from: start, to: unread.count, limit: limits.frame) {
            start = frame.body.upperBound
            try heard(unread[frame.body], frame.flags, take)
        }
    }

    private static let metadata = [(name: "Socket-Type", value: "XPUB")]
    private var properties: [UInt8] { ZMTPCommand.encode(PublisherSession.metadata) }

    private mutating func heard(
        _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        guard curve != nil else { return try understood(body, flags, take) }
        switch stage {
        case .open:
            guard let opened = try curve?.open(body) else { return }
            try understood(opened.payload, opened.flags, take)
        case .handshake:
            guard flags == .command else { throw .command("message") }
            try shakeHands(body, take)
        case .greeting, .judgement: throw .command("message")
        }
    }

    private mutating func understood(
        _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        if flags.contains(.command) {
            try command(body, take)
        } else {
            try message(body, isLast: !flags.contains(.more), take)
        }
    }

    // MARK: - CURVE

    private mutating func shakeHands(
        _ body: ArraySlice<UInt8>, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        switch try curve?.received(body) {
        case .send(let command)?: take(.send(ZMTPFrame.encode(command, .command)))
        case .judge(let key, let metadata)?:
            try check(metadata)
            stage = .judgement
            take(.judge(key))
        case nil: break
        }
    }

    /// Lets in whom `judge` named, and answers with what it is to be sent.
    ///
    /// - Precondition: it is being judged.
    public mutating func admit() -> [UInt8] {
        precondition(stage == .judgement, "nobody is being judged")
        stage = .open
        let ready = curve?.admit(metadata: PublisherSession.metadata) ?? []
        return ZMTPFrame.encode(ready, .command)
    }

    // MARK: - Commands and messages

    private func check(_ metadata: ArraySlice<UInt8>) throws(ZMTPError) {
        let type = try ZMTPCommand.property("Socket-Type", in: metadata) ?? "no type"
        guard PublisherSession.types.contains(type) else { throw .socketType(type) }
    }

    private mutating func command(
        _ body: ArraySlice<UInt8>, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        let (name, rest) = try ZMTPCommand.split(body)
        switch (stage, name) {
        case (_, "ERROR"): throw .refused(ZMTPCommand.reason(rest))
        case (.handshake, "READY"):
            try check(rest)
            stage = .open
            take(.opened)
        case (.open, "SUBSCRIBE"): take(.subscribe(Array(rest)))
        case (.open, "CANCEL"): take(.cancel(Array(rest)))
        case (.open, "PING"):
            guard rest.count >= 2 else { throw .malformed("PING") }
            let context = rest.dropFirst(2).prefix(limits.pingContext)
            take(.pong(Array(context)))
        case (.open, "PONG"): break
        case (.greeting, _), (.handshake, _), (.judgement, _): throw .command(name)
        // RFC 23: what is not known is left alone.
        case (.open, _): take(.strange)
        }
    }

    private mutating func message(
        _ body: ArraySlice<UInt8>, isLast: Bool, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        guard stage == .open else { throw .command("message") }
        let isWhole = isLast && !isContinued
        isContinued = !isLast
        guard isWhole else {
            if isLast { take(.strange) }
            return
        }
        switch body.first {
        case 1: take(.subscribe(Array(body.dropFirst())))
        case 0: take(.cancel(Array(body.dropFirst())))
        default: take(.strange)
        }
    }

    /// The most that a message takes on the wire besides its bytes: a frame's head, and CURVE's box.
    public static let overhead = 9 + 33

    /// Appends one message of one frame, as it stands on the wire.
    public mutating func encode(_ message: [UInt8], into bytes: inout [UInt8]) {
        guard curve == nil else {
            curve?.seal(message[...], into: &bytes)
            return
        }
        ZMTPFrame.appendHeader([], count: message.count, to: &bytes)
        bytes.append(contentsOf: message)
    }

    /// Appends the answer to a PING.
    public mutating func encode(pong context: [UInt8], into bytes: inout [UInt8]) {
        let command = ZMTPCommand.encode("PONG", context)
        guard curve == nil else {
            curve?.seal(command[...], .command, into: &bytes)
            return
        }
        bytes.append(contentsOf: ZMTPFrame.encode(command, .command))
    }
}
