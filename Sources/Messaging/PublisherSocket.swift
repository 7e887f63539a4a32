// Our own publisher: it listens, takes subscribers in by ZMTP, hears what they ask for, and sends each of them what it is
// told to. What libzmq's XPUB lacks is why there is one: queues whose bounds hold for all subscribers together,
// messages that are lost counted for each, and subscriptions kept once, by who judges them.
import Basics
import Glibc
import Linux
public import Reactor
public import Wire
import ZMTP

/// Publishes to subscribers, each of whom is named by the descriptor of its connection.
public final class PublisherSocket {
    /// What a subscriber says.
    public enum Request: Hashable, Sendable {
        case subscribe([UInt8])
        case cancel([UInt8])
        /// A message that is no subscription.
        case strange
    }

    /// Connections taken in before others get their turn.
    private static let accepted = 4
    /// Bytes of one subscriber that are read before others get their turn.
    private static let readAtOnce = 8 << 10
    /// Bytes that wait for the end of the loop's turn; more go at once.
    private static let written = 64 << 10
    /// What an accept fails with when this process or this host has no room for another connection: accept(2).
    private static let exhaustion = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
    /// How long nobody is taken in then.
    private static let pause: Duration = .milliseconds(100)

    private let loop: EventLoop
    private let log: LimitedLog
    private let door: Doorkeeper
    /// Called with what no stranger asked for, and with who did.
    public var onRequest: (Request, Int32, Caller) -> Void = { _, _, _ in }
    /// Called when a subscriber has taken what it had not when `drain` or `offer` was called.
    public var onDrained: (Int32) -> Void = { _ in }
    /// Called before `onDeparture` when a subscriber that ends its connection has read all that it was sent.
    public var onReadAll: (Int32) -> Void = { _ in }
    /// How long one beyond this host may leave what it was sent before its connection ends, as seen by the kernel: its
    /// host went without a word, or has no room for more. It holds for those that come in from then on.
    public var patience: Duration = .seconds(30)
    private var listeners: [PublisherListener] = []
    /// By descriptor.
    private var subscribers: [SubscriberConnection?] = []
    /// Nobody is called while it is opened who would open it, too, so that no access overlaps another one: the check for
    /// that, for each message and each subscriber, would cost a twentieth of what the gateway does for a message.
    @exclusivity(unchecked) private var room = QueueRoom()
    /// Whose queues got something in this turn of the loop.
    private var written: [SubscriberConnection] = []
    private var buffer = [UInt8](repeating: 0, count: PublisherSocket.readAtOnce)
    private var events: [PublisherSession.Event] = []
    private var handshakes: HandshakeWatch
    /// Connections that were taken in so far.
    private var accepted: UInt64 = 0
    private let keyWatch = KeyWatch()
    private var handshakeTimer: Timer?
    private var antechamber: Antechamber?
    private var resuming: Timer?
    private var rebinding: Rebinding?
    /// The endpoint bound last.
    public private(set) var lastEndpoint = ""
    /// Messages that a subscriber did not get since its queue was full.
    public private(set) var dropped: UInt64 = 0
    /// Connections that ended for what their client sent.
    public private(set) var broken: UInt64 = 0

    /// Binds to each endpoint.
    ///
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    public init(
        _ loop: EventLoop, for service: Service, at endpoints: ServerEndpoints, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        door = Doorkeeper(loop, of: service, at: endpoints, log: log)
        handshakes = HandshakeWatch(limit: door.book.limits.handshake)
        try bind(endpoints)
        do throws(SystemError) {
            handshakeTimer = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in giveUpSlow() }
            antechamber = try Antechamber(
                loop, onBytes: { [unowned self] in arrived($0) }, onStep: { [unowned self] in step($0) })
            resuming = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in resume() }
            rebinding = try Rebinding(loop, log: log) { [unowned self] endpoint throws(BusError) in
                try bind(endpoint, .guarded)
            }
        } catch {
            throw .system(error)
        }
        door.hangUp = { [unowned self] descriptor, _ in
            if let subscriber = subscriber(descriptor) { close(subscriber) }
        }
        keyWatch.onRenewal = { [unowned self] old in if door.renewed(from: old) { changeKey() } }
        door.authenticator?.guards(keyWatch, of: service)
    }

    /// Called when a connection is gone, before its descriptor can be another one's.
    public var onDeparture: (Int32) -> Void {
        get { door.onDeparture }
        set { door.onDeparture = newValue }
    }

    /// Whether a client that stays on the list may do less than before, and has to come in anew.
    public var isCurtailed: (AllowedClient, AllowedClient) -> Bool {
        get { door.isCurtailed }
        set { door.isCurtailed = newValue }
    }

    public var counters: AccessCounters { door.counters }
    /// All endpoints, as they were bound.
    var endpoints: [String] { listeners.map(\.bound).sorted() }
    /// How many connections there are, those in their handshake among them.
    var connections: Int { door.book.count }
    public func peer(_ descriptor: Int32) -> Peer { door.peer(descriptor) }
    public func peers(atMost limit: Int) -> [Peer] { door.peers(atMost: limit) }

    /// Messages that this subscriber did not get.
    public func dropped(of descriptor: Int32) -> UInt64 { subscriber(descriptor)?.dropped ?? 0 }

    private func subscriber(_ descriptor: Int32) -> SubscriberConnection? {
        subscribers.indices.contains(Int(descriptor)) ? subscribers[Int(descriptor)] : nil
    }
}

// MARK: - Sending

extension PublisherSocket {
    /// Sends one message of one frame. It goes at the end of the loop's turn, or is dropped and counted if the
    /// subscriber does not keep up.
    public func send(_ message: [UInt8], to descriptor: Int32) {
        guard let subscriber = subscriber(descriptor), subscriber.takesMore else { return }
        var result = unsafe subscriber.line.put(message, &room)
        if result == .full, !subscriber.isBlocked {
            flush(subscriber)
            result = unsafe subscriber.line.put(message, &room)
        }
        sent(result, to: subscriber)
    }

    /// Sends one message of one frame, but to nobody who has not taken what it was sent before. `false`: not now;
    /// `onDrained` tells when. What is offered to nobody who is there is taken.
    public func offer(_ message: [UInt8], to descriptor: Int32) -> Bool {
        guard let subscriber = subscriber(descriptor), subscriber.takesMore else { return true }
        guard !subscriber.isBlocked else { return false }
        var result = unsafe subscriber.line.put(message, &room)
        if result == .full {
            flush(subscriber)
            result = unsafe subscriber.line.put(message, &room)
        }
        if case .waits(let count) = result { settle(subscriber, waiting: count) }
        return result != .full
    }

    /// Bytes that a subscriber was sent and has not taken, as `StreamSocket.unarrived` counts them once they left the
    /// queue; `nil`: it is gone.
    public func waiting(of descriptor: Int32) -> Int? {
        guard let subscriber = subscriber(descriptor), !subscriber.isBroken else { return nil }
        return unsafe subscriber.line.queue.count + (subscriber.socket.unarrived ?? 0)
    }

    /// Nothing more is sent to a subscriber: behind what waits it sees the end of the connection, and when it has read
    /// that it ends its side, if it is ZeroMQ's. (To close at once can lose what a slow one has not read: libzmq reads
    /// no further where both sides are closed.)
    public func finish(_ descriptor: Int32) {
        guard let subscriber = subscriber(descriptor), !subscriber.isBroken else { return }
        subscriber.isEnding = true
        flush(subscriber)
        if unsafe subscriber.line.queue.isEmpty { subscriber.socket.endSending() }
    }

    /// Ends a subscriber's connection, whatever waits for it.
    public func hangUp(on descriptor: Int32) {
        if let subscriber = subscriber(descriptor) { close(subscriber) }
    }

    /// Likewise, one message of two frames.
    func send(_ first: [UInt8], _ second: [UInt8], to descriptor: Int32) {
        guard let subscriber = subscriber(descriptor), subscriber.takesMore else { return }
        var result = unsafe subscriber.line.put(first, second, &room)
        if result == .full, !subscriber.isBlocked {
            flush(subscriber)
            result = unsafe subscriber.line.put(first, second, &room)
        }
        sent(result, to: subscriber)
    }

    private func sent(_ result: PublisherLine.Result, to subscriber: SubscriberConnection) {
        switch result {
        case .waits(let count): settle(subscriber, waiting: count)
        case .full:
            subscriber.dropped &+= 1
            dropped &+= 1
        case .notOpen: break
        }
    }

    private func send(bytes: [UInt8], to subscriber: SubscriberConnection) {
        unsafe subscriber.line.queue.append(bytes.count, &room) { $0.append(contentsOf: bytes) }
        settle(subscriber, waiting: unsafe subscriber.line.queue.count)
    }

    /// - Parameter waiting: how many bytes wait for it.
    private func settle(_ subscriber: SubscriberConnection, waiting: Int) {
        if !subscriber.isWritten {
            subscriber.isWritten = true
            written.append(subscriber)
        }
        if !subscriber.isBlocked, waiting >= PublisherSocket.written { flush(subscriber) }
    }

    /// Before each wait of the loop, and before its end.
    func flush() {
        guard !written.isEmpty else { return }
        for subscriber in written {
            subscriber.isWritten = false
            if !subscriber.isBlocked { flush(subscriber) }
        }
        written.removeAll(keepingCapacity: true)
    }

    /// Sends what waits for a subscriber; whether it takes all of it, or is gone.
    func drain(_ descriptor: Int32) -> Bool {
        guard let subscriber = subscriber(descriptor) else { return true }
        if !subscriber.isBlocked { flush(subscriber) }
        return !subscriber.isBlocked
    }

    private func flush(_ subscriber: SubscriberConnection) {
        guard !subscriber.isBroken, unsafe !subscriber.line.queue.isEmpty else { return }
        do throws(SystemError) {
            try unsafe subscriber.line.queue.send(&room) { bytes throws(SystemError) in
                try subscriber.socket.send(bytes)
            }
            let isBlocked = unsafe !subscriber.line.queue.isEmpty
            if !isBlocked, subscriber.isEnding { subscriber.socket.endSending() }
            guard isBlocked != subscriber.isBlocked else { return }
            subscriber.isBlocked = isBlocked
            try subscriber.source?.setInterest(isBlocked ? .both : .readable)
            if !isBlocked { onDrained(subscriber.descriptor) }
        } catch {
            // The loop tells of its end, and it is closed then.
            subscriber.isBroken = true
            unsafe subscriber.line.queue.removeAll(&room)
            subscriber.socket.shutDown()
        }
    }
}

// MARK: - Connections

extension PublisherSocket {
    private func accept(_ listener: PublisherListener) {
        for _ in 0..<PublisherSocket.accepted {
            do throws(SystemError) {
                guard let subscriber = try listener.accept() else { return }
                try take(subscriber)
            } catch {
                if PublisherSocket.exhaustion.contains(error.number) { return suspend(error) }
                // It was gone before it was taken in: the next one.
            }
        }
    }

    private func take(_ subscriber: SubscriberConnection) throws(SystemError) {
        let descriptor = subscriber.descriptor
        try antechamber?.enter(descriptor)
        while subscribers.count <= Int(descriptor) { subscribers.append(nil) }
        subscribers[Int(descriptor)] = subscriber
        accepted &+= 1
        subscriber.number = accepted
        handshakes.began(
            HandshakeWatch.Handshake(descriptor: descriptor, number: accepted), at: loop.now)
        handshakeTimer?.arm(at: handshakes.deadline)
        unsafe send(bytes: subscriber.line.session.greeting, to: subscriber)
        door.accepted(descriptor, by: subscriber.entrance, from: subscriber.peer)
    }

    /// Without descriptors there is nothing to be done but to wait for one.
    private func suspend(_ error: SystemError) {
        log.event(
            .clientRefused, key: "",
            "no client is taken in for now: \(error); if it is for descriptors, raise LimitNOFILE= of the unit"
        )
        // The sources stay on the loop: what is sent goes out before each of its waits.
        wait(for: .change)
        resuming?.arm(at: loop.now + PublisherSocket.pause)
    }

    private func resume() { wait(for: .readable) }

    private func wait(for interest: IOSource.Interest) {
        for listener in listeners {
            do throws(SystemError) {
                try listener.source?.setInterest(interest)
            } catch {
                resuming?.arm(at: loop.now + PublisherSocket.pause)
            }
        }
    }

    private func ready(_ descriptor: Int32) {
        guard let subscriber = subscriber(descriptor) else { return }
        if subscriber.isBlocked { flush(subscriber) }
        read(subscriber)
    }

    private func read(_ subscriber: SubscriberConnection) {
        do throws(SystemError) {
            guard let count = try subscriber.socket.receive(into: &buffer) else { return }
            guard count > 0 else {
                if waiting(of: subscriber.descriptor) == 0 { onReadAll(subscriber.descriptor) }
                return ended(subscriber)
            }
            hear(subscriber) { session, take throws(ZMTPError) in try session.receive(buffer[..<count], take)
            }
        } catch {
            ended(subscriber)
        }
    }

    private func hear(
        _ subscriber: SubscriberConnection,
        _ take: (inout PublisherSession, (PublisherSession.Event) -> Void) throws(ZMTPError) -> Void
    ) {
        events.removeAll(keepingCapacity: true)
        var failure: ZMTPError?
        do throws(ZMTPError) {
            try unsafe take(&subscriber.line.session) { events.append($0) }
        } catch {
            failure = error
        }
        let heard = events
        for event in heard where isHere(subscriber) { perform(event, subscriber) }
        guard let failure, isHere(subscriber) else { return }
        broken &+= 1
        door.failed(HandshakeFailure(failure))
        // It may learn why from what it is sent last.
        flush(subscriber)
        close(subscriber)
    }

    private func isHere(_ subscriber: SubscriberConnection) -> Bool {
        subscribers[Int(subscriber.descriptor)] === subscriber
    }

    private func perform(_ event: PublisherSession.Event, _ subscriber: SubscriberConnection) {
        switch event {
        case .send(let bytes): send(bytes: bytes, to: subscriber)
        case .pong(let context): answer(context, subscriber)
        case .judge(let key): judge(key, subscriber)
        case .opened: _ = door.heard(subscriber.descriptor, userID: subscriber.userID)
        case .subscribe(let prefix): hand(.subscribe(prefix), of: subscriber)
        case .cancel(let prefix): hand(.cancel(prefix), of: subscriber)
        case .strange: hand(.strange, of: subscriber)
        }
    }

    /// Who asks and asks and reads no answer has none.
    private func answer(_ context: [UInt8], _ subscriber: SubscriberConnection) {
        if subscriber.takesMore, case .waits(let count) = unsafe subscriber.line.put(pong: context, &room) {
            settle(subscriber, waiting: count)
        }
    }

    /// Who is not on the list hears nothing until the time for its handshake is over: its library then comes back by
    /// itself, so that it is let in soon after it is authorized (RFC 27's 300).
    private func judge(_ key: PublicKey, _ subscriber: SubscriberConnection) {
        guard let client = door.authenticator?.judge(key) else {
            return door.refused(key, of: subscriber.descriptor)
        }
        subscriber.userID = client.key.description
        unsafe send(bytes: subscriber.line.session.admit(), to: subscriber)
        _ = door.heard(subscriber.descriptor, userID: subscriber.userID)
    }

    private func hand(_ request: Request, of subscriber: SubscriberConnection) {
        let caller = door.heard(subscriber.descriptor, userID: subscriber.userID)
        if caller != .stranger { onRequest(request, subscriber.descriptor, caller) }
    }

    private func ended(_ subscriber: SubscriberConnection) {
        if unsafe !subscriber.line.session.isOpen { door.failed(.closed(errno: 0)) }
        close(subscriber)
    }

    /// Its descriptor is free when all know that it is gone.
    private func close(_ subscriber: SubscriberConnection) {
        guard isHere(subscriber) else { return }
        if subscriber.source == nil { antechamber?.leave(subscriber.descriptor) }
        subscribers[Int(subscriber.descriptor)] = nil
        subscriber.source = nil
        subscriber.isBroken = true
        unsafe subscriber.line.queue.removeAll(&room)
        door.disconnected(subscriber.descriptor)
    }

    // MARK: In the antechamber

    private func arrived(_ descriptor: Int32) {
        guard let subscriber = subscriber(descriptor) else { return }
        read(subscriber)
        goOn(subscriber)
    }

    private func step(_ descriptor: Int32) {
        guard let subscriber = subscriber(descriptor) else { return }
        hear(subscriber) { session, take throws(ZMTPError) in try session.shakeHands(take) }
        goOn(subscriber)
    }

    /// What the handshake waits for now, or that it is over.
    private func goOn(_ subscriber: SubscriberConnection) {
        guard isHere(subscriber) else { return }
        let descriptor = subscriber.descriptor
        do throws(SystemError) {
            if unsafe subscriber.line.session.isWaiting {
                let hasBegun = unsafe subscriber.line.session.hasBegun
                antechamber?.awaitStep(descriptor, from: subscriber.peer?.address, hasBegun: hasBegun)
            } else if unsafe subscriber.line.session.isOpen {
                try letIn(subscriber)
            } else {
                try antechamber?.awaitBytes(descriptor)
            }
        } catch {
            ended(subscriber)
        }
    }

    private func letIn(_ subscriber: SubscriberConnection) throws(SystemError) {
        let descriptor = subscriber.descriptor
        antechamber?.leave(descriptor)
        let interest: IOSource.Interest = subscriber.isBlocked ? .both : .readable
        subscriber.source = try IOSource(loop, descriptor: descriptor, interest: interest) {
            [unowned self] in ready(descriptor)
        }
        guard subscriber.entrance != .local else { return }
        // A host that went without a word: asked after 10 s of silence.
        try subscriber.socket.watch(idle: 10, interval: 5, count: 4, patience: patience)
    }

    // MARK: Handshakes that take too long

    private func giveUpSlow() {
        let slow = handshakes.look(at: loop.now) { pending($0) == nil }
        for handshake in slow { pending(handshake).map(ended) }
        handshakeTimer?.arm(at: handshakes.deadline)
    }

    /// Whose handshake goes on; `nil`: it is over.
    private func pending(_ handshake: HandshakeWatch.Handshake) -> SubscriberConnection? {
        guard let subscriber = subscriber(handshake.descriptor), subscriber.number == handshake.number,
            !subscriber.isBroken, unsafe !subscriber.line.session.isOpen
        else { return nil }
        return subscriber
    }
}

// MARK: - Binding

extension PublisherSocket {
    private func bind(_ endpoints: ServerEndpoints) throws(BusError) {
        let isLocal = endpoints.isLocal
        for endpoint in endpoints.endpoints {
            try bind(endpoint, isLocal(endpoint) ? .local : .guarded)
        }
        for endpoint in endpoints.plaintext { try bind(endpoint, .plaintext) }
    }

    private func bind(_ endpoint: String, _ entrance: Entrance) throws(BusError) {
        let identity = entrance == .guarded ? try door.identity(of: endpoint) : nil
        let listener: PublisherListener
        do throws(MessagingError) {
            listener = try PublisherListener(endpoint, entrance, identity)
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            listener.source = try IOSource(loop, descriptor: listener.descriptor) {
                [unowned self, unowned listener] in accept(listener)
            }
            try listener.source?.setPrepare { [unowned self] in flush() }
        } catch {
            throw .system(error)
        }
        listeners.append(listener)
        lastEndpoint = listener.bound
    }

    /// Our key is another one: the endpoints that it is for are closed, with the connections by them, and bound anew.
    private func changeKey() {
        let old = listeners.filter { $0.entrance == .guarded }
        listeners.removeAll { $0.entrance == .guarded }
        for listener in old { listener.source = nil }
        // Nobody is told as refused whose handshake ends by it.
        door.closedGuarded()
        for subscriber in subscribers.compactMap({ $0 }) where subscriber.entrance == .guarded {
            close(subscriber)
        }
        rebinding?.begin(old.map(\.bound))
    }
}

// MARK: - Parts

/// One endpoint that is listened at.
@safe
private final class PublisherListener {
    let entrance: Entrance
    /// As libzmq would spell it, with the port that the kernel chose.
    let bound: String
    var source: IOSource?
    private let identity: ServerIdentity?
    private let listener: StreamListener

    init(_ endpoint: String, _ entrance: Entrance, _ identity: ServerIdentity?) throws(MessagingError) {
        self.entrance = entrance
        self.identity = identity
        guard let place = ListeningPlace(endpoint) else {
            throw MessagingError("bind \(endpoint)", number: EINVAL)
        }
        do throws(SystemError) {
            listener = try place.listen()
        } catch {
            throw MessagingError("bind \(endpoint)", number: error.number)
        }
        bound = listener.endpoint.map { "tcp://\($0)" } ?? endpoint
    }

    var descriptor: Int32 { listener.descriptor.raw }

    func accept() throws(SystemError) -> SubscriberConnection? {
        guard let socket = try listener.accept() else { return nil }
        let security = identity.map {
            PublisherSecurity.curve($0.keys, entropy: randomBytes(CurveServer.entropyCount))
        }
        return SubscriberConnection(socket, entrance, PublisherSession(security ?? .plain))
    }
}

/// Where a publisher can listen.
private enum ListeningPlace {
    case unix(path: String)
    case tcp(IPv4Endpoint)

    /// Reads `ipc:///path`, `ipc://@name`, `tcp://127.0.0.1:7000`, `tcp://*:7000`, `tcp://127.0.0.1:*`.
    init?(_ endpoint: String) {
        if endpoint.hasPrefix("ipc://") {
            self = .unix(path: String(endpoint.dropFirst("ipc://".count)))
            return
        }
        guard endpoint.hasPrefix("tcp://") else { return nil }
        let parts = endpoint.dropFirst("tcp://".count).split(separator: ":")
        guard parts.count == 2 else { return nil }
        let host = parts[0] == "*" ? "0.0.0.0" : String(parts[0])
        let port = parts[1] == "*" ? 0 : UInt16(parts[1])
        guard let address = IPv4Address(host), let port else { return nil }
        self = .tcp(IPv4Endpoint(address, port))
    }

    func listen() throws(SystemError) -> StreamListener {
        switch self {
        case .unix(let path):
            if isServed(unixSocket: path) { throw SystemError("bind", number: EADDRINUSE) }
            return try StreamListener(unix: path, backlog: 512)
        case .tcp(let endpoint): return try StreamListener(at: endpoint, backlog: 512)
        }
    }
}

/// Hears of other keys for a socket, which is not weakly referred to itself: that would make each message's use of it
/// dear.
private final class KeyWatch: Guarded {
    var onRenewal: (Credentials) -> Void = { _ in }

    func renewed(from old: Credentials) { onRenewal(old) }
}

/// One subscriber that is connected, or in its handshake.
private final class SubscriberConnection {
    /// Goes before the descriptor that it watches; `nil`: it is in the antechamber.
    var source: IOSource?
    let socket: StreamSocket
    let descriptor: Int32
    let entrance: Entrance
    let peer: IPv4Endpoint?
    /// Another one for each connection, unlike the descriptor.
    var number: UInt64 = 0
    /// As `PublisherSocket.room` is.
    @exclusivity(unchecked) var line: PublisherLine
    /// The key that its handshake proved; `nil`: it came in the clear.
    var userID: String?
    /// The kernel takes no more for now: the loop tells when it does.
    var isBlocked = false
    /// Something waits for the end of the loop's turn.
    var isWritten = false
    /// It is over, though perhaps not closed yet.
    var isBroken = false
    /// It gets nothing more than what waits.
    var isEnding = false
    var dropped: UInt64 = 0
    var takesMore: Bool { !isBroken && !isEnding }

    init(_ socket: consuming StreamSocket, _ entrance: Entrance, _ session: PublisherSession) {
        descriptor = socket.descriptor.raw
        peer = PeerAddress.of(descriptor)
        self.socket = socket
        self.entrance = entrance
        unsafe line = PublisherLine(session)
    }
}

/// A subscriber's session, and what waits to be sent to it.
private struct PublisherLine: ~Copyable {
    enum Result: Equatable {
        /// As many bytes wait now.
        case waits(Int)
        case full
        case notOpen
    }

    var session: PublisherSession
    var queue = SendQueue()

    init(_ session: PublisherSession) { self.session = session }

    mutating func put(_ message: [UInt8], _ room: inout QueueRoom) -> Result {
        guard session.isOpen else { return .notOpen }
        let count = message.count + PublisherSession.overhead
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(message, into: &$0) }
        return .waits(queue.count)
    }

    mutating func put(_ first: [UInt8], _ second: [UInt8], _ room: inout QueueRoom) -> Result {
        guard session.isOpen else { return .notOpen }
        let count = first.count + second.count + 2 * PublisherSession.overhead
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(first, second, into: &$0) }
        return .waits(queue.count)
    }

    mutating func put(pong context: [UInt8], _ room: inout QueueRoom) -> Result {
        let count = PublisherSession.pongOverhead + context.count
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(pong: context, into: &$0) }
        return .waits(queue.count)
    }
}
