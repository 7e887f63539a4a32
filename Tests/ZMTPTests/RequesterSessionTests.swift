// Our side of a requester's connection, in dialogue: what a message is, and how it can go wrong.
import Testing
import Wire

@testable import ZMTP

@Suite struct RequesterSessionTests {
    /// A message on the wire.
    private static func wire(_ frames: [[UInt8]]) -> [UInt8] {
        frames.enumerated().flatMap { ZMTPFrame.encode($1, $0 + 1 < frames.count ? .more : []) }
    }

    /// A session, and what came out of it.
    private struct Talk {
        var session = ServerSession(.router, .plain)
        var events: [ServerSession.Event] = []
        var messages: [[[UInt8]]] = []

        init(_ type: String? = nil) throws {
            if let type { try hear(Client.hello + Client.ready(type)) }
            events = []
        }

        /// Takes each message as soon as it is whole.
        mutating func hear(_ bytes: [UInt8]) throws {
            try session.receive(bytes[...]) { events.append($0) }
            while session.hasMessage {
                messages.append(session.takeMessage())
                try session.receive([]) { events.append($0) }
            }
        }
    }

    private func failure(_ bytes: [UInt8], _ type: String? = "DEALER") -> ZMTPError? {
        do {
            var talk = try Talk(type)
            try talk.hear(bytes)
            return nil
        } catch {
            return error as? ZMTPError
        }
    }

    @Test(arguments: ["REQ", "DEALER", "ROUTER"])
    func `who asks is greeted by a ROUTER, and is open`(type: String) throws {
        var talk = try Talk()
        try talk.hear(Client.hello + Client.ready(type))
        let metadata = ZMTPCommand.encode([("Socket-Type", "ROUTER"), ("Identity", "")])
        #expect(
            talk.events == [
                .send(Array(Client.hello[11...])), .send(Client.command("READY", metadata)), .opened,
            ])
        #expect(talk.session.isOpen)
    }

    @Test func `what does not ask is not let in`() {
        for type in ["SUB", "XSUB", "PUB", "REP", "PUSH", "STREAM"] {
            #expect(failure(Client.hello + Client.ready(type), nil) == .socketType(type))
        }
        #expect(failure(ZMTPGreeting.signature + [1, 2], nil) == .socketType("type 2"))
        #expect(failure(Client.hello + ZMTPFrame.encode([1]), nil) == .command("message"))
    }

    @Test func `a requester that speaks ZMTP 2,0 is answered in it`() throws {
        for number in [3, 5, 6] as [UInt8] {
            var talk = try Talk()
            let second = ZMTPGreeting.signature + [1, number, 0, 2] + Array("me".utf8)
            try talk.hear(second + Self.wire([[], [7]]))
            #expect(talk.events == [.send([6, 0, 0]), .opened] && talk.messages == [[[], [7]]])
        }
    }

    @Test func `messages are the same however their bytes are cut`() throws {
        let messages: [[[UInt8]]] = [
            [[], [1, 2]], [[7]], [[]], [[1], [], [UInt8](repeating: 9, count: 300)], [[3]],
        ]
        let bytes = Client.hello + Client.ready("REQ") + messages.flatMap(Self.wire)
        for size in [1, 2, 7, 63, 65, bytes.count] {
            var talk = try Talk()
            for start in stride(from: 0, to: bytes.count, by: size) {
                try talk.hear(Array(bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(talk.messages == messages && talk.session.unfinished == 0)
        }
        for cut in 1..<bytes.count {
            var talk = try Talk()
            try talk.hear(Array(bytes[..<cut]))
            try talk.hear(Array(bytes[cut...]))
            #expect(talk.messages == messages)
        }
    }

    @Test func `behind a whole message nothing is looked at until it is taken`() throws {
        var talk = try Talk("DEALER")
        let ping = Client.command("PING", [0, 0, 5])
        try talk.session.receive((Self.wire([[1]]) + ping + Self.wire([[2]]))[...]) { talk.events.append($0) }
        #expect(talk.session.hasMessage && talk.events == [])
        #expect(talk.session.takeMessage() == [[1]])
        try talk.hear([])
        #expect(talk.events == [.pong([5])] && talk.messages == [[[2]]])
    }

    @Test func `commands between frames are heard, or left alone, and a message goes on behind them`() throws
    {
        var talk = try Talk("DEALER")
        let bytes =
            ZMTPFrame.encode([1], .more) + Client.command("PING", [0, 0, 5])
            + Client.command("SUBSCRIBE", [7])
            + Client.command("DANCE") + Client.command("PONG") + ZMTPFrame.encode([2])
        try talk.hear(bytes)
        #expect(talk.events == [.pong([5]), .strange, .strange] && talk.messages == [[[1], [2]]])
        #expect(failure(Client.command("PING", [0])) == .malformed("PING"))
        #expect(failure(Client.command("ERROR", [3] + Array("bad".utf8))) == .refused("bad"))
    }

    @Test func `a message that does not end is ended, by its frames or by its bytes`() throws {
        let limits = ServerSession.Limits(.router)
        #expect(failure(Self.wire(Array(repeating: [], count: limits.frames))) == nil)
        for length in [0, 1, 1000] {
            let frame = ZMTPFrame.encode([UInt8](repeating: 1, count: length), .more)
            let endless = Array(repeating: frame, count: limits.frames + 1).flatMap { $0 }
            #expect(failure(endless) == .tooManyFrames(limit: limits.frames))
        }
        let large = [UInt8](repeating: 1, count: limits.message / 2)
        #expect(failure(Self.wire([large, large])) == nil)
        // The head of the frame is enough.
        let beyond = Self.wire([large, large, [UInt8](repeating: 1, count: 1000)])
        guard case .tooLong(1000, _)? = failure(Array(beyond.dropLast(1000))) else {
            Issue.record("a message of more bytes than there may be")
            return
        }
    }

    @Test func `a frame is as long as may be, and not longer`() throws {
        let longest = ServerSession.Limits(.router).frame
        var talk = try Talk("REQ")
        try talk.hear(Self.wire([[], [UInt8](repeating: 1, count: longest)]))
        #expect(talk.messages.first?.last?.count == longest)
        let longer = Self.wire([[UInt8](repeating: 1, count: longest + 1)])
        #expect(failure(Array(longer.prefix(9))) == .tooLong(bytes: UInt64(longest + 1), limit: longest))
        // A stranger has less.
        let command = Client.command("READY", [UInt8](repeating: 0, count: 5000))
        guard case .tooLong? = failure(Client.hello + command, nil) else {
            Issue.record("a long command of a handshake")
            return
        }
    }

    @Test func `no more is held of a message than may be in it`() throws {
        let limits = ServerSession.Limits(.router)
        var talk = try Talk("DEALER")
        let frame = ZMTPFrame.encode([UInt8](repeating: 1, count: 30_000), .more)
        var sent = 0
        do {
            while sent < 100 {
                try talk.hear(frame)
                sent += 1
                #expect(talk.session.unfinished <= limits.message)
            }
            Issue.record("endless frames are taken")
        } catch {
            #expect(sent == limits.message / 30_000)
        }
    }

    @Test func `a reply has the frames that it is given`() throws {
        var talk = try Talk("REQ")
        var bytes: [UInt8] = []
        talk.session.encode([[], [1, 2], [3]], into: &bytes)
        #expect(bytes == [1, 0, 1, 2, 1, 2, 0, 1, 3])
    }

    // MARK: - CURVE

    private func keys(_ byte: UInt8) throws -> KeyPair {
        let secret = Secret([UInt8](repeating: byte, count: Secret.size))
        return KeyPair(
            publicKey: try #require(PublicKey(bytes: secret.publicKey)),
            secretKey: try #require(SecretKey(bytes: secret.bytes)))
    }

    private func entropy(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

    /// The body of a frame that was sent.
    private func body(_ frame: [UInt8]) throws -> ArraySlice<UInt8> {
        let next = try #require(try ZMTPFrame.next(in: frame, from: 0, to: frame.count, limit: 1 << 20))
        return frame[next.body]
    }

    /// A handshake up to where the client's key is to be judged.
    private func judged() throws -> (ServerSession, CurveClient) {
        let (ours, theirs) = (try keys(3), try keys(5))
        var server = ServerSession(.router, .curve(ours, entropy: entropy(CurveServer.entropyCount)))
        var client = CurveClient(
            theirs, server: ours.publicKey, metadata: [("Socket-Type", "DEALER")],
            entropy: entropy(CurveClient.entropyCount))
        var events: [ServerSession.Event] = []
        let hello = ZMTPFrame.encode(try client.begin(), .command)
        try server.receive((ZMTPGreeting.encode(mechanism: "CURVE", isServer: false) + hello)[...]) { _ in }
        try server.shakeHands { events.append($0) }
        guard case .send(let welcome)? = events.last,
            case .send(let initiate) = try client.received(body(welcome))
        else { throw ZMTPError.notZMTP }
        try server.receive(ZMTPFrame.encode(initiate, .command)[...]) { _ in }
        try server.shakeHands { events.append($0) }
        #expect(events.last == .judge(theirs.publicKey))
        return (server, client)
    }

    @Test func `in boxes a message is the same, and may be as long`() throws {
        var (server, client) = try judged()
        guard case .open(var box, let metadata) = try client.received(body(server.admit())) else {
            throw ZMTPError.notZMTP
        }
        #expect(try ZMTPCommand.property("Socket-Type", in: metadata) == "ROUTER")
        let long = [UInt8](repeating: 1, count: ServerSession.Limits(.router).frame - 33)
        var bytes: [UInt8] = []
        box.seal([], .more, into: &bytes)
        box.seal(long[...], [], into: &bytes)
        try server.receive(bytes[...]) { _ in }
        #expect(server.hasMessage && server.takeMessage() == [[], long])
        var reply: [UInt8] = []
        server.encode([[], [7]], into: &reply)
        let first = try #require(try ZMTPFrame.next(in: reply, from: 0, to: reply.count, limit: 1000))
        #expect(try box.open(reply[first.body]).flags == .more)
        let second = try #require(
            try ZMTPFrame.next(in: reply, from: first.body.upperBound, to: reply.count, limit: 1000))
        #expect(try Array(box.open(reply[second.body]).payload) == [7])
    }

    @Test func `who is refused is told why`() throws {
        var (server, client) = try judged()
        let error = try body(server.refuse(status: "400"))
        #expect(throws: ZMTPError.refused("400")) { try client.received(error) }
        #expect(throws: ZMTPError.self) { try server.receive(Self.wire([[1]])[...]) { _ in } }
    }
}
