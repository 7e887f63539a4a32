// A health bus and its subscribers on loopback: what is sent to whom, at which cost, and in which order.
import Basics
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging

@Suite struct HealthBusTests {
    let loop: EventLoop
    let context = MessagingContext()
    let journal = Journal()
    let bus: HealthBus

    init() throws {
        loop = try EventLoop()
        let journal = journal
        let logger = Logger(label: "test") { _ in journal.handler }
        bus = try HealthBus(
            context, loop, book: HealthBook(host: "a", incarnation: Incarnation(startedAt: loop.wall)),
            publish: ["tcp://127.0.0.1:*"], request: ["ipc://@holdfast-bus-\(UInt32.random(in: 0 ... .max))"],
            logger: logger,
            limited: try LimitedLog(loop, logger)
        ) { _ in .done([]) }
    }

    func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    func report(_ count: Int) {
        for number in 0..<count {
            bus.report(Report(Subject(.nic, "n\(number)"), .ok, reason: "", detectedAt: loop.wall))
        }
    }

    /// A number of the status's `bus`.
    func figure(_ name: String) throws -> Int64 {
        var replies: [JSON] = []
        let requester = try Requester(context, loop, endpoint: bus.requestEndpoint) {
            if let reply = try? JSON(parsing: $0) { replies.append(reply) }
        }
        #expect(try requester.send(Request.status.json.bytes))
        try run { !replies.isEmpty }
        return try #require(replies[0]["bus"]?[name]?.integer)
    }

    final class Reader {
        let socket: Socket
        var topics: [String] = []

        init(_ context: MessagingContext, _ endpoint: String) throws {
            socket = try Socket(context, .sub)
            try socket.set(.sendHighWaterMark(0))
            try socket.set(.receiveHighWaterMark(0))
            try socket.connect(endpoint)
        }

        func subscribe(_ prefixes: String...) throws {
            for prefix in prefixes { try socket.subscribe(prefix.utf8) }
        }

        func has(_ topic: String) throws -> Bool {
            while let message = try socket.receive() {
                topics.append(String(decoding: message.frames[0], as: UTF8.self))
            }
            return topics.contains(topic)
        }
    }

    @Test func `all states come before the marker, though they take several turns`() throws {
        report(1000)
        let reader = try Reader(context, bus.publishEndpoint)
        try reader.subscribe("state/a/nic/", "sync/1/")
        try run { try reader.has("sync/1/") }
        #expect(reader.topics.count == 1001 && reader.topics.last == "sync/1/")
        #expect(Set(reader.topics).count == 1001)
    }

    @Test func `a state is sent to who asked for it, and made once for many who ask at once`() throws {
        report(40)
        let first = try Reader(context, bus.publishEndpoint)
        try first.subscribe("state/", "sync/1/")
        try run { try first.has("sync/1/") }
        #expect(try figure("repeated_states") == 40)
        let others = try (0..<8).map { _ in try Reader(context, bus.publishEndpoint) }
        for other in others { try other.subscribe("state/", "sync/2/") }
        try run { try others.allSatisfy { try $0.has("sync/2/") } }
        #expect(others.allSatisfy { $0.topics.count == 41 })
        #expect(try !first.has("sync/2/") && first.topics.count == 41)
        #expect(try figure("repeated_states") <= 40 + 8 * 40)
    }

    @Test func `a storm of subscriptions makes a bounded number of states in a turn, and others get theirs`()
        throws
    {
        report(500)
        let peer = try RawPeer(connectingTo: bus.publishEndpoint, loop)
        // ZMTP 2.0, a SUB socket, no identity.
        _ = try peer.take(11)
        peer.send([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 2, 0, 0])
        _ = try peer.take(3)
        let storm: [UInt8] = [0, 7, 1] + Array("state/".utf8) + [0, 7, 0] + Array("state/".utf8)
        peer.send(Array(repeatElement(storm, count: 2000).joined()))
        let reader = try Reader(context, bus.publishEndpoint)
        try reader.subscribe("state/a/nic/", "sync/1/")
        var most: UInt64 = 0
        while try !reader.has("sync/1/") {
            let before = bus.repeatedStates
            try loop.step(atMost: .milliseconds(25))
            most = max(most, bus.repeatedStates - before)
        }
        #expect(reader.topics.count == 501)
        #expect(most > 0 && most <= 128)
        #expect(try figure("waiting_subscriptions") <= 2)
    }

    @Test func `what is more than a connection may hold is refused, counted and told`() throws {
        report(1)
        let greedy = try Reader(context, bus.publishEndpoint)
        for number in 0..<1005 { try greedy.subscribe("state/\(number)/") }
        try greedy.subscribe("sync/1/")
        try run { try greedy.has("sync/1/") }
        #expect(try figure("refused_subscriptions") == 5)
        #expect(try figure("subscriptions") == 1000)
        let told = journal.texts(.subscriptionRefused)
        #expect(told.first?.contains("a connection holds 1000 prefixes at most") == true)
        let other = try Reader(context, bus.publishEndpoint)
        try other.subscribe("state/", "sync/2/")
        try run { try other.has("sync/2/") }
        #expect(other.topics == ["state/a/nic/n0/", "sync/2/"])
    }

    @Test func `markers that came are not held: a client may join as often as it likes`() throws {
        let reader = try Reader(context, bus.publishEndpoint)
        try reader.subscribe("state/")
        for number in 0..<1500 {
            try reader.subscribe("sync/\(number)/")
            if number % 250 == 249 { try run { try reader.has("sync/\(number)/") } }
        }
        #expect(try figure("subscriptions") == 1)
        #expect(try figure("refused_subscriptions") == 0)
    }
}
