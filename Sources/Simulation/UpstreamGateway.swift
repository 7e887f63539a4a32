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

    init(_ world: Simulation, _ path: SimulatedPath, freshness: Duration) {
        self.world = world
        self.path = path
        codec = VenueCodec(venue: path.venue, cut: 3)
        runs = UInt32(path.index) * 1000
        var options = FeedOptions(
            name: path.venue.name, feedProtocol: .iexTP, keys: .iex, policy: .hotHot)
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
                sink: Outlet { [unowned self] frame, _ in publish(frame) },
                log: { _, _ in }, now: world.now))
        self.core = core
        core.owner = self
        core.start([.data(feed: options.name, .all)], at: world.now, wall: wall)
        core.connected(0, at: world.now, wall: wall)
    }

    func kill() {
        wake += 1
        core = nil
    }

    /// Behind what is shown to who subscribes.
    static let marker = Topic.sync(nonce: "feed").bytes

    /// Somebody holds its topics now, and hears at once how it is.
    func subscribed() {
        defer { path.relay(UpstreamGateway.marker, nil, at: world.now) }
        core?.granted(.control(feed: options.name, channel: nil), to: nil, at: world.now, wall: wall)
    }

    func take(_ word: VenueWord, _ generation: Int) {
        for packet in codec.packets(word, path.venue.generations[generation], at: world.now) {
            core?.received(packet[...], on: 0, receivedAt: wall, at: world.now, wall: wall)
        }
        core?.drained()
    }

    private func publish(_ frame: [UInt8]) { path.relay(frame, evidence(of: frame), at: world.now) }

    /// What a frame proves: nothing, if it is stale where it comes from.
    private func evidence(of bytes: [UInt8]) -> Evidence? {
        guard let frame = PublishedFrame(bytes, of: path.feed, at: world.now), frame.header.state != .stale,
            let generation = path.venue.generations.lastIndex(where: {
                $0.sessionEpoch == frame.header.epoch
            })
        else { return nil }
        let message =
            frame.header.kind == .data
            ? path.venue.generations[generation].message(frame.header.sequence, of: nil) : nil
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
