// A replica's channel as a dialogue: what it asks for, what it does with answers, and how far behind it says that it is;
// and what the gateway that it follows knows of it.
import Basics
import FeedJournal
import Testing
import Wire

/// A dialogue with a replica's machine, in milliseconds.
private struct ReplicaDialogue {
    var machine: ReplicaMachine
    var now = Instant(nanoseconds: 1_000_000_000)
    static let noon = WallTime(nanoseconds: 1_767_355_200_000_000_000)

    init() { machine = ReplicaMachine(at: now) }

    var wall: WallTime { ReplicaDialogue.noon + (now - Instant(nanoseconds: 1_000_000_000)) }

    mutating func wait(_ milliseconds: Int64) { now = now + .milliseconds(milliseconds) }

    mutating func open(at segment: UInt64 = 0, _ offset: Int = 0, messages: UInt64 = 0) {
        #expect(machine.next(at: now) == .perform(.open))
        machine.finished(.done(position(segment, offset, messages)), at: now)
    }

    func position(_ segment: UInt64, _ offset: Int, _ messages: UInt64) -> ReplicaPosition {
        var position = ReplicaPosition()
        position.place = PullRequest.Place(segment: segment, offset: offset)
        position.messages = messages
        position.header = segment == 0 ? nil : 7
        position.through = messages == 0 ? nil : ReplicaDialogue.noon
        return position
    }

    /// An answer of so many bytes.
    mutating func answered(
        _ segment: UInt64, _ offset: Int, bytes: Int, size: Int, header: UInt32? = 7, next: UInt64? = nil,
        behind: UInt64
    ) -> ReplicaMachine.Action? {
        let pulled = PulledBytes(
            place: PullRequest.Place(segment: segment, offset: offset), size: size, header: header,
            next: next,
            behind: behind)
        return machine.answered(.bytes(pulled), Array(repeating: 0, count: bytes), at: now)
    }

    mutating func stored(_ segment: UInt64, _ offset: Int, _ messages: UInt64) {
        machine.finished(.done(position(segment, offset, messages)), at: now)
    }

    var status: Status { machine.verdict(ReplicaLimits(), at: now, wall: wall).0 }
    var seconds: Double { machine.lag.time(at: now, wall: wall).inSeconds }
}

@Suite struct ReplicaTests {
    @Test func `segments that are too old are looked for also while nothing comes`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 1, 900, messages: 10)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        dialogue.wait(601_000)
        #expect(dialogue.answered(1, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.next(at: dialogue.now) == .perform(.expire))
        #expect(dialogue.machine.next(at: dialogue.now) == nil && dialogue.machine.deadline == nil)
        dialogue.stored(1, 900, 10)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.machine.messages == 0 && dialogue.machine.trouble == nil)
    }

    @Test func `it pulls until it has everything, and then asks now and then`() {
        var dialogue = ReplicaDialogue()
        dialogue.open()
        #expect(dialogue.status == .unknown)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.machine.next(at: dialogue.now) == nil)
        guard case .perform(.store)? = dialogue.answered(1, 0, bytes: 500, size: 900, behind: 10) else {
            return #expect(Bool(false))
        }
        dialogue.stored(1, 480, 6)
        #expect(dialogue.machine.lag.messages == 4)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        _ = dialogue.answered(1, 480, bytes: 420, size: 900, behind: 4)
        dialogue.stored(1, 900, 10)
        #expect(dialogue.machine.lag.messages == 0 && dialogue.seconds == 0 && dialogue.status == .ok)
        #expect(dialogue.machine.next(at: dialogue.now) == nil)
        #expect(dialogue.machine.deadline == dialogue.now + .milliseconds(100))
        dialogue.wait(100)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.answered(1, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.messages == 10)
    }

    @Test func `an answer that never comes does not make it ask more often`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 1, 900, messages: 10)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        dialogue.wait(500)
        dialogue.machine.connected(at: dialogue.now)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        for _ in 0..<3 {
            // What it tells is as old as the first request that nobody answered.
            let asked = dialogue.now
            dialogue.wait(10)
            #expect(dialogue.answered(1, 900, bytes: 0, size: 900, behind: 0) == nil)
            #expect(dialogue.machine.lag.coveredAt.map { $0 < asked } == true)
            #expect(dialogue.machine.next(at: dialogue.now) == nil)
            #expect(dialogue.machine.deadline == asked + .milliseconds(100))
            dialogue.wait(90)
            #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        }
        guard case .perform(.store)? = dialogue.answered(1, 900, bytes: 100, size: 1000, behind: 1) else {
            return #expect(Bool(false))
        }
        dialogue.stored(1, 1000, 11)
        #expect(dialogue.machine.deadline == dialogue.now + .milliseconds(100))
    }

    @Test func `behind a closed segment it goes on with the next one`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, next: 4, behind: 5) == nil)
        #expect(dialogue.machine.position.place == PullRequest.Place(segment: 4, offset: 0))
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        guard case .perform? = dialogue.answered(4, 0, bytes: 400, size: 400, header: 9, behind: 5) else {
            return #expect(Bool(false))
        }
        dialogue.stored(4, 400, 5)
        #expect(dialogue.machine.lag.messages == 0)
        #expect(dialogue.machine.missed == 0)
    }

    @Test func `what is gone over there is counted, and it goes on with what there is`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(
            dialogue.machine.answered(
                .refused("segment 3 is not there any more", retryAfter: nil, first: 7), [], at: dialogue.now)
                == nil)
        #expect(dialogue.machine.position.place == PullRequest.Place(segment: 7, offset: 0))
        #expect(dialogue.machine.missed == 3)
        #expect(dialogue.machine.trouble == nil)
    }

    @Test func `a segment that is gone before anything of it came is counted, too`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 0, size: 900, next: 4, behind: 5)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.machine.answered(
            .refused("segment 4 is not there any more", retryAfter: nil, first: 6), [], at: dialogue.now)
        #expect(dialogue.machine.missed == 2)
        #expect(dialogue.machine.position.place == PullRequest.Place(segment: 6, offset: 0))
    }

    @Test func `the end of a segment that goes over there is missing unless it was known to be here`() {
        for (size, next, isKnown) in [(900, 4, true), (950, 4, false), (900, nil, false)]
            as [(Int, UInt64?, Bool)]
        {
            var dialogue = ReplicaDialogue()
            dialogue.open(at: 3, 800, messages: 8)
            _ = dialogue.machine.next(at: dialogue.now)
            _ = dialogue.answered(3, 800, bytes: 100, size: size, next: next, behind: 2)
            dialogue.stored(3, 900, 10)
            dialogue.wait(100)
            // The next one goes, too, before anything of it came.
            for first in [4, 5] as [UInt64] {
                #expect(dialogue.machine.next(at: dialogue.now) == .ask)
                _ = dialogue.machine.answered(
                    .refused("not there any more", retryAfter: nil, first: first), [], at: dialogue.now)
            }
            #expect(dialogue.machine.next(at: dialogue.now) == .ask)
            let action = dialogue.answered(5, 0, bytes: 400, size: 400, header: 9, behind: 5)
            guard case .perform(.store(_, _, let isEndKnown))? = action else { return #expect(Bool(false)) }
            #expect(isEndKnown == isKnown && dialogue.machine.missed == 1)
            var reached = dialogue.position(5, 400, 5)
            reached.unended = isKnown ? 0 : 1
            dialogue.machine.finished(.done(reached), at: dialogue.now)
            #expect(dialogue.machine.missed == (isKnown ? 1 : 2) && dialogue.machine.trouble == nil)
        }
    }

    @Test func `what is doubted is asked for again at once, and no trouble`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1)
        dialogue.machine.finished(.doubted, at: dialogue.now)
        #expect(dialogue.machine.trouble == nil && dialogue.machine.position.place.offset == 900)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        _ = dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1)
        var reached = dialogue.position(3, 910, 11)
        reached.damaged = 2
        dialogue.machine.finished(.done(reached), at: dialogue.now)
        #expect(dialogue.machine.damaged == 2 && dialogue.machine.lag.messages == 0)
        #expect(dialogue.status == .ok)
    }

    @Test func `a segment whose header cannot be read any more is no other one`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, header: nil, next: 4, behind: 5) == nil)
        #expect(dialogue.machine.trouble == nil)
        #expect(dialogue.machine.position.place == PullRequest.Place(segment: 4, offset: 0))
    }

    @Test func `an answer for another place, a late one and one that nobody asked for change nothing`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        #expect(dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1) == nil)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(dialogue.answered(3, 800, bytes: 10, size: 910, behind: 1) == nil)
        #expect(dialogue.answered(4, 900, bytes: 10, size: 910, behind: 1) == nil)
        #expect(dialogue.machine.deadline == dialogue.now + .seconds(30))
    }

    @Test func `another segment of the same number is refused by name, and tried again later`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(dialogue.answered(3, 900, bytes: 10, size: 910, header: 8, behind: 1) == nil)
        #expect(dialogue.machine.trouble?.contains("segment 3 over there is another one") == true)
        #expect(dialogue.status == .critical)
        dialogue.wait(1499)
        #expect(dialogue.machine.next(at: dialogue.now) == nil)
        dialogue.wait(1)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.trouble == nil && dialogue.status == .ok)
    }

    @Test func `a full disk and bytes that are refused are told, and tried again`() {
        for outcome in [ReplicaOutcome.failed("disk full"), .refused("record 5")] {
            var dialogue = ReplicaDialogue()
            dialogue.open(at: 3, 900, messages: 10)
            _ = dialogue.machine.next(at: dialogue.now)
            _ = dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1)
            dialogue.machine.finished(outcome, at: dialogue.now)
            #expect(dialogue.status == .critical)
            #expect(dialogue.machine.position.place.offset == 900)
            dialogue.wait(2000)
            #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        }
    }

    @Test func `while the disk is full it asks once each time, its figures go on, and then it catches up`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        let began = dialogue.now
        dialogue.wait(100)
        for times in 1...40 as ClosedRange<Int> {
            #expect(dialogue.machine.next(at: dialogue.now) == .ask)
            #expect(dialogue.machine.next(at: dialogue.now) == nil)
            let action = dialogue.answered(
                3, 900, bytes: 10 * times, size: 900 + 10 * times, behind: UInt64(times))
            guard case .perform(.store) = action else { return #expect(Bool(false)) }
            dialogue.machine.finished(.failed("no space left"), at: dialogue.now)
            let verdict = dialogue.machine.verdict(ReplicaLimits(), at: dialogue.now, wall: dialogue.wall)
            #expect(verdict == (.critical, "no space left"))
            #expect(dialogue.machine.lag.messages == UInt64(times))
            #expect(dialogue.seconds == (dialogue.now - began).inSeconds)
            // Neither end takes the other for silent meanwhile.
            let until = dialogue.machine.deadline ?? dialogue.now
            #expect(until > dialogue.now && until - dialogue.now < ReplicaLag.patience * 2)
            #expect(dialogue.machine.next(at: until + .nanoseconds(-1)) == nil)
            dialogue.now = until
        }
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        _ = dialogue.answered(3, 900, bytes: 300, size: 1300, behind: 40)
        dialogue.stored(3, 1200, 40)
        #expect(dialogue.machine.trouble == nil && dialogue.machine.lag.messages == 10)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        _ = dialogue.answered(3, 1200, bytes: 100, size: 1300, behind: 10)
        dialogue.stored(3, 1300, 50)
        #expect(dialogue.machine.lag.messages == 0 && dialogue.seconds == 0 && dialogue.status == .ok)
    }

    @Test func `silence makes it fall behind by the time since it had everything`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0)
        dialogue.wait(100)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        dialogue.wait(5000)
        #expect(dialogue.seconds == 5.1)
        #expect(dialogue.status == .warning)
        dialogue.wait(55_000)
        #expect(dialogue.status == .critical)
    }

    @Test func `a piece that takes long is waited for, and asked for again only after half a minute`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        for _ in 0..<29 {
            dialogue.wait(1000)
            #expect(dialogue.machine.next(at: dialogue.now) == nil)
        }
        #expect(dialogue.machine.isAsking && dialogue.machine.unanswered == 0)
        dialogue.wait(1000)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.machine.unanswered == 1)
    }

    @Test func `a late answer is as old as the first request for its place`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        let first = dialogue.now
        _ = dialogue.machine.next(at: dialogue.now)
        dialogue.wait(30_000)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        dialogue.wait(1000)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == first)
        // So is the answer to the second one, which comes when the place is asked for once more.
        let second = first + .seconds(30)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        let third = dialogue.now
        dialogue.wait(1000)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == second)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == third)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == third)
    }

    @Test func `an answer for where it was is that of a request that was given up`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        dialogue.wait(30_000)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1)
        dialogue.stored(3, 910, 11)
        dialogue.wait(1000)
        let third = dialogue.now
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.answered(3, 900, bytes: 10, size: 910, behind: 1) == nil)
        #expect(dialogue.machine.isAsking)
        dialogue.wait(1000)
        #expect(dialogue.answered(3, 910, bytes: 0, size: 910, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == third)
    }

    @Test func `after a new connection it asks at once, and what was under way may still come`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        let first = dialogue.now
        _ = dialogue.machine.next(at: dialogue.now)
        dialogue.wait(5000)
        dialogue.machine.connected(at: dialogue.now)
        #expect(dialogue.machine.askingDue(at: dialogue.now) == dialogue.now)
        #expect(dialogue.machine.next(at: dialogue.now, mayAsk: false) == nil)
        #expect(dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0) == nil)
        #expect(dialogue.machine.lag.coveredAt == first)
    }

    @Test func `who may not ask yet says since when it waits, and is due for nothing else`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        let due = dialogue.now
        #expect(dialogue.machine.expectsPiece)
        dialogue.wait(700)
        #expect(dialogue.machine.next(at: dialogue.now, mayAsk: false) == nil)
        #expect(dialogue.machine.askingDue(at: dialogue.now) == due && !dialogue.machine.isAsking)
        #expect(dialogue.machine.next(at: dialogue.now) == .ask)
        #expect(dialogue.machine.askingDue(at: dialogue.now) == nil && dialogue.machine.isAsking)
        _ = dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0)
        #expect(!dialogue.machine.expectsPiece)
        // A request that was given up waits for its turn again.
        dialogue.wait(100)
        _ = dialogue.machine.next(at: dialogue.now)
        let lost = dialogue.now + .seconds(30)
        dialogue.wait(31_000)
        #expect(dialogue.machine.next(at: dialogue.now, mayAsk: false) == nil)
        #expect(dialogue.machine.askingDue(at: dialogue.now) == lost && !dialogue.machine.isAsking)
    }

    @Test func `too soon is no trouble`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.machine.answered(
            .refused("too soon", retryAfter: .milliseconds(300), first: nil), [], at: dialogue.now)
        #expect(dialogue.machine.trouble == nil)
        #expect(dialogue.machine.deadline == dialogue.now + .milliseconds(300))
    }

    @Test func `who is put off again and again does not know how far it is behind`() {
        var dialogue = ReplicaDialogue()
        dialogue.open(at: 3, 900, messages: 10)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0)
        #expect(dialogue.seconds == 0 && dialogue.status == .ok)
        for _ in 0..<20 {
            dialogue.wait(500)
            #expect(dialogue.machine.next(at: dialogue.now) == .ask)
            _ = dialogue.machine.answered(
                .refused("too soon", retryAfter: .milliseconds(300), first: nil), [], at: dialogue.now)
        }
        #expect(dialogue.seconds == 10)
        let verdict = dialogue.machine.verdict(ReplicaLimits(), at: dialogue.now, wall: dialogue.wall)
        #expect(verdict == (.warning, "put off again and again"))
        dialogue.wait(500)
        _ = dialogue.machine.next(at: dialogue.now)
        _ = dialogue.answered(3, 900, bytes: 0, size: 900, behind: 0)
        #expect(dialogue.seconds == 0 && dialogue.status == .ok)
    }

    // MARK: - The other end

    private func pulled(
        _ book: inout ReplicaBook, _ offset: Int, bytes: Int, behind: UInt64, written: UInt64, at now: Instant
    ) {
        let request = PullRequest(
            feed: "itch", channel: 0, place: PullRequest.Place(segment: 1, offset: offset), replica: "b")
        let answer = PulledBytes(
            place: request.place, size: offset + bytes, header: 7, next: nil, behind: behind)
        book.pulled(
            request, by: name, 0, answer, bytes: bytes, isAll: true, written: written, at: now)
    }

    private let name = ReplicaBook.Name(feed: "itch", replica: "b")

    @Test func `each request acknowledges what was sent before it`() {
        var book = ReplicaBook()
        var now = Instant(nanoseconds: 1_000_000_000)
        let wall = ReplicaDialogue.noon
        func distance(_ written: UInt64) -> ReplicaDistance? {
            book.distance(of: name, at: now, wall: wall) { _ in written }
        }
        #expect(distance(0) == nil)
        pulled(&book, 100, bytes: 400, behind: 8, written: 20, at: now)
        #expect(distance(20)?.messages == 8)
        now = now + .milliseconds(100)
        pulled(&book, 500, bytes: 50, behind: 1, written: 21, at: now)
        // What it was sent a tenth of a second ago, it has now.
        #expect(distance(23)?.messages == 3)
        #expect(distance(23)?.time == .milliseconds(100))
        now = now + .milliseconds(100)
        pulled(&book, 550, bytes: 0, behind: 0, written: 23, at: now)
        #expect(distance(23) == ReplicaDistance(messages: 0, time: .zero, silence: .zero))
        now = now + .seconds(7)
        #expect(distance(30)?.messages == 7)
        #expect(distance(30)?.time == .seconds(7))
        let verdict = distance(30)?.verdict(ReplicaLimits(), quiet: "does not ask")
        #expect(verdict?.0 == .warning && verdict?.1 == "does not ask")
    }

    @Test func `who asks and is put off is not silent, and its distance grows`() {
        var book = ReplicaBook()
        var now = Instant(nanoseconds: 1_000_000_000)
        let wall = ReplicaDialogue.noon
        func distance() -> ReplicaDistance? { book.distance(of: name, at: now, wall: wall) { _ in 20 } }
        let request = PullRequest(
            feed: "itch", channel: 0, place: PullRequest.Place(segment: 1, offset: 500), replica: "b")
        // Of whom nothing is known, nothing is told.
        book.putOff(request, by: name, 0, at: now)
        #expect(distance() == nil)
        pulled(&book, 100, bytes: 400, behind: 8, written: 20, at: now)
        for _ in 0..<20 {
            now = now + .milliseconds(500)
            book.putOff(request, by: name, 0, at: now)
        }
        // It has what it was sent ten seconds ago, and whether more came since is not known.
        #expect(distance() == ReplicaDistance(messages: 0, time: .seconds(10), silence: .zero))
        let verdict = distance()?.verdict(ReplicaLimits(), quiet: "does not ask")
        #expect(verdict?.0 == .warning && verdict?.1 == "more than 5.0 s behind")
    }

    @Test func `replicas are bounded, and forgotten after a day of silence or with their feed`() {
        var limits = ReplicaBook.Limits()
        (limits.replicasOfFeed, limits.channels) = (1, 1)
        var book = ReplicaBook(limits: limits)
        let now = Instant(nanoseconds: 1_000_000_000)
        pulled(&book, 0, bytes: 1, behind: 1, written: 1, at: now)
        #expect(book.mayPull(name, 0, at: now))
        #expect(!book.mayPull(name, 1, at: now))
        #expect(!book.mayPull(ReplicaBook.Name(feed: "itch", replica: "c"), 0, at: now))
        #expect(book.forget(at: now + .seconds(86400), except: ["itch"]) == [])
        #expect(book.forget(at: now + .seconds(86401), except: ["itch"]) == [name])
        pulled(&book, 0, bytes: 1, behind: 1, written: 1, at: now)
        #expect(book.forget(at: now, except: []) == [name])
    }

    private func pulls(_ book: inout ReplicaBook, _ name: ReplicaBook.Name, at now: Instant) {
        let request = PullRequest(feed: name.feed, channel: 0, replica: name.replica)
        let answer = PulledBytes(
            place: PullRequest.Place(segment: 1, offset: 0), size: 1, header: 7, next: nil, behind: 1)
        book.pulled(request, by: name, 0, answer, bytes: 1, isAll: true, written: 1, at: now)
    }

    @Test func `each of many feeds has its replicas`() {
        var book = ReplicaBook()
        let now = Instant(nanoseconds: 1_000_000_000)
        for feed in 0..<64 {
            for replica in 0..<16 {
                let name = ReplicaBook.Name(feed: "feed\(feed)", replica: "\(replica)")
                #expect(book.mayPull(name, 0, at: now))
                pulls(&book, name, at: now)
            }
            #expect(!book.mayPull(ReplicaBook.Name(feed: "feed\(feed)", replica: "one more"), 0, at: now))
        }
        #expect(book.names.count == 64 * 16)
    }

    @Test func `of too many replicas the one that is silent for longest gives way, after a minute`() {
        var limits = ReplicaBook.Limits()
        limits.replicasOfFeed = 2
        var book = ReplicaBook(limits: limits)
        let start = Instant(nanoseconds: 1_000_000_000)
        func named(_ replica: String) -> ReplicaBook.Name { ReplicaBook.Name(feed: "itch", replica: replica) }
        pulls(&book, named("a"), at: start)
        pulls(&book, named("b"), at: start + .seconds(1))
        pulls(&book, ReplicaBook.Name(feed: "other", replica: "a"), at: start)
        #expect(!book.mayPull(named("c"), 0, at: start + .seconds(60)))
        #expect(book.mayPull(named("c"), 0, at: start + .seconds(61)))
        pulls(&book, named("c"), at: start + .seconds(61))
        #expect(book.names == [named("b"), named("c"), ReplicaBook.Name(feed: "other", replica: "a")])
        #expect(book.forget(at: start + .seconds(61), except: ["itch", "other"]) == [named("a")])
        #expect(book.forget(at: start + .seconds(61), except: ["itch", "other"]) == [])
        // Who comes back before that was told is there.
        pulls(&book, named("d"), at: start + .seconds(70))
        pulls(&book, named("b"), at: start + .seconds(122))
        #expect(book.forget(at: start + .seconds(122), except: ["itch", "other"]) == [named("c")])
    }
}
