// One seed: a world made of it, its faults one after the other, a calm at the end, and what was found.
import Basics
import Configuration
import Wire

/// What is simulated.
package struct SimulationPlan: Hashable, Sendable {
    package var seed: UInt64
    /// How many faults there are.
    package var faults: Int
    package var defect: Defect?

    package init(seed: UInt64, faults: Int, defect: Defect? = nil) {
        self.seed = seed
        self.faults = faults
        self.defect = defect
    }
}

/// What came of it.
package struct SimulationResult: Hashable, Sendable {
    package var seed: UInt64
    package var violations: [Violation]
    /// Faults that happened.
    package var faults: Int
    /// Messages that reached clients.
    package var messages: UInt64
    /// How long it took in simulated time.
    package var simulated: Duration
}

package final class Simulation {
    let plan: SimulationPlan
    let start = Instant(nanoseconds: 1_000_000_000_000)
    let trace: Trace
    private(set) var now: Instant
    var random: SeededRandom
    var feeds: [FeedOfWorld] = []
    var clients: [SimulatedClient] = []
    var delivered: UInt64 = 0
    var faults = 0
    /// Faults that are not over yet.
    var ongoing = 0
    /// What agents say of a subject now, and since when.
    var agents: [(subject: Subject, status: Status, since: Instant)] = []
    let defect: DefectiveSink
    /// Since when nothing new comes.
    private var quietSince: Instant?
    private var isQuiet: Bool { quietSince != nil }
    private var agenda = Agenda()
    private var made: (gateway: SimulatedGateway, checker: Checker)?

    var gateway: SimulatedGateway { parts.gateway }
    var checker: Checker { parts.checker }
    private var parts: (gateway: SimulatedGateway, checker: Checker) {
        guard let made else { preconditionFailure("a world is made before anything happens in it") }
        return made
    }

    /// - Parameter trace: gets each line of the trace; `nil`: none is made.
    package init(_ plan: SimulationPlan, trace: ((String) -> Void)? = nil) {
        self.plan = plan
        now = start
        random = SeededRandom(seed: plan.seed &* 0x2545_F491_4F6C_DD1D &+ 1)
        self.trace = Trace(from: start, trace)
        defect = DefectiveSink(plan.defect)
    }

    package func run() -> SimulationResult {
        makeFeeds()
        made = (SimulatedGateway(self), Checker(self))
        makeClients()
        for path in feeds.flatMap(\.paths) { path.upstream?.start() }
        for feed in feeds { pace(feed) }
        startGateway()
        for client in clients { client.connectSoon() }
        note(at: now + .milliseconds(1500)) { [self] in nextFault() }
        while checker.violations.isEmpty, let (at, work) = agenda.take() {
            now = at
            work()
            checker.look()
        }
        if checker.violations.isEmpty {
            checker.finish()
            gateway.end()
        }
        trace.say(
            now, "end", "\(faults) faults, \(delivered) messages, \(checker.violations.count) violations")
        let result = SimulationResult(
            seed: plan.seed, violations: checker.violations, faults: faults, messages: delivered,
            simulated: now - start)
        agenda = Agenda()
        for path in feeds.flatMap(\.paths) { path.upstream?.kill() }
        gateway.end()
        return result
    }

    /// Where the session's beginning is asked for, the gateway comes when venues have sent for a while.
    private func startGateway() {
        guard feeds.contains(where: { $0.options.start == .session }) else { return gateway.start() }
        var own = SeededRandom(seed: plan.seed &* 7919 &+ 5)
        ongoing += 1
        note(at: now + own.duration(.milliseconds(20) ... .seconds(6))) { [self] in
            ongoing -= 1
            checker.gatewayStarted()
            gateway.start()
            for feed in feeds { feed.disturbedAt = now }
        }
    }

    /// Something that is to happen.
    func note(at instant: Instant, _ work: @escaping () -> Void) {
        guard !isOver else { return }
        agenda.note(at: max(instant, now), work)
    }

    private var isOver = false

    /// The engines' frames, behind the defects.
    func published(_ bytes: [UInt8], of feed: Int, to connection: Int32?) {
        guard var frame = PublishedFrame(bytes, of: feed, at: now) else {
            return checker.violated(.delivery, "\(feeds[feed].options.name) published what is no frame")
        }
        if frame.told != nil && frame.header.kind != .heartbeat || frame.header.kind == .idle {
            trace.say(now, feeds[feed].options.name, frame.line)
        }
        checker.published(frame)
        frame.stint = checker.taps[feed].stints
        gateway.fanOut(frame, to: connection)
    }

    func hasWholeFeed(_ feed: Int) -> Bool { feeds[feed].isHeldWhole }

    // MARK: - From the first fault to the end

    private func nextFault() {
        guard faults < plan.faults else { return calmDown() }
        if injectFault() { faults += 1 }
        note(at: now + random.duration(.milliseconds(5) ... .milliseconds(250))) { [self] in nextFault() }
    }

    /// All faults run out, then the venues say something of each instrument, then they say nothing new.
    private func calmDown() {
        guard ongoing == 0, areSteady, !checker.isCatchingUp else {
            return note(at: now + .milliseconds(50)) { [self] in calmDown() }
        }
        trace.say(now, "calm", "no fault is left")
        let settled = feeds.map { max($0.options.silence, .seconds(1)) }.max() ?? .seconds(1)
        note(at: now + settled + .milliseconds(2000)) { [self] in
            trace.say(now, "calm", "nothing new comes")
            quietSince = now
            for feed in feeds { sayAll(feed) }
            note(at: now + .milliseconds(2600)) { [self] in
                isOver = true
                agenda = Agenda()
            }
        }
    }

    /// Clients that wait before they try again have come back.
    private var areSteady: Bool {
        feeds.allSatisfy { feed in
            feed.paths.allSatisfy { $0.steadySince(feed.options.silence, at: now) != nil }
        }
    }

    private func sayAll(_ feed: FeedOfWorld) {
        let venue = feed.venue
        feed.send(.messages(venue.instruments.indices.map { venue.message(of: $0, at: now) }), at: now)
    }

    // MARK: - Venues

    private func pace(_ feed: FeedOfWorld) {
        beat(feed)
        trade(feed, random.fork())
        if feed.venue.kind.speaksITCH { repeatDirectory(feed) }
    }

    private func beat(_ feed: FeedOfWorld) {
        note(at: now + feed.heartbeatEvery) { [self] in beat(feed) }
        for proxy in feed.proxies { proxy.beat() }
        guard !feed.venue.isFrozen else { return }
        if feed.venue.kind == .mdp3 { return beatByMessage(feed) }
        feed.send(feed.venue.hasEnded && !feed.venue.isNumberedPerTopic ? .endOfSession : .heartbeat, at: now)
        for instrument in feed.venue.idle(at: now) { feed.send(.idle(instrument), at: now) }
    }

    /// Where heartbeats have numbers of their own, the last ones are early enough to reach everybody.
    private func beatByMessage(_ feed: FeedOfWorld) {
        if let quietSince, now - quietSince > .milliseconds(2000) { return }
        feed.send(.messages([feed.venue.message(of: 0, at: now)]), at: now)
    }

    private func trade(_ feed: FeedOfWorld, _ random: SeededRandom) {
        var random = random
        let venue = feed.venue
        if !venue.isFrozen, !venue.hasEnded, !isQuiet {
            let messages = (0...random.below(4)).map { _ in
                venue.message(of: venue.instrument(by: &random), at: now)
            }
            feed.send(.messages(messages), at: now)
        }
        // Now and then a market is quiet.
        let pause: ClosedRange<Duration> =
            random.chance(0.005)
            ? .milliseconds(100) ... .milliseconds(1500) : .milliseconds(1) ... .milliseconds(25)
        let next = now + random.duration(pause)
        note(at: next) { [self, random] in trade(feed, random) }
    }

    /// The directory of a session at its begin, and once a second.
    private func repeatDirectory(_ feed: FeedOfWorld) {
        note(at: now + .seconds(1)) { [self] in repeatDirectory(feed) }
        sayDirectory(feed)
    }

    func sayDirectory(_ feed: FeedOfWorld) {
        guard !feed.venue.isFrozen, !feed.venue.hasEnded, !isQuiet else { return }
        let messages = feed.venue.directory(at: now)
        if !messages.isEmpty { feed.send(.messages(messages), at: now) }
    }
}

// MARK: - Making the world

extension Simulation {
    private func makeFeeds() {
        for number in 0...random.below(2) {
            let kind = relayed(random.element(of: VenueKind.allCases), number)
            let policy = kind.isHotHot ? .hotHot : random.element(of: FeedOptions.Policy.allCases)
            let name = "\(kind.name)\(number + 1)"
            var options = FeedOptions(
                name: name, feedProtocol: kind.feedProtocol, keys: kind.feedProtocol.keys,
                policy: policy)
            options.silence = random.element(of: [.milliseconds(300), .seconds(1), .seconds(3)])
            options.freshness = random.element(of: [.seconds(1), .seconds(2)])
            options.holdDown = random.element(of: [.milliseconds(500), .seconds(5)])
            options.subscribeRate = random.element(of: [10, 50, 100_000])
            options.linger = random.element(of: [.milliseconds(200), .seconds(5)])
            if kind == .soup {
                // A server says each second that it lives.
                options.silence = random.element(of: [.milliseconds(1500), .seconds(3)])
                options.freshness = .seconds(2)
            }
            let count = 2 + random.below(2)
            if kind.speaksITCH, random.chance(0.5) {
                options.recover.servers = ["udp://192.0.2.1:1", "udp://192.0.2.2:1"]
                options.recover.requestsPerSecond = random.element(of: [5, 100])
            }
            if kind == .pitch, random.chance(0.6) { addProxies(to: &options.recover) }
            options.journal = random.chance(0.5)
            if options.journal, random.chance(0.7) { options.start = .journal }
            if kind == .itch, !options.recover.servers.isEmpty { beginWithSession(&options, number) }
            options.paths = (0..<count).map { FeedPathOptions(of: name, number: $0) }
            let streams = streams(of: kind, count)
            if kind == .soup {
                for path in streams.indices where streams[path] {
                    options.paths[path].login = VenueLogin(user: "me", password: "secret")
                }
            }
            let venue = Venue(name, kind, instruments: 4 + random.below(8), at: now)
            let feed = FeedOfWorld(
                options, venue, isHeldWhole: kind != .sequenced || random.chance(0.5),
                heartbeatEvery: min(.milliseconds(250), options.silence / 3), at: now)
            feed.paths = (0..<count).map {
                SimulatedPath(
                    self, feed: number, index: $0, venue: venue, isStream: streams[$0],
                    random: random.fork(), at: now)
            }
            if kind == .soup {
                for path in feed.paths where path.isStream { path.server = SoupServer(self, path) }
            }
            if kind == .pitch {
                feed.proxies = options.recover.servers.indices.map {
                    GapProxyServer(self, feed, number: $0)
                }
            }
            if kind.hasGateways {
                for path in feed.paths {
                    path.upstream = UpstreamGateway(self, path, freshness: options.freshness)
                }
            }
            feeds.append(feed)
            trace.say(
                now, name,
                "\(kind.feedProtocol.rawValue), \(policy.rawValue), \(count) paths, silence \(options.silence.inMilliseconds) ms, freshness \(options.freshness.inMilliseconds) ms, \(venue.instruments.count) instruments"
            )
        }
    }

    /// Some chains are of a venue that numbers topics each by itself. The draws are its own, so that other worlds stay as
    /// they are.
    private func relayed(_ kind: VenueKind, _ number: Int) -> VenueKind {
        var own = SeededRandom(seed: plan.seed &* 611_953 &+ UInt64(number))
        return kind == .chain && own.chance(0.5) ? .relayed : kind
    }

    /// Some have to have the whole session, within a bound that is sometimes too low. The draws are its own, so that other
    /// worlds stay as they are.
    private func beginWithSession(_ options: inout FeedOptions, _ number: Int) {
        var own = SeededRandom(seed: plan.seed &* 104_729 &+ UInt64(number))
        guard own.chance(0.6) else { return }
        options.start = .session
        options.startMessages = own.element(of: [50, 100_000, 100_000])
        options.recover.requestsPerSecond = 1000
        guard own.chance(0.5) else { return }
        // Further ahead than the window reaches, so that what comes meanwhile is passed over.
        options.reorderCount = 256
        options.recover.count = 256
    }

    private func addProxies(to recover: inout RecoverOptions) {
        recover.servers = Array(["tcp://192.0.2.1:1", "tcp://192.0.2.2:1"].prefix(1 + random.below(2)))
        recover.groups = ["239.0.2.1:1"]
        recover.requestsPerSecond = random.element(of: [5, 100])
        recover.requestsPerMinute = random.element(of: [30, 1500])
        recover.messagesPerRequest = random.element(of: [10, 100])
    }

    /// Which of its paths are streams.
    private func streams(of kind: VenueKind, _ count: Int) -> [Bool] {
        switch kind {
        case .itch, .iex, .pitch, .mdp3: return Array(repeating: false, count: count)
        case .sequenced, .chain, .relayed: return Array(repeating: true, count: count)
        case .soup:
            let isMixed = random.chance(0.5)
            let first = random.below(count)
            return (0..<count).map { $0 == first || !isMixed || random.chance(0.5) }
        }
    }

    private func makeClients() {
        let quick = { (random: inout SeededRandom) in
            SimulatedClient.Habit(
                latency: random.duration(.microseconds(50) ... .milliseconds(2)), highWater: 1_000_000,
                batch: 1_000_000)
        }
        let slow = SimulatedClient.Habit(latency: .milliseconds(30), highWater: 60, batch: 20)
        var wanderer = quick(&random)
        wanderer.wanders = true
        let habits = [
            (quick(&random), true), (quick(&random), false), (slow, true), (slow, false), (wanderer, false),
        ]
        for (number, (habit, takesAll)) in habits.enumerated() {
            clients.append(SimulatedClient(self, number + 1, habit, wants: wants(all: takesAll)))
        }
        // Those who take batches.
        for habit in [habits[0].0, slow] {
            clients.append(SimulatedClient(self, clients.count + 1, habit, wants: feeds.flatMap(batches)))
        }
    }

    /// A feed in as few frames as it comes in, where it has batches.
    private func batches(of feed: FeedOfWorld) -> [String] {
        let name = feed.options.name
        return ["control/\(name)/"] + (feed.venue.isNumberedPerTopic ? [] : ["batch/\(name)/"])
    }

    private func wants(all: Bool) -> [String] {
        feeds.flatMap { feed in
            let some = feed.venue.instruments.indices.filter { _ in all || random.chance(0.4) }
            let data =
                all && feed.isHeldWhole ? ["md/\(feed.options.name)/"] : some.map { topic($0, of: feed) }
            return ["control/\(feed.options.name)/"] + data
        }
    }

    /// How clients ask for an instrument.
    func topic(_ instrument: Int, of feed: FeedOfWorld) -> String {
        let isNone = instrument == 0 && feed.venue.hasUnnamed
        return Topic.marketData(
            feed: feed.options.name, instrument: isNone ? nil : feed.venue.instruments[instrument]
        ).text
    }
}
