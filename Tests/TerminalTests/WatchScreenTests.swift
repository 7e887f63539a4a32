// The picture of `holdfast watch`, its lines of changes, and how values are spelled.
import Basics
import Terminal
import Testing
import Wire

@Suite struct WatchScreenTests {
    private func publisher(_ states: [StateMessage], _ liveness: HealthView.Liveness = .alive)
        -> WatchedPublisher
    {
        WatchedPublisher(
            endpoint: "ipc:///run/holdfast/agent.pub", host: "fra-1", liveness: liveness, states: states,
            heartbeat: HeartbeatMessage(
                stamp: Stamp(host: "fra-1", incarnation: Incarnation(startedAt: noon), change: 1, at: noon),
                expiresAfter: .seconds(1), subjects: 1, worst: .ok,
                cost: Cost(cpuRatio: 0.004, residentBytes: 9_800_000, wakeupsPerSecond: 20)),
            samples: [
                Subject(.path, "isp-a"): [
                    NamedValue("rtt_s", .number(0.0123)), NamedValue("loss_ratio", .number(0)),
                ]
            ])
    }

    private func screen(_ publishers: [WatchedPublisher], _ changes: [ChangeLine] = []) -> WatchScreen {
        WatchScreen(publishers: publishers, changes: changes, now: noon, palette: plain)
    }

    @Test func `hosts, feeds, the rest and the changes, in that order`() throws {
        let lost = state("nic/eth0", .critical, "carrier lost", previous: .ok)
        let change = try #require(ChangeLine(.changed(lost, from: .ok), host: "fra-1", at: noon))
        let states = [
            state("path/isp-a", .ok, "all well"), lost, state("feed/itch", .ok, "live"),
            state("feed-path/itch/A", .ok, "well"),
        ]
        let lines = screen([publisher(states)], [change]).lines(width: 80, height: 24)
        #expect(
            lines == [
                "holdfast  1 critical, 3 ok                                 12:00:00 UTC  q quits",
                "",
                "HOST   STATUS    SUBJECTS  COST            ENDPOINT",
                "fra-1  critical  4         cpu 0.4% 9.8MB  ipc:///run/holdfast/agent.pub",
                "",
                "FEED              STATUS  SINCE  REASON",
                "feed/itch         ok      5s     live",
                "feed-path/itch/A  ok      5s     well",
                "",
                "SUBJECT     STATUS    SINCE  REASON",
                "nic/eth0    critical  5s     carrier lost",
                "path/isp-a  ok        5s     all well · rtt 12.3ms, loss 0.0%",
                "",
                "RECENT CHANGES",
                "12:00:00.000 nic/eth0 ok → critical: carrier lost",
            ])
    }

    @Test(arguments: [(80, 24), (40, 10), (20, 5), (10, 2), (200, 50)])
    func `the picture keeps to the terminal`(width: Int, height: Int) {
        let states = (0..<100).map { state("nic/eth\($0)", .ok, "up at some speed or other") }
        let changes = (0..<50).map {
            ChangeLine(at: noon, host: "fra-1", subject: "nic/eth\($0)", status: .ok, text: "ok: up")
        }
        let lines = screen([publisher(states)], changes).lines(width: width, height: height)
        #expect(lines.count <= height)
        if width >= 40 { #expect(lines.allSatisfy { $0.count <= width }, "\(lines)") }
    }

    @Test func `what does not fit is counted`() {
        let states = (0..<100).map { state("nic/eth\($0)", .ok, "up") }
        let lines = screen([publisher(states)]).lines(width: 80, height: 24)
        #expect(lines.contains { $0.hasPrefix("… and ") && $0.hasSuffix(" more") })
    }

    @Test func `a publisher without a heartbeat is unknown`() {
        let lines = screen([publisher([], .expired)]).lines(width: 80, height: 24)
        #expect(lines[3].contains("no heartbeat"))
    }

    @Test func `a change is one line with its cause`() {
        let path = state("path/isp-a", .critical, "silent", cause: "nic/eth0")
        let line = ChangeLine(.changed(path, from: .warning), host: "fra-1", at: noon)?.line
        #expect(
            line
                == "2026-11-22T12:00:00.000000Z fra-1 path/isp-a warning → critical: silent (cause: nic/eth0)"
        )
    }

    @Test func `routine is no change`() {
        #expect(ChangeLine(.synced(nonce: "1"), host: "fra-1", at: noon) == nil)
    }

    @Test(arguments: [
        ("rtt_s", Value.number(0.0123), "rtt 12.3ms"), ("rtt_s", .number(0.00005), "rtt 50.0us"),
        ("age_s", .integer(90), "age 90.0s"), ("age_s", .number(7200), "age 2h"),
        ("age_s", .number(1e300), "age 106751d"),
        ("loss_ratio", .number(0.05), "loss 5.0%"), ("rx_bytes", .integer(1500), "rx 1.5kB"),
        ("rx_bytes", .integer(7), "rx 7B"), ("wakeups_per_s", .number(20), "wakeups 20/s"),
        ("offset_s", .number(-0.0015), "offset -1.5ms"), ("flaps", .integer(3), "flaps 3"),
        ("path", .text("B"), "path B"), ("held", .flag(true), "held yes"), ("x_s", .number(.nan), "x nan"),
    ])
    func `values are spelled with their units`(name: String, value: Value, text: String) {
        #expect(ValueText.text(NamedValue(name, value)).hasPrefix(text))
    }
}
