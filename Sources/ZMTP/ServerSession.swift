// Our side of one client's connection, as RFCs 15, 23, 37 (ZMTP 2.0, 3.0, 3.1), 28 (request-reply) and 29
// (publish-subscribe) have it: bytes come in, and what they mean comes out. The two steps of a CURVE handshake cost as much
// as a hundred messages each, and what a request asks for may cost more, so that their time is the shell's to choose. A pure
// machine; sockets and queues are the shell's, too.
import Basics
public import Wire

/// How an endpoint is entered.
public enum ServerSecurity: Sendable {
    /// NULL: whoever comes is let in.
    case plain
    /// CURVE, with our keys: who proves to hold a key is let in when it has been judged.
    case curve(KeyPair, entropy: [UInt8])
}

/// What our socket is, which says what its clients are, and may send.
public enum ServerRole: Sendable {
    /// An XPUB: subscribers ask for prefixes.
    case publisher
    /// A ROUTER: requesters send messages of several frames.
    case router

    /// The clients' types of sockets that go with ours.
    var types: Set<String> {
        switch self {
        case .publisher: ["SUB", "XSUB"]
        case .router: ["REQ", "DEALER", "ROUTER"]
        }
    }

    /// Likewise by their numbers in ZMTP 2.0.
    var numbers: Set<UInt8> {
        switch self {
        case .publisher: [2, 10]
        case .router: [3, 5, 6]
        }
    }

    /// Ours.
    var number: UInt8 {
        switch self {
        case .publisher: 9
        case .router: 6
        }
    }

    /// What we say that we are. Only sockets that are answered have an identity, and ours is none.
    var metadata: [(name: String, value: String)] {
        switch self {
        case .publisher: [("Socket-Type", "XPUB")]
        case .router: [("Socket-Type", "ROUTER"), ("Identity", "")]
        }
    }
}

/// One client's connection.
public struct ServerSession: Sendable {
    /// What a client may send; beyond it its connection ends.
    public struct Limits: Hashable, Sendable {
        /// The longest frame until the connection is open, in bytes: a command of the handshake.
        public var command = 4096
        /// The longest frame of an open connection.
        public var frame: Int
        /// Frames of one message, and the bytes in all of them, of a requester.
        public var frames = 16
        public var message: Int
        /// The longest context of a PING (RFC 37).
        public var pingContext = 16

        /// A request and its envelope may be long; a subscription is not.
        public init(_ role: ServerRole) {
            switch role {
            case .publisher: (frame, message) = (4096, 4096)
            case .router: (frame, message) = (128 << 10, 132 << 10)
            }
        }
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
        /// A subscriber's message that is no subscription, or a command that is not known: counted, and nothing else.
        case strange
    }

    private enum Stage: Sendable {
        case greeting
        /// Of ZMTP 2.0, which has nothing else before messages.
        case identity
        case handshake
        case judgement
        case open
    }

    private let role: ServerRole
    private let limits: Limits
    var secrecy: Secrecy<CurveServer>
    private var stage = Stage.greeting
    /// The client has said which ZMTP it speaks, and was answered in it.
    private var isAnswered = false
    /// It speaks ZMTP 2.0, which has no commands.
    private var isSecond = false
    /// A command of the CURVE handshake is whole, and `shakeHands` is to take it.
    public private(set) var isWaiting = false
    /// Bytes of a frame, or of the greeting, that is not whole yet.
    private var unread: [UInt8] = []
    /// The frame that comes belongs to a message of several, which no subscription is.
    private var isContinued = false
    /// Of a requester's message, what has come, and the bytes in it.
    private var frames: [[UInt8]] = []
    private var framesBytes = 0
    /// A requester's message is whole, and `takeMessage` is to take it.
    public private(set) var hasMessage = false

    /// - Parameter limits: `nil`: the role's own.
    public init(_ role: ServerRole, _ security: ServerSecurity, limits: Limits? = nil) {
        self.role = role
        self.limits = limits ?? Limits(role)
        switch security {
        case .plain: secrecy = .none
        case .curve(let keys, let entropy): secrecy = .handshake(CurveServer(keys, entropy: entropy))
        }
    }

    public var isOpen: Bool { stage == .open }

    /// What has come and is not done with, in bytes.
    public var unfinished: Int { unread.count + framesBytes }

    /// What we send as soon as the connection stands: no more than a client of any version understands.
    public var greeting: [UInt8] { ZMTPGreeting.opening }

    /// Its client has answered our first step of a CURVE handshake.
    public var hasBegun: Bool { if case .handshake(let server) = secrecy { server.hasBegun } else { true } }

    /// Takes what has come, but for the steps of a CURVE handshake and requesters' messages: if it `isWaiting` then, more
    /// is received when `shakeHands` has had its turn, and if it `hasMessage`, when `takeMessage` has. What came behind a
    /// message is gone on with by receiving nothing.
    ///
    /// - Throws: why the connection has to end.
    public mutating func receive(
        _ bytes: ArraySlice<UInt8>, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        unread.append(contentsOf: bytes)
        if stage == .greeting {
            guard let revision = try ZMTPGreeting.revision(of: unread[...]) else { return }
            try revision == ZMTPGreeting.second ? greetSecond(take) : greet(take)
        }
        if stage == .identity { try identify(take) }
        if stage != .greeting, stage != .identity { try proceed(from: 0, take) }
    }

    private mutating func greet(_ take: (Event) -> Void) throws(ZMTPError) {
        let mechanism = secrecy.mechanism
        // Before it is judged: who is refused for its mechanism learns ours.
        if !isAnswered {
            isAnswered = true
            let whole = ZMTPGreeting.encode(mechanism: mechanism, isServer: !secrecy.isNone)
            take(.send(Array(whole[ZMTPGreeting.opening.count...])))
        }
        let greeted = try ZMTPGreeting.check(unread[...], mechanism: mechanism, isServer: true)
        guard greeted != nil else { return }
        unread.removeFirst(ZMTPGreeting.size)
        stage = .handshake
        guard secrecy.isNone else { return }
        take(.send(ZMTPFrame.encode(ZMTPCommand.encode("READY", properties), .command)))
    }

    /// Behind its signature a ZMTP 2.0 client says the number of its socket's type, and in a frame its identity, which
    /// is nothing to us; we say ours, and that we have none.
    private mutating func greetSecond(_ take: (Event) -> Void) throws(ZMTPError) {
        guard secrecy.isNone else { throw .version(2) }
        if !isAnswered {
            isAnswered = true
            take(.send([role.number] + ZMTPFrame.encode([])))
        }
        let place = ZMTPGreeting.opening.count
        guard unread.count > place else { return }
        let number = unread[place]
        guard role.numbers.contains(number) else { throw .socketType("type \(number)") }
        unread.removeFirst(place + 1)
        stage = .identity
        isSecond = true
    }

    private mutating func identify(_ take: (Event) -> Void) throws(ZMTPError) {
        guard let frame = try next(from: 0) else { return }
        guard frame.flags == [], frame.body.count <= 255 else { throw .malformed("identity") }
        unread.removeFirst(frame.body.upperBound)
        stage = .open
        take(.opened)
    }

    /// One step of the CURVE handshake, and what came behind it.
    ///
    /// - Throws: why the connection has to end.
    /// - Precondition: `isWaiting`.
    public mutating func shakeHands(_ take: (Event) -> Void) throws(ZMTPError) {
        guard isWaiting, case .handshake(var server) = secrecy, let frame = try next(from: 0) else {
            preconditionFailure("nothing waits")
        }
        isWaiting = false
        defer { secrecy = .handshake(server) }
        guard frame.flags == .command else { throw .command("message") }
        switch try server.received(unread[frame.body]) {
        case .send(let command): take(.send(ZMTPFrame.encode(command, .command)))
        case .judge(let key, let metadata):
            try check(metadata)
            stage = .judgement
            take(.judge(key))
        }
        try proceed(from: frame.body.upperBound, take)
    }

    private func next(from start: Int) throws(ZMTPError) -> (flags: ZMTPFlags, body: Range<Int>)? {
        try ZMTPFrame.next(in: unread, from: start, to: unread.count, limit: longestFrame)
    }

    /// No more is held of a message than may be in it.
    private var longestFrame: Int {
        guard stage == .open else { return limits.command }
        return min(limits.frame, limits.message - framesBytes + ServerSession.boxed)
    }

    private mutating func proceed(from start: Int, _ take: (Event) -> Void) throws(ZMTPError) {
        var start = start
        defer {
            // With no more room than it needs.
            if start > 0 { unread = Array(unread[start...]) }
        }
        while !isWaiting, !hasMessage, let frame = try next(from: start) {
            if case .handshake = secrecy, stage == .handshake {
                isWaiting = true
            } else {
                start = frame.body.upperBound
                try heard(unread[frame.body], frame.flags, take)
            }
        }
    }

    private var properties: [UInt8] { ZMTPCommand.encode(role.metadata) }

    private mutating func heard(
        _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        switch secrecy {
        case .none: try understood(body, flags, take)
        // It has been told nothing to which it could answer.
        case .handshake: throw .command("message")
        case .boxes(var session):
            defer { secrecy = .boxes(session) }
            let opened = try session.open(body)
            try understood(opened.payload, opened.flags, take)
        }
    }

    private mutating func understood(
        _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags, _ take: (Event) -> Void
    ) throws(ZMTPError) {
        if flags.contains(.command) {
            guard !isSecond else { throw .flags(flags.rawValue) }
            return try command(body, take)
        }
        guard stage == .open else { throw .command("message") }
        let isLast = !flags.contains(.more)
        switch role {
        case .publisher: subscription(body, isLast: isLast, take)
        case .router: try collect(body, isLast: isLast)
        }
    }

    /// Lets in whom `judge` named, and answers with what it is to be sent.
    ///
    /// - Precondition: it is being judged.
    public mutating func admit() -> [UInt8] {
        guard stage == .judgement, case .handshake(var server) = secrecy else {
            preconditionFailure("nobody is being judged")
        }
        let (ready, session) = server.admit(metadata: role.metadata)
        stage = .open
        secrecy = .boxes(session)
        return ZMTPFrame.encode(ready, .command)
    }

    /// Does not: the answer, before the connection ends; see `CurveServer.refuse`.
    ///
    /// - Precondition: it is being judged.
    public mutating func refuse(status: String) -> [UInt8] {
        guard stage == .judgement, case .handshake(var server) = secrecy else {
            preconditionFailure("nobody is being judged")
        }
        defer { secrecy = .handshake(server) }
        return ZMTPFrame.encode(server.refuse(status: status), .command)
    }

    // MARK: - Commands and messages

    private func check(_ metadata: ArraySlice<UInt8>) throws(ZMTPError) {
        let type = try ZMTPCommand.property("Socket-Type", in: metadata) ?? "no type"
        guard role.types.contains(type) else { throw .socketType(type) }
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
        case (.open, "SUBSCRIBE") where role == .publisher: take(.subscribe(Array(rest)))
        case (.open, "CANCEL") where role == .publisher: take(.cancel(Array(rest)))
        case (.open, "PING"):
            guard rest.count >= 2 else { throw .malformed("PING") }
            let context = rest.dropFirst(2).prefix(limits.pingContext)
            take(.pong(Array(context)))
        case (.open, "PONG"): break
        case (.greeting, _), (.identity, _), (.handshake, _), (.judgement, _): throw .command(name)
        // RFC 23: what is not known is left alone.
        case (.open, _): take(.strange)
        }
    }

    private mutating func subscription(
        _ body: ArraySlice<UInt8>, isLast: Bool, _ take: (Event) -> Void
    ) {
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

    private mutating func collect(_ body: ArraySlice<UInt8>, isLast: Bool) throws(ZMTPError) {
        guard frames.count < limits.frames else { throw .tooManyFrames(limit: limits.frames) }
        guard framesBytes + body.count <= limits.message else {
            throw .tooLong(bytes: UInt64(body.count), limit: limits.message - framesBytes)
        }
        frames.append(Array(body))
        framesBytes += body.count
        hasMessage = isLast
    }

    /// The frames of a requester's message, of which there is at least one; a REQ's begin with an empty one.
    ///
    /// - Precondition: it `hasMessage`.
    public mutating func takeMessage() -> [[UInt8]] {
        precondition(hasMessage, "no message is whole")
        defer { (frames, framesBytes, hasMessage) = ([], 0, false) }
        return frames
    }

    /// What CURVE's box adds to the bytes in it.
    private static let boxed = 33
    /// The most that a frame takes on the wire besides its bytes: its head, and CURVE's box.
    public static let overhead = 9 + boxed
    /// Likewise the answer to a PING, besides its context: it has a name.
    public static let pongOverhead = overhead + 5

    /// Appends one message of one frame, as it stands on the wire.
    public mutating func encode(_ message: [UInt8], into bytes: inout [UInt8]) {
        secrecy.append(message[...], [], to: &bytes)
    }

    /// Appends one message of two frames.
    public mutating func encode(_ first: [UInt8], _ second: [UInt8], into bytes: inout [UInt8]) {
        secrecy.append(first[...], .more, to: &bytes)
        secrecy.append(second[...], [], to: &bytes)
    }

    /// Appends one message of so many frames.
    public mutating func encode(_ frames: [[UInt8]], into bytes: inout [UInt8]) {
        for (index, frame) in frames.enumerated() {
            secrecy.append(frame[...], index + 1 < frames.count ? .more : [], to: &bytes)
        }
    }

    /// Appends the answer to a PING.
    public mutating func encode(pong context: [UInt8], into bytes: inout [UInt8]) {
        secrecy.append(ZMTPCommand.encode("PONG", context)[...], .command, to: &bytes)
    }
}
