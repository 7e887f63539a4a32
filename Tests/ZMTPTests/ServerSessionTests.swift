// The publisher's side of a subscriber's connection, in dialogue.
import Testing
import Wire

@testable import ZMTP

@Suite struct ServerSessionTests {
    private func events(
        _ session: inout ServerSession, _ bytes: [UInt8]
    ) throws -> [ServerSession.Event] {
        var events: [ServerSession.Event] = []
        try session.receive(bytes[...]) { events.append($0) }
        return events
    }

    private func open() throws -> ServerSession {
        var session = ServerSession(.publisher, .plain)
        _ = try events(&session, Client.hello + Client.ready("SUB"))
        return session
    }

    @Test func `a subscriber greets, says what it is, and is open`() throws {
        var session = ServerSession(.publisher, .plain)
        #expect(session.greeting == Array(Client.hello[..<11]))
        #expect(try events(&session, Array(Client.hello[..<10])) == [])
        #expect(try events(&session, [3]) == [.send(Array(Client.hello[11...]))])
        let ready = Client.command("READY", ZMTPCommand.encode([("Socket-Type", "XPUB")]))
        #expect(try events(&session, Array(Client.hello[11...])) == [.send(ready)])
        #expect(!session.isOpen)
        #expect(try events(&session, Client.ready("SUB")) == [.opened])
        #expect(session.isOpen)
    }

    @Test func `it is understood however its bytes are cut`() throws {
        let bytes =
            Client.hello + Client.ready("XSUB") + ZMTPFrame.encode([1, 65]) + Client.command("CANCEL", [65])
        var whole = ServerSession(.publisher, .plain)
        let expected = try events(&whole, bytes)
        #expect(expected.suffix(3) == [.opened, .subscribe([65]), .cancel([65])])
        for size in [1, 2, 7, 63, 65] {
            var session = ServerSession(.publisher, .plain)
            var got: [ServerSession.Event] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                got += try events(&session, Array(bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(got == expected)
        }
    }

    /// The signature, revision 1, a SUB socket, and the frame of an identity.
    private static let second: [UInt8] =
        ZMTPGreeting.signature + [1, 2] + ZMTPFrame.encode(Array("me".utf8))

    @Test func `a subscriber that speaks ZMTP 2,0 is answered in it, however its bytes are cut`() throws {
        let bytes = Self.second + ZMTPFrame.encode([1, 65]) + ZMTPFrame.encode([0, 65])
        for size in [1, 2, 11, 12, 13, 100] {
            var session = ServerSession(.publisher, .plain)
            var got: [ServerSession.Event] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                got += try events(&session, Array(bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(got == [.send([9, 0, 0]), .opened, .subscribe([65]), .cancel([65])])
            #expect(session.isOpen)
            var message: [UInt8] = []
            session.encode([65, 1], into: &message)
            #expect(message == [0, 2, 65, 1])
        }
    }

    @Test func `what ZMTP 2,0 does not have ends its subscriber`() throws {
        func refusal(_ bytes: [UInt8], _ security: ServerSecurity = .plain) -> ZMTPError? {
            var session = ServerSession(.publisher, security)
            do {
                _ = try events(&session, bytes)
                return nil
            } catch {
                return error as? ZMTPError
            }
        }
        let signature = ZMTPGreeting.signature
        #expect(refusal(signature + [0]) == .version(1))
        #expect(refusal(signature + [1, 1]) == .socketType("type 1"))
        #expect(refusal(signature + [1, 10, 4, 0]) == .malformed("identity"))
        #expect(refusal(Self.second + Client.command("PING", [0, 0])) == .flags(4))
        let entropy = [UInt8](repeating: 7, count: CurveServer.entropyCount)
        let secret = Secret([UInt8](repeating: 3, count: 32))
        let keys = KeyPair(
            publicKey: try #require(PublicKey(bytes: secret.publicKey)),
            secretKey: try #require(SecretKey(bytes: secret.bytes)))
        #expect(refusal(signature + [1], .curve(keys, entropy: entropy)) == .version(2))
    }

    @Test func `subscriptions come as messages from 3,0 and as commands from 3,1`() throws {
        var session = try open()
        #expect(try events(&session, ZMTPFrame.encode([1, 7, 8])) == [.subscribe([7, 8])])
        #expect(try events(&session, ZMTPFrame.encode([0, 7, 8])) == [.cancel([7, 8])])
        #expect(try events(&session, Client.command("SUBSCRIBE", [7])) == [.subscribe([7])])
        #expect(try events(&session, Client.command("CANCEL", [7])) == [.cancel([7])])
        #expect(try events(&session, Client.command("SUBSCRIBE")) == [.subscribe([])])
    }

    @Test func `what is no subscription is told and changes nothing`() throws {
        var session = try open()
        #expect(try events(&session, ZMTPFrame.encode([2, 7])) == [.strange])
        #expect(try events(&session, ZMTPFrame.encode([])) == [.strange])
        #expect(try events(&session, Client.command("DANCE")) == [.strange])
        let several = ZMTPFrame.encode([1, 7], .more) + ZMTPFrame.encode([1, 8]) + ZMTPFrame.encode([1, 9])
        #expect(try events(&session, several) == [.strange, .subscribe([9])])
    }

    @Test func `a ping is answered with its context, of which there is a most`() throws {
        var session = try open()
        #expect(
            try events(&session, Client.command("PING", [0, 9, 1, 2, 3])) == [
                .pong([1, 2, 3])
            ])
        let long = [UInt8](repeating: 4, count: 40)
        #expect(
            try events(&session, Client.command("PING", [0, 9] + long)) == [
                .pong(Array(long.prefix(16)))
            ])
        var bytes: [UInt8] = []
        session.encode(pong: [1, 2, 3], into: &bytes)
        #expect(bytes == Client.command("PONG", [1, 2, 3]))
        #expect(throws: ZMTPError.malformed("PING")) { try events(&session, Client.command("PING", [0])) }
    }

    @Test func `who is no subscriber, or speaks before its turn, or too much, is ended`() {
        func refusal(_ bytes: [UInt8]) -> ZMTPError? {
            var session = ServerSession(.publisher, .plain)
            do {
                _ = try events(&session, bytes)
                return nil
            } catch {
                return error as? ZMTPError
            }
        }
        #expect(refusal(Array("GET / HTTP/1.1\r\n".utf8)) == .notZMTP)
        #expect(refusal(Client.hello + Client.ready("PUB")) == .socketType("PUB"))
        #expect(refusal(Client.hello + Client.command("READY")) == .socketType("no type"))
        #expect(refusal(Client.hello + Client.command("SUBSCRIBE", [7])) == .command("SUBSCRIBE"))
        #expect(refusal(Client.hello + ZMTPFrame.encode([1, 7])) == .command("message"))
        #expect(refusal(Client.hello + Client.command("ERROR", [3] + Array("bad".utf8))) == .refused("bad"))
        #expect(refusal(Client.hello + Client.command("READY", [40])) == .malformed("metadata"))
        #expect(refusal(Client.hello + ZMTPFrame.encode([], .command)) == .malformed("command"))
        let large = ZMTPFrame.encode([UInt8](repeating: 1, count: 5000))
        #expect(refusal(Client.hello + Client.ready("SUB") + large) == .tooLong(bytes: 5000, limit: 4096))
        #expect(refusal(Client.hello + Client.ready("SUB")) == nil)
    }

    @Test func `a message is one frame`() throws {
        var session = try open()
        var bytes: [UInt8] = []
        session.encode([1, 2, 3], into: &bytes)
        session.encode([UInt8](repeating: 9, count: 300), into: &bytes)
        #expect(bytes.prefix(6) == [0, 3, 1, 2, 3, 2])
        #expect(bytes.count == 5 + 309)
    }
}
