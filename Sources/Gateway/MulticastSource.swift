// One path of a UDP feed: a socket bound to its group, joined on its interface, joined again when the link or
// the interface comes back. It tries until it succeeds and says meanwhile what is missing.
import Arbitration
import Basics
import Linux
import Reactor
import Wire

final class MulticastSource: FeedSource {
    /// Where the packets come in.
    struct Address: Hashable, Sendable {
        /// A multicast group, or an address of this host.
        var endpoint: IPv4Endpoint
        var interface: String?
        var source: IPv4Address?
    }

    static let bufferBytes: Int32 = 16 << 20
    /// Packets in a batch, and batches taken before others get their turn.
    static let slots = 64
    static let batches = 4
    private static let firstRetry: Duration = .milliseconds(100)
    private static let longestRetry: Duration = .seconds(5)

    private(set) var counters = SourceCounters()
    private let path: Int
    private let address: Address
    private let loop: EventLoop
    private let log: EventLog
    private let batch: DatagramBatch
    private let worker: Worker
    private unowned let owner: any FeedSourceOwner
    private var retry: Timer?
    private var backoff = Backoff(first: MulticastSource.firstRetry, longest: MulticastSource.longestRetry)
    private var state = State.closed(reason: "not opened yet")
    private var droppedBefore: UInt64 = 0
    /// Why nothing is received, as it was told.
    private var toldTrouble: String?
    /// A socket that the worker was too busy to let go of.
    private var left: JoinedSocket?

    private enum State {
        case open(Opening)
        /// The worker is at it; `again`: something changed meanwhile.
        case joining(again: Bool)
        case closed(reason: String)
    }

    /// A joined socket on the loop.
    private final class Opening {
        let joined: JoinedSocket
        var source: IOSource?
        var hasCarrier = true

        init(_ joined: JoinedSocket) { self.joined = joined }
    }

    /// - Parameters:
    ///   - batch: shared by all sources of the loop.
    ///   - worker: joins and leaves groups: both wait for the kernel's network configuration lock, which
    ///     others may hold for long.
    init(
        _ loop: EventLoop, path: Int, address: Address, batch: DatagramBatch, worker: Worker,
        log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.loop = loop
        self.worker = worker
        self.path = path
        self.address = address
        self.batch = batch
        self.log = log
        self.owner = owner
        retry = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in open() }
    }

    deinit { leave() }

    var note: String? {
        switch state {
        case .open(let opening): opening.hasCarrier ? nil : "the link is down"
        case .joining: "joining"
        case .closed(let reason): reason
        }
    }

    // MARK: - Subscriptions: a group is joined at the start and stays joined

    func activate(_ topics: [WantedTopic]) {
        if case .closed = state { open() }
        owner.resubscribed(path)
    }

    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func rekey(_ keys: KeyPair) {}

    // MARK: - Opening

    /// Joins on the worker. A second socket of the same group would make the kernel send no new report: the
    /// old one goes first, there too, since leaving waits as joining does.
    private func open() {
        if case .joining = state {
            state = .joining(again: true)
            return
        }
        retry?.arm(at: nil)
        counters.attempts &+= 1
        counters.retryAfter = .zero
        let address = address
        let refused = worker.lend(
            Join(socket: letGo()), to: { $0.perform(address) },
            then: { [weak self, unowned worker = worker] _, join in
                if let self { return joined(&join) }
                if let socket = join.socket.take() { worker.letGo(of: consume socket) }
            })
        if let refused {
            defer { left = refused.socket }
            return fail(SystemError("join \(address.endpoint): the worker is busy", number: again))
        }
        state = .joining(again: false)
    }

    /// Takes the socket off the loop.
    private func letGo() -> JoinedSocket? {
        defer { left = nil }
        guard case .open(let opening) = state else { return left }
        opening.source = nil
        state = .closed(reason: "joining again")
        return opening.joined
    }

    /// Leaves the group, on the worker; where that is too busy, when it is tried again.
    private func leave() {
        if let old = letGo() { left = worker.letGo(of: consume old) }
    }

    private func joined(_ join: inout Join) {
        if case .joining(again: true) = state {
            state = .closed(reason: "joining again")
            left = join.socket.take()
            return open()
        }
        do throws(SystemError) {
            if let error = join.error { throw error }
            guard let socket = join.socket.take() else { return }
            let opening = Opening(socket)
            left = socket
            opening.source = try IOSource(loop, descriptor: opening.joined.socket.descriptor.raw) {
                [unowned self, unowned opening] in receive(opening.joined.socket)
            }
            succeed(opening)
        } catch {
            fail(error)
        }
    }

    private func succeed(_ opening: Opening) {
        if counters.connects > 0 {
            log(.pathReceivingAgain, "receiving on \(address.endpoint) again")
        }
        if counters.connects == 0 { warnOfBuffer(opening.joined.socket.receiveBufferBytes) }
        (state, left) = (.open(opening), nil)
        counters.connects &+= 1
        droppedBefore = counters.droppedByKernel
        backoff.reset()
        toldTrouble = nil
        owner.connected(path)
    }

    private func warnOfBuffer(_ reported: Int32) {
        guard let warning = MulticastSource.warning(ofBuffer: reported) else { return }
        log(.receiveBufferSmall, "\(address.endpoint): \(warning)")
    }

    /// What there is to say of a receive buffer as the kernel reports it: twice what it grants for payload.
    static func warning(ofBuffer reported: Int32) -> String? {
        let granted = reported / 2
        guard granted < bufferBytes else { return nil }
        return "the receive buffer is \(granted >> 10) KiB, not \(bufferBytes >> 10): bursts may be dropped; "
            + "raise net.core.rmem_max to \(bufferBytes)"
    }

    private func fail(_ error: SystemError) {
        let reason = error.description
        if toldTrouble != reason {
            toldTrouble = reason
            log(.pathNotReceiving, "cannot receive on \(address.endpoint): \(reason), trying again")
        }
        close(because: reason)
        counters.retryAfter = backoff.wait(random: .random(in: .min ... .max))
        retry?.arm(at: loop.now + counters.retryAfter)
    }

    private func close(because reason: String) {
        leave()
        state = .closed(reason: reason)
        owner.disconnected(path, because: reason)
    }

    // MARK: - Links

    func linkChanged(_ news: LinkNews?) {
        guard let name = address.interface else { return }
        if case .joining = state {
            // Others' news does not make it begin again: it might never come to its end.
            if news.map({ $0.index == Interface.index(of: name) }) ?? true { open() }
            return
        }
        guard case .open(let opening) = state else {
            // The interface may be back before the next try.
            if Interface.index(of: name) != nil { open() }
            return
        }
        let index = Interface.index(of: name)
        if index != opening.joined.interfaceIndex || news == nil {
            index == nil ? fail(SystemError("interface \(name)", number: noSuchDevice)) : open()
        } else if let news, news.index == opening.joined.interfaceIndex, news.isRunning != opening.hasCarrier
        {
            opening.hasCarrier = news.isRunning
            news.isRunning ? open() : owner.disconnected(path, because: "the link of \(name) is down")
        }
    }

    // MARK: - Packets

    private func receive(_ socket: borrowing UDPSocket) {
        defer { owner.drained(path) }
        let time = loop.time
        do throws(SystemError) {
            for _ in 0..<MulticastSource.batches {
                let count = try batch.receive(from: socket.descriptor) { take($0, at: time) }
                if count < MulticastSource.slots { return owner.emptied(path) }
            }
        } catch {
            counters.failures &+= 1
        }
    }

    private func take(_ datagram: Datagram, at time: LoopTime) {
        counters.packets &+= 1
        counters.bytes &+= UInt64(datagram.payload.count)
        if let dropped = datagram.dropped { counters.droppedByKernel = droppedBefore &+ UInt64(dropped) }
        guard !datagram.isTruncated else {
            counters.truncated &+= 1
            return
        }
        owner.received(datagram.payload, on: path, receivedAt: datagram.receivedAt ?? time.wall, at: time)
    }
}

/// What the worker does: a group is left and joined.
private struct Join: Sendable {
    /// The old one, and then the new one.
    var socket: JoinedSocket?
    var error: SystemError?

    mutating func perform(_ address: MulticastSource.Address) {
        socket = nil
        do throws(SystemError) {
            socket = try JoinedSocket(address)
        } catch {
            self.error = error
        }
    }
}

/// ENODEV and EAGAIN.
private let noSuchDevice: Int32 = 19
private let again: Int32 = 11

/// A socket that has joined its group; letting go of it leaves the group.
final class JoinedSocket: Sendable {
    let socket: UDPSocket
    /// The interface's index when it joined: another one later means another interface.
    let interfaceIndex: Int32?

    /// Opens, binds and joins; may wait for the kernel's network configuration lock.
    init(_ address: MulticastSource.Address) throws(SystemError) {
        var index: Int32?
        if let name = address.interface {
            guard let found = Interface.index(of: name) else {
                throw SystemError("interface \(name)", number: noSuchDevice)
            }
            index = found
        }
        let opened = try UDPSocket(receivingAt: address.endpoint, bufferBytes: MulticastSource.bufferBytes)
        if address.endpoint.address.isMulticast {
            try opened.join(
                address.endpoint.address, interfaceIndex: index, source: address.source)
        }
        socket = opened
        interfaceIndex = index
    }
}
