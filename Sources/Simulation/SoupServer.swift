// A venue's SoupBinTCP server of one path: it lets the gateway in, sends what it was asked for and what follows, and says
// each second that it lives. It freezes, rejects, does not answer, and writes what is no packet. It knows what came in
// whole at the gateway's end, and so where a client has to go on.
import Basics
import FeedProtocols
import Wire

final class SoupServer {
    /// Messages that are sent at a time.
    private static let burst = 500
    private static let heartbeatEvery: Duration = .seconds(1)
    /// Where a client begins: with all of the current session.
    private static let start = SoupPosition(next: 1)

    /// What a packet is to a client that has it whole.
    private enum Mark {
        case accepted(SoupPosition)
        case sessionNotAvailable
        case message(TrueMessage)
        /// A sign of life.
        case sign
        case other
    }

    /// One connection, as the server sees it.
    private struct Connection {
        var decoder = SoupDecoder()
        /// The numbering that is served, and the number that comes next; `nil`: not let in, or no longer.
        var place: (generation: Int, next: UInt64)?
        /// What was written, and where each packet ends.
        var marks: [(end: Int, mark: Mark)] = []
        var written = 0
        var arrived = 0
        var arrivedMarks = 0
        var lastSaid: Instant
        /// Nothing passes any more, and nobody says so.
        var isSevered = false
        /// What was written makes no sense from some place on.
        var isSpoiled = false
        /// The client goes on from another session, finds this one, and will begin anew.
        var isForeign = false
        var isPumping = false
    }

    /// It does not react at all; it does not answer logins; it rejects them.
    var frozen = 0
    var deaf = 0
    var rejecting = 0
    /// It does not know its session by name, and says so once.
    var hasForgotten = false
    /// A byte of what it says next is another one when it arrives.
    var willSpoil = false
    /// Since when the client is let in, and nothing stands in the way.
    private(set) var acceptedAt: Instant?
    /// When a client last lost its connection for a reason.
    private(set) var droppedAt = Instant.zero
    private unowned let world: Simulation
    private unowned let path: SimulatedPath
    private var connection: Connection?
    /// Where the next login must ask to go on.
    private var expected = SoupServer.start
    /// The epoch that an earlier run of the gateway stopped in, until a login is answered.
    private var resumed: UInt64?

    init(_ world: Simulation, _ path: SimulatedPath) {
        self.world = world
        self.path = path
    }

    private var venue: Venue { path.venue }
    private var current: Int { venue.generations.count - 1 }
    private var isStuck: Bool { frozen > 0 || venue.isFrozen }
    private var isLetIn: Bool { connection?.place != nil && connection?.isSpoiled == false }

    /// Since when the path can be expected to bring everything, if nothing was wrong since then; `nil`: not yet.
    func steady(since sound: Instant, wayBack: Duration, at now: Instant) -> Instant? {
        let back = max(sound, droppedAt) + wayBack
        if let acceptedAt { return min(max(sound, acceptedAt), back) }
        return back <= now ? back : nil
    }

    // MARK: - Connections

    /// Another run of the gateway begins.
    func expect(_ memory: (epoch: UInt64, next: UInt64)?) {
        resumed = memory?.epoch
        expected = memory.map { SoupPosition(next: $0.next) } ?? SoupServer.start
        droppedAt = world.now
    }

    func connected() { connection = Connection(lastSaid: world.now) }

    func closed() { (connection, acceptedAt) = (nil, nil) }

    /// From now on nothing passes on the connection that there is, in either direction.
    func sever() {
        connection?.isSevered = true
        dropped()
    }

    /// It reacts again: whoever gave up meanwhile comes back.
    func thaws() { if acceptedAt == nil { droppedAt = world.now } else { work() } }

    private func dropped() { (acceptedAt, droppedAt) = (nil, world.now) }

    // MARK: - What the gateway says

    func receive(_ bytes: [UInt8]) {
        connection?.decoder.feed(bytes)
        work()
    }

    private func work() {
        guard !isStuck else { return }
        do throws(MalformedInput) {
            while let packet = try connection?.decoder.next() { take(packet) }
        } catch {
            world.checker.violated(.delivery, "\(path.place) says what is no SoupBinTCP: \(error)")
        }
        pump()
    }

    private func take(_ packet: SoupPacket) {
        switch packet {
        case .login(let login): answer(login)
        case .clientHeartbeat, .logout: break
        case .debug, .accepted, .rejected, .sequenced, .unsequenced, .serverHeartbeat, .endOfSession:
            world.checker.violated(.delivery, "\(path.place) says what only a server says: \(packet)")
        }
    }

    private func answer(_ login: SoupLogin) {
        if login.position != expected {
            world.checker.violated(
                .delivery,
                "\(path.place) asks to go on at \(login.position.next) of “\(login.position.session)”, and has all before \(expected.next) of “\(expected.session)”"
            )
        }
        if deaf > 0 { return dropped() }
        let isOther = rejecting > 0 && world.random.chance(0.5)
        let isKnown = [MoldSession(""), MoldSession(venue.current.session)].contains(login.position.session)
        guard rejecting == 0, !hasForgotten, isKnown else {
            hasForgotten = false
            return reject(isOther ? .other(UInt8(ascii: "X")) : .sessionNotAvailable)
        }
        let end = UInt64(venue.current.messages.count) + 1
        let place = SoupPosition(
            session: MoldSession(venue.current.session), next: min(max(login.position.next, 1), end))
        connection?.place = (current, place.next)
        connection?.isForeign = resumed.map { $0 != venue.current.sessionEpoch } ?? false
        write(.accepted(place), .accepted(place))
        acceptedAt = connection?.isSevered == true ? nil : world.now
    }

    private func reject(_ why: SoupRejection) {
        write(.rejected(why), why == .sessionNotAvailable ? .sessionNotAvailable : .other)
        dropped()
    }

    // MARK: - What the venue says

    func say(_ word: VenueWord) {
        work()
        guard !isStuck, isLetIn else { return }
        switch word {
        case .messages, .idle: break
        case .heartbeat:
            if let said = connection?.lastSaid, world.now - said > SoupServer.heartbeatEvery * 3 / 4 {
                beat()
            }
        case .endOfSession: endSession()
        }
    }

    private func beat() {
        switch world.random.below(20) {
        case 0: write(.debug([0x3F]), .other)
        case 1: write(.unsequenced([0x3F]), .sign)
        default: break
        }
        write(.serverHeartbeat, .sign)
    }

    /// What is new, or was asked for, some of it at a time.
    private func pump() {
        guard isLetIn else { return }
        if willSpoil { return spoil() }
        guard let place = connection?.place else { return }
        guard place.generation == current else { return turn() }
        let messages = venue.current.messages
        send(Int(place.next - 1)..<min(messages.count, Int(place.next - 1) + SoupServer.burst))
        guard let next = connection?.place?.next, next <= messages.count, connection?.isPumping == false
        else { return }
        connection?.isPumping = true
        world.note(at: world.now + .milliseconds(1)) { [self, number = path.connection] in
            guard number == path.connection else { return }
            connection?.isPumping = false
            work()
        }
    }

    private func send(_ range: Range<Int>) {
        guard let generation = connection?.place?.generation, !range.isEmpty else { return }
        let messages = venue.generations[generation].messages[range]
        connection?.place?.next = UInt64(range.upperBound) + 1
        write(messages.map { (.sequenced($0.payload[...]), .message($0)) })
    }

    /// Another session is there: some servers end the one before, others are made anew.
    private func turn() {
        guard world.random.chance(0.5) else {
            dropped()
            path.lost?()
            return
        }
        endSession()
    }

    private func endSession() {
        guard let place = connection?.place else { return }
        send(Int(place.next - 1)..<venue.generations[place.generation].messages.count)
        write(.endOfSession, .sign)
        connection?.place = nil
        dropped()
    }

    // MARK: - Writing

    /// Where a packet was there is a type that is none, or a length that is none.
    private func spoil() {
        guard connection?.isSevered == false else { return }
        path.carry(world.random.chance(0.5) ? [0, 1, 0x78] : [0, 0])
        connection?.isSpoiled = true
        willSpoil = false
        dropped()
    }

    private func write(_ packet: SoupPacket, _ mark: Mark) { write([(packet, mark)]) }

    private func write(_ packets: [(SoupPacket, Mark)]) {
        guard var connection, !connection.isSevered, !connection.isSpoiled else { return }
        var bytes: [UInt8] = []
        for (packet, mark) in packets {
            bytes += packet.bytes
            connection.marks.append((connection.written + bytes.count, mark))
        }
        connection.written += bytes.count
        connection.lastSaid = world.now
        self.connection = connection
        path.carry(bytes)
    }

    /// So many bytes came to the gateway's end: what they bring in whole.
    func arrived(_ count: Int) -> Evidence? {
        guard var connection else { return nil }
        connection.arrived += count
        var evidence: Evidence?
        while connection.arrivedMarks < connection.marks.count,
            connection.marks[connection.arrivedMarks].end <= connection.arrived
        {
            note(connection.marks[connection.arrivedMarks].mark, connection.isForeign, &evidence)
            connection.arrivedMarks += 1
        }
        self.connection = connection
        return evidence
    }

    private func note(_ mark: Mark, _ isForeign: Bool, _ evidence: inout Evidence?) {
        switch mark {
        case .accepted(let place):
            resumed = nil
            expected = isForeign ? SoupServer.start : place
            if isForeign { return dropped() }
        case .sessionNotAvailable:
            (expected, resumed) = (SoupServer.start, nil)
            return
        case .message, .sign: break
        case .other: return
        }
        guard !isForeign else { return }
        let generation =
            venue.generations.lastIndex { MoldSession($0.session) == expected.session } ?? current
        var known = evidence ?? Evidence(generation: generation, messages: [])
        if case .message(let message) = mark {
            expected.next = message.sequence + 1
            known.messages.append(message)
        }
        evidence = known
    }
}
