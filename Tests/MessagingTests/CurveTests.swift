// Our CURVE against libzmq's, over TCP on loopback: each is the server once, and the client once.
import Basics
import CLinux
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging
@testable import ZMTP

/// A listening TCP socket on loopback.
private final class Listener {
    private let descriptor: Int32
    let endpoint: String

    init() throws {
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let size = length
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listening, $0, size) | listen(listening, 4) | getsockname(listening, $0, &length)
            }
        }
        descriptor = listening
        endpoint = "tcp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        if result != 0 { throw SystemError("listen", number: errno) }
    }

    deinit { close(descriptor) }

    /// libzmq connects by a thread of its own.
    func accept(_ loop: EventLoop) throws -> RawPeer {
        let accepted = Glibc.accept(descriptor, nil, nil)
        if accepted < 0 { throw SystemError("accept", number: errno) }
        return RawPeer(accepted, loop)
    }
}

@Suite struct CurveTests {
    let loop: EventLoop
    let context = MessagingContext()
    let gateway: KeyPair
    let desk: KeyPair

    init() throws {
        loop = try EventLoop()
        gateway = try KeyPair.generate()
        desk = try KeyPair.generate()
    }

    private func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    private func random(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max) }
    }

    private func greet(_ peer: RawPeer, isServer: Bool) throws {
        peer.send(ZMTPGreeting.encode(mechanism: "CURVE", isServer: isServer))
        let greeting = try peer.take(ZMTPGreeting.size)
        #expect(try ZMTPGreeting.check(greeting[...], mechanism: "CURVE", isServer: isServer) == 1)
    }

    /// A command of libzmq's handshake.
    private func command(_ peer: RawPeer) throws -> ArraySlice<UInt8> {
        let frame = try peer.frame()
        #expect(frame.flags == .command)
        return frame.body[...]
    }

    private func received(_ socket: Socket) throws -> [[UInt8]] {
        var message: [[UInt8]]?
        try run {
            message = try socket.receive()?.frames
            return message != nil
        }
        return message ?? []
    }

    // MARK: We are the server

    /// libzmq's handshake up to where its key is to be judged.
    private func judged(_ peer: RawPeer) throws -> (CurveServer, PublicKey, metadata: ArraySlice<UInt8>) {
        try greet(peer, isServer: true)
        var server = CurveServer(gateway, entropy: random(CurveServer.entropyCount))
        guard case .send(let welcome) = try server.received(command(peer)) else { throw RawPeer.Gone() }
        peer.send(command: welcome)
        guard case .judge(let key, let metadata) = try server.received(command(peer)) else {
            throw RawPeer.Gone()
        }
        return (server, key, metadata)
    }

    private func admitted(_ peer: RawPeer) throws -> CurveSession {
        var (server, key, metadata) = try judged(peer)
        #expect(key == desk.publicKey)
        #expect(try ZMTPCommand.property("Socket-Type", in: metadata) == "SUB")
        let (ready, session) = server.admit(metadata: [("Socket-Type", "XPUB"), ("Identity", "")])
        peer.send(command: ready)
        return session
    }

    private func subscriber(_ endpoint: String) throws -> Socket {
        let socket = try Socket(context, .sub)
        try socket.subscribe("md/".utf8)
        return socket
    }

    @Test func `libzmq comes in, subscribes, and hears what we seal`() throws {
        let listener = try Listener()
        let socket = try subscriber(listener.endpoint)
        try socket.connect(listener.endpoint, .client(desk, of: gateway.publicKey))
        let peer = try listener.accept(loop)
        var server = try admitted(peer)
        let subscription = try peer.frame()
        // Nothing of what is in the box shows outside.
        #expect(subscription.flags == [])
        let (flags, payload) = try server.open(subscription.body[...])
        #expect(flags == .command)
        #expect(Array(payload) == ZMTPCommand.encode("SUBSCRIBE", "md/".utf8))

        let counts = [0, 1, 218, 219, 220, 221, 222, 252, 253, 300, 9_000, 100_000]
        for count in counts {
            var bytes: [UInt8] = []
            let body = random(count)
            server.seal(Array("md/itch/".utf8)[...], .more, into: &bytes)
            server.seal([][...], .more, into: &bytes)
            server.seal(body[...], into: &bytes)
            peer.send(bytes)
            #expect(try received(socket) == [Array("md/itch/".utf8), [], body])
        }
        // Many in one write.
        var bytes: [UInt8] = []
        for number in 0..<1000 { server.seal(Array("md/\(number)".utf8)[...], into: &bytes) }
        peer.send(bytes)
        for number in 0..<1000 { #expect(try received(socket) == [Array("md/\(number)".utf8)]) }

        try socket.unsubscribe("md/".utf8)
        let cancel = try server.open(peer.frame().body[...])
        #expect(cancel.flags == .command)
        #expect(Array(cancel.payload) == ZMTPCommand.encode("CANCEL", "md/".utf8))
    }

    @Test func `commands of an open connection are in boxes`() throws {
        let listener = try Listener()
        let socket = try subscriber(listener.endpoint)
        try socket.set(.heartbeat(interval: 20, timeout: 20_000, timeToLive: 30_000))
        try socket.connect(listener.endpoint, .client(desk, of: gateway.publicKey))
        let peer = try listener.accept(loop)
        var server = try admitted(peer)
        _ = try server.open(peer.frame().body[...])
        var bytes: [UInt8] = []
        server.seal(ZMTPCommand.encode("PING", [0, 0, 1, 2])[...], .command, into: &bytes)
        peer.send(bytes)
        var heard: [String: Int] = [:]
        while heard["PING", default: 0] < 3 || heard["PONG"] == nil {
            let command = try server.open(peer.frame().body[...])
            #expect(command.flags == .command)
            let (name, rest) = try ZMTPCommand.split(command.payload)
            if name == "PONG" { #expect(Array(rest) == [1, 2]) }
            heard[name, default: 0] += 1
            bytes = []
            server.seal(ZMTPCommand.encode("PONG")[...], .command, into: &bytes)
            peer.send(bytes)
        }
        #expect(heard.keys.sorted() == ["PING", "PONG"])
    }

    @Test func `libzmq takes our refusal for one`() throws {
        let listener = try Listener()
        var news: [Connection.News] = []
        let subscriber = try Subscriber(
            context, loop, endpoint: listener.endpoint, security: .client(desk, of: gateway.publicKey),
            onConnection: { news.append($0) }
        ) { _ in }
        let peer = try listener.accept(loop)
        var (server, _, _) = try judged(peer)
        peer.send(command: server.refuse(status: "400"))
        try run { news.contains(.failed(.refused(status: 400))) }
        #expect(!subscriber.isConnected)
    }

    @Test func `libzmq with another server key is found out by its HELLO`() throws {
        let listener = try Listener()
        let socket = try subscriber(listener.endpoint)
        try socket.connect(listener.endpoint, .client(desk, of: desk.publicKey))
        let peer = try listener.accept(loop)
        try greet(peer, isServer: true)
        var server = CurveServer(gateway, entropy: random(CurveServer.entropyCount))
        let hello = try command(peer)
        #expect(throws: ZMTPError.box("HELLO")) { try server.received(hello) }
    }

    @Test func `libzmq hangs up on a message that was changed or comes twice`() throws {
        for isReplayed in [false, true] {
            let listener = try Listener()
            let socket = try subscriber(listener.endpoint)
            try socket.connect(listener.endpoint, .client(desk, of: gateway.publicKey))
            let peer = try listener.accept(loop)
            var server = try admitted(peer)
            _ = try peer.frame()
            var bytes: [UInt8] = []
            server.seal(Array("md/1".utf8)[...], into: &bytes)
            peer.send(bytes)
            #expect(try received(socket) == [Array("md/1".utf8)])
            if !isReplayed {
                bytes = []
                server.seal(Array("md/2".utf8)[...], into: &bytes)
                bytes[bytes.count - 1] ^= 1
            }
            peer.send(bytes)
            #expect(throws: RawPeer.Gone.self) { try peer.frame() }
        }
    }

    // MARK: We are the client

    private func connected(_ endpoint: String) throws -> RawPeer {
        let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(result == 0)
        return RawPeer(descriptor, loop)
    }

    private func begun(_ peer: RawPeer, _ keys: KeyPair, _ type: String) throws -> CurveClient {
        try greet(peer, isServer: false)
        var client = CurveClient(
            keys, server: gateway.publicKey, metadata: [("Socket-Type", type), ("Identity", "")],
            entropy: random(CurveClient.entropyCount))
        peer.send(command: try client.begin())
        guard case .send(let initiate) = try client.received(command(peer)) else { throw RawPeer.Gone() }
        peer.send(command: initiate)
        return client
    }

    @Test func `libzmq lets us in, and hears and says what is sealed`() throws {
        let socket = try Socket(context, .xpub)
        try socket.bind("tcp://127.0.0.1:*", as: gateway)
        let peer = try connected(socket.lastEndpoint)
        var handshake = try begun(peer, desk, "SUB")
        guard case .open(var client, let metadata) = try handshake.received(command(peer)) else {
            throw RawPeer.Gone()
        }
        #expect(try ZMTPCommand.property("Socket-Type", in: metadata) == "XPUB")
        var bytes: [UInt8] = []
        // Each way that a subscription has been written in.
        client.seal(ZMTPCommand.encode("SUBSCRIBE", "md/".utf8)[...], .command, into: &bytes)
        client.seal([1] + Array("state/".utf8), into: &bytes)
        peer.send(bytes)
        #expect(try received(socket) == [[1] + Array("md/".utf8)])
        #expect(try received(socket) == [[1] + Array("state/".utf8)])
        for count in [0, 219, 220, 221, 222, 9_000, 100_000] {
            let body = random(count)
            try socket.send(frames: [Array("md/".utf8), body])
            let topic = try client.open(peer.frame().body[...])
            #expect(topic.flags == .more && Array(topic.payload) == Array("md/".utf8))
            let message = try client.open(peer.frame().body[...])
            #expect(message.flags == [] && Array(message.payload) == body)
        }
    }

    @Test func `libzmq's refusal is one`() throws {
        let judge = try LibzmqJudge(context, loop, [desk.publicKey])
        let socket = try Socket(context, .xpub)
        try socket.bind("tcp://127.0.0.1:*", as: gateway, judged: true)
        let peer = try connected(socket.lastEndpoint)
        var client = try begun(peer, KeyPair.generate(), "SUB")
        let error = try command(peer)
        #expect(throws: ZMTPError.refused("400")) { try client.received(error) }
        withExtendedLifetime(judge) {}
    }
}
