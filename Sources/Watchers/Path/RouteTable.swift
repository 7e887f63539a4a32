// The next hops of the host, from routes: where a path without targets of its own sends its probes.
import Basics

/// The routes over next hops, and the addresses of each link.
struct RouteTable: Hashable, Sendable {
    /// Default routes beyond this many are ignored.
    static let mostDefaults = 1024
    /// Other routes beyond this many are ignored.
    static let mostOthers = 65_536

    /// A next hop, of a default route where there is one.
    struct DefaultHop: Hashable, Sendable {
        var index: Int32
        var gateway: IPAddress
        var metric: UInt32
    }

    /// Routes up to a number.
    private struct Routes: Hashable {
        let most: Int
        private(set) var byKey: [RouteMessage.Key: Set<RouteMessage>] = [:]
        private var count = 0

        init(most: Int) { self.most = most }

        var all: some Sequence<RouteMessage> { byKey.values.joined() }

        mutating func insert(_ route: RouteMessage) {
            guard count < most, byKey[route.key, default: []].insert(route).inserted else { return }
            count += 1
        }

        mutating func remove(_ route: RouteMessage) {
            guard byKey[route.key]?.remove(route) != nil else { return }
            count -= 1
            if byKey[route.key]?.isEmpty == true { byKey[route.key] = nil }
        }

        mutating func removeAll(like route: RouteMessage) {
            for old in byKey[route.key] ?? [] { remove(old) }
        }

        mutating func removeAll(over index: Int32) {
            for route in all.filter({ $0.hops.contains { $0.index == index } }) { remove(route) }
        }
    }

    /// Apart from the others, of which a router may have very many, and with a bound of their own.
    private var defaults = Routes(most: mostDefaults)
    private var others = Routes(most: mostOthers)
    private var names: [Int32: String] = [:]
    private var addresses: [Int32: Set<IPAddress>] = [:]

    init() {}

    /// Everything anew.
    mutating func picture(_ dump: NetworkDump) {
        (defaults, others) = (Routes(most: RouteTable.mostDefaults), Routes(most: RouteTable.mostOthers))
        for route in dump.routes { insert(route) }
        names = Dictionary(dump.links.map { ($0.index, $0.name) }) { _, last in last }
        addresses = [:]
        for address in dump.addresses { addresses[address.index, default: []].insert(address.local) }
    }

    /// A link whose addresses of a family changed.
    struct AddressChange: Hashable, Sendable {
        var index: Int32
        var family: IPFamily
    }

    /// One piece of news; returns whose addresses changed.
    mutating func changed(_ message: RouteNetlinkMessage) -> AddressChange? {
        switch message {
        case .link(let link): names[link.index] = link.name
        case .linkRemoved(let link):
            // The kernel drops a link's IPv4 routes without a word for each.
            names[link.index] = nil
            addresses[link.index] = nil
            removeRoutes(over: link.index)
        case .route(let route): insert(route)
        case .routeRemoved(let route): remove(route)
        case .routeReplaced(let route):
            route.isDefault ? defaults.removeAll(like: route) : others.removeAll(like: route)
            insert(route)
        case .address(let address):
            return addresses[address.index, default: []].insert(address.local).inserted
                ? AddressChange(address) : nil
        case .addressRemoved(let address):
            return addresses[address.index]?.remove(address.local) == nil ? nil : AddressChange(address)
        case .statistics, .neighbour, .done, .failed, .overrun, .other: break
        }
        return nil
    }

    private mutating func insert(_ route: RouteMessage) {
        guard !route.hops.isEmpty else { return }
        route.isDefault ? defaults.insert(route) : others.insert(route)
    }

    private mutating func remove(_ route: RouteMessage) {
        route.isDefault ? defaults.remove(route) : others.remove(route)
    }

    private mutating func removeRoutes(over index: Int32) {
        defaults.removeAll(over: index)
        others.removeAll(over: index)
    }

    func name(of index: Int32) -> String? { names[index] }

    /// Next hops of default routes, the preferred ones first.
    func defaultHops(_ family: IPFamily) -> [DefaultHop] {
        var hops: [DefaultHop] = []
        for route in defaults.all where route.family == family {
            for hop in route.hops {
                let found = DefaultHop(index: hop.index, gateway: hop.gateway, metric: route.metric)
                if !hops.contains(where: { $0.index == hop.index && $0.gateway == hop.gateway }) {
                    hops.append(found)
                }
            }
        }
        return hops.sorted {
            ($0.metric, $0.index, $0.gateway) < ($1.metric, $1.index, $1.gateway)
        }
    }

    /// The next hop on a link of this name: of a default route if there is one, else of the shortest prefix;
    /// without a name, of the preferred default route.
    func nextHop(on name: String?, _ family: IPFamily) -> DefaultHop? {
        let hops = defaultHops(family)
        guard let name else { return hops.first }
        if let hop = hops.first(where: { names[$0.index] == name }) { return hop }
        let candidates = others.all.filter { $0.family == family }.flatMap { route in
            route.hops.filter { names[$0.index] == name }.map { (route, $0) }
        }
        let widest = candidates.min {
            ($0.0.prefixLength, $0.0.metric, $0.1.gateway) < (
                $1.0.prefixLength, $1.0.metric, $1.1.gateway
            )
        }
        return widest.map { DefaultHop(index: $0.1.index, gateway: $0.1.gateway, metric: $0.0.metric) }
    }
}

extension RouteTable.AddressChange {
    init(_ message: AddressMessage) {
        self.init(index: message.index, family: message.local.family)
    }
}
