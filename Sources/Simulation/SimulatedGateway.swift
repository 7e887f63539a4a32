// The gateway without its sockets and its loop: the subscription table and the feeds' cores, which are the
// production's, and around them what the shells do. It is killed and started again.
import Arbitration
import Basics
import Configuration
import FeedJournal
import Gateway
import Wire

final class SimulatedGateway {
    /// How often the control topics carry a heartbeat.
    static let controlEvery: Duration = .milliseconds(100)
    /// The connection of who is always there.
    private static let standing: Int32 = 0

    private(set) var table = SubscriptionTable()
    private(set) var feeds: [SimulatedFeed] = []
    /// How many times it was started.
    private(set) var runs: UInt32 = 0
    private(set) var startedAt: Instant?
    let loop: GatewayLoop
    private unowned let world: Simulation
    private var clients: [Int32: SimulatedClient] = [:]
    private var connections: Int32 = 0
    /// What each connection asked for and has not given up, as far as that is read: all of it is granted.
    private var wants: [Int32: Set<String>] = [:]
    /// Connections that are gone, and whose end is not read yet.
    private var leaving: Set<Int32> = []
    /// By topic, as the shell's topics keep them.
    private var routes: [[UInt8]: TopicRoute] = [:]
    private var tableWake = 0

    init(_ world: Simulation) {
        self.world = world
        loop = GatewayLoop(world)
    }

    var isRunning: Bool { startedAt != nil }
    /// Since when it runs, and has read what came before; `nil`: it does not.
    var presentSince: Instant? {
        guard loop.isPresent, let startedAt else { return nil }
        return max(startedAt, loop.absence?.readAt ?? startedAt)
    }

    func start() {
        runs += 1
        startedAt = world.now
        world.trace.say(world.now, "gateway", "starts, run \(runs)")
        (table, routes, wants, leaving) = (SubscriptionTable(), [:], [:], [])
        feeds = world.feeds.indices.map { SimulatedFeed(world, self, $0, run: runs) }
        for (index, feed) in feeds.enumerated() {
            let hasBatches = !world.feeds[index].venue.isNumberedPerTopic
            _ = table.addFeed(
                feed.options.name, linger: feed.options.upstreamLinger, hasBatches: hasBatches, at: world.now)
        }
        // Somebody is there from the start, so that all that is published is written.
        for (index, feed) in feeds.enumerated() where world.hasWholeFeed(index) {
            for family in world.feeds[index].venue.isNumberedPerTopic ? ["md"] : ["md", "batch"] {
                _ = enter("\(family)/\(feed.options.name)/", by: SimulatedGateway.standing)
            }
        }
        for feed in feeds { feed.start() }
    }

    /// Lets go of everything, so that nothing outlives its simulation.
    func end() {
        loop.end()
        for feed in feeds { feed.end() }
        (feeds, clients) = ([], [:])
    }

    func kill() {
        world.trace.say(world.now, "gateway", "is killed")
        startedAt = nil
        loop.end()
        for feed in feeds { feed.end() }
        feeds = []
        for connection in clients.keys.sorted() { clients[connection]?.disconnected() }
        clients = [:]
    }

    /// It does not run any more for a while; between two turns of its loop, at the end of which it sends what it has.
    func stop() {
        for feed in feeds { feed.drained() }
        loop.stop()
    }

    // MARK: - Clients

    func connect(_ client: SimulatedClient) -> Int32 {
        connections += 1
        clients[connections] = client
        return connections
    }

    func closed(_ connection: Int32) {
        clients[connection] = nil
        leaving.insert(connection)
        loop.reads(from: SimulatedGateway.name(connection)) { [self] in
            leaving.remove(connection)
            wants[connection] = nil
            guard world.plan.defect != .keepsClosed else { return }
            perform(table.closed(connection, at: world.now), for: nil)
        }
    }

    /// A client says something on its connection, which may be gone when it is read.
    func asked(by connection: Int32, _ work: @escaping () -> Void) {
        loop.reads(from: SimulatedGateway.name(connection)) { [self] in
            if clients[connection] != nil { work() }
        }
    }

    /// How many subscriptions the table is to have: no client leaves more behind than is given up at once.
    var held: Int { wants.values.reduce(0) { $0 + $1.count } }

    private static func name(_ connection: Int32) -> String { "connection \(connection)" }

    func subscribe(_ prefix: String, by connection: Int32) {
        guard let client = clients[connection] else { return }
        perform(enter(prefix, by: connection), for: client)
    }

    private func enter(_ prefix: String, by connection: Int32) -> [SubscriptionAction] {
        wants[connection, default: []].insert(prefix)
        return table.subscribe(Array(prefix.utf8)[...], by: connection, at: world.now)
    }

    func unsubscribe(_ prefix: String, by connection: Int32) {
        guard let client = clients[connection] else { return }
        wants[connection]?.remove(prefix)
        perform(table.unsubscribe(Array(prefix.utf8)[...], by: connection, at: world.now), for: client)
    }

    private func perform(_ actions: [SubscriptionAction], for client: SimulatedClient?) {
        for action in actions {
            switch action {
            case .grant(let connection, let prefix, let request):
                client?.grants.insert(prefix)
                switch request {
                case .data(let name, _), .control(let name, _), .batch(let name, _):
                    feed(name)?.granted(request, to: connection)
                case .sync: break
                }
            case .revoke(let prefix): client?.grants.remove(prefix)
            case .refuse(_, let prefix, let refusal):
                world.checker.violated(.liveness, "the subscription \(prefix) was refused: \(refusal)")
            case .narrow: break
            case .subscribeUpstream(let name, let topic): feed(name)?.subscribe(topic)
            case .hastenUpstream(let name, let topic): feed(name)?.hasten(topic)
            case .unsubscribeUpstream(let name, let topic): feed(name)?.unsubscribe(topic)
            }
        }
        wakeTable()
    }

    private func wakeTable() {
        tableWake += 1
        guard let due = table.deadline else { return }
        world.note(at: max(due, world.now)) { [self, tableWake] in
            loop.reads(from: "the table's clock") { [self] in
                guard tableWake == self.tableWake, isRunning else { return }
                perform(table.tick(at: world.now), for: nil)
            }
        }
    }

    private func feed(_ name: String) -> SimulatedFeed? { feeds.first { $0.options.name == name } }

    /// Hands a frame to everybody whom the table names, who are those that were granted its topic.
    ///
    /// - Parameter connection: the only one that it goes to; `nil`: all who hold its topic.
    func fanOut(_ frame: PublishedFrame, to connection: Int32?) {
        if let connection {
            clients[connection]?.offer(frame)
            return
        }
        var receivers: [Int32] = []
        let topic = Array(frame.topicText.utf8)
        routes[topic] = table.findReceivers(
            of: topic.span, by: routes[topic, default: TopicRoute()], into: &receivers)
        receivers = receivers.filter { $0 != SimulatedGateway.standing && !leaving.contains($0) }.sorted()
        let granted = clients.filter { $0.value.holds(frame.topicText) }.keys.sorted()
        if receivers != granted {
            world.checker.violated(
                .liveness, "\(frame.topicText) goes to \(receivers), and was granted to \(granted)")
        }
        for receiver in receivers { clients[receiver]?.offer(frame) }
    }
}

/// One feed of one run of the gateway.
final class SimulatedFeed: FeedCoreOwner {
    let options: FeedOptions
    private unowned let world: Simulation
    private unowned let gateway: SimulatedGateway
    private let index: Int
    private var running: FeedCore?
    /// Whether it was asked anything since the checker last looked.
    private var hasTurn = false
    /// The last frame, if it was a heartbeat; noted for a planted mistake.
    private var lastHeartbeat: [UInt8]?
    /// When something sound last came that had to wait; noted for the same.
    var unreadAt: Instant?
    private var journal: SimulatedJournal?
    private var sources: [any PathSource] = []
    private let book = UpstreamBook()
    private var wake = 0
    private let run: UInt32
    private lazy var recovery: any SimulatedRecovery =
        world.feeds[index].proxies.isEmpty
        ? RequestServers(world, index) { [weak self] in self?.recovered($0, from: $1) }
        : SimulatedGapProxies(world, index, self)

    init(_ world: Simulation, _ gateway: SimulatedGateway, _ index: Int, run: UInt32) {
        self.world = world
        self.gateway = gateway
        self.index = index
        self.run = run
        var options = world.feeds[index].options
        if world.plan.defect == .startsLate, options.start == .session { options.start = .now }
        if world.plan.defect == .asksTooOften {
            options.recover.requestsPerSecond *= 10
            options.recover.requestsPerMinute = options.recover.requestsPerMinute.map { $0 * 10 }
        }
        if world.plan.defect == .subscribesTooFast { options.subscribeRate = options.topicsPerSecond * 10 }
        self.options = options
    }

    /// The core, which is about to do something.
    private var core: FeedCore? {
        hasTurn = true
        return running
    }

    /// Whether something may wait that did not when this was last asked.
    func takesTurn() -> Bool {
        defer { hasTurn = false }
        return hasTurn
    }

    /// Messages that wait in the engine, and how many may: in the window, of another session, and behind it.
    var waiting: (count: Int, limit: Int) {
        let configured = world.feeds[index].options
        let asked = configured.recover.servers.isEmpty ? 0 : configured.recover.count
        return (running?.engine.channel.waiting ?? 0, 3 * max(configured.reorderCount, asked))
    }

    var wall: WallTime { world.feeds[index].venue.wall(world.now) }

    /// What waits to be journalled; `nil`: nothing is journalled.
    var journalWaiting: (bytes: Int, limit: Int)? { journal?.waiting }

    func start() {
        let of = world.feeds[index]
        of.remembered = nil
        if options.journal {
            journal = SimulatedJournal(world, of, run: run) { [weak self] in self?.remember($0, $1) }
        }
        let plan = EnginePlan(
            options: options, index: UInt16(index), run: run, controlEvery: SimulatedGateway.controlEvery,
            sink: Outlet { [unowned self] in publish($0, to: $1) }, journal: journal,
            log: { [world, index] _, message in
                world.trace.say(world.now, world.feeds[index].options.name, "logs: \(message)")
            }, now: world.now, recovery: options.recover.servers.isEmpty ? nil : recovery)
        let core = FeedCore(plan)
        running = core
        core.owner = self
        // What an earlier run journalled is known before the first message comes.
        journal?.open()
        sources = world.feeds[index].paths.map { source($0) }
        core.start(gateway.table.requests(of: options.name), at: world.now, wall: wall)
        for source in sources { source.open() }
        if !options.recover.servers.isEmpty { recovery.open() }
    }

    private func source(_ path: SimulatedPath) -> any PathSource {
        guard let server = path.server, let login = options.paths[path.index].login else {
            return SimulatedSource(world, path, self, rate: options.topicsPerSecond, book: book)
        }
        return SimulatedSoupSource(world, path, server, self, login, resume: core?.memory(of: 0))
    }

    private func remember(_ channel: UInt16, _ memory: JournalMemory) {
        core?.remember(memory, channel: channel, at: world.now, wall: wall)
        guard world.feeds[index].venue.kind.speaksITCH, let directory = memory.directory else { return }
        // The locate of a stock directory message is the instrument here.
        let locates = directory.units.values.compactMap { $0.count > 2 ? Int($0[1]) << 8 | Int($0[2]) : nil }
        world.feeds[index].remembered = (directory.epoch, Set(locates))
    }

    func end() {
        wake += 1
        recovery.close()
        for source in sources { source.close() }
        journal?.end()
        (running, journal) = (nil, nil)
    }

    // MARK: - What the core asks for

    func perform(_ action: PathAction) {
        switch action {
        case .activate(let path):
            guard world.plan.defect != .deafPaths || run == 1 && path == 0 else { return }
            let wanted = gateway.table.turns(of: options.name)
            sources[path].activate(world.plan.defect == .forgetsTopic ? Array(wanted.dropLast()) : wanted)
        case .deactivate(let path): sources[path].deactivate()
        case .state(let path, let state): say("path \(options.paths[path].name) is \(state)")
        case .switched(let from, let to, let reason):
            world.feeds[index].leftPathAt = world.now
            say("moves from \(options.paths[from].name) to \(options.paths[to].name): \(reason)")
        case .redundancy(let redundancy): say("redundancy \(redundancy)")
        case .held(let isHeld): say(isHeld ? "is held" : "is released")
        case .muted(let subject, _): say("\(subject) is muted")
        case .unmuted(let subject): say("\(subject) is no longer muted")
        }
    }

    func settled() {}

    func arm(at due: Instant) {
        wake += 1
        world.note(at: max(due, world.now)) { [self, wake] in
            gateway.loop.readsFirst { [self] in
                guard wake == self.wake else { return }
                core?.tick(at: world.now, wall: wall)
            }
        }
    }

    private func say(_ what: @autoclosure () -> String) { world.trace.say(world.now, options.name, what()) }

    // MARK: - What the sources tell

    /// - Parameter stamp: when the host had it; `nil`: nobody noted that.
    func received(_ bytes: ArraySlice<UInt8>, on path: Int, stamp: WallTime?) {
        if world.plan.defect == .forgetsArrival { core?.emptied(path) }
        let receivedAt = world.plan.defect == .forgetsArrival ? wall : stamp ?? wall
        let taken = world.plan.defect == .followsIdle ? withMessage(bytes) : bytes
        core?.received(taken, on: path, receivedAt: receivedAt, at: world.now, wall: wall)
        if world.random.chance(0.5) { core?.drained() }
    }

    /// Frames that were read together.
    func received(together frames: some Sequence<[UInt8]>, on path: Int) {
        if world.plan.defect == .forgetsArrival { core?.emptied(path) }
        var arrived = ArrivedFrames(copying: frames)
        core?.received(&arrived, on: path, receivedAt: wall, at: world.now, wall: wall)
    }

    /// What had arrived on a path is read, all of it.
    func emptied(_ path: Int) { core?.emptied(path) }

    /// What had arrived is read.
    func drained() { core?.drained() }

    /// A datagram that was sent again is there to be read.
    /// - Parameter server: `nil`: it went to all who listen.
    func recovered(_ bytes: [UInt8], from server: Int?) {
        gateway.loop.reads(from: "\(options.name)'s \(server.map { "server \($0 + 1)" } ?? "gap group")") {
            [self, stamp = wall] in
            core?.recovered(bytes[...], from: server, receivedAt: stamp, at: world.now, wall: wall)
        }
    }

    func rejected(_ rejection: RequestRejection, by server: Int) {
        core?.rejected(rejection, by: server, at: world.now)
    }

    func connected(_ path: Int) { core?.connected(path, at: world.now, wall: wall) }
    func disconnected(_ path: Int) {
        world.feeds[index].leftPathAt = world.now
        core?.disconnected(path, at: world.now, wall: wall)
    }

    func resubscribed(_ path: Int) { core?.resubscribed(path, at: world.now, wall: wall) }

    // MARK: - What others tell

    func health(_ subject: Subject, _ status: Status, happenedAt: Instant?) {
        gateway.loop.reads(from: "the bus") { [self] in
            core?.health(Dependency(subject), status, happenedAt: happenedAt, at: world.now, wall: wall)
        }
    }

    func granted(_ request: TopicRequest, to connection: Int32) {
        core?.granted(request, to: connection, at: world.now, wall: wall)
    }

    func subscribe(_ wanted: WantedTopic) {
        core?.subscribed(wanted.topic, among: gateway.table, at: world.now, wall: wall)
        hasten(wanted)
    }

    func hasten(_ wanted: WantedTopic) {
        for source in subscribed { source.subscribe(wanted) }
    }

    func unsubscribe(_ topic: UpstreamTopic) {
        for source in subscribed { source.unsubscribe(topic) }
        core?.unsubscribed(topic, among: gateway.table)
    }

    private var subscribed: [any PathSource] {
        sources.filter { core?.machine.isSubscribed($0.path.index) == true }
    }

    /// An operator's request; what the machine refuses is no event.
    func steer(_ request: @escaping (FeedCore, Instant, WallTime) -> Void) {
        gateway.loop.reads(from: "the operators") { [self] in
            if let core { request(core, world.now, wall) }
        }
    }

    /// A planted mistake: an idle frame of a session that its venue has left is taken for the topic's last message there,
    /// sent again.
    private func withMessage(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let venue = world.feeds[index].venue
        guard let frame = PublishedFrame(Array(bytes), of: index, at: world.now), frame.header.kind == .idle,
            frame.header.epoch != venue.current.sessionEpoch,
            let of = venue.generations.first(where: { $0.sessionEpoch == frame.header.epoch }),
            let instrument = venue.instruments.firstIndex(where: { $0 == frame.instrument }),
            let message = of.message(frame.header.sequence, of: instrument)
        else { return bytes }
        var data = Array(bytes) + message.payload
        data[frame.topicText.utf8.count + 2] = FrameKind.data.rawValue
        return data[...]
    }

    // MARK: - What goes out

    private func publish(_ frame: [UInt8], to connection: Int32?) {
        if world.plan.defect == .countsUnread { noteSaid(frame) }
        for frame in world.defect.spoil(frame) { world.published(frame, of: index, to: connection) }
    }

    /// Nothing but a heartbeat can be said again without saying something wrong of messages.
    private func noteSaid(_ frame: [UInt8]) {
        guard let said = PublishedFrame(frame, of: index, at: world.now) else { return }
        lastHeartbeat = said.header.kind == .heartbeat ? frame : nil
    }

    /// A planted mistake: what it said last holds as long as something is there to be read.
    func repeatHeartbeat() {
        guard let lastHeartbeat, let unreadAt, world.now - unreadAt < SimulatedGateway.controlEvery else {
            return
        }
        publish(lastHeartbeat, to: nil)
    }
}
