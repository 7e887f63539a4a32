// The publisher's side as a dialogue: reports in, publications out.
import Basics
import Testing
import Wire

/// A book with a clock, and what it says boiled down to what the tests compare.
struct BookDialogue {
    var book: HealthBook
    var now = Instant(nanoseconds: 1_000_000_000)
    static let start = MessageTests.time

    init(mostSubjects: Int = 10_000) {
        book = HealthBook(
            host: "fra-1", incarnation: Incarnation(startedAt: BookDialogue.start), mostSubjects: mostSubjects
        )
    }

    var wall: WallTime { WallTime(nanoseconds: BookDialogue.start.nanoseconds + now.nanoseconds) }

    mutating func report(
        _ subject: Subject, _ status: Status, _ reason: String = "", values: [NamedValue] = [],
        dependsOn: [Subject] = []
    ) -> [String] {
        let report = Report(
            subject, status, reason: reason, values: values, dependsOn: dependsOn, detectedAt: wall)
        return said(book.report(report, at: now, wall: wall))
    }

    mutating func tick() -> [String] {
        let cost = Cost(cpuRatio: 0, residentBytes: 0, wakeupsPerSecond: 0)
        return said(book.tick(at: now, wall: wall, cost: cost))
    }

    /// One line per publication: `3 path/isp-a critical was ok because nic/eth0`.
    func said(_ actions: [HealthBook.Action]) -> [String] {
        actions.compactMap { action in
            switch action {
            case .publish(let topic, let payload): line(topic, payload)
            case .transition: nil
            }
        }
    }

    func line(_ topic: String, _ payload: JSON) -> String {
        let change = payload["change"]?.integer ?? -1
        guard let state = try? StateMessage(json: payload) else { return "\(change) \(topic)" }
        var line = "\(change) \(state.subject) \(state.status.rawValue)"
        if let previous = state.previous { line += " was \(previous.rawValue)" }
        if let cause = state.cause { line += " because \(cause)" }
        return state.isGone ? line + " gone" : line
    }
}

@Suite struct HealthBookTests {
    let nic = Subject(.nic, "eth0")
    let path = Subject(.path, "isp-a")
    let feed = Subject(.feed, "itch")

    @Test func `a change is published at once and logged, a repeat is not`() throws {
        var dialogue = BookDialogue()
        let report = Report(nic, .ok, reason: "up", detectedAt: dialogue.wall)
        let actions = dialogue.book.report(report, at: dialogue.now, wall: dialogue.wall)
        let message = try #require(dialogue.book.state(of: nic))
        #expect(
            actions == [
                .publish(topic: "state/fra-1/nic/eth0/", payload: message.json), .transition(message),
            ])
        #expect(dialogue.report(nic, .ok, "up") == [])
        #expect(dialogue.report(nic, .critical, "carrier lost") == ["2 nic/eth0 critical was ok"])
        #expect(dialogue.book.change == 2)
    }

    @Test func `values ride along and are no change`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok, "up", values: [NamedValue("speed_bps", .integer(1))])
        #expect(dialogue.report(nic, .ok, "up", values: [NamedValue("speed_bps", .integer(2))]) == [])
        #expect(dialogue.book.state(of: nic)?.values == [NamedValue("speed_bps", .integer(2))])
        #expect(dialogue.book.change == 1)
    }

    @Test func `another reason is a change that keeps since`() {
        var dialogue = BookDialogue()
        let began = dialogue.wall
        _ = dialogue.report(nic, .warning, "1 flap")
        dialogue.now = dialogue.now + .seconds(5)
        #expect(dialogue.report(nic, .warning, "2 flaps") == ["2 nic/eth0 warning"])
        #expect(dialogue.book.state(of: nic)?.since == began)
        #expect(dialogue.book.state(of: nic)?.detectedAt == dialogue.wall)
        _ = dialogue.report(nic, .ok, "up")
        #expect(dialogue.book.state(of: nic)?.since == dialogue.wall)
    }

    @Test func `the cause is the failure at the end of the chain`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .critical, "carrier lost")
        #expect(
            dialogue.report(path, .critical, dependsOn: [nic]) == ["2 path/isp-a critical because nic/eth0"])
        #expect(
            dialogue.report(feed, .warning, dependsOn: [path]) == ["3 feed/itch warning because nic/eth0"])
    }

    @Test func `a cause that is noticed late is told afterwards`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok)
        #expect(dialogue.report(feed, .warning, dependsOn: [path]) == ["2 feed/itch warning"])
        #expect(
            dialogue.report(path, .critical, dependsOn: [nic]) == [
                "3 path/isp-a critical", "4 feed/itch warning because path/isp-a",
            ])
        dialogue.now = dialogue.now + .milliseconds(1900)
        #expect(
            dialogue.report(nic, .critical) == [
                "5 nic/eth0 critical was ok", "6 path/isp-a critical because nic/eth0",
                "7 feed/itch warning because nic/eth0",
            ])
    }

    @Test func `a failure long after another does not explain it`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok)
        _ = dialogue.report(path, .critical, "silent", dependsOn: [nic])
        dialogue.now = dialogue.now + .seconds(3)
        #expect(dialogue.report(nic, .critical) == ["3 nic/eth0 critical was ok"])
        #expect(dialogue.report(path, .critical, "silent", dependsOn: [nic]) == [])
    }

    @Test func `what another publisher says explains our subjects and is not published`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(path, .ok, dependsOn: [nic])
        #expect(dialogue.report(path, .critical, dependsOn: [nic]) == ["2 path/isp-a critical was ok"])
        let heard = dialogue.book.heard(nic, .critical, at: dialogue.now, wall: dialogue.wall)
        #expect(dialogue.said(heard) == ["3 path/isp-a critical was ok because nic/eth0"])
        #expect(dialogue.book.heard(nic, .critical, at: dialogue.now, wall: dialogue.wall) == [])
        #expect(dialogue.book.state(of: nic) == nil)
        #expect(dialogue.report(nic, .ok) == [], "a subject of another publisher is not ours to report")
        #expect(dialogue.book.heard(path, .ok, at: dialogue.now, wall: dialogue.wall) == [])
        #expect(dialogue.book.state(of: path)?.status == .critical)
    }

    @Test func `a cause that recovered a moment ago is still the cause`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .critical)
        _ = dialogue.report(path, .critical, "silent", dependsOn: [nic])
        _ = dialogue.report(nic, .ok)
        #expect(dialogue.report(path, .critical, "silent", dependsOn: [nic]) == [])
        dialogue.now = dialogue.now + .seconds(2)
        #expect(dialogue.report(path, .critical, "silent", dependsOn: [nic]) == ["4 path/isp-a critical"])
        #expect(dialogue.report(path, .ok, dependsOn: [nic]) == ["5 path/isp-a ok was critical"])
    }

    @Test func `unknown explains only after critical`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .unknown, "no reading yet")
        #expect(dialogue.report(path, .critical, dependsOn: [nic]) == ["2 path/isp-a critical"])
        let ups = Subject(.ups, "rack")
        _ = dialogue.report(ups, .critical, "on battery")
        _ = dialogue.report(ups, .unknown, "lost communication")
        #expect(
            dialogue.report(feed, .critical, dependsOn: [ups]) == ["5 feed/itch critical because ups/rack"])
    }

    @Test func `subjects that depend on each other have an end`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .critical, dependsOn: [path, nic])
        #expect(
            dialogue.report(path, .critical, dependsOn: [nic]) == [
                "2 path/isp-a critical because nic/eth0", "3 nic/eth0 critical because path/isp-a",
            ])
    }

    @Test func `a forgotten subject leaves a tombstone and the snapshot`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .critical)
        let last = dialogue.said(dialogue.book.forget(nic, wall: dialogue.wall))
        #expect(last == ["2 nic/eth0 unknown was critical gone"])
        #expect(dialogue.book.forget(nic, wall: dialogue.wall) == [])
        #expect(dialogue.book.snapshot(wall: dialogue.wall)["states"] == .array([]))
        #expect(dialogue.report(path, .critical, dependsOn: [nic]) == ["3 path/isp-a critical"])
    }

    @Test func `a new subscriber gets every matching state under its own number`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok)
        _ = dialogue.report(path, .ok)
        func repeats(_ prefix: String) -> [String] {
            dialogue.said(dialogue.book.subscribed(to: prefix.utf8, wall: dialogue.wall))
        }
        #expect(repeats("") == ["1 nic/eth0 ok", "2 path/isp-a ok"])
        #expect(repeats("state/fra-1/nic/") == ["1 nic/eth0 ok"])
        #expect(repeats("state/fra-10/") == [])
        #expect(repeats("heartbeat/fra-1/") == [])
        #expect(repeats("sync/a1/") == ["2 sync/a1/"])
        #expect(repeats("sync/") == [])
    }

    @Test func `a sync marker echoes its nonce and names the subjects that there are`() throws {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok)
        _ = dialogue.report(path, .ok)
        _ = dialogue.book.forget(nic, wall: dialogue.wall)
        let actions = dialogue.book.subscribed(to: "sync/a%2F1/".utf8, wall: dialogue.wall)
        guard case .publish(let topic, let payload)? = actions.first else {
            Issue.record("nothing published")
            return
        }
        #expect(topic == "sync/a%2F1/")
        let marker = try SyncMessage(json: payload)
        #expect(marker.nonce == "a/1")
        #expect(marker.subjects == [path])
        #expect(marker.stamp.change == 3)
    }

    @Test func `heartbeats come on time with the count and the worst`() throws {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .unknown)
        _ = dialogue.report(path, .warning)
        #expect(dialogue.book.deadline <= dialogue.now)
        let cost = Cost(cpuRatio: 0.5, residentBytes: 7, wakeupsPerSecond: 2)
        let actions = dialogue.book.tick(at: dialogue.now, wall: dialogue.wall, cost: cost)
        guard case .publish(let topic, let payload)? = actions.first, actions.count == 1 else {
            Issue.record("expected one heartbeat, not \(actions)")
            return
        }
        let heartbeat = try HeartbeatMessage(json: payload)
        #expect(topic == "heartbeat/fra-1/")
        #expect(heartbeat.subjects == 2)
        #expect(heartbeat.worst == .unknown)
        #expect(heartbeat.cost == cost)
        #expect(heartbeat.stamp.change == 2)
        #expect(dialogue.book.deadline == dialogue.now + .milliseconds(250))
        #expect(dialogue.tick() == [])
        dialogue.now = dialogue.now + .milliseconds(260)
        #expect(dialogue.tick() == ["2 heartbeat/fra-1/"])
        // In step with the clock, not 250 ms after a late one.
        #expect(dialogue.book.deadline == dialogue.now + .milliseconds(240))
    }

    @Test func `that silence is about to come is told at once and with each heartbeat, until it is not so`()
        throws
    {
        var dialogue = BookDialogue()
        let cost = Cost(cpuRatio: 0, residentBytes: 0, wakeupsPerSecond: 0)
        func reasons(_ actions: [HealthBook.Action]) throws -> [String?] {
            try actions.map { action in
                guard case .publish(_, let payload) = action else { return "not a heartbeat" }
                return try HeartbeatMessage(json: payload).stopping
            }
        }
        #expect(
            try reasons(dialogue.book.stops(because: "no power", wall: dialogue.wall, cost: cost)) == [
                "no power"
            ])
        #expect(try reasons(dialogue.book.stops(because: "no power", wall: dialogue.wall, cost: cost)) == [])
        #expect(
            try reasons(dialogue.book.tick(at: dialogue.now, wall: dialogue.wall, cost: cost)) == ["no power"]
        )
        #expect(try reasons(dialogue.book.stops(because: nil, wall: dialogue.wall, cost: cost)) == [nil])
    }

    @Test func `every state is repeated, the newest values with it`() {
        var dialogue = BookDialogue()
        _ = dialogue.tick()
        _ = dialogue.report(nic, .ok)
        dialogue.now = dialogue.now + .seconds(5)
        _ = dialogue.report(path, .ok)
        dialogue.now = dialogue.now + .seconds(5)
        #expect(dialogue.tick() == ["1 nic/eth0 ok", "2 heartbeat/fra-1/"])
        #expect(dialogue.tick() == [])
        dialogue.now = dialogue.now + .seconds(5)
        #expect(dialogue.tick() == ["2 path/isp-a ok", "2 heartbeat/fra-1/"])
        dialogue.now = dialogue.now + .seconds(5)
        #expect(dialogue.tick() == ["1 nic/eth0 ok", "2 heartbeat/fra-1/"])
    }

    @Test func `subjects are bounded and refusals counted`() {
        var dialogue = BookDialogue(mostSubjects: 1)
        #expect(dialogue.report(nic, .ok) == ["1 nic/eth0 ok"])
        #expect(dialogue.report(path, .ok) == [])
        #expect(dialogue.book.refused == 1)
        #expect(dialogue.report(nic, .critical) == ["2 nic/eth0 critical was ok"])
        _ = dialogue.book.forget(nic, wall: dialogue.wall)
        #expect(dialogue.report(path, .ok) == ["4 path/isp-a ok"])
        _ = dialogue.book.forget(path, wall: dialogue.wall)
        #expect(dialogue.report(Subject(.nic, ""), .ok) == [])
        #expect(dialogue.report(Subject(.nic, String(repeating: "x", count: 256)), .ok) == [])
        #expect(dialogue.book.refused == 3)
    }

    @Test func `a sample carries the latest change`() {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok)
        let sample = Sample(nic, [NamedValue("rx_bytes", .integer(5))])
        #expect(
            dialogue.said(dialogue.book.sample(sample, at: dialogue.now, wall: dialogue.wall))
                == ["1 sample/fra-1/nic/eth0/"])
    }

    @Test func `a long reason is cut so that every reader takes it`() throws {
        var dialogue = BookDialogue()
        _ = dialogue.report(nic, .ok, String(repeating: "x", count: 5000))
        let state = try #require(dialogue.book.state(of: nic))
        #expect(throws: Never.self) { try StateMessage(json: state.json) }
        #expect(dialogue.report(nic, .ok, String(repeating: "x", count: 5000)) == [])
    }
}

// MARK: - Repeats, piece by piece

extension HealthBook {
    /// All that a subscription brings.
    func subscribed(to prefix: some Collection<UInt8>, wall: WallTime) -> [Action] {
        if case .sync(let nonce)? = try? Topic(parsing: prefix) { return [marker(nonce, wall: wall)] }
        return matching(prefix).subjects.compactMap { repetition(of: $0, wall: wall) }
    }
}

@Suite struct HealthBookPieceTests {
    private func book(_ names: [String]) -> HealthBook {
        var book = HealthBook(host: "fra 1", incarnation: Incarnation(startedAt: BookDialogue.start))
        for name in names {
            let report = Report(
                Subject(.nic, name), .ok, reason: "", detectedAt: WallTime(nanoseconds: 0))
            _ = book.report(report, at: .zero, wall: WallTime(nanoseconds: 0))
        }
        return book
    }

    private func names(_ piece: HealthBook.Piece) -> [String] { piece.subjects.map(\.name) }

    @Test func `what matches comes in pieces, each subject once, though some go in between`() throws {
        var book = book(["a1", "b1", "a2", "a3", "b2", "a4"])
        let prefix = Array("state/fra%201/nic/a".utf8)
        let first = book.matching(prefix, finding: 2)
        #expect(names(first) == ["a1", "a2"] && first.looked == 3)
        // What was sent, and what would have been next.
        for name in ["a1", "a3"] {
            _ = book.forget(Subject(.nic, name), wall: WallTime(nanoseconds: 0))
        }
        let place = try #require(first.next)
        let second = book.matching(prefix, from: place, looking: 1)
        #expect(names(second) == [] && second.looked == 1)
        let third = book.matching(prefix, from: try #require(second.next), looking: 100)
        #expect(names(third) == ["a4"] && third.next == nil)
    }

    @Test func `what can match no state costs no look at them`() {
        let book = book(["a1", "a2"])
        for prefix in ["heartbeat/", "sample/fra%201/", "state/fra%2010/", "sync/"] {
            let piece = book.matching(prefix.utf8)
            #expect(piece.subjects.isEmpty && piece.next == nil && piece.looked == 0, "\(prefix)")
        }
        for prefix in ["", "state", "state/fra%20", "state/fra%201/", "state/fra%201/nic/"] {
            #expect(book.matching(prefix.utf8).subjects.count == 2, "\(prefix)")
        }
    }
}
