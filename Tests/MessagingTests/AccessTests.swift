// CURVE over real sockets on loopback: who comes in, who does not, and what is told of them.
import Basics
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging

@Suite struct AccessTests {
    let loop: EventLoop
    let context = MessagingContext()
    let journal = Journal()
    let log: LimitedLog
    let server: KeyPair
    let desk: KeyPair
    let risk: KeyPair

    init() throws {
        loop = try EventLoop()
        let journal = journal
        let logger = Logger(label: "test") { _ in journal.handler }
        log = try LimitedLog(loop, logger)
        server = try KeyPair.generate()
        desk = try KeyPair.generate()
        risk = try KeyPair.generate()
    }

    /// Steps the loop until `condition` holds; gives up, and fails the test, after many idle steps.
    func run(until condition: () -> Bool, _ location: SourceLocation = #_sourceLocation) throws {
        for _ in 0..<800 where !condition() { try loop.step(atMost: .milliseconds(25)) }
        #expect(condition(), sourceLocation: location)
    }

    func client(_ name: String, _ keys: KeyPair, operate: Bool = false) -> AllowedClient {
        AllowedClient(name: name, key: keys.publicKey, mayOperate: operate)
    }

    func authenticator(_ clients: [AllowedClient]) -> Authenticator {
        let credentials = Credentials(keys: server, allowed: AllowList(clients))
        return Authenticator(credentials, log: log)
    }

    /// Loopback that counts as beyond this host.
    func beyond(_ authenticator: Authenticator?, handshake: Duration = .milliseconds(500)) -> ServerEndpoints
    {
        var endpoints = ServerEndpoints(["tcp://127.0.0.1:*"], authenticator: authenticator)
        endpoints.isLocal = { !$0.hasPrefix("tcp://") }
        endpoints.limits.handshake = handshake
        return endpoints
    }

    func subscriber(
        _ publisher: Publisher, _ keys: KeyPair, of key: PublicKey, _ received: @escaping (String) -> Void
    ) throws -> Subscriber {
        let subscriber = try Subscriber(
            context, loop, endpoint: publisher.lastEndpoint, security: .client(keys, of: key)
        ) { frames in received(frames.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")) }
        try subscriber.subscribe("state/")
        return subscriber
    }

    // MARK: - Who comes in

    @Test func `a client on the list is served, another one is told of with its address`() throws {
        let authenticator = authenticator([client("desk", desk)])
        var prefixes: [String] = []
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) {
            prefixes.append(String(decoding: $0.prefix, as: UTF8.self))
        }
        var received: [String] = []
        let good = try subscriber(publisher, desk, of: server.publicKey) { received.append($0) }
        let bad = try subscriber(publisher, risk, of: server.publicKey) { _ in
            Issue.record("a stranger hears")
        }
        try run { prefixes.count == 1 && journal.count(.clientRefused) == 1 }
        publisher.publish(topic: "state/a/", payload: [0x31])
        try run { !received.isEmpty }
        #expect(received == ["state/a/ 1"])
        #expect(prefixes == ["state/"])
        let entry = try #require(journal.entries(.clientRefused).first)
        #expect(entry.fields["client_address"] == "127.0.0.1")
        #expect(entry.text.contains("its key is not on the list"))
        #expect(entry.text.contains(risk.publicKey.description))
        #expect(publisher.counters.clients == 1 && publisher.counters.refused == 1)
        withExtendedLifetime((good, bad)) {}
    }

    @Test func `of this host so many are served, and others are hung up on`() throws {
        let path = "/tmp/holdfast-access-\(UInt32.random(in: 0 ... .max)).sock"
        var endpoints = ServerEndpoints(["ipc://\(path)"])
        endpoints.limits.local = 2
        var prefixes: [String] = []
        let publisher = try Publisher(loop, at: endpoints, log: log) {
            prefixes.append(String(decoding: $0.prefix, as: UTF8.self))
        }
        let readers = try (0..<2).map { number in
            let socket = try Socket(context, .sub)
            try socket.subscribe("\(number)".utf8)
            try socket.connect(publisher.lastEndpoint)
            return socket
        }
        try run { prefixes.count == 2 }
        let third = try Socket(context, .sub)
        try third.connect(publisher.lastEndpoint)
        try run { journal.count(.clientRefused) >= 1 }
        try run { publisher.counters.clients == 2 }
        #expect(journal.texts(.clientRefused)[0].contains("there are 2 connections of this host already"))
        withExtendedLifetime((readers, third)) {}
    }

    @Test func `a client that is authorized later comes in by itself`() throws {
        let authenticator = authenticator([])
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) { _ in }
        let context = MessagingContext()
        // As a client in any language: without anything of ours that connects again.
        let socket = try Socket(context, .sub)
        try socket.set(.reconnectInterval(50))
        try socket.connect(publisher.lastEndpoint, .client(desk, of: server.publicKey))
        try socket.subscribe("state/".utf8)
        try run { journal.count(.clientRefused) >= 2 }
        authenticator.renew(Credentials(keys: server, allowed: AllowList([client("desk", desk)])))
        try run { publisher.counters.clients == 1 }
    }

    @Test func `a client that knows another server key gets nowhere`() throws {
        let authenticator = authenticator([client("desk", desk)])
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) { _ in
            Issue.record("a subscription of a client that knows another server key")
        }
        let bad = try subscriber(publisher, desk, of: risk.publicKey) { _ in }
        try run { journal.count(.clientRefused) >= 1 }
        #expect(journal.texts(.clientRefused).contains { $0.contains("it has another server key than ours") })
        withExtendedLifetime(bad) {}
    }

    @Test func `a client without CURVE and one that is silent are told apart`() throws {
        let authenticator = authenticator([client("desk", desk)])
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) { _ in
            Issue.record("a subscription in the clear")
        }
        var plain: Subscriber? = try Subscriber(context, loop, endpoint: publisher.lastEndpoint) { _ in }
        try plain?.subscribe("")
        try run { journal.count(.clientRefused) >= 1 }
        #expect(journal.texts(.clientRefused).allSatisfy { $0.contains("CURVE") })
        // It would come back again and again, until no more entries of its address are written.
        plain = nil
        let silent = try TCPClient(publisher.lastEndpoint)
        try run { journal.texts(.clientRefused).contains { $0.contains("no handshake within 0.5 seconds") } }
        withExtendedLifetime(silent) {}
    }

    @Test func `what is no ZeroMQ is told of`() throws {
        let authenticator = authenticator([])
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) { _ in }
        let garbage = try TCPClient(publisher.lastEndpoint)
        // Known before it says anything: one that is quicker may be gone before its address can be read.
        try run { publisher.connections == 1 }
        garbage.send("GET / HTTP/1.1\r\n\r\n")
        try run { journal.count(.clientRefused) == 1 }
        let entry = try #require(journal.entries(.clientRefused).first)
        #expect(entry.text == "refused 127.0.0.1 at publish: it does not speak ZeroMQ's CURVE")
        #expect(entry.fields["client_address"] == "127.0.0.1")
    }

    @Test func `beyond this host nothing is bound without an authenticator`() {
        let error = #expect(throws: BusError.self) {
            _ = try Publisher(loop, at: beyond(nil), log: log) { _ in }
        }
        #expect(error == .noKeys(endpoint: "tcp://127.0.0.1:*"))
    }

    @Test func `endpoints of this host stay in the clear beside those beyond it`() throws {
        let authenticator = authenticator([client("desk", desk)])
        var endpoints = beyond(authenticator)
        let path = "/tmp/holdfast-test-\(desk.publicKey.bytes.map { "\($0)" }.joined())".prefix(80)
        endpoints.endpoints.insert("ipc://\(path)", at: 0)
        var heard: [Caller] = []
        let requests = try RequestServer(loop, at: endpoints, log: log) { request, caller in
            heard.append(caller)
            return request
        }
        var replies = 0
        let local = try Requester(context, loop, endpoint: "ipc://\(path)") { _ in replies += 1 }
        #expect(try local.send([1]))
        try run { replies == 1 }
        let remote = try Requester(
            context, loop, endpoint: requests.lastEndpoint, security: .client(desk, of: server.publicKey)
        ) { _ in replies += 1 }
        #expect(try remote.send([2]))
        try run { replies == 2 }
        #expect(heard == [.open, .client(client("desk", desk))])
    }

    // MARK: - Another list, another key

    @Test func `who is taken off the list is hung up on, and others lose nothing`() throws {
        let authenticator = authenticator([client("desk", desk), client("risk", risk)])
        var prefixes = 0
        let publisher = try Publisher(loop, at: beyond(authenticator), log: log) { _ in prefixes += 1
        }
        var kept: [String] = []
        var removed: [String] = []
        let stays = try subscriber(publisher, risk, of: server.publicKey) { kept.append($0) }
        let goes = try subscriber(publisher, desk, of: server.publicKey) { removed.append($0) }
        try run { prefixes == 2 }
        for number in 0..<100 { publisher.publish(topic: "state/a/", payload: Array("\(number)".utf8)) }
        try run { kept.count == 100 && removed.count == 100 }
        authenticator.renew(Credentials(keys: server, allowed: AllowList([client("risk", risk)])))
        for number in 100..<200 { publisher.publish(topic: "state/a/", payload: Array("\(number)".utf8)) }
        try run { kept.count == 200 && publisher.counters.clients == 1 && !goes.isConnected }
        #expect(kept == (0..<200).map { "state/a/ \($0)" })
        #expect(publisher.counters.removed == 1)
        let entry = try #require(journal.entries(.clientRemoved).first)
        #expect(entry.fields["client"] == "desk" && entry.fields["client_address"] == "127.0.0.1")
        #expect(journal.count(.keysReloaded) == 1)
        withExtendedLifetime(stays) {}
    }

    @Test func `another key of ours binds anew, and clients who know it come back`() throws {
        let authenticator = authenticator([client("desk", desk)])
        var endpoints = beyond(authenticator)
        endpoints.endpoints.append("ipc:///tmp/holdfast-rotation-\(UInt32.random(in: 0 ... .max)).sock")
        var prefixes = 0
        let publisher = try Publisher(loop, at: endpoints, log: log) { _ in prefixes += 1 }
        let port = try #require(publisher.endpoints.first { $0.hasPrefix("tcp://") })
        var received: [String] = []
        let subscriber = try Subscriber(
            context, loop, endpoint: port, security: .client(desk, of: server.publicKey)
        ) { received.append(String(decoding: $0[0], as: UTF8.self)) }
        try subscriber.subscribe("state/")
        try run { prefixes == 1 }
        let next = try KeyPair.generate()
        authenticator.renew(Credentials(keys: next, allowed: AllowList([client("desk", desk)])))
        try run { !subscriber.isConnected }
        subscriber.reconnect(.client(desk, of: next.publicKey))
        try run { subscriber.isConnected && prefixes == 2 }
        publisher.publish(topic: "state/b/", payload: [])
        try run { received == ["state/b/"] }
        #expect(publisher.counters.clients == 1)
        #expect(publisher.endpoints.contains(port))
    }

    // MARK: - Requests

    @Test func `a request has its caller`() throws {
        let authenticator = authenticator([client("desk", desk), client("risk", risk, operate: true)])
        var callers: [Caller] = []
        let requests = try RequestServer(loop, at: beyond(authenticator), log: log) {
            callers.append($1)
            return $0
        }
        var replies: [[UInt8]] = []
        var requesters: [Requester] = []
        for (number, keys) in [desk, risk].enumerated() {
            let requester = try Requester(
                context, loop, endpoint: requests.lastEndpoint, security: .client(keys, of: server.publicKey)
            ) { replies.append($0) }
            #expect(try requester.send([UInt8(number)]))
            requesters.append(requester)
            try run { replies.count == number + 1 }
        }
        #expect(callers == [.client(client("desk", desk)), .client(client("risk", risk, operate: true))])
        #expect(callers.map(\.mayOperate) == [false, true])
        #expect(replies == [[0], [1]])
        withExtendedLifetime(requesters) {}
    }

    @Test func `who asks with a key that is not on the list is told so`() throws {
        let authenticator = authenticator([])
        let requests = try RequestServer(loop, at: beyond(authenticator), log: log) { _, _ in
            Issue.record("a stranger's request")
            return []
        }
        let requester = try Requester(
            context, loop, endpoint: requests.lastEndpoint, security: .client(desk, of: server.publicKey)
        ) { _ in Issue.record("a stranger has an answer") }
        #expect(try requester.send([1]))
        try run { requester.trouble != nil && journal.count(.clientRefused) == 1 }
        #expect(requester.trouble == "\(requests.lastEndpoint) refuses our key")
    }

    // MARK: - Bounds

    @Test func `those who connect and hold are bounded, and a client comes in nevertheless`() throws {
        let authenticator = authenticator([client("desk", desk)])
        var endpoints = beyond(authenticator, handshake: .seconds(60))
        endpoints.limits.handshakes = 10
        var prefixes = 0
        let publisher = try Publisher(loop, at: endpoints, log: log) { _ in prefixes += 1 }
        let holders = try (0..<50).map { _ in try TCPClient(publisher.lastEndpoint) }
        try run { publisher.counters.refused == 40 && publisher.connections == 10 }
        let good = try subscriber(publisher, desk, of: server.publicKey) { _ in }
        try run { prefixes == 1 }
        #expect(journal.texts(.clientRefused).allSatisfy { $0.contains("others came while") })
        withExtendedLifetime((holders, good)) {}
    }
}
