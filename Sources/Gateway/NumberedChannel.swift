// One channel of a numbered feed: arbitrates what the paths bring, finds each message's instruments, and publishes
// data and control frames. It does no I/O. A value of its own, so that it is opened once for all that a packet brings.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Wire

struct NumberedChannel<Keys: InstrumentKeys>: ~Copyable {
    let number: UInt16
    let control: ControlChannel
    let batch: BatchTopic
    private let publisher: FramePublisher
    private let log: EventLog
    private let divergences: DivergenceInbox
    private let delays: DelayInbox
    /// Of protocols whose messages have no times by themselves.
    private var firstArrivals = FirstArrivals()
    private let pathNames: [String]
    private let namesSessions: Bool
    /// How much of the session may be missing that is taken from its beginning; `nil`: none is.
    private let mostBehind: UInt64?
    private var isCatchingUp = false
    private var arbiter: Arbiter
    private var spares: SpareCopies
    /// The other gateway says that epochs are the venue's names of its sessions.
    private var areNamedAtSource = false
    /// The last run of the gateway behind each path.
    private var runs: [UInt32?]
    /// Sessions and numbers, where the protocol names none.
    private var labels: SessionLabels
    private var recovery: ChannelRecovery?
    /// The number under which the arbiter knows what was recovered; `nil`: nothing is.
    private let recoveryPath: UInt8?
    private var topics: FeedTopics
    private var keys = Keys()
    private var route = MessageRoute()
    /// The topic of each instrument in the directory, -1 where it has none yet.
    private var slots: [Int32] = []
    /// A directory's entry was seen in this epoch.
    private var hasDirectory = false
    /// The session was joined in its middle, so that the venue may never send its directory, or only what is new in it.
    private var hasMissedDirectory = false
    /// Of the directory in force some came by another way than the venue's, whose messages may still contradict it.
    private var isBorrowed = false
    /// Messages of instruments without a name, when that was last asked for.
    private var knownUnresolved: UInt64 = 0
    private var clock = SourceClock()
    /// Messages that name no instrument, since they are none.
    private var refusedMessages = RefusedInput()
    private var unresolved: UInt64 = 0
    /// The last session of which a path's source said that it has inferred it.
    private var inferred: UInt64?
    /// Gaps are a move's to another path.
    private var isFailover = false
    /// When what came last was read, or let go after it waited: a message is as old as it is by this time.
    private var judgedAt = WallTime(nanoseconds: 0)
    /// What an earlier run knew, and whether this one goes on from there.
    private var remembered: JournalMemory?
    private let takesUp: Bool

    init(
        _ number: UInt16, _ plan: EnginePlan, _ publisher: FramePublisher, _ demand: TopicDemand,
        encode: @escaping (WantedMessages) -> [UInt8]?, at now: Instant
    ) {
        self.number = number
        self.publisher = publisher
        log = plan.log
        divergences = plan.divergences
        delays = plan.delays
        let options = plan.options
        pathNames = options.paths.map(\.name)
        namesSessions = plan.description.namesSessions
        mostBehind = options.start == .session ? UInt64(options.startMessages) : nil
        control = ControlChannel(
            plan, channel: number, numberedPerTopic: false, publisher: publisher, at: now)
        let batch = BatchTopic(feed: options.name, channel: number, publisher: publisher)
        self.batch = batch
        control.beforeSending = { batch.flush() }
        recovery = ChannelRecovery(
            options, channel: number, sent: plan.usage.requests[number] ?? [], sink: plan.recovery,
            encode: encode)
        recoveryPath = recovery?.path
        arbiter = Arbiter(options: ArbiterOptions(options, isRecovering: recovery != nil))
        spares = SpareCopies(capacity: options.reorderCount)
        runs = options.paths.map { _ in nil }
        if let recovery { arbiter.set(recovery.path, isActive: false) }
        var numbering = SessionLabels.Options(paths: options.paths.count)
        numbering.period = plan.description.isWeekly ? .week : .day
        numbering.last = plan.description.lastSequence
        numbering.calendar = options.session
        numbering.maximumJump = UInt64(options.reorderCount)
        takesUp = options.start != .now
        labels = SessionLabels(options: numbering)
        topics = FeedTopics(
            feed: options.name, channel: number, demand: demand,
            keepsValues: plan.lastValue == .ofMarkedMessages, at: now)
        remark()
    }

    /// `nil`: there is nobody to ask.
    var requestsLately: [Instant]? { recovery?.requestsLately }

    var deadline: Instant {
        let own = min(control.deadline, topics.deadline ?? control.deadline)
        return waitingUntil.map { min($0, own) } ?? own
    }

    var waitingUntil: Instant? {
        guard let asking = recovery?.deadline else { return arbiter.deadline }
        return arbiter.deadline.map { min($0, asking) } ?? asking
    }

    // MARK: - Packets

    mutating func take<Units: IteratorProtocol<ArraySlice<UInt8>>>(
        _ packet: FramedPacket<Units>, path: UInt8, receivedAt: WallTime, cameIn: Instant, at now: Instant,
        wall: WallTime
    ) {
        judgedAt = wall
        let header = packet.header
        var arrival = Arrival(
            path: path, session: header.session ?? 0, sequence: header.firstSequence,
            sourceTime: packet.sentAt, receivedAt: receivedAt)
        if header.session == nil { label(&arrival, header, resets: packet.resets, at: cameIn) }
        if let run = packet.run { follow(run, arrival) }
        offerSpares(before: arrival.session, at: now)
        if packet.isInferred, inferred != arrival.session { infer(arrival.session) }
        // The arbiter begins with this word, too: what can be known from then on is told before anything else.
        if !arbiter.hasBegun, arbiter.trusts(path), arrival.sequence != 0, arrival.sequence != .max {
            if header.session == nil { goOn(before: arrival, at: now) }
            mostBehind == nil
                ? resume(before: arrival, at: now) : catchUp(before: arrival, at: now, wall: receivedAt)
            let first = arbiter.hasBegun ? arbiter.first : arrival.sequence
            if labels.isInferred || inferred == arrival.session { control.flags = [.epochInferred] }
            begin(epoch: arrival.session, first: first, at: now, wall: receivedAt)
        }
        if !arbiter.doubts(arrival), arbiter.hasBegun || arbiter.trusts(path) {
            control.heard(
                arrival.path, isStale: packet.isStale, isRecovering: packet.isRecovering, cameIn: cameIn,
                at: now, wall: receivedAt)
        }
        recovery?.heard(packet.session, epoch: arrival.session)
        switch header.kind {
        case .data:
            var units = packet.units
            while let unit = units.next() {
                if isCatchingUp, !clock.isSet { setClock(by: unit, receivedAt: receivedAt) }
                if !packet.isUnresolved || !keepsBack(unit, arrival, at: now) {
                    offer(unit, arrival, at: now)
                }
                arrival.sequence &+= 1
            }
            offerSpares(at: now)
        case .heartbeat:
            arbiter.heard(arrival, at: now)
            release(at: now, wall: receivedAt)
            if let isClosed = packet.isClosed { follow(isClosed, arrival, cameIn: cameIn, at: now) }
        case .endOfSession: end(arrival, at: now)
        case .unsequenced: break
        }
        if Keys.haveTimes {
            if delays.isDue(path, at: now) { sample(packet, path: path, receivedAt: receivedAt, at: now) }
        } else if case .data = header.kind {
            compare(arrival, isRecovering: packet.isStale || packet.isRecovering, at: now)
        }
        settle(at: now, wall: receivedAt)
        route.clear()
    }

    /// Within how many messages two runs of a gateway hear the same numbers again, where sessions have no names.
    private static var overlap: UInt64 { 65_536 }

    /// What the other gateway says of its run. One that was started anew may give an epoch again whose numbers began anew
    /// while it was away: by the rule that it has for its clients.
    private mutating func follow(_ run: SourceRun, _ arrival: Arrival) {
        areNamedAtSource = run.isNamed
        let path = Int(arrival.path)
        guard runs.indices.contains(path), runs[path] != run.number, run.first > 0 else { return }
        let isOther = runs[path] != nil
        runs[path] = run.number
        guard arrival.session == arbiter.session else { return }
        let reach = run.first.addingReportingOverflow(Self.overlap)
        arbiter.set(
            arrival.path,
            mayRestart: isOther && !run.isNamed && !reach.overflow && reach.partialValue < arbiter.highest)
    }

    /// Whether a message whose instrument its source could not name waits for another one that can.
    private mutating func keepsBack(
        _ unit: ArraySlice<UInt8>, _ arrival: Arrival, at now: Instant
    ) -> Bool {
        guard arbiter.hasBegun, arrival.session == arbiter.session, arbiter.isSettled,
            arbiter.trusts(arrival.path), arrival.sequence < .max,
            arrival.sequence > arbiter.highest || arbiter.isMissing(arrival.sequence),
            spares.keep(unit, arrival, sound: unsafe control.machine.soundPaths(at: now))
        else { return false }
        var next = arrival
        next.sequence += 1
        arbiter.heard(next, at: now)
        release(at: now, wall: arrival.receivedAt)
        return true
    }

    /// Offers what is kept back no longer: its message came under a name, or would be told as missing now.
    /// - Parameter session: of what is taken next.
    private mutating func offerSpares(before session: UInt64? = nil, at now: Instant) {
        guard !spares.isEmpty else { return }
        // Before a word of another session, which may end this one, and before the window is full, which makes a gap of what
        // is missing.
        let isLate =
            session.map { $0 != arbiter.session } ?? false
            || arbiter.waiting > arbiter.options.reorderCount / 2
        let last: UInt64 =
            isLate
            ? .max : max(arbiter.lastPublished, arbiter.givesUp(at: now) ?? 0)
        for copy in spares.take(through: last) { offer(copy.unit[...], copy.arrival, at: now) }
    }

    /// How old a packet is, the second copy of its messages or not: by its own stamp, or by its first message's.
    private mutating func sample<Units: IteratorProtocol<ArraySlice<UInt8>>>(
        _ packet: FramedPacket<Units>, path: UInt8, receivedAt: WallTime, at now: Instant
    ) {
        guard !isCatchingUp, !packet.isStale, !packet.isRecovering else { return }
        var sent = packet.sentAt
        if sent == nil, case .data = packet.header.kind {
            var units = packet.units
            if let unit = units.next() {
                switch Keys.time(of: unit) {
                case .unknown: break
                case .ofDay(let nanoseconds):
                    sent = clock.time(ofDay: nanoseconds, receivedAt: receivedAt, isRecovered: true)
                case .at(let time): sent = time
                }
            }
        }
        guard let sent else { return }
        delays.add(.message, on: path, sent: sent, receivedAt: receivedAt, at: now)
    }

    /// How much later a packet came than the first copy of its last message.
    /// - Parameter next: stands behind it.
    private mutating func compare(_ next: Arrival, isRecovering: Bool, at now: Instant) {
        guard delays.isMeasuring, next.sequence > 0 else { return }
        let last = next.sequence - 1
        // A number that nobody believed would stand for all that come.
        if next.session == arbiter.session, last <= arbiter.highest {
            firstArrivals.heard(last, of: next.session, at: next.receivedAt)
        }
        guard !isRecovering, delays.isDue(next.path, at: now),
            let first = firstArrivals.arrival(of: last, session: next.session)
        else { return }
        delays.add(.copy, on: next.path, sent: first, receivedAt: next.receivedAt, at: now)
    }

    /// What a server sent again: it fills what is missing, and does nothing else.
    /// - Parameter server: `nil`: it went to all who listen.
    mutating func recovered<Units: IteratorProtocol<ArraySlice<UInt8>>>(
        _ packet: FramedPacket<Units>, from server: Int?, receivedAt: WallTime, at now: Instant,
        wall: WallTime
    ) {
        judgedAt = wall
        guard let path = recoveryPath,
            recovery?.accepts(packet, from: server, session: arbiter.session, at: now) == true
        else { return }
        let isNamed = packet.header.session != nil
        let number = packet.header.firstSequence
        let first = isNamed ? number : labels.place(ofRecovered: number)
        var arrival = Arrival(
            path: path, session: arbiter.session, sequence: first, receivedAt: receivedAt)
        var (missing, taken): (UInt64, UInt64) = (0, 0)
        var last = first
        var units = packet.units
        while let unit = units.next() {
            last = arrival.sequence
            if arbiter.isMissing(last) {
                missing += 1
                if offer(unit, arrival, at: now) { taken += 1 }
            }
            arrival.sequence &+= 1
        }
        if missing == 0, server != nil { recovery?.refuse("nothing-missing") }
        recovery?.answered(SequenceRange(first, last), by: server, taken: taken, at: now)
        recovery?.tick(arbiter, labels, at: now)
        settle(at: now, wall: receivedAt)
        route.clear()
    }

    /// A path's source says that it has inferred the session itself.
    private mutating func infer(_ session: UInt64) {
        inferred = session
        if arbiter.hasBegun, arbiter.epoch == session { control.flags = [.epochInferred] }
    }

    /// What a server sent again was no packet of the protocol.
    mutating func refuseRecovered(_ reason: String) { recovery?.refuse(reason) }

    /// A server will not send what it was asked for.
    mutating func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {
        recovery?.rejected(rejection, by: server, labels, at: now)
    }

    /// Whether something is missing now, and what follows from that.
    private mutating func settle(at now: Instant, wall: WallTime) {
        recovery?.follow(arbiter, at: now)
        control.step(wall: wall) { $0.hole(isOpen: arbiter.hasHole, at: now) }
        followCatchUp(at: now, wall: wall)
    }

    private mutating func label(
        _ arrival: inout Arrival, _ header: SequencedHeader, resets: Bool, at now: Instant
    ) {
        var count: UInt64 = 0
        if case .data(let units) = header.kind { count = UInt64(units) }
        let label = labels.label(
            first: arrival.sequence, count: count, resets: resets, path: Int(arrival.path),
            receivedAt: arrival.receivedAt, at: now)
        (arrival.session, arrival.sequence) = (label.session, label.first)
    }

    /// Whether it is delivered, now or when its turn comes.
    @inline(__always) @discardableResult
    private mutating func offer(_ unit: ArraySlice<UInt8>, _ arrival: Arrival, at now: Instant) -> Bool {
        let verdict = arbiter.offer(arrival, payload: unit, at: now)
        if verdict == .deliver { publish(unit, arrival, epoch: arbiter.epoch, at: now) }
        if arbiter.mayRelease { release(at: now, wall: arrival.receivedAt) }
        return verdict == .deliver || verdict == .held
    }

    private mutating func end(_ arrival: Arrival, at now: Instant) {
        arbiter.heard(arrival, at: now)
        release(at: now, wall: arrival.receivedAt)
        guard arbiter.believes(arrival) else { return }
        control.step(wall: arrival.receivedAt) { $0.sessionEnded(next: arrival.sequence, at: now) }
    }

    /// A path's source says whether it is closed itself.
    private mutating func follow(
        _ isClosed: Bool, _ arrival: Arrival, cameIn: Instant, at now: Instant
    ) {
        guard !isClosed || arbiter.believes(arrival) else { return }
        control.source(
            arrival.path, isClosed: isClosed, cameIn: cameIn, at: now, wall: arrival.receivedAt)
    }

    // MARK: - Releasing

    private mutating func release(at now: Instant, wall: WallTime) {
        // Before the session that follows is entered, which knows its own directory.
        for loss in arbiter.takeLosses() { tell(loss, at: now, wall: wall) }
        while let released = arbiter.nextReleased() {
            switch released {
            case .message(let held): publish(held.payload[...], held.arrival, epoch: held.epoch, at: now)
            case .gap(let gap):
                topics.forgetValues()
                control.step(wall: wall, isFailover: isFailover) { $0.told(gap, at: now) }
            case .epoch(let change): enter(change, at: now, wall: wall)
            case .divergence(let found): tell(found)
            }
        }
    }

    private mutating func enter(_ change: EpochChange, at now: Instant, wall: WallTime) {
        batch.interrupt()
        topics.epochChanged()
        spares.removeAll()
        for path in pathNames.indices { arbiter.set(UInt8(truncatingIfNeeded: path), mayRestart: false) }
        recovery?.restart(at: now)
        keys.restart()
        (hasDirectory, isBorrowed) = (false, false)
        firstArrivals = FirstArrivals()
        clock.restart()
        let isInferredHere = change.cause == .inferred || labels.isInferred
        if isInferredHere { divergences.void() }
        let isInferred = isInferredHere || inferred == arbiter.epoch
        control.flags = isInferred ? [.epochInferred] : []
        remark()
        log(.epochBegan, "\(place)another session: sequences begin anew (\(change.cause.rawValue))")
        control.step(wall: wall) { $0.epochChanged(at: now) }
        begin(epoch: arbiter.epoch, first: arbiter.first, at: now, wall: wall)
        control.sendState(wall: wall)
    }

    /// The numbers of an epoch begin here. Whoever joins a session in its middle has missed its directory, and
    /// cannot name instruments before the venue repeats it.
    private mutating func begin(epoch: UInt64, first: UInt64, at now: Instant, wall: WallTime) {
        // Numbers that began again within a session all the same have an epoch of their own.
        let isNamed = (namesSessions || areNamedAtSource) && arbiter.epoch == arbiter.session
        control.begin(epoch: epoch, first: first, isNamed: isNamed, wall: wall)
        guard Keys.needsDirectory else { return }
        hasMissedDirectory = first != 1
        directory(isKnown: first == 1, at: now, wall: wall)
        if takesUp, let remembered, remembered.epoch == epoch { recall(at: now, wall: wall) }
    }

    /// An earlier run stopped somewhere in an epoch, and knew its directory: that holds where the epoch goes on.
    mutating func remember(_ memory: JournalMemory, at now: Instant, wall: WallTime) {
        remembered = memory
        if !namesSessions {
            labels.remember(
                SessionLabels.Past(session: memory.epoch, last: memory.last, heardAt: memory.heardAt))
        }
        if takesUp, arbiter.hasBegun, arbiter.epoch == memory.epoch { recall(at: now, wall: wall) }
    }

    /// Under one label a number stands for one message: where the label goes on, what comes at or below its last number was
    /// published, or is of a numbering that begins again.
    private mutating func goOn(before arrival: Arrival, at now: Instant) {
        guard let remembered, remembered.epoch == arrival.session, arrival.sequence <= remembered.last + 1
        else { return }
        arbiter.resume(arrival.session, after: remembered.last, at: now)
    }

    /// What was sent while no gateway was there can be asked for again, if there is not too much of it.
    private mutating func resume(before arrival: Arrival, at now: Instant) {
        guard takesUp, let recovery, let remembered, remembered.epoch == arrival.session, remembered.last > 0,
            recovery.canRecover(after: remembered.last, before: arrival.sequence)
        else { return }
        arbiter.resume(arrival.session, after: remembered.last, at: now)
    }

    /// All that the session had before is asked for, or what came since an earlier run stopped in it: if it is not more
    /// than an operator wants. A run that had no directory began in the middle of the session, too: then all is.
    private mutating func catchUp(before arrival: Arrival, at now: Instant, wall: WallTime) {
        guard let mostBehind, recovery != nil else { return }
        var known: UInt64 = 0
        if let memory = remembered, memory.epoch == arrival.session,
            !Keys.needsDirectory || memory.directory != nil
        {
            known = memory.last
        }
        guard arrival.sequence > known + 1 else { return }
        let behind = arrival.sequence - known - 1
        guard behind <= mostBehind else {
            return log(
                .sessionNotTaken,
                "\(place)the session is \(behind) messages ahead, more than start_messages (\(mostBehind)): it is taken from \(arrival.sequence) on"
            )
        }
        arbiter.catchUp(
            arrival.session, after: known, before: arrival.sequence, CatchUpOptions(most: mostBehind), at: now
        )
        isCatchingUp = true
        control.step(wall: wall) { $0.catchingUp(true, at: now) }
    }

    /// Whether it is over.
    private mutating func followCatchUp(at now: Instant, wall: WallTime) {
        guard isCatchingUp, !arbiter.isCatchingUp else { return }
        isCatchingUp = false
        control.step(wall: wall) { $0.catchingUp(false, at: now) }
    }

    private mutating func tell(_ loss: CatchUpLoss, at now: Instant, wall: WallTime) {
        let range = loss.range
        let (why, isOver) =
            switch loss {
            case .silent: ("the session was not sent", false)
            case .ranAway: ("the session ran away: it is \(range.count) messages ahead", false)
            case .left: ("another session began before all of this one was sent", true)
            }
        log(
            .sessionNotTaken,
            "\(place)\(why): what is missing from \(range.first) to \(range.last) is told as a gap")
        guard Keys.needsDirectory, !isOver else { return }
        hasMissedDirectory = true
        if !hasDirectory { directory(isKnown: false, at: now, wall: wall) }
    }

    private mutating func recall(at now: Instant, wall: WallTime) {
        guard let memory = remembered else { return }
        remembered = nil
        guard let directory = memory.directory?.ordered else { return }
        enter(directory, journalledIn: memory.epoch, at: now, wall: wall)
        hasMissedDirectory = false
    }

    /// Whether instruments have no names, of which the venue may never send more: there is no directory, or messages came
    /// since this was last asked of instruments that it does not name.
    mutating func lacksDirectory() -> Bool {
        guard Keys.needsDirectory, hasMissedDirectory else { return false }
        defer { knownUnresolved = unresolved }
        return !hasDirectory || unresolved != knownUnresolved
    }

    /// Takes a directory that came by another way, where the session was joined in its middle. It is not journalled: the
    /// venue's messages may still contradict it.
    mutating func learn(_ directory: [[UInt8]], at now: Instant, wall: WallTime) -> DirectoryVerdict {
        guard Keys.needsDirectory, hasMissedDirectory else { return .notNeeded }
        for unit in directory {
            if let contradiction = keys.contradiction(of: unit[...]) { return .contradicted(contradiction) }
        }
        enter(directory, journalledIn: nil, at: now, wall: wall)
        (hasMissedDirectory, isBorrowed) = (false, true)
        return .taken
    }

    /// A directory that came by another way is another session's after all: nothing of it holds any more.
    private mutating func disown(because contradiction: String, at now: Instant, wall: WallTime) {
        keys.restart()
        (hasDirectory, hasMissedDirectory, isBorrowed) = (false, true, false)
        remark()
        log(
            .directoryNotTaken,
            "\(place)the directory that was taken from a file is another session's: \(contradiction); instruments are numbers again, and what came since bore wrong names"
        )
        directory(isKnown: false, at: now, wall: wall)
    }

    /// - Parameter epoch: in whose directory the journal keeps it; `nil`: in none.
    private mutating func enter(
        _ directory: [[UInt8]], journalledIn epoch: UInt64?, at now: Instant, wall: WallTime
    ) {
        for unit in directory {
            route.begin(unit[...])
            guard (try? keys.route(unit[...], into: &route)) != nil, route.meaning == .directory else {
                continue
            }
            named(unit[...], journalledIn: epoch, at: now, wall: wall)
        }
        route.clear()
    }

    private func tell(_ divergence: Divergence) {
        if divergence.isRepeated { return divergences.add(divergence) }
        log(
            .copiesDiffer,
            "\(place)message \(divergence.sequence) differs between \(name(of: divergence.path)) and \(name(of: divergence.deliveredBy)), whose copy was delivered"
        )
    }

    private func name(of path: UInt8) -> String {
        recoveryPath == path ? "what was recovered" : "path \(pathNames[Int(path)])"
    }

    /// Which channel an entry is about, where it is not the only one.
    private var place: String { number == 0 ? "" : "channel \(number): " }

    // MARK: - Publishing

    private mutating func publish(
        _ unit: ArraySlice<UInt8>, _ arrival: Arrival, epoch: UInt64, at now: Instant
    ) {
        if isBorrowed, let contradiction = keys.doubt(by: unit) {
            disown(because: contradiction, at: now, wall: judgedAt)
        }
        route.begin(unit)
        do throws(MalformedInput) {
            try keys.route(unit, into: &route)
        } catch {
            refusedMessages.add(error, length: unit.count)
            route.begin(unit)
        }
        let sourceTime = sourceTime(arrival)
        if route.meaning == .directory {
            named(unit, journalledIn: epoch, at: now, wall: arrival.receivedAt)
        }
        let said = control.publishing(
            arrival.sequence, sourceTime: sourceTime ?? arrival.receivedAt, at: now, wall: judgedAt)
        let header = FrameHeader(
            kind: .data, flags: said.flags, feed: 0, channel: number, epoch: epoch,
            sequence: arrival.sequence, path: arrival.path == recoveryPath ? nil : arrival.path,
            state: said.state, sourceTime: sourceTime, receiveTime: arrival.receivedAt)
        if batch.isWanted {
            batch.append(route.prefix == 0 ? unit : unit.dropFirst(route.prefix), header)
        }
        publish(route.body, to: route.instrument, header, at: now)
        for index in route.more.indices {
            let part = route.more[index]
            publish(part.body, to: part.instrument, header, at: now)
        }
        if route.meaning == .endOfSession {
            let next = arrival.sequence &+ 1
            control.step(wall: arrival.receivedAt) { $0.sessionEnded(next: next, at: now) }
        }
    }

    /// What comes live is published behind all that was sent before, whose times it tells.
    private mutating func setClock(by unit: ArraySlice<UInt8>, receivedAt: WallTime) {
        guard case .ofDay(let nanoseconds) = Keys.time(of: unit) else { return }
        _ = clock.time(ofDay: nanoseconds, receivedAt: receivedAt)
    }

    private mutating func sourceTime(_ arrival: Arrival) -> WallTime? {
        switch route.time {
        case .unknown: arrival.sourceTime
        case .ofDay(let nanoseconds):
            clock.time(
                ofDay: nanoseconds, receivedAt: arrival.receivedAt,
                isRecovered: arrival.path == recoveryPath)
        case .at(let time): time
        }
    }

    /// - Parameter header: a data frame's, without what is its topic's.
    @inline(__always)
    private mutating func publish(
        _ body: ArraySlice<UInt8>, to instrument: Int32, _ header: FrameHeader, at now: Instant
    ) {
        guard let slot = slot(of: instrument, at: now) else { return }
        var flags = topics.flags(slot)
        if route.isUnresolved { flags.insert(.unresolved) }
        if !route.more.isEmpty { flags.insert(.severalTopics) }
        if flags.contains(.unresolved) { unresolved &+= 1 }
        let stand = topics.published(slot, sequence: header.sequence, at: now)
        let isValue = topics.keepsValues && route.meaning == .lastValue
        guard stand.isWanted || publisher.isJournalled || isValue else { return }
        var header = header
        header.flags.formUnion(flags)
        header.previous = stand.previous
        if isValue { topics.keep(slot, header, body: body.span) }
        guard stand.isWanted || publisher.isJournalled else { return }
        let next = publisher.publish(
            header, topic: topics.wire.bytes.span.extracting(topics.wire.place(of: slot)), body: body.span,
            by: stand.route, isWanted: stand.isWanted)
        if next != stand.route { topics.set(next, of: slot) }
    }

    /// An instrument's topic; `nil`: there is no room for another one.
    @inline(__always)
    private mutating func slot(of instrument: Int32, at now: Instant) -> Int? {
        if instrument >= 0, Int(instrument) < slots.count, slots[Int(instrument)] >= 0 {
            return Int(slots[Int(instrument)])
        }
        return newSlot(of: instrument, at: now)
    }

    private mutating func newSlot(of instrument: Int32, at now: Instant) -> Int? {
        guard instrument >= 0 else { return topics.intern([], at: now) { nil } }
        let name = keys.directory.name(of: instrument)
        let text = name.text
        let flags: FrameFlags = name.isResolved ? [] : .unresolved
        guard let slot = topics.intern(Array(text.utf8)[...], flags: flags, at: now, instrument: { text })
        else { return nil }
        while slots.count <= Int(instrument) { slots.append(-1) }
        slots[Int(instrument)] = Int32(slot)
        return slot
    }

    /// The directory names instruments.
    private mutating func named(
        _ unit: ArraySlice<UInt8>, journalledIn epoch: UInt64?, at now: Instant, wall: WallTime
    ) {
        if let epoch, route.instrument >= 0 {
            publisher.directory(unit, of: UInt32(route.instrument), channel: number, epoch: epoch)
        }
        guard !hasDirectory else { return }
        hasDirectory = true
        remark()
        directory(isKnown: true, at: now, wall: wall)
    }

    private mutating func directory(isKnown: Bool, at now: Instant, wall: WallTime) {
        control.step(wall: wall) { $0.directory(isKnown: isKnown, at: now) }
    }

    private func remark() {
        control.remark = Keys.needsDirectory && !hasDirectory ? "no directory yet" : ""
    }

    // MARK: - Time and paths

    mutating func returned(after absence: Duration, at now: Instant, wall: WallTime) {
        judgedAt = wall
        arbiter.skip(absence)
        control.step(wall: wall) { $0.returned(at: now) }
    }

    mutating func tick(at now: Instant, wall: WallTime) {
        judgedAt = wall
        offerSpares(at: now)
        if let deadline = arbiter.deadline, deadline <= now {
            arbiter.tick(at: now)
            release(at: now, wall: wall)
        }
        recovery?.tick(arbiter, labels, at: now)
        control.step(wall: wall) { $0.hole(isOpen: arbiter.hasHole, at: now) }
        followCatchUp(at: now, wall: wall)
        control.step(wall: wall) { $0.tick(at: now) }
        if let deadline = topics.deadline, deadline <= now {
            for frame in topics.idle(at: now) { publishIdle(frame.topic, frame.sequence, wall: wall) }
        }
    }

    /// - Parameter connection: who is shown it; `nil`: all who hold the topic.
    private func publishIdle(
        _ slot: Int, _ sequence: UInt64, to connection: Int32? = nil, wall: WallTime
    ) {
        let header = FrameHeader(
            kind: .idle, flags: control.dataFlags(sourceTime: nil, wall: wall).union(topics.flags(slot)),
            feed: 0, channel: number,
            epoch: arbiter.epoch, sequence: sequence, previous: sequence, state: control.state,
            receiveTime: wall)
        let topic = topics.wire[slot]
        publisher.show(header, topic: topic.span, to: connection)
    }

    mutating func pathsChanged(_ condition: PathCondition, wasSettled: Bool, at now: Instant, wall: WallTime)
    {
        judgedAt = wall
        for (path, isActive) in condition.active.enumerated() {
            arbiter.set(UInt8(truncatingIfNeeded: path), isActive: isActive)
        }
        for (path, isDistrusted) in condition.distrusted.enumerated() {
            arbiter.set(UInt8(truncatingIfNeeded: path), isTrusted: !isDistrusted)
        }
        release(at: now, wall: wall)
        control.follow(condition, wasSettled: wasSettled, at: now, wall: wall)
        isFailover = condition.failover != nil
    }

    mutating func wantAll(at now: Instant) { topics.wantAll(at: now) }

    /// A client was granted a topic: it is shown where it stands.
    mutating func show(_ key: [UInt8], to connection: Int32?, at now: Instant, wall: WallTime) {
        topics.want(key, at: now)
        guard let slot = topics.find(key[...]), topics.last(of: slot) > 0 else { return }
        publishIdle(slot, topics.last(of: slot), to: connection, wall: wall)
    }

    /// Adds last values to a page; `false`: there are more than it holds.
    func add(_ wants: SnapshotWants, to page: inout SnapshotPage, wall: WallTime) -> Bool {
        let keys = wants.instruments?.map { Array($0.utf8) }
        let place = topics.add(to: &page, keys: keys, from: wants.start(in: number), publisher) {
            control.lastValue($0, wall: wall)
        }
        page.next = place.map { SnapshotRequest.Place(channel: number, topic: $0) }
        return place == nil
    }

    // MARK: - Figures

    func add(to figures: inout PathFigures, path: UInt8) {
        let counters = arbiter.counters(of: path)
        figures.messages &+= counters.received
        figures.first &+= counters.first
        figures.duplicates &+= counters.duplicates
        figures.missed &+= counters.missed
        figures.divergent &+= counters.divergent
    }

    var figures: ChannelFigures {
        let counters = arbiter.counters
        let refused = [
            "implausible": counters.implausible, "old_epoch": counters.oldEpoch,
            "unconfirmed": counters.unconfirmed, "overflow": counters.overflow,
            "passed_over": counters.passedOver,
            "late": counters.late, "distrusted": counters.distrusted,
            "topics": topics.refused &+ keys.directory.refused,
        ].merging(refusedMessages.counts.map { ("message_\($0.key)", $0.value) }) { $0 &+ $1 }
        return ChannelFigures(
            state: control.state, reason: control.reason, published: unsafe control.machine.messages,
            gaps: unsafe control.machine.missing, topics: topics.count, unresolved: unresolved,
            epochs: counters.epochs,
            refused: refused.filter { $0.value > 0 }, recovery: recovery?.figures, waiting: arbiter.waiting,
            lastValues: topics.valueFigures, refusedMessages: refusedMessages,
            behind: arbiter.behind)
    }
}

extension ArbiterOptions {
    /// Of one channel of a feed. What is recovered has a path of its own, the last one.
    init(_ feed: FeedOptions, isRecovering: Bool) {
        self.init(paths: feed.paths.count + (isRecovering ? 1 : 0))
        reorderTime = feed.reorderTime
        reorderCount = feed.reorderCount
        maximumJump = UInt64(feed.reorderCount)
        historyCount = 4096
        // A SoupBinTCP server that is asked for all of its session sends it, whenever that is; another gateway that was
        // started anew may, too, and says by its epochs when numbers begin again.
        for (path, options) in feed.paths.enumerated()
        where options.login != nil || feed.feedProtocol == .holdfast {
            neverRestarting |= 1 << UInt8(path)
            overConnection |= 1 << UInt8(path)
        }
        isLabelled = feed.feedProtocol == .holdfast
        guard isRecovering else { return }
        recoveryTime = feed.recover.within
        reorderCount = max(reorderCount, feed.recover.count)
    }
}
