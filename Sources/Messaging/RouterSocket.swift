// Our own ROUTER: it takes requesters in, hands over a message of one after a message of another, as many in a turn of the
// loop as their cost allows, and sends each its replies. What libzmq's lacks is why there is one: bounds on the frames and
// the bytes of a message that does not end, and on what waits for all requesters together.
import Basics
import Linux
import Reactor
import Wire
import ZMTP

/// Takes messages from requesters, each of whom is answered by its connection.
final class RouterSocket {
    /// The connection that a message came by; no other one is ever the same.
    struct Origin: Hashable, Sendable {
        var descriptor: Int32
        var number: UInt64
    }

    /// Connections that are read before others get their turn.
    private static let readAtOnce = 8
    /// Bytes of one that waited and are sent before others get their turn; a reply is sent whole.
    private static let sentAtOnce = 64 << 10
    /// What is being sent to all requesters; what else there is for one waits in the backlog, as it was made.
    private static let room = QueueRoom(ofOne: 8 << 20, ofEach: 16 << 10, ofAll: 64 << 20)
    /// Likewise with replies that are longer than that: one at a time is sent, and may be as long as it likes.
    static let mostSending = 2 * room.ofAll

    /// Bytes of messages that are not whole, or wait for their turn, of all connections together. Beyond it the connection
    /// ends that has kept some for longest: who means well is done in milliseconds.
    private let mostUnfinished: Int
    private let mostSending: Int
    private let loop: EventLoop
    private let reception: Reception
    private let onMessage: ([[UInt8]], Origin, Caller) -> Void
    /// Open connections, as far as they have no message that waits for its turn.
    private let set: ReadySet
    private var arrivals: IOSource?
    private var again: DeferredSource?
    private var backlog = ReplyBacklog<Origin>()
    /// Who has a message that waits for its turn, in the order of the turns.
    private var turns: [Origin] = []
    /// Who has bytes of messages: how many, and since when one waits for the rest.
    private var unfinished: [Origin: (bytes: Int, since: Instant)] = [:]
    private var unfinishedBytes = 0
    /// Who does not take what it was sent, and since when.
    private var blocked: [Origin: Instant] = [:]
    /// Called when a reply that was sent does not arrive, since there was no room for it at last.
    var onLost: () -> Void = {}
    /// What may be taken before others get their turn; whoever does what a message asks for charges it with that.
    var budget = TurnBudget()

    /// Binds to each endpoint.
    ///
    /// - Parameter onMessage: called with the frames of each message, of which there is one at least.
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    init(
        _ loop: EventLoop, for service: Service, at endpoints: ServerEndpoints, log: LimitedLog,
        mostUnfinished: Int = 32 << 20, mostSending: Int = RouterSocket.mostSending,
        onMessage: @escaping ([[UInt8]], Origin, Caller) -> Void
    ) throws(BusError) {
        self.loop = loop
        self.mostUnfinished = mostUnfinished
        self.mostSending = mostSending
        self.onMessage = onMessage
        reception = try Reception(
            loop, .router, for: service, at: endpoints, room: RouterSocket.room, log: log)
        do throws(SystemError) {
            set = try ReadySet()
            arrivals = try IOSource(loop, descriptor: set.descriptor.raw) { [unowned self] in read() }
            again = try DeferredSource(loop) { [unowned self] in
                budget = TurnBudget()
                serve()
            }
        } catch {
            throw .system(error)
        }
        reception.handlers = Reception.Handlers(
            isIn: { [unowned self] client throws(SystemError) in try letIn(client) },
            flow: { [unowned self] client throws(SystemError) in try flowed(client) },
            // ZeroMQ leaves a command alone that it does not know.
            said: { _, _, _ in },
            closed: { [unowned self] client in
                set.remove(client.descriptor)
                backlog.remove(origin(client))
                blocked[origin(client)] = nil
                count(client, 0)
            })
    }

    /// The endpoint bound last.
    var lastEndpoint: String { reception.lastEndpoint }
    /// Connections that ended for what their client sent.
    var broken: UInt64 { reception.broken }
    var counters: AccessCounters { reception.door.counters }
    /// How many connections there are, those in their handshake among them.
    var connections: Int { reception.door.book.count }

    private func client(_ origin: Origin) -> ClientConnection? {
        reception.client(origin.descriptor).flatMap { $0.number == origin.number ? $0 : nil }
    }

    private func origin(_ client: ClientConnection) -> Origin {
        Origin(descriptor: client.descriptor, number: client.number)
    }
}

// MARK: - Replies

extension RouterSocket {
    /// Sends a message to the connection that one came by. It goes at the end of the loop's turn, or when what was sent
    /// before has been taken. `false`: that connection is gone, or so much waits for it already.
    func send(_ frames: [[UInt8]], to origin: Origin) -> Bool {
        guard let client = client(origin), client.takesMore else { return false }
        if mayGoOn(client, origin), put(frames, client) { return true }
        return mayGoOn(client, origin) ? false : backlog.add(frames, for: origin)
    }

    /// Whether nothing waits for it.
    private func mayGoOn(_ client: ClientConnection, _ origin: Origin) -> Bool {
        !client.isBlocked && backlog.isEmpty(for: origin)
    }

    /// `false`: there is no room, or it takes no more. Who takes what it is sent finds room: others end for it that have
    /// left theirs.
    private func put(_ frames: [[UInt8]], _ client: ClientConnection) -> Bool {
        var result = unsafe client.line.put(frames, longest: leftForSending, &reception.room)
        if result == .full {
            reception.flush(client)
            guard !client.isBlocked, client.takesMore else { return false }
            makeRoom(for: frames.reduce(0) { $0 + $1.count + ServerSession.overhead }, of: client)
            result = unsafe client.line.put(frames, longest: leftForSending, &reception.room)
        }
        guard case .waits(let count) = result else { return false }
        reception.settle(client, waiting: count)
        return true
    }

    /// Those end that have left for longest what they were sent, of those whom no less than the mean was sent: few are enough
    /// then.
    private func makeRoom(for bytes: Int, of client: ClientConnection) {
        let own = origin(client)
        while bytes > max(leftForSending, RouterSocket.room.ofEach) {
            let others = blocked.filter { $0.key != own }.compactMap { origin, since in
                self.client(origin).map { (client: $0, since: since, bytes: unsafe $0.line.queue.count) }
            }
            let mean = others.reduce(0) { $0 + $1.bytes } / max(others.count, 1)
            let sleepers = others.filter { $0.bytes >= mean }
            guard let sleeper = sleepers.min(by: { $0.since < $1.since }) else { return }
            reception.end(sleeper.client)
        }
    }

    private var leftForSending: Int { unsafe mostSending - reception.room.used }

    /// A connection that does not take all is waited for by itself, until it has taken it.
    private func flowed(_ client: ClientConnection) throws(SystemError) {
        let origin = origin(client)
        blocked[origin] = client.isBlocked ? blocked[origin] ?? loop.now : nil
        guard client.isIn, client.isBlocked, client.source == nil else { return }
        let descriptor = client.descriptor
        client.source = try IOSource(loop, descriptor: descriptor, interest: .writable) { [unowned self] in
            writable(descriptor)
        }
    }

    private func writable(_ descriptor: Int32) {
        guard let client = reception.client(descriptor) else { return }
        let origin = origin(client)
        reception.flush(client)
        goOnSending(client, origin)
        // All is sent, or its end is read.
        if client.isBroken || mayGoOn(client, origin) { client.source = nil }
    }

    /// Some of what waits; others have their turn then. What finds no room at last is lost: others have it all.
    private func goOnSending(_ client: ClientConnection, _ origin: Origin) {
        var sent = 0
        while sent < RouterSocket.sentAtOnce, !client.isBlocked, client.takesMore,
            let reply = backlog.next(for: origin)
        {
            sent += reply.reduce(0) { $0 + $1.count }
            if !put(reply, client) { onLost() }
            reception.flush(client)
        }
    }
}

// MARK: - Messages

extension RouterSocket {
    private func letIn(_ client: ClientConnection) throws(SystemError) {
        try set.add(client.descriptor)
        if client.isBlocked { try flowed(client) }
        if unsafe client.line.session.hasMessage {
            turns.append(origin(client))
            again?.arm()
        }
        note(client, unsafe client.line.session.unfinished)
    }

    private func read() {
        budget = TurnBudget()
        // What fails has no reason that holds: it is tried again in the next turn.
        for descriptor in (try? set.ready(atMost: RouterSocket.readAtOnce)) ?? [] {
            // Nobody is read from who has a message that waits.
            guard let client = reception.client(descriptor), unsafe !client.line.session.hasMessage else {
                continue
            }
            budget.made(bytes: reception.read(client))
            goOn(client)
        }
        serve()
    }

    /// One message of each in turn, as far as the budget goes.
    private func serve() {
        while budget.hasRoom, !turns.isEmpty {
            let origin = turns.removeFirst()
            if let client = client(origin) { serve(client) }
        }
        if !turns.isEmpty { again?.arm() }
    }

    private func serve(_ client: ClientConnection) {
        budget.took()
        let frames = unsafe client.line.session.takeMessage()
        budget.read(bytes: frames.reduce(0) { $0 + $1.count })
        note(client, 0)
        if let caller = reception.caller(client) { onMessage(frames, origin(client), caller) }
        guard reception.isHere(client) else { return }
        reception.hearOn(client)
        goOn(client)
    }

    /// What comes next from a client that was heard: its message's turn, or more bytes.
    private func goOn(_ client: ClientConnection) {
        guard reception.isHere(client) else { return }
        if unsafe client.line.session.hasMessage {
            turns.append(origin(client))
        } else {
            do throws(SystemError) {
                try set.await(client.descriptor)
            } catch {
                return reception.hangUp(on: client.descriptor)
            }
        }
        note(client, unsafe client.line.session.unfinished)
    }
}

// MARK: - What is not whole

extension RouterSocket {
    private func count(_ client: ClientConnection, _ bytes: Int) {
        let origin = origin(client)
        let before = unfinished[origin]
        unfinishedBytes += bytes - (before?.bytes ?? 0)
        unfinished[origin] = bytes > 0 ? (bytes, before?.since ?? loop.now) : nil
    }

    /// So many bytes of a client are held. If all hold too much, those end that have held theirs for longest, of those who
    /// hold no less than the mean: few are enough then, and who holds little is left alone.
    private func note(_ client: ClientConnection, _ bytes: Int) {
        count(client, bytes)
        while unfinishedBytes > mostUnfinished {
            let mean = unfinishedBytes / max(unfinished.count, 1)
            let large = unfinished.filter { $0.value.bytes >= mean }
            guard let longest = large.min(by: { $0.value.since < $1.value.since })?.key,
                let client = self.client(longest)
            else { return }
            reception.end(client)
        }
    }
}
