// The path machine as a dialogue: what was heard or told, and what it does about it.
import Arbitration
import Basics
import Testing
import Wire

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

private let ispA = Dependency(Subject(.path, "isp-a"))

private func options(_ policy: PathMachineOptions.Policy) -> PathMachineOptions {
    PathMachineOptions(
        policy: policy,
        paths: [.init("A", dependsOn: [ispA]), .init("B", dependsOn: [Dependency(Subject(.path, "isp-b"))])],
        silence: .milliseconds(300), silenceBehindTwin: .milliseconds(300), holdDown: .seconds(5))
}

/// A hot-warm feed on A, both paths heard at `1000` ms.
private func settled() -> PathMachine {
    var machine = PathMachine(options(.hotWarm), at: ms(990))
    _ = machine.start(at: ms(990))
    _ = machine.resubscribed(0, at: ms(991))
    _ = machine.heard(0, at: ms(1000))
    _ = machine.heard(1, at: ms(1000))
    return machine
}

/// Hears a path every 50 ms, the last time at `end`.
private func hear(_ machine: inout PathMachine, _ path: Int, from start: Int64, to end: Int64) -> [PathAction]
{
    stride(from: start, through: end, by: 50).flatMap { machine.heard(path, at: ms($0)) }
}

@Suite struct PathMachineTests {
    @Test func `a hot-warm feed subscribes its preferred path alone`() {
        var machine = PathMachine(options(.hotWarm), at: ms(0))
        #expect(machine.start(at: ms(0)) == [.activate(0), .state(0, .waiting), .state(1, .waiting)])
        #expect(machine.heard(1, at: ms(5)) == [.state(1, .standby)])
        #expect(machine.heard(0, at: ms(6)) == [.state(0, .recovering), .redundancy(.full)])
        #expect(machine.resubscribed(0, at: ms(7)) == [.state(0, .active)])
        #expect(machine.heard(0, at: ms(8)) == [])
    }

    @Test func `a hot-hot feed subscribes all paths and never switches`() {
        var machine = PathMachine(options(.hotHot), at: ms(0))
        #expect(machine.start(at: ms(0)).prefix(2) == [.activate(0), .activate(1)])
        _ = machine.resubscribed(0, at: ms(0))
        _ = machine.resubscribed(1, at: ms(0))
        #expect(machine.heard(0, at: ms(10)) == [.state(0, .active)])
        #expect(machine.heard(1, at: ms(10)) == [.state(1, .active), .redundancy(.full)])
        _ = hear(&machine, 1, from: 20, to: 270)
        #expect(
            machine.tick(at: ms(310)) == [
                .state(0, .failed(.silent(.milliseconds(300)))), .redundancy(.reduced),
            ])
        #expect(machine.current == 1)
        #expect(machine.heard(0, at: ms(320)) == [.state(0, .active), .redundancy(.full)])
        #expect(machine.current == 0)
        #expect(machine.switches == 0)
    }

    @Test func `a login may take its time to be answered, and only then silence counts`() {
        var options = options(.hotHot)
        options.paths[0].firstWordWithin = .seconds(5)
        var machine = PathMachine(options, at: ms(0))
        _ = machine.start(at: ms(0))
        #expect(machine.deadline == ms(300))
        #expect(machine.tick(at: ms(300)) == [.state(1, .failed(.neverHeard(.milliseconds(300))))])
        #expect(machine.deadline == ms(5000))
        #expect(machine.heard(0, at: ms(2000)) == [.state(0, .recovering), .redundancy(.reduced)])
        #expect(machine.deadline == ms(2300))
        #expect(machine.tick(at: ms(2300)).contains(.state(0, .failed(.silent(.milliseconds(300))))))
        // That nobody can be reached is no matter of patience, and whoever never answers has failed in the end.
        var other = PathMachine(options, at: ms(0))
        _ = other.start(at: ms(0))
        #expect(other.disconnected(0, at: ms(10)) == [.state(0, .failed(.disconnected))])
        var silent = PathMachine(options, at: ms(0))
        _ = silent.start(at: ms(0))
        _ = silent.tick(at: ms(300))
        #expect(silent.tick(at: ms(5000)).contains(.state(0, .failed(.neverHeard(.seconds(5))))))
    }

    @Test func `silence moves a hot-warm feed to the path that was heard later`() {
        var machine = settled()
        _ = hear(&machine, 1, from: 1050, to: 1250)
        #expect(machine.deadline == ms(1300))
        #expect(
            machine.tick(at: ms(1300)) == [
                .switched(from: 0, to: 1, .failed(.silent(.milliseconds(300)))), .activate(1),
                .state(0, .failed(.silent(.milliseconds(300)))), .state(1, .recovering),
                .redundancy(.reduced),
            ])
        #expect(machine.resubscribed(1, at: ms(1301)) == [.deactivate(0), .state(1, .active)])
        #expect(machine.switches == 1)
    }

    @Test func `a feed stays on its path when all are silent and says so`() {
        var machine = settled()
        let silent = PathState.failed(.silent(.milliseconds(300)))
        #expect(machine.tick(at: ms(1300)) == [.state(0, silent), .state(1, silent), .redundancy(.none)])
        #expect(machine.current == 0)
        #expect(machine.deadline == nil)
        // B comes back first: the feed moves then.
        #expect(
            machine.heard(1, at: ms(1400)) == [
                .switched(from: 0, to: 1, .failed(.silent(.milliseconds(300)))), .activate(1),
                .state(1, .recovering), .redundancy(.reduced),
            ])
    }

    @Test func `outside a session silence fails no path, and in the next one it counts from its beginning`() {
        var machine = settled()
        #expect(machine.session(isOpen: false, at: ms(1100)) == [])
        #expect(machine.deadline == nil)
        #expect(machine.tick(at: ms(60_000)) == [])
        #expect(hear(&machine, 1, from: 60_000, to: 61_000) == [], "nor is a path behind its twin")
        #expect(machine.current == 0 && machine.isWell(0))
        #expect(machine.session(isOpen: true, at: ms(70_000)) == [])
        #expect(machine.deadline == ms(70_300))
        #expect(machine.heard(1, at: ms(70_100)) == [])
        #expect(
            machine.tick(at: ms(70_300)).first
                == .switched(from: 0, to: 1, .failed(.silent(.milliseconds(300)))))
    }

    @Test func `a path that had failed is forgiven its silence when the session ends, and not its agent`() {
        var machine = settled()
        _ = machine.tick(at: ms(1300))
        _ = machine.health(ispA, .critical, happenedAt: ms(1310), at: ms(1310))
        #expect(
            machine.session(isOpen: false, at: ms(1400)) == [
                .switched(from: 0, to: 1, .failed(.dependency(ispA))), .activate(1), .state(1, .recovering),
                .redundancy(.reduced),
            ])
        #expect(machine.state(of: 0) == .failed(.dependency(ispA)))
    }

    @Test func `an agent's word moves a feed at once`() {
        var machine = settled()
        _ = machine.heard(0, at: ms(1099))
        #expect(
            machine.health(ispA, .critical, happenedAt: ms(1100), at: ms(1101)) == [
                .switched(from: 0, to: 1, .failed(.dependency(ispA))), .activate(1),
                .state(0, .failed(.dependency(ispA))), .state(1, .recovering), .redundancy(.reduced),
            ])
        // The repeat of the same state changes nothing.
        #expect(machine.health(ispA, .critical, happenedAt: ms(1100), at: ms(1200)) == [])
        #expect(
            machine.health(ispA, .ok, happenedAt: nil, at: ms(1250)) == [
                .state(0, .active), .redundancy(.full),
            ])
    }

    @Test func `what nobody tells of any more fails no path`() {
        var machine = settled()
        _ = machine.heard(0, at: ms(1099))
        _ = machine.health(ispA, .critical, happenedAt: ms(1100), at: ms(1101))
        // An agent that is not heard takes nothing back.
        #expect(machine.health(ispA, .unknown, happenedAt: nil, at: ms(1150)) == [])
        #expect(machine.forget(ispA, at: ms(1200)) == [.state(0, .active), .redundancy(.full)])
        #expect(machine.forget(ispA, at: ms(1201)) == [])
    }

    @Test func `another host's subject of the same name is another one`() {
        let remote = Dependency(ispA.subject, of: "fra-2")
        var options = options(.hotWarm)
        options.paths[1].dependsOn = [remote]
        var machine = PathMachine(options, at: ms(990))
        for path in [0, 1] { _ = machine.heard(path, at: ms(1000)) }
        #expect(
            machine.health(remote, .critical, happenedAt: ms(1100), at: ms(1101)) == [
                .state(1, .failed(.dependency(remote))), .redundancy(.reduced),
            ])
        #expect(machine.health(ispA, .ok, happenedAt: nil, at: ms(1102)) == [])
        #expect(machine.state(of: 1) == .failed(.dependency(remote)))
        #expect("\(PathFailure.dependency(remote))" == "fra-2:path/isp-a is critical")
    }

    @Test func `data that came in after the fault refutes the agent`() {
        var machine = settled()
        _ = machine.heard(0, at: ms(1150))
        #expect(machine.health(ispA, .critical, happenedAt: ms(1100), at: ms(1160)) == [])
        #expect(machine.current == 0)
    }

    @Test func `unknown triggers nothing and neither does a subject of no path`() {
        var machine = settled()
        #expect(machine.health(ispA, .unknown, happenedAt: nil, at: ms(1010)) == [])
        #expect(
            machine.health(Dependency(Subject(.nic, "eth9")), .critical, happenedAt: nil, at: ms(1010)) == [])
    }

    @Test func `the last path that delivers is never left`() {
        var machine = settled()
        _ = hear(&machine, 0, from: 1050, to: 1300)
        _ = machine.tick(at: ms(1310))
        #expect(
            machine.health(ispA, .critical, happenedAt: ms(1305), at: ms(1311)) == [
                .state(0, .failed(.dependency(ispA))), .redundancy(.none),
            ])
        #expect(machine.current == 0)
        #expect(machine.isSubscribed(0))
        // Its data flows on: the agent was wrong.
        #expect(machine.heard(0, at: ms(1700)) == [.state(0, .active), .redundancy(.reduced)])
    }

    @Test func `failback waits for the hold-down and keeps the old path until the new one is subscribed`() {
        var machine = settled()
        _ = machine.disconnected(0, at: ms(1010))
        _ = machine.resubscribed(1, at: ms(1011))
        #expect(machine.current == 1)
        _ = machine.connected(0, at: ms(2000))
        for time in stride(from: Int64(2000), through: 7000, by: 100) {
            _ = machine.heard(1, at: ms(time))
            _ = machine.heard(0, at: ms(time))
        }
        #expect(machine.deadline == ms(7000))
        #expect(
            machine.tick(at: ms(7000)) == [
                .switched(from: 1, to: 0, .failback), .activate(0), .state(0, .recovering),
            ])
        #expect(machine.isSubscribed(1))
        #expect(
            machine.resubscribed(0, at: ms(7001)) == [
                .deactivate(1), .state(0, .active), .state(1, .standby),
            ])
    }

    @Test func `outside a session a feed does not go back to a path that says nothing while its own speaks`()
    {
        var machine = settled()
        _ = hear(&machine, 1, from: 1050, to: 1250)
        _ = machine.tick(at: ms(1300))
        _ = machine.resubscribed(1, at: ms(1301))
        #expect(machine.session(isOpen: false, at: ms(1400)).first == .state(0, .standby))
        #expect(hear(&machine, 1, from: 1400, to: 20_000) == [])
        #expect(machine.tick(at: ms(20_000)) == [])
        #expect(machine.current == 1 && machine.deadline == nil)
        // Nor when the venue is silent on both, or opens.
        #expect(machine.tick(at: ms(50_000)) == [])
        #expect(machine.session(isOpen: true, at: ms(60_000)) == [])
        #expect(machine.heard(1, at: ms(60_050)) == [])
        #expect(machine.current == 1)
        // The path lives again: it earns the feed as after any failure.
        for time in stride(from: Int64(60_100), through: 65_100, by: 50) {
            #expect(machine.heard(0, at: ms(time)) == [])
            #expect(machine.heard(1, at: ms(time)) == [])
            #expect(machine.deadline.map { $0 > ms(time) } == true || time == 65_100)
        }
        #expect(machine.tick(at: ms(65_099)) == [])
        #expect(machine.tick(at: ms(65_100)).first == .switched(from: 1, to: 0, .failback))
    }

    @Test func `a venue that is silent on all paths outside its session keeps no feed from going back`() {
        var machine = settled()
        _ = machine.disconnected(0, at: ms(1010))
        _ = machine.resubscribed(1, at: ms(1011))
        _ = machine.connected(0, at: ms(1020))
        _ = machine.heard(0, at: ms(1030))
        _ = machine.heard(1, at: ms(1040))
        _ = machine.session(isOpen: false, at: ms(1100))
        #expect(machine.deadline == ms(6020))
        #expect(machine.tick(at: ms(6020)).first == .switched(from: 1, to: 0, .failback))
    }

    @Test func `each further failure doubles the hold-down up to a bound`() {
        var machine = settled()
        var well: [Int64] = []
        var time: Int64 = 1000
        for _ in 0..<9 {
            _ = machine.disconnected(0, at: ms(time))
            _ = machine.connected(0, at: ms(time + 1))
            let start = time + 1
            while machine.current == 1 {
                time += 100
                _ = machine.heard(1, at: ms(time))
                _ = machine.heard(0, at: ms(time))
                _ = machine.tick(at: ms(time))
            }
            _ = machine.resubscribed(0, at: ms(time))
            well.append((time - start) / 1000)
        }
        #expect(well == [5, 10, 20, 40, 80, 160, 300, 300, 300])
    }

    @Test func `what an operator asked for is taken over by the machine that comes after`() throws {
        var last = settled()
        _ = try last.switchTo(1, hold: true, at: ms(1010))
        _ = try last.mute(Subject(.path, "isp-a"), until: ms(9000), at: ms(1020))
        _ = try last.mute(Subject(.path, "isp-b"), until: ms(2000), at: ms(1030))
        var machine = PathMachine(options(.hotWarm), at: ms(2000))
        #expect(
            machine.take(last.orders, at: ms(2000)) == [
                .held(true), .muted(Subject(.path, "isp-a"), until: ms(9000)),
            ])
        #expect(machine.start(at: ms(2000)).first == .activate(1))
        #expect(machine.heard(0, at: ms(2010)) == [.state(0, .standby)])
        #expect(machine.heard(1, at: ms(2010)) == [.state(1, .recovering), .redundancy(.full)])
        #expect(machine.health(ispA, .critical, happenedAt: ms(2020), at: ms(2020)) == [])
        #expect(machine.current == 1 && machine.isHeld && machine.switches == 0)
        #expect(machine.deadline == ms(2310))
        #expect(machine.release(at: ms(2100)) == [.held(false)])
        // A path of that name may be gone, or the feed be on all of them.
        var other = options(.hotWarm)
        other.paths[1].name = "C"
        machine = PathMachine(other, at: ms(2000))
        #expect(machine.take(OperatorOrders(heldOn: "B"), at: ms(2000)) == [])
        #expect(machine.start(at: ms(2000)).first == .activate(0))
        machine = PathMachine(options(.hotHot), at: ms(2000))
        #expect(machine.take(OperatorOrders(heldOn: "B"), at: ms(2000)) == [])
        #expect(!machine.isHeld)
    }

    @Test func `an operator's hold pins the feed`() throws {
        var machine = settled()
        #expect(
            try machine.switchTo(1, hold: true, at: ms(1010)) == [
                .held(true), .switched(from: 0, to: 1, .requested), .activate(1), .state(1, .recovering),
            ])
        _ = machine.resubscribed(1, at: ms(1011))
        #expect(machine.disconnected(1, at: ms(1012)).contains(.redundancy(.reduced)))
        #expect(machine.current == 1)
        #expect(
            machine.release(at: ms(1013)).prefix(2) == [
                .held(false), .switched(from: 1, to: 0, .failed(.disconnected)),
            ])
    }

    @Test func `a request for a path that is not well is refused`() {
        var machine = settled()
        _ = machine.disconnected(1, at: ms(1010))
        #expect(throws: PathRefusal.notWell(path: "B", .failed(.disconnected))) {
            try machine.switchTo(1, hold: false, at: ms(1011))
        }
        var hot = PathMachine(options(.hotHot), at: ms(0))
        #expect(throws: PathRefusal.hotHot) { try hot.switchTo(1, hold: true, at: ms(1)) }
    }

    @Test func `a muted subject fails no path until the mute ends`() throws {
        var machine = settled()
        #expect(
            try machine.mute(ispA.subject, until: ms(1200), at: ms(1001)) == [
                .muted(ispA.subject, until: ms(1200))
            ])
        #expect(machine.health(ispA, .critical, happenedAt: ms(1090), at: ms(1090)) == [])
        _ = machine.heard(1, at: ms(1150))
        #expect(machine.deadline == ms(1200))
        #expect(
            machine.tick(at: ms(1200)).prefix(2) == [
                .unmuted(ispA.subject), .switched(from: 0, to: 1, .failed(.dependency(ispA))),
            ])
        #expect(throws: PathRefusal.notMuted(ispA.subject)) { try machine.unmute(ispA.subject, at: ms(1201)) }
    }

    @Test func `the number of mutes is bounded`() throws {
        var machine = settled()
        for number in 0..<64 {
            _ = try machine.mute(Subject(.nic, "n\(number)"), until: ms(9000), at: ms(1001))
        }
        #expect(throws: PathRefusal.tooManyMutes(limit: 64)) {
            try machine.mute(Subject(.nic, "n64"), until: ms(9000), at: ms(1001))
        }
    }

    @Test func `a path that falls behind its twin fails before its own limit`() {
        var slow = options(.hotHot)
        slow.silence = .seconds(3)
        var machine = PathMachine(slow, at: ms(0))
        _ = machine.start(at: ms(0))
        _ = machine.resubscribed(0, at: ms(0))
        _ = machine.heard(0, at: ms(1))
        _ = machine.heard(1, at: ms(1))
        let actions = hear(&machine, 1, from: 51, to: 351)
        #expect(actions == [.state(0, .failed(.behindTwin(.milliseconds(300)))), .redundancy(.reduced)])
    }

    @Test func `heartbeats that alternate between quiet paths fail neither`() {
        var slow = options(.hotHot)
        slow.silence = .seconds(3)
        var machine = PathMachine(slow, at: ms(0))
        _ = machine.start(at: ms(0))
        _ = machine.heard(0, at: ms(1))
        _ = machine.heard(1, at: ms(500))
        var actions: [PathAction] = []
        for second in Int64(1)..<20 {
            actions += machine.heard(0, at: ms(second * 1000 + 45))
            actions += machine.heard(1, at: ms(second * 1000 + 500))
        }
        #expect(actions == [])
    }

    @Test func `a process that was stopped reads what waits before it calls a path silent`() {
        var machine = settled()
        #expect(machine.tick(at: ms(9000)) == [])
        #expect(machine.deadline == ms(9050))
        #expect(machine.heard(0, at: ms(9001)) == [])
        #expect(machine.heard(1, at: ms(9001)) == [])
        #expect(machine.tick(at: ms(9050)) == [])
        #expect(machine.redundancy == .full)
    }

    // MARK: - Paths that say different things

    /// A hot-hot feed of so many paths, all heard at `1000` ms.
    private func several(_ count: Int) -> PathMachine {
        var options = options(.hotHot)
        options.paths = (0..<count).map { .init(["A", "B", "C"][$0]) }
        var machine = PathMachine(options, at: ms(990))
        _ = machine.start(at: ms(990))
        for path in 0..<count {
            _ = machine.resubscribed(path, at: ms(991))
            _ = machine.heard(path, at: ms(1000))
        }
        return machine
    }

    @Test func `of two paths that differ the preferred one is followed, for as long as it is well`() {
        var machine = several(2)
        #expect(
            machine.diverged(0, from: 1, at: ms(1100)) == [
                .state(1, .failed(.diverging(from: "A"))), .redundancy(.reduced),
            ])
        #expect(machine.isDistrusted(1) && !machine.isDistrusted(0))
        #expect(machine.heard(1, at: ms(1110)) == [])
        // A ends: B is followed, whatever it says.
        #expect(
            machine.disconnected(0, at: ms(1200)) == [
                .state(0, .failed(.disconnected)), .state(1, .active),
            ])
        #expect(!machine.isDistrusted(1))
    }

    @Test func `who does not differ for half a minute is trusted again`() {
        var machine = several(2)
        _ = machine.session(isOpen: false, at: ms(1000))  // nobody has to speak
        _ = machine.diverged(1, from: 0, at: ms(1100))
        #expect(machine.diverged(1, from: 0, at: ms(5000)) == [])
        #expect(machine.deadline == ms(35_000))
        #expect(machine.tick(at: ms(34_999)) == [])
        #expect(machine.tick(at: ms(35_000)) == [.state(1, .active), .redundancy(.full)])
        #expect(machine.deadline == nil)
    }

    @Test func `what differed before the numbers were known to have begun again blames nobody`() {
        var machine = several(2)
        _ = machine.diverged(1, from: 0, at: ms(1100))
        #expect(machine.forgetDifferences(at: ms(1150)) == [.state(1, .active), .redundancy(.full)])
        #expect(!machine.isDistrusted(1))
        #expect(machine.forgetDifferences(at: ms(1160)) == [])
        _ = machine.diverged(1, from: 0, at: ms(1200))
        #expect(machine.isDistrusted(1))
    }

    @Test func `who differs from two others is wrong, preferred or not`() {
        var machine = several(3)
        #expect(
            machine.diverged(1, from: 0, at: ms(1100)) == [
                .state(1, .failed(.diverging(from: "A"))), .redundancy(.reduced),
            ])
        #expect(
            machine.diverged(2, from: 0, at: ms(1101)) == [
                .state(0, .failed(.diverging(from: "C"))), .state(1, .active),
            ])
        #expect((0..<3).map(machine.isDistrusted) == [true, false, false])
    }

    @Test func `who differs is followed as soon as the last other one fails`() {
        var machine = several(3)
        _ = machine.diverged(1, from: 0, at: ms(1100))
        _ = machine.diverged(2, from: 0, at: ms(1101))
        _ = machine.disconnected(1, at: ms(1200))
        #expect(machine.isDistrusted(0))
        let actions = machine.disconnected(2, at: ms(1201))
        #expect(!machine.isDistrusted(0) && actions.contains(.state(0, .active)), "\(actions)")
    }

    @Test func `a path that comes back is complete when all is subscribed on it again, and not before`() {
        var options = options(.hotWarm)
        options.isAsked = true
        var machine = PathMachine(options, at: ms(990))
        _ = machine.start(at: ms(990))
        _ = machine.resubscribed(0, at: ms(991))
        _ = machine.heard(0, at: ms(1000))
        _ = machine.heard(1, at: ms(1000))
        #expect(machine.isSettled)
        #expect(machine.disconnected(0, at: ms(1100)).contains(.activate(1)))
        #expect(machine.resubscribed(1, at: ms(1150)).contains(.deactivate(0)))
        #expect(machine.isSettled)
        // It goes back, and both are cut in the midst of that.
        _ = machine.connected(0, at: ms(1200))
        for time in stride(from: Int64(1200), through: 6300, by: 50) {
            _ = machine.heard(0, at: ms(time))
            _ = machine.heard(1, at: ms(time))
            _ = machine.tick(at: ms(time))
        }
        #expect(machine.current == 0 && machine.isSubscribed(0) && machine.isSubscribed(1))
        #expect(!machine.isSettled)
        _ = machine.disconnected(0, at: ms(6310))
        _ = machine.disconnected(1, at: ms(6310))
        _ = machine.connected(0, at: ms(6320))
        _ = machine.connected(1, at: ms(6320))
        _ = machine.heard(0, at: ms(6330))
        #expect(!machine.isSettled && machine.isSubscribed(1))
        #expect(machine.resubscribed(0, at: ms(6400)).contains(.deactivate(1)))
        #expect(machine.isSettled)
    }

    @Test func `a hot-hot feed that is asked for is complete while one path is`() {
        var options = options(.hotHot)
        options.isAsked = true
        var machine = PathMachine(options, at: ms(990))
        _ = machine.start(at: ms(990))
        for path in 0..<2 {
            _ = machine.resubscribed(path, at: ms(991))
            _ = machine.heard(path, at: ms(1000))
        }
        _ = machine.disconnected(0, at: ms(1010))
        _ = machine.connected(0, at: ms(1020))
        #expect(machine.isSettled && machine.state(of: 0) == .recovering)
        _ = machine.disconnected(1, at: ms(1030))
        #expect(!machine.isSettled)
        _ = machine.connected(1, at: ms(1040))
        #expect(!machine.isSettled)
        _ = machine.resubscribed(1, at: ms(1050))
        #expect(machine.isSettled)
    }

    @Test func `an agent whose clock is ahead is refuted by data as others are`() {
        var machine = settled()
        #expect(
            machine.health(ispA, .critical, happenedAt: ms(600_000), at: ms(1010))
                .contains(.state(0, .failed(.dependency(ispA)))))
        _ = hear(&machine, 0, from: 1050, to: 1350)
        #expect(machine.isWell(0))
    }
}
