// What our own sockets do about clients alike, whatever they say to them: it listens, takes clients in by ZMTP, lets in who is
// on the list, hears what each says, sends what waits for each, and knows when one is gone. What is said once a connection
// is open is the socket's.
import Basics
import Glibc
import Linux
import Reactor
import Wire
import ZMTP

/// The clients of one socket, each of whom is named by the descriptor of its connection.
final class Reception {
    /// What the socket does about a connection. What fails ends it.
    struct Handlers {
        /// It is through its handshake: what comes from it is for the socket to wait for, from now on.
        var isIn: (ClientConnection) throws(SystemError) -> Void
        /// The kernel takes no more of what is sent to it, or takes more again, as `isBlocked` says.
        var flow: (ClientConnection) throws(SystemError) -> Void
        /// It says something, and is no stranger.
        var said: (ServerSession.Event, ClientConnection, Caller) -> Void
        /// It has ended its side; it is closed then.
        var ended: (ClientConnection) -> Void = { _ in }
        /// It is being closed.
        var closed: (ClientConnection) -> Void = { _ in }
    }

    /// Connections taken in before others get their turn.
    private static let accepted = 4
    /// Bytes of one client that are read before others get their turn.
    private static let readAtOnce = 8 << 10
    /// Bytes that wait for the end of the loop's turn; more go at once.
    private static let written = 64 << 10
    /// What an accept fails with when this process or this host has no room for another connection: accept(2).
    private static let exhaustion = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
    /// How long nobody is taken in then.
    private static let pause: Duration = .milliseconds(100)

    let door: Doorkeeper
    /// What waits for all clients together. Nobody is called while it is opened who would open it, too, so that no access
    /// overlaps another one: the check for that, for each message and each subscriber, would cost a twentieth of what the
    /// gateway does for a message.
    @exclusivity(unchecked) var room: QueueRoom
    var handlers: Handlers?
    /// How long one beyond this host may leave what it was sent before its connection ends, as seen by the kernel: its
    /// host went without a word, or has no room for more. It holds for those that come in from then on.
    var patience: Duration = .seconds(30)
    private let loop: EventLoop
    private let log: LimitedLog
    private let role: ServerRole
    /// What who is not on the list is told (RFC 27); `nil`: nothing.
    private let refusal: String?
    private var listeners: [ListeningEndpoint] = []
    /// By descriptor.
    private var clients: [ClientConnection?] = []
    /// Whose queues got something in this turn of the loop.
    private var written: [ClientConnection] = []
    private var buffer = [UInt8](repeating: 0, count: Reception.readAtOnce)
    private var events: [ServerSession.Event] = []
    private var handshakes: HandshakeWatch
    /// Connections that were taken in so far.
    private var accepted: UInt64 = 0
    private let keyWatch = KeyWatch()
    private var handshakeTimer: Timer?
    private var antechamber: Antechamber?
    private var resuming: Timer?
    private var rebinding: Rebinding?
    /// The endpoint bound last.
    private(set) var lastEndpoint = ""
    /// Connections that ended for what their client sent.
    private(set) var broken: UInt64 = 0

    /// Binds to each endpoint.
    ///
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    init(
        _ loop: EventLoop, _ role: ServerRole, for service: Service, at endpoints: ServerEndpoints,
        room: QueueRoom, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        self.role = role
        unsafe self.room = room
        refusal = service.refusal
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
        door.hangUp = { [unowned self] in hangUp(on: $0) }
        keyWatch.onRenewal = { [unowned self] old in if door.renewed(from: old) { changeKey() } }
        door.authenticator?.guards(keyWatch, of: service)
    }

    /// All endpoints, as they were bound.
    var endpoints: [String] { listeners.map(\.bound).sorted() }

    func client(_ descriptor: Int32) -> ClientConnection? {
        clients.indices.contains(Int(descriptor)) ? clients[Int(descriptor)] : nil
    }

    /// Ends a client's connection, whatever waits for it.
    func hangUp(on descriptor: Int32) {
        if let client = client(descriptor) { close(client) }
    }
}

// MARK: - Sending

extension Reception {
    private func send(bytes: [UInt8], to client: ClientConnection) {
        unsafe client.line.queue.append(bytes.count, &room) { $0.append(contentsOf: bytes) }
        settle(client, waiting: unsafe client.line.queue.count)
    }

    /// Something waits for a client, which goes at the end of the loop's turn, or at once where it is much.
    ///
    /// - Parameter waiting: how many bytes wait for it.
    func settle(_ client: ClientConnection, waiting: Int) {
        if !client.isWritten {
            client.isWritten = true
            written.append(client)
        }
        if !client.isBlocked, waiting >= Reception.written { flush(client) }
    }

    /// Before each wait of the loop, and before its end.
    func flush() {
        guard !written.isEmpty else { return }
        for client in written {
            client.isWritten = false
            if !client.isBlocked { flush(client) }
        }
        written.removeAll(keepingCapacity: true)
    }

    func flush(_ client: ClientConnection) {
        guard !client.isBroken, unsafe !client.line.queue.isEmpty else { return }
        do throws(SystemError) {
            try unsafe client.line.queue.send(&room) { bytes throws(SystemError) in
                try client.socket.send(bytes)
            }
            let isBlocked = unsafe !client.line.queue.isEmpty
            if !isBlocked, client.isEnding { client.socket.endSending() }
            guard isBlocked != client.isBlocked else { return }
            client.isBlocked = isBlocked
            try handlers?.flow(client)
        } catch {
            breakOff(client)
        }
    }

    /// The loop tells of its end, and it is closed then.
    func breakOff(_ client: ClientConnection) {
        client.isBroken = true
        unsafe client.line.queue.removeAll(&room)
        client.socket.shutDown()
    }
}

// MARK: - Connections

extension Reception {
    private func accept(_ listener: ListeningEndpoint) {
        for _ in 0..<Reception.accepted {
            do throws(SystemError) {
                guard let client = try listener.accept() else { return }
                try take(client)
            } catch {
                if Reception.exhaustion.contains(error.number) { return suspend(error) }
                // It was gone before it was taken in: the next one.
            }
        }
    }

    private func take(_ client: ClientConnection) throws(SystemError) {
        let descriptor = client.descriptor
        try antechamber?.enter(descriptor)
        while clients.count <= Int(descriptor) { clients.append(nil) }
        clients[Int(descriptor)] = client
        accepted &+= 1
        client.number = accepted
        handshakes.began(
            HandshakeWatch.Handshake(descriptor: descriptor, number: accepted), at: loop.now)
        handshakeTimer?.arm(at: handshakes.deadline)
        unsafe send(bytes: client.line.session.greeting, to: client)
        door.accepted(descriptor, by: client.entrance, from: client.peer)
    }

    /// Without descriptors there is nothing to be done but to wait for one.
    private func suspend(_ error: SystemError) {
        log.event(
            .clientRefused, key: "",
            "no client is taken in for now: \(error); if it is for descriptors, raise LimitNOFILE= of the unit"
        )
        // The sources stay on the loop: what is sent goes out before each of its waits.
        wait(for: .change)
        resuming?.arm(at: loop.now + Reception.pause)
    }

    private func resume() { wait(for: .readable) }

    private func wait(for interest: IOSource.Interest) {
        for listener in listeners {
            do throws(SystemError) {
                try listener.source?.setInterest(interest)
            } catch {
                resuming?.arm(at: loop.now + Reception.pause)
            }
        }
    }

    /// Hears what has come from a client.
    ///
    /// - Returns: as how many bytes.
    @discardableResult
    func read(_ client: ClientConnection) -> Int {
        do throws(SystemError) {
            guard let count = try client.socket.receive(into: &buffer) else { return 0 }
            guard count > 0 else {
                handlers?.ended(client)
                ended(client)
                return 0
            }
            hear(client) { session, take throws(ZMTPError) in try session.receive(buffer[..<count], take) }
            return count
        } catch {
            ended(client)
            return 0
        }
    }

    /// Hears what had come from a client behind a message of it.
    func hearOn(_ client: ClientConnection) {
        hear(client) { session, take throws(ZMTPError) in try session.receive([], take) }
    }

    private func hear(
        _ client: ClientConnection,
        _ take: (inout ServerSession, (ServerSession.Event) -> Void) throws(ZMTPError) -> Void
    ) {
        events.removeAll(keepingCapacity: true)
        var failure: ZMTPError?
        do throws(ZMTPError) {
            try unsafe take(&client.line.session) { events.append($0) }
        } catch {
            failure = error
        }
        let heard = events
        for event in heard where isHere(client) { perform(event, client) }
        guard let failure, isHere(client) else { return }
        door.failed(HandshakeFailure(failure))
        // It may learn why from what it is sent last.
        flush(client)
        end(client)
    }

    /// Ends the connection of a client for what it sent.
    func end(_ client: ClientConnection) {
        broken &+= 1
        close(client)
    }

    func isHere(_ client: ClientConnection) -> Bool { clients[Int(client.descriptor)] === client }

    private func perform(_ event: ServerSession.Event, _ client: ClientConnection) {
        switch event {
        case .send(let bytes): send(bytes: bytes, to: client)
        case .pong(let context): answer(context, client)
        case .judge(let key): judge(key, client)
        case .opened: _ = door.heard(client.descriptor, key: client.key)
        case .subscribe, .cancel, .strange:
            if let caller = caller(client) { handlers?.said(event, client, caller) }
        }
    }

    /// Who speaks; `nil`: a stranger, who is hung up on.
    func caller(_ client: ClientConnection) -> Caller? {
        let caller = door.heard(client.descriptor, key: client.key)
        return caller == .stranger ? nil : caller
    }

    /// Who asks and asks and reads no answer has none.
    private func answer(_ context: [UInt8], _ client: ClientConnection) {
        if client.takesMore, case .waits(let count) = unsafe client.line.put(pong: context, &room) {
            settle(client, waiting: count)
        }
    }

    private func judge(_ key: PublicKey, _ client: ClientConnection) {
        guard let allowed = door.authenticator?.judge(key) else { return refuse(key, client) }
        client.key = allowed.key
        unsafe send(bytes: client.line.session.admit(), to: client)
        _ = door.heard(client.descriptor, key: client.key)
    }

    /// Who is told nothing stays until the time for its handshake is over.
    private func refuse(_ key: PublicKey, _ client: ClientConnection) {
        door.refused(key, of: client.descriptor)
        guard let refusal, isHere(client) else { return }
        unsafe send(bytes: client.line.session.refuse(status: refusal), to: client)
        flush(client)
        close(client)
    }

    private func ended(_ client: ClientConnection) {
        if unsafe !client.line.session.isOpen { door.failed(.closed(errno: 0)) }
        close(client)
    }

    /// Its descriptor is free when all know that it is gone.
    private func close(_ client: ClientConnection) {
        guard isHere(client) else { return }
        if client.isIn { handlers?.closed(client) } else { antechamber?.leave(client.descriptor) }
        clients[Int(client.descriptor)] = nil
        client.source = nil
        client.isBroken = true
        unsafe client.line.queue.removeAll(&room)
        door.disconnected(client.descriptor)
    }

    // MARK: In the antechamber

    private func arrived(_ descriptor: Int32) {
        guard let client = client(descriptor) else { return }
        read(client)
        goOn(client)
    }

    private func step(_ descriptor: Int32) {
        guard let client = client(descriptor) else { return }
        hear(client) { session, take throws(ZMTPError) in try session.shakeHands(take) }
        goOn(client)
    }

    /// What the handshake waits for now, or that it is over.
    private func goOn(_ client: ClientConnection) {
        guard isHere(client) else { return }
        let descriptor = client.descriptor
        do throws(SystemError) {
            if unsafe client.line.session.isWaiting {
                let hasBegun = unsafe client.line.session.hasBegun
                antechamber?.awaitStep(descriptor, from: client.peer?.address, hasBegun: hasBegun)
            } else if unsafe client.line.session.isOpen {
                try letIn(client)
            } else {
                try antechamber?.awaitBytes(descriptor)
            }
        } catch {
            ended(client)
        }
    }

    private func letIn(_ client: ClientConnection) throws(SystemError) {
        antechamber?.leave(client.descriptor)
        client.isIn = true
        try handlers?.isIn(client)
        guard client.entrance != .local else { return }
        // A host that went without a word: asked after 10 s of silence.
        try client.socket.watch(idle: 10, interval: 5, count: 4, patience: patience)
    }

    // MARK: Handshakes that take too long

    private func giveUpSlow() {
        let slow = handshakes.look(at: loop.now) { pending($0) == nil }
        for handshake in slow { pending(handshake).map(ended) }
        handshakeTimer?.arm(at: handshakes.deadline)
    }

    /// Whose handshake goes on; `nil`: it is over.
    private func pending(_ handshake: HandshakeWatch.Handshake) -> ClientConnection? {
        guard let client = client(handshake.descriptor), client.number == handshake.number,
            !client.isBroken, unsafe !client.line.session.isOpen
        else { return nil }
        return client
    }
}

// MARK: - Binding

extension Reception {
    private func bind(_ endpoints: ServerEndpoints) throws(BusError) {
        let isLocal = endpoints.isLocal
        for endpoint in endpoints.endpoints {
            try bind(endpoint, isLocal(endpoint) ? .local : .guarded)
        }
        for endpoint in endpoints.plaintext { try bind(endpoint, .plaintext) }
    }

    private func bind(_ endpoint: String, _ entrance: Entrance) throws(BusError) {
        let identity = entrance == .guarded ? try door.identity(of: endpoint) : nil
        let listener: ListeningEndpoint
        do throws(MessagingError) {
            listener = try ListeningEndpoint(endpoint, role, entrance, identity)
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
        for client in clients.compactMap({ $0 }) where client.entrance == .guarded { close(client) }
        rebinding?.begin(old.map(\.bound))
    }
}

/// Hears of other keys for a socket, which is not weakly referred to itself: that would make each message's use of it
/// dear.
private final class KeyWatch: Guarded {
    var onRenewal: (Credentials) -> Void = { _ in }

    func renewed(from old: Credentials) { onRenewal(old) }
}
