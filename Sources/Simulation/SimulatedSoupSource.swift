// The gateway's end of a path of SoupBinTCP, as SoupSource and LoginConnection are for sockets: the production's client
// decides, and what it tells is put into packets by the production's code.
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
    private var machine: SoupClientMachine
    private var packets = SoupPackets()
    private var isOpen = true
    private var attempt = 0
    private var wake = 0

    /// - Parameter memory: where an earlier run stopped.
    init(
        _ world: Simulation, _ path: SimulatedPath, _ server: SoupServer, _ feed: SimulatedFeed,
        _ login: VenueLogin, resume memory: JournalMemory?
    ) {
        self.world = world
        self.path = path
        self.server = server
        self.feed = feed
        machine = SoupClientMachine(
            login, silence: feed.options.silence, resume: memory, seed: world.random.next())
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
        path.lost = { [weak self] in self?.lost() }
        path.restored = { [weak self] in
            guard let self, isOpen else { return }
            perform(machine.hurry())
        }
    }

    func close() {
        isOpen = false
        (path.lost, path.restored) = (nil, nil)
        letGo()
    }

    // MARK: - Subscriptions: a login brings everything

    func activate(_ topics: [UpstreamTopic]) {
        perform(machine.start())
        feed.resubscribed(path.index)
    }

    func deactivate() {}
    func subscribe(_ topic: UpstreamTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}

    // MARK: - The machine's edge

    private func perform(_ actions: [SoupClientMachine.Action]) {
        for action in actions {
            switch action {
            case .connect: connect()
            case .send(let bytes):
                path.carryBack(spoiled(bytes)) { [server] in server.receive($0) }
            case .close(let why): closed(why)
            case .accepted:
                say("is let in")
                feed.connected(path.index)
            case .news(let news): hand(on: packets.take(news))
            }
        }
        hand(on: packets.flush())
        wakeUp()
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

    private func hand(on packets: [[UInt8]]) {
        for bytes in packets { feed.received(bytes[...], on: path.index) }
    }

    private func wakeUp() {
        wake += 1
        guard let due = machine.deadline else { return }
        world.note(at: max(due, world.now)) { [weak self, wake] in
            guard let self, wake == self.wake, isOpen else { return }
            perform(machine.tick(at: world.now))
        }
    }

    private func connect() {
        later(world.random.duration(.microseconds(100) ... .milliseconds(10))) { source in
            source.path.isCut
                ? source.later(SimulatedSoupSource.connectWithin) { $0.failed("timed out") }
                : source.reached()
        }
    }

    /// Does what comes of this attempt after a while, unless it is over by then.
    private func later(_ wait: Duration, _ work: @escaping (SimulatedSoupSource) -> Void) {
        attempt += 1
        world.note(at: world.now + wait) { [weak self, attempt] in
            guard let self, isOpen, attempt == self.attempt else { return }
            work(self)
        }
    }

    private func reached() {
        guard !path.isRefusing else { return failed("connection refused") }
        path.arrival = { [weak self] bytes, _ in self?.received(bytes) }
        server.connected()
        perform(machine.opened(at: world.now))
    }

    private func failed(_ why: String) { perform(machine.closed(why, at: world.now)) }

    private func received(_ bytes: ArraySlice<UInt8>) {
        if let evidence = server.arrived(bytes.count) { world.checker.arrived(evidence, on: path) }
        perform(machine.received(bytes, at: world.now))
    }

    /// The network or the server ended the connection, and says so.
    private func lost() {
        guard isOpen, path.arrival != nil else { return }
        failed("connection reset")
    }

    private func closed(_ why: LoginEnd) {
        say("closes: \(why); again in \(machine.retryAfter.inMilliseconds) ms")
        letGo()
        hand(on: packets.flush())
        feed.disconnected(path.index)
    }

    private func letGo() {
        attempt += 1
        path.arrival = nil
        path.cutOff()
        server.closed()
    }

    private func say(_ what: @autoclosure () -> String) { world.trace.say(world.now, path.place, what()) }
}
