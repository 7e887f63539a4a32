// The subscription table as a dialogue.
import Arbitration
import Basics
import Testing

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
private func bytes(_ text: String) -> ArraySlice<UInt8> { Array(text.utf8)[...] }

/// A multicast feed `itch` and a unicast feed `quotes`.
private func table(_ limits: SubscriptionTable.Limits = .init()) -> SubscriptionTable {
    var table = SubscriptionTable(limits: limits)
    _ = table.addFeed("itch", linger: nil, hasBatches: true, at: .zero)
    _ = table.addFeed("quotes", linger: .seconds(5), at: .zero)
    return table
}

private let apple = TopicRequest.data(feed: "quotes", .one("AAPL"))

@Suite struct SubscriptionTableTests {
    @Test func `the first holder subscribes upstream and the last one releases after a linger`() {
        var table = table()
        let upstream = UpstreamTopic.instrument("AAPL")
        #expect(
            table.subscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(0)) == [
                .subscribeUpstream(feed: "quotes", WantedTopic(upstream, holding: 0)),
                .grant(connection: 7, prefix: "md/quotes/AAPL/", apple),
            ])
        #expect(
            table.subscribe(bytes("md/quotes/AAPL/"), by: 8, at: ms(1)) == [
                .grant(connection: 8, prefix: "md/quotes/AAPL/", apple)
            ])
        #expect(
            table.unsubscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(2)) == [
                .revoke(prefix: "md/quotes/AAPL/")
            ])
        #expect(table.deadline == nil)
        #expect(
            table.unsubscribe(bytes("md/quotes/AAPL/"), by: 8, at: ms(3)) == [
                .revoke(prefix: "md/quotes/AAPL/")
            ])
        #expect(table.deadline == ms(5003))
        #expect(table.tick(at: ms(5002)) == [])
        #expect(table.wanted(of: "quotes") == [upstream])
        #expect(table.tick(at: ms(5003)) == [.unsubscribeUpstream(feed: "quotes", upstream)])
        #expect(table.wanted(of: "quotes") == [])
    }

    @Test func `who asks again is granted nothing, unless it gave the topic up or another connection asks`() {
        var table = table()
        for prefix in ["control/itch/", "md/itch/", "md/itch/X/", "sync/1/"] {
            let grants = { (connection: Int32) in
                table.subscribe(bytes(prefix), by: connection, at: ms(0)).count { $0.isGrant }
            }
            let shown = [grants(7), grants(7), grants(8), grants(7), grants(8)]
            #expect(shown == [1, 0, 1, 0, 0])
            _ = table.unsubscribe(bytes(prefix), by: 7, at: ms(1))
            #expect(table.subscribe(bytes(prefix), by: 7, at: ms(2)).count { $0.isGrant } == 1)
        }
        #expect(table.counters.granted == 12)
    }

    @Test func `a client that comes back within the linger finds its topic live`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(0))
        #expect(table.closed(7, at: ms(10)) == [])
        #expect(
            table.subscribe(bytes("md/quotes/AAPL/"), by: 9, at: ms(20)) == [
                .grant(connection: 9, prefix: "md/quotes/AAPL/", apple)
            ])
        #expect(table.tick(at: ms(6000)) == [])
        #expect(table.wanted(of: "quotes") == [.instrument("AAPL")])
    }

    @Test func `what a client with very many topics leaves behind is given up and released in portions`() {
        var limits = SubscriptionTable.Limits()
        limits.atATime = 256
        var table = table(limits)
        for number in 0..<600 { _ = table.subscribe(bytes("md/quotes/Q\(number)/"), by: 7, at: ms(0)) }
        #expect(table.closed(7, at: ms(10)) == [])
        #expect(table.count == 344)
        #expect(table.connections == 0)
        #expect(table.deadline == .zero)
        // Somebody takes two of them up meanwhile, whether they are given up already or not.
        _ = table.subscribe(bytes("md/quotes/Q0/"), by: 8, at: ms(10))
        _ = table.subscribe(bytes("md/quotes/Q599/"), by: 8, at: ms(10))
        #expect(table.tick(at: ms(11)) == [])
        #expect(table.tick(at: ms(12)) == [])
        #expect(table.count == 2)
        var released: [Int] = []
        while let due = table.deadline { released.append(table.tick(at: due + .seconds(1)).count) }
        #expect(released.allSatisfy { $0 <= 256 })
        #expect(released.reduce(0, +) == 598)
        #expect(Set(table.wanted(of: "quotes")) == [.instrument("Q0"), .instrument("Q599")])
    }

    @Test func `a feed whose channels are numbered has batches, of all of it or of one channel`() {
        var table = table()
        #expect(
            table.subscribe(bytes("batch/itch/"), by: 7, at: ms(0)) == [
                .grant(connection: 7, prefix: "batch/itch/", .batch(feed: "itch", channel: nil))
            ])
        #expect(
            table.subscribe(bytes("batch/itch/3/"), by: 7, at: ms(0)) == [
                .grant(connection: 7, prefix: "batch/itch/3/", .batch(feed: "itch", channel: 3))
            ])
        #expect(
            table.requests(of: "itch") == [
                .batch(feed: "itch", channel: nil), .batch(feed: "itch", channel: 3),
            ])
        #expect(
            table.subscribe(bytes("batch/quotes/"), by: 7, at: ms(0)) == [
                .refuse(connection: 7, prefix: "batch/quotes/", .notBatched("quotes"))
            ])
        #expect(table.counters.refused == ["not_batched": 1])
    }

    @Test func `who holds batches of a feed that turns out to have none is told so`() {
        var table = table()
        _ = table.subscribe(bytes("batch/itch/"), by: 7, at: ms(0))
        _ = table.subscribe(bytes("md/itch/"), by: 7, at: ms(0))
        _ = table.subscribe(bytes("batch/itch/3/"), by: 8, at: ms(0))
        let refusals: [SubscriptionAction] = [
            .refuse(connection: 7, prefix: "batch/itch/", .notBatched("itch")),
            .refuse(connection: 8, prefix: "batch/itch/3/", .notBatched("itch")),
        ]
        let told = table.refuseBatches(of: "itch", at: ms(0))
        #expect(told.filter { refusals.contains($0) } == refusals)
        #expect(table.count(of: 7) == 1 && table.count(of: 8) == 0)
        #expect(table.requests(of: "itch") == [.data(feed: "itch", .all)])
        #expect(table.refuseBatches(of: "itch", at: ms(0)) == [])
        #expect(
            table.subscribe(bytes("batch/itch/"), by: 7, at: ms(0)) == [
                .refuse(connection: 7, prefix: "batch/itch/", .notBatched("itch"))
            ])
        #expect(table.counters.refused == ["not_batched": 3])
    }

    @Test func `batches are for who may have the whole feed`() {
        var table = table()
        let some = Entitlements(topics: ["md/itch/AAPL/"])
        #expect(
            table.subscribe(bytes("batch/itch/0/"), by: 7, entitled: some, at: ms(0)) == [
                .refuse(connection: 7, prefix: "batch/itch/0/", .notEntitled(some))
            ])
        let all = Entitlements(topics: ["md/itch/"])
        #expect(
            table.subscribe(bytes("batch/itch/0/"), by: 7, entitled: all, at: ms(0)) == [
                .grant(connection: 7, prefix: "batch/itch/0/", .batch(feed: "itch", channel: 0))
            ])
    }

    @Test func `a prefix of a whole feed is an upstream subscription of everything`() {
        var table = table()
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, at: ms(0)) == [
                .subscribeUpstream(feed: "quotes", WantedTopic(.everything, turn: .everything)),
                .grant(connection: 7, prefix: "md/quotes/", .data(feed: "quotes", .all)),
            ])
        _ = table.subscribe(bytes("md/quotes/AAPL/"), by: 8, at: ms(0))
        #expect(table.wanted(of: "quotes") == [.everything, .instrument("AAPL")])
    }

    @Test func `names are percent-encoded in topics and raw upstream`() {
        var table = table()
        #expect(
            table.subscribe(bytes("md/quotes/BRK%2FA/"), by: 7, at: ms(0)).first
                == .subscribeUpstream(feed: "quotes", WantedTopic(.instrument("BRK/A"), holding: 0)))
        #expect(
            table.subscribe(bytes("md/quotes/*/"), by: 7, at: ms(0)) == [
                .grant(connection: 7, prefix: "md/quotes/*/", .data(feed: "quotes", .none))
            ])
    }

    @Test func `a multicast feed needs nothing upstream`() {
        var table = table()
        #expect(
            table.subscribe(bytes("md/itch/AAPL/"), by: 7, at: ms(0)) == [
                .grant(connection: 7, prefix: "md/itch/AAPL/", .data(feed: "itch", .one("AAPL")))
            ])
        #expect(table.wanted(of: "itch") == [])
    }

    @Test func `an unsubscription of what was not held is ignored and counted`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(0))
        #expect(table.unsubscribe(bytes("md/quotes/AAPL/"), by: 8, at: ms(1)) == [])
        #expect(table.counters.notHeld == 1)
        #expect(table.count == 1)
    }

    @Test func `a closed connection drops everything that it held`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(0))
        _ = table.subscribe(bytes("control/quotes/"), by: 7, at: ms(0))
        _ = table.subscribe(bytes("md/itch/"), by: 7, at: ms(0))
        #expect(table.count == 3)
        #expect(table.closed(7, at: ms(1)) == [])
        #expect(table.count == 0)
        #expect(table.connections == 0)
        #expect(table.deadline == ms(5001))
    }

    @Test(arguments: [
        ("md/quotes/AAPL", SubscriptionRefusal.noSlashAtEnd), ("", .noSlashAtEnd), ("md/", .unknownTopic),
        ("md//", .unknownTopic), ("md/quotes/A/B/", .unknownTopic), ("state/x/", .unknownTopic),
        ("sync/1/2/", .unknownTopic), ("control/", .unknownTopic), ("control/itch/x/", .unknownTopic),
        ("md/quoes/AAPL/", .noSuchFeed("quoes", known: ["itch", "quotes"])),
        ("md/quotes/" + String(repeating: "A", count: 250) + "/", .tooLong(bytes: 261, limit: 255)),
    ])
    func `a wrong topic is refused with what is wrong about it`(topic: String, refusal: SubscriptionRefusal) {
        var table = table()
        #expect(
            table.subscribe(bytes(topic), by: 7, at: ms(0)) == [
                .refuse(connection: 7, prefix: String(topic.prefix(255)), refusal)
            ])
        #expect(table.counters.refused == [refusal.name: 1])
        #expect(table.count == 0)
    }

    @Test func `bytes that are not text are refused`() {
        var table = table()
        let actions = table.subscribe([0x6D, 0xFF, 0x2F], by: 7, at: ms(0))
        guard case .refuse(7, _, .notText)? = actions.first else {
            Issue.record("\(actions)")
            return
        }
    }

    @Test func `the number of prefixes is bounded per client and in all`() {
        var limits = SubscriptionTable.Limits()
        limits.prefixesPerClient = 2
        limits.prefixes = 3
        var table = table(limits)
        for name in ["A", "B"] { _ = table.subscribe(bytes("md/itch/\(name)/"), by: 7, at: ms(0)) }
        #expect(
            table.subscribe(bytes("md/itch/C/"), by: 7, at: ms(0)) == [
                .refuse(connection: 7, prefix: "md/itch/C/", .tooManyForClient(limit: 2))
            ])
        _ = table.subscribe(bytes("md/itch/A/"), by: 8, at: ms(0))
        #expect(
            table.subscribe(bytes("md/itch/B/"), by: 8, at: ms(0)) == [
                .refuse(connection: 8, prefix: "md/itch/B/", .tooMany(limit: 3))
            ])
        #expect(table.counters.refused == ["too_many_for_client": 1, "too_many": 1])
    }

    @Test func `control topics and markers do not count towards the topics, and have a bound of their own`() {
        var limits = SubscriptionTable.Limits()
        (limits.prefixesPerClient, limits.signalsPerClient) = (2, 2)
        var table = table(limits)
        func refused(_ topic: String) -> SubscriptionRefusal? {
            guard case .refuse(7, topic, let refusal)? = table.subscribe(bytes(topic), by: 7, at: ms(0)).first
            else { return nil }
            return refusal
        }
        for topic in ["control/itch/", "md/itch/A/", "sync/1/", "batch/itch/", "sync/1/"] {
            #expect(refused(topic) == nil)
        }
        #expect(refused("md/itch/B/") == .tooManyForClient(limit: 2))
        #expect(refused("sync/2/") == .tooManySignalsForClient(limit: 2))
        #expect(refused("control/itch/0/") == .tooManySignalsForClient(limit: 2))
        #expect(table.count(of: 7) == 4)
        _ = table.unsubscribe(bytes("sync/1/"), by: 7, at: ms(1))
        #expect(refused("md/itch/B/") == .tooManyForClient(limit: 2))
        #expect(refused("sync/2/") == nil && refused("sync/3/") == .tooManySignalsForClient(limit: 2))
        _ = table.unsubscribe(bytes("md/itch/A/"), by: 7, at: ms(2))
        #expect(refused("md/itch/B/") == nil && refused("md/itch/C/") == .tooManyForClient(limit: 2))
        table.removeFeed("itch")
        _ = table.unsubscribe(bytes("control/itch/"), by: 7, at: ms(3))
        #expect(refused("sync/3/") == nil)
        _ = table.closed(7, at: ms(4))
        #expect(table.count == 0)
        #expect(refused("sync/1/") == nil && refused("sync/2/") == nil)
    }

    @Test func `a client that has 100,000 topics gets no more of them, and its markers all the same`() {
        var table = table()
        for topic in 0..<100_000 { _ = table.subscribe(bytes("md/itch/\(topic)/"), by: 7, at: ms(0)) }
        for topic in 100_000..<1_000_000 where topic.isMultiple(of: 9999) {
            #expect(
                table.subscribe(bytes("md/itch/\(topic)/"), by: 7, at: ms(0)) == [
                    .refuse(
                        connection: 7, prefix: "md/itch/\(topic)/", .tooManyForClient(limit: 100_000))
                ])
        }
        #expect(
            table.subscribe(bytes("sync/1/"), by: 7, at: ms(0)) == [
                .grant(connection: 7, prefix: "sync/1/", .sync(nonce: "1"))
            ])
        #expect(table.count(of: 7) == 100_001)
    }

    @Test func `a topic that lingers makes room for one that is asked for`() {
        var limits = SubscriptionTable.Limits()
        limits.topics = 1
        var table = table(limits)
        _ = table.subscribe(bytes("md/quotes/A/"), by: 7, at: ms(0))
        _ = table.unsubscribe(bytes("md/quotes/A/"), by: 7, at: ms(1))
        #expect(
            table.subscribe(bytes("md/quotes/B/"), by: 7, at: ms(2)).prefix(2) == [
                .unsubscribeUpstream(feed: "quotes", .instrument("A")),
                .subscribeUpstream(feed: "quotes", WantedTopic(.instrument("B"), holding: 0)),
            ])
        #expect(table.counters.releasedEarly == 1)
        #expect(
            table.unsubscribe(bytes("md/quotes/B/"), by: 7, at: ms(3)) == [.revoke(prefix: "md/quotes/B/")])
        #expect(table.wanted(of: "quotes") == [.instrument("B")])
    }

    @Test func `who asks for a topic more than a feed may be subscribed to is refused, and nobody else`() {
        var limits = SubscriptionTable.Limits()
        limits.topics = 2
        var table = table(limits)
        for topic in ["A", "B"] { _ = table.subscribe(bytes("md/quotes/\(topic)/"), by: 7, at: ms(0)) }
        #expect(
            table.subscribe(bytes("md/quotes/C/"), by: 8, at: ms(1)) == [
                .refuse(
                    connection: 8, prefix: "md/quotes/C/", .tooManyUpstream(feed: "quotes", limit: 2))
            ])
        #expect(table.counters.refused == ["too_many_upstream": 1])
        #expect(table.count(of: 8) == 0 && table.wanted(of: "quotes").count == 2)
        // What others hold costs nothing upstream, and other feeds have room of their own.
        #expect(table.subscribe(bytes("md/quotes/A/"), by: 8, at: ms(2)).count == 1)
        #expect(table.subscribe(bytes("md/itch/C/"), by: 8, at: ms(3)).count == 1)
        _ = table.unsubscribe(bytes("md/quotes/B/"), by: 7, at: ms(4))
        #expect(table.subscribe(bytes("md/quotes/C/"), by: 8, at: ms(5)).count == 3)
        #expect(table.wanted(of: "quotes") == [.instrument("A"), .instrument("C")])
    }

    @Test func `a feed that is added again finds its holders`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(0))
        table.removeFeed("quotes")
        #expect(table.wanted(of: "quotes") == [])
        _ = table.addFeed("quotes", linger: .seconds(1), at: .zero)
        #expect(table.wanted(of: "quotes") == [.instrument("AAPL")])
        _ = table.unsubscribe(bytes("md/quotes/AAPL/"), by: 7, at: ms(10))
        #expect(table.deadline == ms(1010))
    }

    // MARK: - Turns

    /// What a request of a connection is to the paths.
    private func ask(
        _ instrument: String, by connection: Int32, _ table: inout SubscriptionTable, at now: Instant = ms(0)
    ) -> SubscriptionAction? {
        table.subscribe(bytes("md/quotes/\(instrument)/"), by: connection, at: now).first
    }

    private func wanted(_ instrument: String, holding: Int) -> WantedTopic {
        WantedTopic(.instrument(instrument), holding: holding)
    }

    @Test func `a topic has its turn by how many its client holds, whatever else it holds and others do`() {
        var table = table()
        _ = table.subscribe(bytes("control/quotes/"), by: 7, at: ms(0))
        for holding in 0..<70 {
            _ = table.subscribe(bytes("sync/\(holding)/"), by: 7, at: ms(0))
            let expected = wanted("Q\(holding)", holding: holding)
            #expect(ask("Q\(holding)", by: 7, &table) == .subscribeUpstream(feed: "quotes", expected))
        }
        #expect(
            ask("OTHER", by: 8, &table)
                == .subscribeUpstream(feed: "quotes", wanted("OTHER", holding: 0)))
        #expect(
            table.turns(of: "quotes").first { $0.topic == .instrument("Q69") } == wanted("Q69", holding: 69))
        #expect(table.turns(of: "quotes").map(\.topic) == table.wanted(of: "quotes"))
        // Who gave topics up holds fewer.
        for holding in 0..<69 {
            _ = table.unsubscribe(bytes("md/quotes/Q\(holding)/"), by: 7, at: ms(1))
        }
        #expect(
            ask("NEXT", by: 7, &table, at: ms(1))
                == .subscribeUpstream(feed: "quotes", wanted("NEXT", holding: 1)))
    }

    @Test func `a topic of several clients has the turns of the one that held fewest`() {
        var table = table()
        for number in 0..<300 { _ = ask("Q\(number)", by: 7, &table) }
        #expect(
            ask("Q299", by: 8, &table) == .hastenUpstream(feed: "quotes", wanted("Q299", holding: 0)))
        for number in 300..<320 { _ = ask("Q\(number)", by: 9, &table) }
        for connection in [9, 8] as [Int32] {
            #expect(
                ask("Q0", by: connection, &table)
                    == .grant(
                        connection: connection, prefix: "md/quotes/Q0/", .data(feed: "quotes", .one("Q0"))))
        }
        // Who asks again asks for nothing more.
        #expect(ask("Q298", by: 7, &table) == nil)
        #expect(table.turns(of: "quotes").contains(wanted("Q299", holding: 0)))
        #expect(table.turns(of: "quotes").contains(wanted("Q298", holding: 298)))
        // The whole feed is one subscription.
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, at: ms(0)).first
                == .subscribeUpstream(feed: "quotes", WantedTopic(.everything, turn: .everything)))
    }

    @Test func `a topic that lingers, or has a number of one that is gone, has the turns of who asks next`() {
        var table = table()
        for number in 0..<300 { _ = ask("Q\(number)", by: 7, &table) }
        _ = ask("A", by: 8, &table)
        #expect(table.closed(8, at: ms(1)) == [])
        #expect(ask("A", by: 7, &table, at: ms(2))?.isGrant ?? false)
        #expect(table.turns(of: "quotes").first == wanted("A", holding: 300))
        _ = table.unsubscribe(bytes("md/quotes/A/"), by: 7, at: ms(3))
        #expect(
            ask("A", by: 8, &table, at: ms(4)) == .hastenUpstream(feed: "quotes", wanted("A", holding: 0)))
        #expect(table.turns(of: "quotes").first == wanted("A", holding: 0))
        _ = table.closed(8, at: ms(5))
        #expect(
            table.tick(at: ms(6000)) == [.unsubscribeUpstream(feed: "quotes", .instrument("A"))])
        #expect(
            ask("B", by: 7, &table, at: ms(6001))
                == .subscribeUpstream(feed: "quotes", wanted("B", holding: 300)))
        #expect(table.turns(of: "quotes").first == wanted("B", holding: 300))
    }

    @Test func `what a client holds of another feed does not count, also after a feed was added again`() {
        var table = table()
        _ = table.addFeed("fx", linger: .seconds(5), at: .zero)
        for number in 0..<300 { _ = table.subscribe(bytes("md/fx/F\(number)/"), by: 7, at: ms(0)) }
        #expect(
            ask("Q0", by: 7, &table) == .subscribeUpstream(feed: "quotes", wanted("Q0", holding: 0)))
        table.removeFeed("quotes")
        _ = table.addFeed("quotes", linger: .seconds(5), at: .zero)
        for number in 1..<5 {
            #expect(
                ask("Q\(number)", by: 7, &table)
                    == .subscribeUpstream(feed: "quotes", wanted("Q\(number)", holding: number)))
        }
        let last = table.subscribe(bytes("md/fx/LAST/"), by: 7, at: ms(0)).first
        #expect(
            last
                == .subscribeUpstream(feed: "fx", WantedTopic(.instrument("LAST"), holding: 300)))
    }

    @Test
    func `what is beyond the room of a feed that is added again is refused, as when it is asked for later`() {
        var limits = SubscriptionTable.Limits()
        limits.topics = 3
        var table = table(limits)
        // As long as it comes by multicast there is no such limit.
        _ = table.addFeed("quotes", linger: nil, at: ms(0))
        for number in 0..<4 { _ = table.subscribe(bytes("md/quotes/Q\(number)/"), by: 7, at: ms(0)) }
        let entitled = Entitlements(topics: ["md/quotes/Q1/", "md/quotes/R1/"])
        _ = table.subscribe(bytes("md/quotes/"), by: 8, entitled: entitled, at: ms(0))
        _ = table.subscribe(bytes("md/quotes/Q2/"), by: 9, at: ms(0))
        table.removeFeed("quotes")
        let refusal = SubscriptionRefusal.tooManyUpstream(feed: "quotes", limit: 3)
        let actions = table.addFeed("quotes", linger: .seconds(5), at: ms(1))
        #expect(
            actions.filter { if case .refuse = $0 { true } else { false } } == [
                .refuse(connection: 7, prefix: "md/quotes/Q3/", refusal),
                .refuse(connection: 8, prefix: "md/quotes/", refusal),
            ])
        #expect(table.counters.refused == ["too_many_upstream": 2])
        #expect(
            Set(table.wanted(of: "quotes"))
                == Set(["Q0", "Q1", "Q2"].map { UpstreamTopic.instrument($0) }))
        #expect(table.count(of: 7) == 3 && table.count(of: 8) == 0 && table.count(of: 9) == 1)
        #expect(
            table.requests(of: "quotes")
                == Set(["Q0", "Q1", "Q2"].map { .data(feed: "quotes", .one($0)) }))
        #expect(table.count == 4)
    }

    @Test func `what a client that is gone leaves is room, and its markers are none`() {
        var limits = SubscriptionTable.Limits()
        (limits.topics, limits.atATime) = (4, 1)
        var table = table(limits)
        for name in ["A", "B", "C"] { _ = table.subscribe(bytes("md/quotes/\(name)/"), by: 7, at: ms(0)) }
        for prefix in ["sync/1/", "sync/2/", "sync/3/", "control/quotes/", "md/quotes/D/"] {
            _ = table.subscribe(bytes(prefix), by: 8, at: ms(0))
        }
        _ = table.closed(8, at: ms(1))
        var refused = 0
        for name in ["E", "F", "G"] {
            let actions = table.subscribe(bytes("md/quotes/\(name)/"), by: 9, at: ms(1))
            refused += actions.count { if case .refuse = $0 { true } else { false } }
        }
        #expect(refused == 2)
    }

    @Test func `a request that is granted in part counts each of its topics`() {
        var table = table()
        let names = (100..<120).map { "Q\($0)" }
        let entitled = Entitlements(topics: names.map { "md/quotes/\($0)/" })
        let actions = table.subscribe(bytes("md/quotes/"), by: 7, entitled: entitled, at: ms(0))
        let turns = actions.compactMap { action -> TurnClass? in
            if case .subscribeUpstream(_, let wanted) = action { wanted.turn } else { nil }
        }
        #expect(turns == (0..<20).map { TurnClass(holding: $0) })
    }

    @Test func `a feed that is added again has turns for who holds its topics, and last for who is gone`() {
        var limits = SubscriptionTable.Limits()
        limits.atATime = 1
        var table = table(limits)
        for number in 0..<80 { _ = ask("Q\(number)", by: 7, &table) }
        for instrument in ["Q79", "R1"] { _ = ask(instrument, by: 8, &table) }
        for instrument in ["S0", "S1"] { _ = ask(instrument, by: 9, &table) }
        table.removeFeed("quotes")
        _ = table.closed(9, at: ms(1))
        _ = table.addFeed("quotes", linger: .seconds(5), at: .zero)
        let turns = Dictionary(
            uniqueKeysWithValues: table.turns(of: "quotes").compactMap { wanted in
                wanted.topic.name.map { ($0, wanted.turn) }
            })
        #expect(turns.count == 82)
        for number in 0..<79 { #expect(turns["Q\(number)"] == TurnClass(holding: number)) }
        #expect(turns["Q79"] == TurnClass(holding: 0))
        #expect(turns["R1"] == TurnClass(holding: 1))
        #expect(turns.filter { $0.key.hasPrefix("S") }.map(\.value) == [TurnClass(holding: .max)])
    }
}

extension SubscriptionAction {
    fileprivate var isGrant: Bool { if case .grant = self { true } else { false } }
}
