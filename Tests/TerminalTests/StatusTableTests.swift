// The table of `holdfast status`.
import Terminal
import Testing
import Wire

@Suite struct StatusTableTests {
    private let states = [
        state("nic/eth0", .ok, "up at 10 Gbit/s", sinceSeconds: 90_000),
        state("path/isp-a", .critical, "3 of 3 targets silent for 1.0 s", cause: "nic/eth1"),
        state("nic/eth1", .critical, "carrier lost", sinceSeconds: 200),
        state("process/matcher", .unknown, "no reading yet", sinceSeconds: 7300),
    ]

    @Test func `the worst comes first, and a line sums up`() {
        #expect(
            StatusTable.lines(for: states, at: noon, width: nil, palette: plain) == [
                "SUBJECT          STATUS    SINCE  REASON                           CAUSE",
                "nic/eth1         critical  3m     carrier lost",
                "path/isp-a       critical  5s     3 of 3 targets silent for 1.0 s  nic/eth1",
                "process/matcher  unknown   2h     no reading yet",
                "nic/eth0         ok        25h    up at 10 Gbit/s",
                "",
                "2 critical, 1 unknown, 1 ok",
            ])
    }

    @Test(arguments: [40, 60, 80])
    func `no line is wider than the terminal`(width: Int) {
        let lines = StatusTable.lines(for: states, at: noon, width: width, palette: plain)
        #expect(lines.allSatisfy { $0.count <= width }, "\(lines)")
    }

    @Test func `hosts are shown when there are several`() {
        let lines = StatusTable.lines(
            for: states + [state("nic/eth0", .warning, "flapping", host: "fra-2")], at: noon, width: nil,
            palette: plain)
        #expect(lines[0].hasPrefix("HOST   SUBJECT"))
        #expect(lines[4].hasPrefix("fra-2  nic/eth0         warning   5s     flapping"))
    }

    @Test func `a column without content takes no room`() {
        let lines = StatusTable.lines(for: [state("nic/a", .ok, "up")], at: noon, width: nil, palette: plain)
        #expect(lines[0] == "SUBJECT  STATUS  SINCE  REASON")
    }

    @Test func `only the status is coloured`() {
        let lines = StatusTable.lines(
            for: [state("nic/a", .critical, "down")], at: noon, width: nil, palette: Palette(isColoured: true)
        )
        #expect(lines[1] == "nic/a    \u{1B}[1;31mcritical\u{1B}[0m  5s     down")
    }

    @Test func `nothing watched is said`() {
        #expect(StatusTable.lines(for: [], at: noon, width: 80, palette: plain) == ["nothing is watched"])
    }

    @Test func `what comes over the bus cannot steer the terminal`() {
        let lines = StatusTable.lines(
            for: [state("nic/a", .ok, "up\u{1B}[2J\n\u{202E}")], at: noon, width: nil, palette: plain)
        #expect(lines[1].hasSuffix("up?[2J??"))
    }
}
