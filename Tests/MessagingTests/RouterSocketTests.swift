// Our own ROUTER on the loop, over loopback and Unix sockets: with requesters of libzmq's, and with one written by hand.
import Basics
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging
@testable import ZMTP

@Suite struct RouterSocketTests {
    let loop: EventLoop
    let context = MessagingContext()
    let log: LimitedLog
    let anyPort = ServerEndpoints(["tcp://127.0.0.1:*"])

    init() throws {
        loop = try EventLoop()
        log = try LimitedLog(loop, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    /// What came, and by which connection.
    private final class Desk {
        var messages: [[[UInt8]]] = []
        var origins: [RouterSocket.Origin] = []
    }

    private func router(_ desk: Desk, at endpoints: ServerEndpoints? = nil) throws -> RouterSocket {
        try RouterSocket(loop, for: .request, at: endpoints ?? anyPort, log: log) { frames, origin, _ in
            desk.messages.append(frames)
            desk.origins.append(origin)
        }
    }

    /// A server that answers what it is asked, and a requester who is answered.
    private func echo() throws -> RequestServer {
        try RequestServer(loop, at: anyPort, log: log) { request, _ in request }
    }

    private static func greeting(_ type: String) -> [UInt8] {
        let ready = ZMTPCommand.encode("READY", ZMTPCommand.encode([("Socket-Type", type)]))
        return ZMTPGreeting.encode(mechanism: "NULL", isServer: false) + ZMTPFrame.encode(ready, .command)
    }

    /// A requester by hand that is let in.
    private func peer(_ endpoint: String) throws -> RawPeer {
        let peer = try RawPeer(connectingTo: endpoint, loop)
        peer.send(Self.greeting("DEALER"))
        #expect(try peer.take(ZMTPGreeting.size).first == 0xff)
        #expect(try peer.frame().flags == .command)
        return peer
    }

    private func isGone(_ peer: RawPeer) -> Bool {
        do {
            _ = try peer.frame()
            return false
        } catch {
            return error is RawPeer.Gone
        }
    }

    // MARK: - Messages and replies

    @Test(arguments: ["tcp://127.0.0.1:*", "ipc://@holdfast-router-\(UInt32.random(in: 0 ... .max))"])
    func `frames come as they were sent, and go back to whom they are for`(_ endpoint: String) throws {
        let desk = Desk()
        let router = try router(desk, at: ServerEndpoints([endpoint]))
        let sockets = try (0..<2).map { _ in
            let socket = try Socket(context, .dealer)
            try socket.connect(router.lastEndpoint)
            return socket
        }
        let long = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        try sockets[0].send(frames: [[], [1], long])
        try run { desk.messages.count == 1 }
        try sockets[1].send(frames: [[2]])
        try run { desk.messages.count == 2 }
        #expect(desk.messages == [[[], [1], long], [[2]]])
        #expect(router.send([[9], long, long], to: desk.origins[1]))
        #expect(router.send([[8]], to: desk.origins[0]))
        var replies: [[[UInt8]]?] = [nil, nil]
        try run {
            for index in 0..<2 where replies[index] == nil {
                replies[index] = try sockets[index].receive()?.frames
            }
            return !replies.contains(nil)
        }
        #expect(replies == [[[8]], [[9], long, long]])
    }

    @Test func `who speaks ZMTP 2,0 is answered in it`() throws {
        let server = try echo()
        let peer = try RawPeer(connectingTo: server.lastEndpoint, loop)
        let opening = try peer.take(11)
        // Revision 1, a REQ socket, no identity; a delimiter and a request.
        peer.send(Array(opening.dropLast()) + [1, 3, 0, 0, 1, 0, 0, 1, 7] as [UInt8])
        #expect(try peer.take(3) == [6, 0, 0])
        #expect(try peer.take(5) == [1, 0, 0, 1, 7])
    }

    @Test func `all that one asks at once is answered, in order, and others have their turns between`() throws
    {
        let desk = Desk()
        let router = try router(desk)
        let first = try peer(router.lastEndpoint)
        let second = try peer(router.lastEndpoint)
        try run { router.counters.clients == 2 }
        let messages = (0..<1000).map { ZMTPFrame.encode([UInt8($0 % 256)]) }
        first.send(messages.flatMap { $0 })
        second.send(ZMTPFrame.encode([255, 255]))
        try run { desk.messages.count == 1001 }
        let numbers = desk.messages.filter { $0[0].count == 1 }.map { $0[0][0] }
        #expect(numbers == (0..<1000).map { UInt8($0 % 256) })
        #expect(try #require(desk.messages.firstIndex { $0[0].count == 2 }) < 200)
        #expect(first !== second)
    }

    @Test func `a reply to who is gone is none, and never another's`() throws {
        let desk = Desk()
        let router = try router(desk)
        var gone: RawPeer? = try peer(router.lastEndpoint)
        gone?.send(ZMTPFrame.encode([1]))
        try run { desk.origins.count == 1 }
        gone = nil
        try run { router.connections == 0 }
        let other = try peer(router.lastEndpoint)
        other.send(ZMTPFrame.encode([2]))
        try run { desk.origins.count == 2 }
        #expect(!router.send([[1]], to: desk.origins[0]))
        // The kernel gives out the lowest number that is free, and so the other may have got it.
        desk.origins[0].descriptor = desk.origins[1].descriptor
        #expect(!router.send([[1]], to: desk.origins[0]))
        #expect(router.send([[2]], to: desk.origins[1]))
        #expect(try other.frame().body == [2])
        #expect(gone == nil)
    }

    // MARK: - Bounds

    @Test func `a message of endless frames ends its connection, and others are answered`() throws {
        let server = try echo()
        let hostile = try peer(server.lastEndpoint)
        var replies = 0
        let requester = try Requester(context, loop, endpoint: server.lastEndpoint) { _ in replies += 1 }
        for _ in 0..<100 { hostile.send(ZMTPFrame.encode([1], .more)) }
        #expect(isGone(hostile))
        #expect(server.broken == 1)
        #expect(try requester.send([1]))
        try run { replies == 1 }
        #expect(server.connections == 1 && server.malformed == 0)
    }

    @Test func `so does a frame that is longer than one may be, and a longer request is answered`() throws {
        let server = try echo()
        let hostile = try peer(server.lastEndpoint)
        hostile.send(Array(ZMTPFrame.encode([UInt8](repeating: 1, count: (128 << 10) + 1)).prefix(9)))
        #expect(isGone(hostile))
        #expect(server.broken == 1)
        let client = try peer(server.lastEndpoint)
        client.send(ZMTPFrame.encode([UInt8](repeating: 1, count: 100_000)))
        #expect(
            String(decoding: try client.frame().body, as: UTF8.self).contains("a request of 100000 bytes"))
        #expect(server.malformed == 1 && server.broken == 1)
    }

    @Test func `messages that do not end hold so much in all, and who means well is served`() throws {
        var messages: [[[UInt8]]] = []
        let router = try RouterSocket(
            loop, for: .request, at: anyPort, log: log, mostUnfinished: 1 << 20
        ) { frames, _, _ in messages.append(frames) }
        let begun = Array(ZMTPFrame.encode([UInt8](repeating: 1, count: 100_000), .more).dropLast())
        let hostile = try (0..<30).map { _ in
            let one = try peer(router.lastEndpoint)
            one.send(begun)
            return one
        }
        try run { router.broken == 20 }
        let client = try peer(router.lastEndpoint)
        let request = [UInt8](repeating: 2, count: 60_000)
        client.send(ZMTPFrame.encode(request))
        try run { messages == [[request]] }
        // Those went that had kept theirs for longest, and no more than is needed.
        #expect(isGone(hostile[0]) && router.broken == 21 && router.connections == 10)
    }

    @Test func `who holds little of a message stays, whatever others hold`() throws {
        let router = try RouterSocket(
            loop, for: .request, at: anyPort, log: log, mostUnfinished: 1 << 20
        ) { _, _, _ in }
        let small = try (0..<30).map { _ in
            let one = try peer(router.lastEndpoint)
            one.send([1])
            return one
        }
        let begun = Array(ZMTPFrame.encode([UInt8](repeating: 1, count: 100_000), .more).dropLast())
        let large = try (0..<12).map { _ in
            let one = try peer(router.lastEndpoint)
            one.send(begun)
            return one
        }
        try run { router.broken >= 2 }
        #expect(router.connections == 40 && isGone(large[0]) && isGone(large[1]))
        withExtendedLifetime(small) {}
    }

    @Test func `who reads finds room for its reply, though others left theirs`() throws {
        let desk = Desk()
        let router = try RouterSocket(
            loop, for: .request, at: anyPort, log: log, mostSending: 4 << 20
        ) { _, origin, _ in desk.origins.append(origin) }
        let reply = [UInt8](repeating: 7, count: 1 << 20)
        var sleepers: [RawPeer] = []
        for number in 1...8 {
            let sleeper = try peer(router.lastEndpoint)
            sleepers.append(sleeper)
            sleeper.send(ZMTPFrame.encode([1]))
            try run { desk.origins.count == number }
            // More than the kernel takes.
            for _ in 0..<12 { _ = router.send([reply], to: desk.origins[number - 1]) }
        }
        #expect(router.broken > 0 && router.broken < 8)
        let client = try peer(router.lastEndpoint)
        client.send(ZMTPFrame.encode([1]))
        try run { desk.origins.count == 9 }
        #expect(router.send([reply], to: desk.origins[8]))
        #expect(try client.frame().body == reply)
        withExtendedLifetime(sleepers) {}
    }

    @Test func `one that never reads loses its replies, and is served again when it does`() throws {
        let desk = Desk()
        let router = try router(desk)
        let sleeper = try peer(router.lastEndpoint)
        sleeper.send(ZMTPFrame.encode([1]))
        try run { desk.origins.count == 1 }
        let reply = [UInt8](repeating: 7, count: 1 << 20)
        var taken = 0
        while taken < 1000, router.send([reply], to: desk.origins[0]) { taken += 1 }
        // What the kernel takes comes besides.
        #expect(taken >= 64 && taken < 100)
        for _ in 0..<taken { #expect(try sleeper.frame().body.count == reply.count) }
        try run { router.send([[8]], to: desk.origins[0]) }
        #expect(try sleeper.frame().body == [8])
    }

    @Test func `many that never read hold so much in all, and who reads is answered`() throws {
        let desk = Desk()
        let router = try router(desk)
        let reply = [UInt8](repeating: 7, count: 1 << 20)
        var sleepers: [RawPeer] = []
        var taken = 0
        for number in 1...8 {
            let sleeper = try peer(router.lastEndpoint)
            sleepers.append(sleeper)
            sleeper.send(ZMTPFrame.encode([1]))
            try run { desk.origins.count == number }
            var more = 0
            while more < 1000, router.send([reply], to: desk.origins[number - 1]) { more += 1 }
            taken += more
        }
        // What the kernel holds for each comes besides.
        #expect(taken << 20 < RouterSocket.mostSending + ReplyBacklog<Int>().limits.ofAll + 8 * (16 << 20))
        let reader = try peer(router.lastEndpoint)
        reader.send(ZMTPFrame.encode([2]))
        try run { desk.origins.count == 9 }
        #expect(router.send([reply], to: desk.origins[8]))
        #expect(try reader.frame().body.count == reply.count)
        #expect(sleepers.count == 8)
    }

    @Test func `a ping is answered with its context`() throws {
        let server = try echo()
        let client = try peer(server.lastEndpoint)
        client.send(command: ZMTPCommand.encode("PING", [0, 0, 5, 6]))
        #expect(
            try client.frame() == RawPeer.Frame(flags: .command, body: ZMTPCommand.encode("PONG", [5, 6])))
    }

    @Test func `what does not ask is hung up on`() throws {
        let server = try echo()
        let subscriber = try RawPeer(connectingTo: server.lastEndpoint, loop)
        subscriber.send(Self.greeting("SUB"))
        #expect(try subscriber.take(ZMTPGreeting.size).first == 0xff)
        // It is told what we are, and no more.
        #expect(try subscriber.frame().flags == .command && isGone(subscriber))
        #expect(server.broken == 1 && server.counters.clients == 0)
    }

    // MARK: - CURVE

    private func beyond(_ authenticator: Authenticator) -> ServerEndpoints {
        var endpoints = ServerEndpoints(["tcp://127.0.0.1:*"], authenticator: authenticator)
        endpoints.isLocal = { !$0.hasPrefix("tcp://") }
        return endpoints
    }

    @Test func `who is taken off the list is hung up on, and another key of ours binds anew`() throws {
        let (ours, next) = (try KeyPair.generate(), try KeyPair.generate())
        let (desk, risk) = (try KeyPair.generate(), try KeyPair.generate())
        let clients = [("desk", desk), ("risk", risk)].map { AllowedClient(name: $0, key: $1.publicKey) }
        let authenticator = Authenticator(Credentials(keys: ours, allowed: AllowList(clients)), log: log)
        let server = try RequestServer(loop, at: beyond(authenticator), log: log) { request, _ in request }
        let endpoint = server.lastEndpoint
        var replies: [String] = []
        let requesters = try [desk, risk].map { keys in
            try Requester(context, loop, endpoint: endpoint, security: .client(keys, of: ours.publicKey)) {
                replies.append(String(decoding: $0, as: UTF8.self))
            }
        }
        for requester in requesters { #expect(try requester.send(Array("a".utf8))) }
        try run { replies.count == 2 && server.counters.clients == 2 }
        authenticator.renew(Credentials(keys: ours, allowed: AllowList([clients[1]])))
        #expect(server.counters.removed == 1 && server.counters.clients == 1)
        #expect(try requesters[1].send(Array("b".utf8)))
        try run { replies.last == "b" }
        authenticator.renew(Credentials(keys: next, allowed: AllowList([clients[1]])))
        try run { !requesters[1].isUp }
        requesters[1].reconnect(.client(risk, of: next.publicKey))
        try run { requesters[1].isUp }
        #expect(try requesters[1].send(Array("c".utf8)))
        try run { replies.last == "c" }
    }
}
