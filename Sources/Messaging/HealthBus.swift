// A daemon's health bus: the XPUB that publishes what the `HealthBook` decides, the ROUTER that answers
// requests, and a journal entry for each change of state. The agent and the gateway have one each.
import Basics
import Linux
public import Logging
public import Reactor
public import Wire

/// Publishes a daemon's subjects and answers requests about them.
public final class HealthBus {
    private let loop: EventLoop
    private let logger: Logger
    private let answer: (Request) -> Reply
    private var book: HealthBook
    private var publisher: Publisher?
    private var server: RequestServer?
    private var timer: Timer?
    private var meter = CostMeter()
    /// What the daemon knows of a subject besides its state, as fields of its journal entries.
    public var describe: (Subject) -> Logger.Metadata = { _ in [:] }
    /// Requests that were refused, those that made no sense among them.
    public private(set) var refusedRequests: UInt64 = 0

    /// - Parameter answer: performs a request other than `status`; its members are added to the status.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, book initial: HealthBook, publish: [String],
        request: [String], logger: Logger, answer: @escaping (Request) -> Reply
    ) throws(BusError) {
        self.loop = loop
        self.logger = logger
        self.answer = answer
        book = initial
        publisher = try Publisher(context, loop, endpoints: publish) { [unowned self] prefix in
            perform(book.subscribed(to: prefix, wall: loop.wall))
        }
        server = try RequestServer(context, loop, endpoints: request) { [unowned self] in
            reply(to: $0)
        }
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(5)) { [unowned self] in tick() }
        } catch {
            throw .system(error)
        }
        timer?.arm(at: book.deadline)
    }

    /// The worst status of all subjects.
    public var worst: Status { book.worst }
    /// The endpoints bound last.
    public var publishEndpoint: String { publisher?.lastEndpoint ?? "" }
    public var requestEndpoint: String { server?.lastEndpoint ?? "" }

    public func report(_ report: Report) { perform(book.report(report, at: loop.now, wall: loop.wall)) }
    public func sample(_ sample: Sample) { perform(book.sample(sample, wall: loop.wall)) }
    /// Another publisher's word on a subject of its own, which may explain ours.
    public func heard(_ subject: Subject, _ status: Status) {
        perform(book.heard(subject, status, at: loop.now, wall: loop.wall))
    }
    public func forget(_ subject: Subject) { perform(book.forget(subject, wall: loop.wall)) }

    private func tick() {
        perform(book.tick(at: loop.now, wall: loop.wall, cost: meter.measure(loop)))
    }

    private func perform(_ actions: [HealthBook.Action]) {
        for action in actions {
            switch action {
            case .publish(let topic, let payload): publisher?.publish(topic: topic, payload: payload.bytes)
            case .transition(let state): logger.transition(state, describe(state.subject))
            }
        }
        timer?.arm(at: book.deadline)
    }

    // MARK: - Requests

    private func reply(to bytes: [UInt8]) -> [UInt8] {
        let reply: Reply
        do throws(WireError) {
            reply = completed(try Request(parsing: bytes))
        } catch {
            reply = .refused(error.description)
        }
        if case .refused = reply { refusedRequests &+= 1 }
        return reply.json.bytes
    }

    /// The answer to a request; of `status`, behind the document.
    private func completed(_ request: Request) -> Reply {
        let reply = answer(request)
        guard case .status = request, case .done(let members) = reply else { return reply }
        return .done((book.snapshot(wall: loop.wall).members ?? []) + members)
    }
}

// MARK: - Cost

/// What the process costs between two heartbeats.
struct CostMeter {
    private var last: (at: Instant, time: Duration, iterations: UInt64)?

    /// The cost since the call before; of the first call, nothing but memory.
    mutating func measure(_ loop: EventLoop) -> Cost {
        let now = loop.now
        let cost = ProcessCost.now()
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
