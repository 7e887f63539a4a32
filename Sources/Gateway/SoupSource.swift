// One path of a SoupBinTCP feed. What comes is handed on as MoldUDP64 packets.
import Arbitration
import Basics
package import Configuration
package import FeedJournal
package import FeedProtocols
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
    private var packets = SoupPackets()

    init(
        _ loop: EventLoop, _ lookUps: NameLookups, path: Int, at address: ServerAddress,
        _ machine: SoupClientMachine, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.loop = loop
        self.path = path
        self.owner = owner
        connection = try LoginConnection(
            loop, lookUps, at: address, machine, pieceBytes: SoupSource.pieceBytes, log: log
        ) { [unowned self] in heard($0) }
    }

    var note: String? { connection?.trouble }

    // MARK: - Subscriptions: a login brings everything

    func activate(_ topics: [WantedTopic]) {
        connection?.start()
        owner.resubscribed(path)
    }

    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func rekey(_ keys: KeyPair) {}
    func linkChanged(_ news: LinkNews?) { connection?.linkChanged(news) }

    // MARK: - The connection

    private func heard(_ event: LoginConnection<SoupDialect>.Event) {
        switch event {
        case .accepted: counters.connects &+= 1
        case .news(let news):
            hand(on: packets.take(news))
            // The login's answer is a word of the path's: it is heard before anybody asks how long it was silent.
            if case .begins = news { owner.connected(path) }
        case .closed(let why):
            hand(on: packets.flush())
            owner.disconnected(path, because: why)
        case .done(let bytes): done(bytes)
        }
    }

    private func done(_ bytes: Int) {
        hand(on: packets.flush())
        guard let machine = connection?.machine else { return }
        (counters.attempts, counters.retryAfter) = (machine.attempts, machine.retryAfter)
        (counters.streamErrors, counters.unsequenced) = (machine.errors, machine.dialect.unsequenced)
        counters.truncated = packets.tooLong
        guard bytes > 0 else { return }
        counters.packets &+= 1
        counters.bytes &+= UInt64(bytes)
        owner.drained(path)
        if connection?.isEmptied ?? true { owner.emptied(path) }
    }

    private func hand(on packets: [[UInt8]]) {
        guard !packets.isEmpty else { return }
        let time = loop.time
        for bytes in packets { owner.received(bytes[...], on: path, receivedAt: time.wall, at: time) }
    }
}

extension SoupClientMachine {
    /// - Parameters:
    ///   - silence: the feed's limit; a connection that says nothing for so long is made anew.
    ///   - memory: where an earlier run stopped.
    ///   - seed: keeps clients that were refused together apart.
    package init(
        _ login: VenueLogin, silence: Duration, resume memory: JournalMemory?,
        seed: UInt64 = .random(in: .min ... .max)
    ) {
        var times = LoginTimes(deadAfter: silence)
        times.seed = seed
        let resume = memory.flatMap { $0.last > 0 ? (epoch: $0.epoch, next: $0.last + 1) : nil }
        self.init(SoupDialect(user: login.user, password: login.password, resume: resume), times)
    }
}
