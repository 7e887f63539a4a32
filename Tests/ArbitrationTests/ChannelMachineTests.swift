// When a channel is called live, recovering, stale or closed.
import Arbitration
import Basics
import Testing
import Wire

@Suite struct ChannelMachineTests: ~Copyable {
    private var channel: ChannelMachine

    init() {
        let options = ChannelOptions(freshness: .seconds(1), controlEvery: .milliseconds(100))
        channel = ChannelMachine(options: options, active: [0], at: milliseconds(0))
    }

    /// Ticks at each deadline until `end`, and returns the states with their times.
    private static func states(_ channel: inout ChannelMachine, until end: Int64) -> [String] {
        var states: [String] = []
        while channel.deadline <= milliseconds(end) {
            let now = channel.deadline
            for case .state(let state, let reason, _) in channel.tick(at: now) {
                states.append("\(now.nanoseconds / 1_000_000) \(state): \(reason)")
            }
        }
        return states
    }

    @Test mutating func `a channel is recovering until it is heard, and stale if it never is`() {
        #expect(channel.state == .recovering)
        #expect(Self.states(&channel, until: 2000) == ["1000 stale: no word from upstream for 1000 ms"])
        #expect(channel.heard(0, at: milliseconds(2000)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `what is stale at each of its sources is stale at once, until one of them is not`() {
        _ = channel.use([0, 1], at: milliseconds(0))
        _ = channel.heard(0, at: milliseconds(0))
        #expect(channel.heardStale(1, at: milliseconds(10)).isEmpty)
        #expect(
            channel.heardStale(0, at: milliseconds(20)) == [.state(.stale, .staleAtSource, path: nil)])
        #expect(channel.heard(1, at: milliseconds(30)) == [.state(.live, .complete, path: nil)])
    }

    @Test mutating func `what recovers at each of its sources recovers here, not for one of them alone`() {
        _ = channel.use([0, 1], at: milliseconds(0))
        #expect(
            channel.heardRecovering(0, at: milliseconds(0)) == [
                .state(.recovering, .recoveringAtSource, path: nil)
            ])
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .recovering)
        #expect(channel.heard(1, at: milliseconds(10)) == [.state(.live, .complete, path: nil)])
        for time: Int64 in stride(from: 20, through: 1000, by: 10) {
            #expect(channel.heardRecovering(0, at: milliseconds(time)).isEmpty)
            #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == [])
        }
        // The other one has not been heard for the limit: what it said holds no more.
        #expect(
            channel.heardRecovering(0, at: milliseconds(1010)) == [
                .state(.recovering, .recoveringAtSource, path: nil)
            ])
        #expect(channel.heard(0, at: milliseconds(1020)) == [.state(.live, .complete, path: nil)])
    }

    @Test mutating func `a source that recovers is not silent, and one that is not in use changes nothing`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(channel.heardRecovering(1, at: milliseconds(10)).isEmpty)
        #expect(channel.state == .live)
        for time: Int64 in stride(from: 100, through: 3000, by: 100) {
            _ = channel.heardRecovering(0, at: milliseconds(time))
            _ = channel.tick(at: milliseconds(time))
            #expect(channel.state == .recovering)
        }
    }

    @Test mutating func `what is sent again at its source is flagged also behind the session's end`() {
        _ = channel.heardRecovering(0, at: milliseconds(0))
        _ = channel.sessionEnded(next: 10, at: milliseconds(0))
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .recovering)
        _ = channel.heard(0, at: milliseconds(10))
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == [])
    }

    @Test mutating func `a heartbeat keeps a quiet channel live`() {
        #expect(channel.heard(0, at: milliseconds(0)) == [.state(.live, .complete, path: 0)])
        for second: Int64 in 1...10 {
            #expect(Self.states(&channel, until: second * 900).isEmpty)
            #expect(channel.heard(0, at: milliseconds(second * 900)).isEmpty)
        }
        #expect(channel.state == .live)
    }

    @Test mutating func `silence is told at the very end of the freshness limit`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.heard(0, at: milliseconds(333))
        #expect(Self.states(&channel, until: 3000) == ["1333 stale: no word from upstream for 1000 ms"])
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .stale)
    }

    @Test mutating func `a path that is not in use keeps nothing alive`() {
        _ = channel.heard(0, at: milliseconds(0))
        for time: Int64 in stride(from: 0, through: 2000, by: 100) {
            _ = channel.heard(1, at: milliseconds(time))
            _ = channel.tick(at: milliseconds(time))
        }
        #expect(channel.state == .stale)
    }

    @Test mutating func `a failover is recovering until everything is subscribed again`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.heard(1, at: milliseconds(0))
        #expect(
            channel.failoverBegan(to: [1], because: "nic/eth0 is critical", at: milliseconds(300))
                == [.state(.recovering, .failover("nic/eth0 is critical"), path: 1)])
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .recovering)
        #expect(channel.heard(1, at: milliseconds(310)).isEmpty)
        #expect(channel.resubscribed(at: milliseconds(320)) == [.state(.live, .complete, path: 1)])
    }

    @Test mutating func `a failover to a path that says nothing is not live and then stale`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.failoverBegan(to: [1], because: "silent", at: milliseconds(300))
        #expect(channel.resubscribed(at: milliseconds(310)) == [.state(.recovering, .joining, path: 1)])
        #expect(Self.states(&channel, until: 2000) == ["1000 stale: no word from upstream for 1000 ms"])
    }

    @Test mutating func `a hole makes a channel recovering only if it stays`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.hole(isOpen: true, at: milliseconds(10))
        #expect(Self.states(&channel, until: 100).isEmpty)
        _ = channel.hole(isOpen: false, at: milliseconds(100))
        _ = channel.hole(isOpen: true, at: milliseconds(150))
        #expect(Self.states(&channel, until: 300) == ["250 recovering: a gap is open"])
        #expect(
            channel.hole(isOpen: false, at: milliseconds(300)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `the end of the session closes the channel until something new comes`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.published(sequence: 9, at: milliseconds(0))
        #expect(
            channel.sessionEnded(next: 10, at: milliseconds(5)) == [.state(.closed, .sessionEnded, path: 0)])
        #expect(Self.states(&channel, until: 5000).isEmpty)
        _ = channel.heard(0, at: milliseconds(5000))
        #expect(channel.published(sequence: 9, at: milliseconds(5000)).isEmpty)
        #expect(channel.state == .closed)
        #expect(channel.epochChanged(at: milliseconds(5000)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `a session that ended is closed when all that it had was sent, and not before`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.catchingUp(true, at: milliseconds(0))
        #expect(channel.sessionEnded(next: 10, at: milliseconds(5)).isEmpty)
        #expect(channel.state == .recovering && channel.reason == .catchingUp)
        // The lines say no more: that is what an end is.
        #expect(Self.states(&channel, until: 5000).isEmpty)
        #expect(channel.published(sequence: 1, at: milliseconds(5000)).isEmpty)
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .recovering)
        _ = channel.published(sequence: 9, at: milliseconds(5010))
        #expect(
            channel.catchingUp(false, at: milliseconds(5010)) == [.state(.closed, .sessionEnded, path: 0)])
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == [])
    }

    @Test mutating func `what a session had before is flagged also when its venue does not trade`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.catchingUp(true, at: milliseconds(0))
        _ = channel.session(is: .closed(until: nil), at: milliseconds(5))
        #expect(channel.state == .closed)
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == .recovering)
    }

    @Test mutating func `a message past the end opens the channel again`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.sessionEnded(next: 10, at: milliseconds(5))
        #expect(
            channel.published(sequence: 10, at: milliseconds(6)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `what is closed at its source is so as long as the source says it`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(
            channel.heardClosed(0, at: milliseconds(10)) == [.state(.closed, .closedAtSource, path: 0)])
        // A word alone does not open it, nor what comes all the same.
        #expect(channel.heard(0, at: milliseconds(20)).isEmpty)
        #expect(channel.published(sequence: 10, at: milliseconds(20)).isEmpty)
        #expect(channel.heardOpen(0, at: milliseconds(30)) == [.state(.live, .complete, path: 0)])
        #expect(channel.heardOpen(0, at: milliseconds(40)).isEmpty)
    }

    @Test mutating func `a source that was closed and is stale when it opens is stale here`() {
        _ = channel.heardClosed(0, at: milliseconds(0))
        #expect(channel.heardStale(0, at: milliseconds(100)).isEmpty)
        #expect(
            channel.heardOpen(0, at: milliseconds(100)) == [.state(.stale, .staleAtSource, path: 0)])
    }

    @Test mutating func `a source that said that it is closed and says no more is believed for the limit`() {
        _ = channel.heardClosed(0, at: milliseconds(0))
        #expect(Self.states(&channel, until: 900).isEmpty)
        _ = channel.heardClosed(0, at: milliseconds(933))
        #expect(Self.states(&channel, until: 5000) == ["1933 stale: no word from upstream for 1000 ms"])
        #expect(
            channel.heardClosed(0, at: milliseconds(5100)) == [.state(.closed, .closedAtSource, path: 0)])
    }

    @Test
    mutating func `of two sources the one that is not closed is believed, unless it is stale or silent`() {
        _ = channel.use([0, 1], at: milliseconds(0))
        _ = channel.heard(1, at: milliseconds(0))
        #expect(channel.heardClosed(0, at: milliseconds(10)).isEmpty)
        #expect(channel.state == .live)
        #expect(
            channel.heardStale(1, at: milliseconds(20)) == [.state(.closed, .closedAtSource, path: nil)])
        #expect(channel.heard(1, at: milliseconds(30)) == [.state(.live, .complete, path: nil)])
        #expect(channel.heardClosed(0, at: milliseconds(1000)).isEmpty)
        #expect(
            channel.heardClosed(0, at: milliseconds(1030)) == [.state(.closed, .closedAtSource, path: nil)])
    }

    @Test
    mutating func `a source that is not in use closes nothing, nor does what it said of the epoch before`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(channel.heardClosed(1, at: milliseconds(10)).isEmpty)
        #expect(channel.use([1], at: milliseconds(20)) == [.state(.closed, .closedAtSource, path: 1)])
        #expect(
            channel.epochChanged(at: milliseconds(30)) == [
                .state(.recovering, .recoveringAtSource, path: 1)
            ])
    }

    @Test mutating func `a venue's end on one of its lines holds, whatever the other line says`() {
        _ = channel.use([0, 1], at: milliseconds(0))
        _ = channel.heard(1, at: milliseconds(0))
        _ = channel.sessionEnded(next: 10, at: milliseconds(5))
        #expect(channel.heard(1, at: milliseconds(10)).isEmpty)
        #expect(channel.state == .closed)
    }

    private let opening = SessionOpening(
        date: CivilDate(year: 2026, month: 11, day: 30), minutes: 240, zone: "America/New_York")

    @Test mutating func `outside its session a channel is closed, and silence is not judged`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(
            channel.session(is: .closed(until: opening), at: milliseconds(500))
                == [.state(.closed, .outsideSession(until: opening), path: 0)])
        #expect(channel.reason.description == "no session until 2026-11-30 04:00 America/New_York")
        #expect(Self.states(&channel, until: 60_000).isEmpty)
        #expect(channel.heard(0, at: milliseconds(60_000)).isEmpty)
        #expect(channel.flags(sourceTime: nil, wall: WallTime(nanoseconds: 0)) == [])
        #expect(
            channel.session(is: .open, at: milliseconds(60_500)) == [.state(.live, .complete, path: 0)])
        #expect(
            Self.states(&channel, until: 70_000) == [
                "61000 recovering: joining", "61500 stale: no word from upstream for 1000 ms",
            ])
    }

    @Test
    mutating func `a session that begins in silence is given the freshness limit, and is live with a word`() {
        _ = channel.session(is: .closed(until: nil), at: milliseconds(0))
        #expect(channel.state == .closed && channel.reason.description == "no session")
        #expect(
            channel.session(is: .open, at: milliseconds(9000)) == [.state(.recovering, .joining, path: 0)])
        #expect(Self.states(&channel, until: 9900).isEmpty)
        #expect(channel.heard(0, at: milliseconds(9900)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `what ended is the session before, when the next one begins`() {
        _ = channel.heard(0, at: milliseconds(0))
        _ = channel.sessionEnded(next: 10, at: milliseconds(5))
        _ = channel.session(is: .closed(until: opening), at: milliseconds(10))
        #expect(
            channel.session(is: .open, at: milliseconds(9000)) == [.state(.recovering, .joining, path: 0)])
        _ = channel.tick(at: milliseconds(9000))
        #expect(Self.states(&channel, until: 20_000) == ["10000 stale: no word from upstream for 1000 ms"])
    }

    @Test mutating func `without a directory a channel is recovering`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(
            channel.directory(isKnown: false, at: milliseconds(1))
                == [.state(.recovering, .noDirectory, path: 0)])
        #expect(channel.directory(isKnown: true, at: milliseconds(2)) == [.state(.live, .complete, path: 0)])
    }

    @Test mutating func `heartbeats count what was published and what is missing`() {
        #expect(channel.tick(at: milliseconds(0)) == [.heartbeat(last: 0, messages: 0, missing: 0)])
        _ = channel.heard(0, at: milliseconds(10))
        _ = channel.published(sequence: 1, at: milliseconds(10))
        let gap = Gap(epoch: 7, range: SequenceRange(2, 4), cause: .timeout)
        #expect(channel.told(gap, at: milliseconds(30)) == [.gap(gap)])
        #expect(channel.deadline == milliseconds(100))
        #expect(channel.tick(at: milliseconds(99)).isEmpty)
        #expect(channel.tick(at: milliseconds(101)) == [.heartbeat(last: 4, messages: 1, missing: 3)])
        #expect(channel.deadline == milliseconds(200))
        _ = channel.tick(at: milliseconds(950))
        #expect(channel.deadline == milliseconds(1010))
    }

    @Test mutating func `a heartbeat after the limit says stale first`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(
            channel.tick(at: milliseconds(1500)) == [
                .state(.stale, .silent(.seconds(1)), path: 0), .heartbeat(last: 0, messages: 0, missing: 0),
            ])
    }

    @Test mutating func `data older than the freshness limit is late`() {
        _ = channel.heard(0, at: milliseconds(0))
        let sent = WallTime(nanoseconds: 5_000_000_000)
        #expect(channel.flags(sourceTime: sent, wall: sent + .seconds(1)) == [])
        #expect(channel.flags(sourceTime: sent, wall: sent + .milliseconds(1001)) == .late)
        #expect(channel.flags(sourceTime: nil, wall: sent) == [])
    }

    @Test mutating func `two paths in use have no single active one`() {
        _ = channel.heard(0, at: milliseconds(0))
        #expect(channel.use([0, 1], at: milliseconds(1)).isEmpty)
        #expect(
            channel.failoverBegan(to: [0, 1], because: "test", at: milliseconds(2))
                == [.state(.recovering, .failover("test"), path: nil)])
    }
}
