// The upstream subscriptions of one path as a dialogue: wants in, subscriptions out, and when it is complete.
import Arbitration
import Basics
import Testing

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// One path with a book of its feed's names.
private struct Path {
    var replay: SubscriptionReplay
    var names = UpstreamNames()

    init(rate: Int, isConnected: Bool = true) {
        replay = SubscriptionReplay(rate: rate, isConnected: isConnected)
    }

    mutating func activate(_ topics: [UpstreamTopic], at now: Instant) -> [ReplayAction] {
        replay.activate(topics, &names, at: now)
    }
    mutating func deactivate() -> [ReplayAction] { replay.deactivate(&names) }
    mutating func subscribe(_ topic: UpstreamTopic, at now: Instant) -> [ReplayAction] {
        replay.subscribe(topic, &names, at: now)
    }
    mutating func unsubscribe(_ topic: UpstreamTopic) -> [ReplayAction] { replay.unsubscribe(topic, &names) }
    mutating func confirmed(_ topic: UpstreamTopic) -> [ReplayAction] { replay.confirmed(topic, names) }
    mutating func connected(at now: Instant) -> [ReplayAction] { replay.connected(names, at: now) }
    mutating func disconnected() -> [ReplayAction] { replay.disconnected(names) }
    mutating func tick(at now: Instant) -> [ReplayAction] { replay.tick(names, at: now) }
    var made: [UpstreamTopic] { replay.made(names) }
    var progress: (made: Int, of: Int) { replay.progress }
    var remaining: Duration { replay.remaining }
    var deadline: Instant? { replay.deadline }
    var awaitsConfirmation: Bool { replay.awaitsConfirmation }
}

@Suite struct SubscriptionReplayTests {
    private let a = UpstreamTopic.instrument("A")
    private let b = UpstreamTopic.instrument("B")

    @Test func `a path is complete when the venue has confirmed each topic`() {
        var replay = Path(rate: 1000)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a), .subscribe(b)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.awaitsConfirmation)
        #expect(replay.confirmed(b) == [.resubscribed])
        #expect(replay.deadline == nil)
    }

    @Test func `a venue that does not confirm is believed after a while`() {
        var replay = Path(rate: 1000)
        _ = replay.activate([a, b], at: ms(0))
        _ = replay.confirmed(b)
        #expect(replay.deadline == ms(500))
        #expect(replay.tick(at: ms(499)) == [])
        #expect(replay.tick(at: ms(500)) == [.unconfirmed(1), .resubscribed])
    }

    @Test func `with nothing wanted or everything at once a path is complete at once`() {
        var replay = Path(rate: 1000)
        #expect(replay.activate([], at: ms(0)) == [.resubscribed])
        var other = Path(rate: 1000)
        #expect(other.activate([.everything], at: ms(0)) == [.subscribe(.everything), .resubscribed])
    }

    @Test func `what a client wants of a path that is not used waits for its activation`() {
        var replay = Path(rate: 1000)
        #expect(replay.subscribe(a, at: ms(0)) == [])
        #expect(replay.activate([a], at: ms(1)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [.resubscribed])
        #expect(replay.subscribe(b, at: ms(2000)) == [.subscribe(b)])
        #expect(!replay.awaitsConfirmation)
        #expect(replay.deactivate().count == 2)
        #expect(replay.made == [])
    }

    @Test func `the last topic that is waited for may be given up`() {
        var replay = Path(rate: 1000)
        _ = replay.activate([a], at: ms(0))
        #expect(replay.unsubscribe(a) == [.unsubscribe(a), .resubscribed])
    }

    @Test func `a replay is complete when the last topic that waits for its turn is given up`() {
        var replay = Path(rate: 10)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.unsubscribe(b) == [.resubscribed])
        #expect(replay.deadline == nil)
    }

    @Test func `one that is not connected is complete when it is, with all that is wanted`() {
        var replay = Path(rate: 10)
        _ = replay.activate([a], at: ms(0))
        #expect(replay.confirmed(a) == [.resubscribed])
        #expect(replay.disconnected() == [.unsubscribe(a)])
        #expect(replay.unsubscribe(a) == [])
        #expect(replay.connected(at: ms(10)) == [.resubscribed])
    }

    @Test func `the paths of a feed share its names, each of which is kept for as long as one has it`() {
        var names = UpstreamNames()
        var (first, second) = (SubscriptionReplay(rate: 1000), SubscriptionReplay(rate: 1000))
        _ = first.activate([.everything, a], &names, at: ms(0))
        _ = second.activate([a, b], &names, at: ms(0))
        #expect(names.count == 3)
        #expect(Set(first.deactivate(&names)) == [.unsubscribe(.everything), .unsubscribe(a)])
        #expect(names.count == 2)
        // Another topic has the number that one gave up; what the second path has keeps its own.
        #expect(first.activate([.instrument("C")], &names, at: ms(10)) == [.subscribe(.instrument("C"))])
        #expect(second.confirmed(a, names) == [])
        #expect(second.confirmed(.instrument("C"), names) == [])
        #expect(second.unsubscribe(a, &names) == [.unsubscribe(a)])
        #expect(second.unsubscribe(.instrument("C"), &names) == [])
        #expect(second.confirmed(b, names) == [.resubscribed])
        #expect(second.made(names) == [b])
        #expect(first.made(names) == [.instrument("C")])
        _ = (first.deactivate(&names), second.deactivate(&names))
        #expect(names.count == 0)
    }

    @Test
    func `nothing is asked for before there is a connection, and a new one is asked at the venue's rate`() {
        var replay = Path(rate: 10, isConnected: false)
        #expect(replay.activate([a], at: ms(0)) == [])
        #expect(replay.deadline == nil)
        #expect(replay.connected(at: ms(50)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [.resubscribed])
        #expect(replay.subscribe(b, at: ms(1000)) == [.subscribe(b)])
        #expect(Set(replay.disconnected()) == [.unsubscribe(a), .unsubscribe(b)])
        #expect(replay.disconnected() == [])
        #expect(replay.progress == (0, 2))
        #expect(replay.remaining == .milliseconds(200))
        let first = replay.connected(at: ms(2000))
        #expect(first.count == 1)
        #expect(replay.remaining == .milliseconds(100))
        #expect(replay.deadline == ms(2100))
        #expect(Set(first + replay.tick(at: ms(2100))) == [.subscribe(a), .subscribe(b)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.confirmed(b) == [.resubscribed])
        #expect(replay.remaining == .zero)
    }

    @Test func `a path that is not used has nothing to take back`() {
        var replay = Path(rate: 10)
        #expect(replay.disconnected() == [])
        #expect(replay.connected(at: ms(1)) == [])
    }

    @Test func `a replay above the venue's rate goes in batches and is complete after the last`() {
        var replay = Path(rate: 10)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.progress == (1, 2))
        #expect(replay.deadline == ms(100))
        #expect(replay.tick(at: ms(100)) == [.subscribe(b)])
        #expect(replay.confirmed(b) == [.resubscribed])
    }
}
