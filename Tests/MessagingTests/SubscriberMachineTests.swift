// A subscriber's connection as a dialogue: when it is tried, when it is given up, and what is told of it.
import Basics
import Testing

@testable import Messaging

/// A dialogue, in milliseconds; the waits are the shortest ones unless the test says otherwise.
private struct SubscriberDialogue {
    var machine = SubscriberMachine(silence: .milliseconds(900), at: Instant(nanoseconds: 0))
    var now = Instant(nanoseconds: 0)

    /// Waits until the machine is due.
    mutating func tick(random: UInt64 = 0) -> [SubscriberMachine.Action] {
        now = machine.deadline ?? now
        return machine.tick(at: now, random: random)
    }

    mutating func wait(_ milliseconds: Int64) { now = now + .milliseconds(milliseconds) }

    mutating func connect() {
        #expect(tick() == [.dial])
        #expect(machine.connected(at: now) == [.greet])
    }

    mutating func open() {
        connect()
        #expect(machine.opened(at: now) == [.subscribe, .news(.connected)])
    }

    mutating func ended(_ failure: HandshakeFailure, random: UInt64 = 0) -> [SubscriberMachine.Action] {
        machine.ended(failure, at: now, random: random)
    }

    var trouble: String? { machine.trouble(at: "tcp://venue:1", isSecured: true) }
}

@Suite struct SubscriberMachineTests {
    @Test func `it dials at once, shakes hands and subscribes`() {
        var dialogue = SubscriberDialogue()
        #expect(dialogue.machine.deadline == dialogue.now)
        dialogue.connect()
        #expect(dialogue.machine.isInHandshake && !dialogue.machine.isOpen)
        #expect(dialogue.machine.deadline == dialogue.now + .seconds(1))
        #expect(dialogue.machine.opened(at: dialogue.now) == [.subscribe, .news(.connected)])
        #expect(dialogue.machine.isOpen && dialogue.machine.attempts == 1)
        #expect(dialogue.machine.retryAfter == .zero && dialogue.trouble == nil)
    }

    @Test func `where nobody is, it is tried again for ever, ever less often up to each second`() {
        var dialogue = SubscriberDialogue()
        for number in 1...50 {
            let random: UInt64 = number % 2 == 0 ? 0 : 512
            let shortest = number < 5 ? 100 << (number - 1) : 1000
            let wait: Duration = .milliseconds(number % 2 == 0 ? shortest : shortest * 5 / 4)
            #expect(dialogue.tick() == [.dial])
            #expect(dialogue.machine.deadline == nil)
            #expect(dialogue.machine.notReached(at: dialogue.now, random: random) == [.hangUp])
            #expect(dialogue.machine.retryAfter == wait)
            #expect(dialogue.machine.deadline == dialogue.now + wait)
            #expect(dialogue.machine.attempts == UInt64(number))
        }
        #expect(dialogue.trouble == nil)
        dialogue.open()
        #expect(dialogue.machine.retryAfter == .zero)
        // A peer that was there is looked for quickly again.
        _ = dialogue.ended(.closed(errno: 0))
        #expect(dialogue.machine.retryAfter == .milliseconds(100))
    }

    @Test
    func `a handshake that is cut may be an accident; the third in a row is told, and waited for longer`() {
        var dialogue = SubscriberDialogue()
        for wait in [100, 200] {
            dialogue.connect()
            #expect(dialogue.ended(.closed(errno: 0)) == [.hangUp])
            #expect(dialogue.machine.retryAfter == .milliseconds(wait) && dialogue.trouble == nil)
        }
        dialogue.connect()
        #expect(dialogue.ended(.closed(errno: 0)) == [.hangUp, .news(.failed(.closed(errno: 0)))])
        #expect(dialogue.machine.retryAfter == .seconds(1))
        #expect(
            dialogue.trouble
                == "tcp://venue:1 ends the handshake: is server_key its key, and ours on its list?")
        var waits: [Duration] = []
        for _ in 0..<4 {
            dialogue.connect()
            _ = dialogue.ended(.closed(errno: 0))
            waits.append(dialogue.machine.retryAfter)
        }
        #expect(waits == [2, 4, 8, 10].map { .seconds($0) })
    }

    @Test func `a refusal is told at once, and forgotten when nobody is there or it is let in`() {
        var dialogue = SubscriberDialogue()
        dialogue.connect()
        let refusal = HandshakeFailure.refused(status: 400)
        #expect(dialogue.ended(refusal, random: 512) == [.hangUp, .news(.failed(refusal))])
        #expect(dialogue.machine.retryAfter == .milliseconds(1250))
        #expect(dialogue.trouble == "tcp://venue:1 refuses our key")
        _ = dialogue.tick()
        _ = dialogue.machine.notReached(at: dialogue.now, random: 0)
        #expect(dialogue.trouble == nil)
        dialogue.connect()
        _ = dialogue.ended(refusal)
        // It was not forgotten how often it refused.
        #expect(dialogue.machine.retryAfter == .seconds(2))
        dialogue.open()
        #expect(dialogue.trouble == nil)
        _ = dialogue.ended(.closed(errno: 0))
        dialogue.connect()
        _ = dialogue.ended(refusal)
        #expect(dialogue.machine.retryAfter == .seconds(1))
    }

    @Test func `a handshake that takes too long is given up`() {
        var dialogue = SubscriberDialogue()
        dialogue.connect()
        dialogue.wait(999)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [])
        dialogue.wait(1)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [.hangUp])
        #expect(!dialogue.machine.isInHandshake)
    }

    @Test func `a handshake that waited for us has its time again, once`() {
        var dialogue = SubscriberDialogue()
        dialogue.connect()
        dialogue.wait(4000)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [])
        #expect(dialogue.machine.isInHandshake)
        dialogue.wait(999)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [])
        dialogue.wait(3000)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [.hangUp])
    }

    @Test func `a peer that is silent is asked twice and then given up`() {
        var dialogue = SubscriberDialogue()
        dialogue.open()
        let opened = dialogue.now
        #expect(dialogue.tick() == [.ping])
        #expect(dialogue.tick() == [.ping])
        #expect(dialogue.tick() == [.hangUp, .news(.disconnected)])
        #expect(dialogue.now == opened + .milliseconds(900))
        #expect(!dialogue.machine.isOpen && dialogue.machine.retryAfter == .milliseconds(100))
        #expect(dialogue.tick() == [.dial])
    }

    @Test func `whatever is heard shows that the peer is there`() {
        var dialogue = SubscriberDialogue()
        dialogue.open()
        for _ in 0..<20 {
            #expect(dialogue.tick() == [.ping])
            #expect(dialogue.tick() == [.ping])
            dialogue.wait(299)
            dialogue.machine.heard(at: dialogue.now)
            #expect(dialogue.tick() == [])
        }
        #expect(dialogue.machine.isOpen)
    }

    @Test func `a loop that was held up looks at what has come before it gives a peer up`() {
        var dialogue = SubscriberDialogue()
        dialogue.open()
        dialogue.wait(60_000)
        #expect(dialogue.machine.tick(at: dialogue.now, random: 0) == [.ping])
        dialogue.machine.heard(at: dialogue.now)
        #expect(dialogue.tick() == [.ping])
        #expect(dialogue.machine.isOpen)
    }

    @Test func `an end is told once, and what comes late of it changes nothing`() {
        var dialogue = SubscriberDialogue()
        dialogue.open()
        #expect(dialogue.ended(.closed(errno: 0)) == [.hangUp, .news(.disconnected)])
        #expect(dialogue.ended(.closed(errno: 0)) == [])
        #expect(dialogue.machine.connected(at: dialogue.now) == [])
        #expect(dialogue.machine.opened(at: dialogue.now) == [])
        #expect(dialogue.machine.notReached(at: dialogue.now, random: 0) == [])
        dialogue.machine.heard(at: dialogue.now)
        #expect(dialogue.tick() == [.dial])
    }

    @Test func `other keys are tried at once, whatever was waited for`() {
        var dialogue = SubscriberDialogue()
        dialogue.connect()
        _ = dialogue.ended(.refused(status: 400))
        #expect(dialogue.machine.reconnect(at: dialogue.now) == [.hangUp])
        #expect(dialogue.machine.deadline == dialogue.now && dialogue.machine.retryAfter == .zero)
        #expect(dialogue.trouble == nil)
        dialogue.open()
        #expect(dialogue.machine.reconnect(at: dialogue.now) == [.hangUp, .news(.disconnected)])
        dialogue.open()
        #expect(dialogue.machine.attempts == 3)
    }
}
