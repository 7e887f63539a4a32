// The shell of all UPSes: servers and drivers' sockets in, the machines' verdicts out. A UPS that is heard by its
// driver's socket is judged by that, since the server's polls lag behind it; a forced shutdown the server alone tells.
import Basics
public import Configuration
import Detection
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches UPSes through NUT.
public final class UPSWatcher: Watcher {
    /// UPSes beyond this many are left out, and the log says so.
    static let mostWatched = 64

    private struct Watched {
        var machine: UPSMachine
        var voices = UPSVoices()
        var link: UPSDriverLink?
        var search = DriverSearch()
        let origin: Origin
    }

    /// Where UPSes are asked for.
    private struct Origin: Hashable {
        let server: UPSServerOptions
        /// Looked for on this host, and not configured.
        let isLocal: Bool

        func subject(_ ups: String) -> Subject {
            Subject(.ups, isLocal ? ups : "\(ups)@\(server.host)")
        }
    }

    private let context: WatcherContext
    private var options: UPSOptions
    private var servers: [Origin: UPSServer] = [:]
    private var upses: [Subject: Watched] = [:]
    /// What the server of this host has.
    private var servedHere: [String] = []
    private var groups: [UPSGroup] = []
    private var toldGroups: [Subject: String] = [:]
    /// Why the host was said to go.
    private var toldGasp: String?
    private var timer: Timer?
    /// Words that made no sense, from all servers and drivers.
    private var malformed: UInt64 = 0

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.ups
        timer = try Timer(context.loop, accuracy: .milliseconds(50)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        let (new, old) = (options.ups, self.options)
        guard new != old else { return }
        self.options = new
        let wanted = origins
        servers = servers.filter { wanted.contains($0.key) && new.pollEvery == old.pollEvery }
        for (subject, watched) in upses where !wanted.contains(watched.origin) {
            upses[subject] = nil
            context.forget(subject)
        }
        if new.driverFolder != old.driverFolder { listenAgain() }
        for subject in upses.keys {
            tell(subject, upses[subject]?.machine.limit(limits, at: context.loop.now))
        }
        arrange()
        tellGasp()
        timer?.arm(at: deadline)
    }

    public func sample() {
        for watched in upses.values {
            let values = watched.machine.verdict(at: context.loop.now).values
            context.sample(Sample(watched.machine.subject, values))
        }
    }

    private var origins: [Origin] {
        guard options.enabled else { return [] }
        let local = Origin(server: UPSServerOptions(host: "127.0.0.1"), isLocal: true)
        return (options.discover ? [local] : []) + options.servers.map { Origin(server: $0, isLocal: false) }
    }

    private var limits: UPSLimits {
        var limits = UPSLimits()
        limits.hostNeeds = options.hostNeeds
        limits.staleDwell = options.staleDwell
        return limits
    }

    /// Brings groups and servers in line with the options; what they do not change lives on.
    private func arrange() {
        let before = groups.map(\.subject)
        groups = (options.enabled ? options.groups : []).map { group in
            UPSGroup(
                Subject(.ups, group.name), members: group.members.map { Subject(.ups, $0) },
                required: group.required)
        }
        for subject in before where !groups.contains(where: { $0.subject == subject }) {
            toldGroups[subject] = nil
            context.forget(subject)
        }
        tellGroups()
        for origin in origins where servers[origin] == nil { serve(origin) }
    }

    private func serve(_ origin: Origin) {
        let server = origin.server
        // A server that was configured is missed from the start; one that is only looked for is not.
        if !origin.isLocal {
            for name in server.upses { _ = watch(name, origin) }
        }
        if let trouble = server.passwordTrouble {
            return context.logger.event(
                .watchedWithLess, "ups server \(server.host): not watching it until a reload: \(trouble)")
        }
        do throws(SystemError) {
            let password = server.password?.text
            let made = try UPSServer(context, server, password: password, pollEvery: options.pollEvery) {
                [unowned self] news in took(news, from: origin)
            }
            servers[origin] = made
            made.start()
        } catch {
            context.logger.event(
                .watchedWithLess, "ups server \(server.host): \(error), not watching it")
        }
    }

}

// MARK: - News

extension UPSWatcher {
    private func took(_ news: UPSNews, from origin: Origin) {
        let now = context.loop.now
        switch news {
        case .variables(let ups, let variables):
            guard let subject = watch(ups, origin, driver: variables["driver.name"]) else { return }
            let pushed = upses[subject]?.voices.polled(variables) ?? nil
            guard let judged = isPushed(subject) ? pushed : variables else { return }
            tell(subject, upses[subject]?.machine.read(judged, at: now))
        case .trouble(let ups, let kind):
            guard let subject = watch(ups, origin), !isPushed(subject) else { return }
            let trouble: UPSTrouble =
                switch kind {
                case .stale: .stale
                case .driver(let reason): .driver(reason)
                }
            tell(subject, upses[subject]?.machine.troubled(trouble, at: now))
        case .lost(let reason):
            for subject in upses.keys where upses[subject]?.origin == origin && !isPushed(subject) {
                tell(subject, upses[subject]?.machine.troubled(.transport(reason), at: now))
            }
        case .served(let names):
            if origin.isLocal { servedHere = names }
            if origin.server.upses.isEmpty { forgetOthers(than: names, of: origin) }
        case .malformed(let text):
            malformed &+= 1
            if malformed <= 10 {
                context.logger.event(
                    .malformedInput, "ups server \(origin.server.host): \"\(text.prefix(80))\", ignoring")
            }
        }
        timer?.arm(at: deadline)
    }

    /// What a server has no longer, and nobody named, is watched no longer.
    private func forgetOthers(than names: [String], of origin: Origin) {
        let served = Set(names.map { origin.subject($0) })
        for (subject, watched) in upses where watched.origin == origin && !served.contains(subject) {
            upses[subject] = nil
            context.forget(subject)
        }
        tellGroups()
        tellGasp()
    }

    private func isPushed(_ subject: Subject) -> Bool { upses[subject]?.link?.isOpen ?? false }

    /// Begins to watch a UPS, if that is not done yet; `nil`: there are too many.
    ///
    /// - Parameter driver: what its server calls its driver.
    private func watch(_ ups: String, _ origin: Origin, driver: String? = nil) -> Subject? {
        let subject = origin.subject(ups)
        guard upses[subject] == nil else {
            if upses[subject]?.search.named(driver) == true { listenAgain(to: subject) }
            return subject
        }
        guard upses.count < UPSWatcher.mostWatched else {
            context.limited.event(
                .watchedWithLess, key: "ups",
                "more than \(UPSWatcher.mostWatched) UPSes, not watching \(subject)")
            return nil
        }
        var machine = UPSMachine(subject, limits: limits)
        let verdict = machine.started(at: context.loop.now)
        var watched = Watched(machine: machine, origin: origin)
        _ = watched.search.named(driver)
        upses[subject] = watched
        tell(subject, verdict)
        listen(to: subject)
        return subject
    }

    /// Looks for the driver of a UPS that is not heard by it, now and then. One whose socket does not answer is tried
    /// again by itself.
    private func listen(to subject: Subject) {
        guard let watched = upses[subject], watched.origin.isLocal, !isPushed(subject),
            upses[subject]?.search.isDue(at: context.loop.now) == true,
            let names = try? Files.names(in: options.driverFolder),
            let name = upses[subject]?.search.socket(of: subject.name, among: names, served: servedHere)
        else { return }
        let path = "\(options.driverFolder)/\(name)"
        guard path != watched.link?.path else { return }
        do throws(SystemError) {
            let link = try UPSDriverLink(context, path: path) { [unowned self] in pushed(subject, $0) }
            upses[subject]?.link = link
            link.start()
        } catch {
            context.logger.event(.watchedWithLess, level: .info, "\(subject): \(error); polled only")
        }
    }

    /// Their sockets are elsewhere.
    private func listenAgain() {
        for (subject, watched) in upses where watched.origin.isLocal { listenAgain(to: subject) }
    }

    /// Its driver is another one, or elsewhere.
    private func listenAgain(to subject: Subject) {
        upses[subject]?.link = nil
        upses[subject]?.voices.silenced()
        upses[subject]?.search.restart()
        listen(to: subject)
    }

    private func pushed(_ subject: Subject, _ event: DriverEvent?) {
        let now = context.loop.now
        switch event {
        case .variables(let variables):
            guard let judged = upses[subject]?.voices.pushed(variables) else { return }
            tell(subject, upses[subject]?.machine.read(judged, at: now))
        case .malformed: malformed &+= 1
        case .stale:
            upses[subject]?.voices.silenced()
            tell(subject, upses[subject]?.machine.troubled(.stale, at: now))
        // The server's next poll says how it is.
        case nil:
            upses[subject]?.voices.silenced()
            tell(subject, upses[subject]?.machine.troubled(.driver("its socket closed"), at: now))
        }
        timer?.arm(at: deadline)
    }
}

// MARK: - Telling

extension UPSWatcher {
    private var deadline: Instant? {
        let machines = upses.values.compactMap(\.machine.deadline).min()
        let searches = upses.filter { $0.value.origin.isLocal && !isPushed($0.key) }
        return [machines, searches.values.map(\.search.next).min()].compactMap(\.self).min()
    }

    private func tick() {
        for subject in upses.keys.sorted(by: { $0.name < $1.name }) {
            tell(subject, upses[subject]?.machine.tick(at: context.loop.now))
            listen(to: subject)
        }
        timer?.arm(at: deadline)
    }

    private func tell(_ subject: Subject, _ verdict: UPSMachine.Verdict??) {
        guard let verdict = verdict ?? nil else { return }
        context.report(Finding(subject, verdict.status, verdict.reason, values: verdict.values))
        tellGroups()
        tellGasp()
    }

    private func tellGasp() {
        let now = context.loop.now
        let reason = UPSGasp.reason(upses.mapValues { $0.machine.verdict(at: now) }, groups: groups)
        guard (reason == nil) != (toldGasp == nil) else { return }
        toldGasp = reason
        context.hostGoes(because: reason)
    }

    private func tellGroups() {
        guard !groups.isEmpty else { return }
        let now = context.loop.now
        let statuses = upses.mapValues { $0.machine.verdict(at: now).status }
        for group in groups {
            let (status, reason) = group.verdict(of: statuses)
            let words = "\(status) \(reason)"
            guard toldGroups[group.subject] != words else { continue }
            toldGroups[group.subject] = words
            context.report(Finding(group.subject, status, reason))
        }
    }
}
