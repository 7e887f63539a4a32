// Our own publisher: it takes subscribers in, hears what they ask for, and sends each of them what it is told to. What
// libzmq's XPUB lacks is why there is one: queues whose bounds hold for all subscribers together, messages that are lost
// counted for each, and subscriptions kept once, by who judges them.
import Basics
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

    private let loop: EventLoop
    private let reception: Reception
    /// Called with what no stranger asked for, and with who did.
    public var onRequest: (Request, Int32, Caller) -> Void = { _, _, _ in }
    /// Called when a subscriber has taken what it had not when `drain` or `offer` was called.
    public var onDrained: (Int32) -> Void = { _ in }
    /// Called before `onDeparture` when a subscriber that ends its connection has read all that it was sent.
    public var onReadAll: (Int32) -> Void = { _ in }
    /// Messages that a subscriber did not get since its queue was full.
    public private(set) var dropped: UInt64 = 0

    /// Binds to each endpoint.
    ///
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    public init(
        _ loop: EventLoop, for service: Service, at endpoints: ServerEndpoints, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        reception = try Reception(
            loop, .publisher, for: service, at: endpoints, room: QueueRoom(), log: log)
        reception.handlers = Reception.Handlers(
            isIn: { [unowned self] subscriber throws(SystemError) in try letIn(subscriber) },
            flow: { [unowned self] subscriber throws(SystemError) in try flowed(subscriber) },
            said: { [unowned self] in hear($0, of: $1, $2) },
            ended: { [unowned self] subscriber in
                if waiting(of: subscriber.descriptor) == 0 { onReadAll(subscriber.descriptor) }
            })
    }

    /// Called when a connection is gone, before its descriptor can be another one's.
    public var onDeparture: (Int32) -> Void {
        get { reception.door.onDeparture }
        set { reception.door.onDeparture = newValue }
    }

    /// Whether a client that stays on the list may do less than before, and has to come in anew.
    public var isCurtailed: (AllowedClient, AllowedClient) -> Bool {
        get { reception.door.isCurtailed }
        set { reception.door.isCurtailed = newValue }
    }

    /// How long one beyond this host may leave what it was sent before its connection ends, as seen by the kernel: its
    /// host went without a word, or has no room for more. It holds for those that come in from then on.
    public var patience: Duration {
        get { reception.patience }
        set { reception.patience = newValue }
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { reception.lastEndpoint }
    /// Connections that ended for what their client sent.
    public var broken: UInt64 { reception.broken }
    public var counters: AccessCounters { reception.door.counters }
    /// All endpoints, as they were bound.
    var endpoints: [String] { reception.endpoints }
    /// How many connections there are, those in their handshake among them.
    var connections: Int { reception.door.book.count }
    public func peer(_ descriptor: Int32) -> Peer { reception.door.peer(descriptor) }
    public func peers(atMost limit: Int) -> [Peer] { reception.door.peers(atMost: limit) }

    /// Messages that this subscriber did not get.
    public func dropped(of descriptor: Int32) -> UInt64 { reception.client(descriptor)?.dropped ?? 0 }
}

// MARK: - Subscribers

extension PublisherSocket {
    private func letIn(_ subscriber: ClientConnection) throws(SystemError) {
        let descriptor = subscriber.descriptor
        let interest: IOSource.Interest = subscriber.isBlocked ? .both : .readable
        subscriber.source = try IOSource(loop, descriptor: descriptor, interest: interest) {
            [unowned self] in ready(descriptor)
        }
    }

    private func ready(_ descriptor: Int32) {
        guard let subscriber = reception.client(descriptor) else { return }
        if subscriber.isBlocked { reception.flush(subscriber) }
        reception.read(subscriber)
    }

    private func flowed(_ subscriber: ClientConnection) throws(SystemError) {
        try subscriber.source?.setInterest(subscriber.isBlocked ? .both : .readable)
        if !subscriber.isBlocked { onDrained(subscriber.descriptor) }
    }

    private func hear(_ event: ServerSession.Event, of subscriber: ClientConnection, _ caller: Caller) {
        switch event {
        case .subscribe(let prefix): onRequest(.subscribe(prefix), subscriber.descriptor, caller)
        case .cancel(let prefix): onRequest(.cancel(prefix), subscriber.descriptor, caller)
        case .strange: onRequest(.strange, subscriber.descriptor, caller)
        case .send, .pong, .judge, .opened: break
        }
    }
}

// MARK: - Sending

extension PublisherSocket {
    /// Sends one message of one frame. It goes at the end of the loop's turn, or is dropped and counted if the
    /// subscriber does not keep up.
    public func send(_ message: [UInt8], to descriptor: Int32) {
        guard let subscriber = reception.client(descriptor), subscriber.takesMore else { return }
        var result = unsafe subscriber.line.put(message, &reception.room)
        if result == .full, !subscriber.isBlocked {
            reception.flush(subscriber)
            result = unsafe subscriber.line.put(message, &reception.room)
        }
        sent(result, to: subscriber)
    }

    /// Sends one message of one frame, but to nobody who has not taken what it was sent before. `false`: not now;
    /// `onDrained` tells when. What is offered to nobody who is there is taken.
    public func offer(_ message: [UInt8], to descriptor: Int32) -> Bool {
        guard let subscriber = reception.client(descriptor), subscriber.takesMore else { return true }
        guard !subscriber.isBlocked else { return false }
        var result = unsafe subscriber.line.put(message, &reception.room)
        if result == .full {
            reception.flush(subscriber)
            result = unsafe subscriber.line.put(message, &reception.room)
        }
        if case .waits(let count) = result { reception.settle(subscriber, waiting: count) }
        return result != .full
    }

    /// Bytes that a subscriber was sent and has not taken, as `StreamSocket.unarrived` counts them once they left the
    /// queue; `nil`: it is gone.
    public func waiting(of descriptor: Int32) -> Int? {
        guard let subscriber = reception.client(descriptor), !subscriber.isBroken else { return nil }
        return unsafe subscriber.line.queue.count + (subscriber.socket.unarrived ?? 0)
    }

    /// Nothing more is sent to a subscriber: behind what waits it sees the end of the connection, and when it has read
    /// that it ends its side, if it is ZeroMQ's. (To close at once can lose what a slow one has not read: libzmq reads
    /// no further where both sides are closed.)
    public func finish(_ descriptor: Int32) {
        guard let subscriber = reception.client(descriptor), !subscriber.isBroken else { return }
        subscriber.isEnding = true
        reception.flush(subscriber)
        if unsafe subscriber.line.queue.isEmpty { subscriber.socket.endSending() }
    }

    /// Ends a subscriber's connection, whatever waits for it.
    public func hangUp(on descriptor: Int32) { reception.hangUp(on: descriptor) }

    /// Likewise, one message of two frames.
    func send(_ first: [UInt8], _ second: [UInt8], to descriptor: Int32) {
        guard let subscriber = reception.client(descriptor), subscriber.takesMore else { return }
        var result = unsafe subscriber.line.put(first, second, &reception.room)
        if result == .full, !subscriber.isBlocked {
            reception.flush(subscriber)
            result = unsafe subscriber.line.put(first, second, &reception.room)
        }
        sent(result, to: subscriber)
    }

    private func sent(_ result: ClientLine.Result, to subscriber: ClientConnection) {
        switch result {
        case .waits(let count): reception.settle(subscriber, waiting: count)
        case .full:
            subscriber.dropped &+= 1
            dropped &+= 1
        case .notOpen: break
        }
    }

    /// Before each wait of the loop, and before its end.
    func flush() { reception.flush() }

    /// Sends what waits for a subscriber; whether it takes all of it, or is gone.
    func drain(_ descriptor: Int32) -> Bool {
        guard let subscriber = reception.client(descriptor) else { return true }
        if !subscriber.isBlocked { reception.flush(subscriber) }
        return !subscriber.isBlocked
    }
}
