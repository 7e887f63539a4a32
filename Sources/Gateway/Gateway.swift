// The gateway on its loop: feeds, the socket that clients subscribe to, the health bus, and the agents that it
// follows. A reload keeps every feed whose options did not change.
import Arbitration
import Basics
public import Configuration
import FeedJournal
public import Logging
public import Messaging
public import Reactor
public import Linux
public import Wire

/// The whole gateway.
public final class Gateway {
    private let context: MessagingContext
    private let loop: EventLoop
    private let logger: Logger
    private let limited: LimitedLog
    private var options: GatewayOptions
    private var credentials: Credentials?
    private let authenticator: Authenticator?
    private let downstream: Downstream
    private var health: HealthBus?
    private var links: LinkWatch?
    private let batch = DatagramBatch(slots: MulticastSource.slots)
    private let worker: Worker
    /// Looks up names: a name server that does not answer keeps no group from being joined.
    private let names: NameLookups
    /// For files that feeds come from.
    private let files: Worker
    /// For what is journalled: it may wait for the disk as long as the disk likes.
    private let journalWorker: Worker
    private let journalBudget: JournalBudget
    private let repairs: RepairDesk
    private let pulls: PullDesk
    private var replicas: [Replica] = []
    private var replicaTimer: Timer?
    private var replicaSamples: SampleClock
    private let snapshots: SnapshotDesk
    private var clients: ClientDesk?
    private var feeds: [String: Feed] = [:]
    /// Feeds that are opened as soon as what their journals remember is read.
    private var opening: [String: OpeningFeed] = [:]
    /// Of feeds that a reload dropped, or changed: these come again when it is closed.
    private let closing: ClosingJournals
    /// What an operator asked of feeds that a reload changed, until they are there again.
    private var orders: [String: OperatorOrders] = [:]
    /// What such feeds had used of their venues' limits.
    private var usages: [String: QuotaUsage] = [:]
    private let incarnation: Incarnation
    /// How many feeds were opened; each is a run of its own.
    private var opened: Int64 = 0
    private var agents: [AgentFollower] = []
    private var dependencies = DependencyWatch()

    /// Opens everything and begins to work as soon as the loop runs.
    ///
    /// - Parameters:
    ///   - credentials: for what is beyond this host, in either direction; not read without such.
    ///   - incarnation: this run's number; `nil`: the time now.
    /// - Throws: `BusError` when an endpoint cannot be bound; feeds that cannot be reached yet are no error.
    public init(
        _ options: GatewayOptions, credentials: Credentials? = nil, context: MessagingContext,
        loop: EventLoop, logger: Logger, incarnation: Incarnation? = nil
    ) throws(BusError) {
        self.options = options
        self.credentials = credentials
        self.context = context
        self.loop = loop
        self.logger = logger
        self.incarnation = incarnation ?? Incarnation(startedAt: loop.wall)
        snapshots = SnapshotDesk(loop)
        journalBudget = JournalBudget(most: options.journal.mostWaitingInAll)
        do throws(SystemError) {
            replicaSamples = SampleClock(every: options.bus.sampleEvery)
            // Each group has one job at a time, and one more when it is left: of 64 feeds with 8 paths, 64 groups each.
            worker = try Worker(loop, capacity: 64 * 8 * 64 * 2)
            names = try NameLookups(loop, mostAsked: 64 * 8 * 2)
            // Each path and each directory has one.
            files = try Worker(loop, capacity: 64 * (8 + 1))
            let reader = try Worker(loop)
            let segments = SegmentBook()
            repairs = RepairDesk(loop, reader, segments)
            pulls = PullDesk(
                loop, reader, segments,
                ReplicaLimits(
                    warning: options.journal.replicaWarning, critical: options.journal.replicaCritical))
            journalWorker = try Gateway.journalWorker(loop, options.journal)
            closing = try ClosingJournals(loop, patience: Feed.patience)
            limited = try LimitedLog(loop, logger)
        } catch {
            throw .system(error)
        }
        let limited = limited
        authenticator = credentials.map { Authenticator($0, log: limited) }
        downstream = try Downstream(
            loop,
            at: ServerEndpoints(
                options.publish, plaintext: options.plaintext, authenticator: authenticator),
            log: limited)
        downstream.owner = self
        let book = HealthBook(
            host: options.host ?? hostName(), incarnation: self.incarnation,
            heartbeatEvery: options.bus.heartbeatEvery, expiresAfter: options.bus.expiresAfter,
            stateEvery: options.bus.stateEvery)
        health = try HealthBus(
            context, loop, book: book, publish: options.bus.publish, request: options.bus.request,
            authenticator: authenticator, logger: logger, limited: limited
        ) { [unowned self] in answer($0) }
        health?.otherAccess = { [unowned self] in downstream.access }
        do throws(SystemError) {
            replicaTimer = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in tellEachSecond() }
            clients = try health.map { health throws(SystemError) in
                try ClientDesk(loop, health, log: limited)
            }
            links = try LinkWatch(loop) { [unowned self] event in
                switch event {
                case .link(let news): for feed in feeds.values { feed.linkChanged(news) }
                case .unknown: for feed in feeds.values { feed.linkChanged(nil) }
                }
            }
        } catch {
            throw .system(error)
        }
        health?.describe = { [unowned self] in fields(of: $0) }
        health?.takesOn = { [unowned self] in takesOn($0, $1, $2) }
        closing.onClosed = { [unowned self] in journalClosed($0) }
        tellPlaintext()
        if let failure = openAll(waitsForMemory: true).first { throw failure.error }
        tellEachSecond()
    }

    /// The thread that writes journals. Each channel has one job at a time.
    private static func journalWorker(
        _ loop: EventLoop, _ options: JournalOptions
    ) throws(SystemError) -> Worker {
        do throws(SystemError) {
            return try Worker(loop, capacity: 64 * JournalKeeper.mostChannels, on: options.processors)
        } catch {
            guard let processors = options.processors else { throw error }
            throw SystemError(
                "[journal] processors \(processors): none of them can be used", number: error.number)
        }
    }

    /// What leaves this host in the clear, and what reaches it so, is said at each start and reload.
    private func tellPlaintext() {
        for endpoint in options.plaintext {
            logger.event(
                .plaintextPublished,
                "market data goes out in the clear at \(endpoint), to whoever connects: [downstream] plaintext",
                ["endpoint": "\(endpoint)"])
        }
        for feed in options.feeds {
            for path in feed.paths where path.plaintext {
                guard let endpoint = path.endpoint, !Endpoint.isLocal(endpoint) else { continue }
                logger.event(
                    .plaintextReceived,
                    "feed \(feed.name) comes in the clear from \(endpoint), path \(path.name): plaintext = true",
                    ["endpoint": "\(endpoint)", "feed": "\(feed.name)", "path": "\(path.name)"])
            }
        }
    }

    /// HOLDFAST_FEED and HOLDFAST_PATH of a subject's entries.
    private func fields(of subject: Subject) -> Logger.Metadata {
        if subject.kind == .client { return ["client": "\(subject.name)"] }
        for feed in options.feeds {
            if feed.subject == subject { return ["feed": "\(feed.name)"] }
            for (index, path) in feed.paths.enumerated() where feed.subject(ofPath: index) == subject {
                return ["feed": "\(feed.name)", "path": "\(path.name)"]
            }
        }
        return [:]
    }

    /// Tells subscribers of the health bus that the gateway is about to end, and why, and journals what waits.
    public func stops(because reason: String) {
        health?.stops(because: reason)
        let end = Clock.monotonic + Feed.patience
        // No feed is opened any more, whose journal comes to be open meanwhile.
        for feed in opening.values { feed.journal.onOpened = nil }
        closing.onClosed = nil
        for feed in feeds.values { feed.closeJournal(until: end) }
        for feed in opening.values { feed.journal.close(until: end) }
        closing.close(until: end)
    }

    /// One line for `systemctl status`.
    public var summary: String {
        "\(feeds.count) feed\(feeds.count == 1 ? "" : "s"), \(downstream.clients) clients, worst status \(health?.worst.rawValue ?? "unknown")"
    }

    /// Where the sockets are bound, with the ports that the kernel chose: market data, health, requests.
    public var endpoints: (data: String, health: String, requests: String) {
        (downstream.lastEndpoint, health?.publishEndpoint ?? "", health?.requestEndpoint ?? "")
    }

    private var host: String { options.host ?? hostName() }

    /// Connections that the `status` request names.
    private static let mostConnectionsShown = 256

    // MARK: - Feeds

    /// How long feeds that take up their journals wait for the disk before they listen, all of them together.
    private static let patienceForMemory: Duration = .seconds(2)

    /// What cannot be opened, or followed.
    private struct Failure {
        let what: String
        let error: BusError
    }

    /// Opens whatever is not there yet; what cannot be keeps nothing else from it.
    ///
    /// - Parameter waitsForMemory: while other feeds run, nobody waits for the disk; a feed that needs it is opened
    ///   later.
    private func openAll(waitsForMemory: Bool = false) -> [Failure] {
        openFeeds(waitsForMemory: waitsForMemory) + followAgents() + openReplicas()
    }

    private func attempt(_ what: String, _ opens: () throws(BusError) -> Void) -> Failure? {
        do throws(BusError) {
            try opens()
            return nil
        } catch {
            return Failure(what: what, error: error)
        }
    }

    private func tell(_ failures: [Failure]) {
        for failure in failures {
            logger.event(
                .upstreamFailed, "\(failure.what) cannot be opened, until the next reload: \(failure.error)")
        }
    }

    private func openFeeds(waitsForMemory: Bool) -> [Failure] {
        let journals = newJournals()
        if waitsForMemory {
            let end = Clock.monotonic + Gateway.patienceForMemory
            for journal in journals.values { journal.waitForMemory(until: end) }
        }
        return options.feeds.enumerated().compactMap { index, feed in
            if let kept = feeds[feed.name] {
                kept.engine.index = UInt16(clamping: index)
                return nil
            }
            guard opening[feed.name] == nil else { return nil }
            let journal = journals[feed.name]
            if feed.journal, journal == nil {
                announce(feed)
                return nil
            }
            return openFeed(feed, index: index, journal, waitsForMemory: waitsForMemory)
        }
    }

    /// Where that fails, a feed that clients may have subscribed to is gone.
    private func openFeed(
        _ feed: FeedOptions, index: Int, _ journal: JournalKeeper?, waitsForMemory: Bool = false
    ) -> Failure? {
        let failure = attempt("feed \(feed.name)") { () throws(BusError) in
            if let journal, journal.isOpening, !waitsForMemory {
                try openLater(feed, journal)
            } else {
                try open(feed, index: index, journal)
            }
        }
        if failure != nil { downstream.removeFeed(feed.name) }
        return failure
    }

    /// The journals of feeds that are not there: all of them are read at the same time. Where the last one is not closed
    /// there is none yet.
    private func newJournals() -> [String: JournalKeeper] {
        var journals: [String: JournalKeeper] = [:]
        for feed in options.feeds where feed.journal && feeds[feed.name] == nil && opening[feed.name] == nil {
            guard !closing.contains(feed.name) else { continue }
            journals[feed.name] = journal(of: feed)
        }
        return journals
    }

    /// What writes in the same folder, and has waited for this, is opened.
    private func journalClosed(_ name: String) {
        if let index = options.feeds.firstIndex(where: { $0.name == name && $0.journal }), feeds[name] == nil
        {
            let feed = options.feeds[index]
            if let failure = openFeed(feed, index: index, journal(of: feed)) { tell([failure]) }
        }
        tell(openReplicas())
    }

    private func journal(of feed: FeedOptions) -> JournalKeeper {
        let log = Feed.log(feed.subject, logger(of: feed), limited)
        return JournalKeeper(
            feed,
            JournalSurroundings(
                options: options.journal, loop: loop, worker: journalWorker, budget: journalBudget, log: log,
                run: nextRun()))
    }

    private func logger(of feed: FeedOptions) -> Logger {
        var logger = logger
        logger[metadataKey: "feed"] = "\(feed.name)"
        return logger
    }

    private func open(_ feed: FeedOptions, index: Int, _ journal: JournalKeeper?) throws(BusError) {
        guard let health else { return }
        let surroundings = FeedSurroundings(
            loop: loop, batch: batch, worker: worker, names: names, files: files, downstream: downstream,
            health: health, logger: logger(of: feed), limited: limited,
            controlEvery: options.controlEvery, sampleEvery: options.bus.sampleEvery, host: host,
            run: journal?.run ?? nextRun(),
            keys: credentials?.keys,
            lines: unicastPorts)
        let opened = try Feed(
            feed, index: UInt16(clamping: index), journal: journal, orders[feed.name] ?? OperatorOrders(),
            usages[feed.name] ?? QuotaUsage(), surroundings)
        orders[feed.name] = nil
        usages[feed.name] = nil
        feeds[feed.name] = opened
        replayHealth(to: opened)
    }

    private var unicastPorts: Set<UInt16> {
        Set(
            options.feeds.flatMap(\.paths).flatMap(\.groups).compactMap { IPv4Endpoint($0) }
                .filter { !$0.address.isMulticast }.map(\.port))
    }

    /// Clients may subscribe to a feed that is not open yet.
    private func announce(_ feed: FeedOptions) {
        downstream.addFeed(feed.name, linger: feed.upstreamLinger, hasBatches: feed.hasBatches)
    }

    private func openLater(_ feed: FeedOptions, _ journal: JournalKeeper) throws(BusError) {
        do throws(SystemError) {
            opening[feed.name] = try OpeningFeed(
                feed, journal, loop, patience: Gateway.patienceForMemory
            ) { [unowned self] in openNow(feed.name) }
        } catch {
            throw .system(error)
        }
        announce(feed)
    }

    private func openNow(_ name: String) {
        guard let ready = opening.removeValue(forKey: name),
            let index = options.feeds.firstIndex(where: { $0.name == name })
        else { return }
        ready.journal.onOpened = nil
        let failure = openFeed(ready.options, index: index, ready.journal, waitsForMemory: true)
        if let failure { tell([failure]) }
    }

    /// A number for one feed's frames until the feed is built anew: the low bits of the incarnation, counted on.
    /// An incarnation is above the one before by the microseconds in between, which are more than feeds.
    private func nextRun() -> UInt32 {
        defer { opened += 1 }
        let run = UInt32(truncatingIfNeeded: incarnation.number &+ opened)
        return run == 0 ? 1 : run
    }

    private func followAgents() -> [Failure] {
        let new = options.agents.filter { endpoint in !agents.contains { $0.endpoint == endpoint } }
        return new.compactMap { endpoint in
            attempt("the agent at \(endpoint.publish)") { () throws(BusError) in
                agents.append(
                    try AgentFollower(
                        context, loop, endpoint, keys: credentials?.keys, logger: logger, limited: limited
                    ) { [unowned self] in heard($0, $1, $2, happenedAt: $3)
                    })
            }
        }
    }

    // MARK: - Replicas

    private func openReplicas() -> [Failure] {
        guard let health else { return [] }
        // What a feed still writes there is waited for.
        let new = options.replicas.filter { wanted in
            !replicas.contains { $0.options == wanted } && closing.feeds.isDisjoint(with: wanted.feeds)
        }
        return new.compactMap { wanted in
            attempt("the replica of \(wanted.request)") { () throws(BusError) in
                replicas.append(try open(wanted, health))
            }
        }
    }

    private func open(_ wanted: ReplicaOptions, _ health: HealthBus) throws(BusError) -> Replica {
        var logger = logger
        logger[metadataKey: "endpoint"] = "\(wanted.request)"
        let log: EventLog = { [limited, logger] in limited.event($0, key: wanted.request, $1, by: logger) }
        return try Replica(
            wanted,
            ReplicaSurroundings(
                context: context, loop: loop, worker: journalWorker, journal: options.journal,
                sampleEvery: options.bus.sampleEvery, health: health, log: log, host: host,
                keys: credentials?.keys))
    }

    /// How far the replicas of what is journalled here are behind.
    private func tellReplicas() {
        let isSampling = replicaSamples.isDue(at: loop.now)
        let (reports, gone) = pulls.reports(feeds, opening: closing.feeds.union(opening.keys))
        for report in reports {
            health?.report(report)
            if isSampling { health?.sample(Sample(report.subject, report.values)) }
        }
        for subject in gone { health?.forget(subject) }
    }

    private func tellEachSecond() {
        tellReplicas()
        tellUntold()
        replicaTimer?.arm(at: loop.now + .seconds(1))
    }

    // MARK: - Agents

    /// The word on a subject is the cause of what is of this host only if its agent is.
    ///
    /// - Parameter status: `nil`: the agent watches it no more, so that it explains nothing.
    private func heard(
        _ agent: AgentFollower, _ subject: Subject, _ status: Status?, happenedAt: WallTime?
    ) {
        if isOwn(agent) {
            if let status { health?.heard(subject, status) } else { health?.forgetHeard(subject) }
        }
        let at = happenedAt.flatMap { time(of: $0, toldBy: agent) }
        for dependency in names(of: subject, toldBy: agent) {
            for feed in feeds.values { feed.health(dependency, status ?? .unknown, happenedAt: at) }
        }
    }

    private func isOwn(_ agent: AgentFollower) -> Bool {
        agent.endpoint.isOwn(saying: agent.host, among: options.agents, on: host)
    }

    /// When something happened, by an agent of this host; another host's clock is another one.
    private func time(of wall: WallTime, toldBy agent: AgentFollower) -> Instant? {
        agent.endpoint.isLocal || agent.host == host ? loop.now - (loop.wall - wall) : nil
    }

    /// What paths call an agent's subject.
    private func names(of subject: Subject, toldBy agent: AgentFollower) -> [Dependency] {
        (isOwn(agent) ? [Dependency(subject)] : []) + (agent.host.map { [Dependency(subject, of: $0)] } ?? [])
    }

    /// A feed that was opened after its agents were heard.
    private func replayHealth(to feed: Feed) {
        for agent in agents {
            for state in agent.states {
                for dependency in names(of: state.subject, toldBy: agent) {
                    feed.health(
                        dependency, state.status, happenedAt: time(of: state.since, toldBy: agent))
                }
            }
        }
    }

    /// Agents that are followed no longer, or that tell of this host no longer: what they said of it holds no longer, but
    /// where another one says it, too.
    private func forget(_ gone: [AgentFollower], own: [AgentFollower]) {
        let strange = own.filter { agent in !isOwn(agent) || gone.contains { $0 === agent } }
        guard !gone.isEmpty || !strange.isEmpty else { return }
        for agent in strange {
            for state in agent.states { health?.forgetHeard(state.subject) }
        }
        for feed in feeds.values {
            feed.forget(feed.dependencies.filter { isTold($0) == false })
            replayHealth(to: feed)
        }
        for agent in agents where isOwn(agent) {
            for state in agent.states { health?.heard(state.subject, state.status) }
        }
    }

    /// Whose word on what a path depends on counts, if they have one.
    private func tellers(of dependency: Dependency) -> [AgentFollower] {
        agents.filter { agent in dependency.host.map { agent.host == $0 } ?? isOwn(agent) }
    }

    /// Whether an agent tells of what a path depends on; `nil`: that is not known yet.
    private func isTold(_ dependency: Dependency) -> Bool? {
        let tellers = tellers(of: dependency)
        if tellers.contains(where: { $0.knows(dependency.subject) }) { return true }
        return tellers.allSatisfy(\.isComplete) ? false : nil
    }

    /// Whether an agent that lives tells of what a path depends on.
    private func isGuarded(_ dependency: Dependency) -> Bool {
        tellers(of: dependency).contains { $0.liveness == .alive && $0.knows(dependency.subject) }
    }

    /// Paths that depend on what no agent tells of say so.
    private func tellUntold() {
        let all = feeds.values.reduce(into: Set<Dependency>()) { $0.formUnion($1.dependencies) }
        dependencies.look(all.filter { !isGuarded($0) }, at: loop.now)
        for feed in feeds.values { feed.untold(dependencies.untold) }
    }

    // MARK: - Reload

    /// Takes over new options and credentials. Feeds and agents that are the same stay as they are, but for those
    /// beyond this host if our keys are others.
    ///
    /// What cannot be opened is told, and keeps nothing else from it.
    ///
    /// - Throws: `ReloadRefusal` when something changed that needs a restart; then nothing is changed.
    public func reload(
        _ new: GatewayOptions, credentials newCredentials: Credentials? = nil
    ) throws(ReloadRefusal) {
        guard new.bus == options.bus, new.publish == options.publish,
            new.plaintext == options.plaintext, new.host == options.host, new.journal == options.journal,
            new.controlEvery == options.controlEvery
        else { throw .needsRestart }
        let (old, oldKeys) = (options, credentials?.keys)
        options = new
        credentials = newCredentials
        if let newCredentials { authenticator?.renew(newCredentials) }
        let kept = Set(new.feeds.filter { old.feeds.contains($0) }.map(\.name))
        // Others' heartbeats do not wait for the disk.
        for (name, feed) in feeds where !kept.contains(name) {
            orders[name] = feed.machine.orders
            feed.close()
            // Nothing more is asked for: its sources go with it, before the loop goes on.
            usages[name] = feed.usage
            feeds[name] = nil
            if let journal = feed.journal { closing.add(journal, of: name) }
        }
        for (name, feed) in opening where !kept.contains(name) {
            opening[name] = nil
            downstream.removeFeed(name)
            closing.add(feed.journal, of: name)
        }
        // Those that were still waited for, too.
        for name in closing.feeds.subtracting(kept) { downstream.removeFeed(name) }
        orders = orders.filter { order in new.feeds.contains { $0.name == order.key } }
        usages = usages.filter { usage in new.feeds.contains { $0.name == usage.key } }
        let gone = agents.filter { !new.agents.contains($0.endpoint) }
        let own = agents.filter { $0.endpoint.isOwn(saying: $0.host, among: old.agents, on: host) }
        agents.removeAll { !new.agents.contains($0.endpoint) }
        forget(gone, own: own)
        for replica in replicas where !new.replicas.contains(replica.options) { replica.close() }
        replicas.removeAll { !new.replicas.contains($0.options) }
        if let keys = credentials?.keys, keys != oldKeys {
            for feed in feeds.values { feed.rekey(keys) }
            for agent in agents { agent.rekey(keys) }
            for replica in replicas { replica.rekey(keys) }
        }
        tell(openAll())
        tellPlaintext()
    }
}

/// Why a reload did not happen.
public enum ReloadRefusal: JournalledError, Hashable, Sendable, CustomStringConvertible {
    case needsRestart

    public var event: JournalEvent {
        switch self {
        case .needsRestart: .reloadNeedsRestart
        }
    }

    public var description: String {
        switch self {
        case .needsRestart:
            "host, [bus], [downstream] and [journal] cannot change while the gateway runs: restart it for those"
        }
    }
}

// MARK: - Clients

extension Gateway: DownstreamOwner {
    func granted(_ request: TopicRequest, to connection: Int32) {
        switch request {
        case .data(let feed, _), .control(let feed, _), .batch(let feed, _):
            feeds[feed]?.granted(request, to: connection)
        case .sync(let nonce): downstream.mark(syncFrame(nonce), to: connection)
        }
    }

    func departed(_ connection: Int32) { for feed in feeds.values { feed.departed(connection) } }

    func upstream(_ action: SubscriptionAction) {
        switch action {
        case .subscribeUpstream(let feed, let topic): feeds[feed]?.subscribe(topic)
        case .hastenUpstream(let feed, let topic): feeds[feed]?.hasten(topic)
        case .unsubscribeUpstream(let feed, let topic): feeds[feed]?.unsubscribe(topic)
        case .grant, .revoke, .refuse, .narrow: break
        }
    }

    private func syncFrame(_ nonce: String) -> [UInt8] {
        let header = FrameHeader(
            kind: .sync, feed: 0, channel: 0, epoch: 0, sequence: 0, state: .live, receiveTime: loop.wall)
        var frame: [UInt8] = []
        header.encode(topic: Topic.sync(nonce: nonce).bytes[...], body: [], into: &frame)
        return frame
    }
}

// MARK: - Requests

extension Gateway {
    private func answer(_ request: Request) -> Reply {
        do throws(PathRefusal) {
            switch request {
            case .status, .history: return .done(statusMembers)
            case .repair, .pull, .snapshot, .lease: return .refused("it is answered otherwise")
            case .switch(let feed, let path, let hold): return try switchFeed(feed, to: path, hold: hold)
            case .release(let feed): return release(feed)
            case .mute(let subject, let duration): return try mute(subject, for: duration)
            case .unmute(let subject): return try unmute(subject)
            }
        } catch {
            return .refused("\(error)")
        }
    }

    /// Requests whose answers depend on who asks, and have frames some of them.
    private func takesOn(_ request: Request, _ caller: Caller, _ responder: Responder) -> Bool {
        switch request {
        case .repair(let request): repairs.answer(request, find(request.feed), caller, responder)
        case .pull(let request): pulls.answer(request, find(request.feed), caller, responder)
        case .snapshot(let request): snapshots.answer(request, find(request.feed), caller, responder)
        case .lease(let lease):
            let allowed = credentials?.allowed ?? AllowList()
            clients?.answer(lease, caller, among: allowed, responder, find: find)
        case .status, .history, .switch, .release, .mute, .unmute: return false
        }
        return true
    }

    private func find(_ name: String) -> NamedFeed {
        if let feed = feeds[name] { return .open(feed) }
        return isComing(name) ? .opening : .unknown
    }

    /// Whether a feed is configured and will be there as soon as its journal is closed, or read.
    private func isComing(_ name: String) -> Bool {
        guard feeds[name] == nil, opening[name] != nil || closing.contains(name) else { return false }
        return options.feeds.contains { $0.name == name }
    }

    /// Why an operator cannot move a feed, or let it go.
    private func absence(of name: String) -> Reply {
        isComing(name)
            ? .refused("feed \(name) is being opened: ask again")
            : .refused("there is no feed \(name); there is \(list(options.feeds.map(\.name)))")
    }

    private func switchFeed(_ name: String, to path: String, hold: Bool) throws(PathRefusal) -> Reply {
        guard let feed = feeds[name] else { return absence(of: name) }
        guard let index = feed.path(named: path) else {
            return .refused(
                "feed \(name) has no path \(path); it has \(list(feed.options.paths.map(\.name)))")
        }
        try feed.switchTo(index, hold: hold)
        return .done([JSON.Member("feed", .string(name)), JSON.Member("path", .string(path))])
    }

    private func release(_ name: String) -> Reply {
        guard let feed = feeds[name] else { return absence(of: name) }
        guard feed.release() else { return .refused("feed \(name) is not held") }
        return .done([JSON.Member("feed", .string(name))])
    }

    private func mute(_ subject: Subject, for duration: Duration) throws(PathRefusal) -> Reply {
        let concerned = feeds.values.filter { $0.options.concerns(subject) }
        let coming = options.feeds.filter { isComing($0.name) && $0.concerns(subject) }
        guard !concerned.isEmpty || !coming.isEmpty else {
            return .refused("no feed and no path depends on \(subject)")
        }
        for feed in concerned { try feed.mute(subject, until: loop.now + duration) }
        for feed in coming {
            orders[feed.name, default: OperatorOrders()].mutes[subject] = loop.now + duration
        }
        let until = loop.wall + duration
        return .done([JSON.Member("until", .string(until.rfc3339))])
    }

    private func unmute(_ subject: Subject) throws(PathRefusal) -> Reply {
        let concerned = feeds.values.filter { $0.machine.mutes[subject] != nil }
        let coming = orders.filter { $0.value.mutes[subject] != nil }.keys
        guard !concerned.isEmpty || !coming.isEmpty else { throw .notMuted(subject) }
        for feed in concerned { try feed.unmute(subject) }
        for feed in coming { orders[feed]?.mutes[subject] = nil }
        return .done([])
    }

    private func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }

    /// What `status` adds to the states: clients, what they were refused, and the agents that are followed.
    private var statusMembers: [JSON.Member] {
        let counters = unsafe downstream.table.counters
        let refused = downstream.refusals.elements.map { refusal in
            JSON.object(
                members(of: refusal.peer) + [
                    JSON.Member("prefix", .string(refusal.prefix)),
                    JSON.Member("error", .string(refusal.reason)),
                    JSON.Member("at", .string(refusal.at.rfc3339)),
                ])
        }
        let connections = downstream.connections(atMost: Gateway.mostConnectionsShown).map { connection in
            JSON.object(
                members(of: connection.peer) + [
                    JSON.Member("subscriptions", .integer(Int64(connection.subscriptions))),
                    JSON.Member("dropped_messages", count(connection.dropped)),
                ])
        }
        return [
            JSON.Member("clients", .integer(Int64(downstream.clients))),
            JSON.Member("subscriptions", .integer(Int64(unsafe downstream.table.count))),
            JSON.Member("subscriptions_granted", count(counters.granted)),
            JSON.Member("subscriptions_refused", count(counters.refused.values.reduce(0, &+))),
            JSON.Member("unsubscriptions_ignored", count(counters.notHeld)),
            JSON.Member("malformed_client_messages", count(downstream.malformed)),
            JSON.Member("broken_client_connections", count(downstream.broken)),
            JSON.Member("dropped_messages", count(downstream.dropped)),
            JSON.Member("repairs", count(repairs.repairs)),
            JSON.Member("repaired_frames", count(repairs.frames)),
            JSON.Member("postponed_repairs", count(repairs.postponed)),
            JSON.Member("snapshots", count(snapshots.snapshots)),
            JSON.Member("snapshot_frames", count(snapshots.frames)),
            JSON.Member("postponed_snapshots", count(snapshots.postponed)),
            JSON.Member("leases", .integer(Int64(clients?.count ?? 0))),
            JSON.Member("postponed_leases", count(clients?.postponed ?? 0)),
            JSON.Member("refused_leases", count(clients?.refused ?? 0)),
            JSON.Member("refused_requests", count(health?.refusedRequests ?? 0)),
            JSON.Member("connections", .array(connections)),
            JSON.Member("refused", .array(refused)),
            JSON.Member("agents", .array(agents.map(agentMember))),
        ]
    }

    private func members(of peer: Peer) -> [JSON.Member] {
        [
            JSON.Member("client", peer.client.map { .string($0) } ?? .null),
            JSON.Member("address", peer.address.map { .string($0) } ?? .null),
        ]
    }

    private func count(_ value: UInt64) -> JSON { .integer(Int64(clamping: value)) }

    private func agentMember(_ agent: AgentFollower) -> JSON {
        let liveness =
            switch agent.liveness {
            case .neverHeard: "never heard"
            case .alive: "alive"
            case .expired: "expired"
            }
        return .object([
            JSON.Member("publish", .string(agent.endpoint.publish)),
            JSON.Member("host", agent.host.map { .string($0) } ?? .null),
            JSON.Member("liveness", .string(liveness)),
            JSON.Member("trouble", agent.trouble.map { .string($0) } ?? .null),
            JSON.Member("malformed", count(agent.malformed)),
        ])
    }
}
