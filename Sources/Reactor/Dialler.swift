// Reaches a peer on the loop: name look-up elsewhere, connecting, each within a bound. What follows on the connection
// is for those who asked for it.
import Basics
public import Linux

/// A stream that is connected. A class, since a noncopyable value cannot be an optional property that is replaced in
/// closures.
public final class ConnectedStream {
    public let socket: StreamSocket

    fileprivate init(_ address: ResolvedAddress, _ route: StreamRoute) throws(SystemError) {
        socket = try StreamSocket(connecting: address, by: route)
    }
}

/// Connects to one peer at a time.
public final class Dialler {
    public enum Outcome {
        case connected(ConnectedStream)
        /// Nobody was reached, and why, for a person. The peer is not named: whoever dialled says whom.
        case failed(String)
    }

    private let loop: EventLoop
    private let lookUps: NameLookups
    private let route: StreamRoute
    private let onOutcome: (Outcome) -> Void
    private var machine: Dialling
    private var timer: Timer?
    private var addresses: [ResolvedAddress] = []
    /// What was dialled last, and which attempt that is.
    private var dialled: (address: StreamAddress, attempt: Int)?
    /// What is being looked up, or is about to: a name has one answer, however often it is dialled meanwhile.
    private var lookedUp: Set<StreamAddress> = []
    private var stream: ConnectedStream?
    /// Goes before the descriptor that it watches.
    private var source: IOSource?

    /// - Parameters:
    ///   - limit: how long connecting to one address may take.
    ///   - onOutcome: may be called before `dial` returns.
    public init(
        _ loop: EventLoop, _ lookUps: NameLookups, limit: Duration, by route: StreamRoute,
        onOutcome: @escaping (Outcome) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.lookUps = lookUps
        self.route = route
        self.onOutcome = onOutcome
        machine = Dialling(limit: limit)
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            perform(machine.tick(at: self.loop.now))
        }
    }

    /// Likewise, with names looked up on a thread that has other work as well.
    public convenience init(
        _ loop: EventLoop, _ worker: Worker, limit: Duration, by route: StreamRoute,
        onOutcome: @escaping (Outcome) -> Void
    ) throws(SystemError) {
        try self.init(
            loop, NameLookups(loop, on: worker), limit: limit, by: route, onOutcome: onOutcome)
    }

    /// Begins to connect; what was under way before has no outcome.
    public func dial(_ address: StreamAddress) {
        letGo()
        guard case .lookUp(let attempt) = machine.dial(at: loop.now) else { return }
        timer?.arm(at: machine.deadline)
        dialled = (address, attempt)
        lookUp(address, attempt)
    }

    /// Ends what is under way, without an outcome.
    public func stop() {
        machine.stop()
        timer?.disarm()
        letGo()
    }

    private func letGo() {
        source = nil
        stream = nil
        addresses = []
    }

    /// Numbers are no names, and need no name server.
    private func lookUp(_ address: StreamAddress, _ attempt: Int) {
        switch address {
        case .unix(let path):
            guard let resolved = ResolvedAddress(unix: path) else {
                return perform(machine.notFound("the path is too long for a socket", attempt: attempt))
            }
            found(.success([resolved]), attempt)
        case .tcp(let host, let port) where IPAddress(host) != nil:
            found(ResolvedAddress.lookUp(host: host, port: port), attempt)
        case .tcp(let host, let port):
            guard lookedUp.insert(address).inserted else { return }
            let isAccepted = lookUps.lookUp(host: host, port: port) { [weak self] in
                self?.found($0, address)
            }
            guard !isAccepted else { return }
            lookedUp.remove(address)
            perform(machine.notFound("too many look-ups wait", attempt: attempt))
        }
    }

    /// The answer may be to an earlier attempt; it is as good for the last one.
    private func found(_ result: Result<[ResolvedAddress], LookUpFailure>, _ address: StreamAddress) {
        lookedUp.remove(address)
        if let dialled, dialled.address == address { found(result, dialled.attempt) }
    }

    private func found(_ result: Result<[ResolvedAddress], LookUpFailure>, _ attempt: Int) {
        switch result {
        case .success(let found):
            guard let action = machine.found(found.count, attempt: attempt, at: loop.now) else { return }
            addresses = found
            perform(action)
        case .failure(let failure): perform(machine.notFound(failure.description, attempt: attempt))
        }
    }

    private func perform(_ action: Dialling.Action?) {
        guard let action else { return }
        timer?.arm(at: machine.deadline)
        switch action {
        case .lookUp: break
        case .connect(let place): connect(addresses[place])
        case .failed(let reason):
            letGo()
            onOutcome(.failed(reason))
        }
    }

    private func connect(_ address: ResolvedAddress) {
        source = nil
        stream = nil
        do throws(SystemError) {
            let stream = try ConnectedStream(address, route)
            self.stream = stream
            source = try IOSource(loop, descriptor: stream.socket.descriptor.raw, interest: .writable) {
                [unowned self] in ready()
            }
        } catch {
            perform(machine.failed("\(error)", at: loop.now))
        }
    }

    private func ready() {
        guard let stream else { return }
        do throws(SystemError) {
            try stream.socket.finishConnecting()
        } catch {
            return perform(machine.failed("\(error)", at: loop.now))
        }
        machine.connected()
        timer?.disarm()
        letGo()
        onOutcome(.connected(stream))
    }
}
