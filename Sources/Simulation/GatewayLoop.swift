// The gateway's loop, as far as it shows. While the process does not run, stopped or on a host that is, all that comes
// waits in its sockets, within their bounds, and what it was to do in time is overdue. Afterwards each socket that has
// something has its turn, as often as it takes, in no order that anybody promised; what is done last is done then.
import Basics

final class GatewayLoop {
    private enum State {
        case present
        case away
        /// It runs again, and what came meanwhile is not read yet.
        case reading
    }

    /// A time when the gateway did not run.
    struct Absence {
        var since: Instant
        /// When all was read; `nil`: not yet.
        var readAt: Instant?
        /// How long it did not run; `nil`: it does not yet.
        var length: Duration?
    }

    /// Datagrams that fit in a socket's receive buffer, of 768 bytes each as the kernel counts small ones: the 16 MiB that
    /// are asked for, and what a host grants that nobody told to, twice for both.
    private static let rooms = [2 * 16 << 20, 2 * 212_992].map { $0 / 768 }

    private(set) var absence: Absence?
    /// Datagrams that fit in a socket.
    private(set) var room = GatewayLoop.rooms[0]
    private unowned let world: Simulation
    private var state = State.present
    /// Sockets that have something, in the order in which they are read.
    private var ready: [GatewaySocket] = []
    /// Those that nobody else holds, by name.
    private var sockets: [String: GatewaySocket] = [:]
    private var overdue: [() -> Void] = []
    /// What is read before others get their turn.
    private var most = 1
    /// Another number for each absence and each end of one.
    private var turn = 0

    init(_ world: Simulation) { self.world = world }

    var isPresent: Bool {
        if case .present = state { return true }
        return false
    }

    /// Whether it did not run at some time since then.
    func wasAway(since time: Instant) -> Bool {
        guard let absence else { return false }
        return absence.length.map { time <= absence.since + $0 } ?? true
    }

    // MARK: - What comes

    /// Something that the gateway is told, in the order of one source: now, or when it is read.
    func reads(from name: String, _ work: @escaping () -> Void) {
        if isPresent { return work() }
        let socket = sockets[name] ?? GatewaySocket(self, name)
        sockets[name] = socket
        socket.take(work)
    }

    /// Something whose time has come, but not before what is ready to be read.
    func readsFirst(_ work: @escaping () -> Void) { isPresent ? work() : overdue.append(work) }

    fileprivate func waits(_ socket: GatewaySocket) { ready.append(socket) }

    // MARK: - Absences

    func stop() {
        precondition(isPresent, "it runs")
        turn += 1
        state = .away
        absence = Absence(since: world.now)
        room = world.random.element(of: GatewayLoop.rooms)
    }

    /// Ends the absence that is.
    func goOn() {
        guard case .away = state, let since = absence?.since else { return }
        state = .reading
        absence?.length = world.now - since
        world.trace.say(
            world.now, "gateway",
            "runs again after \((world.now - since).inMilliseconds) ms, \(ready.count) sockets have something"
        )
        // In no order.
        for place in ready.indices.dropLast() {
            ready.swapAt(place, place + world.random.below(ready.count - place))
        }
        most = world.random.element(of: [16, 64, 256])
        if world.plan.defect == .ticksFirst { catchUp() }
        if world.plan.defect == .countsUnread { for feed in world.gateway.feeds { feed.repeatHeartbeat() } }
        readNext()
    }

    private func readNext() {
        guard !ready.isEmpty else { return finish() }
        let socket = ready.removeFirst()
        let (read, rest) = socket.read(atMost: most)
        let lost = socket.takeLost()
        world.trace.say(
            world.now, "gateway",
            "reads \(read) from \(socket.name)" + (rest > 0 ? ", \(rest) wait" : "")
                + (lost > 0 ? "; \(lost) found no room" : ""))
        if rest > 0, !ready.contains(where: { $0 === socket }) { ready.append(socket) }
        let busy = world.random.duration(.zero ... .microseconds(200))
        world.note(at: world.now + busy) { [self, turn] in if turn == self.turn { readNext() } }
    }

    private func finish() {
        state = .present
        sockets = [:]
        absence?.readAt = world.now
        catchUp()
    }

    private func catchUp() {
        let due = overdue
        overdue = []
        for work in due { work() }
    }

    /// The process has ended, and what waited is lost with it.
    func end() {
        turn += 1
        (state, absence) = (.present, nil)
        for socket in ready { socket.removeAll() }
        (ready, sockets, overdue) = ([], [:], [])
    }
}

/// What comes for the gateway from one place, in order.
final class GatewaySocket {
    let name: String
    private unowned let loop: GatewayLoop
    private var waiting: [() -> Void] = []
    private var lost = 0
    private let endOfTurn: (_ isEmptied: Bool) -> Void

    /// - Parameter endOfTurn: something was read; whether nothing is left.
    init(_ loop: GatewayLoop, _ name: String, endOfTurn: @escaping (_ isEmptied: Bool) -> Void = { _ in }) {
        self.loop = loop
        self.name = name
        self.endOfTurn = endOfTurn
    }

    /// It is taken now, or waits.
    func take(_ work: @escaping () -> Void) {
        guard !loop.isPresent else {
            work()
            return endOfTurn(true)
        }
        if waiting.isEmpty { loop.waits(self) }
        waiting.append(work)
    }

    /// Whether one more fits; if not, it is lost.
    func hasRoom(for most: Int) -> Bool {
        if waiting.count < most { return true }
        lost += 1
        return false
    }

    fileprivate func takeLost() -> Int {
        defer { lost = 0 }
        return lost
    }

    /// How many were read, and how many are left.
    fileprivate func read(atMost most: Int) -> (read: Int, rest: Int) {
        let turn = waiting.prefix(most)
        waiting.removeFirst(turn.count)
        for work in turn { work() }
        endOfTurn(waiting.isEmpty)
        return (turn.count, waiting.count)
    }

    func removeAll() { waiting = [] }
}
