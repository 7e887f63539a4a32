// The rtnetlink decoder: what the kernel really sends, and what nobody should.
import Basics
import Linux
import Testing
import Watchers

struct NetlinkTests {
    /// A veth with carrier, as Linux 6.18 describes it (attributes of no interest left out).
    static let veth = hex(
        """
        70000000 1000 0200 07000000 995e0000  # length 112, RTM_NEWLINK, multi-part, sequence, port
        00 00 0100 03000000 43100100 00000000  # Ethernet, index 3, UP BROADCAST RUNNING MULTICAST LOWER_UP
        0a00 0300 6973702d6100 0000            # IFLA_IFNAME "isp-a"
        0500 1000 06 000000                    # IFLA_OPERSTATE up
        0800 0400 dc050000                     # IFLA_MTU 1500
        0800 2f00 02000000                     # IFLA_CARRIER_UP_COUNT 2
        0800 3000 01000000                     # IFLA_CARRIER_DOWN_COUNT 1
        0a00 0100 2e148c13c31d 0000            # IFLA_ADDRESS
        1000 1200 0900 0100 7665746800 000000  # IFLA_LINKINFO, IFLA_INFO_KIND "veth"
        0800 0500 02000000                     # IFLA_LINK 2
        """)

    static let done = hex("14000000 0300 0200 07000000 995e0000 00000000")

    @Test func `a link is decoded with what Holdfast uses of it`() throws {
        let messages = try decode(NetlinkTests.veth + NetlinkTests.done)
        guard case .link(let link) = messages.first else { throw NetlinkDefect.truncated("link", left: 0) }
        #expect(link.name == "isp-a")
        #expect(link.index == 3)
        #expect(link.isAdministrativelyUp && link.hasCarrier && !link.isPhysical && !link.isLoopback)
        #expect(link.operationalState == .up)
        #expect(link.mtu == 1500)
        #expect(link.carrierCounts == CarrierCounts(up: 2, down: 1))
        #expect(link.address == "2e:14:8c:13:c3:1d")
        #expect(link.kind == "veth")
        #expect(link.lower == 2)
        #expect(messages.last == .done(0))
    }

    @Test func `what a bridge says of its port is no news of the link, nor is the port's leaving a removal`()
        throws
    {
        var port = NetlinkTests.veth
        port[16] = 7  // AF_BRIDGE
        #expect(try decode(port) == [.other(16)])
        port[4] = 17  // RTM_DELLINK
        #expect(try decode(port) == [.other(17)])
    }

    @Test
    func `a route in the place of another one is told from one beside it, also where it has no next hop`()
        throws
    {
        let replaced = hex(
            """
            34000000 1800 0001 07000000 995e0000  # RTM_NEWROUTE, NLM_F_REPLACE
            02 00 00 00 fe 03 00 01 00000000      # IPv4, /0, table main, boot, universe, unicast
            0800 0600 64000000                    # RTA_PRIORITY 100
            0800 0500 c0000201  0800 0400 03000000
            """)
        let gateway = try #require(IPAddress("192.0.2.1"))
        var route = RouteMessage(
            destination: .v4(.any), prefixLength: 0, metric: 100, hops: [.init(index: 3, gateway: gateway)])
        #expect(try decode(replaced) == [.routeReplaced(route)])
        var unreachable = replaced
        unreachable[23] = 7  // RTN_UNREACHABLE
        route.hops = []
        #expect(try decode(unreachable) == [.routeReplaced(route)])
        unreachable[20] = 100  // another table
        #expect(try decode(unreachable) == [.other(24)])
    }

    @Test func `a default route over a next hop is decoded, a route without one is of no interest`() throws {
        let viaHop = hex(
            """
            3c000000 1800 0200 07000000 995e0000  # RTM_NEWROUTE
            02 00 00 00 fe 03 00 01 00000000      # IPv4, /0, table main, boot, universe, unicast
            0800 0f00 fe000000  0800 0600 64000000  # RTA_TABLE, RTA_PRIORITY 100
            0800 0500 c0000201  0800 0400 03000000  # RTA_GATEWAY 192.0.2.1, RTA_OIF 3
            """)
        let onLink = hex(
            """
            3c000000 1800 0200 07000000 995e0000
            02 18 00 00 fe 02 fd 01 00000000
            0800 0f00 fe000000  0800 0100 c0000200
            0800 0700 c0000202  0800 0400 03000000
            """)
        let gateway = try #require(IPAddress("192.0.2.1"))
        let expected = RouteMessage(
            destination: .v4(.any), prefixLength: 0, metric: 100, hops: [.init(index: 3, gateway: gateway)])
        #expect(try decode(viaHop + onLink) == [.route(expected), .other(24)])
        #expect(expected.isDefault)
    }

    @Test func `errors, overruns and ends of dumps are told apart`() throws {
        let failed = NetlinkBuilder.message(
            2, NetlinkBuilder.u32(UInt32(bitPattern: -95)) + Array(repeating: 0, count: 16))
        let overrun = NetlinkBuilder.message(4, [])
        let noop = NetlinkBuilder.message(1, [])
        #expect(try decode(failed + overrun + noop) == [.failed(-95), .overrun, .other(1)])
    }

    @Test func `an attribute of length 0 is refused and not looped over`() {
        var bytes = NetlinkTests.veth
        bytes[32] = 0
        bytes[33] = 0
        #expect(throws: NetlinkDefect.attributeLength(0, left: 80)) { try decode(bytes) }
        bytes[32] = 3
        #expect(throws: NetlinkDefect.attributeLength(3, left: 80)) { try decode(bytes) }
    }

    @Test func `an attribute that overruns its message is refused`() {
        var bytes = NetlinkTests.veth
        bytes[33] = 0xff
        #expect(throws: NetlinkDefect.attributeLength(0xff0a, left: 80)) { try decode(bytes) }
    }

    @Test func `an attribute shorter than its type is refused`() {
        let short = NetlinkBuilder.link(index: 1, flags: 1, [NetlinkBuilder.attribute(4, [1, 2])])
        #expect(throws: NetlinkDefect.shortAttribute(type: 4, wanted: 4, got: 2)) { try decode(short) }
        let statistics = NetlinkBuilder.link(
            index: 1, flags: 1, [NetlinkBuilder.attribute(23, Array(repeating: 1, count: 63))])
        #expect(throws: NetlinkDefect.shortAttribute(type: 23, wanted: 64, got: 63)) {
            try decode(statistics)
        }
    }

    @Test func `a message length below its header or beyond the datagram is refused`() {
        var bytes = NetlinkTests.veth
        bytes[0] = 15
        #expect(throws: NetlinkDefect.messageLength(15, offset: 0, left: 112)) { try decode(bytes) }
        bytes[0] = 113
        #expect(throws: NetlinkDefect.messageLength(113, offset: 0, left: 112)) { try decode(bytes) }
        #expect(throws: NetlinkDefect.truncated("header", left: 7)) { try decode(Array(bytes.prefix(7))) }
    }

    @Test func `statistics are the first eight counters, whatever follows`() throws {
        var counters = ByteWriter()
        for value in 1...26 { counters.littleEndian(UInt64(value)) }
        let bytes = NetlinkBuilder.link(index: 1, flags: 1, [NetlinkBuilder.attribute(23, counters.bytes)])
        guard case .link(let link)? = try decode(bytes).first else {
            throw NetlinkDefect.truncated("link", left: 0)
        }
        #expect(link.statistics?.receivedPackets == 1)
        #expect(link.statistics?.receivedBytes == 3)
        #expect(link.statistics?.sendDrops == 8)
    }

    @Test func `no mutation of real messages traps or loops`() {
        var random = SplitMix(state: 2026)
        let seeds = [NetlinkTests.veth + NetlinkTests.done, NetlinkTests.done + NetlinkTests.veth]
        var refused = 0
        for round in 0..<20_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<(1 + random.next() % 6) {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
            do { _ = try decode(bytes) } catch { refused += 1 }
        }
        #expect(refused > 1000)
    }

    @Test(.enabled(if: recordings != nil)) func `recorded messages of other projects are decoded`() throws {
        let folder = try #require(recordings) + "/netlink"
        func head(_ name: String) throws -> [UInt8] {
            let text = try Files.text("\(folder)/\(name)")
            let end = text.range(of: "\n# parsed")?.lowerBound ?? text.endIndex
            return hex(String(text[..<end]))
        }
        let loopback = AddressMessage(index: 1, prefixLength: 8, local: .v4(.loopback))
        #expect(try decode(head("addrmsg_ipv4.dump")) == [.address(loopback)])
        let tunnel = try decode(head("gre_01.dump"))
        guard case .link(let link)? = tunnel.first else { throw NetlinkDefect.truncated("link", left: 0) }
        #expect(link.name == "mgre0" && link.kind == "gre" && !link.isPhysical)
        #expect(tunnel.last == .failed(0))
    }
}

extension String {
    /// The first place of another text; enough for these tests, without Foundation.
    fileprivate func range(of other: String) -> Range<String.Index>? {
        ranges(of: other).first
    }
}
