// The one rtnetlink listener of the agent. It hands on what the kernel says of links, addresses and routes,
// and asks for a dump whenever something may have been missed.
import Basics
import Linux
import Messaging
import Reactor

/// A complete picture, or one piece of news.
enum NetworkNews {
    /// All there is now; what it does not hold is gone.
    case picture(NetworkDump)
    case message(RouteNetlinkMessage)
}

/// Follows rtnetlink.
public final class NetworkMonitor {
    /// Datagrams taken before others get their turn.
    private static let batch = 64
    /// RTNLGRP_LINK; IFADDR and ROUTE of IPv4 and IPv6.
    private static let groups: [UInt32] = [1, 5, 7, 9, 11]
    /// Doubts that a picture settles wait so long for others: a routing daemon replaces default routes by the dozen.
    private static let doubtPatience: Duration = .seconds(1)

    private let loop: EventLoop
    /// For whatever may wait for the kernel's network configuration lock (RTNL), which anybody may hold for long.
    let worker: Worker
    private let log: LimitedLog
    private let socket: NetlinkSocket
    private var source: IOSource?
    private var retry: Timer?
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)
    private var listeners: [(NetworkNews) -> Void] = []
    private var order = PictureOrder()
    private var isInDoubt = false
    private var statisticsSocket: KernelSocket?
    private var isCounting = false

    /// Messages that could not be decoded.
    public private(set) var malformed: UInt64 = 0
    /// Datagrams of senders other than the kernel.
    public private(set) var strangers: UInt64 = 0
    /// Times that messages may have been lost.
    public private(set) var overruns: UInt64 = 0

    init(loop: EventLoop, log: LimitedLog) throws(SystemError) {
        self.loop = loop
        worker = try Worker(loop)
        self.log = log
        socket = try NetlinkSocket(groups: NetworkMonitor.groups)
        source = try IOSource(loop, descriptor: socket.descriptor.raw) { [unowned self] in
            drain(atMost: NetworkMonitor.batch)
        }
        retry = try Timer(loop) { [unowned self] in resync() }
    }

    /// Adds a listener; it gets a picture with the next `resync`.
    func listen(_ listener: @escaping (NetworkNews) -> Void) { listeners.append(listener) }

    /// Asks for a picture of everything.
    func resync() {
        isInDoubt = false
        guard order.wanted() else { return }
        if worker.perform({ NetworkDump.take() }, then: { [weak self] in self?.dumped($0) }) {
            order.asked()
        } else {
            retry?.arm(at: loop.now + .milliseconds(100))
        }
    }

    /// A picture is to settle what a message left open, and what others do that come soon.
    private func doubt() {
        guard !isInDoubt else { return }
        isInDoubt = true
        retry?.arm(at: loop.now + NetworkMonitor.doubtPatience)
    }

    /// Asks how an address on a link is resolved; `nil`: the kernel knows nothing of it.
    func neighbour(
        _ address: IPAddress, on index: Int32, _ then: @escaping (NeighbourMessage?) -> Void
    ) {
        worker.perform({ NetworkDump.neighbour(address, on: index) }, then: then)
    }

    /// Asks for the statistics of all links.
    func statistics(_ then: @escaping ([Int32: LinkStatistics]) -> Void) {
        guard !isCounting else { return }
        let socket = statisticsSocket
        isCounting = worker.perform({ NetworkDump.statistics(by: socket) }) { [weak self] answer in
            self?.isCounting = false
            self?.statisticsSocket = answer?.by
            if let answer { then(answer.counters) }
        }
    }
}

// MARK: - Pictures

extension NetworkMonitor {
    private func dumped(_ result: Result<NetworkDump, DumpFailure>) {
        // What waits in the socket is older than the picture or at least as old as it: take it first.
        drain(atMost: 4096)
        switch result {
        case .failure(let failure):
            order.failed()
            log.event(.networkNewsLost, key: "picture", "\(failure), trying again in 1 s")
            retry?.arm(at: loop.now + .seconds(1))
        case .success(let dump):
            note(dump.malformed, dump.defect)
            switch order.arrived() {
            case .askAgain: resync()
            case .tell(let messages):
                tell(.picture(dump))
                for message in messages { tell(.message(message)) }
            }
        }
    }

    private func tell(_ news: NetworkNews) {
        for listener in listeners { listener(news) }
    }
}

// MARK: - News

extension NetworkMonitor {
    private func drain(atMost limit: Int) {
        for _ in 0..<limit {
            let receipt: NetlinkReceipt
            do throws(SystemError) { receipt = try socket.receive(into: &buffer) } catch {
                log.event(.networkNewsLost, key: "socket", "\(error), asking for a new picture")
                return resync()
            }
            switch receipt {
            case .nothing: return
            case .overrun, .truncated: overrun()
            case .datagram(let bytes, let sender):
                guard sender == 0 else {
                    strangers &+= 1
                    continue
                }
                take(bytes)
            }
        }
    }

    private func overrun() {
        overruns &+= 1
        log.event(
            .networkNewsLost, key: "overrun",
            "netlink messages were lost (\(overruns) times so far), asking for a new picture")
        resync()
    }

    private func take(_ bytes: ArraySlice<UInt8>) {
        var reader = NetlinkFrameReader(bytes)
        while true {
            do throws(NetlinkDefect) {
                guard let frame = try reader.next() else { return }
                take(try RouteNetlinkMessage(frame))
            } catch {
                note(1, error)
            }
        }
    }

    private func take(_ message: RouteNetlinkMessage) {
        switch message {
        case .link, .linkRemoved, .address, .addressRemoved, .route, .routeRemoved, .routeReplaced:
            order.heard(message)
            tell(.message(message))
            if message.leavesDefaultRouteInDoubt { doubt() }
        case .overrun: overrun()
        case .statistics, .neighbour, .done, .failed, .other: break
        }
    }

    /// Counts what could not be decoded.
    private func note(_ count: UInt64, _ defect: NetlinkDefect?) {
        guard count > 0 else { return }
        malformed &+= count
        let words = defect?.description ?? "malformed netlink message"
        log.event(.malformedInput, key: "netlink", "\(words), ignoring it (\(malformed) so far)")
    }
}
