// The groups of one path of a UDP feed: a socket each. The path is connected when all of them are.
import Arbitration
import Basics
import Linux
import Reactor
import Wire

final class GroupedSource: FeedSource {
    private let path: Int
    private unowned let owner: any FeedSourceOwner
    private var members: [MulticastSource] = []
    private var isConnected: [Bool]

    /// - Parameter addresses: of its groups, at least one.
    init(
        _ loop: EventLoop, path: Int, addresses: [MulticastSource.Address], batch: DatagramBatch,
        worker: Worker, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.path = path
        self.owner = owner
        isConnected = addresses.map { _ in false }
        for (member, address) in addresses.enumerated() {
            members.append(
                try MulticastSource(
                    loop, path: member, address: address, batch: batch, worker: worker, log: log, owner: self)
            )
        }
    }

    var counters: SourceCounters {
        members.dropFirst().reduce(into: members.first?.counters ?? SourceCounters()) { sum, member in
            sum.packets &+= member.counters.packets
            sum.bytes &+= member.counters.bytes
            sum.droppedByKernel &+= member.counters.droppedByKernel
            sum.truncated &+= member.counters.truncated
            sum.connects &+= member.counters.connects
            sum.attempts &+= member.counters.attempts
            sum.retryAfter = max(sum.retryAfter, member.counters.retryAfter)
            sum.failures &+= member.counters.failures
        }
    }

    var note: String? { members.lazy.compactMap(\.note).first }

    func activate(_ topics: [WantedTopic]) {
        for member in members { member.activate(topics) }
    }

    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func rekey(_ keys: KeyPair) {}

    func linkChanged(_ news: LinkNews?) {
        for member in members { member.linkChanged(news) }
    }
}

// MARK: - What the groups say

extension GroupedSource: FeedSourceOwner {
    func received(_ bytes: ArraySlice<UInt8>, on member: Int, receivedAt: WallTime, at time: LoopTime) {
        owner.received(bytes, on: path, receivedAt: receivedAt, at: time)
    }

    func drained(_ member: Int) { owner.drained(path) }
    func emptied(_ member: Int) { owner.emptied(path) }

    func connected(_ member: Int) {
        isConnected[member] = true
        if isConnected.allSatisfy(\.self) { owner.connected(path) }
    }

    func disconnected(_ member: Int, because reason: String) {
        isConnected[member] = false
        owner.disconnected(path, because: reason)
    }

    /// Groups need no subscriptions: the first one's word is that of all.
    func resubscribed(_ member: Int) {
        if member == 0 { owner.resubscribed(path) }
    }
}
