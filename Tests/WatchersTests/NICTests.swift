// NICs as dialogues: link messages and counter reads in, findings out.
import Basics
import Configuration
import Testing
import Watchers
import Wire

struct NICTests {
    private func link(
        _ name: String, index: Int32 = 3, up: Bool = true, carrier: Bool = true,
        counts: (UInt32, UInt32)? = (1, 1),
        kind: String? = nil, permanent: String? = nil
    ) -> LinkMessage {
        var link = LinkMessage(index: index)
        link.name = name
        link.flags = (up ? 1 : 0) | (carrier ? 0x1_0000 : 0)
        link.carrierCounts = counts.map { CarrierCounts(up: $0.0, down: $0.1) }
        link.kind = kind
        link.lower = kind == "veth" ? index + 1 : nil
        link.permanentAddress = permanent
        link.operationalState = carrier ? .up : .down
        return link
    }

    private func table(include: [String] = [], required: [String] = []) -> NICTable {
        var options = NICOptions()
        options.include = include
        return NICTable(options: options, required: required)
    }

    /// What was reported, in short: `critical: no carrier`.
    private func said(_ actions: [NICAction]) -> [String] {
        actions.compactMap {
            switch $0 {
            case .report(let finding): "\(finding.subject.name) \(finding.status): \(finding.reason)"
            case .forget(let subject): "\(subject.name) forgotten"
            case .poll, .stopPolling, .inspect, .resync: nil
            }
        }
    }

    @Test func `a physical NIC that is up is found, polled and reported`() {
        var table = table()
        let actions = table.dumped([link("eth0")], at: at(0))
        #expect(said(actions) == ["eth0 ok: up"])
        #expect(actions.contains(.poll(index: 3, name: "eth0")))
        #expect(actions.contains(.inspect(index: 3, name: "eth0")))
    }

    @Test func `virtual, loopback and switched-off links are not found by themselves`() {
        var table = table()
        var loopback = link("lo", index: 1)
        loopback.flags |= 8
        let others = [loopback, link("tap0", index: 4, kind: "tun"), link("eth1", index: 5, up: false)]
        #expect(said(table.dumped(others, at: at(0))) == [])
        #expect(said(table.changed(link("eth1", index: 5), isEvent: true, at: at(5))) == ["eth1 ok: up"])
    }

    @Test func `a carrier loss and its return are reported once each`() {
        var table = table(include: ["isp-*"])
        _ = table.dumped([link("isp-a", kind: "veth")], at: at(0))
        let lost = link("isp-a", carrier: false, counts: (1, 2), kind: "veth")
        #expect(said(table.changed(lost, isEvent: true, at: at(10))) == ["isp-a critical: no carrier"])
        #expect(said(table.changed(lost, isEvent: true, at: at(11))) == [])
        let back = link("isp-a", counts: (2, 2), kind: "veth")
        #expect(said(table.changed(back, isEvent: true, at: at(20))) == ["isp-a ok: up"])
    }

    @Test func `links that seem to stand on each other under one name are watched all the same`() {
        var table = table(include: ["nk*"])
        func end(_ name: String, _ index: Int32) -> LinkMessage {
            var end = link(name, index: index, kind: "netkit")
            end.lower = 11 - index
            return end
        }
        _ = table.dumped([end("nk0", 5), end("nk1", 6)], at: at(0))
        // The second one was renamed first, and the news of it was lost.
        #expect(said(table.changed(end("nk1", 5), isEvent: true, at: at(1))).contains("nk1 ok: up"))
        _ = table.changed(end("nk2", 6), isEvent: true, at: at(2))
        let lost = table.changed(
            link("nk1", index: 5, carrier: false, kind: "netkit"), isEvent: true, at: at(3))
        #expect(said(lost).contains("nk1 critical: no carrier"))
    }

    @Test
    func `a veth whose peer has the same index elsewhere is polled: the kernel takes it for a real NIC`() {
        var table = table(include: ["isp-*"])
        var twin = link("isp-a", kind: "veth")
        twin.lower = 3
        #expect(table.dumped([twin], at: at(0)).contains(.poll(index: 3, name: "isp-a")))
        twin.lower = nil
        #expect(!twin.hasPromptEvents)
    }

    @Test func `a veth is not polled`() {
        var table = table(include: ["isp-*"])
        let actions = table.dumped([link("isp-a", kind: "veth")], at: at(0))
        #expect(!actions.contains(.poll(index: 3, name: "isp-a")))
    }

    @Test func `the counters tell a loss before the message does, and the message repeats nothing`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        let read = table.counted(3, CarrierCounts(up: 1, down: 2), at: at(50))
        #expect(said(read) == ["eth0 critical: no carrier"])
        let late = link("eth0", carrier: false, counts: (1, 2))
        #expect(said(table.changed(late, isEvent: true, at: at(650))) == [])
        #expect(said(table.counted(3, CarrierCounts(up: 2, down: 2), at: at(700))) == ["eth0 ok: up"])
    }

    @Test func `a message older than the counters changes nothing`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        _ = table.counted(3, CarrierCounts(up: 1, down: 2), at: at(50))
        #expect(said(table.changed(link("eth0", counts: (1, 1)), isEvent: true, at: at(51))) == [])
    }

    @Test func `a flap between two reads is told as a loss and a return`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        let actions = table.counted(3, CarrierCounts(up: 2, down: 2), at: at(50))
        #expect(said(actions) == ["eth0 critical: no carrier", "eth0 ok: up"])
    }

    @Test func `a counter that goes back is a reset and asks for a dump`() {
        var table = table()
        _ = table.dumped([link("eth0", counts: (9, 9))], at: at(0))
        let actions = table.counted(3, CarrierCounts(up: 0, down: 0), at: at(50))
        #expect(actions == [.resync])
        #expect(said(table.changed(link("eth0", counts: (0, 0)), isEvent: false, at: at(60))) == [])
        #expect(
            said(table.counted(3, CarrierCounts(up: 0, down: 1), at: at(70))) == ["eth0 critical: no carrier"]
        )
    }

    @Test func `three losses within the window are a warning until the window has passed`() {
        var table = table()
        _ = table.dumped([link("eth0", counts: (0, 0))], at: at(0))
        for step in UInt32(1)...3 {
            _ = table.counted(3, CarrierCounts(up: step - 1, down: step), at: at(Int64(step) * 1000))
            let back = table.counted(3, CarrierCounts(up: step, down: step), at: at(Int64(step) * 1000 + 500))
            let flaps = "eth0 warning: up, but lost its carrier 3 times or more within 60 s"
            #expect(said(back) == [step < 3 ? "eth0 ok: up" : flaps])
        }
        #expect(table.deadline(at: at(5000)) == at(61_000))
        #expect(said(table.passed(at(60_999))) == [])
        #expect(said(table.passed(at(61_000))) == ["eth0 ok: up"])
        #expect(table.deadline(at: at(61_000)) == nil)
    }

    @Test func `switched off is critical and says so`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        let off = link("eth0", up: false, carrier: false, counts: (1, 2))
        #expect(
            said(table.changed(off, isEvent: true, at: at(5))) == ["eth0 critical: administratively down"])
    }

    @Test func `a dormant link has carrier and passes nothing`() {
        var table = table()
        var dormant = link("eth0")
        dormant.operationalState = .dormant
        let words = "eth0 critical: dormant: waiting for another event, such as authentication"
        #expect(said(table.dumped([dormant], at: at(0))) == [words])
    }

    @Test func `a found NIC that is unplugged is critical for a minute and leaves a tombstone`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        let actions = table.removed(3, at: at(5))
        #expect(actions.contains(.stopPolling(index: 3)))
        #expect(said(actions) == ["eth0 critical: removed"])
        #expect(table.deadline(at: at(6)) == at(60_005))
        #expect(table.passed(at(60_004)) == [])
        #expect(table.passed(at(60_005)) == [.forget(Subject(.nic, "eth0"))])
    }

    @Test func `a found NIC that is plugged in again within the minute goes on`() {
        var table = table()
        _ = table.dumped([link("eth0", counts: (0, 0))], at: at(0))
        for step in UInt32(1)...3 { _ = table.counted(3, CarrierCounts(up: step, down: step), at: at(10)) }
        _ = table.removed(3, at: at(20))
        let back = table.changed(link("eth0", index: 9, counts: (0, 0)), isEvent: true, at: at(30))
        #expect(said(back) == ["eth0 warning: up, but lost its carrier 3 times or more within 60 s"])
        #expect(table.passed(at(60_020)).contains(.forget(Subject(.nic, "eth0"))) == false)
    }

    @Test func `a named NIC is watched while it does not exist, comes, goes and comes back with its history`()
    {
        var table = table(include: ["eth7"])
        #expect(said(table.dumped([], at: at(0))) == ["eth7 critical: no such interface"])
        #expect(
            said(table.changed(link("eth7", counts: (0, 0)), isEvent: true, at: at(1))) == ["eth7 ok: up"])
        for step in UInt32(1)...3 { _ = table.counted(3, CarrierCounts(up: step, down: step), at: at(10)) }
        #expect(said(table.removed(3, at: at(20))) == ["eth7 critical: removed"])
        let back = table.changed(link("eth7", index: 9, counts: (0, 0)), isEvent: true, at: at(30))
        #expect(said(back) == ["eth7 warning: up, but lost its carrier 3 times or more within 60 s"])
    }

    @Test func `a dump that misses a link means that it is gone`() {
        var table = table(include: ["eth0"])
        _ = table.dumped([link("eth0")], at: at(0))
        #expect(said(table.dumped([], at: at(5))) == ["eth0 critical: removed"])
    }

    @Test func `a found NIC that is renamed goes on under its new name`() {
        var table = table()
        _ = table.dumped([link("eth0")], at: at(0))
        let actions = table.changed(link("wan0"), isEvent: true, at: at(5))
        #expect(said(actions) == ["eth0 forgotten", "wan0 ok: up"])
        #expect(actions.contains(.stopPolling(index: 3)))
        #expect(actions.contains(.poll(index: 3, name: "wan0")))
    }

    @Test func `a named NIC that is renamed says where it went`() {
        var table = table(include: ["eth0"])
        _ = table.dumped([link("eth0")], at: at(0))
        let actions = table.changed(link("wan0"), isEvent: true, at: at(5))
        #expect(said(actions) == ["eth0 critical: renamed to wan0", "wan0 ok: up"])
    }

    @Test func `a missing NIC that is plugged in under another name is known by its permanent address`() {
        var table = table(include: ["eth0"])
        _ = table.dumped([link("eth0", permanent: "02:00:00:00:00:01")], at: at(0))
        _ = table.removed(3, at: at(5))
        let other = link("eth5", index: 8, permanent: "02:00:00:00:00:01")
        #expect(
            said(table.changed(other, isEvent: true, at: at(6))).contains("eth0 critical: renamed to eth5"))
    }

    @Test func `a NIC that a path needs is watched, whatever it is`() {
        var table = table(required: ["tap0"])
        #expect(said(table.dumped([link("tap0", kind: "tun")], at: at(0))) == ["tap0 ok: up"])
    }

    @Test func `a reload keeps what is still watched and buries what is not`() {
        var table = table(include: ["isp-a", "isp-b"])
        let links = [link("isp-a", index: 3, kind: "veth"), link("isp-b", index: 4, kind: "veth")]
        _ = table.dumped(links, at: at(0))
        var options = NICOptions()
        options.include = ["isp-a", "isp-c"]
        let actions = table.reconfigure(options, required: [], at: at(5))
        #expect(said(actions) == ["isp-b forgotten", "isp-c critical: no such interface"])
    }

    @Test func `excluded names are never watched`() {
        var options = NICOptions()
        options.include = ["eth*"]
        options.exclude = ["eth1"]
        var table = NICTable(options: options, required: [])
        #expect(said(table.dumped([link("eth0"), link("eth1", index: 4)], at: at(0))) == ["eth0 ok: up"])
    }

    @Test(arguments: [
        ("eth0", "eth0", true), ("eth*", "eth10", true), ("*", "x", true), ("*-a", "isp-a", true),
        ("*-a", "isp-b", false), ("e*h*0", "eth10", true), ("eth", "eth0", false), ("", "", true),
        ("a*a", "a", false),
    ])
    func `patterns match as shells do`(pattern: String, name: String, fits: Bool) {
        #expect(NamePattern(pattern).matches(name) == fits)
    }
}
