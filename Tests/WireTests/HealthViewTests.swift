// The subscriber's side as a dialogue: messages in, events out, with a real book as the publisher.
import Basics
import Testing
import Wire

@Suite struct HealthViewTests {
    let nic = Subject(.nic, "eth0")
    let path = Subject(.path, "isp-a")

    /// A book, a view, and what the wire carries between them.
    struct Wire {
        var publisher = BookDialogue()
        var view = HealthView()

        mutating func report(_ subject: Subject, _ status: Status) -> [HealthBook.Action] {
            let report = Report(subject, status, reason: "", detectedAt: publisher.wall)
            return publisher.book.report(report, at: publisher.now, wall: publisher.wall)
        }

        mutating func deliver(_ actions: [HealthBook.Action]) -> [String] {
            actions.flatMap { action -> [HealthView.Event] in
                switch action {
                case .publish(let topic, let payload):
                    view.received(topic: topic.utf8, payload: payload.bytes, at: publisher.now)
                case .transition: []
                }
            }.map(HealthViewTests.line)
        }

        mutating func tell(_ subject: Subject, _ status: Status) -> [String] {
            deliver(report(subject, status))
        }

        mutating func heartbeat() -> [String] {
            let cost = Cost(cpuRatio: 0, residentBytes: 0, wakeupsPerSecond: 0)
            publisher.now = publisher.now + .milliseconds(250)
            return deliver(publisher.book.tick(at: publisher.now, wall: publisher.wall, cost: cost))
        }

        mutating func stops(_ reason: String?) -> [String] {
            let cost = Cost(cpuRatio: 0, residentBytes: 0, wakeupsPerSecond: 0)
            return deliver(publisher.book.stops(because: reason, wall: publisher.wall, cost: cost))
        }

        mutating func sync() -> [String] {
            deliver(publisher.book.subscribed(to: "sync/1/".utf8, wall: publisher.wall))
        }

        mutating func status() -> [String] { answer(publisher.book.snapshot(wall: publisher.wall)) }

        mutating func answer(_ document: JSON) -> [String] {
            view.statusReply(document, at: publisher.now).map(HealthViewTests.line)
        }
    }

    static func line(_ event: HealthView.Event) -> String {
        switch event {
        case .changed(let state, let from):
            "\(state.subject) \(from?.rawValue ?? "new")>\(state.status.rawValue)"
        case .gone(let subject): "\(subject) gone"
        case .sampled(let sample): "\(sample.subject) sampled"
        case .heartbeat(let heartbeat): "heartbeat \(heartbeat.stamp.change)"
        case .hostExpired: "expired"
        case .stopping(let reason): "stopping \(reason ?? "no more")"
        case .hostBack: "back"
        case .newIncarnation: "new incarnation"
        case .missed(let range): "missed \(range)"
        case .synced(let nonce): "synced \(nonce)"
        case .malformed(let reason): "malformed: \(reason)"
        }
    }

    @Test func `joining yields each state once`() {
        var wire = Wire()
        _ = wire.report(nic, .ok)
        _ = wire.report(path, .critical)
        let repeats = wire.publisher.book.subscribed(to: "state/fra-1/".utf8, wall: wire.publisher.wall)
        #expect(wire.deliver(repeats) == ["nic/eth0 new>ok", "path/isp-a new>critical"])
        #expect(wire.sync() == ["synced 1"])
        #expect(!wire.view.isComplete)
        #expect(wire.status() == [])
        #expect(wire.view.isComplete)
        #expect(wire.heartbeat() == ["heartbeat 2"])
        #expect(wire.tell(nic, .critical) == ["nic/eth0 ok>critical"])
    }

    @Test func `a change between the marker and the snapshot is kept, whichever comes first`() {
        var wire = Wire()
        _ = wire.report(nic, .ok)
        _ = wire.sync()
        let before = wire.publisher.book.snapshot(wall: wire.publisher.wall)
        #expect(wire.tell(nic, .critical) == ["nic/eth0 new>critical"])
        #expect(wire.answer(before) == [])
        #expect(wire.view.state(of: nic)?.status == .critical)

        let late = wire.report(nic, .ok)
        #expect(wire.status() == ["nic/eth0 critical>ok"])
        #expect(wire.deliver(late) == [])
        #expect(wire.view.isComplete)
    }

    @Test func `a change lost before the snapshot is not lost`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.report(nic, .ok)
        let old = wire.publisher.book.snapshot(wall: wire.publisher.wall)
        _ = wire.report(path, .ok)
        #expect(wire.tell(nic, .critical) == ["missed 1–2", "nic/eth0 new>critical"])
        #expect(wire.answer(old) == ["missed 2"])
        #expect(!wire.view.isComplete)
        #expect(wire.status() == ["path/isp-a new>ok"])
        #expect(wire.view.isComplete)
    }

    @Test func `a lost change is noticed by the next message`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.status()
        _ = wire.report(nic, .ok)
        #expect(wire.tell(path, .ok) == ["missed 1", "path/isp-a new>ok"])
        #expect(wire.heartbeat() == ["heartbeat 2"])
        #expect(wire.status() == ["nic/eth0 new>ok"])
    }

    @Test func `a lost last change is noticed by the heartbeat, once`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.status()
        _ = wire.report(nic, .ok)
        #expect(wire.heartbeat() == ["heartbeat 1", "missed 1"])
        #expect(wire.heartbeat() == ["heartbeat 1"])
        #expect(wire.status() == ["nic/eth0 new>ok"])
    }

    @Test func `changes during a reconnect need a new status`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.status()
        _ = wire.report(nic, .ok)
        #expect(wire.sync() == ["synced 1"])
        #expect(!wire.view.isComplete)
        #expect(wire.status() == ["nic/eth0 new>ok"])
    }

    @Test func `a repeat refreshes values and is no event`() throws {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.status()
        _ = wire.tell(nic, .ok)
        let values = [NamedValue("speed_bps", .integer(9))]
        let report = Report(nic, .ok, reason: "", values: values, detectedAt: wire.publisher.wall)
        _ = wire.publisher.book.report(report, at: wire.publisher.now, wall: wire.publisher.wall)
        let repeats = wire.publisher.book.subscribed(to: "state/".utf8, wall: wire.publisher.wall)
        #expect(wire.deliver(repeats) == [])
        #expect(wire.view.state(of: nic)?.values == values)
    }

    @Test func `a tombstone removes, also against an older snapshot`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.tell(nic, .ok)
        let old = wire.publisher.book.snapshot(wall: wire.publisher.wall)
        let tombstone = wire.publisher.book.forget(nic, wall: wire.publisher.wall)
        #expect(wire.deliver(tombstone) == ["nic/eth0 gone"])
        #expect(wire.answer(old) == [])
        #expect(wire.view.currentStates == [])
        #expect(wire.tell(nic, .critical) == ["nic/eth0 new>critical"])
    }

    @Test func `what the snapshot no longer has is gone`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.tell(nic, .ok)
        _ = wire.publisher.book.forget(nic, wall: wire.publisher.wall)
        #expect(wire.status() == ["nic/eth0 gone"])
    }

    @Test func `without heartbeats the host and all its subjects are unknown`() throws {
        var wire = Wire()
        _ = wire.tell(nic, .ok)
        _ = wire.status()
        #expect(wire.heartbeat() == ["heartbeat 1"])
        let deadline = try #require(wire.view.deadline)
        #expect(deadline == wire.publisher.now + .seconds(1))
        #expect(wire.view.tick(at: deadline - .nanoseconds(1)) == [])
        #expect(wire.view.tick(at: deadline) == [.hostExpired])
        #expect(wire.view.tick(at: deadline) == [])
        #expect(wire.view.currentStates.map(\.status) == [.unknown])
        #expect(wire.view.deadline == nil)
        wire.publisher.now = deadline
        #expect(wire.heartbeat() == ["back", "heartbeat 1"])
        #expect(wire.view.state(of: nic)?.status == .ok)
    }

    @Test func `a publisher's last words are told once, and explain its silence`() throws {
        var wire = Wire()
        _ = wire.tell(nic, .ok)
        #expect(wire.stops("no power").contains("stopping no power"))
        #expect(wire.heartbeat().contains { $0.hasPrefix("stopping") } == false)
        #expect(wire.stops(nil).contains("stopping no more"))
        _ = wire.stops("no power")
        let deadline = try #require(wire.view.deadline)
        #expect(wire.view.tick(at: deadline) == [.hostExpired])
        #expect(wire.view.currentStates.map(\.reason) == ["fra-1 stopped: no power"])
    }

    @Test func `a publisher that never sends a heartbeat expires too`() throws {
        var wire = Wire()
        #expect(wire.view.deadline == nil)
        _ = wire.tell(nic, .ok)
        let deadline = try #require(wire.view.deadline)
        #expect(wire.view.tick(at: deadline) == [.hostExpired])
    }

    @Test func `a restarted publisher voids what was known`() {
        var wire = Wire()
        _ = wire.sync()
        _ = wire.tell(nic, .ok)
        _ = wire.status()
        let old = wire.report(nic, .critical)
        wire.publisher.book = HealthBook(
            host: "fra-1", incarnation: Incarnation(startedAt: wire.publisher.wall))
        #expect(wire.heartbeat() == ["new incarnation", "heartbeat 0"])
        #expect(wire.view.currentStates == [])
        #expect(!wire.view.isComplete)
        #expect(wire.deliver(old) == [])
        #expect(wire.view.outdated == 1)
        #expect(wire.tell(path, .ok) == ["path/isp-a new>ok"])
        // What it watches no more, also where only the end of that came.
        _ = wire.report(nic, .ok)
        #expect(wire.deliver(wire.publisher.book.forget(nic, wall: wire.publisher.wall)) == [])
        #expect(wire.status() == ["nic/eth0 gone"])
        #expect(wire.status() == [])
        #expect(wire.view.isComplete)
    }

    @Test func `malformed messages are counted and change nothing`() {
        var wire = Wire()
        _ = wire.tell(nic, .ok)
        let good = MessageTests.state
        let frames: [(String, String)] = [
            ("state/fra-1/nic/eth0", "{}"), ("state/fra-1/nic/eth0/", "{}"),
            ("state/fra-1/nic/eth0/", "{"), ("state/fra-1/nic/eth0/", good.json.text),
            ("md/itch/A/", "{}"), ("state/fra-1/path/isp-a/", "[1]"),
            ("heartbeat/fra-2/", "{}"), ("sync/9/", "{\"v\":1,\"sync\":\"9\"}"),
        ]
        for (topic, payload) in frames {
            let events = wire.view.received(
                topic: topic.utf8, payload: payload.utf8, at: wire.publisher.now)
            #expect(events.map(HealthViewTests.line).allSatisfy { $0.hasPrefix("malformed") }, "\(topic)")
        }
        #expect(wire.view.malformed == UInt64(frames.count))
        #expect(wire.answer(.object([])).count == 1)
        #expect(wire.view.currentStates.count == 1)
    }

    @Test func `another host's messages are refused`() {
        var wire = Wire()
        wire.view = HealthView(host: "fra-2")
        #expect(wire.tell(nic, .ok) == [#"malformed: host "fra-1", expected "fra-2""#])
    }

    @Test func `subjects are bounded, and tombstones make room`() {
        var wire = Wire()
        wire.view = HealthView(mostSubjects: 1)
        _ = wire.sync()
        #expect(wire.tell(nic, .ok) == ["nic/eth0 new>ok"])
        #expect(wire.tell(path, .ok) == [])
        #expect(wire.view.refused == 1)
        _ = wire.deliver(wire.publisher.book.forget(nic, wall: wire.publisher.wall))
        #expect(wire.tell(path, .critical) == ["path/isp-a new>critical"])
    }
}
