// Entitlements and what the subscription table makes of them: dialogues, and a random one against a plain model.
import Arbitration
import Basics
import Testing
import Wire

private func bytes(_ text: String) -> ArraySlice<UInt8> { Array(text.utf8)[...] }
private let start = Instant.zero

private func table() -> SubscriptionTable {
    var table = SubscriptionTable()
    _ = table.addFeed("itch", linger: nil, at: .zero)
    _ = table.addFeed("quotes", linger: .zero, at: .zero)
    return table
}

private func grant(
    _ prefix: String, _ instrument: String, of feed: String = "quotes", to connection: Int32 = 7
) -> SubscriptionAction {
    .grant(connection: connection, prefix: prefix, .data(feed: feed, .one(instrument)))
}

private func subscribed(_ topic: UpstreamTopic, _ holding: Int) -> SubscriptionAction {
    .subscribeUpstream(feed: "quotes", WantedTopic(topic, holding: holding))
}

@Suite struct EntitlementTests {
    private let two = Entitlements(topics: ["md/quotes/EURUSD/", "md/quotes/BRK%2FA/"])

    @Test func `a request within what is allowed is granted as it was asked`() {
        var table = table()
        #expect(
            table.subscribe(bytes("md/quotes/EURUSD/"), by: 7, entitled: two, at: start) == [
                subscribed(.instrument("EURUSD"), 0),
                grant("md/quotes/EURUSD/", "EURUSD"),
            ])
        let feed = Entitlements(topics: ["md/itch/"])
        #expect(
            table.subscribe(bytes("md/itch/"), by: 8, entitled: feed, at: start) == [
                .grant(connection: 8, prefix: "md/itch/", .data(feed: "itch", .all))
            ])
        #expect(
            table.subscribe(bytes("md/itch/AAPL/"), by: 8, entitled: feed, at: start) == [
                grant("md/itch/AAPL/", "AAPL", of: "itch", to: 8)
            ])
    }

    @Test func `a broader request is narrowed, and giving it up releases what it was narrowed to`() {
        var table = table()
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, entitled: two, at: start) == [
                .narrow(connection: 7, prefix: "md/quotes/", two),
                subscribed(.instrument("BRK/A"), 0),
                subscribed(.instrument("EURUSD"), 1),
                grant("md/quotes/BRK%2FA/", "BRK/A"), grant("md/quotes/EURUSD/", "EURUSD"),
            ])
        #expect(table.wanted(of: "quotes") == [.instrument("BRK/A"), .instrument("EURUSD")])
        #expect(
            table.requests(of: "quotes") == [
                .data(feed: "quotes", .one("BRK/A")), .data(feed: "quotes", .one("EURUSD")),
            ])
        #expect(table.count(of: 7) == 2)
        #expect(table.counters.narrowed == 1)
        #expect(
            table.unsubscribe(bytes("md/quotes/"), by: 7, at: start) == [
                .revoke(prefix: "md/quotes/BRK%2FA/"), .revoke(prefix: "md/quotes/EURUSD/"),
            ])
        #expect(table.count == 0)
        #expect(table.connections == 0)
        #expect(table.tick(at: start).count == 2)
    }

    @Test func `what two requests grant is held until both are given up`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/"), by: 7, entitled: two, at: start)
        #expect(
            table.subscribe(bytes("md/quotes/EURUSD/"), by: 7, entitled: two, at: start) == [
                grant("md/quotes/EURUSD/", "EURUSD")
            ])
        #expect(table.count == 2)
        #expect(
            table.unsubscribe(bytes("md/quotes/"), by: 7, at: start) == [
                .revoke(prefix: "md/quotes/BRK%2FA/")
            ])
        #expect(
            table.unsubscribe(bytes("md/quotes/EURUSD/"), by: 7, at: start) == [
                .revoke(prefix: "md/quotes/EURUSD/")
            ])
        #expect(table.count == 0)
    }

    @Test(arguments: [
        "md/quotes/USDJPY/", "md/quotes/*/", "md/itch/", "md/itch/EURUSD/", "control/itch/",
        "control/itch/0/",
    ])
    func `what is not allowed is refused with what is`(topic: String) {
        var table = table()
        #expect(
            table.subscribe(bytes(topic), by: 7, entitled: two, at: start) == [
                .refuse(connection: 7, prefix: topic, .notEntitled(two))
            ])
        #expect(
            SubscriptionRefusal.notEntitled(two).description
                == "the client may read md/quotes/BRK%2FA/, md/quotes/EURUSD/")
        #expect(table.counters.refused == ["not_entitled": 1])
        #expect(table.count == 0)
        #expect(table.wanted(of: "quotes") == [])
    }

    @Test func `control topics come with any market data of their feed, and markers always`() {
        var table = table()
        for topic in ["control/quotes/", "control/quotes/0/", "sync/1/"] {
            #expect(table.subscribe(bytes(topic), by: 7, entitled: two, at: start).count == 1)
        }
        #expect(table.counters.refused == [:])
        _ = table.subscribe(bytes("sync/2/"), by: 8, entitled: .nothing, at: start)
        #expect(table.count == 4)
    }

    @Test func `a client whose rights grew has them when it asks again`() {
        var table = table()
        let one = Entitlements(topics: ["md/quotes/EURUSD/"])
        _ = table.subscribe(bytes("md/quotes/"), by: 7, entitled: one, at: start)
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, entitled: two, at: start) == [
                .narrow(connection: 7, prefix: "md/quotes/", two),
                subscribed(.instrument("BRK/A"), 0),
                grant("md/quotes/BRK%2FA/", "BRK/A"),
            ])
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, entitled: .everything, at: start) == [
                .revoke(prefix: "md/quotes/BRK%2FA/"), .revoke(prefix: "md/quotes/EURUSD/"),
                subscribed(.everything, 0),
                .grant(connection: 7, prefix: "md/quotes/", .data(feed: "quotes", .all)),
            ])
        #expect(table.count == 1)
    }

    @Test func `a client whose rights shrank loses what it asks for again`() {
        var table = table()
        _ = table.subscribe(bytes("md/quotes/"), by: 7, at: start)
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, entitled: two, at: start).first
                == .revoke(prefix: "md/quotes/"))
        #expect(
            table.subscribe(bytes("md/quotes/"), by: 7, entitled: .nothing, at: start) == [
                .revoke(prefix: "md/quotes/BRK%2FA/"), .revoke(prefix: "md/quotes/EURUSD/"),
                .refuse(connection: 7, prefix: "md/quotes/", .notEntitled(.nothing)),
            ])
        #expect(table.count == 0)
    }

    @Test func `what a request is narrowed to counts towards the bounds`() {
        var limits = SubscriptionTable.Limits()
        limits.prefixesPerClient = 2
        var table = SubscriptionTable(limits: limits)
        _ = table.addFeed("itch", linger: nil, at: .zero)
        let three = Entitlements(topics: ["A", "B", "C"].map { "md/itch/\($0)/" })
        #expect(
            table.subscribe(bytes("md/itch/"), by: 7, entitled: three, at: start) == [
                .refuse(connection: 7, prefix: "md/itch/", .tooManyForClient(limit: 2))
            ])
        #expect(table.count == 0)
    }

    @Test func `callers have what their entry in the list names`() throws {
        let key = try #require(PublicKey(bytes: [UInt8](repeating: 1, count: 32)))
        let client = AllowedClient(name: "algo", key: key, topics: ["md/itch/", "md/quotes/EURUSD/"])
        #expect(Entitlements(.open) == .everything)
        #expect(Entitlements(.stranger) == .nothing)
        #expect(Entitlements(.client(client)) == Entitlements(topics: client.topics))
        #expect(Entitlements(topics: ["md/"]) == .everything)
        #expect(Entitlements(topics: ["control/itch/", "md/itch", "", "state/"]) == .nothing)
    }

    @Test(arguments: [
        (["md/"], ["md/itch/"], true), (["md/itch/"], ["md/itch/AAPL/"], true), (["md/itch/"], [], true),
        (["md/itch/AAPL/"], ["md/itch/"], false), (["md/itch/"], ["md/"], false),
        (["md/itch/AAPL/", "md/itch/MSFT/"], ["md/itch/MSFT/"], true), ([], ["md/itch/AAPL/"], false),
        (["md/itch/AAPL/"], ["md/itch/*/"], false),
    ])
    func `it is known whether new rights cover the old ones`(new: [String], old: [String], isSo: Bool) {
        #expect(Entitlements(topics: new).covers(Entitlements(topics: old)) == isSo)
    }

    @Test func `rights are told in few words`() {
        let many = Entitlements(topics: (1...7).map { "md/itch/HF\($0)/" })
        #expect("\(many)" == "md/itch/HF1/, md/itch/HF2/, md/itch/HF3/, md/itch/HF4/ and 3 more")
        #expect("\(Entitlements.nothing)" == "no market data")
    }

    /// Grants and revocations applied as libzmq does: a set of prefixes per connection.
    @Test(arguments: 1...20) func `nobody ever holds more than it may, nor less than it asked for of that`(
        seed: UInt64
    ) {
        var random = SeededGenerator(state: seed)
        var table = table()
        let topics = ["md/quotes/"] + ["A", "B", "C", "D"].map { "md/quotes/\($0)/" } + ["control/quotes/"]
        let rights = [[], ["md/quotes/A/"], ["md/quotes/A/", "md/quotes/B/", "md/quotes/C/"], ["md/"]].map {
            Entitlements(topics: $0)
        }
        var held: [Int32: Set<String>] = [:]
        // What each asked for and was entitled to then.
        var asked: [Int32: [String: Int]] = [:]
        for _ in 0..<400 {
            let connection = Int32(random.next() % 3)
            let topic = topics[Int(random.next() % UInt64(topics.count))]
            let actions: [SubscriptionAction]
            switch random.next() % 8 {
            case 0:
                actions = table.closed(connection, at: start)
                (held[connection], asked[connection]) = (nil, nil)
            case 1, 2:
                actions = table.unsubscribe(bytes(topic), by: connection, at: start)
                asked[connection]?[topic] = nil
            default:
                let right = Int(random.next() % UInt64(rights.count))
                actions = table.subscribe(bytes(topic), by: connection, entitled: rights[right], at: start)
                asked[connection, default: [:]][topic] = right
            }
            for action in actions {
                switch action {
                case .grant(_, let prefix, _): held[connection, default: []].insert(prefix)
                case .revoke(let prefix): held[connection]?.remove(prefix)
                default: break
                }
            }
            for connection in Int32(0)..<3 {
                let expected = Set((asked[connection] ?? [:]).flatMap { allowed($0.key, right: $0.value) })
                #expect(held[connection] ?? [] == expected)
                #expect(table.count(of: connection) == expected.count)
            }
            #expect(table.count == held.values.map(\.count).reduce(0, +))
            _ = table.tick(at: start)
            let names = held.values.joined().compactMap { upstream($0) }
            #expect(Set(table.wanted(of: "quotes")) == Set(names))
        }
    }

    /// The rules again, for the four rights above.
    private func allowed(_ topic: String, right: Int) -> [String] {
        let instruments = [[], ["A"], ["A", "B", "C"], ["A", "B", "C", "D"]][right]
        if topic == "control/quotes/" { return right == 0 ? [] : [topic] }
        if topic == "md/quotes/" { return right == 3 ? [topic] : instruments.map { "md/quotes/\($0)/" } }
        return instruments.map { "md/quotes/\($0)/" }.filter { $0 == topic }
    }

    private func upstream(_ prefix: String) -> UpstreamTopic? {
        switch prefix {
        case "control/quotes/": nil
        case "md/quotes/": .everything
        default: .instrument(String(prefix.dropFirst("md/quotes/".count).dropLast()))
        }
    }
}
