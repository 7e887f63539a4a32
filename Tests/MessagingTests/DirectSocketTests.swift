// Our own publisher and subscriber on the loop, over loopback and Unix sockets: with each other, and with libzmq's.
import Basics
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging

@Suite struct DirectSocketTests {
    let loop: EventLoop
    let lookUps: NameLookups
    let context = MessagingContext()
    let log: LimitedLog
    let anyPort = ServerEndpoints(["tcp://127.0.0.1:*"])

    init() throws {
        loop = try EventLoop()
        lookUps = try NameLookups(loop, mostAsked: 8)
        log = try LimitedLog(loop, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    /// Who asks a publisher for what, and who is gone.
    private final class Desk {
        var requests: [PublisherSocket.Request] = []
        var connections: [Int32] = []
        var departed: [Int32] = []
    }

    private func publisher(
        _ desk: Desk, at endpoints: ServerEndpoints? = nil
    ) throws -> PublisherSocket {
        let publisher = try PublisherSocket(loop, for: .marketData, at: endpoints ?? anyPort, log: log)
        publisher.onDeparture = { desk.departed.append($0) }
        publisher.onRequest = { request, connection, _ in
            desk.requests.append(request)
            desk.connections.append(connection)
        }
        return publisher
    }

    private final class Reader {
        var frames: [[UInt8]] = []
        var news: [Connection.News] = []
    }

    private func subscriber(
        _ reader: Reader, _ endpoint: String, _ security: EndpointSecurity = .plain,
        subscriptions: [[UInt8]] = [[65]]
    ) throws -> SubscriberSocket {
        try SubscriberSocket(
            loop, lookUps, endpoint: endpoint, security: security,
            SubscriberSocket.Handlers(
                news: { reader.news.append($0) },
                frames: { frames in
                    while let place = frames.next() { reader.frames.append(Array(frames.bytes[place])) }
                },
                subscriptions: { subscriptions }))
    }

    @Test func `who comes by another mechanism learns that it is that`() throws {
        let publisher = try publisher(Desk())
        let reader = Reader()
        let security = EndpointSecurity.client(
            try KeyPair.generate(), of: try KeyPair.generate().publicKey)
        let subscriber = try subscriber(reader, publisher.lastEndpoint, security)
        try run { !reader.news.isEmpty }
        #expect(reader.news.first == .failed(.notUnderstood(code: HandshakeFailure.otherMechanism)))
        #expect(subscriber.trouble != nil && publisher.counters.clients == 0)
    }

    @Test func `a subscriber that speaks ZMTP 2,0 gets what it asks for`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let peer = try RawPeer(connectingTo: publisher.lastEndpoint, loop)
        let opening = try peer.take(11)
        #expect(opening == [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3])
        // Revision 1, a SUB socket, no identity.
        peer.send(opening.dropLast() + [1, 2, 0, 0])
        #expect(try peer.take(3) == [9, 0, 0])
        peer.send([0, 2, 1, 65])
        try run { desk.requests == [.subscribe([65])] }
        publisher.send([65, 7], to: desk.connections[0])
        #expect(try peer.take(4) == [0, 2, 65, 7])
    }

    @Test func `what a subscriber asks for is heard, and it gets what it is sent, in order`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let reader = Reader()
        let subscriber = try subscriber(reader, publisher.lastEndpoint)
        try run { desk.requests == [.subscribe([65])] }
        #expect(reader.news == [.connected] && subscriber.isConnected && publisher.counters.clients == 1)
        let messages = (0..<3000).map { number in
            Array("A\(number)".utf8) + [UInt8](repeating: 9, count: number % 400)
        }
        for message in messages { publisher.send(message, to: desk.connections[0]) }
        try run { reader.frames.count == messages.count }
        #expect(reader.frames == messages && publisher.dropped == 0)
        subscriber.cancel([65])
        try run { desk.requests.last == .cancel([65]) }
    }

    @Test func `a frame longer than what is read at a time comes whole`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let reader = Reader()
        let subscriber = try subscriber(reader, publisher.lastEndpoint)
        try run { desk.requests.count == 1 }
        let long = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
        for message in [[1], long, [2]] { publisher.send(message, to: desk.connections[0]) }
        try run { reader.frames.count == 3 }
        #expect(reader.frames == [[1], long, [2]] && subscriber.isConnected)
    }

    @Test func `who does not read loses what does not fit, counted, and the others lose nothing`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let reader = Reader()
        let socket = try Socket(context, .sub)
        try socket.set(.receiveHighWaterMark(1))
        try socket.subscribe([66])
        try socket.connect(publisher.lastEndpoint)
        try run { desk.requests.count == 1 }
        let sleeper = desk.connections[0]
        let subscriber = try subscriber(reader, publisher.lastEndpoint)
        try run { desk.requests.count == 2 }
        let message = [UInt8](repeating: 66, count: 60_000)
        var sent = 0
        while publisher.dropped(of: sleeper) < 10 {
            publisher.send(message, to: sleeper)
            publisher.send([65, 1], to: desk.connections[1])
            sent += 1
            if sent % 20 == 0 { try loop.step(atMost: .zero) }
            guard sent < 10_000 else { break }
        }
        #expect(publisher.dropped(of: sleeper) >= 10 && publisher.dropped >= 10)
        try run { reader.frames.count == sent }
        #expect(publisher.dropped(of: desk.connections[1]) == 0 && subscriber.isConnected)
    }

    @Test(arguments: ["tcp://127.0.0.1:*", "ipc://@holdfast-test-slow"])
    func `who reads slowly gets all that was offered before the end, and nobody else does`(
        _ endpoint: String
    ) throws {
        let desk = Desk()
        let publisher = try publisher(desk, at: ServerEndpoints([endpoint]))
        var haveReadAll: [Int32] = []
        publisher.onReadAll = { haveReadAll.append($0) }
        let socket = try Socket(context, .sub)
        try socket.set(.receiveHighWaterMark(1))
        try socket.subscribe([66])
        try socket.connect(publisher.lastEndpoint)
        try run { desk.requests.count == 1 }
        let sleeper = desk.connections[0]
        let message = [UInt8](repeating: 66, count: 60_000)
        var offered = 0
        // What it has not taken by then stays with the kernel and in its queue.
        while publisher.offer(message + [UInt8(offered % 256)], to: sleeper), offered < 10_000 {
            offered += 1
            if offered % 20 == 0 { try loop.step(atMost: .zero) }
        }
        #expect(offered > 2 && offered < 10_000 && publisher.dropped == 0)
        publisher.finish(sleeper)
        #expect(publisher.offer(message, to: sleeper))
        for _ in 0..<10 { try loop.step(atMost: .milliseconds(5)) }
        #expect(publisher.waiting(of: sleeper).map { $0 > 0 } == true && desk.departed == [])
        var numbers: [UInt8] = []
        try run {
            while let got = (try? socket.receive()) ?? nil { numbers.append(got.frames[0].last ?? 0) }
            return !desk.departed.isEmpty
        }
        while let got = try socket.receive() { numbers.append(got.frames[0].last ?? 0) }
        #expect(numbers == (0..<offered).map { UInt8($0 % 256) })
        #expect(haveReadAll == [sleeper] && desk.departed == [sleeper])
        #expect(publisher.waiting(of: sleeper) == nil && publisher.offer(message, to: sleeper))
    }

    @Test func `one beyond this host leaves what it was sent unacknowledged for as long as is said`() throws {
        let desk = Desk()
        let publisher = try publisher(desk, at: ServerEndpoints([], plaintext: ["tcp://127.0.0.1:*"]))
        var subscribers: [SubscriberSocket] = []
        for patience in [nil, 120] as [Int64?] {
            if let patience { publisher.patience = .seconds(patience) }
            subscribers.append(try subscriber(Reader(), publisher.lastEndpoint))
            try run { desk.requests.count == subscribers.count }
        }
        let milliseconds = desk.connections.map { connection in
            var value: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            _ = unsafe getsockopt(connection, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &value, &size)
            return value
        }
        #expect(milliseconds == [30_000, 120_000])
    }

    @Test func `who leaves with something unread, or is hung up on, has not read all`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        var haveReadAll = 0
        publisher.onReadAll = { _ in haveReadAll += 1 }
        var sockets: [Socket] = []
        for count in 1...2 {
            let socket = try Socket(context, .sub)
            try socket.set(.receiveHighWaterMark(1))
            try socket.subscribe([66])
            try socket.connect(publisher.lastEndpoint)
            try run { desk.requests.count == count }
            sockets.append(socket)
        }
        let message = [UInt8](repeating: 66, count: 60_000)
        for reader in desk.connections {
            var offered = 0
            while publisher.offer(message, to: reader), offered < 10_000 { offered += 1 }
        }
        sockets.removeFirst()
        try run { desk.departed.count == 1 }
        publisher.hangUp(on: desk.connections[1])
        #expect(desk.departed == desk.connections && haveReadAll == 0)
    }

    @Test func `a subscriber comes back when its publisher does, and asks anew`() throws {
        let (first, second) = (Desk(), Desk())
        var publisher: PublisherSocket? = try publisher(first)
        let endpoint = try #require(publisher?.lastEndpoint)
        let reader = Reader()
        let subscriber = try subscriber(reader, endpoint)
        try run { first.requests.count == 1 }
        publisher = nil
        try run { reader.news.last == .disconnected }
        publisher = try self.publisher(second, at: ServerEndpoints([endpoint]))
        try run { second.requests == [.subscribe([65])] }
        #expect(reader.news == [.connected, .disconnected, .connected])
        #expect(subscriber.isConnected && publisher != nil)
    }

    @Test func `who goes is told before its number can be another's`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        var subscriber: SubscriberSocket? = try subscriber(Reader(), publisher.lastEndpoint)
        try run { desk.requests.count == 1 }
        #expect(subscriber?.isConnected == true)
        subscriber = nil
        try run { desk.departed == desk.connections }
        #expect(publisher.counters.clients == 0)
        publisher.send([1], to: desk.connections[0])
        #expect(publisher.dropped == 0)
    }

    @Test func `by a Unix socket, whose file goes with its publisher`() throws {
        let path = "/tmp/holdfast-direct-\(UInt32.random(in: 0 ... .max)).sock"
        let desk = Desk()
        var publisher: PublisherSocket? = try publisher(desk, at: ServerEndpoints(["ipc://\(path)"]))
        let reader = Reader()
        let subscriber = try subscriber(reader, "ipc://\(path)")
        try run { desk.requests.count == 1 }
        publisher?.send([7], to: desk.connections[0])
        try run { reader.frames == [[7]] }
        #expect(isServed(unixSocket: path) && subscriber.isConnected)
        #expect(throws: BusError.self) {
            try self.publisher(desk, at: ServerEndpoints(["ipc://\(path)"]))
        }
        publisher = nil
        #expect(!isServed(unixSocket: path))
    }

    @Test func `of this host so many are served, and whoever else comes is told of`() throws {
        let journal = Journal()
        let log = try LimitedLog(loop, Logger(label: "test") { _ in journal.handler })
        let path = "/tmp/holdfast-direct-\(UInt32.random(in: 0 ... .max)).sock"
        for endpoint in ["ipc://\(path)", "tcp://127.0.0.1:*"] {
            var endpoints = ServerEndpoints([endpoint])
            endpoints.limits.local = 2
            let desk = Desk()
            let publisher = try PublisherSocket(loop, for: .marketData, at: endpoints, log: log)
            publisher.onRequest = { request, _, _ in desk.requests.append(request) }
            let readers = try (0..<2).map { _ in try subscriber(Reader(), publisher.lastEndpoint) }
            try run { desk.requests.count == 2 }
            let third = try subscriber(Reader(), publisher.lastEndpoint)
            try run { publisher.counters.refused > 0 }
            #expect(publisher.counters.clients == 2 && readers.allSatisfy(\.isConnected))
            #expect(!third.isConnected)
        }
        let texts = journal.texts(.clientRefused)
        for who in ["a client of this host", "127.0.0.1"] {
            #expect(
                texts.contains { $0.hasPrefix("refused \(who) at market-data: there are 2 connections of") })
        }
    }

    @Test func `libzmq's SUB is served, and libzmq's XPUB is read`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let sub = try Socket(context, .sub)
        try sub.set(.heartbeat(interval: 20, timeout: 2000, timeToLive: 0))
        try sub.subscribe([65])
        try sub.connect(publisher.lastEndpoint)
        try run { desk.requests == [.subscribe([65])] }
        publisher.send([65, 1], to: desk.connections[0])
        var got: Socket.Message?
        try run {
            got = got ?? (try? sub.receive()) ?? nil
            return got != nil
        }
        #expect(got?.frames == [[65, 1]])

        let xpub = try Socket(context, .xpub)
        try xpub.bind("tcp://127.0.0.1:*")
        let reader = Reader()
        let subscriber = try subscriber(reader, xpub.lastEndpoint)
        try run { subscriber.isConnected }
        try run {
            _ = try? xpub.receive()
            _ = try? xpub.send([65, 2])
            return reader.frames.contains([65, 2])
        }
    }

    @Test func `what is no subscriber is hung up on, and others do not notice`() throws {
        let desk = Desk()
        let publisher = try publisher(desk)
        let reader = Reader()
        let subscriber = try subscriber(reader, publisher.lastEndpoint)
        try run { desk.requests.count == 1 }
        let port = try #require(UInt16(publisher.lastEndpoint.split(separator: ":").last ?? ""))
        var closed: [String] = []
        let stranger = try StreamConnection(loop, lookUps) { event in
            if case .closed(let reason) = event { closed.append(reason) }
        }
        stranger.open(.tcp(host: "127.0.0.1", port: port))
        try run {
            stranger.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            return !closed.isEmpty
        }
        #expect(publisher.broken == 1 && subscriber.isConnected && desk.departed.count == 1)
    }
}
