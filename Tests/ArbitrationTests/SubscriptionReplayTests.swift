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
        activate(topics.map { WantedTopic($0, holding: 0) }, at: now)
    }
    mutating func activate(_ topics: [WantedTopic], at now: Instant) -> [ReplayAction] {
        replay.activate(topics, &names, at: now)
    }
    mutating func deactivate() -> [ReplayAction] { replay.deactivate(&names) }
    mutating func subscribe(
        _ topic: UpstreamTopic, holding: Int = 0, at now: Instant
    ) -> [ReplayAction] {
        replay.subscribe(WantedTopic(topic, holding: holding), &names, at: now)
    }
    mutating func unsubscribe(_ topic: UpstreamTopic) -> [ReplayAction] { replay.unsubscribe(topic, &names) }
    mutating func confirmed(_ topic: UpstreamTopic) -> [ReplayAction] { replay.confirmed(topic, &names) }
    mutating func connected(at now: Instant) -> [ReplayAction] { replay.connected(&names, at: now) }
    mutating func disconnected() -> [ReplayAction] { replay.disconnected(names) }
    mutating func tick(at now: Instant) -> [ReplayAction] { replay.tick(&names, at: now) }
    mutating func successorConnected(at now: Instant) -> [ReplayAction] {
        replay.successorConnected(&names, at: now)
    }
    var made: [UpstreamTopic] { replay.made(names) }
    var progress: (made: Int, of: Int) { replay.progress }
    var remaining: Duration { replay.remaining }
    var deadline: Instant? { replay.deadline }
    var awaitsConfirmation: Bool { replay.awaitsConfirmation }
    var listens: Bool { replay.listens }
}

@Suite struct SubscriptionReplayTests {
    private let a = UpstreamTopic.instrument("A")
    private let b = UpstreamTopic.instrument("B")
    private func wanted(_ topics: UpstreamTopic...) -> [WantedTopic] {
        topics.map { WantedTopic($0, holding: 0) }
    }
    /// What a client with very many topics holds.
    private let many = (0..<20).map { UpstreamTopic.instrument("M\($0)") }

    @Test func `what is asked for meanwhile does not put off what the venue says nothing of`() {
        var replay = Path(rate: 1000)
        _ = replay.activate([a, b], at: ms(0))
        #expect(replay.confirmed(a) == [])
        #expect(replay.subscribe(many[0], at: ms(400)) == [.subscribe(many[0])])
        #expect(replay.confirmed(many[0]) == [])
        #expect(replay.tick(at: ms(500)) == [.unconfirmed(1), .resubscribed])
        // With the next connection it is asked for with the others, and waited for.
        _ = replay.disconnected()
        #expect(replay.connected(at: ms(600)).count == 3)
        #expect(replay.awaitsConfirmation)
    }

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

    @Test func `a symbol that the venue refuses delays the others once`() {
        var replay = Path(rate: 1000)
        _ = replay.activate([a, b], at: ms(0))
        _ = replay.confirmed(a)
        #expect(replay.tick(at: ms(500)) == [.unconfirmed(1), .resubscribed])
        // It may still say something.
        #expect(replay.deadline == ms(30_500) && replay.listens && !replay.awaitsConfirmation)
        #expect(replay.tick(at: ms(30_500)) == [] && !replay.listens && replay.deadline == nil)
        _ = replay.disconnected()
        #expect(replay.connected(at: ms(40_000)) == [.subscribe(a), .subscribe(b)])
        #expect(replay.confirmed(a) == [.resubscribed])
        // Now it does, and is waited for the next time.
        #expect(replay.listens && replay.confirmed(b) == [] && !replay.listens)
        #expect(replay.tick(at: ms(71_000)) == [])
        _ = replay.disconnected()
        _ = replay.connected(at: ms(80_000))
        #expect(replay.confirmed(a) == [] && replay.confirmed(b) == [.resubscribed])
    }

    @Test func `a venue that confirms late is waited for each time`() {
        var replay = Path(rate: 1000)
        _ = replay.activate([a], at: ms(0))
        #expect(replay.tick(at: ms(500)) == [.unconfirmed(1), .resubscribed])
        #expect(replay.listens && replay.confirmed(a) == [] && !replay.listens)
        #expect(replay.tick(at: ms(30_500)) == [])
        _ = replay.disconnected()
        #expect(replay.connected(at: ms(40_000)) == [.subscribe(a)])
        #expect(replay.tick(at: ms(40_500)) == [.unconfirmed(1), .resubscribed])
    }

    @Test func `what one path was refused no other one waits for, as long as it is wanted`() {
        var names = UpstreamNames()
        var (first, second) = (SubscriptionReplay(rate: 1000), SubscriptionReplay(rate: 1000))
        _ = first.activate(wanted(a, b), &names, at: ms(0))
        _ = first.confirmed(a, &names)
        _ = (first.tick(&names, at: ms(500)), first.tick(&names, at: ms(30_500)))
        _ = second.activate(wanted(a, b), &names, at: ms(40_000))
        #expect(second.confirmed(a, &names) == [.resubscribed])
        _ = (first.deactivate(&names), second.unsubscribe(b, &names))
        // Another topic has its number.
        _ = second.deactivate(&names)
        let c = UpstreamTopic.instrument("C")
        _ = first.activate(wanted(a, c), &names, at: ms(50_000))
        #expect(first.confirmed(a, &names) == [] && first.confirmed(c, &names) == [.resubscribed])
    }

    @Test func `with nothing wanted or everything at once a path is complete at once`() {
        var replay = Path(rate: 1000)
        #expect(replay.activate([WantedTopic](), at: ms(0)) == [.resubscribed])
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
        _ = first.activate(wanted(.everything, a), &names, at: ms(0))
        _ = second.activate(wanted(a, b), &names, at: ms(0))
        #expect(names.count == 3)
        #expect(Set(first.deactivate(&names)) == [.unsubscribe(.everything), .unsubscribe(a)])
        #expect(names.count == 2)
        // Another topic has the number that one gave up; what the second path has keeps its own.
        let c = UpstreamTopic.instrument("C")
        #expect(first.activate(wanted(c), &names, at: ms(10)) == [.subscribe(c)])
        #expect(second.confirmed(a, &names) == [])
        #expect(second.confirmed(.instrument("C"), &names) == [])
        #expect(second.unsubscribe(a, &names) == [.unsubscribe(a)])
        #expect(second.unsubscribe(.instrument("C"), &names) == [])
        #expect(second.confirmed(b, &names) == [.resubscribed])
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

    @Test func `while more is to be subscribed nothing else is due`() {
        var replay = Path(rate: 1)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a)])
        #expect(replay.deadline == ms(1000))
        #expect(replay.tick(at: ms(1000)) == [.subscribe(b)])
        #expect(replay.deadline == ms(1500))
        #expect(replay.tick(at: ms(1500)) == [.unconfirmed(2), .resubscribed])
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

    @Test func `what clients with few topics want comes early in a replay, and a whole feed first`() {
        var replay = Path(rate: 40)
        let wanted =
            many.map { WantedTopic($0, holding: 100_000) }
            + [a, b].map { WantedTopic($0, holding: 0) } + [WantedTopic(.everything, holding: 100_000)]
        #expect(
            replay.activate(wanted, at: ms(0)) == [
                .subscribe(.everything), .subscribe(a), .subscribe(many[0]), .subscribe(b),
            ])
        #expect(replay.tick(at: ms(100)) == many[1...4].map { .subscribe($0) })
        #expect(replay.progress == (8, 23))
        // And likewise with another connection, which knows of none of them.
        _ = replay.disconnected()
        #expect(replay.progress == (0, 23))
        let again = replay.connected(at: ms(1000))
        #expect(again.prefix(2) == [.subscribe(.everything), .subscribe(a)])
        #expect(again.last == .subscribe(b))
    }

    @Test func `what a client with few topics asks for during a replay comes before the rest of it`() {
        var replay = Path(rate: 20)
        let wanted = many.map { WantedTopic($0, holding: 100_000) }
        #expect(replay.activate(wanted, at: ms(0)) == [.subscribe(many[0]), .subscribe(many[1])])
        #expect(replay.subscribe(a, at: ms(50)) == [])
        #expect(replay.subscribe(many[19], at: ms(50)) == [])
        #expect(replay.progress == (2, 21))
        let next = replay.tick(at: ms(100)) + replay.tick(at: ms(200))
        #expect(next.contains(.subscribe(a)) && next.contains(.subscribe(many[19])))
        #expect(next.count == 4)
        // It has one use of its name: who gives it up, gives it up.
        #expect(replay.unsubscribe(many[19]) == [.unsubscribe(many[19])])
        #expect(replay.unsubscribe(many[19]) == [])
        #expect(replay.names.count == 20)
    }

    @Test func `a topic that is subscribed is not subscribed again for one who holds few`() {
        var replay = Path(rate: 1000)
        #expect(replay.subscribe(a, holding: 100_000, at: ms(0)) == [])
        #expect(replay.names.count == 0)
        _ = replay.activate([WantedTopic(a, holding: 100_000)], at: ms(0))
        _ = replay.confirmed(a)
        #expect(replay.subscribe(a, at: ms(10)) == [])
        #expect(replay.progress == (1, 1))
        #expect(replay.deadline == nil)
    }

    // MARK: - A connection that is to take the path's place

    @Test
    func `a connection with other keys is subscribed at the venue's rate beside the one that it replaces`() {
        var replay = Path(rate: 20)
        _ = replay.activate([a, b], at: ms(0))
        _ = (replay.confirmed(a), replay.confirmed(b))
        _ = replay.subscribe(many[0], at: ms(1000))
        #expect(replay.deadline == nil)
        // One of its two in this tenth of a second is used.
        #expect(replay.successorConnected(at: ms(1000)) == [])
        #expect(!replay.replay.isSuccessorComplete)
        #expect(replay.progress == (0, 3))
        #expect(replay.remaining == .milliseconds(150))
        #expect(replay.deadline == ms(1050))
        #expect(replay.tick(at: ms(1050)).count == 2)
        #expect(replay.progress == (2, 3))
        #expect(replay.tick(at: ms(1150)).count == 1)
        #expect(replay.replay.isSuccessorComplete)
        #expect(replay.deadline == nil)
        replay.replay.successorTookOver()
        #expect(Set(replay.made) == [a, b, many[0]])
        #expect(replay.progress == (3, 3))
        #expect(!replay.awaitsConfirmation)
    }

    @Test
    func `what is wanted meanwhile, or not any more, is so on both connections, and first on the one in use`()
    {
        var replay = Path(rate: 10)
        _ = replay.activate([a], at: ms(0))
        _ = replay.confirmed(a)
        #expect(replay.successorConnected(at: ms(1000)) == [.subscribeOnSuccessor(a)])
        #expect(replay.subscribe(b, at: ms(1010)) == [])
        #expect(!replay.replay.isSuccessorComplete)
        #expect(replay.tick(at: ms(1100)) == [.subscribe(b)])
        #expect(replay.deadline == ms(1200))
        // It is not asked for where it was not yet.
        #expect(replay.unsubscribe(b) == [.unsubscribe(b)])
        #expect(replay.replay.isSuccessorComplete)
        #expect(replay.unsubscribe(a) == [.unsubscribe(a), .unsubscribeOnSuccessor(a)])
        #expect(replay.names.count == 0)
        _ = replay.subscribe(b, at: ms(2000))
        _ = replay.tick(at: ms(2100))
        #expect(replay.deactivate() == [.unsubscribe(b), .unsubscribeOnSuccessor(b)])
        #expect(replay.names.count == 0)
    }

    @Test func `a connection that takes over early goes on where it is, and is complete with the rest`() {
        var replay = Path(rate: 10)
        _ = replay.activate([a, b], at: ms(0))
        _ = replay.tick(at: ms(100))
        _ = (replay.confirmed(a), replay.confirmed(b))
        let first = replay.successorConnected(at: ms(1000))
        #expect(first.count == 1)
        _ = replay.disconnected()
        replay.replay.successorTookOver()
        #expect(replay.made.count == 1)
        #expect(replay.connected(at: ms(1050)) == [])
        let rest = replay.tick(at: ms(1100))
        #expect(rest.count == 1)
        let last = first == [.subscribeOnSuccessor(a)] ? b : a
        #expect(rest == [.subscribe(last)])
        #expect(replay.confirmed(last) == [.resubscribed])
    }

    @Test func `a connection that is lost before it takes over leaves the path as it is`() {
        var replay = Path(rate: 10)
        _ = replay.activate([a, b], at: ms(0))
        _ = replay.tick(at: ms(100))
        _ = replay.successorConnected(at: ms(1000))
        replay.replay.successorLost()
        // Only what the venue never confirmed is left to look at.
        #expect(replay.deadline == ms(30_600))
        replay.replay.successorTookOver()
        #expect(replay.made.count == 2)
        #expect(replay.progress == (2, 2))
    }
}
