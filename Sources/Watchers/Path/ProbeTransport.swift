// How probes travel: one object for each way, all of one path's, opened when it is first needed. They send what the
// machine asks for and pass on what comes back; what it means is the machine's.
import Basics
import Configuration
import Linux
import Reactor

/// What came back.
enum ProbeEvent {
    case echo(source: IPAddress, identifier: UInt16, sequence: UInt16, roundTrip: Duration?)
    case answer(ProbeTarget, sequence: UInt16, roundTrip: Duration?)
    /// The network says that something is unreachable.
    case unreachable
    /// Something that answers no probe.
    case foreign
    /// A socket failed and is opened anew.
    case trouble(String)
}

/// The ways of one path.
final class ProbeTransport {
    private let context: WatcherContext
    private let options: ISPOptions
    private let onEvent: (ProbeEvent) -> Void
    private var echoes: [IPFamily: EchoTransport] = [:]
    private var connections: ConnectTransport
    private var queries: [ProbeTarget: QueryTransport] = [:]
    /// Whether echo replies are read as they arrive; else when `collect` is called.
    var isPrompt = true {
        didSet {
            guard isPrompt != oldValue else { return }
            for echo in echoes.values { echo.isPrompt = isPrompt }
        }
    }

    init(_ context: WatcherContext, _ options: ISPOptions, onEvent: @escaping (ProbeEvent) -> Void) {
        self.context = context
        self.options = options
        self.onEvent = onEvent
        connections = ConnectTransport(context.loop, options, onEvent: onEvent)
    }

    /// Sends one probe; returns why it could not be sent.
    func send(to target: ProbeTarget, identifier: UInt16, sequence: UInt16) -> String? {
        switch target.method {
        case .echo:
            let family = target.address.family
            let echo =
                echoes[family]
                ?? EchoTransport(
                    context, options.interface, family, isPrompt: isPrompt, onEvent: onEvent)
            echoes[family] = echo
            return echo.send(to: target.address, identifier: identifier, sequence: sequence)
        case .connect(let port): return connections.send(to: target, port: port, sequence: sequence)
        case .query(let port):
            let query =
                queries[target]
                ?? QueryTransport(context.loop, target, port: port, options.interface, onEvent: onEvent)
            queries[target] = query
            return query.send(sequence: sequence)
        }
    }

    /// Passes on the echo replies that have come.
    func collect() {
        for echo in echoes.values { echo.collect() }
    }

    /// Probes bear another identifier, or come from another port.
    func rotate(to identifier: UInt16) {
        for echo in echoes.values { echo.rotate(to: identifier) }
        queries = [:]
    }

    /// The host's address or the interface's index changed.
    func close() {
        echoes = [:]
        queries = [:]
        connections.close()
    }
}

/// When a socket that cannot be opened is tried again.
struct ReopenPace {
    private static let every: Duration = .seconds(1)
    private var nextAt: Instant?
    private(set) var failure = "its socket is not open"

    func mayOpen(at now: Instant) -> Bool { nextAt.map { $0 <= now } ?? true }

    /// Returns whether the failure is another one than before.
    mutating func failed(_ error: SystemError, at now: Instant) -> Bool {
        nextAt = now + ReopenPace.every
        defer { failure = error.description }
        return failure != error.description
    }
}

// MARK: - TCP

/// Connections that are begun and dropped.
final class ConnectTransport {
    /// Connections under way at once; the oldest gives way.
    private static let most = 64

    private final class Attempt {
        let socket: ConnectSocket
        var source: IOSource?
        let target: ProbeTarget
        let sequence: UInt16
        let sentAt: Instant

        init(
            _ socket: consuming ConnectSocket, _ target: ProbeTarget, _ sequence: UInt16, at now: Instant
        ) {
            self.socket = socket
            self.target = target
            self.sequence = sequence
            sentAt = now
        }
    }

    private let loop: EventLoop
    private let options: ISPOptions
    private let onEvent: (ProbeEvent) -> Void
    private var attempts: [UInt64: Attempt] = [:]
    private var oldest: UInt64 = 0
    private var next: UInt64 = 0

    init(_ loop: EventLoop, _ options: ISPOptions, onEvent: @escaping (ProbeEvent) -> Void) {
        self.loop = loop
        self.options = options
        self.onEvent = onEvent
    }

    func close() {
        attempts = [:]
        oldest = next
    }

    func send(to target: ProbeTarget, port: UInt16, sequence: UInt16) -> String? {
        let now = loop.now
        expire(at: now)
        do throws(SystemError) {
            let socket = try ConnectSocket(to: target.address, port: port, interface: options.interface)
            let descriptor = socket.descriptor.raw
            let attempt = Attempt(socket, target, sequence, at: now)
            let number = next
            attempt.source = try IOSource(loop, descriptor: descriptor, interest: .writable) {
                [unowned self] in
                finished(number)
            }
            attempts[number] = attempt
            next += 1
            return nil
        } catch {
            return SystemError.text(error.number)
        }
    }

    /// A SYN that was lost is not to be answered for by the kernel's second one: what is late is dropped.
    private func expire(at now: Instant) {
        while oldest < next {
            if let attempt = attempts[oldest] {
                guard attempts.count >= ConnectTransport.most || now - attempt.sentAt >= options.lossAfter
                else {
                    return
                }
                drop(oldest)
            }
            oldest += 1
        }
    }

    private func drop(_ number: UInt64) {
        attempts[number]?.source = nil
        attempts[number] = nil
    }

    private func finished(_ number: UInt64) {
        guard let attempt = attempts[number] else { return }
        let event: ProbeEvent
        switch attempt.socket.outcome {
        case .connected(let roundTrip): event = answer(attempt, roundTrip)
        case .refused: event = answer(attempt, nil)
        case .failed: event = .unreachable
        }
        drop(number)
        onEvent(event)
    }

    private func answer(_ attempt: Attempt, _ roundTrip: Duration?) -> ProbeEvent {
        .answer(
            attempt.target, sequence: attempt.sequence, roundTrip: roundTrip ?? loop.now - attempt.sentAt)
    }
}

// MARK: - DNS

/// Queries to one name server.
final class QueryTransport {
    /// Datagrams taken before others get their turn.
    private static let batch = 64

    private final class Open {
        let socket: QuerySocket
        var source: IOSource?
        /// Identifiers that a stranger cannot guess from the ones before.
        let secret = UInt16.random(in: .min ... .max)

        init(_ socket: consuming QuerySocket) { self.socket = socket }
    }

    private let loop: EventLoop
    private let target: ProbeTarget
    private let port: UInt16
    private let interface: String?
    private let onEvent: (ProbeEvent) -> Void
    private var open: Open?
    private var pace = ReopenPace()
    private var buffer = [UInt8](repeating: 0, count: 512)

    init(
        _ loop: EventLoop, _ target: ProbeTarget, port: UInt16, _ interface: String?,
        onEvent: @escaping (ProbeEvent) -> Void
    ) {
        self.loop = loop
        self.target = target
        self.port = port
        self.interface = interface
        self.onEvent = onEvent
    }

    deinit { open?.source = nil }

    func send(sequence: UInt16) -> String? {
        openIfNeeded()
        guard let open else { return pace.failure }
        let query = DNSMessage.query(identifier: sequence ^ open.secret)
        var reason: String?
        // What an earlier query met with fails one call and is cleared by it.
        for _ in 0..<2 {
            do throws(SystemError) {
                return try open.socket.send(query) ? nil : "the socket's buffer is full"
            } catch {
                reason = SystemError.text(error.number)
            }
        }
        return reason
    }

    private func openIfNeeded() {
        let now = loop.now
        guard open == nil, pace.mayOpen(at: now) else { return }
        do throws(SystemError) {
            let opened = Open(try QuerySocket(to: target.address, port: port, interface: interface))
            opened.source = try IOSource(loop, descriptor: opened.socket.descriptor.raw) {
                [unowned self] in
                receive()
            }
            open = opened
        } catch {
            if pace.failed(error, at: now) { onEvent(.trouble("\(error); its queries cannot be sent")) }
        }
    }

    private func receive() {
        guard let open else { return }
        for _ in 0..<QueryTransport.batch {
            do throws(SystemError) {
                guard let count = try open.socket.receive(into: &buffer) else { return }
                let bytes = buffer.prefix(max(0, count))
                guard let identifier = DNSMessage.identifier(ofResponse: bytes) else {
                    onEvent(.foreign)
                    continue
                }
                onEvent(.answer(target, sequence: identifier ^ open.secret, roundTrip: nil))
            } catch {
                onEvent(.unreachable)
            }
        }
    }
}
