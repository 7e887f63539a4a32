// A UPS as a dialogue: every sequence of ups.status that NUT documents, insane values, and communication lost at
// each moment.
import Basics
import Testing
import Wire

@testable import Detection

private let start = Instant(nanoseconds: 1_000_000_000_000)

/// A UPS and its clock.
private struct Dialogue {
    var ups = UPSMachine(Subject(.ups, "main"))
    var now = start

    init(hostNeeds: Duration = .seconds(60)) {
        var limits = UPSLimits()
        limits.hostNeeds = hostNeeds
        ups = UPSMachine(Subject(.ups, "main"), limits: limits)
    }

    mutating func hears(
        _ status: String, charge: String? = nil, runtime: String? = nil, after: Duration = .seconds(1)
    ) -> Status? {
        now = now + after
        var variables = ["ups.status": status]
        variables["battery.charge"] = charge
        variables["battery.runtime"] = runtime
        return ups.read(variables, at: now)?.status
    }

    mutating func loses(_ trouble: UPSTrouble, for duration: Duration) -> UPSMachine.Verdict? {
        now = now + .seconds(1)
        let first = ups.troubled(trouble, at: now)
        now = now + duration
        return ups.tick(at: now) ?? first
    }

    var status: Status { ups.verdict(at: now).status }
    var reason: String { ups.verdict(at: now).reason }
}

struct UPSStatusTests {
    @Test func `before it is heard it is unknown, and says why`() {
        var dialogue = Dialogue()
        #expect(dialogue.ups.started(at: start)?.status == .unknown)
        let verdict = dialogue.loses(.transport("connection refused"), for: .zero)
        #expect(verdict?.status == .unknown)
        #expect(verdict?.reason == "never heard: not reached: connection refused")
    }

    @Test(arguments: [
        ("OL", Status.ok), ("OL CHRG", .ok), ("OL TRIM", .ok), ("OL BOOST", .ok), ("OL TEST", .ok),
        ("OL ECO", .ok),
        ("OL CHRG LB", .warning), ("OL RB", .warning), ("OL ALARM", .warning), ("BYPASS", .warning),
        ("OL BYPASS", .warning), ("OL OVER", .critical), ("OFF", .critical), ("OL OFF", .critical),
        ("OB", .warning), ("OB DISCHRG", .warning), ("OB LB", .critical), ("OB DISCHRG LB", .critical),
        ("FSD OB LB", .critical), ("FSD OL", .critical), ("OB DISCHRG CAL", .warning), ("OL CAL", .warning),
        ("WAIT", .unknown), ("", .unknown), ("NOCOMM", .unknown), ("GARBAGE", .unknown),
    ])
    func `each status that NUT documents has its meaning`(text: String, status: Status) {
        var dialogue = Dialogue()
        #expect(dialogue.hears(text) == status)
    }

    @Test func `an outage and its end are told once each`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OL CHRG", charge: "100", runtime: "1200") == .ok)
        #expect(dialogue.hears("OB DISCHRG", charge: "100", runtime: "1190") == .warning)
        #expect(dialogue.hears("OB DISCHRG", charge: "99", runtime: "1180") == nil)
        #expect(dialogue.hears("OB LB DISCHRG", charge: "20", runtime: "200") == .critical)
        #expect(dialogue.hears("OL CHRG LB", charge: "20", runtime: "200") == .warning)
        #expect(dialogue.hears("OL CHRG", charge: "40", runtime: "500") == .ok)
    }

    @Test func `less left than the host needs is critical although the device never says low`() {
        var dialogue = Dialogue(hostNeeds: .seconds(300))
        #expect(dialogue.hears("OL", runtime: "600") == .ok)
        #expect(dialogue.hears("OB", runtime: "600") == .warning)
        #expect(dialogue.hears("OB", runtime: "310") == nil)
        #expect(dialogue.ups.deadline == dialogue.now + .seconds(10))
        dialogue.now = dialogue.now + .seconds(10)
        #expect(dialogue.ups.tick(at: dialogue.now)?.status == .critical)
    }

    @Test func `the time left comes from the fall of the charge where the device says nothing`() {
        var dialogue = Dialogue(hostNeeds: .seconds(60))
        #expect(dialogue.hears("OB", charge: "100", runtime: "0") == .warning)
        #expect(dialogue.reason == "on battery, time left unknown")
        // 10 % in 100 s: 90 % last 900 s more.
        #expect(dialogue.hears("OB", charge: "90", runtime: "0", after: .seconds(100)) == nil)
        #expect(dialogue.reason == "on battery, 900 s left")
        #expect(dialogue.hears("OB", charge: "5", runtime: "0", after: .seconds(850)) == .critical)
    }

    @Test func `other limits judge what is known already`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OB", runtime: "600") == .warning)
        var limits = UPSLimits()
        limits.hostNeeds = .seconds(900)
        #expect(dialogue.ups.limit(limits, at: dialogue.now)?.status == .critical)
        #expect(dialogue.ups.limit(limits, at: dialogue.now) == nil)
    }

    @Test func `a forced shutdown is latched until mains are back`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OB LB") == .critical)
        #expect(dialogue.hears("FSD OB LB") == .critical)
        #expect(dialogue.hears("OB") == nil)
        #expect(dialogue.reason == "forced shutdown: the power will be cut")
        #expect(dialogue.hears("OL") == .ok)
    }
}

struct UPSVoicesTests {
    private let mains = ["ups.status": "OL", "ups.load": "7"]
    private let battery = ["ups.status": "OB"]

    @Test func `of a forced shutdown the server tells, of all else the driver does`() {
        var voices = UPSVoices()
        #expect(voices.pushed(mains) == mains)
        #expect(voices.polled(battery) == nil)
        #expect(voices.polled(["ups.status": "FSD OB"]) == ["ups.status": "FSD OL", "ups.load": "7"])
        #expect(voices.polled(["ups.status": "FSD OB"]) == nil)
        #expect(voices.pushed(battery) == ["ups.status": "FSD OB"])
        #expect(voices.polled(["ups.status": "OB"]) == battery)
    }

    @Test func `a forced shutdown on mains stands until its server says something else`() {
        var voices = UPSVoices()
        _ = voices.pushed(mains)
        _ = voices.polled(["ups.status": "FSD OL"])
        #expect(voices.pushed(mains) == ["ups.status": "FSD OL", "ups.load": "7"])
        #expect(voices.polled(mains) == mains)
    }

    @Test func `a forced shutdown that the driver knows is said once`() {
        var voices = UPSVoices()
        #expect(voices.polled(["ups.status": "FSD OB LB"]) == nil)
        #expect(voices.pushed(["ups.status": "OB FSD"]) == ["ups.status": "OB FSD"])
        #expect(voices.pushed([:]) == ["ups.status": "FSD "])
    }

    @Test func `what a driver said last is not repeated for it while it has nothing fresh`() {
        var voices = UPSVoices()
        _ = voices.pushed(mains)
        voices.silenced()
        #expect(voices.polled(["ups.status": "FSD OB"]) == nil)
        #expect(voices.pushed(battery) == ["ups.status": "FSD OB"])
    }
}

struct UPSLossTests {
    @Test func `a forced shutdown stands while its server is lost, and time alone changes nothing`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("FSD OB LB") == .critical)
        #expect(dialogue.loses(.transport("connection refused"), for: .seconds(6)) == nil)
        #expect(dialogue.reason == "forced shutdown: the power will be cut")
        #expect(dialogue.ups.deadline == nil)
        #expect(dialogue.hears("OL") == .ok)
        #expect(dialogue.loses(.transport("connection refused"), for: .seconds(6))?.status == .unknown)
    }

    @Test func `lost on battery is critical and counts down from the last reading`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OB DISCHRG", runtime: "600") == .warning)
        let verdict = dialogue.loses(.transport("no route to host"), for: .seconds(5))
        #expect(verdict?.status == .critical)
        #expect(
            verdict?.reason
                == "not reached: no route to host while on battery, 594 s left by the last reading")
        dialogue.now = dialogue.now + .seconds(100)
        #expect(dialogue.reason.contains("494 s left"))
        #expect(dialogue.hears("OL") == .ok)
    }

    @Test(arguments: ["OL", "OL CAL", "OB CAL", "BYPASS", "OFF", "OL ALARM"])
    func `lost otherwise is unknown, not a dead UPS`(status: String) {
        var dialogue = Dialogue()
        _ = dialogue.hears(status)
        #expect(dialogue.loses(.driver("no such socket"), for: .seconds(5))?.status == .unknown)
    }

    @Test func `a driver that says WAIT knows nothing, and what was known counts on`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OB DISCHRG", runtime: "600") == .warning)
        #expect(dialogue.hears("WAIT") == nil)
        #expect(dialogue.hears("WAIT", after: .seconds(5)) == .critical)
        #expect(
            dialogue.reason
                == "its driver is gone: it says \"WAIT\" while on battery, 594 s left by the last reading")
        #expect(dialogue.hears("OL") == .ok)
    }

    @Test func `one stale poll is no news`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OL") == .ok)
        #expect(dialogue.loses(.stale, for: .seconds(3)) == nil)
        #expect(dialogue.hears("OL") == nil)
        #expect(dialogue.status == .ok)
    }

    @Test func `a dwell is counted from the first trouble, whatever form it takes`() {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OL") == .ok)
        #expect(dialogue.loses(.stale, for: .seconds(3)) == nil)
        let verdict = dialogue.loses(.driver("gone"), for: .seconds(1))
        #expect(verdict?.status == .unknown)
        #expect(verdict?.reason == "its driver is gone: gone; last heard \"OL\"")
    }
}

struct UPSReadingTests {
    @Test(arguments: [
        ("battery.charge", "120"), ("battery.charge", "-1"), ("battery.charge", "nan"),
        ("battery.charge", ""),
        ("battery.charge", "0x20"), ("battery.runtime", "65535"), ("battery.runtime", "1:57"),
        ("battery.runtime", "00000"), ("battery.runtime", "999999"), ("ups.load", "400"), ("ups.load", "1e1"),
    ])
    func `a value that cannot be is left out by name`(name: String, value: String) {
        let reading = UPSReading(variables: ["ups.status": "OL", name: value])
        #expect(reading.rejected == [name: value])
        #expect(reading.charge == nil && reading.runtime == nil && reading.load == nil)
    }

    @Test func `values of real devices are read`() {
        let reading = UPSReading(variables: [
            "ups.status": "OL CHRG", "battery.charge": " 91", "battery.runtime": "47039", "ups.load": "10",
            "battery.charge.low": "30",
        ])
        #expect(reading.charge == 0.91)
        #expect(reading.runtime == .seconds(47039))
        #expect(reading.load == 0.1)
        #expect(reading.lowCharge == 0.3)
        #expect(reading.rejected.isEmpty)
    }

    @Test func `an empty battery is believed only with the word for it`() {
        #expect(UPSReading(variables: ["ups.status": "OB LB", "battery.runtime": "0"]).runtime == .zero)
        #expect(UPSReading(variables: ["ups.status": "OB", "battery.runtime": "0"]).runtime == nil)
    }
}

struct UPSGroupTests {
    private let a = Subject(.ups, "a")
    private let b = Subject(.ups, "b")

    @Test(arguments: [
        (Status.ok, Status.ok, Status.ok), (.ok, .warning, .warning), (.ok, .critical, .warning),
        (.critical, .critical, .critical), (.critical, .unknown, .unknown), (.ok, .unknown, .warning),
        (.unknown, .unknown, .unknown),
    ])
    func `one of two must hold`(first: Status, second: Status, expected: Status) {
        let group = UPSGroup(Subject(.ups, "rack"), members: [a, b], required: 1)
        #expect(group.verdict(of: [a: first, b: second]).status == expected)
    }
}

struct UPSGaspTests {
    private let main = Subject(.ups, "main")
    private let rack = Subject(.ups, "rack2@10.0.0.7")
    private let now = Instant(nanoseconds: 0)

    private func verdict(_ subject: Subject, _ status: String) -> UPSMachine.Verdict {
        var machine = UPSMachine(subject)
        _ = machine.read(["ups.status": status, "battery.charge": "80"], at: now)
        return machine.verdict(at: now)
    }

    private func reason(_ statuses: [Subject: String], groups: [UPSGroup] = []) -> String? {
        var verdicts: [Subject: UPSMachine.Verdict] = [:]
        for (subject, status) in statuses { verdicts[subject] = verdict(subject, status) }
        return UPSGasp.reason(verdicts, groups: groups)
    }

    @Test(arguments: ["OL", "OB", "OL LB", "OFF", "OL BYPASS", "OB CAL"])
    func `a host goes for none of these`(status: String) {
        #expect(reason([main: status]) == nil)
    }

    @Test(arguments: ["OB LB", "FSD OB LB", "FSD OL"])
    func `a host goes when its UPS is at its end, and says which one`(status: String) {
        #expect(reason([main: status, rack: "OL"])?.hasPrefix("ups/main is ") == true)
    }

    @Test func `with two UPSes of which one is enough, both must be at their end`() {
        let group = UPSGroup(Subject(.ups, "power"), members: [main, rack], required: 1)
        #expect(reason([main: "OB LB", rack: "OB"], groups: [group]) == nil)
        #expect(
            reason([main: "OB LB", rack: "OB LB"], groups: [group])?.hasPrefix("ups/power: ups/main is ")
                == true)
    }

    private func reason(_ dialogue: Dialogue) -> String? {
        UPSGasp.reason([main: dialogue.ups.verdict(at: dialogue.now)], groups: [])
    }

    @Test(arguments: [UPSTrouble.transport("no route to host"), .driver("its socket closed"), .stale])
    func `what was low when last heard takes the host with it, until it says otherwise`(trouble: UPSTrouble) {
        var dialogue = Dialogue()
        #expect(dialogue.hears("OB LB", runtime: "200") == .critical)
        #expect(reason(dialogue) == "ups/main is on battery and low, 200 s left")
        #expect(dialogue.loses(trouble, for: .seconds(6))?.status == .critical)
        let words = " while on battery and at its end, 193 s left by the last reading"
        #expect(reason(dialogue)?.hasSuffix(words) == true)
        dialogue.now = dialogue.now + .seconds(3600)
        #expect(dialogue.ups.tick(at: dialogue.now) == nil)
        #expect(reason(dialogue) != nil)
        #expect(dialogue.hears("OL") == .ok)
        #expect(reason(dialogue) == nil)
    }

    @Test func `what is lost on battery takes the host with it when no more is left than that needs`() {
        var dialogue = Dialogue(hostNeeds: .seconds(60))
        #expect(dialogue.hears("OB", runtime: "300") == .warning)
        #expect(dialogue.loses(.transport("no route to host"), for: .seconds(5))?.status == .critical)
        #expect(reason(dialogue) == nil)
        #expect(dialogue.ups.deadline == dialogue.now + .seconds(234))
        dialogue.now = dialogue.now + .seconds(234)
        #expect(dialogue.ups.tick(at: dialogue.now)?.status == .critical)
        let words = "while on battery and at its end, 60 s left by the last reading"
        #expect(reason(dialogue) == "ups/main is not reached: no route to host \(words)")
        #expect(dialogue.ups.deadline == nil)
    }

    @Test func `a UPS that is in no group is needed by itself`() {
        let group = UPSGroup(Subject(.ups, "power"), members: [main], required: 0)
        #expect(
            reason([main: "OB LB", rack: "FSD"], groups: [group])?.hasPrefix("ups/rack2@10.0.0.7") == true
        )
    }
}
