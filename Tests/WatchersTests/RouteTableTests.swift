// Next hops from routes.
import Basics
import Testing

@testable import Watchers

struct RouteTableTests {
    private let gatewayA = IPAddress.v4(IPv4Address(number: 0xC000_0201))
    private let gatewayB = IPAddress.v4(IPv4Address(number: 0xC633_6401))

    private func link(_ index: Int32, _ name: String) -> LinkMessage {
        var link = LinkMessage(index: index)
        link.name = name
        return link
    }

    private func route(_ gateway: IPAddress, via index: Int32, prefix: UInt8 = 0, metric: UInt32 = 0)
        -> RouteMessage
    {
        RouteMessage(
            destination: .v4(.any), prefixLength: prefix, metric: metric,
            hops: [.init(index: index, gateway: gateway)])
    }

    private func table() -> RouteTable {
        var dump = NetworkDump()
        dump.links = [link(3, "isp-a"), link(4, "isp-b")]
        dump.routes = [route(gatewayB, via: 4, metric: 200), route(gatewayA, via: 3, metric: 100)]
        dump.addresses = [
            AddressMessage(index: 3, prefixLength: 24, local: .v4(IPv4Address(number: 7)))
        ]
        var table = RouteTable()
        table.picture(dump)
        return table
    }

    @Test func `the preferred default route comes first`() {
        let table = table()
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayA, gatewayB])
        #expect(table.nextHop(on: nil, .v4)?.gateway == gatewayA)
        #expect(table.nextHop(on: "isp-b", .v4)?.gateway == gatewayB)
        #expect(table.nextHop(on: "eth9", .v4) == nil)
    }

    @Test func `a link without a default route has the next hop of its widest route`() {
        var table = RouteTable()
        var dump = NetworkDump()
        dump.links = [link(3, "isp-a")]
        dump.routes = [route(gatewayA, via: 3, prefix: 24), route(gatewayB, via: 3, prefix: 16)]
        table.picture(dump)
        #expect(table.nextHop(on: "isp-a", .v4)?.gateway == gatewayB)
    }

    @Test func `routes and links come and go`() {
        var table = table()
        #expect(table.changed(.routeRemoved(route(gatewayA, via: 3, metric: 100))) == nil)
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayB])
        _ = table.changed(.linkRemoved(link(4, "isp-b")))
        #expect(table.defaultHops(.v4).isEmpty)
    }

    @Test func `a route takes the place of the one of its prefix and metric, and only of that`() {
        var table = table()
        let gatewayC = IPAddress.v4(IPv4Address(number: 0xC000_02FE))
        let replaced = RouteNetlinkMessage.routeReplaced(route(gatewayC, via: 3, metric: 100))
        _ = table.changed(replaced)
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayC, gatewayB])
        #expect(replaced.leavesDefaultRouteInDoubt)
        _ = table.changed(
            .routeReplaced(RouteMessage(destination: .v4(.any), prefixLength: 0, metric: 100, hops: [])))
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayB])
        #expect(
            !RouteNetlinkMessage.routeReplaced(route(gatewayC, via: 3, prefix: 24)).leavesDefaultRouteInDoubt)
    }

    @Test func `a default route has its place beside as many others as are kept`() {
        var table = RouteTable()
        for number in 0...UInt32(RouteTable.mostOthers) {
            var other = route(gatewayB, via: 4, prefix: 32)
            other.destination = .v4(IPv4Address(number: number))
            _ = table.changed(.route(other))
        }
        _ = table.changed(.route(route(gatewayA, via: 3)))
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayA])
        for metric in 1...UInt32(RouteTable.mostDefaults) {
            _ = table.changed(.route(route(gatewayB, via: 4, metric: metric)))
        }
        _ = table.changed(.routeRemoved(route(gatewayA, via: 3)))
        #expect(table.defaultHops(.v4).map(\.gateway) == [gatewayB])
    }

    @Test func `only another address is a change of address`() {
        var table = table()
        let same = AddressMessage(index: 3, prefixLength: 24, local: .v4(IPv4Address(number: 7)))
        let other = AddressMessage(index: 3, prefixLength: 24, local: .v4(IPv4Address(number: 8)))
        #expect(table.changed(.address(same)) == nil)
        #expect(table.changed(.address(other)) == .init(index: 3, family: .v4))
        #expect(table.changed(.addressRemoved(other)) == .init(index: 3, family: .v4))
        #expect(table.changed(.addressRemoved(other)) == nil)
    }

    @Test func `a reply is matched to the kernel's stamp of its probe`() {
        var log = DepartureLog()
        let (gatewayA, gatewayB) = (IPAddress.v4(.loopback), IPAddress.v6(.loopback))
        for sequence in UInt16(0)..<300 {
            log.sent(to: gatewayA, sequence: sequence, at: WallTime(nanoseconds: 4))
        }
        log.departed(299, at: WallTime(nanoseconds: 5))
        log.departed(1, at: WallTime(nanoseconds: 6))
        #expect(log.departure(to: gatewayA, sequence: 299) == WallTime(nanoseconds: 5))
        // Without a stamp, when it was handed to the kernel.
        #expect(log.departure(to: gatewayA, sequence: 298) == WallTime(nanoseconds: 4))
        #expect(log.departure(to: gatewayB, sequence: 299) == nil)
        #expect(log.departure(to: gatewayA, sequence: 1) == nil)
    }
}
