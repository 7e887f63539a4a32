// Checks: what plugins print, as their guidelines say and as they do, and the machine in dialogue.
import Basics
import Configuration
import Testing
import Wire

@testable import Watchers

struct PerfdataTests {
    struct Ends: Sendable {
        let text: String
        let low: Double?
        let high: Double?

        init(_ text: String, _ low: Double?, _ high: Double?) {
            self.text = text
            self.low = low
            self.high = high
        }
    }

    private func items(_ text: String) -> [Perfdata] { Perfdata.items(text, most: 24).items }

    @Test func `a value has its unit and its thresholds`() throws {
        let item = try #require(items("time=0.270634s;1;@2:5;0.0;10").first)
        #expect(item.label == "time" && item.value == 0.270634 && item.unit == "s")
        #expect(item.warning == PerfdataRange("1") && item.critical?.alertsInside == true)
        #expect(item.critical?.low == 2 && item.critical?.high == 5)
        #expect(item.minimum == 0 && item.maximum == 10)
    }

    @Test(arguments: [
        ("'a b'=1", "a b"), ("'it''s'=1", "it's"), ("'a=b'=1", "a=b"), ("/=1", "/"), ("a=1;;;;", "a"),
    ])
    func `labels may be quoted`(text: String, label: String) { #expect(items(text).map(\.label) == [label]) }

    @Test func `several stand apart by spaces, and a value may be unknown`() {
        let found = items("load1=0.5;5;10;0; load5=U  'free space'=12MB;;~:5;")
        #expect(found.map(\.label) == ["load1", "load5", "free space"])
        #expect(found.map(\.value) == [0.5, nil, 12])
        #expect(found[2].critical?.low == nil && found[2].critical?.high == 5)
    }

    @Test(arguments: [
        Ends("10", 0, 10), Ends("10:", 10, nil), Ends("~:10", nil, 10), Ends("10:20", 10, 20),
        Ends(":5", 0, 5),
        Ends("-5:-1", -5, -1),
    ])
    func `ranges have two ends`(ends: Ends) {
        let range = PerfdataRange(ends.text)
        #expect(range != nil && range?.low == ends.low && range?.high == ends.high)
        #expect(range?.alertsInside == false)
    }

    @Test(arguments: ["", "@", "a", "1:2:3", "1..2", "nan", "inf:"])
    func `what is no range is none`(text: String) { #expect(PerfdataRange(text) == nil) }

    @Test(arguments: [
        "=1", "a", "a=", "a=x", "'a=1", "''=1", "a=1;2;3;4;5;6", "a=0x10", "a=infinity", "a=1averylongunit",
    ])
    func `what is no performance data is counted`(text: String) {
        let (found, refused) = Perfdata.items(text, most: 24)
        #expect(found.isEmpty && refused >= 1, "\(found)")
    }

    @Test func `more than a check may have is counted`() {
        let (found, refused) = Perfdata.items((0..<100).map { "v\($0)=1" }.joined(separator: " "), most: 24)
        #expect(found.count == 24 && refused == 76)
    }
}

struct CheckOutputTests {
    private func output(_ text: String) -> CheckOutput { CheckOutput(Array(text.utf8)) }
    private func values(_ text: String) -> [String: Double] {
        Dictionary(
            output(text).values.compactMap { value in
                if case .number(let number) = value.value { (value.name, number) } else { nil }
            }, uniquingKeysWith: { first, _ in first })
    }

    @Test func `text, data, long text and more data are apart`() {
        let found = output(
            "DISK OK - free 5% | /=2643MB;5948;5958;0;5968\nlong text\n/boot | /boot=68MB\n/home=69%\n")
        #expect(found.text == "DISK OK - free 5%")
        #expect(found.items.map(\.label) == ["/", "/boot", "/home"])
    }

    @Test func `units become the bus's`() {
        let found = values("x | a=5ms b=50% c=2KB d=7c e=1.5 f=3rpm 'G h'=1us")
        #expect(
            found == [
                "a_s": 0.005, "b_ratio": 0.5, "c_bytes": 2048, "d_total": 7, "e": 1.5, "f_rpm": 3,
                "g_h_s": 1e-6,
            ])
        #expect(
            values("x | t=1s;5;10:") == ["t_s": 1, "t_warning_s": 5, "t_critical_s": 10])
    }

    @Test func `no bytes do harm`() {
        #expect(output("").text == "" && output("\n\n").text == "")
        #expect(CheckOutput([0xFF, 0xFE, 0x41]).text.hasSuffix("A"))
        #expect(output("a\u{1B}[31mred\u{202E}x\ty").text == "a [31mred x y")
        #expect(output(String(repeating: "x", count: 10_000)).text.count == 200)
        var random = SplitMix(state: 3)
        let letters = Array("'=|;: \n@~U0123456789.-eEsB%\u{0}\u{FF}".utf8)
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                letters[Int.random(in: 0..<letters.count, using: &random)]
            }
            #expect(CheckOutput(text).values.count <= CheckOutput.mostValues)
        }
    }
}

struct CheckPlacesTests {
    private func names(_ places: inout CheckPlaces) -> [String] {
        var found: [String] = []
        while let run = places.next() { found.append(run.name) }
        return found
    }

    @Test func `a few run at once, in the order in which they came due`() {
        var places = CheckPlaces()
        for number in 1...10 { places.due("check-\(number)") }
        #expect(names(&places) == (1...8).map { "check-\($0)" })
        places.gone(3)
        #expect(names(&places) == ["check-9"])
    }

    @Test func `a check that could not be killed has its turn once it is gone`() {
        var places = CheckPlaces()
        places.due("nfs")
        #expect(places.next() == .init(number: 1, name: "nfs"))
        places.due("nfs")
        #expect(places.next() == nil)
        places.gone(1)
        #expect(names(&places) == ["nfs"])
        places.gone(2)
        #expect(places.next() == nil)
    }

    @Test func `the run of other options delays none, and its result is of no use`() {
        var places = CheckPlaces()
        places.due("nfs")
        _ = places.next()
        places.due("nfs")
        _ = places.next()
        #expect(places.isOfUse(1) && places.cancel("nfs") == [1] && !places.isOfUse(1))
        places.due("nfs")
        #expect(places.next() == .init(number: 2, name: "nfs"))
        places.gone(1)
        #expect(places.next() == nil && places.isOfUse(2) && !places.isOfUse(1))
    }
}

struct CheckMachineTests {
    private func machine(_ change: (inout CheckOptions) -> Void = { _ in }) -> CheckMachine {
        var options = CheckOptions(name: "load", command: ["/bin/true"])
        change(&options)
        return CheckMachine(options, first: at(0))
    }

    private func output(_ text: String) -> CheckOutput { CheckOutput(Array(text.utf8)) }

    @Test(arguments: [(Int32(0), Status.ok), (1, .warning), (2, .critical), (3, .unknown)])
    func `exit statuses are the words of the plugins`(code: Int32, status: Status) {
        var machine = machine()
        #expect(machine.started().status == .unknown)
        #expect(machine.takeTurn(at: at(0)) == true)
        let finding = machine.finished(CheckResult(.exited(code), output: output("it is so")), at: at(10))
        #expect(finding.status == status && finding.reason == "it is so")
    }

    @Test func `other ends are unknown, and say how`() {
        func reason(_ outcome: CheckOutcome) -> String {
            var machine = machine()
            let finding = machine.finished(CheckResult(outcome), at: at(0))
            #expect(finding.status == .unknown)
            return finding.reason
        }
        #expect(reason(.exited(42)) == "exit status 42, which no plugin has")
        #expect(reason(.killed(signal: 11)) == "ended by signal 11")
        #expect(reason(.timedOut) == "killed after 10.0 s without a result")
        #expect(reason(.stuck) == "has no result after 10.0 s and cannot be killed")
        #expect(reason(.notStarted("no such file")) == "cannot be started: no such file")
    }

    @Test func `a text that changes is a value, and not news`() {
        var machine = machine()
        _ = machine.finished(CheckResult(.exited(0), output: output("load 1 | l=1")), at: at(0))
        let second = machine.finished(CheckResult(.exited(0), output: output("load 2 | l=2")), at: at(1))
        #expect(second.reason == "load 1")
        #expect(second.values.contains(NamedValue("output", .text("load 2"))))
        #expect(second.values.contains(NamedValue("l", .number(2))))
        let third = machine.finished(CheckResult(.exited(1), output: output("load 9")), at: at(2))
        #expect(third.status == .warning && third.reason == "load 9")
    }

    @Test func `it runs on its beat, and not while it runs`() {
        var machine = machine { $0.every = .seconds(10) }
        #expect(machine.takeTurn(at: at(0)) == true)
        #expect(machine.takeTurn(at: at(1)) == false)
        _ = machine.finished(CheckResult(.exited(0)), at: at(4000))
        #expect(machine.due == at(10_000))
        #expect(machine.takeTurn(at: at(10_001)) == true)
        _ = machine.finished(CheckResult(.exited(0)), at: at(35_000))
        #expect(machine.due == at(45_000))
    }

    @Test func `without a result for long it is unknown`() {
        var machine = machine { $0.every = .seconds(10) }
        _ = machine.finished(CheckResult(.exited(0)), at: at(0))
        _ = machine.takeTurn(at: at(10_000))
        #expect(machine.deadline == at(31_000))
        #expect(machine.tick(at: at(30_999)) == nil)
        #expect(machine.tick(at: at(31_000))?.status == .unknown)
    }

    @Test func `two hundred checks do not start together`() {
        let starts = (0..<200).map { number in
            CheckMachine.firstStart(
                CheckOptions(name: "check-\(number)", command: ["/x"]), of: 200, at: at(0))
        }
        let slots = Dictionary(grouping: starts) { $0.nanoseconds / 1_000_000_000 }
        #expect(slots.count == 10)
        #expect(slots.values.allSatisfy { $0.count < 40 })
    }
}
