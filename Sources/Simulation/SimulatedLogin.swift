// A connection with a login to one of a venue's servers, as LoginConnection is for sockets: the production's machine
// decides; this shell connects, carries bytes and keeps time, and forgets what was under way on an earlier connection.
import Basics
import FeedProtocols

/// What a login goes over: the network, and the server at its end.
protocol SimulatedRoute: AnyObject {
    /// How long the next attempt takes to get to the server.
    func timeThere() -> Duration
    /// Where this end stands, for people.
    var place: String { get }
    /// Why an attempt that gets there now fails, and how much later that is known; `nil`: the server takes it.
    var obstacle: (why: String, knownAfter: Duration)? { get }
    /// The connection stands.
    func connected()
    /// The gateway's bytes set out.
    func send(_ bytes: [UInt8])
    /// The connection is over, if there was one.
    func closed()
    /// What had come is read.
    func emptied()
}

final class SimulatedLogin<Dialect: LoginDialect> {
    enum Event {
        case accepted
        case news(Dialect.News)
        /// It is over, and why; another attempt follows by itself.
        case closed(LoginEnd)
        /// All is told that bytes, or the time, brought.
        case done
    }

    private(set) var machine: LoginMachine<Dialect>
    private unowned let world: Simulation
    private unowned let route: any SimulatedRoute
    private let onEvent: (Event) -> Void
    private lazy var socket = GatewaySocket(world.gateway.loop, route.place) { [unowned self] in
        if $0 { self.route.emptied() }
    }
    /// The gateway runs.
    private var isOpen = true
    private var isConnected = false
    /// Another number for each attempt: what was under way on an earlier one is lost.
    private var attempt = 0
    private var wake = 0

    init(
        _ world: Simulation, over route: any SimulatedRoute, _ machine: LoginMachine<Dialect>,
        onEvent: @escaping (Event) -> Void
    ) {
        self.world = world
        self.route = route
        self.machine = machine
        self.onEvent = onEvent
    }

    func start() { perform(machine.start()) }

    /// The gateway has ended.
    func close() {
        isOpen = false
        socket.removeAll()
        letGo()
    }

    /// Another try would succeed.
    func restored() {
        world.gateway.loop.reads(from: "the links") { [weak self] in
            if let self, isOpen { perform(machine.hurry()) }
        }
    }

    /// The network or the server ended the connection, and says so; the gateway hears of it behind what came before.
    func lost() {
        guard isOpen, isConnected else { return }
        route.closed()
        reads { $0.failed("connection reset") }
    }

    /// Bytes came.
    ///
    /// - Parameter areRead: they are about to be taken by the machine.
    func received(_ bytes: some Collection<UInt8>, areRead: @escaping () -> Void = {}) {
        reads { [bytes = Array(bytes)] in
            areRead()
            $0.perform($0.machine.received(bytes, at: $0.world.now))
        }
    }

    /// Lets the machine be asked for what its dialect adds.
    func withMachine<Answer>(_ body: (inout LoginMachine<Dialect>) -> Answer) -> Answer { body(&machine) }

    /// Does something at the other end after a while, unless this attempt is over by then.
    func later(_ wait: Duration, _ work: @escaping (SimulatedLogin) -> Void) {
        world.note(at: world.now + wait) { [weak self, attempt] in
            guard let self, isOpen, attempt == self.attempt else { return }
            work(self)
        }
    }

    /// The gateway hears of something, unless this attempt is over by then.
    private func reads(_ work: @escaping (SimulatedLogin) -> Void) {
        socket.take { [weak self, attempt] in
            guard let self, isOpen, attempt == self.attempt else { return }
            work(self)
        }
    }

    // MARK: - The machine's edge

    private func perform(_ actions: [LoginAction<Dialect.News>]) {
        for action in actions {
            switch action {
            case .connect: connect()
            case .send(let bytes): route.send(bytes)
            case .close(let why):
                letGo()
                onEvent(.closed(why))
            case .accepted: onEvent(.accepted)
            case .news(let news): onEvent(.news(news))
            }
        }
        onEvent(.done)
        wakeUp()
    }

    private func wakeUp() {
        wake += 1
        guard let due = machine.deadline else { return }
        world.note(at: max(due, world.now)) { [weak self, wake] in
            self?.world.gateway.loop.readsFirst { [weak self] in
                guard let self, isOpen, wake == self.wake else { return }
                perform(machine.tick(at: world.now))
            }
        }
    }

    private func connect() {
        attempt += 1
        later(route.timeThere()) { $0.reads { $0.arrived() } }
    }

    private func arrived() {
        guard let (why, knownAfter) = route.obstacle else { return reached() }
        knownAfter > .zero ? later(knownAfter) { $0.reads { $0.failed(why) } } : failed(why)
    }

    private func reached() {
        isConnected = true
        route.connected()
        perform(machine.opened(at: world.now))
    }

    private func failed(_ why: String) { perform(machine.closed(why, at: world.now)) }

    private func letGo() {
        attempt += 1
        isConnected = false
        route.closed()
    }
}
