// The engine of a feed of other gateways: how it is numbered there shows with the first frame.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Wire

final class HoldfastEngine: FeedEngine {
    /// Requests that are kept for the engine to come; more are as good as one for everything.
    private static let mostRequests = 100_000

    private let plan: EnginePlan
    /// Until something is known, the one of channels: it has none yet, and publishes nothing.
    private var engine: any FeedEngine
    private var isDecided = false
    private var condition: PathCondition?
    private var requests: Set<TopicRequest> = []

    init(_ plan: EnginePlan) {
        self.plan = plan
        engine = ChannelEngine<HoldfastFraming, HoldfastKeys>(plan)
    }

    var index: UInt16 {
        get { engine.index }
        set { engine.index = newValue }
    }

    func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, cameIn: Instant, at now: Instant,
        wall: WallTime
    ) -> Bool {
        if !isDecided { decide(bytes, at: now, wall: receivedAt) }
        return engine.received(
            bytes, on: path, receivedAt: receivedAt, cameIn: cameIn, at: now, wall: wall)
    }

    func returned(after absence: Duration, at now: Instant, wall: WallTime) {
        engine.returned(after: absence, at: now, wall: wall)
    }

    private func decide(_ bytes: ArraySlice<UInt8>, at now: Instant, wall: WallTime) {
        guard let isPerTopic = HoldfastTopicReader.isNumberedPerTopic(bytes) else { return }
        isDecided = true
        defer { requests = [] }
        guard isPerTopic else { return }
        var plan = plan
        plan.now = now
        let index = engine.index
        engine = TopicEngine(plan, downstream: HoldfastTopicReader())
        engine.index = index
        if let condition { engine.pathsChanged(condition, at: now, wall: wall) }
        for request in requests { engine.granted(request, to: nil, at: now, wall: wall) }
    }

    func recovered(
        _ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {}
    func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {}

    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime) {
        self.condition = condition
        engine.pathsChanged(condition, at: now, wall: wall)
    }

    func tick(at now: Instant, wall: WallTime) { engine.tick(at: now, wall: wall) }
    func flush() { engine.flush() }
    var hasBatches: Bool { engine.hasBatches }
    var deadline: Instant { engine.deadline }
    var waitingUntil: Instant? { engine.waitingUntil }

    func granted(_ request: TopicRequest, to connection: Int32?, at now: Instant, wall: WallTime) {
        if !isDecided {
            if requests.count >= HoldfastEngine.mostRequests {
                requests = [.data(feed: plan.options.name, .all)]
            }
            requests.insert(request)
        }
        engine.granted(request, to: connection, at: now, wall: wall)
    }

    func departed(_ connection: Int32) { engine.departed(connection) }
    func close() { engine.close() }

    func remember(
        _ memory: JournalMemory, channel: UInt16, at now: Instant, wall: WallTime
    ) {
        engine.remember(memory, channel: channel, at: now, wall: wall)
    }

    func place(of channel: UInt16) -> ChannelPlace? { engine.place(of: channel) }

    func snapshot(_ wants: SnapshotWants, wall: WallTime) -> SnapshotPage? {
        isDecided || plan.lastValue == .none ? engine.snapshot(wants, wall: wall) : SnapshotPage()
    }

    func joined(_ topic: UpstreamTopic, alreadyWanted: [UpstreamTopic], at now: Instant, wall: WallTime) {
        engine.joined(topic, alreadyWanted: alreadyWanted, at: now, wall: wall)
    }

    func released(_ topic: UpstreamTopic, stillWanted: [UpstreamTopic]) {
        engine.released(topic, stillWanted: stillWanted)
    }

    func figures(of path: Int) -> PathFigures { engine.figures(of: path) }
    var channel: ChannelFigures { engine.channel }
}
