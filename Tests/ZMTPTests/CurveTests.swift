// CURVE as a dialogue of a client and a server, and what each makes of an other side that does not keep to it.
import Testing
import Wire

@testable import ZMTP

/// Random bytes that are always the same.
private func entropy(_ count: Int, _ first: UInt8) -> [UInt8] {
    (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
}

private func keyPair(_ byte: UInt8) throws -> KeyPair {
    let secret = Secret([UInt8](repeating: byte, count: 32))
    return KeyPair(
        publicKey: try #require(PublicKey(bytes: secret.publicKey)),
        secretKey: try #require(SecretKey(bytes: secret.bytes)))
}

@Suite struct CurveTests {
    let desk: KeyPair
    let gateway: KeyPair
    var client: CurveClient
    var server: CurveServer

    init() throws {
        desk = try keyPair(3)
        gateway = try keyPair(5)
        client = CurveTests.client(desk, of: gateway.publicKey)
        server = CurveServer(gateway, entropy: entropy(CurveServer.entropyCount, 101))
    }

    private static func client(_ keys: KeyPair, of server: PublicKey) -> CurveClient {
        CurveClient(
            keys, server: server, metadata: [("Socket-Type", "SUB"), ("Identity", "")],
            entropy: entropy(CurveClient.entropyCount, 7))
    }

    private static let ours = [(name: "Socket-Type", value: "XPUB")]

    // MARK: Steps of the dialogue

    private func sent(_ answer: CurveServer.Answer) throws -> [UInt8] {
        guard case .send(let bytes) = answer else { throw ZMTPError.malformed("test") }
        return bytes
    }

    private func sent(_ answer: CurveClient.Answer) throws -> [UInt8] {
        guard case .send(let bytes) = answer else { throw ZMTPError.malformed("test") }
        return bytes
    }

    private mutating func welcome() throws -> [UInt8] { try sent(server.received(client.begin()[...])) }
    private mutating func initiate() throws -> [UInt8] { try sent(client.received(welcome()[...])) }

    private mutating func ready() throws -> [UInt8] {
        _ = try server.received(initiate()[...])
        return server.admit(metadata: Self.ours).ready
    }

    private func session(_ answer: CurveClient.Answer) throws -> CurveSession {
        guard case .open(let session, _) = answer else { throw ZMTPError.malformed("test") }
        return session
    }

    /// What the two seal and open with when the handshake is over.
    private mutating func opened() throws -> (client: CurveSession, server: CurveSession) {
        _ = try server.received(initiate()[...])
        let (ready, session) = server.admit(metadata: Self.ours)
        return (try self.session(client.received(ready[...])), session)
    }

    /// The body of the only frame.
    private func body(_ bytes: [UInt8]) throws -> [UInt8] {
        let frame = try #require(try ZMTPFrame.next(in: bytes, from: 0, to: bytes.count, limit: 1 << 20))
        #expect(frame.flags == [] && frame.body.upperBound == bytes.count)
        return Array(bytes[frame.body])
    }

    /// Each command that differs from a good one in one byte, and each that ends early.
    private func spoilt(_ command: [UInt8]) -> [[UInt8]] {
        command.indices.flatMap { index -> [[UInt8]] in
            let changed = [1, 0x40, 0xff].map { (bits: UInt8) in
                var changed = command
                changed[index] ^= bits
                return changed
            }
            return changed + [Array(command[..<index])]
        }
    }

    // MARK: The handshake

    @Test mutating func `client and server come to an open connection`() throws {
        let hello = try client.begin()
        #expect(hello.count == 200 && hello.starts(with: Array("\u{5}HELLO\u{1}\u{0}".utf8)))
        let welcome = try sent(server.received(hello[...]))
        #expect(welcome.count == 168)
        let initiate = try sent(client.received(welcome[...]))
        let metadata = ZMTPCommand.encode([("Socket-Type", "SUB"), ("Identity", "")])
        #expect(initiate.count == 257 + metadata.count)
        #expect(try server.received(initiate[...]) == .judge(desk.publicKey, metadata: metadata[...]))
        let (ready, _) = server.admit(metadata: Self.ours)
        guard case .open(_, let theirs) = try client.received(ready[...]) else {
            Issue.record("not open after READY")
            return
        }
        #expect(theirs == ZMTPCommand.encode(Self.ours)[...])
    }

    @Test mutating func `a slice that does not begin at 0 is read alike`() throws {
        let welcome = try sent(server.received(([9, 9] + client.begin())[2...]))
        let initiate = try sent(client.received(([9] + welcome)[1...]))
        _ = try server.received(([9, 9, 9] + initiate)[3...])
        _ = try session(client.received(([9] + server.admit(metadata: Self.ours).ready)[1...]))
    }

    @Test mutating func `who is refused is told why`() throws {
        _ = try server.received(initiate()[...])
        let error = server.refuse(status: "400")
        #expect(error == Array("\u{5}ERROR\u{3}400".utf8))
        #expect(throws: ZMTPError.refused("400")) { try client.received(error[...]) }
        #expect(throws: ZMTPError.command("ERROR")) { try client.received(error[...]) }
        #expect(throws: ZMTPError.command("INITIATE")) {
            try server.received(ZMTPCommand.encode("INITIATE")[...])
        }
    }

    @Test mutating func `a reason that is longer than its command is none`() throws {
        _ = try client.begin()
        for bytes in ["\u{5}ERROR", "\u{5}ERROR\u{4}400"] {
            var copy = client
            #expect(throws: ZMTPError.malformed("ERROR")) { try copy.received(Array(bytes.utf8)[...]) }
        }
    }

    @Test mutating func `no spoilt HELLO is taken`() throws {
        let hello = try client.begin()
        for bytes in spoilt(hello) {
            var copy = server
            #expect(throws: ZMTPError.self) { try copy.received(bytes[...]) }
        }
        #expect(throws: ZMTPError.malformed("HELLO")) { try server.received((hello + [0])[...]) }
    }

    @Test mutating func `no spoilt WELCOME is taken`() throws {
        let welcome = try welcome()
        for bytes in spoilt(welcome) {
            var copy = client
            #expect(throws: ZMTPError.self) { try copy.received(bytes[...]) }
        }
        #expect(throws: ZMTPError.malformed("WELCOME")) { try client.received((welcome + [0])[...]) }
    }

    @Test mutating func `no spoilt INITIATE is taken`() throws {
        let initiate = try initiate()
        for bytes in spoilt(initiate) + [initiate + [0]] {
            var copy = server
            #expect(throws: ZMTPError.self) { try copy.received(bytes[...]) }
        }
    }

    @Test mutating func `no spoilt READY is taken`() throws {
        let ready = try ready()
        for bytes in spoilt(ready) + [ready + [0]] {
            var copy = client
            #expect(throws: ZMTPError.self) { try copy.received(bytes[...]) }
        }
    }

    @Test mutating func `what is wrong is told apart`() throws {
        let hello = try client.begin()
        var later = hello
        later[7] = 1
        for (bytes, error) in [
            ([], ZMTPError.malformed("command")), ([6] + hello.dropFirst(), .command("HELLO\u{1}")),
            (hello.dropLast(), .malformed("HELLO")), (later, .malformed("HELLO")),
            (hello.dropLast() + [0], .box("HELLO")), (ZMTPCommand.encode("READY"), .command("READY")),
        ] as [([UInt8], ZMTPError)] {
            var copy = server
            #expect(throws: error) { try copy.received(bytes[...]) }
        }
    }

    @Test mutating func `another server key shows in HELLO`() throws {
        var stranger = Self.client(desk, of: desk.publicKey)
        #expect(throws: ZMTPError.box("HELLO")) { try server.received(stranger.begin()[...]) }
    }

    @Test func `a server key of small order is no key`() throws {
        let none = try #require(PublicKey(bytes: [UInt8](repeating: 0, count: 32)))
        var client = Self.client(desk, of: none)
        #expect(throws: ZMTPError.weakKey) { try client.begin() }
    }

    @Test mutating func `a server that is not the one whose key is known cannot answer`() throws {
        var impostor = CurveServer(desk, entropy: entropy(CurveServer.entropyCount, 1))
        var fooled = Self.client(desk, of: desk.publicKey)
        _ = try client.begin()
        let welcome = try sent(impostor.received(fooled.begin()[...]))
        #expect(throws: ZMTPError.box("WELCOME")) { try client.received(welcome[...]) }
    }

    @Test mutating func `the bit of a key that X25519 ignores goes no further than the vouch`() throws {
        var hello = try client.begin()
        hello[111] ^= 0x80
        let welcome = try sent(server.received(hello[...]))
        let initiate = try sent(client.received(welcome[...]))
        #expect(throws: ZMTPError.box("INITIATE")) { try server.received(initiate[...]) }
    }

    @Test mutating func `a cookie of another connection is none`() throws {
        let hello = try client.begin()
        var earlier = CurveServer(gateway, entropy: entropy(CurveServer.entropyCount, 50))
        let initiate = try sent(client.received(sent(earlier.received(hello[...]))[...]))
        _ = try server.received(hello[...])
        #expect(throws: ZMTPError.box("INITIATE")) { try server.received(initiate[...]) }
        #expect(try earlier.received(initiate[...]) != .send([]))
    }

    @Test mutating func `commands out of turn are refused, and nothing is taken afterwards`() throws {
        let hello = try client.begin()
        let welcome = try sent(server.received(hello[...]))
        var again = server
        #expect(throws: ZMTPError.command("HELLO")) { try again.received(hello[...]) }
        let initiate = try sent(client.received(welcome[...]))
        #expect(throws: ZMTPError.command("INITIATE")) { try again.received(initiate[...]) }
        var repeated = client
        #expect(throws: ZMTPError.command("WELCOME")) { try repeated.received(welcome[...]) }

        _ = try server.received(initiate[...])
        var impatient = server
        #expect(throws: ZMTPError.command("MESSAGE")) {
            try impatient.received(ZMTPCommand.encode("MESSAGE", [UInt8](repeating: 0, count: 40))[...])
        }
        let ready = server.admit(metadata: Self.ours).ready
        #expect(throws: ZMTPError.command("READY")) { try repeated.received(ready[...]) }
        var first = Self.client(desk, of: gateway.publicKey)
        #expect(throws: ZMTPError.command("READY")) { try first.received(ready[...]) }
        _ = try session(client.received(ready[...]))
        // An open connection has no handshake.
        #expect(throws: ZMTPError.command("READY")) { try client.received(ready[...]) }
        #expect(throws: ZMTPError.command("INITIATE")) { try server.received(initiate[...]) }
    }

    // MARK: A client that knows its keys and does not keep to the rules

    /// An INITIATE by a client's rightful keys.
    private func forged(
        _ welcome: [UInt8], number: UInt64 = 2, vouchFor: [UInt8]? = nil, of server: PublicKey? = nil,
        by keys: KeyPair? = nil, metadata: [UInt8] = []
    ) throws -> [UInt8] {
        let secret = Secret(entropy(CurveClient.entropyCount, 7).prefix(32))
        let keys = keys ?? desk
        let key = try #require(Secret(of: secret, with: gateway.publicKey.bytes))
        let command = try CurveWelcome(welcome[8...])
        let text = try #require(Box.open(command.box[...], Nonce("WELCOME-", command.nonce), key))
        let theirs = Array(text.prefix(32))
        let shared = try #require(Secret(of: secret, with: theirs))
        let nonce = [UInt8](repeating: 1, count: 16)
        let vouching = try #require(Secret(of: Secret(desk.secretKey.bytes), with: theirs))
        let vouch = (vouchFor ?? secret.publicKey) + (server ?? gateway.publicKey).bytes
        let identity = CurveIdentity(
            client: keys.publicKey.bytes, vouchNonce: nonce,
            vouchBox: Box.seal(vouch, Nonce("VOUCH---", nonce), vouching), metadata: metadata[...])
        let box = Box.seal(identity.bytes, Nonce("CurveZMQINITIATE", number), shared)
        return CurveInitiate(cookie: text.dropFirst(32), number: number, box: box).bytes
    }

    @Test mutating func `a vouch is for this connection, this server, and by this client`() throws {
        let welcome = try welcome()
        let stranger = try keyPair(9)
        for bytes in [
            try forged(welcome, vouchFor: stranger.publicKey.bytes),
            try forged(welcome, of: stranger.publicKey), try forged(welcome, by: stranger),
        ] {
            var copy = server
            #expect(throws: ZMTPError.box("INITIATE")) { try copy.received(bytes[...]) }
        }
        #expect(try server.received(forged(welcome)[...]) == .judge(desk.publicKey, metadata: []))
    }

    @Test mutating func `the handshake's numbers grow, too`() throws {
        let welcome = try welcome()
        for number in [0, 1] as [UInt64] {
            var copy = server
            #expect(throws: ZMTPError.replayed("INITIATE")) {
                try copy.received(forged(welcome, number: number)[...])
            }
        }
        _ = try server.received(forged(welcome, number: .max)[...])
        #expect(!server.admit(metadata: []).ready.isEmpty)
    }

    @Test mutating func `metadata have to be whole`() throws {
        let welcome = try welcome()
        #expect(throws: ZMTPError.malformed("metadata")) {
            try server.received(forged(welcome, metadata: [11, 0])[...])
        }
    }

    // MARK: Messages

    @Test(arguments: [0, 1, 221, 222, 223, 255, 256, 70_000])
    mutating func `messages go both ways with their flags`(count: Int) throws {
        var (client, server) = try opened()
        let payload = entropy(count, 0)
        for flags in [[], .more, .command, [.more, .command]] as [ZMTPFlags] {
            var bytes: [UInt8] = []
            client.seal(payload[...], flags, into: &bytes)
            #expect(bytes.count == (count + 33 <= 255 ? 2 : 9) + 33 + count)
            let heard = try server.open(body(bytes)[...])
            #expect(heard.flags == flags && Array(heard.payload) == payload)
            bytes = []
            server.seal(payload[...], flags, into: &bytes)
            let answer = try client.open(body(bytes)[...])
            #expect(answer.flags == flags && Array(answer.payload) == payload)
        }
    }

    @Test mutating func `no spoilt MESSAGE is opened, and none after it`() throws {
        let (theirs, server) = try opened()
        var client = theirs
        var bytes: [UInt8] = []
        client.seal(Array("md/itch/".utf8)[...], into: &bytes)
        let message = try body(bytes)
        for spoilt in spoilt(message) + [message + [0]] {
            var copy = server
            #expect(throws: ZMTPError.self) { try copy.open(spoilt[...]) }
            #expect(throws: ZMTPError.replayed("MESSAGE")) { try copy.open(message[...]) }
            copy.seal([1], into: &bytes)
        }
        #expect(throws: ZMTPError.malformed("MESSAGE")) {
            var copy = server
            return try copy.open(message[..<32])
        }
        #expect(throws: ZMTPError.command("PING")) {
            var copy = server
            return try copy.open(ZMTPCommand.encode("PING", [0, 0])[...])
        }
        #expect(throws: ZMTPError.box("MESSAGE")) {
            var copy = server
            return try copy.open((message + [0])[...])
        }
    }

    @Test mutating func `a number that does not grow ends it; one that leaps does not`() throws {
        var (client, server) = try opened()
        let messages = try (0..<3).map { number in
            var bytes: [UInt8] = []
            server.seal([UInt8(number)], into: &bytes)
            return try body(bytes)
        }
        _ = try client.open(messages[0][...])
        var behind = client
        _ = try behind.open(messages[2][...])
        #expect(throws: ZMTPError.replayed("MESSAGE")) { try behind.open(messages[1][...]) }
        #expect(throws: ZMTPError.replayed("MESSAGE")) { try client.open(messages[0][...]) }
    }

    @Test mutating func `what we sealed does not open as if it were theirs`() throws {
        var server = try opened().server
        var bytes: [UInt8] = []
        for _ in 0..<9 {
            bytes = []
            server.seal([1], into: &bytes)
        }
        let mirrored = try body(bytes)
        #expect(throws: ZMTPError.box("MESSAGE")) { try server.open(mirrored[...]) }
    }

    @Test mutating func `flags that no message has end it`() throws {
        var server = try opened().server
        let secret = Secret(entropy(CurveClient.entropyCount, 7).prefix(32))
        let theirs = Secret(entropy(CurveServer.entropyCount, 101).prefix(32)).publicKey
        let key = try #require(Secret(of: secret, with: theirs))
        let box = Box.seal([4], Nonce("CurveZMQMESSAGEC", 3), key)
        let message = ZMTPCommand.encode("MESSAGE", [0, 0, 0, 0, 0, 0, 0, 3] + box)
        #expect(throws: ZMTPError.flags(4)) { try server.open(message[...]) }
    }

    @Test mutating func `the same message never looks the same`() throws {
        var server = try opened().server
        var seen: Set<[UInt8]> = []
        for _ in 0..<50 {
            var bytes: [UInt8] = []
            server.seal([1, 2, 3], into: &bytes)
            #expect(seen.insert(bytes).inserted)
        }
    }
}
