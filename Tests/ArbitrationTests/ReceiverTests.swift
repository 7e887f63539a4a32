// Whom a message goes to: who holds a prefix of its topic, once, and nobody else.
import Basics
import Testing

@testable import Arbitration

@Suite struct ReceiverTests {
    private func table(atATime: Int = 256) -> SubscriptionTable {
        var limits = SubscriptionTable.Limits()
        limits.atATime = atATime
        var table = SubscriptionTable(limits: limits)
        _ = table.addFeed("quotes", linger: nil, at: .zero)
        return table
    }

    private func receivers(of topic: String, _ table: inout SubscriptionTable) -> [Int32] {
        var receivers: [Int32] = []
        _ = table.findReceivers(of: Array(topic.utf8).span, by: TopicRoute(), into: &receivers)
        return receivers.sorted()
    }

    /// By the way that was found the last time.
    private func receivers(
        of topic: String, _ routes: inout [String: TopicRoute], _ table: inout SubscriptionTable
    ) -> [Int32] {
        var receivers: [Int32] = []
        routes[topic] = table.findReceivers(
            of: Array(topic.utf8).span, by: routes[topic, default: TopicRoute()], into: &receivers)
        return receivers.sorted()
    }

    private func subscribe(_ prefix: String, by connection: Int32, _ table: inout SubscriptionTable) {
        _ = table.subscribe(Array(prefix.utf8)[...], by: connection, at: .zero)
    }

    @Test func `a message goes to who holds its topic or its whole feed, to each once`() {
        var table = table()
        subscribe("md/quotes/A/", by: 7, &table)
        subscribe("md/quotes/", by: 7, &table)
        subscribe("md/quotes/", by: 8, &table)
        subscribe("md/quotes/AB/", by: 9, &table)
        #expect(receivers(of: "md/quotes/A/", &table) == [7, 8])
        #expect(receivers(of: "md/quotes/AB/", &table) == [7, 8, 9])
        #expect(receivers(of: "md/quotes/B/", &table) == [7, 8])
        #expect(receivers(of: "control/quotes/0/", &table) == [])
        #expect(receivers(of: "md/other/A/", &table) == [])
    }

    @Test func `what is given up is not received any more`() {
        var table = table()
        for connection: Int32 in [7, 8, 9] { subscribe("md/quotes/A/", by: connection, &table) }
        _ = table.unsubscribe(Array("md/quotes/A/".utf8)[...], by: 8, at: .zero)
        #expect(receivers(of: "md/quotes/A/", &table) == [7, 9])
        subscribe("md/quotes/A/", by: 8, &table)
        #expect(receivers(of: "md/quotes/A/", &table) == [7, 8, 9])
    }

    @Test func `who is gone gets nothing from then on, whatever is still to be given up`() {
        var table = table(atATime: 1)
        for topic in ["A", "B", "C"] { subscribe("md/quotes/\(topic)/", by: 7, &table) }
        subscribe("md/quotes/B/", by: 8, &table)
        _ = table.closed(7, at: .zero)
        for topic in ["A", "C"] { #expect(receivers(of: "md/quotes/\(topic)/", &table) == []) }
        #expect(receivers(of: "md/quotes/B/", &table) == [8])
    }

    @Test func `another client with the number of one that is gone gets what it asked for itself`() {
        var table = table(atATime: 1)
        for topic in ["A", "B", "C"] { subscribe("md/quotes/\(topic)/", by: 7, &table) }
        _ = table.closed(7, at: .zero)
        subscribe("md/quotes/C/", by: 7, &table)
        #expect(receivers(of: "md/quotes/A/", &table) == [])
        #expect(receivers(of: "md/quotes/C/", &table) == [7])
        while table.deadline != nil { _ = table.tick(at: .zero) }
        #expect(receivers(of: "md/quotes/C/", &table) == [7])
        #expect(table.count == 1)
        subscribe("md/quotes/A/", by: 9, &table)
        #expect(receivers(of: "md/quotes/A/", &table) == [9])
    }

    @Test func `many who go together leave nothing behind, and who stays has what it had`() {
        var table = table(atATime: 1)
        for connection: Int32 in 1...50 {
            for topic in ["A", "B"] { subscribe("md/quotes/\(topic)/", by: connection, &table) }
        }
        for connection: Int32 in 1...50 where connection != 25 { _ = table.closed(connection, at: .zero) }
        #expect(receivers(of: "md/quotes/A/", &table) == [25])
        while table.deadline != nil { _ = table.tick(at: .zero) }
        #expect(table.count == 2)
        subscribe("md/quotes/A/", by: 60, &table)
        #expect(receivers(of: "md/quotes/A/", &table) == [25, 60])
        #expect(receivers(of: "md/quotes/B/", &table) == [25])
    }

    @Test func `who may have a part of a feed gets that part`() {
        var table = table()
        let entitled = Entitlements(topics: ["md/quotes/A/", "md/quotes/B/"])
        _ = table.subscribe(Array("md/quotes/".utf8)[...], by: 7, entitled: entitled, at: .zero)
        #expect(receivers(of: "md/quotes/A/", &table) == [7])
        #expect(receivers(of: "md/quotes/C/", &table) == [])
        _ = table.closed(7, at: .zero)
        #expect(table.count == 0)
        #expect(receivers(of: "md/quotes/A/", &table) == [])
    }

    /// As many clients and topics as chance has it, beside a plain dictionary of sets.
    @Test func `any sequence of requests has the receivers that a plain book has`() {
        var table = table(atATime: 2)
        var plain: [Int32: Set<String>] = [:]
        var routes: [String: TopicRoute] = [:]
        var random = SystemRandomNumberGenerator()
        let prefixes = ["md/quotes/", "control/quotes/"] + (0..<5).map { "md/quotes/I\($0)/" }
        for _ in 0..<3000 {
            let connection = Int32.random(in: 1...6, using: &random)
            let prefix = prefixes.randomElement(using: &random) ?? ""
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                _ = table.closed(connection, at: .zero)
                plain[connection] = nil
            case 1: _ = table.tick(at: .zero)
            case 2, 3:
                _ = table.unsubscribe(Array(prefix.utf8)[...], by: connection, at: .zero)
                plain[connection]?.remove(prefix)
            default:
                subscribe(prefix, by: connection, &table)
                plain[connection, default: []].insert(prefix)
            }
            let topic = prefixes.randomElement(using: &random) ?? ""
            let expected = plain.filter { $0.value.contains { topic.hasPrefix($0) } }.keys.sorted()
            #expect(receivers(of: topic, &table) == expected)
            #expect(receivers(of: topic, &routes, &table) == expected)
        }
    }
}
