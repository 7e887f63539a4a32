// The gateway's end of a path of SoupBinTCP, as SoupSource is for sockets: what the production's client tells is put into
// packets by the production's code.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Gateway

final class SimulatedSoupSource: PathSource {
    /// A connection that cannot be made is given up after so long, as the kernel is told.
    private static let connectWithin: Duration = .milliseconds(1500)

    let path: SimulatedPath
    private unowned let world: Simulation
    private unowned let feed: SimulatedFeed
    private let server: SoupServer
    private var login: SimulatedLogin<SoupDialect>?
    private var packets = SoupPackets()

    /// - Parameter memory: where an earlier run stopped.
    init(
        _ world: Simulation, _ path: SimulatedPath, _ server: SoupServer, _ feed: SimulatedFeed,
        _ login: VenueLogin, resume memory: JournalMemory?
    ) {
        self.world = world
        self.path = path
        self.server = server
        self.feed = feed
        let machine = SoupClientMachine(
            login, silence: feed.options.silence, resume: memory, seed: world.random.next())
        self.login = SimulatedLogin(world, over: self, machine) { [unowned self] in heard($0) }
        server.expect(memory.flatMap { $0.last > 0 ? (epoch: $0.epoch, next: $0.last + 1) : nil })
    }

    /// How long a client may take to be let in again once nothing stands in its way: until it finds out that it has lost
    /// its connection, and until it tries again.
    static func wayBack(silence: Duration) -> Duration {
        let times = LoginTimes(deadAfter: silence)
        return max(times.deadAfter, times.loginWithin) + times.longestRetry * 3 / 2 + connectWithin
            + .seconds(1)
    }

    func open() {
        path.lost = { [weak self] in self?.login?.lost() }
        path.restored = { [weak self] in self?.login?.restored() }
    }

    func close() {
        (path.lost, path.restored) = (nil, nil)
        login?.close()
    }

    // MARK: - Subscriptions: a login brings everything

    func activate(_ topics: [WantedTopic]) {
        login?.start()
        feed.resubscribed(path.index)
    }

    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}

    // MARK: - The login

    private func heard(_ event: SimulatedLogin<SoupDialect>.Event) {
        switch event {
        case .accepted: say("is let in")
        case .news(let news):
            hand(on: packets.take(news))
            if case .begins = news { feed.connected(path.index) }
        case .closed(let why):
            say("closes: \(why); again in \(login?.machine.retryAfter.inMilliseconds ?? 0) ms")
            hand(on: packets.flush())
            feed.disconnected(path.index)
        case .done: hand(on: packets.flush())
        }
    }

    private func hand(on packets: [[UInt8]]) {
        for bytes in packets { feed.received(bytes[...], on: path.index, stamp: nil) }
    }

    private func say(_ what: @autoclosure () -> String) { world.trace.say(world.now, path.place, what()) }
}

// MARK: - The way to the server

extension SimulatedSoupSource: SimulatedRoute {
    var place: String { path.place }

    func timeThere() -> Duration { world.random.duration(.microseconds(100) ... .milliseconds(10)) }

    var obstacle: (why: String, knownAfter: Duration)? {
        if path.isCut { return ("timed out", SimulatedSoupSource.connectWithin) }
        return path.isRefusing ? ("connection refused", .zero) : nil
    }

    func connected() {
        path.arrival = { [weak self] bytes, _ in self?.arrived(bytes) }
        server.connected()
    }

    private func arrived(_ bytes: ArraySlice<UInt8>) {
        let evidence = server.arrived(bytes.count)
        if let evidence { world.checker.arrived(evidence, on: path) }
        login?.received(bytes) { [weak self, at = world.now] in
            if let self, evidence != nil { world.checker.isRead(from: at, on: path) }
        }
    }

    func send(_ bytes: [UInt8]) {
        path.carryBack(spoiled(bytes)) { [server] in server.receive($0) }
    }

    /// What a client that counts badly would send.
    private func spoiled(_ bytes: [UInt8]) -> [UInt8] {
        var decoder = SoupDecoder()
        decoder.feed(bytes)
        guard world.plan.defect == .resumesLate, case .login(var login)? = try? decoder.next(),
            login.position.next > 1
        else { return bytes }
        login.position.next += 1
        return SoupPacket.login(login).bytes
    }

    func closed() {
        path.arrival = nil
        path.cutOff()
        server.closed()
    }

    func emptied() { feed.emptied(path.index) }
}
