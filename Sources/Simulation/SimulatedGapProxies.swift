// The gateway's way to a venue's Gap Request Proxies, as GapProxySource is for sockets: the production's clients log in,
// its desk keeps the quota, and what comes by multicast goes to the feed.
import Basics
import Configuration
import FeedProtocols
import Gateway

final class SimulatedGapProxies: SimulatedRecovery {
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
    private var links: [GapProxyLink] = []
    private var asked = RecentCount()
    private var pending: [(server: Int, request: GapRequest, at: Instant)] = []
    private var refusals: [Refusal] = []

    init(_ world: Simulation, _ index: Int, _ owner: SimulatedFeed) {
        self.world = world
        self.index = index
        self.owner = owner
        feed = world.feeds[index]
        desk = GapProxyDesk(owner.options.recover)
        links = feed.proxies.enumerated().map { number, server in
            GapProxyLink(world, server) { [unowned self] in answered($0, by: number) }
        }
    }

    func open() {
        feed.gapArrival = { [weak self] bytes, evidence in
            guard let self else { return }
            world.checker.recovered(evidence, of: index)
            owner.recovered(bytes, from: nil)
        }
        for link in links { link.open() }
    }

    func close() {
        feed.gapArrival = nil
        for link in links { link.close() }
    }

    // MARK: - Asking

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        let outcome = links[server].ask(&desk)
        guard outcome == .sent else { return outcome }
        desk.sent(at: world.now)
        check(request, server)
        links[server].send(request)
        return .sent
    }

    private func check(_ bytes: [UInt8], _ server: Int) {
        var decoder = GapProxyDecoder()
        decoder.feed(bytes)
        guard case .request(let request)? = try? decoder.next() else {
            return world.checker.violated(.quota, "a request is none")
        }
        pending.append((server, request, world.now))
        countRequest()
        if let known = refusals.first(where: {
            $0.server == server && $0.numbers.overlaps(request.numbers)
        }) {
            world.checker.violated(
                .quota,
                "asks \(links[server].server.name) for \(request.numbers), and was refused \(known.numbers) for good"
            )
        }
    }

    private func countRequest() {
        let options = feed.options.recover
        asked.add(at: world.now)
        let second = asked.inLast(.seconds(1), at: world.now)
        let minute = asked.inLast(.seconds(60), at: world.now)
        if second > options.requestsPerSecond || minute > options.requestsPerMinute ?? .max {
            world.checker.violated(
                .quota, "\(second) requests in a second, \(minute) in a minute, and fewer are allowed")
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
}

/// The connection to one proxy.
private final class GapProxyLink: SimulatedRoute {
    let server: GapProxyServer
    private var login: SimulatedLogin<GapProxyDialect>?
    private unowned let world: Simulation
    private let delay: Duration
    private let onAnswer: (GapResponse) -> Void

    init(_ world: Simulation, _ server: GapProxyServer, onAnswer: @escaping (GapResponse) -> Void) {
        self.world = world
        self.server = server
        self.onAnswer = onAnswer
        delay = world.random.duration(.microseconds(50) ... .milliseconds(3))
        let machine = GapProxyMachine(
            VenueLogin(session: "0001", user: "me", password: "secret"), seed: world.random.next())
        login = SimulatedLogin(world, over: self, machine) { [unowned self] in heard($0) }
    }

    func open() {
        server.hangUp = { [weak self] in self?.login?.lost() }
        login?.start()
    }

    func close() {
        server.hangUp = nil
        login?.close()
    }

    /// Whether it may be asked now.
    func ask(_ desk: inout GapProxyDesk) -> AskOutcome {
        login?.withMachine { desk.ask(&$0, at: world.now) } ?? .failed
    }

    private func heard(_ event: SimulatedLogin<GapProxyDialect>.Event) {
        switch event {
        case .accepted: world.trace.say(world.now, server.name, "is let in")
        case .news(let response): onAnswer(response)
        case .closed(let why): world.trace.say(world.now, server.name, "closes: \(why)")
        case .done: break
        }
    }

    // MARK: - The way to the server

    var place: String { server.name }

    func timeThere() -> Duration { delay }

    var obstacle: (why: String, knownAfter: Duration)? {
        server.isRefusing ? ("connection refused", .zero) : nil
    }

    func connected() {
        server.connected { [weak self] bytes in
            guard let self else { return }
            login?.later(delay) { $0.received(bytes) }
        }
    }

    func send(_ bytes: [UInt8]) { login?.later(delay) { [server] _ in server.receive(bytes) } }

    func closed() { server.closed() }

    func emptied() {}
}

extension GapRequest {
    fileprivate var numbers: ClosedRange<UInt64> {
        UInt64(first)...(UInt64(first) + UInt64(max(count, 1)) - 1)
    }
}
