// A feed's lines as dialogues: packets of A and B in, what is lost, twice, late and silent out.
import Basics
import Detection
import Testing
import Wire

/// A machine of lines, its clock, and packets by their numbers.
private struct Dialogue {
    var machine: LineMachine
    var now = Instant.zero
    var session: UInt64?

    init(
        _ names: [String] = ["A", "B"], session: UInt64? = 7, silence: Duration = .seconds(3),
        window: Duration = .seconds(60)
    ) {
        let loss = Limit(warning: .init(raise: 0.01, clear: 0.005), critical: .init(raise: 0.2, clear: 0.1))
        machine = LineMachine(
            lines: names, limits: LineLimits(silence: silence, lossWindow: window, loss: loss), from: .zero)
        self.session = session
        for line in names.indices { machine.opened(line, at: .zero) }
    }

    mutating func wait(_ milliseconds: Int64) {
        let end = now + .milliseconds(milliseconds)
        while now < end {
            now = min(end, now + .milliseconds(100))
            machine.tick(at: now)
        }
    }

    /// Both edges of a second in which holes are judged.
    mutating func settle() { wait(2200) }

    mutating func data(
        _ lines: [Int], _ first: UInt64, _ count: UInt32 = 1, channel: UInt32 = 0, delay: Duration = .zero
    ) {
        for line in lines {
            machine.received(
                SequencedHeader(
                    session: session, channel: channel, firstSequence: first, kind: .data(count: count),
                    messages: count),
                on: line, arrival: WallTime(nanoseconds: now.nanoseconds) + (line == 0 ? .zero : delay),
                at: now)
        }
    }

    mutating func heartbeat(_ lines: [Int], _ next: UInt64, kind: SequencedHeader.Kind = .heartbeat) {
        for line in lines {
            machine.received(
                SequencedHeader(session: session, firstSequence: next, kind: kind, messages: 0), on: line,
                arrival: WallTime(nanoseconds: now.nanoseconds), at: now)
        }
    }

    func status(_ line: Int) -> Status { machine.verdict(line, at: now).status }
    func reason(_ line: Int) -> String { machine.verdict(line, at: now).reason }
    func condition(_ line: Int) -> LineMachine.Condition { machine.verdict(line, at: now).condition }

    func value(_ name: String, _ line: Int) -> Value? {
        machine.verdict(line, at: now).values.first { $0.name == name }?.value
    }

    func count(_ name: String, _ line: Int) -> Int64? {
        if case .integer(let count) = value(name, line) { count } else { nil }
    }
}

@Suite struct LineTests {
    private let opening = SessionOpening(
        date: CivilDate(year: 2026, month: 11, day: 30), minutes: 240, zone: "America/New_York")

    @Test func `outside the venue's session silence and loss are not judged`() {
        var line = Dialogue()
        line.data([0, 1], 1, 100)
        line.machine.session(is: .closed(until: opening), at: line.now)
        line.wait(60_000)
        #expect(line.status(0) == .ok && line.reason(0) == "closed until 2026-11-30 04:00 America/New_York")
        line.data([0], 101, 100)
        line.data([0, 1], 201, 1)
        line.settle()
        #expect(line.status(1) == .ok && line.count("lost_messages", 1) == 100, "counted all the same")
        line.machine.session(is: .closed(until: nil), at: line.now)
        #expect(line.reason(1) == "closed")
        line.machine.closed(1, because: "no capture")
        #expect(line.status(1) == .unknown, "a line that nobody can watch is told at once")
    }

    @Test func `when the session begins, silence counts from then on`() {
        var line = Dialogue()
        line.heartbeat([0, 1], 1, kind: .endOfSession)
        line.machine.session(is: .closed(until: opening), at: line.now)
        line.wait(60_000)
        line.heartbeat([0], 1)
        line.machine.session(is: .open, at: line.now)
        #expect(line.condition(0) == .flowing)
        #expect(line.condition(1) == .awaited, "it was heard long ago, and its end was the session before's")
        line.wait(2900)
        line.heartbeat([0], 1)
        #expect(line.condition(1) == .awaited)
        line.wait(200)
        #expect(line.condition(1) == .silentBeside("A", ever: true))
        line.data([1], 1)
        #expect(line.condition(1) == .flowing)
    }

    @Test func `lines that bring the same flow, whatever they cut the packets to`() {
        var line = Dialogue()
        #expect(line.status(0) == .unknown && line.reason(0) == "nothing heard yet")
        line.data([0], 1, 4)
        line.data([1], 1, 3)
        line.data([1], 4, 1)
        line.settle()
        #expect(line.status(0) == .ok && line.status(1) == .ok)
        #expect(line.count("messages", 1) == 4 && line.count("packets", 1) == 2)
        #expect(line.count("gaps", 1) == 0 && line.count("behind_messages", 1) == 0)
    }

    @Test func `what B leaves out and A brings is B's loss, exactly`() {
        var line = Dialogue()
        line.data([0, 1], 1, 10)
        line.data([0], 11, 5)
        line.data([0, 1], 16, 100)
        #expect(line.count("gaps", 1) == 1)
        #expect(line.count("lost_messages", 1) == 0, "not judged before others had their time")
        line.settle()
        #expect(line.count("lost_messages", 1) == 5 && line.count("lost_everywhere_messages", 1) == 0)
        #expect(line.value("last_gaps", 1) == .text("11–15"))
        #expect(line.status(1) == .warning && line.status(0) == .ok)
        #expect(line.reason(1).hasSuffix("lost within 60 s: 5 messages"))
        #expect(line.count("lost_messages", 0) == 0)
    }

    @Test func `what no line brings is told apart`() {
        var line = Dialogue()
        line.data([0, 1], 1, 100)
        line.data([0], 103, 1)
        line.data([1], 102, 2)
        line.settle()
        #expect(line.count("lost_messages", 0) == 1 && line.count("lost_everywhere_messages", 0) == 1)
        #expect(line.count("lost_messages", 1) == 0 && line.count("lost_everywhere_messages", 1) == 1)
        #expect(line.reason(0).hasSuffix("2 messages, 1 of them on every line"))
    }

    @Test func `packets out of order are no loss, and copies are duplicates`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        line.data([1], 3)
        line.data([1], 2)
        line.data([1], 2, 2)
        line.data([0], 2, 2)
        line.settle()
        #expect(line.count("gaps", 1) == 1 && line.count("out_of_order_packets", 1) == 1)
        #expect(line.count("duplicate_messages", 1) == 2 && line.count("lost_messages", 1) == 0)
        #expect(line.status(1) == .ok)
    }

    @Test func `a heartbeat shows that the last message was lost`() {
        var line = Dialogue()
        line.data([0, 1], 1, 10)
        line.data([0], 11)
        line.heartbeat([1], 12)
        line.settle()
        #expect(line.count("lost_messages", 1) == 1 && line.count("heartbeats", 1) == 1)
    }

    @Test func `loss is raised and cleared by its limit, over its window`() {
        var line = Dialogue()
        line.data([0, 1], 1, 1)
        line.data([0], 2, 30)
        line.data([0, 1], 32, 69)
        line.settle()
        #expect(line.condition(1) == .lossy(.critical))
        line.data([0, 1], 101, 1400)
        line.wait(1000)
        #expect(line.condition(1) == .lossy(.warning))
        for second in 0..<62 {
            line.data([0, 1], 1501 + UInt64(second), 1)
            line.wait(1000)
        }
        #expect(line.condition(1) == .flowing)
        #expect(line.count("lost_messages", 1) == 30, "counts are for ever")
    }

    @Test(arguments: [1, 5, 59, 60, 90, 600])
    func `loss is taken over its window, however long that is`(seconds: Int64) {
        var line = Dialogue(window: .seconds(seconds))
        line.data([0], 1, 1)
        line.data([1], 1, 1)
        line.data([0], 2, 30)
        line.data([0, 1], 32, 69)
        // The holes are judged within 2.2 s, and told from then on for the length of the window.
        var told: Int64 = 0
        for second in 0..<(seconds * 2 + 10) {
            line.wait(1000)
            line.data([0, 1], 101 + UInt64(second), 1)
            if line.condition(1) != .flowing { told += 1 }
        }
        #expect(told >= seconds - 1 - seconds / 60 && told <= seconds + 2)
    }

    // MARK: - Silence

    @Test func `a line that is silent while its twin flows is critical`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        for packet in 2...20 as ClosedRange<UInt64> {
            line.data([0], packet)
            line.wait(10)
        }
        #expect(line.status(1) == .ok, "not long enough")
        line.wait(300)
        line.data([0], 21)
        line.wait(100)
        #expect(line.condition(1) == .silentBeside("A", ever: true))
        #expect(line.status(1) == .critical && line.reason(1).hasSuffix("while A is heard"))
        #expect(line.status(0) == .ok)
        #expect(line.count("behind_messages", 1) == 20)
        line.data([0, 1], 22)
        #expect(line.condition(1) == .flowing)
        line.settle()
        #expect(line.count("lost_messages", 1) == 20)
    }

    @Test func `a few packets lost in a quiet market are no silence`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        for packet in 2...9 as ClosedRange<UInt64> {
            line.data([0], packet)
            line.wait(200)
        }
        #expect(line.status(1) == .ok)
    }

    @Test func `without data a line is silent after three heartbeats, alone or with all`() {
        var line = Dialogue()
        line.heartbeat([0, 1], 1)
        for _ in 0..<4 {
            line.wait(900)
            line.heartbeat([0], 1)
        }
        #expect(line.condition(1) == .silentBeside("A", ever: true) && line.status(0) == .ok)
        line.heartbeat([1], 1)
        line.wait(500)
        line.heartbeat([0], 1)
        line.wait(2700)
        #expect(line.condition(1) == .silent && line.condition(0) == .flowing)
        line.wait(500)
        #expect(line.condition(0) == .silent)
        #expect(line.reason(0) == "silent for 3.2 s, like every line of the feed")
    }

    @Test func `after the end of the session silence is well`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        line.heartbeat([0, 1], 2, kind: .endOfSession)
        line.wait(10_000)
        #expect(line.condition(0) == .ended && line.status(1) == .ok)
        line.session = 8
        line.data([0], 1)
        #expect(line.condition(0) == .flowing)
    }

    @Test func `lines of which nothing was ever seen are unknown, one beside a twin that flows is critical`()
    {
        var line = Dialogue()
        line.wait(2900)
        #expect(line.condition(0) == .awaited)
        line.wait(200)
        #expect(line.condition(0) == .nothingSeen && line.status(0) == .unknown)
        line.data([0], 1, 5)
        #expect(line.condition(1) == .silentBeside("A", ever: false) && line.status(1) == .critical)
    }

    @Test func `another protocol is said to be one`() {
        var line = Dialogue()
        for _ in 0..<10 { line.machine.malformed(on: 0) }
        #expect(line.condition(0) == .garbled && line.status(0) == .unknown)
        line.data([0], 1)
        #expect(line.condition(0) == .flowing && line.count("malformed_packets", 0) == 10)
    }

    // MARK: - The capture

    @Test func `what is missing while the capture drops is nobody's loss`() {
        var line = Dialogue()
        line.data([0, 1], 1, 10)
        line.data([0], 11, 10)
        line.data([0, 1], 21, 10)
        line.machine.dropped(3, on: 1)
        line.settle()
        #expect(line.count("unjudged_messages", 1) == 10 && line.count("lost_messages", 1) == 0)
        #expect(line.count("capture_dropped_packets", 1) == 3)
        #expect(line.condition(1) == .unjudged && line.status(1) == .unknown)
        #expect(line.reason(1).contains("raise buffer_bytes") && line.status(0) == .ok)
        // What is missing behind a packet that came after the drops is judged again.
        line.data([0, 1], 31, 10)
        line.data([0], 41, 10)
        line.data([0, 1], 51, 10)
        line.settle()
        #expect(line.count("lost_messages", 1) == 10 && line.count("unjudged_messages", 1) == 10)
    }

    @Test func `a capture that is not possible is unknown with its reason, and begins anew`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        line.machine.closed(1, because: "not allowed")
        #expect(line.status(1) == .unknown && line.reason(1) == "not allowed")
        line.wait(60_000)
        line.machine.opened(1, at: line.now)
        #expect(line.condition(1) == .awaited)
        line.data([1], 2)
        #expect(line.condition(1) == .flowing)
    }

    // MARK: - Numberings

    @Test func `a new session is a new numbering, and packets of the old one are strays`() {
        var line = Dialogue()
        line.data([0, 1], 1000, 10)
        line.session = 8
        line.data([0], 1, 5)
        line.session = 7
        line.data([0], 1010)
        line.data([1], 1010)
        line.session = 8
        line.data([1], 1, 5)
        line.data([0, 1], 6)
        line.settle()
        #expect(line.count("stray_packets", 0) == 1 && line.count("stray_packets", 1) == 0)
        #expect(line.count("epochs", 0) == 2 && line.count("epochs", 1) == 2)
        #expect(line.count("gaps", 0) == 0 && line.count("gaps", 1) == 0 && line.status(1) == .ok)
    }

    @Test func `without sessions, lower numbers that hold are a restart, and a straggler is a duplicate`() {
        var line = Dialogue(session: nil)
        line.data([0, 1], 5000, 10)
        line.data([1], 17)
        #expect(line.count("duplicate_messages", 1) == 1)
        line.data([0, 1], 5010)
        for packet in 1...12 as ClosedRange<UInt64> {
            line.data([0, 1], packet)
            line.wait(200)
        }
        line.data([0], 13)
        line.data([0, 1], 14)
        line.settle()
        #expect(line.count("epochs", 0) == 1 && line.count("epochs", 1) == 1)
        #expect(line.count("lost_messages", 1) == 1 && line.count("lost_everywhere_messages", 1) == 0)
    }

    @Test func `one packet with a wild number changes nothing`() {
        var line = Dialogue(session: nil)
        line.data([0, 1], 1, 10)
        line.data([1], 4_000_000_000)
        line.data([0, 1], 11)
        line.settle()
        #expect(line.count("stray_packets", 1) == 1 && line.count("gaps", 1) == 0 && line.status(1) == .ok)
    }

    @Test func `a leap that another line knows of, or that holds, is a gap`() {
        var line = Dialogue()
        line.data([0, 1], 1)
        for packet in 0..<7 as Range<UInt64> {
            line.data([0], 10_000_000 + packet)
            line.wait(250)
        }
        #expect(line.count("gaps", 0) == 1)
        line.data([1], 10_000_007)
        #expect(line.count("gaps", 1) == 1 && line.count("stray_packets", 1) == 0)
    }

    @Test func `units number for themselves, and more than there is room for are counted`() {
        var line = Dialogue(session: nil)
        for unit in 0..<300 as Range<UInt32> { line.data([0, 1], UInt64(unit) * 1000 + 1, channel: unit) }
        #expect(line.count("gaps", 0) == 0 && line.count("ignored_packets", 0) == 88)
        line.data([0], 1005, channel: 1)
        #expect(line.value("last_gaps", 0) == .text("1002–1004 of channel 1"))
        #expect(line.count("gaps", 1) == 0)
    }

    @Test func `the largest numbers neither trap nor wrap`() {
        for session in [nil, 7] as [UInt64?] {
            var line = Dialogue(session: session)
            let edges: [UInt64] = [0, 1, .max - 1, .max, UInt64(Int64.max), 0, .max]
            for round in 0..<10 {
                for edge in edges {
                    line.data([0, 1], edge, .max)
                    line.heartbeat([round % 2], edge)
                    line.wait(200)
                }
            }
            _ = line.machine.verdict(0, at: line.now)
        }
    }

    // MARK: - Many holes, and skew

    @Test func `more holes than there is room for are still counted, each number once`() {
        var line = Dialogue()
        line.data([0, 1], 1, 1)
        for pair in 1...5000 as ClosedRange<UInt64> {
            line.data([0], 2 * pair, 2)
            line.data([1], 2 * pair + 1, 1)
        }
        line.settle()
        #expect(line.count("gaps", 1) == 5000 && line.count("lost_messages", 1) == 5000)
        #expect(line.count("lost_messages", 0) == 0)
    }

    @Test func `skew is what B is behind A, in microseconds, and the leader is named`() {
        var line = Dialogue()
        for packet in 1...100 as ClosedRange<UInt64> {
            line.data([0, 1], packet, delay: .microseconds(packet <= 90 ? 40 : 900))
            line.wait(1)
        }
        #expect(line.value("skew_median_us", 1) == .number(40))
        #expect(line.value("skew_p99_us", 1) == .number(900))
        #expect(line.value("leader", 0) == .text("A"))
        #expect(line.value("skew_median_us", 0) == nil)
    }

    @Test func `a line that leads the first has skew below 0, whichever is taken from its capture first`() {
        var line = Dialogue()
        for packet in 1...100 as ClosedRange<UInt64> {
            line.data(packet % 2 == 0 ? [0, 1] : [1, 0], packet, delay: .microseconds(-25))
        }
        #expect(line.value("skew_median_us", 1) == .number(-25))
        #expect(line.value("leader", 1) == .text("B"))
    }

    @Test func `skew is found at high rates, and where the lines cut packets differently`() {
        var line = Dialogue()
        var next: UInt64 = 1
        for _ in 0..<40 {
            for _ in 0..<500 {
                line.data([0], next, 8)
                line.data([1], next, 3, delay: .microseconds(70))
                line.data([1], next + 3, 5, delay: .microseconds(70))
                next += 8
            }
            line.wait(100)
        }
        #expect(line.value("skew_median_us", 1) == .number(70))
        #expect(line.count("lost_messages", 1) == 0)
    }
}
