// Whose turn it is to ask on a replica's one connection.
import Basics
import FeedJournal
import Testing

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

@Suite struct ReplicaTurnsTests {
    private func waiting(_ name: Int, _ since: Int64, piece: Bool = true) -> ReplicaTurns.Waiting<Int> {
        ReplicaTurns.Waiting(name, since: ms(since), expectsPiece: piece)
    }

    @Test func `the one that waits longest asks first, and of equals the first by name`() {
        var turns = ReplicaTurns()
        #expect(turns.grant([waiting(1, 30), waiting(3, 10), waiting(2, 10)]) == [2, 3, 1])
    }

    @Test func `few pieces are under way at once, and what is short passes them`() {
        var turns = ReplicaTurns()
        for _ in 0..<6 { turns.take(expectsPiece: true) }
        let many = (0..<20).map { waiting($0, Int64($0)) }
        let short = (100..<140).map { waiting($0, 50, piece: false) }
        #expect(turns.grant(many + short) == [0, 1] + Array(100..<124))
        #expect(turns.grant([waiting(7, 0), waiting(8, 0, piece: false)]) == [])
    }

    @Test func `no channel starves, however many there are`() {
        let channels = 100
        var since = (0..<channels).map { _ in Int64(0) }
        var asked = Set<Int>()
        // Those that had their turn wait again at once, as ones that are far behind.
        for round in Int64(1)...13 {
            var turns = ReplicaTurns()
            let granted = turns.grant((0..<channels).map { waiting($0, since[$0]) })
            #expect(granted.count == 8)
            for name in granted { since[name] = round }
            asked.formUnion(granted)
        }
        #expect(asked.count == channels)
    }

    @Test func `which channels there are is asked every few seconds, and again when nobody answers`() {
        var discovery = ReplicaDiscovery(at: ms(0))
        #expect(discovery.askingDue(at: ms(0)) == ms(0) && !discovery.isAsking)
        discovery.asked(at: ms(20))
        #expect(discovery.isAsking && discovery.askingDue(at: ms(9000)) == nil)
        discovery.answered(at: ms(40))
        #expect(discovery.deadline == ms(5020) && !discovery.isAsking)
        discovery.asked(at: ms(5020))
        #expect(discovery.deadline == ms(35_020))
        discovery.advance(at: ms(35_019))
        #expect(discovery.isAsking)
        discovery.advance(at: ms(35_020))
        #expect(discovery.askingDue(at: ms(35_020)) == ms(35_020))
        discovery.asked(at: ms(35_020))
        discovery.connected(at: ms(35_100))
        #expect(discovery.askingDue(at: ms(35_100)) == ms(35_100))
        // An answer to what was asked before the connection went changes nothing.
        discovery.answered(at: ms(35_100))
        #expect(discovery.askingDue(at: ms(35_100)) == ms(35_100))
    }
}
