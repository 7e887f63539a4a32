// The ways out taken together, and the codec of DNS probes.
import Basics
import Configuration
import Testing
import Wire

@testable import Watchers

struct SiteTests {
    private func path(_ name: String, _ interface: String?, _ hop: UInt32?, _ status: Status)
        -> SiteMachine.Path
    {
        SiteMachine.Path(
            subject: Subject(.path, name), interface: interface,
            nextHop: hop.map { .v4(IPv4Address(number: $0)) }, status: status)
    }

    private func words(_ finding: Finding?) -> String? {
        finding.map { "\($0.status): \($0.reason)" }
    }

    @Test func `one way out has no summary`() {
        var site = SiteMachine(Subject(.path, "site"))
        #expect(site.judged([path("a", "eth0", 1, .ok)]) == nil)
        #expect(site.judged([]) == nil)
        #expect(site.judged([path("a", "eth0", 1, .ok), path("b", "eth0", 2, .ok)]) == nil)
    }

    @Test
    func
        `one of two left is a warning although all works, none is critical, and the lost one comes first`()
        throws
    {
        var site = SiteMachine(Subject(.path, "site"))
        func judge(_ a: Status, _ b: Status) -> Finding? {
            site.judged([path("a", "eth0", 1, a), path("b", "eth1", 2, b)])
        }
        #expect(
            words(judge(.unknown, .unknown))
                == "unknown: 0 of 2 independent paths are left, 2 not known yet")
        #expect(
            words(judge(.ok, .unknown)) == "unknown: 1 of 2 independent paths is left, 1 not known yet")
        #expect(words(judge(.ok, .warning)) == "ok: all 2 independent paths are there")
        let lost = try #require(judge(.ok, .critical))
        #expect(words(lost) == "warning: 1 of 2 independent paths is left")
        #expect(lost.dependsOn == [Subject(.path, "b"), Subject(.path, "a")])
        #expect(words(judge(.critical, .critical)) == "critical: no path out is left")
    }

    @Test func `paths that share an interface or a next hop are one`() {
        #expect(SiteMachine.independent([path("a", "eth0", 1, .ok), path("b", "eth1", 1, .ok)]) == 1)
        #expect(SiteMachine.independent([path("a", "eth0", 1, .ok), path("b", "eth0", 2, .ok)]) == 1)
        #expect(
            SiteMachine.independent([path("a", "eth0", nil, .ok), path("b", "eth1", nil, .ok)]) == 2)
        let chain = [path("a", "eth0", 1, .ok), path("b", "eth0", 2, .ok), path("c", "eth1", 1, .ok)]
        #expect(SiteMachine.independent(chain) == 2)
        #expect(SiteMachine.independent(chain.reversed()) == 2)
    }

    @Test func `a path that is no longer found is missed until other ones are configured`() {
        var site = SiteMachine(Subject(.path, "site"))
        _ = site.judged([path("a", "eth0", 1, .ok), path("b", "eth1", 2, .ok)])
        #expect(
            words(site.judged([path("a", "eth0", 1, .ok)])) == "warning: 1 of 2 independent paths is left"
        )
        site.restart()
        #expect(site.judged([path("a", "eth0", 1, .ok)]) == nil)
    }

    @Test func `a query is what name servers understand`() {
        #expect(
            DNSMessage.query(identifier: 0x1234)
                == hex("1234 0100 0001 0000 0000 0000  00 0006 0001  # recursion desired; the root's SOA"))
    }

    @Test func `any response to our question is an answer, a refusal too`() {
        func answer(_ text: String) -> UInt16? { DNSMessage.identifier(ofResponse: hex(text)[...]) }
        #expect(answer("1234 8180 0001 0000 0000 0000 00 0006 0001") == 0x1234)
        #expect(answer("1234 8185 0001 0000 0000 0000 00 0006 0001 ffff") == 0x1234)
        #expect(answer("1234 8181 0000 0000 0000 0000") == 0x1234)
        #expect(answer("1234 8180 0000 0000 0000 0000") == nil)
        #expect(answer("1234 0100 0001 0000 0000 0000 00 0006 0001") == nil)
        #expect(answer("1234 9180 0001 0000 0000 0000 00 0006 0001") == nil)
        #expect(answer("1234 8180 0001 0000 0000 0000 00 0001 0001") == nil)
        #expect(answer("1234 8180 0002 0000 0000 0000 00 0006 0001") == nil)
        for length in 0..<17 {
            let whole = hex("1234 8180 0001 0000 0000 0000 00 0006 0001")
            #expect(DNSMessage.identifier(ofResponse: whole.prefix(length)) == nil)
        }
    }

    @Test func `a neighbour is asked for and its state understood`() throws {
        let request = NetworkDump.neighbourRequest(.v4(IPv4Address(number: 0x0A52_0102)), 7)
        #expect(request.count == 36 && request[4] == 30 && Array(request.suffix(4)) == [10, 82, 1, 2])
        func told(_ state: UInt8, _ address: [UInt8]) throws -> NeighbourMessage? {
            let fixed: [UInt8] = [2, 0, 0, 0, 7, 0, 0, 0, state, 0, 0, 1]
            let message = NetlinkBuilder.message(28, fixed + NetlinkBuilder.attribute(1, address))
            guard case .neighbour(let neighbour)? = try decode(message).first else { return nil }
            return neighbour
        }
        let failed = try #require(try told(0x20, [10, 82, 1, 2]))
        #expect(failed.isUnresolved && failed.index == 7 && failed.address == IPAddress("10.82.1.2"))
        #expect(try told(2, [10, 82, 1, 2])?.isUnresolved == false)
        #expect(try told(1, [1, 2, 3])?.address == nil)
        #expect(throws: NetlinkDefect.self) { try decode(NetlinkBuilder.message(28, [2, 0, 0])) }
    }
}

struct ProbeTargetTests {
    @Test(arguments: [
        "192.0.2.1", "2001:db8::1", "tcp://192.0.2.1:443", "tcp://[2001:db8::1]:443",
        "dns://192.0.2.53",
        "dns://[2001:db8::53]", "dns://192.0.2.53:5353", "fe80::1",
    ])
    func `a target is written as it is read`(text: String) throws {
        #expect(try #require(ProbeTarget(text)).description == text)
    }

    @Test(arguments: [
        "", "tcp://192.0.2.1", "tcp://192.0.2.1:0", "tcp://192.0.2.1:65536", "tcp://192.0.2.1:+1",
        "tcp://:443",
        "tcp://2001:db8::1:443", "tcp://[192.0.2.1]:443", "tcp://[2001:db8::1]443", "udp://192.0.2.1:1",
        "http://192.0.2.1", "192.0.2.1:443", "224.0.0.1", "ff02::1", "tcp://example.com:443",
        "dns://[::1", "tcp://1.2.3.4:4:5",
    ])
    func `what is no target is refused`(text: String) {
        #expect(ProbeTarget(text) == nil)
    }
}
