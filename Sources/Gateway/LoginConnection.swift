// A TCP connection with a login to one of a venue's servers, by the interface and from the address that were given. The
// client's machine decides; this shell connects, carries bytes, keeps time and tells each trouble once.
import Basics
import FeedProtocols
import Linux
import Reactor
import Wire

final class LoginConnection<Dialect: LoginDialect> {
    enum Event {
        case accepted
        case news(Dialect.News)
        /// It is over, and why; another attempt follows by itself.
        case closed(String)
        /// All is told that so many bytes, or the time, brought.
        case done(bytes: Int)
    }

    private(set) var machine: LoginMachine<Dialect>
    private let address: ServerAddress
    private let loop: EventLoop
    /// What cannot be done until it is in again, for a person; empty: that goes without saying.
    private let meanwhile: String
    private let log: EventLog
    private let onEvent: (Event) -> Void
    private var connection: StreamConnection?
    private var timer: Timer?
    private var toldTrouble: String?

    init(
        _ loop: EventLoop, _ lookUps: NameLookups, at address: ServerAddress,
        _ machine: LoginMachine<Dialect>,
        pieceBytes: Int = 4096, meanwhile: String = "", log: @escaping EventLog,
        onEvent: @escaping (Event) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.address = address
        self.machine = machine
        self.meanwhile = meanwhile
        self.log = log
        self.onEvent = onEvent
        // What has arrived is read before the server is called silent.
        timer = try Timer(loop, accuracy: .milliseconds(5), isLast: true) { [unowned self] in
            perform(self.machine.tick(at: self.loop.now))
        }
        connection = try StreamConnection(
            loop, lookUps, by: address.route, pieceBytes: pieceBytes
        ) { [unowned self] in heard($0) }
    }

    /// Why the server does not have us, for a person; `nil`: it does.
    var trouble: String? {
        machine.isUp ? nil : "\(address): \(machine.lastEnd?.description ?? "not connected")"
    }

    /// Nothing that had arrived waits to be read.
    var isEmptied: Bool { connection?.isEmptied ?? true }

    func start() { perform(machine.start()) }

    /// An interface changed; `nil`: any of them may have.
    func linkChanged(_ news: LinkNews?) {
        guard let name = address.route.interface, let index = Interface.index(of: name) else { return }
        if let news, news.index != index || !news.isRunning { return }
        perform(machine.hurry())
    }

    /// What the machine said may be sent.
    func send(_ bytes: [UInt8]) { connection?.send(bytes) }

    /// Lets the machine be asked for what its dialect adds.
    func withMachine<Answer>(_ body: (inout LoginMachine<Dialect>) -> Answer) -> Answer { body(&machine) }

    // MARK: - The machine's edge

    private func heard(_ event: StreamConnection.Event) {
        switch event {
        case .opened: perform(machine.opened(at: loop.now))
        case .received(let bytes): perform(machine.received(bytes, at: loop.now), bytes: bytes.count)
        case .closed(let why): perform(machine.closed(why, at: loop.now))
        }
    }

    private func perform(_ actions: [LoginAction<Dialect.News>], bytes: Int = 0) {
        for action in actions {
            switch action {
            case .connect: connection?.open(.tcp(host: address.host, port: address.port))
            case .send(let bytes): connection?.send(bytes)
            case .close(let why): closed(why)
            case .accepted:
                if toldTrouble != nil { log(.pathReceivingAgain, "logged in at \(address)") }
                toldTrouble = nil
                onEvent(.accepted)
            case .news(let news): onEvent(.news(news))
            }
        }
        timer?.arm(at: machine.deadline)
        onEvent(.done(bytes: bytes))
    }

    /// Each trouble once; it is tried again and again.
    private func closed(_ why: LoginEnd) {
        connection?.close()
        let trouble = why.description
        if trouble != toldTrouble {
            toldTrouble = trouble
            log(why.event, "\(address): \(trouble), trying again\(meanwhile)")
        }
        onEvent(.closed(trouble))
    }
}

/// Where a venue's server is, and how to get there.
struct ServerAddress: CustomStringConvertible {
    /// The kernel ends a connection when what was sent is not acknowledged for so long, our heartbeat of each second
    /// included: two to three seconds after it became half open. That nothing is heard tells it sooner.
    private static let endsAfter: Duration = .milliseconds(1500)

    var host: String
    var port: UInt16
    var route: StreamRoute

    /// - Parameters:
    ///   - interface: the only one to go by; `nil`: any.
    ///   - source: our own address; `nil`: the system's choice.
    init(host: String, port: UInt16, interface: String?, source: IPv4Address?) {
        (self.host, self.port) = (host, port)
        route = StreamRoute(interface: interface, source: source, endsAfter: ServerAddress.endsAfter)
    }

    var description: String { "\(host):\(port)" }
}

extension LoginEnd {
    fileprivate var event: JournalEvent {
        switch self {
        case .rejected: .loginRejected
        case .closed, .noAnswer, .silent, .over, .malformed, .unexpected: .pathNotReceiving
        }
    }
}
