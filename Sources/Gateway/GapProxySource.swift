// A PITCH feed's way to Cboe's Gap Request Proxies: requests go over their connections, within the quota, and what was
// asked for comes by multicast, to groups that bring nothing else. Those are no paths of the feed: what comes there fills
// holes, and proves no line.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Linux
import Reactor
import Wire

final class GapProxySource: FeedRecovery {
    private let loop: EventLoop
    private var desk: GapProxyDesk
    private var connections: [LoginConnection<GapProxyDialect>] = []
    private var groups: GroupedSource?
    private var isJoined = false
    private var onReply: OnRecovered?
    private var onRejection: OnRejected?

    /// - Parameter earlier: what was asked under other options.
    init(
        _ options: RecoverOptions, after earlier: RequestQuota?, _ surroundings: FeedSurroundings,
        log: @escaping EventLog
    ) throws(SystemError) {
        loop = surroundings.loop
        desk = GapProxyDesk(options, after: earlier)
        for (server, text) in options.servers.enumerated() {
            guard let endpoint = IPv4Endpoint(text.dropFirst("tcp://".count)),
                let login = options.login(of: server)
            else { continue }
            let address = ServerAddress(
                host: "\(endpoint.address)", port: endpoint.port, interface: options.interface,
                source: options.localAddress.flatMap { IPv4Address($0) })
            connections.append(
                try LoginConnection(
                    loop, surroundings.names, at: address, GapProxyMachine(login),
                    meanwhile: "; until then nothing can be asked for there", log: log
                ) { [unowned self] in
                    if case .news(let response) = $0 { answered(response, by: server) }
                })
        }
        let addresses = options.groups.compactMap { IPv4Endpoint($0) }.map {
            MulticastSource.Address(
                endpoint: $0, interface: options.interface,
                source: options.source.flatMap { IPv4Address($0) })
        }
        groups = try GroupedSource(
            loop, path: 0, addresses: addresses, batch: surroundings.batch, worker: surroundings.worker,
            log: log, owner: self)
    }

    func start(_ onReply: @escaping OnRecovered, _ onRejection: @escaping OnRejected) {
        (self.onReply, self.onRejection) = (onReply, onRejection)
        groups?.activate([])
        for connection in connections { connection.start() }
    }

    func linkChanged(_ news: LinkNews?) {
        groups?.linkChanged(news)
        for connection in connections { connection.linkChanged(news) }
    }

    // MARK: - Asking

    /// Nothing is asked for that could not be heard.
    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        guard isJoined, connections.indices.contains(server) else { return .failed }
        let outcome = connections[server].withMachine { desk.ask(&$0, at: loop.now) }
        guard outcome == .sent else { return outcome }
        connections[server].send(request)
        guard connections[server].machine.isUp else { return .failed }
        desk.sent(at: loop.now)
        return .sent
    }

    private func answered(_ response: GapResponse, by server: Int) {
        guard let rejection = RequestRejection(response) else { return }
        onRejection?(rejection, server)
    }

    // MARK: - Figures

    var asked: RequestQuota? { desk.quota }

    var trouble: String? {
        if !isJoined { return groups?.note ?? "the gap multicast is not joined" }
        let now = loop.now
        let exhausted = connections.compactMap { $0.machine.dialect.exhausted }.filter { $0.until > now }
        let troubles = connections.compactMap(\.trouble)
        guard troubles.count + exhausted.count >= connections.count else { return nil }
        return troubles.first ?? exhausted.first.flatMap { $0.quota.rejection }.map { "refused: \($0)" }
    }

    var values: [NamedValue] {
        let counters = groups?.counters ?? SourceCounters()
        let machines = connections.map(\.machine)
        let retry = machines.map(\.retryAfter).max() ?? .zero
        return [
            NamedValue("recovery_connected", .integer(Int64(machines.count { $0.isUp }))),
            NamedValue("recovery_connects", .integer(sum(machines, \.logins))),
            NamedValue("recovery_attempts", .integer(sum(machines, \.attempts))),
            NamedValue("recovery_retry_after_s", .number(retry.inSeconds)),
            NamedValue("recovery_stream_errors", .integer(sum(machines, \.errors))),
            NamedValue("recovery_packets", .integer(Int64(clamping: counters.packets))),
            NamedValue(
                "recovery_packets_dropped_by_kernel", .integer(Int64(clamping: counters.droppedByKernel))),
        ]
    }

    private func sum(_ machines: [GapProxyMachine], _ count: KeyPath<GapProxyMachine, UInt64>) -> Int64 {
        Int64(clamping: machines.reduce(0) { $0 &+ $1[keyPath: count] })
    }
}

// MARK: - What the gap multicast brings

extension GapProxySource: FeedSourceOwner {
    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at time: LoopTime) {
        onReply?(bytes, nil, receivedAt)
    }

    func drained(_ path: Int) {}
    func emptied(_ path: Int) {}
    func connected(_ path: Int) { isJoined = true }
    func disconnected(_ path: Int, because reason: String) { isJoined = false }
    func resubscribed(_ path: Int) {}
}
