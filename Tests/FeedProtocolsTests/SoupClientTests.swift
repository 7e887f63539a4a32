// Dialogues with a SoupBinTCP client: what comes over the wire, what the shell is told to do.
import Basics
import FeedProtocols
import Testing

private struct SoupDialogue {
    var machine: SoupClientMachine
    private var now = Instant(nanoseconds: 1_000_000_000)

    init(deadAfter: Duration = .milliseconds(1500), resume: (epoch: UInt64, next: UInt64)? = nil) {
        machine = SoupClientMachine(
            SoupDialect(user: "me", password: "secret", resume: resume), LoginTimes(deadAfter: deadAfter))
    }

    mutating func start() -> [String] { lines(machine.start()) }
    mutating func opened() -> [String] { lines(machine.opened(at: now)) }
    mutating func closed() -> [String] { lines(machine.closed("reset", at: now)) }
    mutating func hurry() -> [String] { lines(machine.hurry()) }

    mutating func receive(_ packets: SoupPacket...) -> [String] {
        lines(machine.received(packets.flatMap(\.bytes), at: now))
    }

    mutating func receive(bytes: [UInt8]) -> [String] { lines(machine.received(bytes, at: now)) }

    mutating func pass(_ milliseconds: Int64) -> [String] {
        now = now + .milliseconds(milliseconds)
        guard let deadline = machine.deadline, deadline <= now else { return [] }
        return lines(machine.tick(at: now))
    }

    /// Connects and is let in.
    mutating func open(at next: UInt64 = 1, session: String = "S1") -> [String] {
        _ = start()
        _ = opened()
        return receive(accepted(next, session: session))
    }

    func accepted(_ next: UInt64, session: String = "S1") -> SoupPacket {
        .accepted(SoupPosition(session: MoldSession(session), next: next))
    }

    private func lines(_ actions: [SoupClientMachine.Action]) -> [String] { actions.map(line) }

    private func line(_ action: SoupClientMachine.Action) -> String {
        switch action {
        case .connect: return "connect"
        case .send(let bytes):
            var decoder = SoupDecoder()
            decoder.feed(bytes)
            guard case .login(let login)? = try? decoder.next() else {
                return bytes == SoupPacket.clientHeartbeat.bytes ? "send heartbeat" : "send \(bytes)"
            }
            return "login \(login.user) for \(login.position.session) at \(login.position.next)"
        case .close(let why): return "close: \(why)"
        case .accepted: return "accepted"
        case .news(.begins(let position)): return "begins in \(position.session) at \(position.next)"
        case .news(.message(let sequence, let bytes)):
            return "message \(sequence) \(String(decoding: bytes, as: UTF8.self))"
        case .news(.heartbeat(let next)): return "heartbeat, next \(next)"
        case .news(.sessionEnded(let next)): return "ended, next \(next)"
        }
    }
}

private func data(_ text: String) -> SoupPacket { .sequenced(Array(text.utf8)[...]) }

@Suite struct SoupClientTests {
    @Test func `it logs in at the start of the current session and counts what comes`() {
        var dialogue = SoupDialogue()
        #expect(dialogue.start() == ["connect"])
        #expect(dialogue.opened() == ["login me for  at 1"])
        #expect(dialogue.receive(dialogue.accepted(1)) == ["accepted", "begins in S1 at 1"])
        #expect(dialogue.receive(data("a"), data("b")) == ["message 1 a", "message 2 b"])
        #expect(dialogue.receive(.serverHeartbeat) == ["heartbeat, next 3"])
    }

    @Test func `what is not sequenced advances no count`() {
        var dialogue = SoupDialogue()
        _ = dialogue.open()
        #expect(
            dialogue.receive(.unsequenced([1]), .debug([2]), data("a")) == [
                "heartbeat, next 1", "message 1 a",
            ])
        #expect(dialogue.machine.dialect.unsequenced == 1)
    }

    @Test func `after a loss it goes on where it stopped`() {
        var dialogue = SoupDialogue()
        _ = dialogue.open()
        _ = dialogue.receive(data("a"), data("b"))
        #expect(dialogue.closed() == ["close: reset"])
        #expect(dialogue.pass(150) == ["connect"])
        #expect(dialogue.opened() == ["login me for S1 at 3"])
        #expect(
            dialogue.receive(dialogue.accepted(3), data("c")) == [
                "accepted", "begins in S1 at 3", "message 3 c",
            ])
    }

    @Test func `it goes on where an earlier run stopped`() {
        var dialogue = SoupDialogue(resume: (MoldSession("S1").epoch, 40))
        _ = dialogue.start()
        #expect(dialogue.opened() == ["login me for  at 40"])
        #expect(
            dialogue.receive(dialogue.accepted(40), data("a")) == [
                "accepted", "begins in S1 at 40", "message 40 a",
            ])
    }

    @Test func `another session than that of the earlier run is taken from its start at once`() {
        var dialogue = SoupDialogue(resume: (MoldSession("S1").epoch, 40))
        #expect(
            dialogue.open(at: 40, session: "S2") == ["close: another session than before: from its start"])
        #expect(dialogue.pass(0) == ["connect"])
        #expect(dialogue.opened() == ["login me for  at 1"])
        #expect(
            dialogue.receive(dialogue.accepted(1, session: "S2")) == [
                "accepted", "begins in S2 at 1",
            ])
    }

    @Test func `a place that the server does not have is not asked for again`() {
        var dialogue = SoupDialogue(resume: (MoldSession("S1").epoch, 40))
        _ = dialogue.start()
        _ = dialogue.opened()
        #expect(dialogue.receive(.rejected(.sessionNotAvailable)).count == 1)
        #expect(dialogue.pass(1000) == ["connect"])
        #expect(dialogue.opened() == ["login me for  at 1"])
        #expect(dialogue.receive(dialogue.accepted(1, session: "S2")).count == 2)
    }

    @Test func `it says that it lives when it has said nothing else for a second`() {
        var dialogue = SoupDialogue(deadAfter: .seconds(15))
        _ = dialogue.open()
        #expect(dialogue.pass(999) == [])
        #expect(dialogue.pass(1) == ["send heartbeat"])
        #expect(dialogue.pass(500) == [])
        #expect(dialogue.pass(500) == ["send heartbeat"])
    }

    @Test func `a server that says nothing for too long is dead`() {
        var dialogue = SoupDialogue()
        _ = dialogue.open()
        #expect(dialogue.pass(1000) == ["send heartbeat"])
        _ = dialogue.receive(.serverHeartbeat)
        #expect(dialogue.pass(1000) == ["send heartbeat"])
        #expect(dialogue.pass(499) == [])
        #expect(dialogue.pass(1) == ["close: no word for 1500 ms"])
    }

    @Test func `attempts come less and less often, never all together, and never end`() {
        var dialogue = SoupDialogue()
        _ = dialogue.start()
        var waits: [Int64] = []
        for _ in 0..<100 {
            #expect(dialogue.closed() == ["close: reset"])
            var waited: Int64 = 0
            while dialogue.pass(1) != ["connect"], waited < 10_000 { waited += 1 }
            waits.append(waited + 1)
        }
        for (wait, base) in zip(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000] as [Int64]) {
            #expect((base...(base * 3 / 2)).contains(wait), "\(waits.prefix(8))")
        }
        #expect(waits.suffix(50).allSatisfy { (5000...7500).contains($0) })
        #expect(Set(waits.suffix(50)).count > 10)
    }

    @Test func `a connection that held lets the next loss be repaired quickly`() {
        var dialogue = SoupDialogue(deadAfter: .seconds(100))
        _ = dialogue.start()
        for _ in 0..<6 {
            _ = dialogue.closed()
            while dialogue.pass(10) != ["connect"] {}
        }
        _ = dialogue.opened()
        _ = dialogue.receive(dialogue.accepted(1))
        _ = dialogue.pass(5000)
        _ = dialogue.closed()
        #expect(dialogue.pass(150) == ["connect"])
    }

    @Test func `a session that is gone is given up for the current one`() {
        var dialogue = SoupDialogue()
        _ = dialogue.open()
        _ = dialogue.receive(data("a"))
        _ = dialogue.closed()
        _ = dialogue.pass(150)
        #expect(dialogue.opened() == ["login me for S1 at 2"])
        #expect(
            dialogue.receive(.rejected(.sessionNotAvailable)) == [
                "close: login rejected: the session is not available"
            ])
        #expect(dialogue.pass(300) == ["connect"])
        #expect(dialogue.opened() == ["login me for  at 1"])
        #expect(
            dialogue.receive(dialogue.accepted(1, session: "S2")) == [
                "accepted", "begins in S2 at 1",
            ]
        )
    }

    @Test func `a wrong password is not tried again and again`() {
        var dialogue = SoupDialogue()
        _ = dialogue.start()
        _ = dialogue.opened()
        #expect(
            dialogue.receive(.rejected(.notAuthorised)) == ["close: login rejected: not authorised"])
        #expect(dialogue.hurry() == [])
        #expect(dialogue.pass(29_999) == [])
        #expect(dialogue.pass(15_001) == ["connect"])
    }

    @Test func `the end of a session is told with its number, and the next one is looked for`() {
        var dialogue = SoupDialogue()
        _ = dialogue.open(at: 5)
        #expect(
            dialogue.receive(data("a"), .endOfSession) == [
                "message 5 a", "ended, next 6", "close: the session ended",
            ])
        #expect(dialogue.pass(7500) == ["connect"])
        #expect(dialogue.opened() == ["login me for S1 at 6"])
    }

    @Test func `a server that does not answer the login is left`() {
        var dialogue = SoupDialogue()
        _ = dialogue.start()
        _ = dialogue.opened()
        #expect(dialogue.pass(4999) == [])
        #expect(dialogue.pass(1) == ["close: no answer to the login"])
    }

    @Test func `nonsense and what has no place end the connection and are counted`() {
        for packet in [
            SoupPacket.clientHeartbeat, .logout, .accepted(SoupPosition(next: 9)), .rejected(.notAuthorised),
        ] {
            var dialogue = SoupDialogue()
            _ = dialogue.open()
            #expect(dialogue.receive(packet, data("a")).map { $0.hasPrefix("close") } == [true])
            #expect(dialogue.machine.errors == 1)
            #expect(dialogue.receive(data("b")) == [], "nobody listens any more")
        }
        var dialogue = SoupDialogue()
        _ = dialogue.open()
        #expect(
            dialogue.receive(bytes: data("a").bytes + [0, 0]) == [
                "message 1 a", "close: no SoupBinTCP: offset 37: 0 bytes, at least 1 are needed",
            ])
        #expect(dialogue.machine.errors == 1)
    }

    @Test func `messages before the login's answer have no place`() {
        var dialogue = SoupDialogue()
        _ = dialogue.start()
        _ = dialogue.opened()
        #expect(dialogue.receive(data("a")) == ["close: a message has no place here"])
    }

    @Test func `the link's return is a reason to try at once`() {
        var dialogue = SoupDialogue()
        _ = dialogue.start()
        _ = dialogue.closed()
        #expect(dialogue.hurry() == ["connect"])
        #expect(dialogue.hurry() == [])
    }
}
