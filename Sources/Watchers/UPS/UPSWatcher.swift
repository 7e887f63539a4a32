// The shell of all UPSes: servers and drivers' sockets in, the machines' verdicts out. A UPS that is heard by its
// driver's socket is judged by that, since the server's polls lag behind it; a forced shutdown the server alone tells.
import Basics
public import Configuration
import Detection
public import Linux
import Logging
import Reactor
import Wire

/// Watches UPSes through NUT.
public final class UPSWatcher: Watcher {
    /// UPSes beyond this many are left out, and the log says so.
    private static let mostWatched = 64

    private struct Watched {
        var machine: UPSMachine
        var voices = UPSVoices()
        var link: UPSDriverLink?
    }

    private let context: WatcherContext
    private var options: UPSOptions
    private var servers: [UPSServer] = []
    private var upses: [Subject: Watched] = [:]
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
        guard options.ups != self.options else { return }
        self.options = options.ups
        servers = []
        for subject in upses.keys { context.forget(subject) }
        for group in groups { context.forget(group.subject) }
        upses = [:]
        groups = []
        toldGroups = [:]
        if toldGasp != nil { context.hostGoes(because: nil) }
        toldGasp = nil
        arrange()
    }

    public func sample() {
        for watched in upses.values {
            let values = watched.machine.verdict(at: context.loop.now).values
            context.sample(Sample(watched.machine.subject, values))
        }
    }

    private func arrange() {
        guard options.enabled else { return }
        groups = options.groups.map { group in
            UPSGroup(
                Subject(.ups, group.name), members: group.members.map { Subject(.ups, $0) },
                required: group.required)
        }
        tellGroups()
        if options.discover { serve(UPSServerOptions(host: "127.0.0.1"), isLocal: true) }
        for server in options.servers { serve(server, isLocal: false) }
    }

    private func serve(_ server: UPSServerOptions, isLocal: Bool) {
        // A server that was configured is missed from the start; one that is only looked for is not.
        if !isLocal {
            for name in server.upses { _ = watch(subject(name, of: server, isLocal: false), driverOf: nil) }
        }
        do throws(SystemError) {
            let password = server.password?.text
            let made = try UPSServer(context, server, password: password, pollEvery: options.pollEvery) {
                [unowned self] news in took(news, from: server, isLocal: isLocal)
            }
            servers.append(made)
            made.start()
        } catch {
            context.logger.event(
                .watchedWithLess, "ups server \(server.host): \(error), not watching it")
        }
    }

    private func subject(_ ups: String, of server: UPSServerOptions, isLocal: Bool) -> Subject {
        Subject(.ups, isLocal ? ups : "\(ups)@\(server.host)")
    }
}

// MARK: - News

extension UPSWatcher {
    private func took(_ news: UPSNews, from server: UPSServerOptions, isLocal: Bool) {
        let now = context.loop.now
        switch news {
        case .variables(let ups, let variables):
            let subject = subject(ups, of: server, isLocal: isLocal)
            guard watch(subject, driverOf: isLocal ? ups : nil) else { return }
            let pushed = upses[subject]?.voices.polled(variables) ?? nil
            guard let judged = isPushed(subject) ? pushed : variables else { return }
            tell(subject, upses[subject]?.machine.read(judged, at: now))
        case .trouble(let ups, let kind):
            let subject = subject(ups, of: server, isLocal: isLocal)
            guard watch(subject, driverOf: isLocal ? ups : nil), !isPushed(subject) else { return }
            let trouble: UPSTrouble =
                switch kind {
                case .stale: .stale
                case .driver(let reason): .driver(reason)
                }
            tell(subject, upses[subject]?.machine.troubled(trouble, at: now))
        case .lost(let reason):
            for subject in upses.keys where isServed(subject, by: server, isLocal: isLocal) {
                upses[subject]?.voices.serverLost()
                guard !isPushed(subject) else { continue }
                tell(subject, upses[subject]?.machine.troubled(.transport(reason), at: now))
            }
        case .malformed(let text):
            malformed &+= 1
            if malformed <= 10 {
                context.logger.event(
                    .malformedInput, "ups server \(server.host): \"\(text.prefix(80))\", ignoring")
            }
        }
        timer?.arm(at: deadline)
    }

    private func isServed(_ subject: Subject, by server: UPSServerOptions, isLocal: Bool) -> Bool {
        isLocal ? !subject.name.contains("@") : subject.name.hasSuffix("@\(server.host)")
    }

    private func isPushed(_ subject: Subject) -> Bool { upses[subject]?.link?.isOpen ?? false }

    /// Begins to watch a UPS; `false`: there are too many.
    private func watch(_ subject: Subject, driverOf ups: String?) -> Bool {
        guard upses[subject] == nil else { return true }
        guard upses.count < UPSWatcher.mostWatched else { return false }
        var limits = UPSLimits()
        limits.hostNeeds = options.hostNeeds
        limits.staleDwell = options.staleDwell
        var machine = UPSMachine(subject, limits: limits)
        let verdict = machine.started(at: context.loop.now)
        upses[subject] = Watched(machine: machine)
        tell(subject, verdict)
        if let ups { listen(to: ups, subject) }
        return true
    }

    /// The driver's socket is called after the driver and the UPS: `usbhid-ups-main`.
    private func listen(to ups: String, _ subject: Subject) {
        let folder = options.driverFolder
        guard let names = try? Files.names(in: folder),
            let name = names.sorted().first(where: { $0.hasSuffix("-\(ups)") })
        else { return }
        do throws(SystemError) {
            let link = try UPSDriverLink(context, path: "\(folder)/\(name)") { [unowned self] in
                pushed(subject, $0)
            }
            upses[subject]?.link = link
            link.start()
        } catch {
            context.logger.event(.watchedWithLess, level: .info, "\(subject): \(error); polled only")
        }
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
    private var deadline: Instant? { upses.values.compactMap(\.machine.deadline).min() }

    private func tick() {
        for subject in upses.keys.sorted(by: { $0.name < $1.name }) {
            tell(subject, upses[subject]?.machine.tick(at: context.loop.now))
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
