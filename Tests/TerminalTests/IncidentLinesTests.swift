// Incidents as lines below the table.
import Basics
import Testing
import Wire

@testable import Terminal

@Suite struct IncidentLinesTests {
    @Test func `a failure is told once, with what it explains, and one without dependents is not`() {
        let now = WallTime(nanoseconds: 100_000_000_000)
        func state(_ kind: Kind, _ name: String, cause: Subject? = nil) -> StateMessage {
            let stamp = Stamp(
                host: "fra-1", incarnation: Incarnation(startedAt: WallTime(nanoseconds: 1)), change: 1,
                at: now)
            return StateMessage(
                stamp: stamp, subject: Subject(kind, name), status: .critical,
                since: WallTime(nanoseconds: 88_000_000_000), reason: "no\u{1B}carrier", cause: cause,
                detectedAt: now)
        }
        let nic = Subject(.nic, "eth0")
        let paths = (0..<10).map { state(.path, "p\($0)", cause: nic) }
        let lines = IncidentLines.lines(of: paths + [state(.nic, "eth0"), state(.disk, "/")], at: now)
        let names = (0..<8).map { "path/p\($0)" }.joined(separator: ", ")
        #expect(IncidentLines.count(of: paths + [state(.nic, "eth0"), state(.disk, "/")]) == "; 2 incidents")
        #expect(IncidentLines.count(of: paths + [state(.nic, "eth0")]) == "; 1 incident")
        #expect(IncidentLines.count(of: [state(.nic, "eth0"), state(.disk, "/")]) == "")
        #expect(lines == ["nic/eth0 no?carrier, for 12s; with it \(names), 2 more"])
    }
}
