// The subscriber's side of one connection, as RFCs 23, 37 (ZMTP 3.0, 3.1) and 29 (publish-subscribe) have it. It reads in
// the buffer that the shell received into, so that a message in the clear is not copied. A pure machine; sockets are the
// shell's.
import Basics
public import Wire

/// How a publisher is entered.
public enum SubscriberSecurity: Sendable {
    /// NULL.
    case plain
    /// CURVE, with our keys, to the publisher with this key.
    case curve(KeyPair, server: PublicKey, entropy: [UInt8])
}

/// Frames of messages that came together.
public struct MessageBatch: Sendable {
    /// How many are taken at a time.
    static let most = 1024

    /// Where they are: in the buffer that was read into, or in `opened` where they came in boxes.
    public fileprivate(set) var places: [Range<Int>] = []
    public private(set) var opened: [UInt8] = []

    public init() {}

    public var isEmpty: Bool { places.isEmpty }
    public var isFull: Bool { places.count >= MessageBatch.most }

    /// Hands the frames over, and with them what they lie in, so that nobody else holds it meanwhile.
    ///
    /// - Parameter buffer: what was read into; where they lie in it, it is empty until they are given back.
    public mutating func take(from buffer: inout [UInt8]) -> ArrivedFrames {
        var (places, bytes): ([Range<Int>], [UInt8]) = ([], [])
        swap(&places, &self.places)
        if opened.isEmpty { swap(&bytes, &buffer) } else { swap(&bytes, &opened) }
        return ArrivedFrames(places, in: bytes)
    }

    /// Those that were taken are done with.
    public mutating func giveBack(_ frames: consuming ArrivedFrames, to buffer: inout [UInt8]) {
        var bytes: [UInt8]
        (places, bytes) = frames.emptied()
        places.removeAll(keepingCapacity: true)
        if buffer.isEmpty { return swap(&bytes, &buffer) }
        bytes.removeAll(keepingCapacity: true)
        swap(&bytes, &opened)
    }

    fileprivate mutating func append(opened frame: ArraySlice<UInt8>) {
        places.append(opened.count..<(opened.count + frame.count))
        opened.append(contentsOf: frame)
    }
}

/// One connection to a publisher.
public struct SubscriberSession: Sendable {
    /// What the next bytes are.
    public enum Item: Hashable, Sendable {
        /// A frame of a message.
        case message(ArraySlice<UInt8>)
        /// Send these bytes as they are.
        case send([UInt8])
        /// It is through the handshake.
        case opened
        /// Nothing that concerns anybody.
        case nothing
    }

    private enum Stage: Sendable {
        case greeting
        case handshake
        case open
    }

    /// The publisher's types of sockets that go with ours.
    private static let types: Set = ["PUB", "XPUB"]

    private static let metadata = [(name: "Socket-Type", value: "SUB")]

    /// The longest frame before the connection is open: a command of the handshake, in bytes.
    static let longestCommand = 64 << 10

    private let longestFrame: Int
    private var limit: Int { stage == .open ? longestFrame : SubscriberSession.longestCommand }
    private var secrecy: Secrecy<CurveClient>
    private var stage = Stage.greeting

    /// - Parameter limit: the longest frame that is taken, in bytes; a longer one ends the connection. So it is well
    ///   above what any reader of messages takes, who refuses the one message.
    public init(_ security: SubscriberSecurity, limit: Int = 16 << 20) {
        longestFrame = limit
        switch security {
        case .plain: secrecy = .none
        case .curve(let keys, let server, let entropy):
            secrecy = .handshake(
                CurveClient(keys, server: server, metadata: SubscriberSession.metadata, entropy: entropy))
        }
    }

    public var isOpen: Bool { stage == .open }

    /// What we send as soon as the connection stands.
    public var greeting: [UInt8] { ZMTPGreeting.encode(mechanism: secrecy.mechanism, isServer: false) }

    /// The item that begins at `place`, which moves behind it; `nil`: more has to come first.
    ///
    /// - Throws: why the connection has to end.
    @inline(__always)
    public mutating func next(
        in buffer: [UInt8], at place: inout Int, to end: Int
    ) throws(ZMTPError) -> Item? {
        if stage == .greeting { return try greet(buffer, &place, end) }
        guard let frame = try ZMTPFrame.next(in: buffer, from: place, to: end, limit: limit) else {
            return nil
        }
        place = frame.body.upperBound
        switch secrecy {
        case .none: return try understood(buffer[frame.body], frame.flags)
        case .handshake(let client): return try shakeHands(client, buffer[frame.body], frame.flags)
        case .boxes(var session):
            let opened: (flags: ZMTPFlags, payload: ArraySlice<UInt8>)
            do {
                // Before it is understood: what answers it is numbered, too, and no number may be used twice.
                defer { secrecy = .boxes(session) }
                opened = try session.open(buffer[frame.body])
            }
            return try understood(opened.payload, opened.flags)
        }
    }

    /// Takes frames of messages, as long as one follows the other and there is room for them.
    ///
    /// - Returns: what comes behind them and is no message; `nil`: nothing, or more has to come first.
    public mutating func next(
        _ messages: inout MessageBatch, in buffer: [UInt8], at place: inout Int, to end: Int
    ) throws(ZMTPError) -> Item? {
        let isPlain = secrecy.isNone
        if isPlain, stage == .open { try takePlain(&messages, in: buffer, at: &place, to: end) }
        while !messages.isFull {
            guard let item = try next(in: buffer, at: &place, to: end) else { return nil }
            guard case .message(let frame) = item else { return item }
            if isPlain { messages.places.append(frame.indices) } else { messages.append(opened: frame) }
        }
        return nil
    }

    /// As far as nothing else comes in between.
    private func takePlain(
        _ messages: inout MessageBatch, in buffer: [UInt8], at place: inout Int, to end: Int
    ) throws(ZMTPError) {
        while !messages.isFull,
            let frame = try ZMTPFrame.next(in: buffer, from: place, to: end, limit: limit),
            !frame.flags.contains(.command)
        {
            messages.places.append(frame.body)
            place = frame.body.upperBound
        }
    }

    /// How many bytes the frame at `place` has in all, as far as its length has come; 0: that has not.
    public func need(in buffer: [UInt8], at place: Int, to end: Int) -> Int {
        guard stage != .greeting, place + 9 <= end, buffer[place] & 2 != 0 else { return 0 }
        let length = buffer[(place + 1)..<(place + 9)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return 9 + Int(min(length, UInt64(limit)))
    }

    private mutating func greet(
        _ buffer: [UInt8], _ place: inout Int, _ end: Int
    ) throws(ZMTPError) -> Item? {
        let greeting = buffer[place..<end]
        guard try ZMTPGreeting.check(greeting, mechanism: secrecy.mechanism, isServer: false) != nil else {
            return nil
        }
        place += ZMTPGreeting.size
        stage = .handshake
        return .send(ZMTPFrame.encode(try first(), .command))
    }

    private mutating func first() throws(ZMTPError) -> [UInt8] {
        guard case .handshake(var client) = secrecy else {
            return ZMTPCommand.encode("READY", ZMTPCommand.encode(SubscriberSession.metadata))
        }
        defer { secrecy = .handshake(client) }
        return try client.begin()
    }

    private mutating func shakeHands(
        _ client: CurveClient, _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags
    ) throws(ZMTPError) -> Item {
        guard flags == .command else { throw .command("message") }
        var client = client
        defer { if case .handshake = secrecy { secrecy = .handshake(client) } }
        switch try client.received(body) {
        case .send(let command): return .send(ZMTPFrame.encode(command, .command))
        case .open(let session, let metadata):
            secrecy = .boxes(session)
            return try opened(by: metadata)
        }
    }

    @inline(__always)
    private mutating func understood(
        _ body: ArraySlice<UInt8>, _ flags: ZMTPFlags
    ) throws(ZMTPError) -> Item {
        guard flags.contains(.command) || stage != .open else { return .message(body) }
        return try control(body, isCommand: flags.contains(.command))
    }

    private mutating func opened(by metadata: ArraySlice<UInt8>) throws(ZMTPError) -> Item {
        let type = try ZMTPCommand.property("Socket-Type", in: metadata) ?? "no type"
        guard SubscriberSession.types.contains(type) else { throw .socketType(type) }
        stage = .open
        return .opened
    }

    private mutating func control(
        _ body: ArraySlice<UInt8>, isCommand: Bool
    ) throws(ZMTPError) -> Item {
        guard isCommand else { throw .command("message") }
        let (name, rest) = try ZMTPCommand.split(body)
        switch (stage, name) {
        case (_, "ERROR"): throw .refused(ZMTPCommand.reason(rest))
        case (.handshake, "READY"): return try opened(by: rest)
        case (.open, "PING"):
            guard rest.count >= 2 else { throw .malformed("PING") }
            return .send(command("PONG", rest.dropFirst(2).prefix(16)))
        case (.greeting, _), (.handshake, _): throw .command(name)
        // RFC 23: what is not known is left alone.
        case (.open, _): return .nothing
        }
    }

    // MARK: - What we send when it is open

    /// Asks whether the publisher is there.
    public mutating func ping() -> [UInt8] { command("PING", [0, 0]) }

    /// As a message, which every publisher understands.
    public mutating func subscribe(_ prefix: [UInt8]) -> [UInt8] { frame([1] + prefix, []) }
    public mutating func cancel(_ prefix: [UInt8]) -> [UInt8] { frame([0] + prefix, []) }

    private mutating func command(_ name: String, _ rest: some Collection<UInt8>) -> [UInt8] {
        frame(ZMTPCommand.encode(name, rest), .command)
    }

    private mutating func frame(_ body: [UInt8], _ flags: ZMTPFlags) -> [UInt8] {
        var bytes: [UInt8] = []
        secrecy.append(body[...], flags, to: &bytes)
        return bytes
    }
}
