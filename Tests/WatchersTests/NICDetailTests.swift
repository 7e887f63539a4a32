// NICs beyond their carrier: bonds and parents, rates of errors, addresses and routes, speed, and the backlog.
import Basics
import Configuration
import Linux
import Testing
import Wire

@testable import Watchers

struct NICDetailTests {
    private func link(_ name: String, _ index: Int32, carrier: Bool = true, kind: String? = nil)
        -> LinkMessage
    {
        var link = LinkMessage(index: index)
        link.name = name
        link.flags = 1 | (carrier ? 0x1_0000 : 0)
        link.kind = kind
        return link
    }

    private func member(_ name: String, _ index: Int32, of bond: Int32 = 9, carrier: Bool = true)
        -> LinkMessage
    {
        var member = link(name, index, carrier: carrier)
        member.master = bond
        return member
    }

    private func bond(active: Int32?, mode: UInt8 = 1) -> LinkMessage {
        var bond = link("bond0", 9, kind: "bond")
        bond.bond = BondMessage(mode: mode, activeMember: active)
        return bond
    }

    private func findings(_ actions: [NICAction]) -> [Finding] {
        actions.compactMap { if case .report(let finding) = $0 { finding } else { nil } }
    }

    private func said(_ actions: [NICAction]) -> [String] {
        findings(actions).map { "\($0.subject.name) \($0.status): \($0.reason)" }
    }

    private func table(_ change: (inout NICOptions) -> Void = { _ in }) -> NICTable {
        var options = NICOptions()
        change(&options)
        return NICTable(options: options, required: [])
    }

    // MARK: Bonds and parents

    @Test func `a bond tells its active member, and that it has lost one, with the member as its cause`()
        throws
    {
        var table = table()
        let links = [member("eth0", 3), member("eth1", 4), bond(active: 3)]
        #expect(said(table.dumped(links, at: at(0))).last == "bond0 ok: up over eth0")
        let lost = table.changed(member("eth0", 3, carrier: false), isEvent: true, at: at(10))
        #expect(
            said(lost) == [
                "eth0 critical: no carrier", "bond0 warning: 1 of 2 members is up: eth0 has no carrier",
            ])
        let told = try #require(findings(lost).last)
        #expect(told.dependsOn == [Subject(.nic, "eth0"), Subject(.nic, "eth1")])
        let moved = table.changed(bond(active: 4), isEvent: true, at: at(11))
        #expect(said(moved) == [])
        let back = table.changed(member("eth0", 3), isEvent: true, at: at(20))
        #expect(said(back) == ["eth0 ok: up", "bond0 ok: up over eth1"])
    }

    @Test func `a bond without any member up is critical`() {
        var table = table()
        _ = table.dumped([member("eth0", 3), member("eth1", 4), bond(active: 3)], at: at(0))
        _ = table.changed(member("eth0", 3, carrier: false), isEvent: true, at: at(10))
        let lost = table.changed(member("eth1", 4, carrier: false), isEvent: true, at: at(11))
        #expect(said(lost).last == "bond0 critical: none of its 2 members is up")
        var down = bond(active: nil)
        down.flags = 1
        #expect(
            said(table.changed(down, isEvent: true, at: at(12))) == [
                "bond0 critical: no carrier: none of its 2 members is up"
            ])
    }

    @Test func `a member without a partner in 802dot3ad, or that the bond finds down, does not count`() {
        var table = table()
        var aside = member("eth0", 3)
        aside.bondMember = BondMemberMessage(isActive: false, isLinkUp: true)
        let links = [aside, member("eth1", 4), bond(active: nil, mode: 4)]
        #expect(
            said(table.dumped(links, at: at(0))).last
                == "bond0 warning: 1 of 2 members is up: eth0 is in no aggregate; see LACP on its port")
        aside.bondMember = BondMemberMessage(isActive: true, isLinkUp: false)
        #expect(
            said(table.changed(aside, isEvent: true, at: at(1))) == [
                "bond0 warning: 1 of 2 members is up: the bond finds eth0 down"
            ])
    }

    @Test func `members of a named bond are watched for its sake, and no longer when they leave it`() {
        var table = table {
            $0.discover = false
            $0.include = ["bond0"]
        }
        let actions = table.dumped([member("eth0", 3), bond(active: 3)], at: at(0))
        #expect(said(actions) == ["eth0 ok: up", "bond0 ok: up over eth0"])
        let left = table.changed(link("eth0", 3), isEvent: true, at: at(5))
        #expect(left.contains(.forget(Subject(.nic, "eth0"))))
        #expect(said(table.changed(member("eth0", 3), isEvent: true, at: at(6))).first == "eth0 ok: up")
    }

    @Test func `a VLAN stands on its parent, which is watched too; a veth stands on nothing`() throws {
        var table = table {
            $0.discover = false
            $0.include = ["eth0.5", "veth0"]
        }
        var vlan = link("eth0.5", 7, kind: "vlan")
        vlan.lower = 3
        var veth = link("veth0", 8, kind: "veth")
        veth.lower = 3
        let actions = table.dumped([link("eth0", 3), vlan, veth], at: at(0))
        #expect(said(actions) == ["eth0 ok: up", "eth0.5 ok: up", "veth0 ok: up"])
        #expect(findings(actions).map(\.dependsOn) == [[], [Subject(.nic, "eth0")], []])
        let gone = table.removed(7, at: at(5))
        #expect(gone.contains(.forget(Subject(.nic, "eth0"))))
    }

    @Test func `a parent in another namespace is nobody here`() {
        var table = table { $0.include = ["mv0"] }
        var macvlan = link("mv0", 7, kind: "macvlan")
        macvlan.lower = 3
        macvlan.isLowerElsewhere = true
        let actions = table.dumped([link("eth0", 3), macvlan], at: at(0))
        #expect(findings(actions).last?.dependsOn == [])
    }

    @Test func `bonds and their members are decoded`() throws {
        let bond = NetlinkBuilder.link(
            index: 9, flags: 1,
            [
                NetlinkBuilder.attribute(
                    18,
                    NetlinkBuilder.attribute(1, Array("bond".utf8) + [0])
                        + NetlinkBuilder.attribute(
                            2,
                            NetlinkBuilder.attribute(1, [1])
                                + NetlinkBuilder.attribute(2, NetlinkBuilder.u32(3))
                        ))
            ])
        let member = NetlinkBuilder.link(
            index: 3, flags: 1,
            [
                NetlinkBuilder.attribute(10, NetlinkBuilder.u32(9)),
                NetlinkBuilder.attribute(
                    18,
                    NetlinkBuilder.attribute(4, Array("bond".utf8) + [0])
                        + NetlinkBuilder.attribute(
                            5, NetlinkBuilder.attribute(1, [1]) + NetlinkBuilder.attribute(2, [2]))),
                NetlinkBuilder.attribute(37, NetlinkBuilder.u32(0)),
            ])
        guard case .link(let told)? = try decode(bond).first, case .link(let part)? = try decode(member).first
        else { throw NetlinkDefect.truncated("link", left: 0) }
        #expect(told.bond == BondMessage(mode: 1, activeMember: 3) && told.isBond)
        #expect(part.master == 9 && part.isLowerElsewhere && part.kind == nil)
        #expect(part.bondMember == BondMemberMessage(isActive: false, isLinkUp: false))
    }

    // MARK: Rates

    private func counters(errors: UInt64 = 0, drops: UInt64 = 0, missed: UInt64 = 0) -> LinkStatistics {
        var counters = LinkStatistics()
        (counters.receiveErrors, counters.sendDrops, counters.receiveMissed) = (errors, drops, missed)
        return counters
    }

    @Test func `errors are a warning while they last, and a counter that goes back is a reset`() {
        var table = table()
        _ = table.dumped([link("eth0", 3)], at: at(0))
        var words: [String] = []
        func measure(_ errors: UInt64, _ second: Int64) {
            words += said(table.measured([3: counters(errors: errors)], at: at(second * 1000)))
        }
        measure(5_000_000_000, 1)
        for second in Int64(2)...5 { measure(5_000_000_000 + UInt64(second) * 50, second) }
        #expect(
            Set(words).contains(
                "eth0 warning: 50.0 errors per second: see its cable, its module and ethtool -S"))
        words = []
        measure(3, 6)
        measure(3, 7)
        for second in Int64(8)...12 { measure(3, second) }
        #expect(words.last == "eth0 ok: up")
        #expect(words.contains { $0.contains("critical") } == false)
    }

    @Test func `what the device had no buffer for counts as dropped`() {
        var traffic = LinkTraffic(NICOptions())
        traffic.measured(counters(), at: at(0))
        #expect(traffic.drops == nil)
        traffic.measured(counters(drops: 100, missed: 300), at: at(2000))
        #expect(traffic.drops == 200)
        traffic.measured(counters(drops: 100, missed: 200), at: at(3000))
        #expect(traffic.drops == nil)
    }

    @Test func `statistics come as light messages of their own`() throws {
        var numbers = ByteWriter()
        for value in 1...24 { numbers.littleEndian(UInt64(value)) }
        let message = NetlinkBuilder.message(
            92,
            NetlinkBuilder.u32(0) + NetlinkBuilder.u32(3) + NetlinkBuilder.u32(1)
                + NetlinkBuilder.attribute(1, numbers.bytes))
        guard case .statistics(let index, let counters)? = try decode(message).first else {
            throw NetlinkDefect.truncated("statistics", left: 0)
        }
        #expect(index == 3 && counters.sendDrops == 8 && counters.receiveMissed == 16)
        #expect(try decode(NetlinkBuilder.message(92, Array(repeating: 0, count: 12))) == [.other(92)])
        #expect(throws: NetlinkDefect.self) { try decode(NetlinkBuilder.message(92, [0, 0])) }
    }

    // MARK: Addresses and routes

    private func address(_ text: String, _ index: Int32 = 3) -> AddressMessage {
        AddressMessage(index: index, prefixLength: 24, local: IPAddress(text) ?? .v4(.any))
    }

    private func route(_ gateway: String, _ index: Int32) -> RouteMessage {
        let gateway = IPAddress(gateway) ?? .v4(.any)
        return RouteMessage(
            destination: gateway.family == .v4 ? .v4(.any) : .v6(.any), prefixLength: 0, metric: 0,
            hops: [.init(index: index, gateway: gateway)])
    }

    private func picture() -> NetworkDump {
        var dump = NetworkDump()
        dump.links = [link("eth0", 3), link("eth1", 4)]
        dump.addresses = [
            address("10.0.0.1"), address("10.0.0.2"), address("2001:db8::1"), address("fe80::1"),
            address("10.1.0.1", 4),
        ]
        dump.routes = [route("10.0.0.254", 3)]
        return dump
    }

    @Test func `the loss of the last address is a warning after the dwell, and its return ends it`() {
        var table = table()
        _ = table.pictured(picture(), at: at(0))
        #expect(table.reached(.addressRemoved(address("10.0.0.2")), at: at(1000)) == [.resync])
        #expect(table.deadline(at: at(1000)) == nil)
        _ = table.reached(.addressRemoved(address("10.0.0.1")), at: at(2000))
        #expect(table.deadline(at: at(2000)) == at(5000))
        #expect(said(table.passed(at(4999))) == [])
        #expect(said(table.passed(at(5000))) == ["eth0 warning: has lost its last IPv4 address 10.0.0.1"])
        #expect(said(table.reached(.address(address("10.0.0.9")), at: at(6000))) == ["eth0 ok: up"])
    }

    @Test func `an address that is replaced within the dwell is no loss, and link-local ones do not count`() {
        var table = table()
        _ = table.pictured(picture(), at: at(0))
        _ = table.reached(.addressRemoved(address("2001:db8::1")), at: at(1000))
        _ = table.reached(.address(address("2001:db8::2")), at: at(1500))
        _ = table.reached(.addressRemoved(address("fe80::1")), at: at(1500))
        #expect(said(table.passed(at(9000))) == [])
        #expect(table.deadline(at: at(9000)) == nil)
    }

    @Test func `the loss of the default route is a warning, unless it moved to another NIC`() {
        var table = table()
        _ = table.pictured(picture(), at: at(0))
        _ = table.reached(.routeRemoved(route("10.0.0.254", 3)), at: at(1000))
        #expect(
            said(table.passed(at(4000))) == ["eth0 warning: has lost its IPv4 default route via 10.0.0.254"])
        #expect(said(table.reached(.route(route("10.0.0.253", 3)), at: at(5000))) == ["eth0 ok: up"])
        _ = table.reached(.route(route("10.1.0.254", 4)), at: at(20_000))
        _ = table.reached(.routeRemoved(route("10.0.0.253", 3)), at: at(21_000))
        #expect(said(table.passed(at(30_000))) == [])
    }

    @Test func `a picture tells losses of which there was no news`() {
        var table = table()
        var picture = picture()
        _ = table.pictured(picture, at: at(0))
        picture.routes = []
        picture.addresses.removeAll { $0.index == 4 }
        _ = table.pictured(picture, at: at(1000))
        #expect(
            said(table.passed(at(4000))) == [
                "eth0 warning: has lost its IPv4 default route via 10.0.0.254",
                "eth1 warning: has lost its last IPv4 address 10.1.0.1",
            ])
    }

    @Test func `a link that comes up has the dwell to get its addresses back`() {
        var table = table()
        _ = table.pictured(picture(), at: at(0))
        _ = table.changed(link("eth0", 3, carrier: false), isEvent: true, at: at(1000))
        _ = table.reached(.addressRemoved(address("2001:db8::1")), at: at(1001))
        #expect(said(table.passed(at(60_000))) == [])
        #expect(said(table.changed(link("eth0", 3), isEvent: true, at: at(61_000))) == ["eth0 ok: up"])
        #expect(table.deadline(at: at(61_000)) == at(64_000))
        #expect(said(table.passed(at(64_000))).count == 1)
    }

    @Test func `a link that is switched off asks for a picture: its routes go without a word`() {
        var table = table()
        _ = table.pictured(picture(), at: at(0))
        var off = link("eth0", 3, carrier: false)
        off.flags = 0
        #expect(table.changed(off, isEvent: true, at: at(5)).contains(.resync))
    }

    // MARK: Speed

    @Test func `a speed below that of before, or below what is expected, is a warning`() {
        var table = table { $0.links = [LinkOptions(name: "eth1", speedAtLeast: 10_000)] }
        _ = table.dumped([link("eth0", 3), link("eth1", 4)], at: at(0))
        func inspect(_ index: Int32, _ speed: Int64?, full: Bool? = true) -> [String] {
            said(table.inspected(index, LinkDetails(speed: speed, isFullDuplex: full), at: at(1)))
        }
        #expect(inspect(3, 10_000) == ["eth0 ok: up"])
        #expect(inspect(3, 1000) == ["eth0 warning: its speed fell from 10000 to 1000 Mbit/s"])
        #expect(inspect(3, nil) == ["eth0 ok: up"])
        #expect(
            inspect(3, 10_000, full: false) == ["eth0 warning: half duplex: see what its port negotiates"])
        #expect(inspect(4, 1000) == ["eth1 warning: its speed is 1000 Mbit/s, less than 10000"])
    }

    @Test func `the reason for a lost link follows when the driver tells it`() {
        var table = table()
        _ = table.dumped([link("eth0", 3)], at: at(0))
        #expect(
            said(table.changed(link("eth0", 3, carrier: false), isEvent: true, at: at(5))) == [
                "eth0 critical: no carrier"
            ])
        #expect(
            said(table.inspected(3, LinkDetails(downReason: "no cable"), at: at(6))) == [
                "eth0 critical: no carrier: no cable"
            ])
        #expect(
            table.measured([3: LinkStatistics()], at: at(1000)).contains(.inspect(index: 3, name: "eth0")))
    }

    // MARK: ethtool

    private func reply(_ type: UInt16, _ command: UInt8, _ attributes: [UInt8]) -> [UInt8] {
        NetlinkBuilder.message(type, [command, 1, 0, 0] + attributes)
    }

    private func read(_ bytes: [UInt8]) throws(NetlinkDefect) -> GenericNetlinkMessage? {
        var reader = NetlinkFrameReader(bytes[...])
        guard let frame = try reader.next() else { return nil }
        return try GenericNetlinkMessage(frame, ethtool: 21)
    }

    @Test func `ethtool's answers are decoded, and what is unknown stays so`() throws {
        let family = reply(
            16, 1,
            NetlinkBuilder.attribute(2, Array("ethtool\0".utf8)) + NetlinkBuilder.attribute(1, [21, 0]))
        #expect(try read(family) == .family(21))
        let header = NetlinkBuilder.attribute(1 | 0x8000, NetlinkBuilder.attribute(1, NetlinkBuilder.u32(3)))
        let modes =
            header + NetlinkBuilder.attribute(5, NetlinkBuilder.u32(25_000))
            + NetlinkBuilder.attribute(6, [1])
        #expect(try read(reply(21, 4, modes)) == .linkModes(speed: 25_000, isFullDuplex: true))
        let unknown =
            NetlinkBuilder.attribute(5, NetlinkBuilder.u32(.max)) + NetlinkBuilder.attribute(6, [255])
        #expect(try read(reply(21, 4, unknown)) == .linkModes(speed: nil, isFullDuplex: nil))
        let state = header + NetlinkBuilder.attribute(2, [0]) + NetlinkBuilder.attribute(5, [4])
        #expect(try read(reply(21, 6, state)) == .linkState(downReason: "no cable"))
        #expect(try read(reply(21, 6, NetlinkBuilder.attribute(5, [200]))) == .linkState(downReason: nil))
        #expect(try read(reply(22, 6, state)) == .other(22))
        let refused = NetlinkBuilder.message(2, NetlinkBuilder.u32(UInt32(bitPattern: -95)))
        #expect(try read(refused) == .failed(-95))
    }

    @Test func `garbled answers of ethtool are refused`() {
        #expect(throws: NetlinkDefect.self) { try read(reply(21, 4, NetlinkBuilder.attribute(5, [1]))) }
        #expect(throws: NetlinkDefect.self) { try read(NetlinkBuilder.message(21, [4, 1])) }
        #expect(throws: NetlinkDefect.self) { try read(reply(21, 6, [2, 0, 5, 0])) }
        var random = SplitMix(state: 7)
        var seed = reply(
            21, 4, NetlinkBuilder.attribute(5, NetlinkBuilder.u32(25_000)) + NetlinkBuilder.attribute(6, [1]))
        for _ in 0..<5000 {
            seed[Int(random.next() % UInt64(seed.count))] = UInt8(truncatingIfNeeded: random.next())
            _ = try? read(seed)
        }
    }

    @Test func `a question to ethtool is what the kernel expects`() {
        let expected = hex(
            """
            20000000 1500 0100 06000000 00000000  # length 32, family 21, NLM_F_REQUEST
            06 01 0000                             # ETHTOOL_MSG_LINKSTATE_GET, version 1
            0c00 0180 0800 0100 07000000           # nested header, ifindex 7
            """)
        #expect(GenericNetlinkRequest.linkState(family: 21, index: 7).bytes == expected)
        #expect(GenericNetlinkRequest.ethtoolFamily.bytes.count == 32)
    }

    // MARK: Backlog

    @Test func `the backlog's counters are summed over processors`() throws {
        let text = "001cb544 00000002 00000024 00000000\n0019cf36 0000000a 00000021 00000000 00000000\n"
        let counters = try #require(SoftnetCounters(Array(text.utf8)))
        #expect(counters.dropped == 12 && counters.squeezed == 0x45)
        for bad in [
            "", "\n", "00 01\n", "00000000 0000000g 00000000\n", "0 123456789 0\n", "cpu dropped squeezed\n",
        ] {
            #expect(SoftnetCounters(Array(bad.utf8)) == nil, "\(bad)")
        }
    }

    @Test(.enabled(if: recordings != nil)) func `recorded backlogs are read`() throws {
        let folder = try #require(recordings) + "/host"
        let first = try #require(SoftnetCounters(try Files.read("\(folder)/procfs/proc/net/softnet_stat")))
        #expect(first.dropped > 0x20E76 && first.squeezed > 0xF000_0000)
        #expect(SoftnetCounters(try Files.read("\(folder)/node_exporter/proc/net/softnet_stat")) != nil)
    }

    @Test func `dropped packets are a warning; a counter that goes back, or a file that is gone, is none`()
        throws
    {
        var machine = SoftnetMachine(NICOptions())
        func read(_ dropped: String?, _ second: Int64) -> String {
            let counters = dropped.flatMap { SoftnetCounters(Array("00000001 \($0) 00000000\n".utf8)) }
            let finding = machine.read(counters, at: at(second * 1000))
            return "\(finding.status): \(finding.reason)"
        }
        let well = "ok: no packet is dropped for want of backlog"
        #expect(read("ffffffff", 1) == well)
        #expect(read("00000005", 2) == well)
        #expect(
            read("00000037", 3)
                == "warning: 50.0 packets per second dropped: raise net.core.netdev_max_backlog")
        #expect(read("00000037", 4) == well)
        #expect(read(nil, 5) == "unknown: /proc/net/softnet_stat cannot be read")
        #expect(read("00001000", 6) == well)
    }
}
