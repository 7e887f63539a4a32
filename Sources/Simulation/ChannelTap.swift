// One feed's frames as they leave the gateway, in order, against the venue's truth: each sequence once, in order,
// unchanged, or told; nothing live that is not fresh; and something live while a path is sound.
import Basics
import Configuration
import Wire

final class ChannelTap {
    /// What was published of one numbering in this run of the gateway.
    private struct Progress {
        /// The last sequence that was delivered or told; `nil`: the next one begins it.
        var top: UInt64?
        /// The last sequence of each topic.
        var lastOfTopic: [String: UInt64] = [:]
    }

    /// A stream goes back to a session that was left only after so much silence: what came of it before is told.
    private static let quiet: Duration = .milliseconds(500)

    private let feed: FeedOfWorld
    private unowned let world: Simulation
    /// While a path is sound, what was sent comes out within this time, and the channel is live.
    private let settling: Duration
    private(set) var epoch: UInt64 = 0
    /// How often another epoch began: one that was left may go on after another.
    private(set) var stints = 0
    /// When the last sound packet that the gateway has read reached its host.
    private(set) var arrivedAt: Instant {
        didSet { staleAt = arrivedAt + staleAfter }
    }
    /// Beyond that instant nothing may be taken for live, unless something comes.
    private(set) var staleAt: Instant
    /// Beyond this nothing may be taken for live; a client's latency is within it.
    private let staleAfter: Duration
    private var state: ChannelState?
    private var liveAt: Instant
    private var counts: (published: UInt64, missing: UInt64) = (0, 0)
    private var channel = Progress()
    /// The last sequence that went out in a batch, or was told.
    private var batchTop: UInt64?
    private var lastBatched: UInt64 = 0
    private var topics: [String: Progress] = [:]
    /// Which of the venue's numberings an epoch is; the last one that was recognised by its content.
    private var generations: [UInt64: Int] = [:]
    /// Of all runs: under one name there is one numbering.
    private var namedGenerations: [UInt64: Int] = [:]
    private var epochBeganAt: Instant
    /// When each message first reached the host of this run of the gateway, by generation.
    private var arrivals: [Int: [UInt64: Instant]] = [:]
    /// The highest number of the last generation that did since the gateway's last absence began, until all was read.
    private var waited = (since: Instant.zero, generation: 0, sequence: UInt64(0))
    private var runBeganAt: Instant
    /// How many messages of a generation have to be out by now.
    private var due = (generation: 0, count: 0)
    /// Since when the session's beginning is being published; `nil`: it is not.
    private(set) var catchingUpSince: Instant?
    /// The first epoch of this run, and the first number that a path brought of each generation since it began.
    private var firstEpoch: UInt64 = 0
    private var firstHeard: [Int: UInt64] = [:]
    /// How far earlier runs of the gateway came in each epoch.
    private var earlierTops: [UInt64: UInt64] = [:]

    init(_ world: Simulation, _ feed: FeedOfWorld) {
        self.world = world
        self.feed = feed
        let asked = feed.options.recover.servers.isEmpty ? Duration.zero : feed.options.recover.within
        let subscribing =
            feed.paths.contains(where: \.takesRequests)
            ? Double(feed.venue.instruments.count) / Double(feed.options.topicsPerSecond) : 0
        settling =
            max(feed.options.silence, .seconds(1)) + .milliseconds(1500) + asked + .ofSeconds(subscribing)
        staleAfter = feed.options.freshness + .milliseconds(10)
        arrivedAt = world.now
        staleAt = world.now + staleAfter
        liveAt = world.now
        epochBeganAt = world.now
        runBeganAt = world.now
    }

    private var venue: Venue { feed.venue }
    private var isPerTopic: Bool { venue.isNumberedPerTopic }
    /// It is, or moves for a moment to a better path.
    var isLive: Bool { state == .live || world.now - liveAt < .seconds(1) }

    /// Whether an earlier run had published a sequence: a gateway that takes up an old journal says it again, and who
    /// was not there the first time cannot tell.
    func wasPublishedBefore(_ sequence: UInt64, of epoch: UInt64) -> Bool {
        !isPerTopic && sequence <= earlierTops[epoch] ?? 0
    }

    func runBegins() {
        if let top = channel.top { earlierTops[epoch] = max(earlierTops[epoch] ?? 0, top) }
        channel = Progress()
        batchTop = nil
        topics = [:]
        counts = (0, 0)
        arrivals = [:]
        epoch = 0
        generations = [:]
        (catchingUpSince, firstEpoch, firstHeard) = (nil, 0, [:])
        (liveAt, runBeganAt) = (world.now, world.now)
    }

    // MARK: - What reaches the gateway

    func arrived(_ evidence: Evidence) {
        note(evidence)
        guard let first = evidence.messages.map(\.sequence).min() else { return }
        firstHeard[evidence.generation] = min(firstHeard[evidence.generation] ?? .max, first)
    }

    /// A re-request server sent it again: nothing that proves a path.
    func recovered(_ evidence: Evidence) { note(evidence) }

    /// By what is late by 100 ms a gateway notices that it was away: a datagram, or its own next heartbeat.
    private static let unnoticed: Duration = .milliseconds(100) + SimulatedGateway.controlEvery

    /// The gateway reads a sound packet that reached its host at that time. After an absence that it need not have noticed
    /// what waited counts as heard when it is read.
    func isRead(from at: Instant) {
        let isNoticed = world.gateway.loop.absence?.length.map { $0 > ChannelTap.unnoticed } ?? true
        arrivedAt = max(arrivedAt, isNoticed || world.gateway.loop.isPresent ? at : world.now)
    }

    /// Whether what came at that time was in a socket that need not have been read before a gap was told: if the gateway had
    /// no reason to notice that it was away, if it has left the path since, or if more waited in the socket that it read
    /// first than fits in the window.
    private func mayBeUnread(_ sequence: UInt64, of generation: Int, since at: Instant) -> Bool {
        guard let absence = world.gateway.loop.absence, at >= absence.since,
            at <= absence.readAt ?? world.now
        else { return false }
        if let length = absence.length, length <= ChannelTap.unnoticed { return true }
        if feed.options.policy == .hotWarm, let left = feed.leftPathAt, left >= absence.since { return true }
        guard waited.since == absence.since else { return false }
        return waited.generation > generation
            || waited.sequence >= sequence + UInt64(feed.options.reorderCount)
    }

    private func note(_ evidence: Evidence) {
        noteWaiting(evidence)
        for message in evidence.messages {
            let key = number(message.sequence, of: message.instrument)
            if arrivals[evidence.generation]?[key] == nil {
                arrivals[evidence.generation, default: [:]][key] = world.now
            }
        }
    }

    /// What comes after all was read did not wait.
    private func noteWaiting(_ evidence: Evidence) {
        guard let absence = world.gateway.loop.absence, absence.readAt == nil,
            let last = evidence.messages.last?.sequence
        else { return }
        let next = (since: absence.since, generation: evidence.generation, sequence: last)
        if next > waited { waited = next }
    }

    private func number(_ sequence: UInt64, of instrument: Int) -> UInt64 {
        isPerTopic ? sequence << 8 | UInt64(instrument) : sequence
    }

    // MARK: - What leaves it

    func take(_ frame: PublishedFrame) {
        if frame.header.epoch != epoch, frame.header.epoch != 0, !isPerTopic { enter(frame.header.epoch) }
        checkFreshness(frame)
        switch frame.header.kind {
        case .data: data(frame)
        case .batch: batch(frame)
        case .idle: idle(frame)
        case .gap: gap(frame)
        case .heartbeat: heartbeat(frame)
        case .state: followCatchUp(frame)
        case .sync: wrong("published a marker that nobody asked for")
        }
        if frame.told != nil { state = frame.header.state }
        if state == .live { liveAt = world.now }
        if isPerTopic { epoch = max(epoch, frame.header.epoch) }
    }

    private func enter(_ next: UInt64) {
        if firstEpoch == 0 { firstEpoch = next }
        epoch = next
        stints += 1
        channel = Progress()
        batchTop = nil
        epochBeganAt = world.now
    }

    private func wrong(_ what: String, _ invariant: Invariant = .delivery) {
        world.checker.violated(invariant, "\(feed.options.name) \(what)")
    }

    // MARK: - Each sequence once, in order, unchanged, or told

    private func data(_ frame: PublishedFrame) {
        counts.published += 1
        let sequence = frame.header.sequence
        advance(frame, first: sequence, last: sequence)
        guard let truth = recognise(frame) else {
            return wrong("published what its venue never sent: \(frame.line)")
        }
        let name = venue.instruments[truth.instrument]
        let isNamed = frame.instrument == (truth.instrument == 0 && venue.hasUnnamed ? nil : name)
        if !isNamed, frame.instrument != "#\(truth.instrument)" {
            wrong("published a message of \(name) as \(frame.line)")
        }
        if !isNamed, let known = feed.remembered, known.epoch == frame.header.epoch,
            known.instruments.contains(truth.instrument)
        {
            wrong("remembers \(name) from its journal, and published \(frame.line)", .journal)
        }
        let before = progress(of: frame).lastOfTopic[frame.topicText]
        if frame.header.previous != before ?? 0, frame.header.previous != 0 || !isPerTopic {
            wrong("published \(frame.line), and the message before was \(before ?? 0)")
        }
        if frame.isLive, feed.options.start == .session, frame.header.epoch == firstEpoch,
            let generation = generations[frame.header.epoch], sequence < firstHeard[generation] ?? 0
        {
            wrong("calls \(frame.line) live, which was sent before it came", .freshness)
        }
        if frame.isLive, venue.tellsTime, world.now - truth.sentAt > staleAfter + feed.options.reorderTime {
            wrong(
                "calls \(frame.line) live, sent \((world.now - truth.sentAt).inMilliseconds) ms ago",
                .freshness)
        }
        progress(of: frame) { $0.lastOfTopic[frame.topicText] = sequence }
    }

    /// The messages of a batch are those of the channel, and follow what went out before.
    private func batch(_ frame: PublishedFrame) {
        let last = frame.header.sequence
        guard let messages = try? BatchBody.messages(of: frame.body, last: last), let first = messages.first
        else { return wrong("published what is no batch: \(frame.line)") }
        if let batchTop, frame.header.previous != 0, frame.header.previous != lastBatched {
            wrong("published \(frame.line), and the batch before ended with \(batchTop)")
        }
        batched(first.sequence, last, frame)
        lastBatched = last
        let generation = generations[frame.header.epoch].map { venue.generations[$0] }
        for (sequence, message) in messages {
            guard let generation,
                generation.message(sequence, of: nil)?.payload.elementsEqual(message) != true
            else { continue }
            wrong("published \(frame.line), and \(sequence) in it is not what its venue sent")
        }
    }

    private func batched(_ first: UInt64, _ last: UInt64, _ frame: PublishedFrame) {
        defer { batchTop = max(batchTop ?? 0, last) }
        guard let batchTop, first != batchTop + 1 else { return }
        wrong("published \(frame.line), and the batches stood at \(batchTop)")
    }

    private func idle(_ frame: PublishedFrame) {
        guard !isPerTopic else {
            if let last = progress(of: frame).lastOfTopic[frame.topicText], frame.header.sequence < last {
                wrong("says \(frame.line) after \(last)")
            }
            return
        }
        let last = channel.lastOfTopic[frame.topicText]
        if let last, last != frame.header.sequence { wrong("says \(frame.line) after \(last)") }
    }

    private func gap(_ frame: PublishedFrame) {
        guard case .gap(let range, let reason, _) = frame.told else { return }
        counts.missing += range.count
        if !isPerTopic { batched(range.first, range.last, frame) }
        advance(frame, first: range.first, last: range.last)
        // What was further ahead than the window reaches was passed over, to be asked for in its turn.
        guard reason != .sessionChange, catchingUpSince == nil, !feed.mayDistrust(at: world.now),
            let generation = generations[frame.header.epoch]
        else { return }
        let instrument = frame.instrument.flatMap { venue.instruments.firstIndex(of: $0) }
        for sequence in range.first...min(range.last, range.first + 10_000) {
            guard let at = arrivals[generation]?[number(sequence, of: instrument ?? 0)], at > epochBeganAt,
                world.now - at > longestTurn, !isPerTopic || quietTime(since: at) < ChannelTap.quiet,
                !mayBeUnread(sequence, of: generation, since: at)
            else { continue }
            wrong("told \(frame.line), and \(sequence) had come \((world.now - at).inMilliseconds) ms before")
            break
        }
    }

    /// What a connection brought may wait for its turn.
    private var longestTurn: Duration {
        feed.paths.contains(where: \.takesRequests) ? SimulatedSource.longestTurn : .zero
    }

    /// How long nothing came that could have been read.
    private func quietTime(since at: Instant) -> Duration {
        guard let absence = world.gateway.loop.absence, let length = absence.length else {
            return world.now - at
        }
        return world.now - max(at, absence.since + length)
    }

    /// The next sequences, delivered or told, follow the last ones.
    private func advance(_ frame: PublishedFrame, first: UInt64, last: UInt64) {
        progress(of: frame) { progress in
            defer { progress.top = max(progress.top ?? 0, last) }
            guard let top = progress.top else { return }
            if first <= top {
                wrong("published \(frame.line), and everything up to \(top) was delivered or told before")
            } else if first > top + 1 {
                wrong("lost \(top + 1)–\(first - 1) without a word, before \(frame.line)")
            }
        }
    }

    private func key(_ epoch: UInt64, _ instrument: String?) -> String { "\(epoch)/\(instrument ?? "*")" }
    private func key(of frame: PublishedFrame) -> String { key(frame.header.epoch, frame.instrument) }

    private func progress(of frame: PublishedFrame, _ change: (inout Progress) -> Void) {
        if isPerTopic { change(&topics[key(of: frame), default: Progress()]) } else { change(&channel) }
    }

    private func progress(of frame: PublishedFrame) -> Progress {
        isPerTopic ? topics[key(of: frame)] ?? Progress() : channel
    }

    private func heartbeat(_ frame: PublishedFrame) {
        guard case .heartbeat(let published, let missing, _, let first, _) = frame.told else { return }
        if channel.top == nil, first != 0 {
            channel.top = first - 1
            checkBeginning(frame, first)
        }
        if !isPerTopic, frame.header.epoch != 0, let top = channel.top, frame.header.sequence != 0,
            top != frame.header.sequence
        {
            wrong("says \(frame.line), and published up to \(top)")
        }
        // Unless somebody holds the whole feed, what nobody asked for is counted and not written.
        guard world.hasWholeFeed(world.feeds.firstIndex { $0 === feed } ?? 0) else { return }
        if published != counts.published || missing != counts.missing {
            wrong("says \(frame.line), and it is \(counts.published) published, \(counts.missing) missing")
        }
    }

    /// A feed that is to have the whole session begins with it, or where an earlier run stopped.
    private func checkBeginning(_ frame: PublishedFrame, _ first: UInt64) {
        let epoch = frame.header.epoch
        guard feed.options.start == .session, epoch == firstEpoch, epoch == venue.current.sessionEpoch,
            venue.current.messages.count <= feed.options.startMessages
        else { return }
        let known = feed.options.journal ? earlierTops[epoch] ?? 0 : 0
        if first > known + 1 {
            wrong("begins a session with \(first), and was to have it from \(known + 1) on")
        }
    }

    private func followCatchUp(_ frame: PublishedFrame) {
        guard case .state(_, let reason) = frame.told else { return }
        if reason == "catching up with the session" {
            catchingUpSince = catchingUpSince ?? world.now
        } else if frame.header.state == .live || frame.header.state == .closed {
            catchingUpSince = nil
        }
    }

    /// The true message that a frame carries.
    private func recognise(_ frame: PublishedFrame) -> TrueMessage? {
        let instrument = frame.instrument.flatMap { venue.instruments.firstIndex(of: $0) }
        func find(_ generation: Int) -> TrueMessage? {
            guard let message = venue.generations[generation].message(frame.header.sequence, of: instrument),
                message.payload.elementsEqual(frame.body)
                    || message.lie.elementsEqual(frame.body)
                        && (liesMayWait || feed.mayPublishLies(at: world.now, since: readsSince))
            else { return nil }
            return message
        }
        if let known = generations[frame.header.epoch] { return find(known) }
        for generation in venue.generations.indices.reversed() {
            let of = venue.generations[generation]
            guard of.sessionEpoch == frame.header.epoch || of.isReset, let message = find(generation) else {
                continue
            }
            generations[frame.header.epoch] = generation
            let named = namedGenerations[frame.header.epoch] ?? generation
            namedGenerations[frame.header.epoch] = named
            if named != generation {
                wrong("calls another numbering what it called one before: \(frame.line)")
            }
            return message
        }
        return nil
    }

    /// Since when the gateway compares what it reads.
    private var readsSince: Instant { max(runBeganAt, world.gateway.presentSince ?? world.now) }

    // MARK: - Nothing stale is live, and live while a path is sound

    private func checkFreshness(_ frame: PublishedFrame) {
        guard frame.isLive, world.now - arrivedAt > staleAfter else { return }
        wrong(
            "calls \(frame.line) live, and nothing came for \((world.now - arrivedAt).inMilliseconds) ms",
            .freshness)
    }

    /// What a liar said while the session's beginning was published has waited for its turn.
    private var liesMayWait: Bool {
        guard let since = catchingUpSince else { return false }
        return feed.liar != nil || feed.liedAt.map { $0 + .seconds(3) > since } ?? false
    }

    /// No session of a simulated world takes longer.
    private static let longestCatchUp: Duration = .seconds(60)

    func look() {
        if let since = catchingUpSince {
            liveAt = world.now
            guard world.now - since > ChannelTap.longestCatchUp else { return }
            catchingUpSince = world.now
            return wrong(
                "has been catching up for \((world.now - since).inMilliseconds) ms", .liveness)
        }
        guard let gatewaySince = world.gateway.presentSince, !venue.isFrozen, !venue.hasEnded, !feed.isHeld,
            let sound = feed.steadySince(at: world.now)
        else {
            liveAt = world.now
            return
        }
        let since = max(sound, gatewaySince, feed.disturbedAt)
        guard world.now - since > settling else {
            liveAt = world.now
            return
        }
        if world.now - liveAt > settling {
            liveAt = world.now
            wrong(
                "has a sound path for \((world.now - since).inMilliseconds) ms and is \(state.map { "\($0)" } ?? "silent")",
                .liveness)
        }
        if isPerTopic, feed.isHeldWhole {
            lookForTopics(since)
        } else if !isPerTopic {
            lookForMessages(since)
        }
    }

    /// What was sent while a path was sound is delivered or told by now.
    private func lookForMessages(_ since: Instant) {
        let generation = venue.generations.count - 1
        guard !venue.current.isReset, let last = lastDue(generation), last.sentAt >= since else { return }
        guard generations[epoch] == generation, let top = channel.top, top >= last.sequence else {
            return wrong(
                "has not published \(last.sequence), which was sent \((world.now - last.sentAt).inMilliseconds) ms ago, although a path is sound",
                .liveness)
        }
    }

    /// In this time a connection is there again, and what it takes is in place.
    private static let joining: Duration = .milliseconds(500)

    /// Likewise, where topics are numbered each by itself: each message by itself, from when the path is joined. What was
    /// sent before need only be shown as where its topic stands.
    private func lookForTopics(_ since: Instant) {
        let generation = venue.generations.count - 1
        let looked = due.generation == generation ? due.count : 0
        _ = lastDue(generation)
        let joined = since + ChannelTap.joining
        for message in venue.current.messages[looked..<due.count] where message.sentAt >= joined {
            let name = venue.instruments[message.instrument]
            guard topics[key(venue.current.sessionEpoch, name)]?.top ?? 0 < message.sequence else { continue }
            wrong(
                "has not published \(message.sequence) of \(name), which was sent \((world.now - message.sentAt).inMilliseconds) ms ago, although a path is sound",
                .liveness)
        }
    }

    /// The last message of a generation that has to be out by now.
    private func lastDue(_ generation: Int) -> TrueMessage? {
        if due.generation != generation { due = (generation, 0) }
        let messages = venue.generations[generation].messages
        let latest = world.now - settling
        while due.count < messages.count, messages[due.count].sentAt <= latest { due.count += 1 }
        return due.count > 0 ? messages[due.count - 1] : nil
    }
}
