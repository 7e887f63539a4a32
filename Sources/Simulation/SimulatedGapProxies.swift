// The gateway's way to a venue's Gap Request Proxies, as GapProxySource and LoginConnection are for sockets: the
// production's clients log in, its desk keeps the quota, and what comes by multicast goes to the feed.
import Basics
import Configuration
import FeedProtocols
import Gateway

final class SimulatedGapProxies: SimulatedRecovery {
    /// One proxy, as the gateway sees it.
    private struct Link {
        let server: GapProxyServer
        let delay: Duration
        var machine: GapProxyMachine
        /// Another number for each attempt: what was under way on an earlier one is lost.
        var connection = 0
        var isConnected = false
        var wake = 0
    }

    /// What a proxy will not serve at any time, and said so before it was given up.
    private struct Refusal {
        var server: Int
        var numbers: ClosedRange<UInt64>
    }

    private unowned let world: Simulation
    private unowned let feed: FeedOfWorld
    private unowned let owner: SimulatedFeed
    private let index: Int
    private var desk: GapProxyDesk
    private var links: [Link]
    private var isOpen = true
    private var asked: [Instant] = []
    private var pending: [(server: Int, request: GapRequest, at: Instant)] = []
    private var refusals: [Refusal] = []

    init(_ world: Simulation, _ index: Int, _ owner: SimulatedFeed) {
        self.world = world
        self.index = index
        self.owner = owner
        feed = world.feeds[index]
        desk = GapProxyDesk(feed.options.recover)
        links = feed.proxies.map { server in
            Link(
                server: server, delay: world.random.duration(.microseconds(50) ... .milliseconds(3)),
                machine: GapProxyMachine(
                    VenueLogin(session: "0001", user: "me", password: "secret"), seed: world.random.next()))
        }
    }

    func open() {
        feed.gapArrival = { [weak self] bytes, evidence in
            guard let self else { return }
            world.checker.recovered(evidence, of: index)
            owner.recovered(bytes, from: nil)
        }
        for link in links.indices {
            links[link].server.hangUp = { [weak self] in self?.lost(link) }
            perform(links[link].machine.start(), link)
        }
    }

    func close() {
        isOpen = false
        feed.gapArrival = nil
        for link in links.indices {
            links[link].server.hangUp = nil
            letGo(link)
        }
    }

    // MARK: - Asking

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        let outcome = desk.ask(&links[server].machine, at: world.now)
        guard outcome == .sent else { return outcome }
        desk.sent(at: world.now)
        check(request, server)
        send(request, server)
        wakeUp(server)
        return .sent
    }

    private func check(_ bytes: [UInt8], _ server: Int) {
        var decoder = GapProxyDecoder()
        decoder.feed(bytes)
        guard case .request(let request)? = try? decoder.next() else {
            return world.checker.violated(.quota, "a request is none")
        }
        pending.append((server, request, world.now))
        asked.append(world.now)
        asked.removeAll { world.now - $0 >= .seconds(60) }
        let options = feed.options.recover
        let lately = asked.count { world.now - $0 < .seconds(1) }
        if lately > options.requestsPerSecond || asked.count > options.requestsPerMinute ?? .max {
            world.checker.violated(
                .quota, "\(lately) requests in a second, \(asked.count) in a minute, and fewer are allowed")
        }
        if let known = refusals.first(where: {
            $0.server == server && $0.numbers.overlaps(request.numbers)
        }) {
            world.checker.violated(
                .quota,
                "asks \(links[server].server.name) for \(request.numbers), and was refused \(known.numbers) for good"
            )
        }
    }

    private func answered(_ response: GapResponse, by server: Int) {
        guard var rejection = RequestRejection(response) else { return }
        note(response, isFinal: rejection.isFinal, server)
        if world.plan.defect == .asksAgain { rejection.isFinal = false }
        owner.rejected(rejection, by: server)
    }

    /// A word that comes too late is not heard: the request was given up.
    private func note(_ response: GapResponse, isFinal: Bool, _ server: Int) {
        guard let place = pending.firstIndex(where: { $0.server == server && $0.request == response.request })
        else { return }
        let at = pending.remove(at: place).at
        guard isFinal, world.now - at < feed.options.recover.answerWithin else { return }
        refusals.append(Refusal(server: server, numbers: response.request.numbers))
    }

    // MARK: - The machines' edge

    private func perform(_ actions: [GapProxyMachine.Action], _ link: Int) {
        for action in actions {
            switch action {
            case .connect: connect(link)
            case .send(let bytes): send(bytes, link)
            case .close(let why):
                world.trace.say(world.now, links[link].server.name, "closes: \(why)")
                letGo(link)
            case .accepted: world.trace.say(world.now, links[link].server.name, "is let in")
            case .news(let response): answered(response, by: link)
            }
        }
        wakeUp(link)
    }

    private func wakeUp(_ link: Int) {
        links[link].wake += 1
        guard let due = links[link].machine.deadline else { return }
        world.note(at: max(due, world.now)) { [weak self, wake = links[link].wake] in
            guard let self, isOpen, wake == links[link].wake else { return }
            perform(links[link].machine.tick(at: world.now), link)
        }
    }

    /// Does something after the way there or back, unless the connection is another one by then.
    private func later(_ link: Int, _ work: @escaping (SimulatedGapProxies) -> Void) {
        world.note(at: world.now + links[link].delay) {
            [weak self, connection = links[link].connection] in
            guard let self, isOpen, connection == links[link].connection else { return }
            work(self)
        }
    }

    private func connect(_ link: Int) {
        links[link].connection += 1
        later(link) { $0.reached(link) }
    }

    private func reached(_ link: Int) {
        let server = links[link].server
        guard !server.isRefusing else {
            return perform(links[link].machine.closed("connection refused", at: world.now), link)
        }
        links[link].isConnected = true
        server.connected { [weak self] bytes in
            self?.later(link) { $0.perform($0.links[link].machine.received(bytes, at: $0.world.now), link) }
        }
        perform(links[link].machine.opened(at: world.now), link)
    }

    private func send(_ bytes: [UInt8], _ link: Int) { later(link) { $0.links[link].server.receive(bytes) } }

    private func lost(_ link: Int) {
        guard isOpen, links[link].isConnected else { return }
        perform(links[link].machine.closed("connection reset", at: world.now), link)
    }

    private func letGo(_ link: Int) {
        links[link].connection += 1
        links[link].isConnected = false
        links[link].server.closed()
    }
}

extension GapRequest {
    fileprivate var numbers: ClosedRange<UInt64> {
        UInt64(first)...(UInt64(first) + UInt64(max(count, 1)) - 1)
    }
}
