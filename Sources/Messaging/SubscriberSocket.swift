// Our own subscriber: a connection to one publisher, by ZMTP, made again and again. Frames are read where they were
// received, one read after the other and none ahead, so that what is not taken yet waits in the kernel and takes no
// memory of ours.
import Basics
import Glibc
import Linux
public import Reactor
import Wire
import ZMTP

/// Receives what it subscribed to at one endpoint.
public final class SubscriberSocket {
    /// What happens to it is told with these.
    public struct Handlers {
        var news: (Connection.News) -> Void
        /// Takes all of them.
        var frames: (inout ArrivedFrames) -> Void
        /// All that is to be subscribed on a connection that is made now.
        var subscriptions: () -> [[UInt8]]

        public init(
            news: @escaping (Connection.News) -> Void, frames: @escaping (inout ArrivedFrames) -> Void,
            subscriptions: @escaping () -> [[UInt8]]
        ) {
            self.news = news
            self.frames = frames
            self.subscriptions = subscriptions
        }
    }

    private enum Stage {
        case waiting
        case lookingUp
        case connecting
        case handshake
        case open
    }

    /// How long one step on the way to a connection may take: finding it, connecting, the handshake.
    private static let patience: Duration = .seconds(1)
    /// How long after an end or where nobody is it is tried again, and up to twice that.
    private static let pause: Duration = .milliseconds(100)
    /// Bytes that are read at a time, unless a frame has more.
    private static let readAtOnce = 64 << 10

    public let endpoint: String
    private let loop: EventLoop
    private let worker: Worker
    private let handlers: Handlers
    private let route: StreamRoute
    /// A peer that says nothing for so long is given up.
    private let silence: Duration
    private var security: EndpointSecurity
    private var stage = Stage.waiting
    private var session = SubscriberSession(.plain)
    /// Goes before the descriptor that it watches.
    private var source: IOSource?
    private var socket: Holder?
    private var timer: Timer?
    private var addresses: [ResolvedAddress] = []
    /// Tells an answer of the worker that belongs to an earlier attempt.
    private var attempt = 0
    private var backoff = Backoff()
    private var accidents = 0
    private var failure: HandshakeFailure?
    private var lastHeard = Instant.zero
    /// How often in a row it was looked and nothing had come: counted, so that a loop that was held up looks again when
    /// it has read what waits.
    private var quietLooks = 0
    private var buffer = [UInt8](repeating: 0, count: SubscriberSocket.readAtOnce)
    private var place = 0
    private var end = 0
    /// Attempts to connect since the start.
    public private(set) var attempts: UInt64 = 0
    /// The wait before the next one, as it stood when it began; 0: it is connected, or none was needed.
    public private(set) var retryAfter: Duration = .zero
    /// Connections that ended for what their publisher sent.
    public private(set) var broken: UInt64 = 0
    private var queue = SendQueue()
    private var isBlocked = false
    /// Our own subscriptions have no bound but that of the topics.
    private var room = QueueRoom(ofOne: .max, ofEach: .max, ofAll: .max)

    /// A class of its own, since a noncopyable value cannot be an optional property that is replaced in closures.
    private final class Holder {
        let socket: StreamSocket
        let text: String

        init(_ address: ResolvedAddress, _ route: StreamRoute) throws(SystemError) {
            socket = try StreamSocket(connecting: address, by: route)
            text = address.text
        }
    }

    /// Connects from the loop, now and whenever the connection has ended.
    ///
    /// - Parameters:
    ///   - interface: through which the connection leaves; needs CAP_NET_RAW.
    ///   - silence: a peer that does not answer a ping for so long is given up.
    public init(
        _ loop: EventLoop, _ worker: Worker, endpoint: String, security: EndpointSecurity,
        interface: String? = nil, silence: Duration = .seconds(1), _ handlers: Handlers
    ) throws(BusError) {
        self.loop = loop
        self.worker = worker
        self.endpoint = endpoint
        self.security = security
        self.silence = silence
        self.handlers = handlers
        route = StreamRoute(interface: interface, endsAfter: silence)
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in due() }
        } catch {
            throw .system(error)
        }
        timer?.arm(at: loop.now)
    }

    public var isConnected: Bool { stage == .open }

    /// Why there is no connection, for a person; `nil`: there is one, or nobody is there.
    public var trouble: String? {
        failure.map { "\(endpoint) \($0.explained(isSecured: security != .plain))" }
    }

    /// Connects anew, at once, with other keys.
    public func reconnect(_ security: EndpointSecurity) {
        self.security = security
        backoff.reset()
        accidents = 0
        failure = nil
        let wasOpen = isConnected
        hangUp()
        wait(.zero)
        if wasOpen { handlers.news(.disconnected) }
    }

    /// Asks for a prefix, if it is connected: else the next connection will.
    public func subscribe(_ prefix: [UInt8]) { if isConnected { send(session.subscribe(prefix)) } }
    public func cancel(_ prefix: [UInt8]) { if isConnected { send(session.cancel(prefix)) } }
}

// MARK: - Connecting

extension SubscriberSocket {
    private func due() {
        switch stage {
        case .waiting: lookUp()
        case .lookingUp: again()
        case .connecting: connectNext()
        case .handshake: failed(.closed(errno: ETIMEDOUT))
        case .open: watch()
        }
    }

    private func lookUp() {
        attempt += 1
        attempts &+= 1
        switch Endpoint(endpoint) {
        case .ipc(let path): found(ResolvedAddress(unix: path).map { [$0] } ?? [])
        case .tcp(let host, let port):
            if IPv4Address(host) != nil {
                return found((try? ResolvedAddress.lookUp(host: host, port: port).get()) ?? [])
            }
            stage = .lookingUp
            timer?.arm(at: loop.now + .seconds(30))
            let number = attempt
            let isAccepted = worker.perform({ ResolvedAddress.lookUp(host: host, port: port) }) {
                [weak self] result in
                guard let self, attempt == number else { return }
                found((try? result.get()) ?? [])
            }
            if !isAccepted { again() }
        case nil: found([])
        }
    }

    private func found(_ addresses: [ResolvedAddress]) {
        self.addresses = addresses
        stage = .connecting
        connectNext()
    }

    private func connectNext() {
        source = nil
        socket = nil
        guard !addresses.isEmpty else { return again() }
        do throws(SystemError) {
            let holder = try Holder(addresses.removeFirst(), route)
            socket = holder
            source = try IOSource(loop, descriptor: holder.socket.descriptor.raw, interest: .writable) {
                [unowned self] in ready()
            }
            try source?.setPrepare { [unowned self] in flush() }
            timer?.arm(at: loop.now + SubscriberSocket.patience)
        } catch {
            timer?.arm(at: loop.now)
        }
    }

    /// Nobody is there now, whoever it was before.
    private func again() {
        failure = nil
        hangUp()
    }

    /// There is no connection, and another one after a while.
    private func hangUp() {
        attempt += 1
        stage = .waiting
        source = nil
        socket = nil
        addresses = []
        (place, end) = (0, 0)
        queue.removeAll(&room)
        isBlocked = false
        wait(SubscriberSocket.pause * Double.random(in: 1...2))
    }

    private func wait(_ wait: Duration) {
        retryAfter = wait
        timer?.arm(at: loop.now + wait)
    }

    private func failed(_ failure: HandshakeFailure) {
        hangUp()
        accidents += 1
        if failure.isAccident, accidents < Connection.accidents { return }
        self.failure = failure
        wait(backoff.wait(random: .random(in: 0...UInt64.max)))
        handlers.news(.failed(failure))
    }

    /// The connection has ended, or cannot go on.
    private func ended(_ failure: HandshakeFailure) {
        guard stage == .open else { return failed(failure) }
        hangUp()
        handlers.news(.disconnected)
    }
}

// MARK: - Bytes

extension SubscriberSocket {
    private func ready() {
        guard let socket else { return }
        do throws(SystemError) {
            if stage == .connecting {
                try socket.socket.finishConnecting(socket.text)
                try source?.setInterest(.readable)
                return begin()
            }
            if isBlocked {
                isBlocked = false
                flush()
            }
            guard let count = try socket.socket.receive(into: &buffer, from: end) else { return }
            guard count > 0 else { return ended(.closed(errno: 0)) }
            end += count
            lastHeard = loop.now
            quietLooks = 0
            if stage == .open { take() } else { greet() }
        } catch {
            if stage == .connecting { return connectNext() }
            ended(.closed(errno: error.number))
        }
    }

    private func begin() {
        session = SubscriberSession(SubscriberSocket.security(security))
        stage = .handshake
        timer?.arm(at: loop.now + SubscriberSocket.patience)
        send(session.greeting)
    }

    private static func security(_ security: EndpointSecurity) -> SubscriberSecurity {
        switch security {
        case .plain: .plain
        case .client(let keys, let server):
            .curve(keys, server: server, entropy: randomBytes(CurveClient.entropyCount))
        }
    }

    /// The handshake; what may follow it in the same bytes is taken like all else.
    private func greet() {
        while stage == .handshake {
            do throws(ZMTPError) {
                guard let item = try session.next(in: buffer, at: &place, to: end) else { return settle() }
                switch item {
                case .send(let bytes): send(bytes)
                case .opened: opened()
                case .message, .nothing: break
                }
            } catch {
                return failed(HandshakeFailure(error))
            }
        }
        if stage == .open { take() }
    }

    private func opened() {
        stage = .open
        accidents = 0
        failure = nil
        backoff.reset()
        retryAfter = .zero
        quietLooks = 0
        timer?.arm(at: loop.now + silence / 3)
        for prefix in handlers.subscriptions() { send(session.subscribe(prefix)) }
        handlers.news(.connected)
    }

    private func take() {
        var frames = ArrivedFrames(from: self)
        handlers.frames(&frames)
        settle()
    }

    /// The next frame of a message that has come; `nil`: no more for now.
    func nextFrame() -> ArraySlice<UInt8>? {
        while stage == .open {
            do throws(ZMTPError) {
                guard let item = try session.next(in: buffer, at: &place, to: end) else { return nil }
                switch item {
                case .message(let frame): return frame
                case .send(let bytes): send(bytes)
                case .opened, .nothing: break
                }
            } catch {
                broken &+= 1
                ended(HandshakeFailure(error))
            }
        }
        return nil
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
        guard !queue.isEmpty, !isBlocked, stage == .handshake || stage == .open, let socket else { return }
        do throws(SystemError) {
            try queue.send(&room) { bytes throws(SystemError) in try socket.socket.send(bytes) }
            isBlocked = !queue.isEmpty
            try source?.setInterest(isBlocked ? .both : .readable)
        } catch {
            // The next read tells of its end.
            queue.removeAll(&room)
            socket.socket.shutDown()
        }
    }

    private func watch() {
        let isQuiet = loop.now - lastHeard >= silence / 3
        quietLooks = isQuiet ? quietLooks + 1 : 0
        // A ping at the first and at the second, and no word.
        guard quietLooks < 3 else { return ended(.closed(errno: ETIMEDOUT)) }
        if isQuiet { send(session.ping()) }
        timer?.arm(at: loop.now + silence / 3)
    }
}
