// One fault is one incident, however many subjects feel it.
import Basics
import Testing
import Wire

@Suite struct IncidentTests {
    private func state(
        _ name: String, _ status: Status, cause: String? = nil, host: String = "fra-1"
    ) throws -> StateMessage {
        var stamp = MessageTests.stamp
        stamp.host = host
        return StateMessage(
            stamp: stamp, subject: try #require(Subject(parsing: name)), status: status,
            since: MessageTests.time, reason: "it is so",
            cause: try cause.map { try #require(Subject(parsing: $0)) }, detectedAt: MessageTests.time)
    }

    private func said(_ states: [StateMessage]) -> [String] {
        Incident.all(of: states).map { incident in
            let with = incident.dependents.map(\.description).joined(separator: " ")
            return "\(incident.host) \(incident.root) \(incident.status.rawValue): \(with)"
        }
    }

    @Test func `a failure and all that it explains are one incident`() throws {
        let states = [
            try state("path/isp-a", .critical, cause: "nic/eth0"), try state("nic/eth0", .critical),
            try state("feed-path/itch.A", .warning, cause: "nic/eth0"), try state("nic/eth1", .ok),
            try state("disk/%2F", .warning),
        ]
        #expect(
            said(states) == [
                "fra-1 nic/eth0 critical: feed-path/itch.A path/isp-a", "fra-1 disk/%2F warning: ",
            ])
        #expect(Incident.all(of: states)[0].json["dependents"]?.array?.count == 2)
    }

    @Test func `a chain across publishers ends at its end`() throws {
        let states = [
            try state("feed/itch", .warning, cause: "path/isp-a"),
            try state("path/isp-a", .critical, cause: "nic/eth0"), try state("nic/eth0", .critical),
        ]
        #expect(said(states) == ["fra-1 nic/eth0 critical: feed/itch path/isp-a"])
    }

    @Test func `a cause that nobody knows, or that has recovered, still holds its dependents together`()
        throws
    {
        let states = [
            try state("path/a", .critical, cause: "nic/eth0"),
            try state("path/b", .warning, cause: "nic/eth0"),
        ]
        #expect(said(states) == ["fra-1 nic/eth0 critical: path/a path/b"])
        #expect(Incident.all(of: states)[0].state == nil)
        #expect(said(states + [try state("nic/eth0", .ok)]) == ["fra-1 nic/eth0 critical: path/a path/b"])
    }

    @Test func `what is unknown is an incident only by a cause, and a tombstone never`() throws {
        var gone = try state("nic/eth9", .critical)
        gone.isGone = true
        let states = [
            try state("ups/a", .unknown), try state("path/a", .unknown, cause: "nic/eth0"), gone,
            try state("nic/eth0", .critical),
        ]
        #expect(said(states) == ["fra-1 nic/eth0 critical: path/a"])
    }

    @Test func `hosts have incidents of their own`() throws {
        let states = [try state("nic/eth0", .critical), try state("nic/eth0", .critical, host: "fra-2")]
        #expect(said(states) == ["fra-1 nic/eth0 critical: ", "fra-2 nic/eth0 critical: "])
    }

    @Test func `a ring of causes ends, and is one incident`() throws {
        let states = [
            try state("nic/a", .critical, cause: "nic/b"), try state("nic/b", .critical, cause: "nic/a"),
            try state("path/x", .critical, cause: "nic/b"),
        ]
        #expect(said(states) == ["fra-1 nic/a critical: nic/b path/x"])
    }
}
