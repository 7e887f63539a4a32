// A gateway between a venue and the gateway that is tried: it takes the venue's packets over a line that nothing happens
// to, and what it publishes goes on over one of the simulated paths. It is killed and started again.
import Arbitration
import Basics
import Configuration
import Gateway
import Wire

final class UpstreamGateway: FeedCoreOwner {
    private unowned let world: Simulation
    private unowned let path: SimulatedPath
    private let codec: VenueCodec
    private let options: FeedOptions
    private var core: FeedCore?
    private var runs: UInt32
    private var wake = 0
    /// Another number for each connection of the gateway that takes its topics.
    private var connection: Int32 = 0
    /// That one is being shown where topics stand: its marker waits.
    private var isShowing = false

    init(_ world: Simulation, _ path: SimulatedPath, freshness: Duration) {
        self.world = world
        self.path = path
        codec = VenueCodec(venue: path.venue, cut: 3)
        runs = UInt32(path.index) * 1000
        let feedProtocol: FeedOptions.FeedProtocol = path.venue.isNumberedPerTopic ? .zeromq : .iexTP
        var options = FeedOptions(
            name: path.venue.name, feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: .hotHot)
        options.freshness = freshness
        options.paths = [FeedPathOptions(name: "A")]
        self.options = options
    }

    private var wall: WallTime { path.venue.wall(world.now) }

    func start() {
        runs += 1
        let core = FeedCore(
            EnginePlan(
                options: options, index: 0, run: runs, controlEvery: SimulatedGateway.controlEvery,
                sink: Outlet(shows: { [unowned self] in shows(to: $0, $1) }) {
                    [unowned self] frame, _ in publish(frame)
                },
                log: { _, _ in }, now: world.now))
        self.core = core
        core.owner = self
        core.start([.data(feed: options.name, .all)], at: world.now, wall: wall)
        core.connected(0, at: world.now, wall: wall)
        guard path.venue.isNumberedPerTopic else { return }
        // The venue answers each subscription with where its topic stands.
        for index in path.venue.instruments.indices { take(.idle(index), path.venue.generations.count - 1) }
    }

    func kill() {
        wake += 1
        core = nil
        isShowing = false
    }

    /// Behind what is shown to who subscribes.
    static let marker = Topic.sync(nonce: "feed").bytes

    /// Somebody holds its topics now, and hears at once how it is.
    func subscribed() {
        connection += 1
        core?.granted(.control(feed: options.name, channel: nil), to: nil, at: world.now, wall: wall)
        if path.venue.isNumberedPerTopic {
            core?.granted(.data(feed: options.name, .all), to: connection, at: world.now, wall: wall)
        }
        if !isShowing { mark() }
    }

    /// Nobody holds its topics any more.
    func departed() {
        isShowing = false
        core?.departed(connection)
    }

    private func shows(to connection: Int32, _ isSo: Bool) {
        guard connection == self.connection, isShowing != isSo else { return }
        isShowing = isSo
        if !isSo { mark() }
    }

    private func mark() { path.relay(UpstreamGateway.marker, nil, at: world.now) }

    func take(_ word: VenueWord, _ generation: Int) {
        for packet in codec.packets(word, path.venue.generations[generation], at: world.now) {
            core?.received(packet[...], on: 0, receivedAt: wall, at: world.now, wall: wall)
        }
        core?.drained()
    }

    private func publish(_ frame: [UInt8]) { path.relay(frame, evidence(of: frame), at: world.now) }

    /// What a frame proves: nothing, if it is stale where it comes from.
    private func evidence(of bytes: [UInt8]) -> Evidence? {
        let venue = path.venue
        guard let frame = PublishedFrame(bytes, of: path.feed, at: world.now), frame.header.state != .stale
        else { return nil }
        // Where topics are numbered each by itself, it says that it lives before it has heard of a session.
        if venue.isNumberedPerTopic, frame.header.epoch == 0 { return Evidence(generation: 0, messages: []) }
        guard
            let generation = venue.generations.lastIndex(where: { $0.sessionEpoch == frame.header.epoch })
        else { return nil }
        let instrument = frame.instrument.flatMap { venue.instruments.firstIndex(of: $0) }
        let message =
            frame.header.kind == .data
            ? venue.generations[generation].message(frame.header.sequence, of: instrument) : nil
        return Evidence(generation: generation, messages: message.map { [$0] } ?? [])
    }

    // MARK: - What the core asks for

    func perform(_ action: PathAction) {
        if case .activate = action { core?.resubscribed(0, at: world.now, wall: wall) }
    }

    func settled() {}

    func arm(at due: Instant) {
        wake += 1
        world.note(at: max(due, world.now)) { [weak self, wake] in
            guard let self, wake == self.wake else { return }
            core?.tick(at: world.now, wall: wall)
        }
    }
}
