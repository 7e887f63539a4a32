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
    /// Requests that made no sense.
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
        let cost = meter.read(at: loop.now, iterations: loop.iterations)
        perform(book.tick(at: loop.now, wall: loop.wall, cost: cost))
    }

    private func perform(_ actions: [HealthBook.Action]) {
        for action in actions {
            switch action {
            case .publish(let topic, let payload): publisher?.publish(topic: topic, payload: payload.bytes)
            case .transition(let state): log(state)
            }
        }
        timer?.arm(at: book.deadline)
    }

    private func log(_ state: StateMessage) {
        guard state.previous != nil || state.status != .ok else { return }
        let level: Logger.Level =
            switch state.status {
            case .ok: .notice
            case .unknown: .info
            case .warning: .warning
            case .critical: .error
            }
        logger.log(
            level: level, "\(state.subject) is \(state.status.rawValue): \(state.reason)",
            metadata: [
                "subject": "\(state.subject)", "status": "\(state.status.rawValue)",
                "message_id": "\(MessageID.stateChanged)",
            ])
    }

    // MARK: - Requests

    private func reply(to bytes: [UInt8]) -> [UInt8] {
        do throws(WireError) {
            let request = try Request(parsing: bytes)
            guard case .status = request else { return answer(request).json.bytes }
            let extra: [JSON.Member] = if case .done(let members) = answer(request) { members } else { [] }
            let document = book.snapshot(wall: loop.wall).members ?? []
            return Reply.done(document + extra).json.bytes
        } catch {
            refusedRequests &+= 1
            return Reply.refused("\(error)").json.bytes
        }
    }
}

// MARK: - Cost

/// What the process costs between two heartbeats.
struct CostMeter {
    private var at: Instant?
    private var processorTime: Duration = .zero
    private var iterations: UInt64 = 0

    mutating func read(at now: Instant, iterations current: UInt64) -> Cost {
        let cost = ProcessCost.now()
        let elapsed = at.map { (now - $0).inSeconds } ?? 0
        let ratio = elapsed > 0 ? (cost.processorTime - processorTime).inSeconds / elapsed : 0
        let wakeups = elapsed > 0 ? Double(current &- iterations) / elapsed : 0
        at = now
        processorTime = cost.processorTime
        iterations = current
        return Cost(cpuRatio: ratio, residentBytes: cost.residentBytes, wakeupsPerSecond: wakeups)
    }
}
