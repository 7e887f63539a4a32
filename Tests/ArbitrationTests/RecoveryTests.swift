// What is asked of the venue's re-request servers: dialogues with the machine alone, and with the arbiter whose
// holes it fills.
import Arbitration
import Basics
import Testing

/// A machine and what is missing, in milliseconds.
private struct Recovery {
    var machine: RecoveryMachine
    var missing: [SequenceRange] = []
    private var now = milliseconds(1000)

    init(servers: Int = 1, _ change: (inout RecoveryOptions) -> Void = { _ in }) {
        var options = RecoveryOptions(servers: servers)
        change(&options)
        machine = RecoveryMachine(options: options)
    }

    /// What is asked when so much time has passed: `5–7 of 0`.
    mutating func look(after count: Int64 = 0) -> [String] {
        now = now + .milliseconds(count)
        guard let deadline = machine.deadline, deadline <= now else { return [] }
        return machine.look(Missing(missing), at: now).map { "\($0.range) of \($0.server)" }
    }

    /// A machine with other options takes the place of this one.
    mutating func replace(_ change: (inout RecoveryOptions) -> Void) {
        var options = machine.options
        change(&options)
        machine = RecoveryMachine(options: options, sent: machine.sentLately)
        machine.suspect(at: now)
    }

    mutating func suspect(_ range: ClosedRange<UInt64>) {
        missing.append(SequenceRange(range.lowerBound, range.upperBound))
        machine.suspect(at: now)
    }

    /// An answer, which fills what it brings.
    mutating func answer(_ range: ClosedRange<UInt64>, by server: Int? = 0) {
        fill(range)
        machine.answered(SequenceRange(range.lowerBound, range.upperBound), by: server, at: now)
    }

    mutating func refuse(by server: Int) { machine.refused(by: server, at: now) }

    mutating func refuse(from first: UInt64, count: UInt64 = 0, by server: Int, isFinal: Bool) {
        machine.refused(from: first, count: count, by: server, isFinal: isFinal, at: now)
    }

    mutating func withdraw(_ range: ClosedRange<UInt64>, of server: Int, for milliseconds: Int64) {
        machine.withdrawn(
            RecoveryRequest(SequenceRange(range.lowerBound, range.upperBound), server: server),
            until: now + .milliseconds(milliseconds), at: now)
    }

    mutating func fill(_ range: ClosedRange<UInt64>) {
        missing = missing.flatMap { missing in
            [
                (missing.first, min(missing.last, range.lowerBound &- 1)),
                (max(missing.first, range.upperBound + 1), missing.last),
            ]
            .filter { $0.0 <= $0.1 }.map { SequenceRange($0.0, $0.1) }
        }
    }
}

@Suite struct RecoveryTests {
    @Test func `the other path's copy is waited for before anybody is asked`() {
        var recovery = Recovery()
        #expect(recovery.machine.deadline == nil)
        recovery.suspect(5...7)
        #expect(recovery.look(after: 19) == [])
        recovery.fill(5...7)
        #expect(recovery.look(after: 1) == [])
        #expect(recovery.machine.deadline == nil && recovery.machine.counters.requests == 0)
    }

    @Test func `what is still missing then is asked for, and an answer ends it`() {
        var recovery = Recovery()
        recovery.suspect(5...7)
        #expect(recovery.look(after: 20) == ["5–7 of 0"])
        recovery.answer(5...7)
        #expect(recovery.look() == [])
        #expect(recovery.machine.deadline == nil && !recovery.machine.isWaiting)
        #expect(recovery.machine.counters.answers == 1)
    }

    @Test func `a short answer is followed by a request for its rest until all is there`() {
        var recovery = Recovery()
        recovery.suspect(1...100)
        #expect(recovery.look(after: 20) == ["1–100 of 0"])
        recovery.answer(1...35)
        #expect(recovery.look(after: 1) == [])
        #expect(recovery.look(after: 1) == ["36–100 of 0"])
        recovery.answer(36...70)
        recovery.answer(71...100)
        #expect(recovery.look(after: 5) == [])
        #expect(recovery.machine.counters.requests == 2 && recovery.machine.counters.unanswered == 0)
    }

    @Test func `an answer in several packets needs one request`() {
        var recovery = Recovery()
        recovery.suspect(1...100)
        #expect(recovery.look(after: 20) == ["1–100 of 0"])
        for first in stride(from: UInt64(1), to: 100, by: 25) {
            recovery.answer(first...(first + 24))
            #expect(recovery.look(after: 1) == [])
        }
        #expect(recovery.machine.counters.requests == 1)
    }

    @Test func `a server that does not answer is passed over, and asked again when the others do not either`()
    {
        var recovery = Recovery(servers: 2)
        recovery.suspect(9...9)
        #expect(recovery.look(after: 20) == ["9 of 0"])
        #expect(recovery.look(after: 99) == [])
        #expect(recovery.look(after: 1) == ["9 of 1"])
        #expect(recovery.look(after: 100) == ["9 of 0"])
        #expect(recovery.machine.counters.unanswered == 2)
        recovery.fill(9...9)
        #expect(recovery.look(after: 100) == [])
        #expect(recovery.machine.counters.unanswered == 2, "the other path brought it: nobody failed")
    }

    @Test func `a server that has nothing rests, and the next is asked at once`() {
        var recovery = Recovery(servers: 2)
        recovery.suspect(9...9)
        #expect(recovery.look(after: 20) == ["9 of 0"])
        recovery.refuse(by: 0)
        #expect(recovery.look(after: 10) == ["9 of 1"])
        recovery.refuse(by: 1)
        #expect(recovery.look(after: 50) == [])
        #expect(recovery.look(after: 40) == ["9 of 0"])
    }

    @Test func `requests are cut and kept within the quota of any second`() {
        var recovery = Recovery { options in
            options.messagesPerRequest = 10
            options.requestsPerSecond = 4
            options.mostOutstanding = 100
        }
        recovery.suspect(1...100)
        var asked = recovery.look(after: 20)
        #expect(asked == ["1–10 of 0"])
        for _ in 0..<979 { asked += recovery.look(after: 1) }
        #expect(asked.count == 4, "\(asked)")
        for _ in 0..<1000 { asked += recovery.look(after: 1) }
        #expect(asked.count == 8)
    }

    @Test func `a machine that takes another one's place keeps the quota that both share`() {
        var recovery = Recovery { options in
            options.messagesPerRequest = 1
            options.requestsPerSecond = 8
            options.mostOutstanding = 100
        }
        recovery.suspect(1...100)
        var asked: [Int] = []
        for time in 0..<500 {
            if time == 60 { recovery.replace { $0.messagesPerRequest = 2 } }
            asked.append(recovery.look(after: 1).count)
        }
        #expect(asked.reduce(0, +) == 8)
        // A smaller quota, twice.
        for time in 500..<2500 {
            if time == 500 || time == 700 { recovery.replace { $0.requestsPerSecond = 4 } }
            asked.append(recovery.look(after: 1).count)
            if asked[time] > 0 { #expect(asked[max(0, time - 999)...time].reduce(0, +) <= 4) }
        }
        #expect(asked[1500...].reduce(0, +) >= 4)
    }

    @Test func `no more requests are under way than may be`() {
        var recovery = Recovery { $0.mostOutstanding = 2 }
        for first in stride(from: UInt64(1), to: 50, by: 10) { recovery.suspect(first...first) }
        var asked: [String] = []
        for _ in 0..<50 { asked += recovery.look(after: 1) }
        #expect(asked == ["1 of 0", "11 of 0"])
        recovery.answer(1...1)
        #expect(recovery.look(after: 1) == ["21 of 0"])
    }

    @Test func `duplicates and strangers' numbers trigger nothing`() {
        var recovery = Recovery()
        for _ in 0..<10 { recovery.answer(1...5) }
        #expect(recovery.look(after: 1000) == [])
        #expect(recovery.machine.counters == RecoveryCounters())
    }

    @Test func `what goes to all who listen answers whoever was asked for it`() {
        var recovery = Recovery(servers: 2) { $0.messagesPerRequest = 5 }
        recovery.suspect(1...10)
        #expect(recovery.look(after: 20) == ["1–5 of 0"])
        #expect(recovery.look(after: 1) == ["6–10 of 0"])
        recovery.answer(1...10, by: nil)
        #expect(recovery.look() == [] && !recovery.machine.isWaiting)
        #expect(recovery.machine.counters.answers == 2)
    }

    @Test func `what a server refuses for good is asked of the others only, and then of nobody`() {
        var recovery = Recovery(servers: 2) { $0.messagesPerRequest = 5 }
        recovery.suspect(1...7)
        #expect(recovery.look(after: 20) == ["1–5 of 0"])
        #expect(recovery.look(after: 1) == ["6–7 of 0"])
        recovery.refuse(from: 1, by: 0, isFinal: true)
        recovery.answer(6...7)
        #expect(recovery.look(after: 1) == ["1–5 of 1"])
        recovery.refuse(from: 1, by: 1, isFinal: true)
        var asked: [String] = []
        for _ in 0..<1000 { asked += recovery.look(after: 1) }
        #expect(asked == [] && recovery.machine.counters.unanswered == 2)
        // What else is missing is asked for as ever.
        recovery.suspect(9...9)
        #expect(recovery.look(after: 20) == ["9 of 0"])
    }

    @Test func `one refusal leaves what lies beside it`() {
        var recovery = Recovery { $0.messagesPerRequest = 2 }
        recovery.suspect(1...6)
        #expect(recovery.look(after: 20) == ["1–2 of 0"])
        #expect(recovery.look(after: 1) == ["3–4 of 0"])
        recovery.refuse(from: 3, by: 0, isFinal: true)
        recovery.refuse(from: 99, by: 0, isFinal: true)
        #expect(recovery.look(after: 1) == ["5–6 of 0"])
        #expect(recovery.look(after: 500) == ["1–2 of 0"])
    }

    @Test func `a refusal is of all that was asked for, though less has been asked for again since`() {
        var recovery = Recovery(servers: 2) { $0.messagesPerRequest = 100 }
        recovery.suspect(1...60)
        #expect(recovery.look(after: 20) == ["1–60 of 0"])
        recovery.answer(33...60, by: nil)
        recovery.suspect(41...48)
        #expect(recovery.look(after: 20) == ["1–32 of 0"])
        recovery.refuse(from: 1, count: 60, by: 0, isFinal: true)
        #expect(recovery.look(after: 20) == ["1–32 of 1"])
        #expect(recovery.look(after: 20) == ["41–48 of 1"])
    }

    @Test func `what is refused in parts is asked of those who did not refuse it`() {
        var recovery = Recovery(servers: 3)
        recovery.suspect(1...9)
        #expect(recovery.look(after: 20) == ["1–9 of 0"])
        // On its way 1 to 3 were lost, what follows was not: the refusal is of all.
        recovery.answer(4...6, by: nil)
        recovery.refuse(from: 1, count: 9, by: 0, isFinal: true)
        #expect(recovery.look(after: 20) == ["1–3 of 1"])
        #expect(recovery.look(after: 20) == ["7–9 of 1"])
        recovery.refuse(from: 1, count: 3, by: 1, isFinal: true)
        #expect(recovery.look(after: 20) == ["1–3 of 2"])
        // This one refuses what it was never asked for, across both.
        recovery.refuse(from: 3, count: 5, by: 2, isFinal: true)
        recovery.refuse(from: 1, count: 3, by: 2, isFinal: true)
        recovery.refuse(from: 7, count: 3, by: 1, isFinal: true)
        var asked: [String] = []
        for _ in 0..<1000 { asked += recovery.look(after: 1) }
        #expect(Set(asked) == ["8–9 of 2"])
    }

    @Test func `what is refused when another one has brought its end is not asked of the same one again`() {
        var recovery = Recovery(servers: 2)
        recovery.suspect(1...6)
        #expect(recovery.look(after: 20) == ["1–6 of 0"])
        recovery.answer(5...6, by: nil)
        recovery.refuse(from: 1, count: 6, by: 0, isFinal: true)
        #expect(recovery.look(after: 20) == ["1–4 of 1"])
        // Numbers that nobody misses are not kept, and none that cannot be.
        recovery.refuse(from: .max, count: 2, by: 0, isFinal: true)
        recovery.refuse(from: 100, count: 10, by: 0, isFinal: true)
        recovery.answer(1...4, by: 1)
        _ = recovery.look(after: 20)
        recovery.suspect(100...101)
        #expect(recovery.look(after: 20) == ["100–101 of 0"])
    }

    @Test func `a refusal counts although some of what was asked for has come by another way`() {
        var recovery = Recovery()
        recovery.suspect(1...6)
        #expect(recovery.look(after: 20) == ["1–6 of 0"])
        recovery.answer(1...3, by: nil)
        recovery.refuse(from: 1, by: 0, isFinal: true)
        var asked: [String] = []
        for _ in 0..<1000 { asked += recovery.look(after: 1) }
        #expect(asked == [] && !recovery.machine.isWaiting)
    }

    @Test func `a refusal for now lets the next server be asked, and this one later`() {
        var recovery = Recovery(servers: 2)
        recovery.suspect(9...9)
        #expect(recovery.look(after: 20) == ["9 of 0"])
        recovery.refuse(from: 9, by: 0, isFinal: false)
        #expect(recovery.look(after: 10) == ["9 of 1"])
        recovery.refuse(from: 9, by: 1, isFinal: false)
        #expect(recovery.look(after: 80) == [])
        #expect(recovery.look(after: 10) == ["9 of 0"])
    }

    @Test func `a request that was not sent is none, and is made when it may be`() {
        var recovery = Recovery()
        recovery.suspect(9...9)
        #expect(recovery.look(after: 20) == ["9 of 0"])
        recovery.withdraw(9...9, of: 0, for: 300)
        #expect(recovery.machine.counters.requests == 0)
        #expect(recovery.look(after: 10) == [])
        #expect(recovery.look(after: 289) == [])
        #expect(recovery.look(after: 1) == ["9 of 0"])
        #expect(recovery.machine.counters.requests == 1)
    }

    @Test func `what nobody may be asked for now keeps no later hole from being asked for`() {
        var recovery = Recovery(servers: 2)
        recovery.suspect(1...1)
        #expect(recovery.look(after: 20) == ["1 of 0"])
        recovery.refuse(from: 1, by: 0, isFinal: true)
        #expect(recovery.look(after: 1) == ["1 of 1"])
        recovery.withdraw(1...1, of: 1, for: 600_000)
        #expect(recovery.look(after: 1) == [])
        recovery.suspect(5...9)
        #expect(recovery.look(after: 19) == [])
        #expect(recovery.look(after: 1) == ["5–9 of 0"])
        recovery.answer(5...9)
        #expect(recovery.look() == [])
        #expect(recovery.look(after: 600_000) == ["1 of 1"])
    }

    @Test func `what nobody may be asked for now keeps nothing behind it from being asked for`() {
        var recovery = Recovery(servers: 2) { $0.messagesPerRequest = 3 }
        recovery.suspect(1...8)
        #expect(recovery.look(after: 20) == ["1–3 of 0"])
        recovery.refuse(from: 1, by: 0, isFinal: true)
        #expect(recovery.look(after: 1) == ["1–3 of 1"])
        recovery.withdraw(1...3, of: 1, for: 600_000)
        #expect(recovery.look(after: 1) == ["4–6 of 0"])
        #expect(recovery.look(after: 1) == ["7–8 of 0"])
        recovery.refuse(from: 7, by: 0, isFinal: false)
        recovery.answer(4...6, by: nil)
        // Both rest: the first that may be asked again wakes it.
        #expect(recovery.look() == [])
        #expect(recovery.look(after: 99) == [])
        #expect(recovery.look(after: 1) == ["7–8 of 0"])
    }

    @Test func `what nobody may be asked for may be the last number of all`() {
        var recovery = Recovery(servers: 2)
        let last = UInt64.max
        recovery.suspect((last - 1)...last)
        #expect(recovery.look(after: 20) == ["\(last - 1) of 0"])
        recovery.refuse(from: last - 1, by: 0, isFinal: true)
        #expect(recovery.look(after: 1) == ["\(last - 1) of 1"])
        recovery.withdraw((last - 1)...(last - 1), of: 1, for: 600_000)
        #expect(recovery.look(after: 1) == ["\(last) of 0"])
        recovery.refuse(from: last, by: 0, isFinal: true)
        #expect(recovery.look(after: 1) == [])
    }

    @Test func `another session forgets what was asked`() {
        var recovery = Recovery()
        recovery.suspect(5...7)
        _ = recovery.look(after: 20)
        recovery.machine.reset()
        #expect(recovery.machine.deadline == nil && !recovery.machine.isWaiting)
    }
}

@Suite struct RequestQuotaTests {
    /// How many of the requests that are wanted each millisecond are allowed, and when.
    private func allowed(_ quota: RequestQuota, through end: Int64) -> [Int64] {
        var quota = quota
        var sent: [Int64] = []
        for time in 0..<end where quota.nextAllowed(at: milliseconds(time)) <= milliseconds(time) {
            quota.count(at: milliseconds(time))
            sent.append(time)
        }
        return sent
    }

    @Test func `in no second, minute or day are there more than allowed, and soon there may be more`() {
        let sent = allowed(RequestQuota(second: 3, minute: 10, day: nil), through: 130_000)
        for start in sent {
            #expect(sent.count { (start..<(start + 1000)).contains($0) } <= 3)
            #expect(sent.count { (start..<(start + 60_000)).contains($0) } <= 10)
        }
        #expect(sent.count >= 20)
        var daily = RequestQuota(second: nil, minute: nil, day: 2)
        for time in [0, 1] as [Int64] { daily.count(at: milliseconds(time)) }
        #expect(daily.nextAllowed(at: milliseconds(2)) >= milliseconds(86_400_000))
        #expect(daily.nextAllowed(at: milliseconds(90_000_000)) == milliseconds(90_000_000))
    }

    @Test func `what was counted under other limits counts, against those in force`() {
        var sent: [Int64] = []
        var quota = RequestQuota(second: 3, minute: 10, day: nil)
        for time in 0..<130_000 as Range<Int64> {
            if time.isMultiple(of: 700) {
                let earlier = quota
                quota = RequestQuota(second: 3, minute: 10, day: nil)
                quota.follow(earlier)
            }
            guard quota.nextAllowed(at: milliseconds(time)) <= milliseconds(time) else { continue }
            quota.count(at: milliseconds(time))
            sent.append(time)
        }
        for start in sent {
            #expect(sent.count { (start..<(start + 1000)).contains($0) } <= 3)
            #expect(sent.count { (start..<(start + 60_000)).contains($0) } <= 10)
        }
        #expect(sent.count >= 20)
        var daily = RequestQuota(second: nil, minute: nil, day: 10)
        for time in 0..<5 as Range<Int64> { daily.count(at: milliseconds(time)) }
        var fewer = RequestQuota(second: 1, minute: nil, day: 4)
        fewer.follow(daily)
        #expect(fewer.nextAllowed(at: milliseconds(10)) >= milliseconds(86_400_000))
        var more = RequestQuota(second: nil, minute: 1, day: 6)
        more.follow(daily)
        #expect(more.nextAllowed(at: milliseconds(10)) == milliseconds(10))
        more.count(at: milliseconds(10))
        #expect(more.nextAllowed(at: milliseconds(90_000)) >= milliseconds(86_400_000))
    }

    @Test func `without limits there are none`() {
        #expect(allowed(RequestQuota(second: nil, minute: nil, day: nil), through: 500).count == 500)
    }
}

@Suite struct MissingTests {
    private func dialogue() -> Dialogue {
        var dialogue = Dialogue { options in
            options.recoveryTime = .milliseconds(500)
            options.reorderCount = 64
        }
        _ = dialogue.offer(1)
        return dialogue
    }

    @Test func `a hole that is recovered stays open beyond the reorder time`() {
        var dialogue = dialogue()
        _ = dialogue.offer(4)
        #expect(dialogue.tick(after: 20) == [])
        #expect(dialogue.arbiter.isMissing(2) == true)
        #expect(dialogue.arbiter.isMissing(3) == true)
        #expect(dialogue.offer(2...3) == [.message(2), .message(3), .message(4)])
        #expect(dialogue.arbiter.isMissing(3) == false)
    }

    @Test func `what nobody recovers is told when the time for it is over`() {
        var dialogue = dialogue()
        _ = dialogue.offer(4)
        #expect(dialogue.tick(after: 519) == [])
        #expect(dialogue.tick(after: 1) == [.gap(2, 3, .timeout), .message(4)])
        #expect(dialogue.arbiter.isMissing(2) == false)
    }

    @Test func `what is missing is named once it has been missing for long enough`() {
        var dialogue = dialogue()
        _ = dialogue.offer(4)
        dialogue.pass(10)
        _ = dialogue.offer(8)
        let patience = Duration.milliseconds(20)
        #expect(
            dialogue.arbiter.missing(for: patience, atMost: 9, at: dialogue.now)
                == Missing([], ripensAt: milliseconds(1020)))
        dialogue.pass(10)
        #expect(
            dialogue.arbiter.missing(for: patience, atMost: 9, at: dialogue.now)
                == Missing([SequenceRange(2, 3)], ripensAt: milliseconds(1030)))
        dialogue.pass(10)
        #expect(
            dialogue.arbiter.missing(for: patience, atMost: 9, at: dialogue.now)
                == Missing([SequenceRange(2, 3), SequenceRange(5, 7)]))
        #expect(
            dialogue.arbiter.missing(for: patience, atMost: 1, at: dialogue.now)
                == Missing([SequenceRange(2, 3)], isComplete: false))
    }

    @Test func `a hole wider than the window is named as far as the window reaches`() {
        var dialogue = dialogue()
        _ = dialogue.offer(1_000_000...1_000_001)
        dialogue.pass(30)
        #expect(
            dialogue.arbiter.missing(for: .milliseconds(20), atMost: 9, at: dialogue.now)
                == Missing([SequenceRange(2, 2 + 128)], isComplete: false))
    }
}
