// One feed: its sources, its path machine and its engine, joined on the loop. Decisions are the machines';
// this shell carries them out and tells the health bus.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// What a feed uses of the gateway.
struct FeedSurroundings {
    let loop: EventLoop
    let batch: DatagramBatch
    /// Joins groups.
    let worker: Worker
    /// Looks up the names of peers.
    let names: NameLookups
    /// Reads files: one on a mount that hangs stops no join and no connection.
    let files: Worker
    let downstream: Downstream
    let health: HealthBus
    let logger: Logger
    let limited: LimitedLog
    let controlEvery: Duration
    let sampleEvery: Duration
    /// The gateway's name on the health bus.
    let host: String
    /// The number of this run of the feed.
    let run: UInt32
    /// Ours, for paths with a server key.
    let keys: KeyPair?
    /// The ports of all feeds' unicast lines.
    let lines: Set<UInt16>
}

final class Feed {
    /// How often figures are published.
    static let reportEvery: Duration = .seconds(1)

    let core: FeedCore
    /// `nil`: nothing is journalled.
    let journal: JournalKeeper?
    private let surroundings: FeedSurroundings
    private var sources: [any FeedSource] = []
    /// What its paths depend on and no agent tells of.
    private var unguarded: Set<Dependency> = []
    private var alarms: [LossAlarm]
    /// What was refused of each path, as far as the journal knows of it.
    private var notices: [RefusalNotice]
    private var messageNotice = RefusalNotice()
    private var timer: Timer?
    private var reporting: Timer?
    private var samples: SampleClock
    /// Sequences told as missing of which the journal knows.
    private var loggedGaps: UInt64 = 0
    /// The requests that nobody answered of which the journal knows.
    private var loggedUnanswered: UInt64 = 0
    private let recovery: (any FeedRecovery)?
    private let book = UpstreamBook()
    /// `nil`: none is configured.
    private var directory: DirectoryFile?

    /// - Parameters:
    ///   - journal: what an earlier run left in it is known, or has taken too long.
    ///   - orders: what an operator asked of the feed before it was changed.
    ///   - usage: what it had used of its venue's limits by then.
    init(
        _ options: FeedOptions, index: UInt16, journal: JournalKeeper?, _ orders: OperatorOrders,
        _ usage: QuotaUsage, _ surroundings: FeedSurroundings
    ) throws(BusError) {
        self.surroundings = surroundings
        self.journal = journal
        samples = SampleClock(every: surroundings.sampleEvery)
        alarms = options.paths.map { _ in LossAlarm() }
        notices = options.paths.map { _ in RefusalNotice() }
        let log = Feed.log(options.subject, surroundings.logger, surroundings.limited)
        recovery = try Feed.recovery(options, usage, surroundings, log)
        core = FeedCore(
            EnginePlan(
                options: options, index: index, run: surroundings.run,
                controlEvery: surroundings.controlEvery, sink: surroundings.downstream, journal: journal,
                log: log, now: surroundings.loop.now, recovery: recovery, usage: usage))
        do throws(SystemError) {
            // What has arrived is read before anybody calls a path silent.
            timer = try Timer(surroundings.loop, accuracy: .microseconds(500), isLast: true) {
                [unowned self] in core.tick(at: now, wall: wall)
            }
            reporting = try Timer(surroundings.loop, accuracy: .milliseconds(10)) { [unowned self] in
                measure()
            }
        } catch {
            throw .system(error)
        }
        core.owner = self
        recovery?.start(
            { [unowned self] in core.recovered($0, from: $1, receivedAt: $2, at: now, wall: wall) },
            { [unowned self] in core.rejected($0, by: $1, at: now) })
        journal?.onMemory = { [unowned self] in core.remember($1, channel: $0, at: now, wall: wall) }
        if let path = options.directoryFile {
            directory = DirectoryFile(
                DirectoryWatch(path, calendar: options.session), surroundings.loop, surroundings.files,
                log: log
            ) { [unowned self] in core.learn($0, at: now, wall: wall) }
        }
        for path in options.paths.indices { sources.append(try openSource(path, usage)) }
        surroundings.downstream.addFeed(
            options.name, linger: options.upstreamLinger, hasBatches: engine.hasBatches)
        core.start(
            unsafe surroundings.downstream.table.requests(of: options.name),
            OperatorOrders(heldOn: orders.heldOn, mutes: orders.mutes.filter { options.concerns($0.key) }),
            at: now, wall: wall)
        tellHoldEnded(orders)
        measure()
    }

    private func tellHoldEnded(_ orders: OperatorOrders) {
        guard let name = orders.heldOn, !machine.isHeld else { return }
        tell(
            .feedReleased,
            "feed \(options.name) is no longer held on path \(name), which is none that it can be held on any more",
            path: name)
    }

    /// How long the end of a feed, or of all, waits for the disk.
    static let patience: Duration = .seconds(2)

    /// Writes what waits to be journalled, until then at most.
    func closeJournal(until end: Instant) { journal?.close(until: end) }

    /// Says goodbye on the bus; the sources close with the feed. Its journal is the caller's to close.
    func close() {
        core.close()
        surroundings.downstream.removeFeed(options.name)
        for path in options.paths.indices { surroundings.health.forget(options.subject(ofPath: path)) }
        surroundings.health.forget(options.subject)
    }

    /// What it has used of its venue's limits of late.
    var usage: QuotaUsage {
        var usage = QuotaUsage(requests: engine.requestsLately, servers: recovery?.asked)
        for (path, source) in zip(options.paths, sources) { usage.subscriptions[path.name] = source.used }
        return usage
    }

    var options: FeedOptions { core.options }
    var engine: any FeedEngine { core.engine }
    var machine: PathMachine { core.machine }
    private var now: Instant { surroundings.loop.now }
    private var wall: WallTime { surroundings.loop.wall }

    // MARK: - Sources

    private func openSource(_ path: Int, _ usage: QuotaUsage) throws(BusError) -> any FeedSource {
        let wanted = options.paths[path]
        let log = Feed.log(
            options.subject(ofPath: path), surroundings.logger, surroundings.limited, path: wanted.name)
        switch options.feedProtocol {
        case .moldUDP64, .soupBinTCP, .pitch, .iexTP, .mdp3:
            do throws(SystemError) {
                return try openNumberedSource(path, wanted, log)
            } catch {
                throw .system(error)
            }
        case .holdfast:
            return try HoldfastSource(
                surroundings.loop, surroundings.names, path: path, feed: options.upstream ?? options.name,
                at: address(of: wanted), keys: surroundings.keys, log: log, owner: self)
        case .zeromq:
            return try ZeroMQSource(
                surroundings.loop, surroundings.names, path: path, at: address(of: wanted),
                keys: surroundings.keys, rate: options.topicsPerSecond,
                used: usage.subscriptions[wanted.name] ?? SubscriptionUsage(), book: book, log: log,
                owner: self)
        }
    }

    /// By UDP, over SoupBinTCP, or from a file, as the path says.
    private func openNumberedSource(
        _ path: Int, _ wanted: FeedPathOptions, _ log: @escaping EventLog
    ) throws(SystemError) -> any FeedSource {
        let groups = wanted.groups.compactMap { IPv4Endpoint($0) }
        if let file = wanted.file {
            return try FileSource(
                surroundings.loop, surroundings.files, path: path, file: file, groups: groups,
                pace: wanted.pace, log: log, owner: self)
        }
        if let login = wanted.login,
            case .tcp(let host, let port)? = wanted.endpoint.flatMap({ Endpoint($0) })
        {
            return try SoupSource(
                surroundings.loop, surroundings.names, path: path,
                at: ServerAddress(
                    host: host, port: port, interface: wanted.interface,
                    source: wanted.localAddress.flatMap { IPv4Address($0) }),
                SoupClientMachine(login, silence: options.connectionSilence, resume: core.memory(of: 0)),
                log: log, owner: self)
        }
        let addresses = groups.map {
            MulticastSource.Address(
                endpoint: $0, interface: wanted.interface, source: wanted.source.flatMap { IPv4Address($0) })
        }
        return try GroupedSource(
            surroundings.loop, path: path, addresses: addresses, batch: surroundings.batch,
            worker: surroundings.worker, log: log, owner: self)
    }

    private func address(of path: FeedPathOptions) -> VenueLink.Address {
        VenueLink.Address(
            endpoint: path.endpoint ?? "", serverKey: path.serverKey, interface: path.interface,
            source: path.localAddress.flatMap { IPv4Address($0) })
    }

    /// Entries about the feed, or about one of its paths.
    static func log(
        _ subject: Subject, _ logger: Logger, _ limited: LimitedLog, path: String? = nil
    ) -> EventLog {
        var logger = logger
        logger[metadataKey: "subject"] = "\(subject)"
        if let path { logger[metadataKey: "path"] = "\(path)" }
        return { [logger] in limited.event($0, key: "\(subject)", $1, by: logger) }
    }

    // MARK: - What others say

    /// All that its paths depend on.
    var dependencies: Set<Dependency> { Set(options.paths.flatMap(\.dependsOn)) }

    /// Nobody tells of these any more: what was said of them counts no longer.
    func forget(_ dependencies: some Sequence<Dependency>) {
        for dependency in dependencies { core.forget(dependency, at: now, wall: wall) }
    }

    /// Of these no agent tells, so that their paths are not guarded by them.
    func untold(_ dependencies: Set<Dependency>) {
        let concerned = dependencies.intersection(self.dependencies)
        guard concerned != unguarded else { return }
        unguarded = concerned
        reportAll()
    }

    /// An agent's word on a subject that a path may depend on.
    func health(_ dependency: Dependency, _ status: Status, happenedAt: Instant?) {
        core.health(dependency, status, happenedAt: happenedAt, at: now, wall: wall)
    }

    func granted(_ request: TopicRequest, to connection: Int32) {
        core.granted(request, to: connection, at: now, wall: wall)
    }

    func departed(_ connection: Int32) { core.departed(connection) }

    func subscribe(_ wanted: WantedTopic) {
        core.subscribed(wanted.topic, among: unsafe surroundings.downstream.table, at: now, wall: wall)
        hasten(wanted)
    }

    /// Who has the topic gives it its turn, if that is sooner.
    func hasten(_ wanted: WantedTopic) {
        for (path, source) in sources.enumerated() where machine.isSubscribed(path) {
            source.subscribe(wanted)
        }
    }

    func unsubscribe(_ topic: UpstreamTopic) {
        for (path, source) in sources.enumerated() where machine.isSubscribed(path) {
            source.unsubscribe(topic)
        }
        core.unsubscribed(topic, among: unsafe surroundings.downstream.table)
    }

    func linkChanged(_ news: LinkNews?) {
        for source in sources { source.linkChanged(news) }
        recovery?.linkChanged(news)
    }

    func rekey(_ keys: KeyPair) {
        for source in sources { source.rekey(keys) }
    }

    // MARK: - Requests

    func path(named name: String) -> Int? { options.paths.firstIndex { $0.name == name } }

    func switchTo(_ path: Int, hold: Bool) throws(PathRefusal) {
        try core.switchTo(path, hold: hold, at: now, wall: wall)
    }

    /// Ends a hold; `false`: there is none.
    func release() -> Bool { core.release(at: now, wall: wall) }

    func mute(_ subject: Subject, until: Instant) throws(PathRefusal) {
        try core.mute(subject, until: until, at: now, wall: wall)
    }

    func unmute(_ subject: Subject) throws(PathRefusal) { try core.unmute(subject, at: now, wall: wall) }

    private func tellSwitch(_ from: Int, _ to: Int, _ reason: SwitchReason) {
        tell(
            .switched,
            "feed \(options.name) moves from \(options.paths[from].name) to \(options.paths[to].name): \(reason)",
            path: options.paths[to].name)
    }

    private func tell(
        _ event: JournalEvent, _ message: String, path: String? = nil, muted: Subject? = nil
    ) {
        var fields: Logger.Metadata = ["subject": "\(options.subject)"]
        if let path { fields["path"] = "\(path)" }
        if let muted { fields["muted"] = "\(muted)" }
        surroundings.logger.event(event, message, fields)
    }
}

// MARK: - Acting

extension Feed: FeedCoreOwner {
    func settled() { reportAll() }

    func arm(at due: Instant) { timer?.arm(at: due) }

    func perform(_ action: PathAction) {
        switch action {
        case .activate(let path):
            sources[path].activate(unsafe surroundings.downstream.table.turns(of: options.name))
        case .deactivate(let path): sources[path].deactivate()
        case .switched(let from, let to, let reason): tellSwitch(from, to, reason)
        case .held(let isHeld):
            let name = options.paths[machine.current].name
            tell(
                isHeld ? .feedHeld : .feedReleased,
                "feed \(options.name) is \(isHeld ? "held on" : "no longer held on") path \(name)", path: name
            )
        case .muted(let subject, _):
            tell(.subjectMuted, "\(subject) is muted for feed \(options.name)", muted: subject)
        case .unmuted(let subject):
            tell(.subjectUnmuted, "\(subject) is no longer muted for feed \(options.name)", muted: subject)
        case .state, .redundancy: break
        }
    }
}

// MARK: - What the sources say

extension Feed: FrameSourceOwner {
    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at time: LoopTime) {
        core.received(bytes, on: path, receivedAt: receivedAt, at: time.now, wall: time.wall)
    }

    func received(_ frames: inout ArrivedFrames, on path: Int, at time: LoopTime) {
        core.received(&frames, on: path, receivedAt: time.wall, at: time.now, wall: time.wall)
    }

    func drained(_ path: Int) { core.drained() }

    func emptied(_ path: Int) { core.emptied(path) }

    func connected(_ path: Int) { core.connected(path, at: now, wall: wall) }

    func disconnected(_ path: Int, because reason: String) {
        guard !sources.isEmpty else { return }
        core.disconnected(path, at: now, wall: wall)
    }

    func resubscribed(_ path: Int) { core.resubscribed(path, at: now, wall: wall) }
}

// MARK: - What the health bus is told

extension Feed {
    private func measure() {
        let isSampling = samples.isDue(at: now)
        for path in sources.indices {
            let figures = figures(of: path)
            alarms[path].update(received: figures.messages, missed: figures.missed)
            let loss = NamedValue("loss_ratio", .number(alarms[path].ratio))
            if isSampling {
                surroundings.health.sample(
                    Sample(options.subject(ofPath: path), figures.values + [loss] + lag(of: path)))
            }
            logRefused(figures.refused, of: path)
        }
        if isSampling { surroundings.health.sample(Sample(options.subject, counters(engine.channel))) }
        logRefusedMessages()
        logGaps()
        logUnanswered()
        if engine.lacksDirectory() { directory?.look() }
        if !engine.hasBatches { surroundings.downstream.refuseBatches(of: options.name) }
        reportAll()
        reporting?.arm(at: now + Feed.reportEvery)
    }

    /// One entry for all gaps of the last second, so that no number of them floods the journal or is hidden.
    private func logGaps() {
        let gaps = engine.channel.gaps
        guard gaps > loggedGaps else { return }
        let missing = gaps - loggedGaps
        loggedGaps = gaps
        surroundings.logger.event(
            .gapTold,
            "feed \(options.name): \(missing) sequences were lost on all paths and told as missing, \(gaps) so far",
            ["feed": "\(options.name)", "subject": "\(options.subject)", "missing": "\(missing)"])
    }

    /// Likewise for requests that no server answered, or that were rejected.
    private func logUnanswered() {
        guard let figures = engine.channel.recovery, figures.unanswered > loggedUnanswered else { return }
        let more = figures.unanswered - loggedUnanswered
        loggedUnanswered = figures.unanswered
        let servers = options.recover.servers.joined(separator: ", ")
        surroundings.limited.event(
            .recoveryUnanswered, key: "\(options.subject)",
            "feed \(options.name): \(more) requests for missing messages were not answered, \(figures.unanswered) so far\(figures.rejections), by \(servers)",
            by: feedLogger)
    }

    /// Something else comes on a path than the configuration says.
    private func logRefused(_ refused: RefusedInput, of path: Int) {
        guard let more = notices[path].update(refused.refused, at: now) else { return }
        let name = options.paths[path].name
        log(RefusalEntry(more, packetsOf: name, options, refused), options.subject(ofPath: path), path: name)
    }

    private func logRefusedMessages() {
        let refused = engine.channel.refusedMessages
        guard let more = messageNotice.update(refused.refused, at: now) else { return }
        log(RefusalEntry(more, messagesOf: options, refused), options.subject)
    }

    private func log(_ entry: RefusalEntry?, _ subject: Subject, path: String? = nil) {
        guard let entry else { return }
        var fields = entry.fields
        fields["subject"] = "\(subject)"
        if let path { fields["path"] = "\(path)" }
        surroundings.limited.event(
            .inputRefused, key: "\(subject)", entry.message, fields, by: surroundings.logger)
    }

    private var feedLogger: Logger {
        var logger = surroundings.logger
        logger[metadataKey: "subject"] = "\(options.subject)"
        return logger
    }

    private func figures(of path: Int) -> PathFigures {
        var figures = engine.figures(of: path)
        figures.source = sources[path].counters
        return figures
    }

    private func reportAll() {
        guard sources.count == options.paths.count else { return }
        for path in sources.indices { report(path) }
        reportFeed()
    }

    private func report(_ path: Int) {
        let subject = options.subject(ofPath: path)
        var (status, reason) = machine.state(of: path).verdict(
            isLossy: alarms[path].isRaised)
        // After the session's end, and before the next one, silence is what to expect.
        if status == .critical || status == .unknown, engine.channel.state == .closed {
            (status, reason) = (.ok, "closed")
        }
        if let note = note(on: path), status != .ok { reason += " (\(note))" }
        if machine.mutes[subject] != nil { reason += ", muted" }
        let missing = options.paths[path].dependsOn.filter(unguarded.contains).map(\.description)
        if !missing.isEmpty {
            reason += ", no agent tells of \(missing.joined(separator: ", "))"
            if status == .ok { status = .warning }
        }
        let values = [
            NamedValue("state", .text(machine.state(of: path).word)),
            NamedValue("muted", .flag(machine.mutes[subject] != nil)),
            NamedValue("loss_ratio", .number(alarms[path].ratio)),
        ]
        let figures = figures(of: path)
        let refused = figures.refused.last.map { [NamedValue("refused_last", .text("\($0)"))] } ?? []
        surroundings.health.report(
            Report(
                subject, status, reason: reason,
                values: values + lag(of: path) + figures.values + refused,
                dependsOn: ownDependencies(of: path), detectedAt: surroundings.loop.wall))
    }

    /// Another host's subjects are told in the reason, and are no cause among this one's.
    private func ownDependencies(of path: Int) -> [Subject] {
        options.paths[path].dependsOn.filter { $0.host == nil || $0.host == surroundings.host }.map(\.subject)
    }

    /// How far it is behind the best of the others; none where nothing says so.
    private func lag(of path: Int) -> [NamedValue] {
        machine.lag(of: path, at: now).map { [NamedValue("lag_s", .number(max($0, .zero).inSeconds))] } ?? []
    }

    /// What explains that a path is not well, for a person.
    private func note(on path: Int) -> String? {
        if let note = sources[path].note { return note }
        return notices[path].isRecent(at: now) ? "what comes is no \(options.feedProtocol.rawValue)" : nil
    }

    private func reportFeed() {
        let channel = engine.channel
        let (status, verdict) = feedVerdict(channel)
        var reason = verdict
        if machine.isHeld { reason += ", held" }
        let muted = machine.mutes.keys.map(\.description).sorted().joined(separator: ", ")
        if !muted.isEmpty { reason += ", muted: \(muted)" }
        let troubles = troubles(channel)
        for trouble in troubles { reason += ", \(trouble)" }
        surroundings.health.report(
            Report(
                options.subject, troubles.isEmpty || status != .ok ? status : .warning, reason: reason,
                values: values(channel, muted: muted),
                dependsOn: options.paths.indices.map { options.subject(ofPath: $0) },
                detectedAt: surroundings.loop.wall))
    }

    /// What does not stop the feed, and is for somebody to look at.
    private func troubles(_ channel: ChannelFigures) -> [String] {
        var troubles = channel.trouble.map { [$0] } ?? []
        if let trouble = journal?.trouble { troubles.append("not journalled: \(trouble)") }
        // A venue that has closed has nothing to send again.
        if channel.state != .closed, let trouble = recovery?.trouble {
            troubles.append("cannot recover: \(trouble)")
        }
        return troubles
    }

    private func feedVerdict(_ channel: ChannelFigures) -> (Status, String) {
        switch (channel.state, machine.redundancy) {
        case (.closed, _): (.ok, "closed: \(channel.reason)")
        case (_, .none): (machine.hasHeard || hasFailed ? .critical : .unknown, "no path is well")
        case (.stale, _): (.critical, "stale: \(channel.reason)")
        case (.recovering, _): (.warning, "recovering: \(channel.reason)")
        case (.live, .reduced): (.warning, "live, without redundancy")
        case (.live, .full): (.ok, channel.reason.isEmpty ? "live" : "live, \(channel.reason)")
        }
    }

    /// Whether each path is known to have failed, heard before or not.
    private var hasFailed: Bool {
        options.paths.indices.allSatisfy { if case .failed = machine.state(of: $0) { true } else { false } }
    }

    private func values(_ channel: ChannelFigures, muted: String) -> [NamedValue] {
        [
            NamedValue("path", .text(options.paths[machine.current].name)),
            NamedValue("policy", .text(options.policy.rawValue)),
            NamedValue("held", .flag(machine.isHeld)),
            NamedValue("muted", .text(muted)),
        ] + counters(channel)
    }

    private func counters(_ channel: ChannelFigures) -> [NamedValue] {
        [
            NamedValue("switches", .integer(Int64(machine.switches))),
            NamedValue("messages", .integer(Int64(clamping: channel.published))),
            NamedValue("gaps", .integer(Int64(clamping: channel.gaps))),
            NamedValue("topics", .integer(Int64(channel.topics))),
            NamedValue("unresolved", .integer(Int64(clamping: channel.unresolved))),
            NamedValue("waiting", .integer(Int64(channel.waiting))),
            NamedValue("epochs", .integer(Int64(clamping: channel.epochs))),
        ]
            + (channel.behind > 0
                ? [NamedValue("behind_messages", .integer(Int64(clamping: channel.behind)))] : [])
            + lastValues(channel.lastValues)
            + recoveryValues(channel.recovery)
            + (journal?.values ?? [])
            + channel.refused.sorted { $0.key < $1.key }.map {
                NamedValue("refused_\($0.key)", .integer(Int64(clamping: $0.value)))
            }
    }

    private func lastValues(_ figures: LastValueFigures?) -> [NamedValue] {
        guard let figures else { return [] }
        return [
            NamedValue("last_values", .integer(Int64(figures.count))),
            NamedValue("last_values_bytes", .integer(Int64(figures.bytes))),
            NamedValue("last_values_refused", .integer(Int64(clamping: figures.refused))),
        ]
    }

    private func recoveryValues(_ figures: RecoveryFigures?) -> [NamedValue] {
        guard let recovery else { return [] }
        return (figures ?? RecoveryFigures()).values + recovery.values
    }
}
