// An agent's health bus and a collector, over CURVE on loopback.
import Basics
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging

@Suite struct CollectorTests {
    let loop: EventLoop
    let context = MessagingContext()
    let journal = Journal()
    let logger: Logger
    let log: LimitedLog
    let agent: KeyPair
    let collector: KeyPair
    let bus: HealthBus

    init() throws {
        loop = try EventLoop()
        let journal = journal
        logger = Logger(label: "test") { _ in journal.handler }
        log = try LimitedLog(loop, logger)
        agent = try KeyPair.generate()
        collector = try KeyPair.generate()
        let book = HealthBook(host: "fra-1", incarnation: Incarnation(startedAt: loop.wall))
        bus = try HealthBus(
            context, loop, book: book,
            publish: ["ipc:///tmp/holdfast-collector-\(UInt32.random(in: 0 ... .max)).sock"],
            request: ["ipc://@holdfast-collector-\(UInt32.random(in: 0 ... .max))"], logger: logger,
            limited: log
        ) { _ in .done([]) }
    }

    func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    /// A collector that has subscribed to states and a marker.
    func bound(_ endpoint: String = "tcp://127.0.0.1:*", judged: Bool = false) throws -> Socket {
        let socket = try Socket(context, .sub)
        for topic in ["sync/1/", "state/"] { try socket.subscribe(topic.utf8) }
        var isBound = false
        // The kernel gives a port free a little after its last socket is closed.
        for _ in 0..<400 where !isBound {
            do throws(MessagingError) {
                try socket.bind(endpoint, as: collector, judged: judged)
                isBound = true
            } catch {
                try loop.step(atMost: .milliseconds(5))
            }
        }
        #expect(isBound)
        return socket
    }

    func report(_ subject: Subject, _ status: Status) {
        bus.report(Report(subject, status, reason: "said so", detectedAt: loop.wall))
    }

    /// The topics of what has come.
    func topics(_ socket: Socket) throws -> [String] {
        var topics: [String] = []
        while let message = try socket.receive() {
            topics.append(String(decoding: message.frames[0], as: UTF8.self))
        }
        return topics
    }

    let eth0 = Subject(.nic, "eth0")
    let algo = Subject(.process, "algo")

    @Test
    func `a collector has every state before the marker, and each change behind it, however often it comes`()
        throws
    {
        report(eth0, .ok)
        report(algo, .ok)
        let states = ["state/fra-1/nic/eth0/", "state/fra-1/process/algo/"]
        var socket: Socket? = try bound()
        let endpoint = try #require(socket?.lastEndpoint)
        let address = Collector.Address(endpoint: endpoint, serverKey: collector.publicKey)
        try bus.report(to: [address], keys: agent)
        var heard: [String] = []
        func hears(_ topics: [String]) throws {
            heard = []
            try run {
                if let socket { heard += try self.topics(socket) }
                return heard.count >= topics.count
            }
            #expect(heard == topics)
        }
        try hears(states + ["sync/1/"])
        try run { journal.count(.collectorConnected) == 1 }
        report(algo, .critical)
        try hears(["state/fra-1/process/algo/"])
        socket = nil
        try run { journal.count(.collectorLost) == 1 }
        // Nothing is kept for a collector that is gone: it gets what holds when it is back, once.
        for status in [Status.ok, .critical, .warning] { report(eth0, status) }
        socket = try bound(endpoint)
        try hears(states + ["sync/1/"])
        try run { journal.count(.collectorConnected) == 2 }
    }

    @Test func `a collector that does not know us is told of once and asked again`() throws {
        let judge = try LibzmqJudge(context, loop, [])
        let socket = try bound(judged: true)
        let address = Collector.Address(endpoint: socket.lastEndpoint, serverKey: collector.publicKey)
        try bus.report(to: [address], keys: agent)
        report(algo, .ok)
        try run { journal.count(.collectorLost) == 1 }
        #expect(
            journal.texts(.collectorLost) == [
                "the collector \(address.endpoint) refuses our key; trying again"
            ])
        judge.allowed = [agent.publicKey]
        var heard: [String] = []
        try run {
            heard += try topics(socket)
            return heard.contains("sync/1/")
        }
        #expect(heard == ["state/fra-1/process/algo/", "sync/1/"])
    }

    @Test func `a collector beyond this host needs keys of ours`() {
        let address = Collector.Address(endpoint: "tcp://192.0.2.1:5570", serverKey: collector.publicKey)
        #expect(throws: BusError.noKeys(endpoint: "tcp://192.0.2.1:5570")) {
            try bus.report(to: [address], keys: nil)
        }
    }

    @Test func `other addresses close the connections to the ones before`() throws {
        let sockets = try [bound(), bound()]
        let addresses = sockets.map {
            Collector.Address(endpoint: $0.lastEndpoint, serverKey: collector.publicKey)
        }
        try bus.report(to: [addresses[0]], keys: agent)
        var heard: [[String]] = [[], []]
        func listen() throws { for index in 0..<2 { heard[index] += try topics(sockets[index]) } }
        try run {
            try listen()
            return heard[0] == ["sync/1/"]
        }
        try bus.report(to: [addresses[1]], keys: agent)
        try run {
            try listen()
            return heard[1] == ["sync/1/"]
        }
        report(algo, .ok)
        try run {
            try listen()
            return heard[1].count == 2
        }
        #expect(heard[0] == ["sync/1/"])
    }
}
