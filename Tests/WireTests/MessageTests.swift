// The documents of the health bus, both ways, and what is refused.
import Basics
import Testing
import Wire

@Suite struct MessageTests {
    static let time = WallTime(nanoseconds: 1_767_323_045_678_901_000)
    static let stamp = Stamp(host: "fra-1", incarnation: Incarnation(startedAt: time), change: 17, at: time)
    static let state = StateMessage(
        stamp: stamp, subject: Subject(.path, "isp-a"), status: .critical, since: time,
        reason: "3 of 3 targets silent for 1.0 s", previous: .ok, cause: Subject(.nic, "eth0"),
        detectedAt: time,
        happenedAt: time, values: [NamedValue("loss_ratio", .number(0.5)), NamedValue("sent", .integer(9))])

    @Test func `a state is written as in the document`() {
        #expect(
            MessageTests.state.json.text
                == #"{"v":1,"host":"fra-1","incarnation":1767323045678901,"change":17,"#
                + #""at":"2026-01-02T03:04:05.678901Z","kind":"path","name":"isp-a","status":"critical","#
                + #""since":"2026-01-02T03:04:05.678901Z","reason":"3 of 3 targets silent for 1.0 s","#
                + #""previous":"ok","cause":"nic/eth0","detected_at":"2026-01-02T03:04:05.678901Z","#
                + #""happened_at":"2026-01-02T03:04:05.678901Z","values":{"loss_ratio":0.5,"sent":9}}"#)
    }

    @Test func `each message is read back`() throws {
        var bare = MessageTests.state
        bare.previous = nil
        bare.cause = nil
        bare.happenedAt = nil
        bare.values = []
        bare.isGone = true
        #expect(try StateMessage(json: bare.json) == bare)
        #expect(try StateMessage(json: JSON(parsing: MessageTests.state.json.bytes)) == MessageTests.state)
        let sample = SampleMessage(
            stamp: MessageTests.stamp, subject: Subject(.nic, "eth0"),
            values: [NamedValue("up", .flag(true)), NamedValue("driver", .text("veth"))])
        #expect(try SampleMessage(json: sample.json) == sample)
        let heartbeat = HeartbeatMessage(
            stamp: MessageTests.stamp, expiresAfter: .seconds(1), subjects: 3, worst: .unknown,
            cost: Cost(cpuRatio: 0.004, residentBytes: 9_800_000, wakeupsPerSecond: 21.5))
        #expect(try HeartbeatMessage(json: JSON(parsing: heartbeat.json.text)) == heartbeat)
        var last = heartbeat
        last.stopping = "ups/main is on battery and low"
        #expect(try HeartbeatMessage(json: JSON(parsing: last.json.text)) == last)
        let sync = SyncMessage(
            stamp: MessageTests.stamp, nonce: "x/y",
            subjects: [Subject(.nic, "eth0"), Subject(.disk, "/var")])
        #expect(try SyncMessage(json: sync.json) == sync)
        #expect(sync.topic.text == "sync/x%2Fy/")
        let document = StatusDocument(stamp: MessageTests.stamp, states: [MessageTests.state, bare])
        #expect(try StatusDocument(json: document.json) == document)
    }

    /// The state's document with one key set to something else, or removed.
    static func altered(_ key: String, _ value: JSON?) -> JSON {
        let members = (state.json.members ?? []).filter { $0.key != key }
        return .object(members + (value.map { [JSON.Member(key, $0)] } ?? []))
    }

    @Test(
        arguments: [
            ("v", .integer(2), #""v" is 2, expected 1"#),
            ("v", nil, #""v" is missing, expected a whole number from 0, below 2^53"#),
            ("host", .string(""), #""host" is "", expected a text of 1 to 255 bytes"#),
            (
                "incarnation", .integer(1 << 53),
                #""incarnation" is 9007199254740992, expected a whole number from 0, below 2^53"#
            ),
            ("change", .number(1.5), #""change" is 1.5, expected a whole number from 0, below 2^53"#),
            ("status", .string("bad"), #""status" is "bad", expected one of ok, warning, critical, unknown"#),
            (
                "since", .string("9999-01-01T00:00:00Z"),
                #""since" is "9999-01-01T00:00:00Z", expected a time such as "2026-01-02T03:04:05.678901Z""#
            ),
            ("cause", .string("eth0"), #""cause" is "eth0", expected a kind and a name such as "nic/eth0""#),
            ("values", .array([]), #""values" is an array, expected an object of at most 256 values"#),
        ] as [(String, JSON?, String)])
    func `a wrong field is named with what would be right`(key: String, value: JSON?, message: String) {
        #expect {
            try StateMessage(json: MessageTests.altered(key, value))
        } throws: { error in
            "\(error)" == message
        }
    }

    @Test func `every missing key of a state but the optional ones is refused`() {
        for member in MessageTests.state.json.members ?? [] {
            let optional = ["previous", "cause", "happened_at"].contains(member.key)
            let isRead = (try? StateMessage(json: MessageTests.altered(member.key, nil))) != nil
            #expect(isRead == optional, "\(member.key)")
        }
    }

    @Test func `a bad state in a status document is named by its index`() {
        let document = StatusDocument(stamp: MessageTests.stamp, states: [MessageTests.state])
        let states = JSON.array([MessageTests.state.json, MessageTests.altered("status", .null)])
        let members = (document.json.members ?? []).filter { $0.key != "states" }
        #expect {
            try StatusDocument(json: .object(members + [JSON.Member("states", states)]))
        } throws: { error in
            "\(error)".hasPrefix(#""states[1].status" is null"#)
        }
    }

    @Test func `incarnations are ordered and bounded`() {
        let early = Incarnation(startedAt: WallTime(nanoseconds: 1_000_000))
        #expect(early < Incarnation(startedAt: MessageTests.time))
        #expect(Incarnation(startedAt: WallTime(nanoseconds: -5)).number == 0)
        #expect(Incarnation(1 << 53) == nil)
        #expect(Incarnation(-1) == nil)
    }
}
