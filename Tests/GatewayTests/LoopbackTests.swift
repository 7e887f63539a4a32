// The whole gateway on a real loop with real sockets on loopback: packets and frames in, an independent
// subscriber's view out. Nothing sleeps: the loop is stepped until what is waited for has come.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Glibc
import Linux
import Logging
import Messaging
import Reactor
import Testing
import Wire

@testable import Gateway

/// A folder that nobody else has.
func newFolder() throws -> String {
    var template = Array("/tmp/holdfast-test-XXXXXX".utf8CString)
    return try #require(mkdtemp(&template).map { String(cString: $0) })
}

/// A gateway, a subscriber, and the loop that they share.
private final class Stage {
    let loop: EventLoop
    let context = MessagingContext()
    let folder: String
    var gateway: Gateway?
    private var subscriber: Subscriber?
    private(set) var data: [Frame] = []
    private(set) var control: [(state: ChannelState, body: ControlBody)] = []
    private(set) var synced = false

    init() throws {
        loop = try EventLoop()
        folder = try newFolder()
    }

    deinit {
        for name in (try? Files.names(in: folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    func options(_ feed: FeedOptions) -> GatewayOptions {
        var options = GatewayOptions()
        options.host = "test"
        options.bus = BusOptions(publish: ["ipc://\(folder)/pub"], request: ["ipc://\(folder)/req"])
        options.publish = ["ipc://\(folder)/md"]
        options.feeds = [feed]
        return options
    }

    func open(_ options: GatewayOptions, subscribing topics: [String]) throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        gateway = try Gateway(options, context: context, loop: loop, logger: logger)
        let subscriber = try Subscriber(context, loop, endpoint: "ipc://\(folder)/md") { [unowned self] in
            hear($0)
        }
        self.subscriber = subscriber
        for topic in topics + ["sync/1/"] { try subscriber.subscribe(topic) }
        try until("the marker") { synced }
    }

    private func hear(_ frames: [[UInt8]]) {
        guard let bytes = frames.first, let frame = try? Frame(parsing: bytes) else { return }
        switch frame.header.kind {
        case .data: data.append(frame)
        case .sync: synced = true
        case .idle, .batch: break
        case .heartbeat, .gap, .state:
            guard let body = try? ControlBody(kind: frame.header.kind, parsing: frame.body) else { return }
            control.append((frame.header.state, body))
        }
    }

    /// Steps the loop until it is so, and calls `between` every 20 ms; gives up after 20 s.
    func until(_ what: String, _ isSo: () -> Bool, between: () throws -> Void = {}) throws {
        let limit = Clock.monotonic + .seconds(20)
        var next = Clock.monotonic
        while Clock.monotonic < limit {
            if isSo() { return }
            if Clock.monotonic >= next {
                try between()
                next = Clock.monotonic + .milliseconds(20)
            }
            try loop.step(atMost: .milliseconds(5))
        }
        Issue.record("waited in vain for \(what)")
    }

    func status(of subject: Subject) throws -> StateMessage? {
        var answer: [UInt8]?
        let requester = try Requester(context, loop, endpoint: "ipc://\(folder)/req") { answer = $0 }
        _ = try requester.send(Request.status.json.bytes)
        try until("the status") { answer != nil }
        let document = try StatusDocument(json: try JSON(parsing: answer ?? []))
        return document.states.first { $0.subject == subject }
    }

    func ask(_ request: Request) throws -> Reply {
        var answer: [UInt8]?
        let requester = try Requester(context, loop, endpoint: "ipc://\(folder)/req") { answer = $0 }
        _ = try requester.send(request.json.bytes)
        try until("the answer") { answer != nil }
        return try Reply(json: try JSON(parsing: answer ?? []))
    }

    var states: [ChannelState] {
        control.compactMap { if case .state = $0.body { $0.state } else { nil } }
    }
}

/// A venue's server of the sequenced ZeroMQ feed.
private final class Venue {
    private let socket: Socket
    private var source: SocketSource?
    private let encoder = SequencedFrameEncoder(session: 9)
    private(set) var topics: Set<String> = []
    /// When each of the instruments' topics was subscribed.
    private(set) var subscribedAt: [Instant] = []
    /// The last sequence of the one topic.
    var last: UInt64 = 0
    var isFrozen = false

    init(_ stage: Stage) throws {
        socket = try Socket(stage.context, .xpub)
        try socket.bind("tcp://127.0.0.1:*")
        source = try SocketSource(stage.loop, socket, onError: { _ in }) { [unowned self] message in
            let frame = message.frames[0]
            let topic = String(decoding: frame.dropFirst(), as: UTF8.self)
            if frame.first == 1 { topics.insert(topic) } else { topics.remove(topic) }
            guard frame.first == 1, topic != "heartbeat/" else { return }
            subscribedAt.append(Clock.monotonic)
            send(.idle, topic, last)
        }
    }

    var endpoint: String { socket.lastEndpoint }

    func send(_ kind: SequencedFrame.Kind, _ topic: String, _ sequence: UInt64) {
        guard !isFrozen else { return }
        var writer = ByteWriter()
        encoder.write(
            kind, topic: Array(topic.utf8), sequence: sequence, sourceTime: Clock.wall, payload: [1],
            into: &writer)
        _ = try? socket.send(writer.bytes)
    }

    func beat() { send(.heartbeat(every: .milliseconds(100)), "heartbeat/", 0) }

    func quote() {
        last += 1
        send(.data, "AAPL/", last)
    }
}

@Suite(.serialized) struct LoopbackTests {
    /// An UDP port on loopback that nobody uses now.
    private func freePort(_ seed: UInt16) throws -> IPv4Endpoint {
        for offset in UInt16(0)..<200 {
            let port = 20_000 + UInt16(truncatingIfNeeded: getpid() % 20_000) + seed * 200 + offset
            let endpoint = IPv4Endpoint(.loopback, port)
            if (try? UDPSocket(receivingAt: endpoint, bufferBytes: 4096, isShared: false)) != nil {
                return endpoint
            }
        }
        throw SystemError("a free port", number: EADDRINUSE)
    }

    @Test func `two lossy lines reach a subscriber as one stream without a loss`() throws {
        let stage = try Stage()
        let lines = [try freePort(0), try freePort(1)]
        var feed = FeedOptions(name: "itch", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        for (name, line) in zip(["A", "B"], lines) {
            var path = FeedPathOptions(name: name)
            path.group = line.description
            feed.paths.append(path)
        }
        try stage.open(stage.options(feed), subscribing: ["md/itch/", "control/itch/"])

        let venue = MoldVenue()
        let sender = try UDPSocket(sendingThrough: nil)
        func send(_ sequence: UInt64, on line: Int) throws {
            let message = sequence == 1 ? venue.directory(1, "AAPL") : venue.delete(1)
            _ = try sender.send(venue.packet(sequence, [message]), to: lines[line])
        }
        // A worker opens the sockets: both must be heard before anything is lost on purpose.
        for (line, name) in ["A", "B"].enumerated() {
            let path = Subject(.feedPath, "itch.\(name)")
            var isHeard = false
            try stage.until("line \(name)") {
                isHeard
            } between: {
                try send(1, on: line)
                isHeard = try stage.status(of: path)?.status == .ok
            }
        }
        try stage.until("the first message") { stage.data.count == 1 }
        for sequence in UInt64(2)...300 {
            // Each line loses what the other one has.
            if sequence % 3 != 0 { try send(sequence, on: 0) }
            if sequence % 3 != 1 { try send(sequence, on: 1) }
        }
        try stage.until("300 messages") { stage.data.count == 300 }
        #expect(stage.data.map(\.header.sequence) == Array(1...300))
        #expect(stage.data.dropFirst().allSatisfy { $0.header.previous == $0.header.sequence - 1 })
        #expect(stage.data.allSatisfy { $0.header.state == .live })
        #expect(try stage.status(of: Subject(.feed, "itch"))?.status == .ok)
    }

    @Test func `a file that cannot be read for ever stops no line of another feed`() throws {
        let stage = try Stage()
        let (fifo, line) = ("\(stage.folder)/hanging", try freePort(2))
        // Whoever opens it waits for somebody who writes.
        try #require(mkfifo(fifo, 0o600) == 0)
        defer { close(open(fifo, O_WRONLY | O_NONBLOCK)) }
        var recorded = FeedOptions(name: "recorded", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        recorded.paths = [FeedPathOptions(name: "A")]
        recorded.paths[0].file = fifo
        var feed = FeedOptions(name: "itch", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        feed.paths = [FeedPathOptions(name: "A")]
        feed.paths[0].group = line.description
        var options = stage.options(recorded)
        options.feeds.append(feed)
        try stage.open(options, subscribing: ["md/itch/"])
        let venue = MoldVenue()
        let sender = try UDPSocket(sendingThrough: nil)
        try stage.until("a message of the line") {
            !stage.data.isEmpty
        } between: {
            _ = try sender.send(venue.packet(1, [venue.directory(1, "AAPL")]), to: line)
        }
    }

    @Test func `a silent venue moves the subscriptions to the other path, and a request moves them back`()
        throws
    {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        try stage.open(stage.options(quotes(venues)), subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func beat() { for venue in venues { venue.beat() } }
        try stage.until("the subscription upstream", { venues[0].topics.contains("AAPL/") }, between: beat)
        #expect(!venues[1].topics.contains("AAPL/"))
        for venue in venues { venue.quote() }
        try stage.until("the first quote", { stage.data.count == 1 }, between: beat)

        venues[0].isFrozen = true
        for venue in venues { venue.quote() }
        try stage.until(
            "B to be live",
            {
                stage.control.last?.state == .live && stage.states.contains(.recovering)
                    && venues[1].topics.contains("AAPL/")
            }, between: beat)
        for venue in venues { venue.quote() }
        try stage.until("the third quote", { stage.data.last?.header.sequence == 3 }, between: beat)
        #expect(stage.data.map(\.header.path) == [0, 1])
        #expect(
            stage.control.contains { $0.body == .gap(SequenceRange(2, 2), .failover, instrument: "AAPL") })
        #expect(stage.data.last?.header.previous == 0)
        #expect(
            try stage.ask(.switch(feed: "quotes", path: "C", hold: false))
                == .refused("feed quotes has no path C; it has A, B"))
        #expect(try stage.ask(.switch(feed: "quotes", path: "A", hold: true)) != .refused(""))
        try stage.until("A to be asked", { venues[0].topics.contains("AAPL/") }, between: beat)
        #expect(try stage.status(of: Subject(.feed, "quotes"))?.reason.contains("held") == true)
    }

    private func agent(_ host: String, _ stage: Stage) throws -> HealthBus {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return try HealthBus(
            stage.context, stage.loop,
            book: HealthBook(host: host, incarnation: Incarnation(startedAt: Clock.wall)),
            publish: ["ipc://\(stage.folder)/\(host).pub"], request: ["ipc://\(stage.folder)/\(host).req"],
            logger: logger, limited: try LimitedLog(stage.loop, logger)
        ) { _ in .done([]) }
    }

    private func endpoint(_ host: String, _ stage: Stage) -> AgentEndpoint {
        AgentEndpoint(
            publish: "ipc://\(stage.folder)/\(host).pub", request: "ipc://\(stage.folder)/\(host).req")
    }

    @Test func `another host's agent is heard of what is called its own, and of nothing else`() throws {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        let ispA = Subject(.path, "isp-a")
        let agents = [try agent("near", stage), try agent("far", stage)]
        func say(_ agent: Int, _ status: Status) {
            agents[agent].report(Report(ispA, status, reason: "said so", detectedAt: Clock.wall))
        }
        say(0, .ok)
        say(1, .critical)
        var options = stage.options(quotes(venues))
        options.host = "near"
        options.feeds[0].silence = .seconds(60)
        options.feeds[0].silenceBehindTwin = .seconds(60)
        options.feeds[0].paths[1].dependsOn = [Dependency(ispA, of: "far")]
        options.agents = [endpoint("near", stage), endpoint("far", stage)]
        try stage.open(options, subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func state(_ path: String) -> StateMessage? {
            try? stage.status(of: Subject(.feedPath, "quotes.\(path)"))
        }
        func beat() { venues[0].beat() }
        try stage.until(
            "B to fail", { state("B")?.status == .critical && state("A")?.status == .ok }, between: beat)
        #expect(state("B")?.reason.hasPrefix("far:path/isp-a is critical") == true)
        #expect(state("B")?.cause == nil, "which is no subject of this host")
        venues[0].isFrozen = true
        for _ in 0..<20 { try stage.loop.step(atMost: .milliseconds(10)) }
        say(0, .critical)
        try stage.until("A to fail") { state("A")?.status == .critical }
        #expect(state("A")?.cause == ispA)
        // What is well there says nothing of here.
        say(1, .ok)
        try stage.until("B not to be failed by it") { state("B")?.reason.contains("isp-a") == false }
        #expect(state("A")?.reason.hasPrefix("path/isp-a is critical") == true)
        #expect(state("A")?.cause == ispA)
    }

    @Test func `what an agent said is forgotten with it, but for what another one says`() throws {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        let ispA = Subject(.path, "isp-a")
        let agents = [try agent("near", stage), try agent("far", stage)]
        func say(_ status: Status) {
            for agent in agents {
                agent.report(Report(ispA, status, reason: "said so", detectedAt: Clock.wall))
            }
        }
        say(.ok)
        var options = stage.options(quotes(venues))
        options.host = "near"
        options.feeds[0].silence = .seconds(60)
        options.feeds[0].silenceBehindTwin = .seconds(60)
        options.feeds[0].paths[1].dependsOn = [Dependency(ispA, of: "far")]
        options.agents = [endpoint("near", stage), endpoint("far", stage)]
        try stage.open(options, subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func reason(_ path: String) -> String {
            (try? stage.status(of: Subject(.feedPath, "quotes.\(path)")))?.reason ?? ""
        }
        func isWell(_ path: String) -> Bool {
            (try? stage.status(of: Subject(.feedPath, "quotes.\(path)")))?.status == .ok
        }
        try stage.until(
            "both paths", { isWell("A") && isWell("B") }, between: { for venue in venues { venue.beat() } })
        for venue in venues { venue.isFrozen = true }
        // What the venues sent before they froze has been read.
        for _ in 0..<20 { try stage.loop.step(atMost: .milliseconds(10)) }
        say(.critical)
        try stage.until("both paths to fail") {
            reason("A").hasPrefix("path/isp-a is critical")
                && reason("B").hasPrefix("far:path/isp-a is critical")
        }
        let gateway = try #require(stage.gateway)
        options.agents = [endpoint("near", stage)]
        try gateway.reload(options)
        #expect(reason("A").hasPrefix("path/isp-a is critical"))
        #expect(!reason("B").contains("isp-a"))
        let cause = try stage.status(of: Subject(.feedPath, "quotes.A"))?.cause
        #expect(cause == ispA)
        options.agents = []
        try gateway.reload(options)
        #expect(!reason("A").contains("isp-a"))
        // The only one here tells of this host, whatever its name is, until there is another one; what cannot be followed
        // keeps nothing else from it.
        let nowhere = AgentEndpoint(publish: "tcp://nowhere", request: "tcp://nowhere")
        options.agents = [nowhere, endpoint("far", stage)]
        try gateway.reload(options)
        try stage.until("the only agent's word") { reason("A").hasPrefix("path/isp-a is critical") }
        options.agents = [endpoint("far", stage), endpoint("near", stage)]
        try gateway.reload(options)
        #expect(!reason("A").contains("isp-a"))
    }

    @Test func `an agent's word moves a feed at once`() throws {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        let agent = try agent("agent", stage)
        func say(_ status: Status) {
            agent.report(Report(Subject(.path, "isp-a"), status, reason: "said so", detectedAt: Clock.wall))
        }
        say(.ok)
        var options = stage.options(quotes(venues))
        options.feeds[0].silence = .seconds(60)
        options.feeds[0].silenceBehindTwin = .seconds(60)
        options.agents = [endpoint("agent", stage)]
        try stage.open(options, subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func beat() { for venue in venues { venue.beat() } }
        try stage.until("the subscription upstream", { venues[0].topics.contains("AAPL/") }, between: beat)
        try stage.until(
            "both paths", { (try? stage.status(of: Subject(.feedPath, "quotes.B"))?.status) == .ok },
            between: beat)
        venues[0].isFrozen = true
        // What the venue sent before it froze has been read.
        for _ in 0..<20 { try stage.loop.step(atMost: .milliseconds(10)) }
        say(.critical)
        try stage.until("the subscription on B", { venues[1].topics.contains("AAPL/") }, between: beat)
        try stage.until(
            "the reason",
            {
                let state = try? stage.status(of: Subject(.feedPath, "quotes.A"))
                return state?.reason.hasPrefix("path/isp-a is critical") ?? false
            }, between: beat)
        say(.ok)
    }

    @Test func `a reload keeps what did not change and refuses what needs a restart`() throws {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        let options = stage.options(quotes(venues))
        try stage.open(options, subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func beat() { for venue in venues { venue.beat() } }
        try stage.until("the subscription upstream", { venues[0].topics.contains("AAPL/") }, between: beat)
        let gateway = try #require(stage.gateway)
        #expect(throws: ReloadRefusal.needsRestart) {
            var other = options
            other.publish = ["ipc://\(stage.folder)/other"]
            try gateway.reload(other)
        }
        // A restart succeeds, which the entry of a refused file denies.
        #expect(ReloadRefusal.needsRestart.event == .reloadNeedsRestart)
        venues[0].quote()
        try stage.until("a quote", { stage.data.count == 1 }, between: beat)
        var more = options
        more.feeds.append(FeedOptions(name: "second", feedProtocol: .zeromq, keys: .topic, policy: .hotWarm))
        more.feeds[1].paths = more.feeds[0].paths
        try gateway.reload(more)
        venues[0].quote()
        try stage.until("the next quote", { stage.data.count == 2 }, between: beat)
        #expect(stage.data.last?.header.previous == 1)
        #expect(try stage.status(of: Subject(.feed, "second")) != nil)
        try gateway.reload(options)
        #expect(try stage.status(of: Subject(.feed, "second")) == nil)
        // A feed that is built anew finds what its clients hold.
        var changed = options
        changed.feeds[0].freshness = .seconds(2)
        try gateway.reload(changed)
        venues[0].quote()
        try stage.until(
            "a quote after the reload",
            {
                if stage.data.count < 3 { venues[0].quote() }
                return stage.data.count >= 3
            }, between: beat)
    }

    @Test func `a feed that a reload changed goes on with what it used of its venue's rate`() throws {
        let stage = try Stage()
        let venues = [try Venue(stage), try Venue(stage)]
        var options = stage.options(quotes(venues))
        options.feeds[0].subscribeRate = 1
        try stage.open(options, subscribing: ["md/quotes/AAPL/", "control/quotes/"])
        func beat() { for venue in venues { venue.beat() } }
        try stage.until("the subscription", { venues[0].subscribedAt.count == 1 }, between: beat)
        let gateway = try #require(stage.gateway)
        options.feeds[0].freshness = .seconds(2)
        try gateway.reload(options)
        try stage.until("the next one", { venues[0].subscribedAt.count == 2 }, between: beat)
        let times = venues[0].subscribedAt
        try #require(times.count == 2)
        // The venue may have read the first one late.
        #expect(times[1] - times[0] > .milliseconds(500))
    }

    private func quotes(_ venues: [Venue]) -> FeedOptions {
        var feed = FeedOptions(name: "quotes", feedProtocol: .zeromq, keys: .topic, policy: .hotWarm)
        for (name, venue) in zip(["A", "B"], venues) {
            var path = FeedPathOptions(name: name)
            path.endpoint = venue.endpoint
            path.dependsOn = name == "A" ? [Dependency(Subject(.path, "isp-a"))] : []
            feed.paths.append(path)
        }
        return feed
    }
}
