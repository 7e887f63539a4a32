// One path of a SoupBinTCP feed. What comes is handed on as MoldUDP64 packets, which number messages in the same way: so
// one feed can have paths of both.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Reactor
import Wire

final class SoupSource: FeedSource {
    /// Read, and handed on, at a time.
    static let pieceBytes = 64 << 10

    private(set) var counters = SourceCounters()
    private let path: Int
    private let loop: EventLoop
    private unowned let owner: any FeedSourceOwner
    private var connection: LoginConnection<SoupDialect>?
    private var packet: MoldUDP64PacketBuilder

    init(
        _ loop: EventLoop, _ worker: Worker, path: Int, at address: ServerAddress,
        _ machine: SoupClientMachine, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.loop = loop
        self.path = path
        self.owner = owner
        packet = SoupSource.builder(MoldSession(""))
        connection = try LoginConnection(
            loop, worker, at: address, machine, pieceBytes: SoupSource.pieceBytes, log: log
        ) { [unowned self] in heard($0) }
    }

    private static func builder(_ session: MoldSession) -> MoldUDP64PacketBuilder {
        MoldUDP64PacketBuilder(session: session, maximumLength: MoldUDP64Packet.longest)
    }

    var note: String? { connection?.trouble }

    // MARK: - Subscriptions: a login brings everything

    func activate(_ topics: [UpstreamTopic]) {
        connection?.start()
        owner.resubscribed(path)
    }

    func deactivate() {}
    func subscribe(_ topic: UpstreamTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func rekey(_ keys: KeyPair) {}
    func linkChanged(_ news: LinkNews?) { connection?.linkChanged(news) }

    // MARK: - The connection

    private func heard(_ event: LoginConnection<SoupDialect>.Event) {
        switch event {
        case .accepted:
            counters.connects &+= 1
            owner.connected(path)
        case .news(let news): heard(news)
        case .closed(let why):
            flush()
            owner.disconnected(path, because: why)
        case .done(let bytes): done(bytes)
        }
    }

    private func heard(_ news: SoupDialect.News) {
        switch news {
        case .begins(let position):
            if packet.session != position.session { packet = SoupSource.builder(position.session) }
            hand(on: MoldUDP64PacketBuilder.heartbeat(session: packet.session, next: position.next))
        case .message(let sequence, let bytes): add(bytes, sequence)
        case .heartbeat(let next):
            flush()
            hand(on: MoldUDP64PacketBuilder.heartbeat(session: packet.session, next: next))
        case .sessionEnded(let next):
            flush()
            hand(on: MoldUDP64PacketBuilder.endOfSession(session: packet.session, next: next))
        }
    }

    private func done(_ bytes: Int) {
        flush()
        guard let machine = connection?.machine else { return }
        (counters.attempts, counters.retryAfter) = (machine.attempts, machine.retryAfter)
        (counters.streamErrors, counters.unsequenced) = (machine.errors, machine.dialect.unsequenced)
        guard bytes > 0 else { return }
        counters.packets &+= 1
        counters.bytes &+= UInt64(bytes)
        owner.drained(path)
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

extension SoupClientMachine {
    /// - Parameter silence: the feed's limit; a connection that says nothing for so long is made anew.
    /// - Parameter memory: where an earlier run stopped.
    init(_ login: VenueLogin, silence: Duration, resume memory: JournalMemory?) {
        var times = LoginTimes(deadAfter: silence)
        times.seed = .random(in: .min ... .max)
        let resume = memory.flatMap { $0.last > 0 ? (epoch: $0.epoch, next: $0.last + 1) : nil }
        self.init(SoupDialect(user: login.user, password: login.password, resume: resume), times)
    }
}
