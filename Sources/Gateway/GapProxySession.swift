// The connection to one of a venue's Gap Request Proxies, by the interface and from the address that were given. The
// client's machine decides; this shell connects, carries bytes and keeps time.
import Basics
import FeedProtocols
import Linux
import Reactor
import Wire

final class GapProxySession {
    private(set) var machine: GapProxyMachine
    private let address: SoupSource.Address
    private let loop: EventLoop
    private let log: EventLog
    private let onResponse: (GapResponse) -> Void
    private var connection: StreamConnection?
    private var timer: Timer?
    private var toldTrouble: String?

    init(
        _ loop: EventLoop, _ worker: Worker, at address: SoupSource.Address, options: GapProxyOptions,
        log: @escaping EventLog, onResponse: @escaping (GapResponse) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.address = address
        self.log = log
        self.onResponse = onResponse
        machine = GapProxyMachine(options: options)
        timer = try Timer(loop, accuracy: .milliseconds(5)) { [unowned self] in
            perform(machine.tick(at: self.loop.now))
        }
        connection = try StreamConnection(loop, worker, by: address.route) { [unowned self] in heard($0) }
    }

    private var server: String { "\(address.host):\(address.port)" }

    /// Why it cannot be asked, for a person; `nil`: it can.
    var trouble: String? {
        machine.isUp ? nil : "\(server): \(machine.lastEnd?.description ?? "not connected")"
    }

    func start() { perform(machine.start()) }

    func linkChanged(_ news: LinkNews?) {
        guard let name = address.route.interface, let index = Interface.index(of: name) else { return }
        guard let news else { return perform(machine.hurry()) }
        if news.index == index, news.isRunning { perform(machine.hurry()) }
    }

    func ask(_ request: [UInt8]) -> AskOutcome {
        switch machine.ask(at: loop.now) {
        case .now: connection?.send(request)
        case .unreachable: return .failed
        case .notBefore(let end): return .notBefore(end)
        }
        return machine.isUp ? .sent : .failed
    }

    private func heard(_ event: StreamConnection.Event) {
        switch event {
        case .opened: perform(machine.opened(at: loop.now))
        case .received(let bytes): perform(machine.received(bytes, at: loop.now))
        case .closed(let why): perform(machine.closed(why, at: loop.now))
        }
    }

    private func perform(_ actions: [GapProxyAction]) {
        for action in actions {
            switch action {
            case .connect: connection?.open(.tcp(host: address.host, port: address.port))
            case .send(let bytes): connection?.send(bytes)
            case .close(let why): closed(why)
            case .accepted:
                if toldTrouble != nil { log(.pathReceivingAgain, "logged in at \(server)") }
                toldTrouble = nil
            case .answered(let response): onResponse(response)
            }
        }
        timer?.arm(at: machine.deadline)
    }

    /// Each trouble once; it is tried again and again.
    private func closed(_ why: GapProxyEnd) {
        connection?.close()
        let trouble = why.description
        guard trouble != toldTrouble else { return }
        toldTrouble = trouble
        log(
            GapProxySession.event(of: why),
            "\(server): \(trouble), trying again; until then nothing can be asked for there")
    }

    private static func event(of why: GapProxyEnd) -> JournalEvent {
        switch why {
        case .rejected: .loginRejected
        case .closed, .noAnswer, .silent, .malformed, .unexpected: .pathNotReceiving
        }
    }
}
