// The upstream subscriptions of one path as a dialogue: wants in, subscriptions out, and when it is complete.
import Arbitration
import Basics
import Testing

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

@Suite struct SubscriptionReplayTests {
    private let a = UpstreamTopic.instrument("A")
    private let b = UpstreamTopic.instrument("B")

    @Test func `a path is complete when the venue has confirmed each topic`() {
        var replay = SubscriptionReplay(rate: 1000)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a), .subscribe(b)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.awaitsConfirmation)
        #expect(replay.confirmed(b) == [.resubscribed])
        #expect(replay.deadline == nil)
    }

    @Test func `a venue that does not confirm is believed after a while`() {
        var replay = SubscriptionReplay(rate: 1000)
        _ = replay.activate([a, b], at: ms(0))
        _ = replay.confirmed(b)
        #expect(replay.deadline == ms(500))
        #expect(replay.tick(at: ms(499)) == [])
        #expect(replay.tick(at: ms(500)) == [.unconfirmed(1), .resubscribed])
    }

    @Test func `with nothing wanted or everything at once a path is complete at once`() {
        var replay = SubscriptionReplay(rate: 1000)
        #expect(replay.activate([], at: ms(0)) == [.resubscribed])
        var other = SubscriptionReplay(rate: 1000)
        #expect(other.activate([.everything], at: ms(0)) == [.subscribe(.everything), .resubscribed])
    }

    @Test func `what a client wants of a path that is not used waits for its activation`() {
        var replay = SubscriptionReplay(rate: 1000)
        #expect(replay.subscribe(a, at: ms(0)) == [])
        #expect(replay.activate([a], at: ms(1)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [.resubscribed])
        #expect(replay.subscribe(b, at: ms(2000)) == [.subscribe(b)])
        #expect(!replay.awaitsConfirmation)
        #expect(replay.deactivate().count == 2)
        #expect(replay.made == [])
    }

    @Test func `the last topic that is waited for may be given up`() {
        var replay = SubscriptionReplay(rate: 1000)
        _ = replay.activate([a], at: ms(0))
        #expect(replay.unsubscribe(a) == [.unsubscribe(a), .resubscribed])
    }

    @Test
    func `nothing is asked for before there is a connection, and a new one is asked at the venue's rate`() {
        var replay = SubscriptionReplay(rate: 10, isConnected: false)
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
        var replay = SubscriptionReplay(rate: 10)
        #expect(replay.disconnected() == [])
        #expect(replay.connected(at: ms(1)) == [])
    }

    @Test func `a replay above the venue's rate goes in batches and is complete after the last`() {
        var replay = SubscriptionReplay(rate: 10)
        #expect(replay.activate([a, b], at: ms(0)) == [.subscribe(a)])
        #expect(replay.confirmed(a) == [])
        #expect(replay.progress == (1, 2))
        #expect(replay.deadline == ms(100))
        #expect(replay.tick(at: ms(100)) == [.subscribe(b)])
        #expect(replay.confirmed(b) == [.resubscribed])
    }
}
