// The shell of systemd's units: signals and answers in, the machines' findings out. It hears the signals of the units
// that are watched, and the count of failed ones; what else happens on the host does not wake it.
import Basics
public import Configuration
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches units.
public final class UnitWatcher: Watcher {
    private struct Followed {
        var machine: UnitMachine
        var reading = UnitReading()
        var matches: [BusMatch] = []
        /// What the rules are for: the name, or what it is an alias of.
        var id: String
        var isAsking = false
    }

    private let context: WatcherContext
    private var options: UnitOptions
    private var units: [String: Followed] = [:]
    private var failed: FailedUnits?
    private var failedMatch: BusMatch?
    private var isListing = false
    private var wantsAnotherList = false
    private var isFollowing = false
    private var hasToldAbsence = false
    private var timer: Timer?

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.unit
        timer = try Timer(context.loop, accuracy: .milliseconds(20)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        guard options.unit != self.options else { return }
        self.options = options.unit
        arrange()
    }

    public func sample() {
        let now = context.loop.now
        for unit in units.values {
            if let sample = unit.machine.sample(at: now) { context.sample(sample) }
        }
        perform(failed?.tick(at: now) ?? [])
    }

    /// Brings what is followed in line with the options; units whose options are the same live on.
    private func arrange() {
        let wanted = options.enabled ? options.watched : []
        for (name, unit) in units where !wanted.contains(unit.machine.options) {
            units[name] = nil
            if !wanted.contains(where: { $0.name == name }) { context.forget(unit.machine.subject) }
        }
        for watch in wanted where units[watch.name] == nil {
            var machine = UnitMachine(watch)
            let finding = machine.started()
            units[watch.name] = Followed(machine: machine, id: watch.name)
            report(finding, watch.name)
            if context.systemd.isUp { follow(watch.name) }
        }
        arrangeFailed(watched: Set(wanted.map(\.name)))
        guard options.enabled, failed != nil || !units.isEmpty, !isFollowing else { return }
        isFollowing = true
        context.systemd.follow { [weak self] in self?.took($0) }
    }

    private func took(_ news: SystemdNews) {
        switch news {
        case .up:
            for name in units.keys { follow(name) }
            followFailed()
        case .reloaded:
            for name in units.keys { ask(name) }
            list()
        case .lost(let reason): lost(reason)
        }
    }

    private func lost(_ reason: String) {
        failedMatch = nil
        isListing = false
        for name in units.keys {
            units[name]?.matches = []
            units[name]?.isAsking = false
            report(units[name]?.machine.lost(reason, at: context.loop.now), name)
        }
        if context.systemd.wasUp { return perform(failed?.lost(reason) ?? []) }
        // A host without systemd, such as a container, has no units to speak of.
        guard !hasToldAbsence else { return }
        hasToldAbsence = true
        context.logger.event(
            .watchedWithLess, level: .info, "units: \(reason); not watching any until there is one")
    }
}

// MARK: - Watched units

extension UnitWatcher {
    private func follow(_ name: String) {
        guard let id = units[name]?.id else { return }
        do throws(SystemError) {
            units[name]?.matches = try matches(id, name)
        } catch {
            context.limited.event(
                .watchedWithLess, key: name, "unit/\(name): \(error); its changes are not heard")
        }
        ask(name)
    }

    private func matches(_ id: String, _ name: String) throws(SystemError) -> [BusMatch] {
        guard let changes = SystemdLink.changes(of: id) else { return [] }
        let manager = "interface='\(SystemdLink.manager)',"
        let systemd = context.systemd
        return [
            try systemd.signals(changes) { [unowned self] in changed(name, $0) },
            try systemd.signals(manager + "member='UnitNew',arg0='\(id)'") { [unowned self] _ in
                // Asking loads a unit, which is told as new: so ask only if it stays.
                systemd.isLoaded(id) { [weak self] in if $0 { self?.ask(name) } }
            },
            try systemd.signals(manager + "member='UnitRemoved',arg0='\(id)'") { [unowned self] _ in
                report(units[name]?.machine.unloaded(at: context.loop.now), name)
            },
            try systemd.signals(manager + "member='JobRemoved',arg2='\(id)'") { [unowned self] message in
                guard message.skip("uos"), let result = message.text() else { return }
                report(units[name]?.machine.jobEnded(result, at: context.loop.now), name)
            },
        ].compactMap(\.self)
    }

    private func ask(_ name: String) {
        guard units[name]?.isAsking == false else { return }
        units[name]?.isAsking = true
        // By its own name: what an alias stands for may be another unit after a reload.
        context.systemd.ask(name) { [weak self] result in
            guard let self else { return }
            units[name]?.isAsking = false
            switch result {
            case .success(let reading): answered(name, reading)
            case .failure(let failure):
                guard context.systemd.isUp else { return }
                report(units[name]?.machine.unanswered("systemd: \(failure)", at: context.loop.now), name)
            }
        }
    }

    private func answered(_ name: String, _ reading: UnitReading) {
        units[name]?.reading = reading
        // Of an alias: signals are of the unit that it stands for.
        if !reading.id.isEmpty, let id = units[name]?.id, reading.id != id {
            units[name]?.id = reading.id
            return follow(name)
        }
        report(units[name]?.machine.read(reading, at: context.loop.now), name)
    }

    /// systemd sends a service's properties before those of all units, so that with the latter all are up to date.
    private func changed(_ name: String, _ message: BusMessage) {
        switch message.text() {
        case SystemdLink.service:
            units[name]?.reading.take(message.properties(UnitReading.serviceProperties))
        case SystemdLink.unit:
            units[name]?.reading.take(message.properties(UnitReading.unitProperties))
            guard let reading = units[name]?.reading else { return }
            // Whether it is loaded is not among the changes.
            guard reading.loadState == "loaded" else { return ask(name) }
            report(units[name]?.machine.read(reading, at: context.loop.now), name)
        default: break
        }
    }

    private func report(_ finding: Finding??, _ name: String) {
        timer?.arm(at: units.values.compactMap(\.machine.deadline).min())
        guard let finding = finding ?? nil else { return }
        let reading = units[name]?.machine.reading
        let exitedAt = reading?.isDown == true ? reading?.lastExitAt ?? 0 : 0
        context.report(
            finding, occurredAt: exitedAt > 0 ? WallTime(nanoseconds: exitedAt &* 1000) : nil)
    }

    private func tick() {
        let now = context.loop.now
        for name in units.keys.sorted() {
            if units[name]?.machine.asksAgain(at: now) == true { ask(name) }
            report(units[name]?.machine.tick(at: now), name)
        }
    }
}

// MARK: - Failed units

extension UnitWatcher {
    private func arrangeFailed(watched: Set<String>) {
        guard options.enabled, options.failed else {
            for subject in failed?.subjects ?? [] where units[subject.name] == nil { context.forget(subject) }
            (failed, failedMatch) = (nil, nil)
            return
        }
        guard failed == nil else { return perform(failed?.reconfigure(watched: watched) ?? []) }
        failed = FailedUnits(watched: watched)
        if context.systemd.isUp { followFailed() }
    }

    private func followFailed() {
        guard failed != nil else { return }
        do throws(SystemError) {
            failedMatch = try context.systemd.signals(SystemdLink.managerChanges) { [unowned self] _ in list()
            }
        } catch {
            context.limited.event(.watchedWithLess, key: "failed", "units that fail: \(error); not heard of")
        }
        list()
    }

    private func list() {
        guard failed != nil, context.systemd.isUp else { return }
        guard !isListing else { return wantsAnotherList = true }
        isListing = true
        wantsAnotherList = false
        context.systemd.failedUnits { [weak self] result in
            guard let self, isListing else { return }
            isListing = false
            switch result {
            case .success(let names): perform(failed?.listed(names, at: context.loop.now) ?? [])
            case .failure(let failure):
                perform(failed?.unanswered("systemd: \(failure)", at: context.loop.now) ?? [])
            }
            if wantsAnotherList { list() }
        }
    }

    private func perform(_ actions: [FailedUnits.Action]) {
        for action in actions {
            switch action {
            case .report(let finding): context.report(finding)
            case .list: list()
            case .forget(let subject): if units[subject.name] == nil { context.forget(subject) }
            case .ask(let unit):
                context.systemd.ask(unit) { [weak self] result in
                    guard let self else { return }
                    perform(failed?.details(of: unit, try? result.get()) ?? [])
                }
            }
        }
    }
}
