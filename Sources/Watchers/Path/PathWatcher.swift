// The shell of all paths: one timer for every tick, routes and links from the kernel, and which paths there
// are: those of the configuration, and one per default route that none of them covers.
import Basics
public import Configuration
public import Linux
import Reactor
import Wire

/// Watches the ways out of the host.
public final class PathWatcher: Watcher {
    /// A found path whose default route has gone for so long, with its link up or gone, is forgotten. With the
    /// link down its loss is what there is to tell.
    private static let forgetAfter: Duration = .seconds(10)

    private let context: WatcherContext
    private var options: PathOptions
    private var routes = RouteTable()
    private var hasPicture = false
    private var probers: [String: PathProber] = [:]
    private var discovered: [String: ISPOptions] = [:]
    private var routeGoneAt: [String: Instant] = [:]
    private var timer: Timer?

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.path
        timer = try Timer(context.loop, accuracy: .microseconds(200)) { [unowned self] in wake() }
        context.network.listen { [unowned self] in heard($0) }
        context.links.onChange = { [unowned self] in linkChanged($0) }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        self.options = options.path
        arrange()
    }

    public func sample() {
        let now = context.loop.now
        let gone = routeGoneAt.filter { now - $0.value >= PathWatcher.forgetAfter && mayForget($0.key) }
        if !gone.isEmpty {
            for name in gone.keys {
                discovered[name] = nil
                routeGoneAt[name] = nil
            }
            arrange()
        }
        for name in probers.keys.sorted() { probers[name]?.sample() }
        arm()
    }

    public func record() {
        for prober in probers.values { context.record(prober.machine.reading) }
    }

    private func mayForget(_ name: String) -> Bool {
        guard let interface = discovered[name]?.interface else { return true }
        switch context.links[interface].condition {
        case .up, .missing: return true
        case .unknown, .noCarrier, .administrativelyDown, .withheld: return false
        }
    }
}

// MARK: - Events

extension PathWatcher {
    private func wake() {
        let now = context.loop.now
        for prober in probers.values where prober.deadline <= now { prober.wake(at: now) }
        arm()
    }

    private func arm() { timer?.arm(at: probers.values.map(\.deadline).min()) }

    private func linkChanged(_ name: String) {
        for prober in probers.values where prober.options.interface == name { prober.linkChanged() }
        arm()
    }

    private func heard(_ news: NetworkNews) {
        switch news {
        case .picture(let dump):
            hasPicture = true
            routes.picture(dump)
            arrange()
        case .message(let message):
            guard let change = routes.changed(message) else {
                if message.isAboutRoutes { arrange() }
                return
            }
            guard change.family == .v4 else { return }
            let name = routes.name(of: change.index)
            for prober in probers.values where prober.options.interface == name { prober.addressesChanged() }
        }
    }
}

// MARK: - Which paths there are

extension PathWatcher {
    /// Brings the probers in line with options and routes; those whose options are the same live on.
    private func arrange() {
        discover()
        var wanted: [String: ISPOptions] = [:]
        if options.enabled {
            for isp in options.isps { wanted[isp.name] = isp }
            for (name, found) in discovered where wanted[name] == nil { wanted[name] = found }
        }
        context.links.require(wanted.values.compactMap(\.interface))
        for (name, prober) in probers where wanted[name] != prober.options {
            probers[name] = nil
            if wanted[name] == nil { context.forget(prober.subject) }
        }
        for name in wanted.keys.sorted() {
            // Before the first picture nobody knows whether there is a next hop.
            guard let isp = wanted[name], hasPicture || !isp.targets.isEmpty else { continue }
            let targets = targets(of: isp)
            if let prober = probers[name] {
                prober.retarget(targets)
            } else {
                probers[name] = PathProber(context, isp, targets: targets)
            }
        }
        arm()
    }

    /// The addresses that a path probes, without repetition.
    private func targets(of isp: ISPOptions) -> [IPv4Address] {
        var targets: [IPv4Address] = []
        for target in isp.targets.compactMap({ IPv4Address($0) }) where !targets.contains(target) {
            targets.append(target)
        }
        guard isp.targets.isEmpty, hasPicture else { return targets }
        if let hop = routes.nextHop(on: isp.interface, .v4)?.asIPv4 { return [hop] }
        // The route went with its link: what was probed before is still the way.
        return probers[isp.name]?.machine.targets.map(\.address) ?? []
    }

    /// Finds a path per default route on a link that no configured path covers.
    private func discover() {
        guard options.enabled, options.discover, hasPicture else {
            if !options.discover || !options.enabled { discovered = [:] }
            return
        }
        let covered = Set(options.isps.compactMap(\.interface))
        discovered = discovered.filter { !covered.contains($0.value.interface ?? "") }
        var routed: Set<String> = []
        for hop in routes.defaultHops(.v4) {
            guard let gateway = hop.gateway.asIPv4, let interface = routes.name(of: hop.index),
                !covered.contains(interface)
            else { continue }
            let name = name(ofPathVia: gateway, on: interface, taken: routed)
            routed.insert(name)
            discovered[name] = PathWatcher.options(named: name, via: gateway, on: interface)
            routeGoneAt[name] = nil
        }
        for name in discovered.keys where !routed.contains(name) && routeGoneAt[name] == nil {
            routeGoneAt[name] = context.loop.now
        }
    }

    /// The interface's name; with the next hop where that is taken.
    private func name(ofPathVia gateway: IPv4Address, on interface: String, taken: Set<String>) -> String {
        let isTaken = taken.contains(interface) || options.isps.contains { $0.name == interface }
        return isTaken ? "\(interface)-\(gateway)" : interface
    }

    /// A stranger's router is asked once a second and no more.
    private static func options(named name: String, via gateway: IPv4Address, on interface: String)
        -> ISPOptions
    {
        var options = ISPOptions(name: name, interface: interface, targets: [gateway.description])
        options.probeEvery = .seconds(1)
        options.lossAfter = .seconds(1)
        options.downAfter = .seconds(4)
        options.downAfterProbes = 4
        options.upAfterReplies = 2
        return options
    }
}

extension RouteNetlinkMessage {
    /// Whether next hops may be others after it.
    fileprivate var isAboutRoutes: Bool {
        switch self {
        case .route, .routeRemoved, .linkRemoved: true
        case .link, .address, .addressRemoved, .statistics, .neighbour, .done, .failed, .overrun, .other:
            false
        }
    }
}
