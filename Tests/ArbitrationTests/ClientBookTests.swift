// Clients and their leases as a dialogue: up to date, behind, missing something, silent, gone.
import Arbitration
import Basics
import Testing
import Wire

@Suite struct ClientBookTests {
    private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func lease(
        _ name: String = "algo", expires: Duration = .seconds(3), missed: UInt64 = 0
    ) -> ClientLease { ClientLease(name: name, expiresAfter: expires, missed: missed) }

    private func at(_ client: UInt64, of gateway: UInt64, numbering: UInt64 = 7) -> [ClientProgress] {
        [ClientProgress(feed: "itch", channel: 0, numbering: numbering, client: client, gateway: gateway)]
    }

    /// `<status> <behind> <behind for, ms>: <reason>`
    private func line(_ verdict: LeaseVerdict) -> String {
        switch verdict {
        case .taken(let condition, _): line(condition)
        case .ended: "ended"
        case .later(let wait): "later \(wait.nanoseconds / 1_000_000)"
        case .full(let limit): "full \(limit)"
        case .notYours(let owner): "not yours but \(owner ?? "the clear")'s"
        }
    }

    private func line(_ condition: ClientCondition) -> String {
        "\(condition.status.rawValue) \(condition.behind) \(condition.behindFor.nanoseconds / 1_000_000): \(condition.reason)"
    }

    private func lines(_ actions: [ClientAction]) -> [String] {
        actions.map { action in
            switch action {
            case .report(let name, let condition): "\(name) \(line(condition))"
            case .forget(let name): "\(name) forgotten"
            }
        }
    }

    @Test func `who has all that was published when it last was up to date is not behind`() {
        var book = ClientBook()
        let first = book.lease(lease(), owner: nil, progress: at(90, of: 100), at: ms(0))
        #expect(line(first) == "ok 10 0: up to date")
        // A fast feed: it is 1000 behind, and has had all that was there a second ago.
        let second = book.lease(lease(), owner: nil, progress: at(5000, of: 6000), at: ms(1000))
        #expect(line(second) == "ok 1000 0: up to date")
        #expect(book.deadline == ms(4000))
    }

    @Test func `who lacks for a second what was published is behind, until it has caught up for a while`() {
        var book = ClientBook()
        _ = book.lease(lease(), owner: nil, progress: at(100, of: 100), at: ms(0))
        _ = book.lease(lease(), owner: nil, progress: at(100, of: 900), at: ms(500))
        let third = book.lease(lease(), owner: nil, progress: at(120, of: 1400), at: ms(1000))
        #expect(line(third) == "ok 1280 500: up to date")
        let fourth = book.lease(lease(), owner: nil, progress: at(130, of: 1500), at: ms(1500))
        #expect(line(fourth) == "warning 1370 1000: behind, by 1000 messages or more")
        let fifth = book.lease(lease(), owner: nil, progress: at(1500, of: 1500), at: ms(2000))
        #expect(line(fifth) == "warning 0 0: behind")
        _ = book.lease(lease(expires: .seconds(60)), owner: nil, progress: at(1500, of: 1500), at: ms(3000))
        #expect(book.tick(at: ms(6000)) == [])
        #expect(lines(book.tick(at: ms(6500))) == ["algo ok 0 0: up to date"])
    }

    @Test func `another epoch begins the count anew`() {
        var book = ClientBook()
        _ = book.lease(lease(), owner: nil, progress: at(100, of: 900), at: ms(0))
        let next = book.lease(lease(), owner: nil, progress: at(0, of: 50, numbering: 8), at: ms(2000))
        #expect(line(next) == "ok 50 0: up to date")
    }

    @Test func `what a client says that it missed is told for a minute`() {
        var book = ClientBook()
        let first = book.lease(lease(expires: .seconds(300)), owner: nil, progress: [], at: ms(0))
        #expect(line(first) == "ok 0 0: up to date")
        let second = book.lease(
            lease(expires: .seconds(300), missed: 12), owner: nil, progress: [], at: ms(1000))
        guard case .taken(let condition, missed: 12) = second else {
            Issue.record("\(second)")
            return
        }
        #expect(line(condition) == "warning 0 0: it missed messages lately")
        #expect(lines(book.tick(at: ms(61_000))) == ["algo ok 0 0: up to date"])
        // A client that was started anew counts from nothing.
        let third = book.lease(
            lease(expires: .seconds(300), missed: 3), owner: nil, progress: [], at: ms(70_000))
        guard case .taken(_, missed: 3) = third else {
            Issue.record("\(third)")
            return
        }
    }

    @Test func `a lease that expires is critical, and forgotten after ten minutes`() {
        var book = ClientBook()
        _ = book.lease(lease(), owner: nil, progress: at(100, of: 105), at: ms(0))
        #expect(book.tick(at: ms(2999)) == [])
        #expect(
            lines(book.tick(at: ms(3000))) == [
                "algo critical 5 0: no lease for 3.0 s, by less than 10 messages"
            ])
        #expect(book.tick(at: ms(3001)) == [])
        #expect(book.deadline == ms(603_000))
        #expect(lines(book.tick(at: ms(603_000))) == ["algo forgotten"])
        #expect(book.count == 0)
        #expect(book.deadline == nil)
    }

    @Test func `a client that comes back is well again, and one that says goodbye is gone`() {
        var book = ClientBook()
        _ = book.lease(lease(), owner: nil, progress: [], at: ms(0))
        _ = book.tick(at: ms(3000))
        #expect(line(book.lease(lease(), owner: nil, progress: [], at: ms(4000))) == "ok 0 0: up to date")
        #expect(line(book.lease(lease(expires: .zero), owner: nil, progress: [], at: ms(5000))) == "ended")
        #expect(book.count == 0)
    }

    @Test func `a lease belongs to who took it: nobody else renews it or ends it, until it is forgotten`() {
        var book = ClientBook()
        _ = book.lease(lease("fra.1"), owner: "fra.1", progress: [], at: ms(0))
        _ = book.lease(lease("local"), owner: nil, progress: [], at: ms(0))
        for (expires, at) in [(Duration.seconds(3), ms(1000)), (.zero, ms(2000)), (.seconds(3), ms(4000))] {
            for (name, owner, told) in [
                ("fra.1", "fra", "fra.1"), ("fra.1", nil, "fra.1"), ("local", "local", "the clear"),
            ] {
                let verdict = book.lease(
                    lease(name, expires: expires), owner: owner, progress: [], at: at)
                #expect(line(verdict) == "not yours but \(told)'s")
            }
            _ = book.tick(at: at)
        }
        #expect(book.refused == 9 && book.count == 2)
        // Its own comes back, and others do when it has gone.
        let again = book.lease(lease("fra.1"), owner: "fra.1", progress: [], at: ms(5000))
        #expect(line(again) == "ok 0 0: up to date")
        let goodbye = lease("fra.1", expires: .zero)
        #expect(line(book.lease(goodbye, owner: "fra.1", progress: [], at: ms(6000))) == "ended")
        let other = book.lease(lease("fra.1"), owner: "fra", progress: [], at: ms(7000))
        #expect(line(other) == "ok 0 0: up to date")
        _ = book.tick(at: ms(603_000))
        let next = book.lease(lease("local"), owner: "local", progress: [], at: ms(603_001))
        #expect(line(next) == "ok 0 0: up to date")
    }

    @Test func `leases are paced, each client's and all together`() {
        var limits = ClientBook.Limits()
        (limits.leasesPerSecond, limits.newPerSecond) = (3, 2)
        var book = ClientBook(limits: limits)
        _ = book.lease(lease("a"), owner: nil, progress: [], at: ms(0))
        #expect(line(book.lease(lease("a"), owner: nil, progress: [], at: ms(40))) == "later 60")
        _ = book.lease(lease("b"), owner: nil, progress: [], at: ms(50))
        #expect(line(book.lease(lease("c"), owner: nil, progress: [], at: ms(60))) == "later 940")
        _ = book.lease(lease("a"), owner: nil, progress: [], at: ms(100))
        #expect(line(book.lease(lease("b"), owner: nil, progress: [], at: ms(200))) == "later 800")
        #expect(line(book.lease(lease("c"), owner: nil, progress: [], at: ms(1000))) == "ok 0 0: up to date")
        #expect(book.postponed == 3)
    }

    @Test func `there are so many clients, and so many of one key`() {
        var limits = ClientBook.Limits()
        (limits.clients, limits.perOwner) = (3, 2)
        var book = ClientBook(limits: limits)
        for name in ["desk.1", "desk.2"] {
            _ = book.lease(lease(name), owner: "desk", progress: [], at: ms(0))
        }
        #expect(line(book.lease(lease("desk.3"), owner: "desk", progress: [], at: ms(0))) == "full 2")
        _ = book.lease(lease("local"), owner: nil, progress: [], at: ms(0))
        #expect(line(book.lease(lease("more"), owner: nil, progress: [], at: ms(0))) == "full 3")
        #expect(book.refused == 2)
    }
}
