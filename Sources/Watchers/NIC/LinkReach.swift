// The addresses and default routes of each link: which ones it had and lost. A link that is up without its address
// carries nothing, and the kernel says so only in passing.
import Basics

/// The addresses and default routes of all links.
struct LinkReach: Hashable, Sendable {
    /// A default route that moved to another link so shortly before or after is no loss.
    private static let moveWindow: Duration = .seconds(10)
    /// Links and routes beyond so many are not followed.
    private static let most = 65_536

    /// What a link has of one kind, such as its IPv4 addresses.
    private struct Held: Hashable {
        var present: Set<IPAddress> = []
        var lost: Loss?
        /// When it got the first one after it had none; `nil`: it had it when we came.
        var gainedAt: Instant?

        mutating func set(_ next: Set<IPAddress>, at now: Instant?) {
            if next.isEmpty, let now, let last = present.subtracting(next).min() {
                lost = Loss(address: last, since: now)
            }
            if !next.isEmpty {
                lost = nil
                if present.isEmpty { gainedAt = now }
            }
            present = next
        }
    }

    private struct Loss: Hashable {
        var address: IPAddress
        var since: Instant
    }

    private struct Key: Hashable {
        var index: Int32
        var family: IPFamily
    }

    private var addresses: [Key: Held] = [:]
    private var gateways: [Key: Held] = [:]
    private var routes: Set<RouteMessage> = []
    private var isComplete = false

    init() {}
}

// MARK: - Events

extension LinkReach {
    /// Everything anew.
    mutating func picture(_ dump: NetworkDump, at now: Instant) {
        let when = isComplete ? now : nil
        var found: [Key: Set<IPAddress>] = [:]
        for address in dump.addresses.prefix(LinkReach.most) where !address.local.isLinkLocal {
            let key = Key(index: address.index, family: address.local.family)
            found[key, default: []].insert(address.local)
        }
        for key in Set(addresses.keys).union(found.keys) {
            addresses[key, default: Held()].set(found[key] ?? [], at: when)
        }
        routes = Set(dump.routes.filter(\.isDefault).prefix(LinkReach.most))
        settleRoutes(at: when)
        let known = Set(dump.links.map(\.index))
        addresses = addresses.filter { known.contains($0.key.index) }
        gateways = gateways.filter { known.contains($0.key.index) }
        isComplete = true
    }

    /// One piece of news; returns the links whose state may be another one, now or after the dwell.
    mutating func changed(_ message: RouteNetlinkMessage, at now: Instant) -> [Int32] {
        switch message {
        case .address(let address): return changed(address, isPresent: true, at: now)
        case .addressRemoved(let address): return changed(address, isPresent: false, at: now)
        case .route(let route) where route.isDefault && routes.count < LinkReach.most:
            routes.insert(route)
            return settleRoutes(at: now)
        case .routeRemoved(let route) where route.isDefault:
            routes.remove(route)
            return settleRoutes(at: now)
        case .routeReplaced(let route) where route.isDefault:
            routes = routes.filter { $0.key != route.key }
            if !route.hops.isEmpty { routes.insert(route) }
            return settleRoutes(at: now)
        case .linkRemoved(let link):
            for family in IPFamily.allCases {
                addresses[Key(index: link.index, family: family)] = nil
                gateways[Key(index: link.index, family: family)] = nil
            }
            routes = routes.filter { route in !route.hops.contains { $0.index == link.index } }
        case .link, .route, .routeRemoved, .routeReplaced, .statistics, .neighbour, .done, .failed, .overrun,
            .other:
            break
        }
        return []
    }

    private mutating func changed(_ message: AddressMessage, isPresent: Bool, at now: Instant) -> [Int32] {
        guard !message.local.isLinkLocal else { return [] }
        let key = Key(index: message.index, family: message.local.family)
        guard addresses[key] != nil || addresses.count < LinkReach.most else { return [] }
        let held = addresses[key, default: Held()]
        var next = held.present
        if isPresent {
            if next.count < LinkReach.most { next.insert(message.local) }
        } else {
            next.remove(message.local)
        }
        guard next != held.present else { return [] }
        addresses[key, default: Held()].set(next, at: now)
        return [message.index]
    }

    @discardableResult
    private mutating func settleRoutes(at now: Instant?) -> [Int32] {
        var found: [Key: Set<IPAddress>] = [:]
        for route in routes {
            for hop in route.hops {
                found[Key(index: hop.index, family: route.family), default: []].insert(hop.gateway)
            }
        }
        var changed: [Int32] = []
        for key in Set(gateways.keys).union(found.keys) where gateways[key]?.present != found[key] ?? [] {
            gateways[key, default: Held()].set(found[key] ?? [], at: now)
            changed.append(key.index)
        }
        return changed
    }
}

// MARK: - Verdicts

extension LinkReach {
    /// What a link has lost for `dwell` or longer, in words. What was lost before `upSince` counts from there: a
    /// link gets its addresses back only when it is up.
    func losses(of index: Int32, upSince: Instant, dwell: Duration, at now: Instant) -> [String] {
        standing(index).filter { max($0.loss.since, upSince) + dwell <= now }.map(\.words)
    }

    /// When `losses` may say more than it does now.
    func deadline(of index: Int32, upSince: Instant, dwell: Duration, at now: Instant) -> Instant? {
        standing(index).map { max($0.loss.since, upSince) + dwell }.filter { $0 > now }.min()
    }

    private func standing(_ index: Int32) -> [(loss: Loss, words: String)] {
        var found: [(loss: Loss, words: String)] = []
        for family in IPFamily.allCases {
            let key = Key(index: index, family: family)
            if let loss = addresses[key]?.lost {
                found.append((loss, "has lost its last \(family) address \(loss.address)"))
            } else if let loss = gateways[key]?.lost, !hasMoved(loss, key) {
                found.append((loss, "has lost its \(family) default route via \(loss.address)"))
            }
        }
        return found
    }

    /// Another link has got a default route about when this one lost its own.
    private func hasMoved(_ loss: Loss, _ key: Key) -> Bool {
        gateways.contains { other, held in
            other.family == key.family && other.index != key.index && !held.present.isEmpty
                && held.gainedAt.map { $0 + LinkReach.moveWindow >= loss.since } ?? false
        }
    }
}
