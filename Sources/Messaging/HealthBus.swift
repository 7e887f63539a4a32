// A daemon's health bus: the publisher of what the `HealthBook` decides, the ROUTER that answers
// requests, and a journal entry for each change of state. The agent and the gateway have one each.
import Basics
import Linux
public import Logging
public import Reactor
public import Wire

/// Publishes a daemon's subjects and answers requests about them.
public final class HealthBus {
    private let context: MessagingContext
    private let loop: EventLoop
    private let logger: Logger
    private let limited: LimitedLog
    private let answer: (Request) -> Reply
    private var book: HealthBook
    private var publisher: Publisher?
    private var server: RequestServer?
    private var repeater: StateRepeater?
    /// States that were made for new subscribers in this turn of the loop: many may ask for the same.
    private var made: [Subject: (topic: String, payload: [UInt8])] = [:]
    /// How many were made, in all turns.
    private(set) var repeatedStates: UInt64 = 0
    private var collectors: [Collector] = []
    private var lastCollector: Int32 = 0
    private var timer: Timer?
    private let meter = CostMeter()
    /// What the daemon knows of a subject besides its state, as fields of its journal entries.
    public var describe: (Subject) -> Logger.Metadata = { _ in [:] }
    /// Requests that were refused, by whoever answers them; those that made no sense among them.
    public var refusedRequests: UInt64 { refusedHere &+ (server?.refused ?? 0) }
    private var refusedHere: UInt64 = 0
    /// Takes on requests that are answered in another way or later, and says whether it does.
    public var takesOn: ((Request, Caller, Responder) -> Bool)?
    /// Counters of the process's other sockets, for the status.
    public var otherAccess: () -> AccessCounters = { AccessCounters() }

    /// - Parameters:
    ///   - authenticator: needed by endpoints beyond this host.
    ///   - answer: performs a request other than `status`; its members are added to the status.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, book initial: HealthBook, publish: [String],
        request: [String], authenticator: Authenticator? = nil, logger: Logger, limited: LimitedLog,
        answer: @escaping (Request) -> Reply
    ) throws(BusError) {
        self.context = context
        self.loop = loop
        self.logger = logger
        self.limited = limited
        self.answer = answer
        book = initial
        let publisher = try Publisher(
            loop, at: ServerEndpoints(publish, authenticator: authenticator), log: limited
        ) { [unowned self] in subscribed(to: $0.prefix, by: $0.connection) }
        publisher.onCancel = { [unowned self] in repeater?.cancelled($0.prefix, by: $0.connection) }
        publisher.onDeparture = { [unowned self] in repeater?.departed($0) }
        publisher.onDrained = { [unowned self] in repeater?.resume($0) }
        self.publisher = publisher
        server = try RequestServer(
            loop, at: ServerEndpoints(request, authenticator: authenticator), log: limited,
            later: { [unowned self] bytes, caller, responder in
                guard let takesOn, let request = try? Request(parsing: bytes) else { return false }
                return takesOn(request, caller, responder)
            }
        ) { [unowned self] in reply(to: $0, of: $1) }
        do throws(SystemError) {
            // A heartbeat may wait a little for another wake-up.
            timer = try Timer(loop, accuracy: initial.heartbeatEvery / 5) { [unowned self] in tick() }
            repeater = try StateRepeater(
                loop,
                // Collectors are libzmq's, which does not tell.
                isReady: { [unowned self] in $0 < 0 || self.publisher?.drain($0) != false },
                work: { [unowned self] in answerSome(of: $0, units: $1) },
                afterTurn: { [unowned self] in made.removeAll(keepingCapacity: true) })
        } catch {
            throw .system(error)
        }
        timer?.arm(at: book.deadline)
    }

    /// The worst status of all subjects.
    public var worst: Status { book.worst }
    /// Why this publisher said that it is about to fall silent.
    public var stopping: String? { book.stopping }
    /// The endpoints bound last.
    public var publishEndpoint: String { publisher?.lastEndpoint ?? "" }
    public var requestEndpoint: String { server?.lastEndpoint ?? "" }

    public func report(_ report: Report) { perform(book.report(report, at: loop.now, wall: loop.wall)) }
    public func sample(_ sample: Sample) {
        // Most subscribers follow states alone: then nobody is written to.
        guard publisher?.isAskedForSamples != false || !collectors.isEmpty else { return record(sample) }
        perform(book.sample(sample, at: loop.now, wall: loop.wall))
    }
    /// A reading for the history alone, which is published nowhere.
    public func record(_ sample: Sample) { book.record(sample, at: loop.now) }
    /// Keeps so much of the past from now on.
    public func keep(_ limits: HistoryLimits) { book.keep(limits) }
    /// Another publisher's word on a subject of its own, which may explain ours.
    public func heard(_ subject: Subject, _ status: Status) {
        perform(book.heard(subject, status, at: loop.now, wall: loop.wall))
    }
    /// The other publisher's word counts no longer.
    public func forgetHeard(_ subject: Subject) { book.forgetHeard(subject) }
    public func forget(_ subject: Subject) { perform(book.forget(subject, wall: loop.wall)) }

    /// This publisher is about to fall silent, or, with `nil`, is not after all: subscribers are told at once.
    public func stops(because reason: String?) {
        perform(book.stops(because: reason, wall: loop.wall, cost: meter.measure(loop)))
        publisher?.flush()
    }

    private func tick() {
        perform(book.tick(at: loop.now, wall: loop.wall, cost: meter.measure(loop)))
    }

    private func perform(_ actions: [HealthBook.Action]) {
        for action in actions {
            switch action {
            case .publish(let topic, let payload): publish(topic: topic, payload: payload.bytes)
            case .transition(let state): logger.transition(state, describe(state.subject))
            }
        }
        timer?.arm(at: book.deadline)
    }

    private func publish(topic: String, payload: [UInt8]) {
        publisher?.publish(topic: topic, payload: payload)
        for collector in collectors { collector.publish(topic: topic, payload: payload) }
    }

    // MARK: - Subscribers

    private func subscribed(to prefix: [UInt8], by connection: Int32) {
        guard let repeater, !repeater.subscribed(to: prefix, by: connection) else { return }
        publisher?.refuse(prefix, of: connection, .tooManyWait(repeater.mostWaiting))
    }

    /// Some of what a subscription asks for.
    private func answerSome(of work: RepeatQueue.Work, units: Int) -> StateRepeater.Step {
        if let nonce = Topic.sync(in: work.prefix) {
            send(book.marker(nonce, wall: loop.wall), to: work.connection)
            // It names all subjects.
            return StateRepeater.Step(units: StateRepeater.Step.state + 2 * book.count, next: nil)
        }
        let piece = book.matching(
            work.prefix, from: work.place, looking: units, finding: max(1, units / StateRepeater.Step.state))
        for subject in piece.subjects { sendState(of: subject, to: work.connection) }
        return StateRepeater.Step(
            units: piece.looked + StateRepeater.Step.state * piece.subjects.count, next: piece.next)
    }

    private func sendState(of subject: Subject, to connection: Int32) {
        if made[subject] == nil {
            guard case .publish(let topic, let json)? = book.repetition(of: subject, wall: loop.wall) else {
                return
            }
            made[subject] = (topic, json.bytes)
            repeatedStates &+= 1
        }
        if let (topic, payload) = made[subject] { send(topic: topic, payload: payload, to: connection) }
    }

    private func send(_ action: HealthBook.Action, to connection: Int32) {
        guard case .publish(let topic, let json) = action else { return }
        send(topic: topic, payload: json.bytes, to: connection)
    }

    private func send(topic: String, payload: [UInt8], to connection: Int32) {
        if connection >= 0 {
            publisher?.send(topic: topic, payload: payload, to: connection)
        } else {
            collectors.first { $0.number == connection }?.publish(topic: topic, payload: payload)
        }
    }

    // MARK: - Collectors

    /// Reports to these collectors from now on; a connection to one that stays is kept.
    ///
    /// - Parameter keys: ours, for those with a server key.
    /// - Throws: `BusError.noKeys`, of a collector whose server key is known and ours are not; and where libzmq
    ///   does not take an address. Those before it are reported to.
    public func report(to addresses: [Collector.Address], keys: KeyPair?) throws(BusError) {
        for collector in collectors where !addresses.contains(collector.address) {
            repeater?.departed(collector.number)
        }
        collectors.removeAll { !addresses.contains($0.address) }
        for address in addresses where !collectors.contains(where: { $0.address == address }) {
            lastCollector -= 1
            let number = lastCollector
            let collector = try Collector(
                context, loop, address, number: number, keys: keys, log: limited
            ) { [unowned self] request in
                switch request {
                case .subscribe(let prefix): subscribed(to: prefix, by: number)
                case .cancel(let prefix): repeater?.cancelled(prefix, by: number)
                }
            }
            collectors.append(collector)
        }
    }

    /// Our keys are others from now on.
    public func rekey(_ keys: KeyPair) {
        for collector in collectors { collector.rekey(keys) }
    }

    // MARK: - Requests

    private func reply(to bytes: [UInt8], of caller: Caller) -> [UInt8] {
        let reply: Reply
        do throws(WireError) {
            reply = completed(try Request(parsing: bytes), of: caller)
        } catch {
            reply = .refused(error.description)
        }
        if case .refused = reply { refusedHere &+= 1 }
        return reply.json.bytes
    }

    /// The answer to a request; of `status`, behind the document.
    private func completed(_ request: Request, of caller: Caller) -> Reply {
        if request.isOperation, !caller.mayOperate { return forbidden(request, caller) }
        if case .history(let subject, let span) = request { return history(of: subject, last: span) }
        let reply = answer(request)
        guard case .status = request, case .done(let members) = reply else { return reply }
        return .done((book.snapshot(wall: loop.wall).members ?? []) + accessMembers + members)
    }

    private func history(of subject: Subject, last span: Duration) -> Reply {
        guard let document = book.history(of: subject, last: span, at: loop.now, wall: loop.wall) else {
            return .refused("\(subject) is not watched here; the status lists what is")
        }
        return .done(document.json.members ?? [])
    }

    private func forbidden(_ request: Request, _ caller: Caller) -> Reply {
        guard case .client(let client) = caller else { return .refused("not allowed") }
        limited.event(
            .requestRefused, key: client.name, "client \(client.name) may not \(request.word)",
            ["client": "\(client.name)", "request": "\(request.word)"])
        return .refused("client \(client.name) may not \(request.word): authorize it with --operate")
    }

    /// Who is connected and who was refused, and the collectors.
    private var accessMembers: [JSON.Member] {
        let none = AccessCounters()
        let access = (publisher?.counters ?? none) + (server?.counters ?? none) + otherAccess()
        let counters = [
            JSON.Member("clients", .integer(Int64(access.clients))),
            JSON.Member("refused_connections", .integer(Int64(clamping: access.refused))),
            JSON.Member("removed_clients", .integer(Int64(clamping: access.removed))),
            JSON.Member("undelivered_replies", .integer(Int64(server?.undelivered ?? 0))),
            JSON.Member("broken_connections", .integer(Int64(clamping: server?.broken ?? 0))),
        ]
        let first = [
            JSON.Member("access", .object(counters)), JSON.Member("bus", .object(busMembers)),
        ]
        let reports = JSON.Member("report_to", .array(collectors.map(\.json)))
        return collectors.isEmpty ? first : first + [reports]
    }

    /// What subscribers of the bus hold and wait for, and what they were refused.
    private var busMembers: [JSON.Member] {
        let refused = (publisher?.refusedSubscriptions ?? 0) &+ (repeater?.refused ?? 0)
        return [
            JSON.Member("subscriptions", .integer(Int64(publisher?.subscriptions ?? 0))),
            JSON.Member("waiting_subscriptions", .integer(Int64(repeater?.waiting ?? 0))),
            JSON.Member("refused_subscriptions", .integer(Int64(clamping: refused))),
            JSON.Member("repeated_states", .integer(Int64(clamping: repeatedStates))),
            JSON.Member("malformed_messages", .integer(Int64(publisher?.malformed ?? 0))),
            JSON.Member("broken_connections", .integer(Int64(clamping: publisher?.broken ?? 0))),
            JSON.Member("dropped_messages", .integer(Int64(clamping: publisher?.dropped ?? 0))),
        ]
    }
}

// MARK: - Cost

/// What the process costs between two heartbeats.
final class CostMeter {
    private let meter = ProcessMeter()
    private var last: (at: Instant, time: Duration, iterations: UInt64)?

    /// The cost since the call before; of the first call, nothing but memory.
    func measure(_ loop: EventLoop) -> Cost {
        let now = loop.now
        let cost = meter.now()
        let iterations = loop.iterations
        defer { last = (now, cost.processorTime, iterations) }
        guard let last, now > last.at else {
            return Cost(cpuRatio: 0, residentBytes: cost.residentBytes, wakeupsPerSecond: 0)
        }
        let elapsed = (now - last.at).inSeconds
        return Cost(
            cpuRatio: (cost.processorTime - last.time).inSeconds / elapsed, residentBytes: cost.residentBytes,
            wakeupsPerSecond: Double(iterations &- last.iterations) / elapsed)
    }
}
