// Journals of another gateway, which are pulled from there and kept here: one connection, and for each channel of each
// feed a machine that says what is asked for and a thread that checks and writes what comes.
import Basics
import Configuration
import FeedJournal
import JournalFiles
import Linux
import Messaging
import Reactor
import Wire

/// What a replica uses of the gateway.
struct ReplicaSurroundings {
    let context: MessagingContext
    let loop: EventLoop
    /// The thread that waits for the disk.
    let worker: Worker
    let journal: JournalOptions
    let sampleEvery: Duration
    let health: HealthBus
    let log: EventLog
    /// What this gateway calls itself.
    let host: String
    let keys: KeyPair?
}

final class Replica {
    /// How often figures are published.
    private static let reportEvery: Duration = .seconds(1)

    let options: ReplicaOptions
    private let surroundings: ReplicaSurroundings
    private var requester: Requester?
    private var timer: Timer?
    private var feeds: [String: ReplicaFeed] = [:]
    private var reportAt: Instant
    /// Answers that made no sense.
    private var malformed: UInt64 = 0

    init(_ options: ReplicaOptions, _ surroundings: ReplicaSurroundings) throws(BusError) {
        self.options = options
        self.surroundings = surroundings
        reportAt = surroundings.loop.now
        for feed in options.feeds { feeds[feed] = ReplicaFeed(feed, options, surroundings) }
        requester = try Requester(
            surroundings.context, surroundings.loop, repliesOf: options.request,
            security: .connecting(to: options.request, options.serverKey, with: surroundings.keys),
            onConnection: { [unowned self] news in
                guard case .connected = news else { return }
                for feed in feeds.values { feed.connected() }
                advance()
            },
            onFrames: { [unowned self] in answered($0) })
        do throws(SystemError) {
            timer = try Timer(surroundings.loop, accuracy: .milliseconds(2)) { [unowned self] in advance() }
        } catch {
            throw .system(error)
        }
        for feed in feeds.values { feed.owner = self }
        openKnown()
        advance()
    }

    func rekey(_ keys: KeyPair) {
        guard let serverKey = options.serverKey else { return }
        requester?.reconnect(.client(keys, of: serverKey))
    }

    /// Says goodbye on the bus.
    func close() {
        for name in feeds.keys { surroundings.health.forget(Subject(.replica, name)) }
        for feed in feeds.values { feed.close() }
        (feeds, timer, requester) = ([:], nil, nil)
    }

    /// Channels that an earlier run kept are known before the other gateway is there.
    private func openKnown() {
        for (name, feed) in feeds {
            _ = SegmentName.list(name, in: surroundings.journal.directory, by: surroundings.worker) {
                [weak feed] in
                feed?.has($0)
                feed?.owner?.advance()
            }
        }
    }

    // MARK: - Asking

    fileprivate func advance() {
        let now = surroundings.loop.now
        for feed in feeds.values { feed.advance(at: now) }
        takeTurns(at: now)
        if reportAt <= now {
            reportAt = now + Replica.reportEvery
            for feed in feeds.values { feed.report() }
        }
        // Who waits for a turn has it when an answer comes, or when one is given up.
        let due = feeds.values.compactMap { $0.deadline(at: now) }.min() ?? reportAt
        timer?.arm(at: min(due, reportAt))
    }

    /// Nothing is asked of nobody: it would wait, to be answered all at once.
    private func takeTurns(at now: Instant) {
        guard requester?.isUp == true else { return }
        var turns = ReplicaTurns()
        for feed in feeds.values { feed.take(&turns) }
        for request in turns.grant(feeds.values.flatMap { $0.waiting(at: now) }) {
            feeds[request.feed]?.ask(request.channel, at: now)
        }
    }

    fileprivate func ask(_ request: PullRequest) {
        do throws(MessagingError) {
            _ = try requester?.send(Request.pull(request).json.bytes)
        } catch {
            surroundings.log(.upstreamFailed, "the journals at \(options.request): \(error), trying again")
        }
    }

    private func answered(_ frames: [[UInt8]]) {
        defer { advance() }
        // A DEALER's answers may have the empty frame of a REQ's envelope.
        guard let first = frames.first(where: { !$0.isEmpty }) else { return }
        do throws(WireError) {
            let reply = try PullReply(parsing: first)
            let bytes = frames.count > 1 ? frames[frames.count - 1] : []
            feeds[reply.feed]?.answered(reply, bytes, at: surroundings.loop.now)
        } catch {
            malformed &+= 1
            surroundings.log(
                .malformedInput, "the answer of \(options.request): \(error), ignoring")
        }
    }
}

/// What is asked: for what is new of a channel, or which channels there are.
private struct ReplicaQuestion: Comparable {
    let feed: String
    let channel: UInt16?

    static func < (left: ReplicaQuestion, right: ReplicaQuestion) -> Bool {
        (left.feed, left.channel.map(Int.init) ?? -1) < (right.feed, right.channel.map(Int.init) ?? -1)
    }
}

/// One feed of a replica.
private final class ReplicaFeed {
    /// More channels are not kept.
    static let mostChannels = 256
    /// Damages that are named at a time; more are counted.
    static let mostNamed = 16

    private struct Channel {
        var machine: ReplicaMachine
        var tail: ReplicaTail?
        /// Where the job that is under way leaves it.
        let deposit = Deposit<ReplicaTail>()
        let plan: ReplicaPlan
    }

    weak var owner: Replica?
    private let name: String
    private let surroundings: ReplicaSurroundings
    private let options: ReplicaOptions
    private var channels: [UInt16: Channel] = [:]
    private var discovery: ReplicaDiscovery
    private var refusal: String?
    private var toldTrouble: String?
    private var samples: SampleClock

    init(_ name: String, _ options: ReplicaOptions, _ surroundings: ReplicaSurroundings) {
        samples = SampleClock(every: surroundings.sampleEvery)
        self.name = name
        self.options = options
        self.surroundings = surroundings
        discovery = ReplicaDiscovery(at: surroundings.loop.now)
    }

    /// When `advance` is to be called; what waits for its turn is called otherwise.
    func deadline(at now: Instant) -> Instant? {
        let machines = channels.values.map(\.machine)
        let due = machines.compactMap { $0.askingDue(at: now) == nil ? $0.deadline : nil }
        return (due + (discovery.askingDue(at: now) == nil ? [discovery.deadline] : [])).min()
    }

    /// Channels that there are, here or over there.
    func has(_ numbers: [UInt16]) {
        let journal = surroundings.journal
        var pace = ReplicaMachine.Options()
        pace.every = options.every
        for number in numbers where channels[number] == nil && channels.count < ReplicaFeed.mostChannels {
            let plan = ReplicaPlan(
                folder: ChannelFolder(root: journal.directory, feed: name, channel: number), feed: name,
                channel: number,
                retention: Retention(mostBytes: journal.keepBytes, longest: journal.keep),
                isDurable: journal.fsync != .none)
            channels[number] = Channel(
                machine: ReplicaMachine(options: pace, at: surroundings.loop.now), plan: plan)
        }
    }

    /// The thread that writes closes the files, before anything that it is given from now on: whoever writes there next
    /// finds the folders unlocked.
    func close() {
        for channel in channels.values {
            if let tail = channel.tail { surroundings.worker.letGo(of: tail) }
            surroundings.worker.empty(channel.deposit)
        }
        channels = [:]
    }

    func connected() {
        discovery.connected(at: surroundings.loop.now)
        for number in channels.keys { channels[number]?.machine.connected(at: surroundings.loop.now) }
    }

    /// All that is due, but for requests, which wait for their turn.
    func advance(at now: Instant) {
        discovery.advance(at: now)
        for number in channels.keys.sorted() {
            if let action = channels[number]?.machine.next(at: now, mayAsk: false) { perform(action, number) }
        }
    }

    /// Counts what is under way.
    func take(_ turns: inout ReplicaTurns) {
        if discovery.isAsking { turns.take(expectsPiece: false) }
        for channel in channels.values where channel.machine.isAsking {
            turns.take(expectsPiece: channel.machine.expectsPiece)
        }
    }

    func waiting(at now: Instant) -> [ReplicaTurns.Waiting<ReplicaQuestion>] {
        func waiting(_ channel: UInt16?, _ since: Instant?, expectsPiece: Bool)
            -> ReplicaTurns.Waiting<ReplicaQuestion>?
        {
            since.map {
                ReplicaTurns.Waiting(
                    ReplicaQuestion(feed: name, channel: channel), since: $0, expectsPiece: expectsPiece)
            }
        }
        let own = channels.compactMap { number, channel in
            waiting(
                number, channel.machine.askingDue(at: now), expectsPiece: channel.machine.expectsPiece)
        }
        return own + [waiting(nil, discovery.askingDue(at: now), expectsPiece: false)].compactMap(\.self)
    }

    /// Its turn has come.
    func ask(_ channel: UInt16?, at now: Instant) {
        guard let channel else {
            discovery.asked(at: now)
            owner?.ask(PullRequest(feed: name, channel: nil, replica: surroundings.host))
            return
        }
        if let action = channels[channel]?.machine.next(at: now) { perform(action, channel) }
    }

    func answered(_ reply: PullReply, _ bytes: [UInt8], at now: Instant) {
        guard let number = reply.channel else {
            refusal = nil
            discovery.answered(at: now)
            switch reply.body {
            case .channels(let numbers): has(numbers)
            case .refused(let reason, let retryAfter, _): refusal = retryAfter == nil ? reason : nil
            case .bytes: break
            }
            return tell()
        }
        if let action = channels[number]?.machine.answered(reply.body, bytes, at: now) {
            perform(action, number)
        }
        tell()
    }

    private func perform(_ action: ReplicaMachine.Action, _ number: UInt16) {
        guard let channel = channels[number] else { return }
        switch action {
        case .ask:
            let position = channel.machine.position
            owner?.ask(
                PullRequest(
                    feed: name, channel: number, place: position.place, messages: position.messages,
                    through: position.through, replica: surroundings.host))
        case .perform(let job):
            let (tail, plan) = (channel.tail, channel.plan)
            let (now, wall) = (surroundings.loop.now, surroundings.loop.wall)
            let deposit = channel.deposit
            let isTaken = surroundings.worker.perform({
                var result = ReplicaTail.perform(job, tail, plan, at: now, wall: wall)
                deposit.leave(result.tail.take())
                return result
            }) { [weak self] in self?.finished($0, number) }
            if !isTaken {
                channels[number]?.machine.finished(
                    .failed("the thread that writes has too much to do"), at: surroundings.loop.now)
            }
        }
    }

    private func finished(_ result: ReplicaResult, _ number: UInt16) {
        guard let last = channels[number] else { return }
        let next = last.deposit.take()
        channels[number]?.tail = next
        if let tail = last.tail, tail.segment != next?.segment { surroundings.worker.letGo(of: tail) }
        channels[number]?.machine.finished(result.outcome, at: surroundings.loop.now)
        if let cut = result.cut {
            surroundings.log(.replicaCut, "the replica of feed \(name), channel \(number): \(cut)")
        }
        if let why = result.notRemoved {
            surroundings.log(
                .replicaStopped,
                "the replica of feed \(name), channel \(number): an old segment cannot be removed: \(why)")
        }
        tell(result.damages, number)
        tell()
        owner?.advance()
    }

    // MARK: - What is told

    private var trouble: String? {
        for (number, channel) in channels.sorted(by: { $0.key < $1.key }) {
            if let trouble = channel.machine.trouble {
                return number == 0 ? trouble : "channel \(number): \(trouble)"
            }
        }
        return refusal
    }

    /// Each damage by its place; of very many at once the first ones.
    private func tell(_ damages: [ReplicaDamage], _ number: UInt16) {
        for (index, damage) in damages.prefix(ReplicaFeed.mostNamed).enumerated() {
            let isLast = index == ReplicaFeed.mostNamed - 1 && damages.count > ReplicaFeed.mostNamed
            let more = isLast ? ", and \(damages.count - ReplicaFeed.mostNamed) more" : ""
            surroundings.log(
                .replicaDamaged,
                "the replica of feed \(name), channel \(number), is damaged as what it follows: \(damage)\(more)"
            )
        }
    }

    /// Each trouble once, and that it is over.
    private func tell() {
        let trouble = trouble
        guard trouble != toldTrouble else { return }
        toldTrouble = trouble
        if let trouble {
            surroundings.log(.replicaStopped, "the replica of feed \(name) does not go on: \(trouble)")
        } else {
            surroundings.log(.replicaResumed, "the replica of feed \(name) goes on")
        }
        report()
    }

    func report() {
        let (now, wall) = (surroundings.loop.now, surroundings.loop.wall)
        let limits = ReplicaLimits(warning: options.warning, critical: options.critical)
        let verdicts = channels.sorted { $0.key < $1.key }.map {
            $0.value.machine.verdict(limits, at: now, wall: wall)
        }
        let worst = verdicts.max { $0.0.severity < $1.0.severity }
        let none = (Status.unknown, "the other gateway did not answer yet")
        let (status, reason) = refusal.map { (.critical, $0) } ?? worst ?? none
        let machines = channels.values.map(\.machine)
        let sum = machines.map(\.lag).sum(at: now, wall: wall)
        let subject = Subject(.replica, name)
        let values = [
            NamedValue("behind_messages", .integer(Int64(clamping: sum.messages))),
            NamedValue("behind_s", .number(sum.time.inSeconds)),
            count("messages", machines.map(\.messages)), count("bytes", machines.map(\.bytes)),
            count("missed_segments", machines.map(\.missed)),
            count("damaged_records", machines.map(\.damaged)),
            count("unanswered", machines.map(\.unanswered)),
        ]
        surroundings.health.report(
            Report(
                subject, status, reason: reason,
                values: [NamedValue("from", .text(options.request))] + values,
                detectedAt: wall))
        if samples.isDue(at: surroundings.loop.now) {
            surroundings.health.sample(Sample(subject, values))
        }
    }

    private func count(_ name: String, _ values: [UInt64]) -> NamedValue {
        NamedValue(name, .integer(Int64(clamping: values.reduce(0, &+))))
    }
}
