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
    /// Next hops that are asked for at once.
    private static let mostQuestions = 8

    private let context: WatcherContext
    private var options: PathOptions
    private var routes = RouteTable()
    private var hasPicture = false
    private var probers: [String: PathProber] = [:]
    private var discovered: [String: ISPOptions] = [:]
    private var routeGoneAt: [String: Instant] = [:]
    private var site = SiteMachine(Subject(.path, PathOptions.summary))
    private var hasSite = false
    private var timer: Timer?
    /// After a turn's news of default routes.
    private var arranger: DeferredSource?
    /// Other routes have changed: a router's may do so without end, and wait for the next sample.
    private var hasOtherRoutes = false

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.path
        timer = try Timer(context.loop, accuracy: .microseconds(200)) { [unowned self] in wake() }
        arranger = try DeferredSource(context.loop) { [unowned self] in arrange() }
        context.network.listen { [unowned self] in heard($0) }
        context.links.onChange = { [unowned self] in linkChanged($0) }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        if options.path != self.options { site.restart() }
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
        } else if hasOtherRoutes {
            arrange()
        }
        for name in probers.keys.sorted() { probers[name]?.sample() }
        askForNextHops()
        if let finding = judgeSite() { context.sample(Sample(finding.subject, finding.values)) }
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
                switch message.routes {
                case .defaults: arranger?.arm()
                case .others: hasOtherRoutes = true
                case nil: break
                }
                return
            }
            let name = routes.name(of: change.index)
            for prober in probers.values where prober.probes(change.family) {
                // What leaves as routed may leave by any link.
                if prober.options.interface == nil || prober.options.interface == name {
                    prober.lookAtSources()
                }
            }
        }
    }
}

// MARK: - Which paths there are

extension PathWatcher {
    /// Brings the probers in line with options and routes; those whose options are the same live on.
    private func arrange() {
        hasOtherRoutes = false
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
                probers[name] = PathProber(context, isp, targets: targets) { [unowned self] in judgeSite() }
            }
        }
        judgeSite()
        arm()
    }

    /// Whom a path probes, without repetition.
    private func targets(of isp: ISPOptions) -> [ProbeTarget] {
        var targets: [ProbeTarget] = []
        for target in isp.targets.compactMap({ ProbeTarget($0) }) where !targets.contains(target) {
            targets.append(target)
        }
        guard isp.targets.isEmpty, hasPicture else { return targets }
        for family in IPFamily.allCases {
            if let hop = routes.nextHop(on: isp.interface, family) { return [ProbeTarget(hop.gateway)] }
        }
        // The route went with its link: what was probed before is still the way.
        return probers[isp.name]?.machine.targets.map(\.target) ?? []
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
        for hop in IPFamily.allCases.flatMap({ routes.defaultHops($0) }) {
            guard let interface = routes.name(of: hop.index), !covered.contains(interface) else {
                continue
            }
            let name = name(ofPathVia: hop.gateway, on: interface, taken: routed)
            routed.insert(name)
            discovered[name] = PathWatcher.options(named: name, via: hop.gateway, on: interface)
            routeGoneAt[name] = nil
        }
        for name in discovered.keys where !routed.contains(name) && routeGoneAt[name] == nil {
            routeGoneAt[name] = context.loop.now
        }
    }

    /// The interface's name, and that it is IPv6; with the next hop where that is taken.
    private func name(ofPathVia gateway: IPAddress, on interface: String, taken: Set<String>)
        -> String
    {
        let name = gateway.family == .v4 ? interface : "\(interface)-ipv6"
        let isTaken =
            taken.contains(name) || name == PathOptions.summary
            || options.isps.contains { $0.name == name }
        return isTaken ? "\(interface)-\(gateway)" : name
    }

    /// A stranger's router is asked once a second and no more.
    private static func options(named name: String, via gateway: IPAddress, on interface: String)
        -> ISPOptions
    {
        var options = ISPOptions(name: name, interface: interface, targets: [gateway.description])
        options.probeEvery = .seconds(1)
        options.lossAfter = .seconds(1)
        options.downAfter = .seconds(4)
        options.downAfterProbes = 4
        options.upAfterReplies = 2
        options.loss.hold = options.probeEvery * options.lossWindow * 3
        return options
    }
}

// MARK: - Next hops and the site

extension PathWatcher {
    /// The next hop of a path and its link, in the family that it probes.
    private func nextHop(of prober: PathProber) -> RouteTable.DefaultHop? {
        for family in IPFamily.allCases where prober.probes(family) {
            if let hop = routes.nextHop(on: prober.options.interface, family) { return hop }
        }
        // On the link itself there is none between.
        guard let interface = prober.options.interface, let index = context.links[interface].index,
            let target = prober.machine.targets.first?.target.address
        else { return nil }
        return RouteTable.DefaultHop(index: index, gateway: target, metric: 0)
    }

    /// The worker has others to serve too: when many paths are silent, a few of them are enough to see why.
    private func askForNextHops() {
        var left = PathWatcher.mostQuestions
        for name in probers.keys.sorted() {
            guard let prober = probers[name], left > 0 || !prober.machine.isSilent else { continue }
            if prober.machine.isSilent { left -= 1 }
            askForNextHop(of: prober)
        }
    }

    /// Asks the kernel, of a path that is silent, whether its next hop tells its hardware address.
    private func askForNextHop(of prober: PathProber) {
        guard prober.machine.isSilent, let hop = nextHop(of: prober) else {
            return prober.heard(unresolved: nil)
        }
        let name = prober.options.name
        context.network.neighbour(hop.gateway, on: hop.index) { [weak self] neighbour in
            let isUnresolved = neighbour?.isUnresolved == true
            self?.probers[name]?.heard(unresolved: isUnresolved ? hop.gateway : nil)
        }
    }

    /// Tells how many ways out are left.
    @discardableResult
    private func judgeSite() -> Finding? {
        let paths = probers.keys.sorted().compactMap { name in
            probers[name].map {
                SiteMachine.Path(
                    subject: $0.subject, interface: $0.options.interface, nextHop: nextHop(of: $0)?.gateway,
                    status: $0.machine.status)
            }
        }
        guard let finding = site.judged(paths) else {
            if hasSite { context.forget(site.subject) }
            hasSite = false
            return nil
        }
        hasSite = true
        context.report(finding)
        return finding
    }
}

private enum RouteKind { case defaults, others }

extension RouteNetlinkMessage {
    /// Which routes may be others after it.
    fileprivate var routes: RouteKind? {
        switch self {
        case .linkRemoved: .defaults
        case .route(let route), .routeRemoved(let route), .routeReplaced(let route):
            route.isDefault ? .defaults : .others
        case .link, .address, .addressRemoved, .statistics, .neighbour, .done, .failed, .overrun, .other: nil
        }
    }
}
