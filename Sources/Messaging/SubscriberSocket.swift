// Our own subscriber: a connection to one publisher, by ZMTP, made again and again as its machine says. Frames are read
// where they were received, one read after the other and none ahead, so that what is not taken yet waits in the kernel
// and takes no memory of ours.
public import Basics
import Linux
public import Reactor
public import Wire
import ZMTP

/// Receives what it subscribed to at one endpoint.
public final class SubscriberSocket {
    /// What happens to it is told with these.
    public struct Handlers {
        var news: (Connection.News) -> Void
        /// Takes all of them.
        var frames: (inout ArrivedFrames) -> Void
        /// Nothing that had arrived waits to be read.
        var emptied: () -> Void
        /// All that is to be subscribed on a connection that is made now.
        var subscriptions: () -> [[UInt8]]

        public init(
            news: @escaping (Connection.News) -> Void, frames: @escaping (inout ArrivedFrames) -> Void,
            emptied: @escaping () -> Void = {}, subscriptions: @escaping () -> [[UInt8]]
        ) {
            self.news = news
            self.frames = frames
            self.emptied = emptied
            self.subscriptions = subscriptions
        }
    }

    /// Bytes that are read at a time, unless a frame has more.
    private static let readAtOnce = 64 << 10

    public let endpoint: String
    private let loop: EventLoop
    private let handlers: Handlers
    private var security: EndpointSecurity
    private var machine: SubscriberMachine
    private var session = SubscriberSession(.plain)
    private var dialler: Dialler?
    /// Goes before the descriptor that it watches.
    private var source: IOSource?
    private var stream: ConnectedStream?
    private var timer: Timer?
    private var buffer = [UInt8](repeating: 0, count: SubscriberSocket.readAtOnce)
    private var messages = MessageBatch()
    private var place = 0
    private var end = 0
    /// Connections that ended for what their publisher sent.
    public private(set) var broken: UInt64 = 0
    private var queue = SendQueue()
    private var isBlocked = false
    /// Our own subscriptions have no bound but that of the topics.
    private var room = QueueRoom(ofOne: .max, ofEach: .max, ofAll: .max)

    /// Connects from the loop, now and whenever the connection has ended.
    ///
    /// - Parameters:
    ///   - interface: through which the connection leaves; needs CAP_NET_RAW.
    ///   - source: the own address that it comes from.
    ///   - silence: a peer that does not answer a ping for so long is given up.
    public init(
        _ loop: EventLoop, _ lookUps: NameLookups, endpoint: String, security: EndpointSecurity,
        interface: String? = nil, source: IPv4Address? = nil, silence: Duration = .seconds(1),
        _ handlers: Handlers
    ) throws(BusError) {
        self.loop = loop
        self.endpoint = endpoint
        self.security = security
        self.handlers = handlers
        machine = SubscriberMachine(silence: silence, at: loop.now)
        do throws(SystemError) {
            dialler = try Dialler(
                loop, lookUps, limit: SubscriberMachine.patience,
                by: StreamRoute(interface: interface, source: source, endsAfter: silence)
            ) { [unowned self] in dialled($0) }
            // What has arrived is read before the peer is called silent.
            timer = try Timer(loop, accuracy: .milliseconds(10), isLast: true) { [unowned self] in
                perform(machine.tick(at: self.loop.now, random: SubscriberSocket.random))
            }
        } catch {
            throw .system(error)
        }
        timer?.arm(at: machine.deadline)
    }

    public var isConnected: Bool { machine.isOpen }
    /// Attempts to connect since the start.
    public var attempts: UInt64 { machine.attempts }
    /// The wait before the next one, as it stood when it began; 0: it is connected, or none was needed.
    public var retryAfter: Duration { machine.retryAfter }

    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    public var trouble: String? { machine.trouble(at: endpoint, isSecured: security != .plain) }

    /// For what an open connection was hung up on last, for a person; `nil`: the peer ended it, or there is another one.
    public private(set) var fault: String?

    /// Connects anew, at once, with other keys.
    public func reconnect(_ security: EndpointSecurity) {
        self.security = security
        perform(machine.reconnect(at: loop.now))
    }

    /// Asks for a prefix, if it is connected: else the next connection will.
    public func subscribe(_ prefix: [UInt8]) { if isConnected { send(session.subscribe(prefix)) } }
    public func cancel(_ prefix: [UInt8]) { if isConnected { send(session.cancel(prefix)) } }
}

// MARK: - Connecting

extension SubscriberSocket {
    private static var random: UInt64 { .random(in: 0...UInt64.max) }

    private func perform(_ actions: [SubscriberMachine.Action]) {
        timer?.arm(at: machine.deadline)
        for action in actions {
            switch action {
            case .dial: dial()
            case .greet:
                fault = nil
                greet()
            case .subscribe: for prefix in handlers.subscriptions() { send(session.subscribe(prefix)) }
            case .ping: send(session.ping())
            case .hangUp: hangUp()
            case .news(let news): handlers.news(news)
            }
        }
    }

    private func dial() {
        switch Endpoint(endpoint) {
        case .ipc(let path): dialler?.dial(.unix(path: path))
        case .tcp(let host, let port): dialler?.dial(.tcp(host: host, port: port))
        case nil: notReached()
        }
    }

    private func dialled(_ outcome: Dialler.Outcome) {
        guard case .connected(let stream) = outcome else { return notReached() }
        do throws(SystemError) {
            let source = try IOSource(loop, descriptor: stream.socket.descriptor.raw) { [unowned self] in
                ready()
            }
            try source.setPrepare { [unowned self] in flush() }
            (self.source, self.stream) = (source, stream)
        } catch {
            return notReached()
        }
        perform(machine.connected(at: loop.now))
    }

    private func notReached() {
        perform(machine.notReached(at: loop.now, random: SubscriberSocket.random))
    }

    private func hangUp() {
        dialler?.stop()
        source = nil
        stream = nil
        (place, end) = (0, 0)
        queue.removeAll(&room)
        isBlocked = false
    }

    private func ended(_ failure: HandshakeFailure) {
        perform(machine.ended(failure, at: loop.now, random: SubscriberSocket.random))
    }

    private func greet() {
        session = SubscriberSession(SubscriberSocket.security(security))
        send(session.greeting)
    }

    private static func security(_ security: EndpointSecurity) -> SubscriberSecurity {
        switch security {
        case .plain: .plain
        case .client(let keys, let server):
            .curve(keys, server: server, entropy: randomBytes(CurveClient.entropyCount))
        }
    }
}

// MARK: - Bytes

extension SubscriberSocket {
    private func ready() {
        guard let stream else { return }
        do throws(SystemError) {
            if isBlocked {
                isBlocked = false
                flush()
            }
            let room = buffer.count - end
            guard let count = try stream.socket.receive(into: &buffer, from: end) else {
                return handlers.emptied()
            }
            guard count > 0 else { return ended(.closed(errno: 0)) }
            end += count
            machine.heard(at: loop.now)
            if machine.isOpen { take() } else { shakeHands() }
            if count < room { handlers.emptied() }
        } catch {
            ended(.closed(errno: error.number))
        }
    }

    /// The handshake; what may follow it in the same bytes is taken like all else.
    private func shakeHands() {
        while machine.isInHandshake {
            do throws(ZMTPError) {
                guard let item = try session.next(in: buffer, at: &place, to: end) else { return settle() }
                switch item {
                case .send(let bytes): send(bytes)
                case .opened: perform(machine.opened(at: loop.now))
                case .message, .nothing: break
                }
            } catch {
                return ended(HandshakeFailure(error))
            }
        }
        if machine.isOpen { take() }
    }

    private func take() {
        var isMore = true
        while isMore, machine.isOpen {
            var failure: ZMTPError?
            var item: SubscriberSession.Item?
            do throws(ZMTPError) {
                item = try session.next(&messages, in: buffer, at: &place, to: end)
            } catch {
                failure = error
            }
            isMore = item != nil || messages.isFull
            // Before what comes of the messages: boxes go out in the order in which they are numbered.
            if case .send(let bytes)? = item { send(bytes) }
            hand()
            if let failure, machine.isOpen {
                broken &+= 1
                fault = "\(failure)"
                ended(HandshakeFailure(failure))
            }
        }
        settle()
    }

    private func hand() {
        guard !messages.isEmpty else { return }
        var frames = messages.take(from: &buffer)
        handlers.frames(&frames)
        messages.giveBack(frames, to: &buffer)
    }

    /// What is left of a frame moves to the front, with room for the rest.
    private func settle() {
        if place > 0 {
            for index in place..<end { buffer[index - place] = buffer[index] }
            (place, end) = (0, end - place)
        }
        let need = max(SubscriberSocket.readAtOnce, session.need(in: buffer, at: place, to: end))
        if buffer.count < need {
            buffer += repeatElement(0, count: need - buffer.count)
        } else if buffer.count > need, end < need {
            buffer.removeLast(buffer.count - need)
        }
    }

    private func send(_ bytes: [UInt8]) {
        queue.append(bytes.count, &room) { $0.append(contentsOf: bytes) }
    }

    /// Before each wait of the loop.
    private func flush() {
        guard !queue.isEmpty, !isBlocked, let stream else { return }
        do throws(SystemError) {
            try queue.send(&room) { bytes throws(SystemError) in try stream.socket.send(bytes) }
            isBlocked = !queue.isEmpty
            try source?.setInterest(isBlocked ? .both : .readable)
        } catch {
            // The next read tells of its end.
            queue.removeAll(&room)
            stream.socket.shutDown()
        }
    }
}
