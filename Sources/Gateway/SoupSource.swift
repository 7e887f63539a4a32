// One path of a SoupBinTCP feed: a TCP connection by the interface and from the address that were given. The client's
// machine decides; this shell connects, carries bytes and keeps time. What comes is handed on as MoldUDP64 packets,
// which number messages in the same way: so one feed can have paths of both.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Reactor
import Wire

final class SoupSource: FeedSource {
    /// Where the server is, and how to get there.
    struct Address {
        var host: String
        var port: UInt16
        var route: StreamRoute
    }

    /// A half-open connection is noticed by the kernel after so long, whatever the venue's heartbeats are.
    static let endsAfter: Duration = .milliseconds(1500)
    /// Read, and handed on, at a time.
    static let pieceBytes = 64 << 10

    private(set) var counters = SourceCounters()
    private let path: Int
    private let address: Address
    private let loop: EventLoop
    private let log: EventLog
    private unowned let owner: any FeedSourceOwner
    private var machine: SoupClientMachine
    private var connection: StreamConnection?
    private var timer: Timer?
    private var packet: MoldUDP64PacketBuilder
    private var toldTrouble: String?

    init(
        _ loop: EventLoop, _ worker: Worker, path: Int, at address: Address, options: SoupClientOptions,
        log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.loop = loop
        self.path = path
        self.address = address
        self.log = log
        self.owner = owner
        machine = SoupClientMachine(options: options)
        packet = SoupSource.builder(MoldSession(""))
        timer = try Timer(loop, accuracy: .milliseconds(5)) { [unowned self] in
            perform(machine.tick(at: self.loop.now))
        }
        connection = try StreamConnection(
            loop, worker, by: address.route, pieceBytes: SoupSource.pieceBytes
        ) { [unowned self] in heard($0) }
    }

    private static func builder(_ session: MoldSession) -> MoldUDP64PacketBuilder {
        MoldUDP64PacketBuilder(session: session, maximumLength: MoldUDP64Packet.longest)
    }

    private var server: String { "\(address.host):\(address.port)" }

    var note: String? { machine.isUp ? nil : machine.lastEnd?.description ?? "not connected to \(server)" }

    // MARK: - Subscriptions: a login brings everything

    func activate(_ topics: [UpstreamTopic]) {
        perform(machine.start(at: loop.now))
        owner.resubscribed(path)
    }

    func deactivate() {}
    func subscribe(_ topic: UpstreamTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func rekey(_ keys: KeyPair) {}

    func linkChanged(_ news: LinkNews?) {
        guard let name = address.route.interface, let index = Interface.index(of: name) else { return }
        guard let news else { return perform(machine.hurry(at: loop.now)) }
        if news.index == index, news.isRunning { perform(machine.hurry(at: loop.now)) }
    }

    // MARK: - The connection

    private func heard(_ event: StreamConnection.Event) {
        switch event {
        case .opened: perform(machine.opened(at: loop.now))
        case .received(let bytes):
            counters.packets &+= 1
            counters.bytes &+= UInt64(bytes.count)
            perform(machine.received(bytes, at: loop.now))
            owner.drained(path)
        case .closed(let why): perform(machine.closed(why, at: loop.now))
        }
    }

    private func perform(_ actions: [SoupClientAction]) {
        for action in actions {
            switch action {
            case .connect: connection?.open(.tcp(host: address.host, port: address.port))
            case .send(let bytes): connection?.send(bytes)
            case .close(let why): closed(why)
            case .accepted(let position): accepted(position)
            case .message(let sequence, let bytes): add(bytes, sequence)
            case .heartbeat(let next):
                flush()
                hand(on: MoldUDP64PacketBuilder.heartbeat(session: packet.session, next: next))
            case .sessionEnded(let next):
                flush()
                hand(on: MoldUDP64PacketBuilder.endOfSession(session: packet.session, next: next))
            }
        }
        flush()
        (counters.attempts, counters.retryAfter) = (machine.attempts, machine.retryAfter)
        (counters.streamErrors, counters.unsequenced) = (machine.errors, machine.unsequenced)
        timer?.arm(at: machine.deadline)
    }

    private func accepted(_ position: SoupPosition) {
        if packet.session != position.session { packet = SoupSource.builder(position.session) }
        counters.connects &+= 1
        if toldTrouble != nil { log(.pathReceivingAgain, "logged in at \(server)") }
        toldTrouble = nil
        owner.connected(path)
    }

    /// Each trouble once; it is tried again and again.
    private func closed(_ why: SoupEnd) {
        flush()
        connection?.close()
        let trouble = why.description
        if trouble != toldTrouble {
            toldTrouble = trouble
            log(SoupSource.event(of: why), "\(server): \(trouble), trying again")
        }
        owner.disconnected(path, because: trouble)
    }

    private static func event(of why: SoupEnd) -> JournalEvent {
        switch why {
        case .rejected: .loginRejected
        case .closed, .noAnswer, .otherSession, .silent, .sessionEnded, .malformed, .unexpected:
            .pathNotReceiving
        }
    }

    // MARK: - Messages

    private func add(_ message: ArraySlice<UInt8>, _ sequence: UInt64) {
        if packet.isEmpty { packet.begin(at: sequence) }
        if packet.append(message) { return }
        flush()
        packet.begin(at: sequence)
        // Longer than any packet: nobody can have it, and it is told as missing.
        if !packet.append(message) { counters.truncated &+= 1 }
    }

    private func flush() {
        guard !packet.isEmpty else { return }
        hand(on: packet.bytes)
        packet.begin(at: 1)
    }

    private func hand(on bytes: [UInt8]) {
        let time = loop.time
        owner.received(bytes[...], on: path, receivedAt: time.wall, at: time)
    }
}

extension SoupClientOptions {
    /// - Parameter silence: the feed's limit; a connection that says nothing for so long is made anew.
    /// - Parameter memory: where an earlier run stopped.
    init(_ login: VenueLogin, silence: Duration, resume memory: JournalMemory?) {
        self.init(user: login.user, password: login.password)
        deadAfter = silence
        seed = .random(in: .min ... .max)
        if let memory, memory.last > 0 { resume = (memory.epoch, memory.last + 1) }
    }
}
