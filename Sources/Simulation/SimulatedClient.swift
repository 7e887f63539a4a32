// A client: its subscriptions, the queue between it and the gateway, which drops what does not fit, and
// what it makes of the frames by the documented rules.
import Basics
import Configuration
import Wire

final class SimulatedClient {
    /// What kind of reader it is.
    struct Habit {
        /// How long after a frame's arrival it is read.
        var latency: Duration
        /// Frames that may wait for it.
        var highWater: Int
        /// How many it reads at once.
        var batch: Int
        /// It changes its mind about topics.
        var wanders = false
    }

    /// What it has of one numbering.
    struct Received {
        /// Ascending.
        var delivered: [UInt64] = []
        var missing: [(first: UInt64, last: UInt64)] = []

        func has(_ sequence: UInt64) -> Bool {
            var (low, high) = (0, delivered.count)
            while low < high {
                let middle = (low + high) / 2
                if delivered[middle] < sequence { low = middle + 1 } else { high = middle }
            }
            return low < delivered.count && delivered[low] == sequence
        }

        func isTold(_ sequence: UInt64) -> Bool {
            missing.contains { $0.first <= sequence && sequence <= $0.last }
        }
    }

    struct Numbering: Hashable {
        var feed: Int
        var epoch: UInt64
        /// Where topics are numbered each by itself.
        var instrument: String?
    }

    /// One topic's frames of one run and numbering, until another one begins.
    struct Place: Hashable {
        var topic: String
        var epoch: UInt64
        var run: UInt32
        var stint: Int

        init(_ frame: PublishedFrame) {
            (topic, epoch, run) = (frame.topicText, frame.header.epoch, frame.header.run)
            stint = frame.stint
        }
    }

    /// A message that was published for it.
    struct Debt {
        var numbering: Numbering
        var instrument: String?
        var sequence: UInt64
        var place: Place
    }

    /// What it believes of a feed.
    struct Belief {
        var state: ChannelState?
        var heardAt = Instant.zero
        /// When the gateway said it.
        var saidAt = Instant.zero
        var interval: Duration = .milliseconds(100)
    }

    let number: Int
    let habit: Habit
    var wants: [String]
    /// What the gateway lets it have on its connection.
    var grants: Set<String> = []
    private(set) var connection: Int32?
    private var connectedAt = Instant.zero
    private(set) var received: [Numbering: Received] = [:]
    private(set) var missingOfChannel: [Numbering: [(first: UInt64, last: UInt64)]] = [:]
    private(set) var beliefs: [Belief]
    private(set) var dropped: UInt64 = 0
    /// What was published for it, and whether it was new or told in the end.
    private(set) var owed: [Debt] = []
    /// How far each feed was before the first frame that it had of it.
    private var began: [Int: (epoch: UInt64, sequence: UInt64)] = [:]
    /// Likewise each topic that is numbered by itself, before the first frame that carried of it or told how far it is.
    private var beganOnTopic: [String: (epoch: UInt64, sequence: UInt64)] = [:]
    /// The highest number of each topic in each run, data or idle.
    private var reached: [Place: UInt64] = [:]
    var pausedUntil = Instant.zero
    private unowned let world: Simulation
    private var position = ClientPosition()
    private var queue: [PublishedFrame] = []
    /// Frames that were read, and of how many the marker follows.
    private var taken = 0
    private var marker: Int?
    /// Topics of which a frame was read since the marker, and nothing was lost since: the client misses nothing of them.
    private var settled: Set<String> = []
    /// So many frames are to be read before one shows what was lost.
    private var whole = 0
    private var isReading = false

    init(_ world: Simulation, _ number: Int, _ habit: Habit, wants: [String]) {
        self.world = world
        self.number = number
        self.habit = habit
        self.wants = wants
        beliefs = world.feeds.map { _ in Belief() }
    }

    var isSlow: Bool { habit.highWater < 10_000 }

    /// It is connected and keeps up, so that what it believes is what it was told.
    var reads: Bool { connection != nil && !isSlow && pausedUntil + habit.latency < world.now }

    /// Whether the gateway that it is connected to has told it of a feed.
    func hasHeard(_ feed: Int) -> Bool { beliefs[feed].heardAt > connectedAt }

    // MARK: - Connection

    func connectSoon() {
        let later = world.now + world.random.duration(.milliseconds(1) ... .milliseconds(300))
        world.note(at: later) { [self] in connect() }
    }

    private func connect() {
        guard connection == nil else { return }
        guard world.gateway.presentSince != nil else { return connectSoon() }
        let connection = world.gateway.connect(self)
        (self.connection, connectedAt) = (connection, world.now)
        say("connects")
        for prefix in wants { world.gateway.subscribe(prefix, by: connection) }
        awaitMarker()
    }

    /// The marker comes behind all that is on its way by now.
    private func awaitMarker() {
        marker = taken + queue.count
        lookForMarker()
    }

    private func lookForMarker() {
        guard let marker, marker <= taken else { return }
        self.marker = nil
        position.joined()
    }

    func disconnect() {
        guard let connection else { return }
        say("loses its connection")
        disconnected()
        world.gateway.closed(connection)
    }

    /// The gateway is gone, or the connection: what was under way is lost.
    func disconnected() {
        connection = nil
        grants = []
        queue = []
        marker = nil
        settled = []
        connectSoon()
    }

    func subscribe(_ prefix: String) {
        wants.append(prefix)
        position.join(prefix)
        settled = settled.filter { !$0.hasPrefix(prefix) }
        guard let connection else { return }
        world.gateway.asked(by: connection) { [self] in
            world.gateway.subscribe(prefix, by: connection)
            awaitMarker()
        }
    }

    func unsubscribe(_ prefix: String) {
        wants.removeAll { $0 == prefix }
        position.leave(prefix)
        settled = settled.filter { !$0.hasPrefix(prefix) }
        guard let connection else { return }
        world.gateway.asked(by: connection) { [self] in
            world.gateway.unsubscribe(prefix, by: connection)
        }
    }

    func holds(_ topic: String) -> Bool { grants.contains { topic.hasPrefix($0) } }

    // MARK: - Frames

    /// The gateway sends it a frame.
    func offer(_ frame: PublishedFrame) {
        if !habit.wanders { owe(frame) }
        if world.defect.losesOnItsWay(frame) { return }
        guard queue.count < habit.highWater else {
            dropped += 1
            (settled, whole) = ([], taken + queue.count)
            return
        }
        queue.append(frame)
        readSoon()
    }

    private func owe(_ frame: PublishedFrame) {
        let tap = world.checker.taps[frame.feed]
        for sequence in frame.sequences
        where !tap.wasPublishedBefore(sequence, of: frame.header.epoch) {
            owed.append(
                Debt(
                    numbering: numbering(of: frame), instrument: frame.instrument, sequence: sequence,
                    place: Place(frame)))
        }
    }

    private func readSoon() {
        guard !isReading else { return }
        isReading = true
        world.note(at: max(world.now + habit.latency, pausedUntil)) { [self] in
            isReading = false
            if pausedUntil > world.now { return readSoon() }
            let batch = queue.prefix(habit.batch)
            queue.removeFirst(batch.count)
            for frame in batch {
                take(frame)
                taken += 1
                lookForMarker()
            }
            if !queue.isEmpty { readSoon() }
        }
    }

    private func numbering(of frame: PublishedFrame) -> Numbering {
        let isPerTopic = frame.header.flags.contains(.numberedPerTopic)
        return Numbering(
            feed: frame.feed, epoch: frame.header.epoch, instrument: isPerTopic ? frame.instrument : nil)
    }

    private func take(_ frame: PublishedFrame) {
        believe(frame)
        let numbering = numbering(of: frame)
        if frame.carriesOrTells {
            reached[Place(frame)] = max(reached[Place(frame)] ?? 0, frame.header.sequence)
        }
        begin(frame)
        if world.plan.defect == .staysInSession, began[frame.feed]?.epoch != frame.header.epoch { return }
        let (above, missing) = position.take(frame.topic, frame.header, frame.told)
        for range in missing {
            judge(range, by: frame)
            note(range, numbering)
        }
        if marker == nil, taken >= whole, frame.carriesOrTells { settled.insert(frame.topicText) }
        guard let above else { return }
        for sequence in frame.sequences where sequence > above { got(sequence, numbering, by: frame) }
    }

    /// By the first frame of a feed, or of a topic that is numbered by itself, nobody can tell what came before.
    private func begin(_ frame: PublishedFrame) {
        guard frame.header.epoch != 0 else { return }
        let here = (epoch: frame.header.epoch, sequence: max(frame.sequences.lowerBound, 1) - 1)
        if began[frame.feed] == nil { began[frame.feed] = here }
        guard frame.carriesOrTells, frame.header.flags.contains(.numberedPerTopic),
            beganOnTopic[frame.topicText] == nil
        else { return }
        beganOnTopic[frame.topicText] = here
    }

    private func got(_ sequence: UInt64, _ numbering: Numbering, by frame: PublishedFrame) {
        world.delivered += 1
        if let last = received[numbering]?.delivered.last, last >= sequence {
            world.checker.violated(
                .delivery, "client \(number) got \(sequence) by \(frame.line) as new after sequence \(last)")
        }
        if isMissing(numbering, frame.instrument, sequence) {
            world.checker.violated(
                .delivery,
                "client \(number) got \(sequence) by \(frame.line) as new, which it was told to be missing")
        }
        received[numbering, default: Received()].delivered.append(sequence)
    }

    private func believe(_ frame: PublishedFrame) {
        beliefs[frame.feed].state = frame.header.state
        guard let told = frame.told else { return }
        (beliefs[frame.feed].heardAt, beliefs[frame.feed].saidAt) = (world.now, frame.at)
        if case .heartbeat(_, _, let interval, _, _) = told { beliefs[frame.feed].interval = interval }
    }

    /// By the rule of the document: live only while the control topic speaks.
    func believesLive(_ feed: Int) -> Bool {
        let belief = beliefs[feed]
        return belief.state == .live && world.now - belief.heardAt <= belief.interval * 3
    }

    private func note(_ missing: Missing, _ numbering: Numbering) {
        say(
            "misses \(missing.first)–\(missing.last.map { "\($0)" } ?? "?")"
                + "\(missing.instrument.map { " of \($0)" } ?? ""): \(missing.why)")
        if world.plan.defect == .blindClients, missing.why == .own { return }
        // The end of a session that is over is known to nobody.
        guard let last = missing.last else { return }
        var of = numbering
        if of.instrument == nil { of.instrument = missing.instrument }
        let isOfTopic = missing.instrument != nil && numbering.instrument == nil
        let key = Numbering(feed: numbering.feed, epoch: numbering.epoch, instrument: numbering.instrument)
        if isOfTopic {
            missingOfChannel[of, default: []].append((missing.first, last))
        } else {
            received[key, default: Received()].missing.append((missing.first, last))
            check(key, missing.first, last)
        }
    }

    /// Nobody loses what was sent to him in order, nor what he never asked for.
    private func judge(_ missing: Missing, by frame: PublishedFrame) {
        guard missing.why == .own else { return }
        let isGap = frame.header.kind == .gap
        // What it has given up meanwhile may still show what it lost while it had it.
        guard let topic = isGap ? frame.mentioned : frame.topicText,
            settled.contains(topic) || isGap && dropped == 0 && !holds(topic)
        else { return }
        world.checker.violated(
            .losses,
            "client \(number) lost nothing of \(topic) and believes by \(frame.line) that it lost from \(missing.first) on"
        )
    }

    /// Nothing that was delivered is told to be missing.
    private func check(_ key: Numbering, _ first: UInt64, _ last: UInt64) {
        guard let delivered = received[key]?.delivered, let highest = delivered.last, first <= highest
        else { return }
        if let both = delivered.last(where: { $0 <= last }), both >= first {
            world.checker.violated(
                .losses, "client \(number) is told that \(first)–\(last) are missing, and has \(both)")
        }
    }

    /// Whether any later frame of the same topic, run and numbering came, which could have told of a loss.
    func wasTellable(_ debt: Debt) -> Bool { (reached[debt.place] ?? 0) > debt.sequence }

    /// Whether a message came before it had heard of the feed, or of the topic where that is numbered by itself.
    func isBeforeItsTime(_ debt: Debt) -> Bool {
        let isOfTopic = debt.numbering.instrument != nil
        guard let first = isOfTopic ? beganOnTopic[debt.place.topic] : began[debt.numbering.feed] else {
            return true
        }
        return first.epoch == debt.numbering.epoch && debt.sequence <= first.sequence
    }

    /// Whether it was told that it does not get a message.
    func isMissing(_ numbering: Numbering, _ instrument: String?, _ sequence: UInt64) -> Bool {
        if received[numbering]?.isTold(sequence) == true { return true }
        guard numbering.instrument == nil else { return false }
        let own = Numbering(feed: numbering.feed, epoch: numbering.epoch, instrument: instrument ?? "")
        return missingOfChannel[own]?.contains { $0.first <= sequence && sequence <= $0.last } == true
    }

    private func say(_ what: @autoclosure () -> String) {
        world.trace.say(world.now, "client \(number)", what())
    }
}
