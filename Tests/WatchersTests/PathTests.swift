// Paths as dialogues, and a day of random loss without a false alarm.
import Basics
import Detection
import Configuration
import Testing
import Watchers
import Wire

struct PathTests {
    private static let first = ProbeTarget(.v4(IPv4Address(number: 0xC000_0201)))
    private static let addresses = (1...3).map {
        ProbeTarget(.v4(IPv4Address(number: 0xC000_0200 + UInt32($0))))
    }

    private func options(interface: String? = "isp-a") -> ISPOptions {
        ISPOptions(name: "isp-a", interface: interface)
    }

    private func machine(targets: Int = 1, _ options: ISPOptions? = nil) -> PathMachine {
        PathMachine(
            options ?? self.options(), targets: Array(PathTests.addresses.prefix(targets)), identifier: 7,
            at: at(0))
    }

    private func said(_ actions: [PathAction]) -> [String] {
        actions.compactMap {
            if case .report(let finding) = $0 { "\(finding.status): \(finding.reason)" } else { nil }
        }
    }

    private func probes(_ actions: [PathAction]) -> [(target: ProbeTarget, sequence: UInt16)] {
        actions.compactMap {
            if case .probe(let target, _, let sequence) = $0 { (target, sequence) } else { nil }
        }
    }

    /// Ticks from one time to another, answering the targets for which `answers` is true after 10 ms.
    private func run(
        _ machine: inout PathMachine, from: Int64, to: Int64, every: Int64 = 100,
        answers: (ProbeTarget) -> Bool = { _ in true }
    ) -> [String] {
        var words: [String] = []
        for time in stride(from: from, to: to, by: Int(every)) {
            let actions = machine.tick(at: at(time))
            words += said(actions)
            for probe in probes(actions) where answers(probe.target) {
                let id = machine.identifier
                words += said(
                    machine.received(
                        from: probe.target.address, identifier: id, sequence: probe.sequence,
                        roundTrip: .milliseconds(10),
                        at: at(time + 10)))
            }
        }
        return words
    }

    /// Ticks from one time to another, with each answer so long after its probe; what has come by a tick is read first.
    private func run(
        _ machine: inout PathMachine, from: Int64, to: Int64, every: Int64 = 100, answeringAfter delay: Int64
    ) -> [String] {
        var words: [String] = []
        var coming: [(time: Int64, target: ProbeTarget, sequence: UInt16)] = []
        for time in stride(from: from, to: to, by: Int(every)) {
            while let answer = coming.first, answer.time <= time {
                coming.removeFirst()
                words += said(
                    machine.answered(
                        answer.target, sequence: answer.sequence, roundTrip: .milliseconds(delay),
                        at: at(answer.time)))
            }
            let actions = machine.tick(at: at(time))
            words += said(actions)
            coming += probes(actions).map {
                (time: time + delay, target: $0.target, sequence: $0.sequence)
            }
        }
        return words
    }

    @Test func `the first reply makes it up, after unknown`() {
        var machine = machine()
        #expect(
            run(&machine, from: 0, to: 300) == ["unknown: no verdict yet", "ok: 192.0.2.1 answers"])
    }

    @Test func `silence turns it down once, within a second`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        #expect(run(&machine, from: 1000, to: 1700, answers: { _ in false }) == [])
        #expect(
            run(&machine, from: 1700, to: 1800, answers: { _ in false }) == [
                "critical: 192.0.2.1 silent for 0.7 s"
            ])
        #expect(run(&machine, from: 1800, to: 9000, answers: { _ in false }) == [])
    }

    @Test func `it comes back after three replies in a row, with a new count of losses`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        _ = run(&machine, from: 1000, to: 5000, answers: { _ in false })
        #expect(run(&machine, from: 5000, to: 5200) == [])
        #expect(run(&machine, from: 5200, to: 7000) == ["ok: 192.0.2.1 answers"])
    }

    @Test func `before its first reply a silent target is unknown, then critical`() {
        var machine = machine()
        let words = run(&machine, from: 0, to: 2000, answers: { _ in false })
        #expect(words == ["unknown: no verdict yet", "critical: 192.0.2.1 silent for 0.7 s"])
    }

    @Test func `one of three targets silent is a warning, two are the end of the quorum`() {
        var machine = machine(targets: 3)
        #expect(run(&machine, from: 0, to: 1000).last == "ok: 3 of 3 targets answer")
        let one = run(&machine, from: 1000, to: 3000, answers: { $0 != PathTests.addresses[2] })
        #expect(one == ["warning: 2 of 3 targets answer"])
        let two = run(&machine, from: 3000, to: 5000, answers: { $0 == PathTests.first })
        #expect(two == ["critical: 2 of 3 targets silent for 2.7 s"])
    }

    @Test func `a lost carrier is critical at once, and only replies make it up again`() {
        var machine = machine()
        _ = machine.linkChanged(to: .up, at: at(0))
        _ = run(&machine, from: 0, to: 1000)
        #expect(
            said(machine.linkChanged(to: .noCarrier, at: at(1001))) == [
                "critical: its NIC isp-a has no carrier"
            ])
        #expect(said(machine.linkChanged(to: .noCarrier, at: at(1002))) == [])
        #expect(
            said(machine.linkChanged(to: .up, at: at(1100))) == [
                "critical: its link is back, awaiting replies"
            ])
        #expect(run(&machine, from: 1200, to: 1400) == [])
        #expect(run(&machine, from: 1400, to: 1500) == ["ok: 192.0.2.1 answers"])
    }

    @Test func `a reply that was read late counts from when it came`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        #expect(!machine.isAwaitingReply)
        let probe = probes(machine.tick(at: at(1000)))[0]
        // Read with the next tick, as replies of a path that is up are.
        _ = machine.answered(
            probe.target, sequence: probe.sequence, roundTrip: .milliseconds(10), at: at(1100))
        #expect(machine.targets[0].silence(at: at(1100)) == .milliseconds(90))
        _ = machine.linkChanged(to: .noCarrier, at: at(1200))
        #expect(machine.isAwaitingReply)
    }

    @Test func `answers that all come after their probes were given up make it up`() {
        var machine = machine()
        #expect(
            run(&machine, from: 0, to: 5000, answeringAfter: 400) == [
                "unknown: no verdict yet", "ok: 192.0.2.1 answers",
            ])
        #expect(machine.targets[0].roundTrip == .milliseconds(400))
        #expect(machine.targets[0].window.ratioAtLeast == 0)
    }

    @Test func `a path that becomes so slow that its probes are given up is told as slow`() {
        var options = options()
        options.rtt.warning = 0.3
        var machine = machine(options)
        _ = run(&machine, from: 0, to: 1000)
        let words = run(&machine, from: 1000, to: 9000, answeringAfter: 400)
        #expect(words.count == 1 && words[0].hasPrefix("warning: round trip "), "\(words)")
    }

    /// Also with probes so rare, and so few to be lost, that none may be forgotten while its answer is on the way.
    @Test(arguments: [(100, 5, 400), (100, 5, 650), (250, 1, 550)] as [(Int64, Int, Int64)])
    func `after its link was lost, answers that come late make it up once`(
        every: Int64, downAfterProbes: Int, delay: Int64
    ) {
        var options = options()
        options.probeEvery = .milliseconds(every)
        options.downAfterProbes = downAfterProbes
        var machine = machine(options)
        _ = machine.linkChanged(to: .up, at: at(0))
        _ = run(&machine, from: 0, to: 1000, every: every)
        _ = machine.linkChanged(to: .noCarrier, at: at(1001))
        _ = machine.linkChanged(to: .up, at: at(1100))
        #expect(
            run(&machine, from: 1250, to: 20_000, every: every, answeringAfter: delay) == [
                "ok: 192.0.2.1 answers"
            ])
    }

    @Test func `an answer that takes as long as an outage proves nothing`() {
        var machine = machine()
        _ = machine.linkChanged(to: .up, at: at(0))
        _ = run(&machine, from: 0, to: 1000)
        _ = machine.linkChanged(to: .noCarrier, at: at(1001))
        _ = machine.linkChanged(to: .up, at: at(1100))
        #expect(
            run(&machine, from: 1200, to: 9000, answeringAfter: 900) == [
                "critical: 192.0.2.1 silent for 2.1 s"
            ])
    }

    @Test func `a loss between late answers begins their count anew`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        _ = run(&machine, from: 1000, to: 3000, answers: { _ in false })
        var words: [String] = []
        let sent = (Int64(0)..<6).map { probes(machine.tick(at: at(3000 + $0 * 100)))[0].sequence }
        // The third one never comes.
        for (index, sequence) in sent.enumerated() where index != 2 {
            let time = at(3500 + Int64(index) * 100)
            _ = machine.passed(time)
            words += said(
                machine.answered(
                    PathTests.first, sequence: sequence, roundTrip: .milliseconds(500), at: time))
            #expect(words.isEmpty == (index < 5))
        }
        #expect(words == ["ok: 192.0.2.1 answers"])
    }

    @Test func `an address more does not put the judgement of silence off`() {
        var machine = machine()
        let own = IPAddress.v4(IPv4Address(number: 0xC000_0250))
        #expect(machine.leaves(by: [own], at: at(0)) == [])
        _ = run(&machine, from: 0, to: 1000)
        #expect(run(&machine, from: 1000, to: 1500, answers: { _ in false }) == [])
        #expect(machine.leaves(by: [own], at: at(1500)) == [])
        #expect(
            run(&machine, from: 1500, to: 1800, answers: { _ in false }) == [
                "critical: 192.0.2.1 silent for 0.7 s"
            ])
    }

    @Test func `what leaves by another address is judged anew`() {
        var machine = machine()
        let own = (1...2).map { IPAddress.v4(IPv4Address(number: 0xC000_0250 + UInt32($0))) }
        _ = machine.leaves(by: [own[0]], at: at(0))
        _ = run(&machine, from: 0, to: 1000)
        _ = run(&machine, from: 1000, to: 1500, answers: { _ in false })
        #expect(machine.leaves(by: [own[1]], at: at(1500)) == [.rebind])
        #expect(run(&machine, from: 1500, to: 2200, answers: { _ in false }) == [])
        #expect(
            run(&machine, from: 2200, to: 2400, answers: { _ in false }) == [
                "critical: 192.0.2.1 silent for 0.7 s"
            ])
    }

    @Test func `without an address to leave by, each that comes is bound to`() {
        var machine = machine()
        let own = IPAddress.v4(IPv4Address(number: 0xC000_0250))
        #expect(machine.leaves(by: [own], at: at(0)) == [])
        #expect(!machine.hasNoSource)
        #expect(machine.leaves(by: [], at: at(1)).contains(.rebind))
        #expect(machine.hasNoSource)
        #expect(machine.leaves(by: [], at: at(2)).contains(.rebind))
        #expect(machine.leaves(by: [own], at: at(3)).contains(.rebind))
        // After its link was lost it is looked at as if for the first time.
        _ = machine.linkChanged(to: .noCarrier, at: at(4))
        _ = machine.linkChanged(to: .up, at: at(5))
        #expect(machine.leaves(by: [own], at: at(6)) == [])
    }

    /// Also where looks without an address come more often than a failure of sending becomes a verdict.
    @Test(arguments: [200, 1000] as [Int64])
    func `a path without an address to leave by is told as such once`(lookEvery: Int64) {
        var options = options(interface: nil)
        options.downAfter = .seconds(2)
        var machine = machine(options)
        let own = IPAddress.v4(IPv4Address(number: 0xC000_0250))
        _ = machine.leaves(by: [own], at: at(0))
        _ = run(&machine, from: 0, to: 1000)
        var words: [String] = []
        for time in stride(from: Int64(1000), to: 10_000, by: 100) {
            if time % lookEvery == 0 { words += said(machine.leaves(by: [], at: at(time))) }
            let actions = machine.tick(at: at(time))
            words += said(actions)
            for probe in probes(actions) {
                machine.sendFailed(
                    to: probe.target, sequence: probe.sequence, reason: "Network is unreachable", at: at(time)
                )
            }
        }
        #expect(words == ["unknown: probes cannot be sent: Network is unreachable"])
        #expect(machine.leaves(by: [own], at: at(10_000)).contains(.rebind))
        machine.sent(to: PathTests.first)
        #expect(run(&machine, from: 10_000, to: 10_200).last == "ok: 192.0.2.1 answers")
    }

    @Test func `a link that is back over a dead line is told as silence`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        _ = machine.linkChanged(to: .noCarrier, at: at(1000))
        _ = machine.linkChanged(to: .up, at: at(1100))
        #expect(
            run(&machine, from: 1200, to: 6000, answers: { _ in false }) == [
                "critical: 192.0.2.1 silent for 2.1 s"
            ])
    }

    @Test func `probes that cannot be sent are unknown and not loss`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        var words: [String] = []
        for time in stride(from: Int64(1000), to: 3000, by: 100) {
            let actions = machine.tick(at: at(time))
            words += said(actions)
            for probe in probes(actions) {
                machine.sendFailed(
                    to: probe.target, sequence: probe.sequence, reason: "Operation not permitted",
                    at: at(time))
            }
        }
        #expect(words == ["unknown: probes cannot be sent: Operation not permitted"])
        machine.sent(to: PathTests.first)
        #expect(run(&machine, from: 3000, to: 3200).last == "ok: 192.0.2.1 answers")
        #expect(machine.targets[0].lost == 0)
    }

    @Test
    func `replies of strangers, of another identifier and doubles are counted and prove nothing`() {
        var machine = machine()
        let sequence = probes(machine.tick(at: at(0)))[0].sequence
        let stranger = ProbeTarget(.v4(IPv4Address(number: 1)))
        func reply(_ source: ProbeTarget, _ id: UInt16, _ sequence: UInt16) -> [String] {
            said(
                machine.received(
                    from: source.address, identifier: id, sequence: sequence, roundTrip: nil, at: at(5)))
        }
        #expect(reply(stranger, 7, sequence) == [])
        #expect(reply(PathTests.first, 8, sequence) == [])
        #expect(reply(PathTests.first, 7, sequence &+ 9) == [])
        #expect(machine.foreign == 3)
        #expect(reply(PathTests.first, 7, sequence) == ["ok: 192.0.2.1 answers"])
        #expect(reply(PathTests.first, 7, sequence) == [])
        #expect(machine.targets[0].duplicates == 1)
    }

    @Test func `the identifier is changed after ten seconds of silence`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        _ = run(&machine, from: 1000, to: 10_900, answers: { _ in false })
        #expect(machine.identifier == 7)
        #expect(machine.tick(at: at(10_920)).contains(.rotate(identifier: 8)))
    }

    @Test func `loss is a warning with an edge to raise it and one to clear it`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 20_000)
        var random = SplitMix(state: 5)
        let lossy = run(&machine, from: 20_000, to: 40_000, answers: { _ in !random.chance(0.1) })
        #expect(lossy == ["warning: 2.0 % of the last 100 probes lost (limit 2.0 %)"])
        #expect(run(&machine, from: 40_000, to: 70_000) == [])
        #expect(run(&machine, from: 70_000, to: 90_000) == ["ok: 192.0.2.1 answers"])
    }

    /// 10 minutes at 5 % random loss, of a path as it is configured and of one that is found.
    @Test(arguments: [100, 1000] as [Int64])
    func `random loss that lasts is one warning that stays, and nothing else`(every: Int64) {
        var options = options()
        options.probeEvery = .milliseconds(every)
        options.loss.hold = options.probeEvery * options.lossWindow * 3
        for seed in UInt64(1)...10 {
            var machine = machine(options)
            var random = SplitMix(state: seed)
            let (from, to) = (20_000 / 100 * every, 600_000 * every / 100)
            _ = run(&machine, from: 0, to: from, every: every)
            let words = run(&machine, from: from, to: to, every: every) { _ in !random.chance(0.05) }
            #expect(words.count == 1 && words[0].hasPrefix("warning: "), "\(words)")
        }
    }

    @Test func `a slow round trip is a warning once it lasts`() {
        var options = options()
        options.rtt = LimitOptions(warning: 0.005, dwell: .seconds(1))
        var machine = machine(options)
        let words = run(&machine, from: 0, to: 3000)
        #expect(words.last == "warning: round trip 10.0 ms (limit 5.0 ms)")
    }

    private func machine(_ options: ISPOptions) -> PathMachine { machine(targets: 1, options) }

    @Test func `without a next hop it is unknown, and with one it is probed`() {
        var machine = PathMachine(options(), targets: [], identifier: 7, at: at(0))
        #expect(run(&machine, from: 0, to: 1000) == ["unknown: no next hop is known on isp-a"])
        #expect(said(machine.retarget([PathTests.first], at: at(1000))) == ["unknown: no verdict yet"])
        #expect(run(&machine, from: 1000, to: 1200) == ["ok: 192.0.2.1 answers"])
    }

    @Test func `a loss beyond a critical level is critical`() {
        var options = options()
        options.loss = LimitOptions(warning: 0.02, critical: 0.2)
        var machine = machine(options)
        _ = run(&machine, from: 0, to: 20_000)
        var random = SplitMix(state: 5)
        let words = run(&machine, from: 20_000, to: 60_000, answers: { _ in !random.chance(0.35) })
        #expect(words.contains { $0.hasPrefix("critical: ") && $0.hasSuffix("(limit 20.0 %)") })
    }

    @Test func `round trips have a median and a 99th percentile`() throws {
        var machine = machine()
        for probe in Int64(0)..<300 {
            let sequence = probes(machine.tick(at: at(probe * 100)))[0].sequence
            let time: Duration = probe % 50 == 0 ? .milliseconds(90) : .milliseconds(10)
            _ = machine.answered(
                PathTests.first, sequence: sequence, roundTrip: time, at: at(probe * 100 + 95))
        }
        let figures = try #require(machine.targets[0].percentiles)
        #expect(figures.median == .milliseconds(10) && figures.p99 == .milliseconds(90))
        let sample = machine.sample.values
        #expect(sample.contains(NamedValue("rtt_p50_s", .number(0.01))))
        #expect(sample.contains(NamedValue("rtt_p99_s", .number(0.09))))
    }

    @Test func `a clock that is set while a probe is under way makes no round trip of it`() throws {
        var machine = machine()
        for (probe, told) in [Int64(10), 3_600_000, -3_600_000].enumerated() {
            let start = Int64(probe) * 100
            let sequence = probes(machine.tick(at: at(start)))[0].sequence
            _ = machine.answered(
                PathTests.first, sequence: sequence, roundTrip: .milliseconds(told), at: at(start + 20))
        }
        let figures = try #require(machine.targets[0].percentiles)
        #expect(figures.median == .milliseconds(20) && figures.p99 == .milliseconds(20))
    }

    @Test func `a next hop that is not resolved is named while the path is silent`() {
        var machine = machine()
        _ = run(&machine, from: 0, to: 1000)
        #expect(run(&machine, from: 1000, to: 3000, answers: { _ in false }).count == 1)
        let hop = IPAddress.v4(IPv4Address(number: 0xC000_02FE))
        #expect(
            said(machine.heard(unresolved: hop, at: at(3000))) == [
                "critical: 192.0.2.1 silent for 2.0 s: the next hop 192.0.2.254 does not answer ARP"
            ])
        #expect(said(machine.heard(unresolved: hop, at: at(3001))) == [])
        #expect(run(&machine, from: 3100, to: 4000).last == "ok: 192.0.2.1 answers")
    }

    @Test func `answers of every kind count towards one quorum, and none for another`() throws {
        let targets = try ["192.0.2.1", "tcp://192.0.2.1:443", "dns://[2001:db8::53]"].map {
            try #require(ProbeTarget($0))
        }
        var machine = PathMachine(options(), targets: targets, identifier: 7, at: at(0))
        let asked = probes(machine.tick(at: at(0)))
        #expect(asked.map(\.target) == targets)
        #expect(
            said(machine.answered(targets[1], sequence: asked[1].sequence, roundTrip: nil, at: at(5)))
                == [])
        #expect(
            said(machine.answered(targets[1], sequence: asked[1].sequence, roundTrip: nil, at: at(6)))
                == [])
        #expect(
            said(machine.answered(targets[2], sequence: asked[2].sequence, roundTrip: nil, at: at(7)))
                == [
                    "ok: 3 of 3 targets answer"
                ])
        let stranger = try #require(ProbeTarget("tcp://192.0.2.1:80"))
        _ = machine.answered(stranger, sequence: asked[0].sequence, roundTrip: nil, at: at(8))
        #expect(machine.foreign == 1)
    }

    /// 24 hours of a single target: 864,000 probes, each lost with this probability (there or back).
    @Test(arguments: [(0.05, UInt64(1)), (0.1, 3)])
    func `a day of random loss raises no false alarm`(loss: Double, seed: UInt64) {
        var machine = machine()
        var random = SplitMix(state: seed)
        var criticals = 0
        for tick in Int64(0)..<864_000 {
            for action in machine.tick(at: at(tick * 100)) {
                switch action {
                case .probe(let target, let identifier, let sequence):
                    guard !random.chance(loss) else { continue }
                    _ = machine.received(
                        from: target.address, identifier: identifier, sequence: sequence,
                        roundTrip: .milliseconds(10),
                        at: at(tick * 100 + 10))
                case .report(let finding): if finding.status == .critical { criticals += 1 }
                case .rotate, .rebind: break
                }
            }
        }
        #expect(criticals == 0)
        #expect(machine.targets[0].isUp)
    }

    /// Black holes at random moments under random loss: each is told within a second.
    @Test func `under loss a black hole is told within a second`() {
        var random = SplitMix(state: 9)
        for _ in 0..<200 {
            var machine = machine()
            _ = run(&machine, from: 0, to: 20_000, answers: { _ in !random.chance(0.05) })
            #expect(machine.targets[0].isUp)
            let words = run(&machine, from: 20_000, to: 21_000, answers: { _ in false })
            #expect(words.contains { $0.hasPrefix("critical") })
        }
    }
}
