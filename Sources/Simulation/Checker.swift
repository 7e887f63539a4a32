// Holds what comes out of the gateway against what the venues sent: it sees frames, arrivals and the truth, and
// never looks into the gateway.
import Arbitration
import Basics
import Configuration
import Wire

final class Checker {
    private(set) var violations: [Violation] = []
    private(set) var taps: [ChannelTap]
    private unowned let world: Simulation

    init(_ world: Simulation) {
        self.world = world
        taps = world.feeds.map { ChannelTap(world, $0) }
    }

    func violated(_ invariant: Invariant, _ what: String) {
        guard violations.count < 10 else { return }
        let violation = Violation(invariant: invariant, after: world.now - world.start, what: what)
        violations.append(violation)
        world.trace.say(world.now, "VIOLATION", "\(violation)")
    }

    func arrived(_ evidence: Evidence, on path: SimulatedPath) { taps[path.feed].arrived(evidence) }

    /// The gateway reads a sound packet that reached its host at that time.
    func isRead(from at: Instant, on path: SimulatedPath) { taps[path.feed].isRead(from: at) }

    func recovered(_ evidence: Evidence, of feed: Int) { taps[feed].recovered(evidence) }

    func published(_ frame: PublishedFrame) { taps[frame.feed].take(frame) }

    func gatewayStarted() { for tap in taps { tap.runBegins() } }

    /// A session is still being taken from its beginning.
    var isCatchingUp: Bool { taps.contains { $0.catchingUpSince != nil } }

    /// What must hold at any moment; looked at after each step, and so at little cost.
    func look() {
        for (feed, tap) in taps.enumerated() {
            tap.look()
            // Before that nobody can take for live what is not.
            if world.now > tap.staleAt { lookForBelievers(feed, tap) }
        }
        lookAtBounds()
    }

    private func lookForBelievers(_ feed: Int, _ tap: ChannelTap) {
        for client in world.clients where client.reads && client.believesLive(feed) {
            // What it heard last was true when it was said; a gateway that died since, or did not run, cannot take it back.
            let belief = client.beliefs[feed]
            var known = client.hasHeard(feed) ? world.now : belief.heardAt
            if world.gateway.loop.wasAway(since: belief.saidAt) { known = min(known, belief.saidAt) }
            guard known > tap.staleAt else { continue }
            violated(
                .freshness,
                "client \(client.number) takes \(world.feeds[feed].options.name) for live, and nothing came for \((world.now - tap.arrivedAt).inMilliseconds) ms"
            )
        }
    }

    private func lookAtBounds() {
        for feed in world.gateway.feeds where feed.takesTurn() {
            let (count, limit) = feed.waiting
            if count > limit { violated(.bounds, "\(count) messages of \(feed.options.name) wait") }
            guard let (bytes, limit) = feed.journalWaiting, bytes > limit else { continue }
            violated(.bounds, "\(bytes) bytes of \(feed.options.name) wait to be journalled")
        }
        let (count, held) = (world.gateway.table.count, world.gateway.held)
        if count != held { violated(.bounds, "the table has \(count) subscriptions, and \(held) are held") }
    }

    /// What must hold when all faults are over and everything has been said.
    func finish() {
        for client in world.clients {
            settle(client)
            for feed in world.feeds.indices where client.reads { lookForLast(feed, client) }
        }
        for (feed, tap) in taps.enumerated() where !tap.isLive {
            violated(.liveness, "\(world.feeds[feed].options.name) is not live in the end")
        }
    }

    /// Where each topic is subscribed by itself, what its venue sent last on those that a client holds came, or was told.
    private func lookForLast(_ feed: Int, _ client: SimulatedClient) {
        let venue = world.feeds[feed].venue
        guard venue.isNumberedPerTopic else { return }
        for (index, name) in venue.instruments.enumerated() {
            let topic = Topic.marketData(feed: world.feeds[feed].options.name, instrument: name)
            guard client.holds(topic.text),
                let last = venue.current.messages.last(where: { $0.instrument == index })
            else { continue }
            let numbering = SimulatedClient.Numbering(
                feed: feed, epoch: venue.current.sessionEpoch, instrument: name)
            guard client.received[numbering]?.has(last.sequence) != true,
                !client.isMissing(numbering, name, last.sequence)
            else { continue }
            violated(
                .liveness,
                "client \(client.number) holds \(topic) and neither got its last message, \(last.sequence), nor knows that it is missing"
            )
        }
    }

    /// Everything that was published for a client is there, or it knows what is missing.
    private func settle(_ client: SimulatedClient) {
        for debt in client.owed {
            if client.received[debt.numbering]?.has(debt.sequence) == true { continue }
            if client.isMissing(debt.numbering, debt.instrument, debt.sequence) { continue }
            if client.isBeforeItsTime(debt) { continue }
            // Lost at the end of a session, or of a stint of one, or of a run: nothing that comes later can tell.
            let tap = taps[debt.numbering.feed]
            let isRunOver = debt.numbering.instrument == nil && debt.place.run != world.gateway.runs
            let isLeft = debt.place.epoch != tap.epoch || debt.place.stint != tap.stints
            if isRunOver || isLeft, !client.wasTellable(debt) { continue }
            violated(
                .losses,
                "client \(client.number) neither got sequence \(debt.sequence) of \(debt.instrument ?? "*") nor knows that it is missing"
            )
        }
    }
}
