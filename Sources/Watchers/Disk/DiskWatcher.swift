// The shell of file systems, disks and arrays: looks and questions go to threads that may hang, answers to the
// machines. A file system that does not answer holds up nothing else.
import Basics
public import Configuration
import Detection
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches mounted file systems by their mount points, and the disks and arrays below them by their names.
public final class DiskWatcher: Watcher {
    /// Disks are read no more often than this: their counters are rates over about a second.
    private static let surveyEvery: Duration = .seconds(1)
    /// After a change of mounts the next look comes no sooner than this: containers mount in bursts.
    private static let changePause: Duration = .milliseconds(50)
    /// States get new values with each of so many samples.
    private static let samplesPerRefresh = 8
    /// The kernel's lists are not waited for longer.
    private static let surveyLimit: Duration = .seconds(5)

    private struct Probe {
        var machine: ProbeMachine
        let options: DiskProbeOptions
        var nextAt: Instant
    }

    /// What a mounted file system is. Another one at the same place is asked anew.
    private struct Place: Hashable {
        /// `nil`: it is out of sight.
        var path: [UInt8]?
        var type: String
        var source: String
    }

    /// Asks a file system, by its mount point. It may never return.
    typealias Asking = @Sendable ([UInt8]) -> Result<FileSystemUsage, SystemError>

    private let context: WatcherContext
    private let asking: Asking
    private var options: DiskOptions
    private let calls: PatientCalls
    private var timer: Timer?
    private var alarm = PatientAlarm()
    private var nextPoll = Instant.zero
    private var nextSurvey = Instant.zero
    private var surveyAskedAt: Instant?
    private var changedMeanwhile = false
    /// Whether mounts may be others than at the last look. Where the kernel does not tell, they always may.
    private var mayHaveChanged = true
    private var survey: DiskSurvey?
    private var mounts: [String: MountMachine] = [:]
    private var places: [String: Place] = [:]
    private var questions = OpenQuestions()
    private var devices: [String: DeviceMachine] = [:]
    private var probes: [String: Probe] = [:]
    private var writes = OpenQuestions()
    private var signs: [ChangeSign] = []
    private var isToldOfMounts = false
    private var toldLeftOut = 0
    private var toldTrouble: String?
    /// Tells a look that was made with earlier options.
    private var generation = 0
    private var samples = 0

    public convenience init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        try self.init(context, options) { path in
            do throws(SystemError) { return .success(try FileSystemUsage(ofMountPoint: path)) } catch {
                return .failure(error)
            }
        }
    }

    init(_ context: WatcherContext, _ options: AgentOptions, asking: @escaping Asking) throws(SystemError) {
        self.context = context
        self.asking = asking
        self.options = options.disk
        calls = PatientCalls(context.loop)
        timer = try Timer(context.loop, accuracy: .milliseconds(10)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        let new = options.disk
        guard new != self.options else { return }
        let old = self.options
        self.options = new
        generation += 1
        guard new.enabled, old.enabled else {
            if old.enabled { forgetAll() }
            return arrange()
        }
        let now = context.loop.now
        for name in mounts.keys { report(mounts[name]?.reconfigure(new, at: now)) }
        for name in devices.keys { report(devices[name]?.reconfigure(new, at: now)) }
        for (name, probe) in probes
        where !new.probes.contains(probe.options) || new.hangAfter != old.hangAfter {
            probes[name] = nil
            writes.giveUp(name)
            if !new.probes.contains(where: { $0.name == name }) { context.forget(probe.machine.subject) }
        }
        // The next look finds what else is to be watched now, and what no longer.
        (nextPoll, nextSurvey, changedMeanwhile) = (now, now, surveyAskedAt != nil)
        tick()
    }

    private func forgetAll() {
        let subjects = mounts.values.map(\.subject) + devices.values.map(\.subject)
        for subject in subjects + probes.values.map(\.machine.subject) { context.forget(subject) }
        (mounts, places, devices, probes, survey) = ([:], [:], [:], [:], nil)
        questions.giveUpAll()
        writes.giveUpAll()
    }

    public func sample() {
        let now = context.loop.now
        for machine in mounts.values {
            let values = machine.values(at: now)
            if !values.isEmpty { context.sample(Sample(machine.subject, values)) }
        }
        for machine in devices.values {
            let values = machine.values
            if !values.isEmpty { context.sample(Sample(machine.subject, values)) }
        }
        for probe in probes.values {
            context.sample(Sample(probe.machine.subject, probe.machine.values(at: now)))
        }
        samples &+= 1
        if samples % DiskWatcher.samplesPerRefresh == 0 { refresh(now) }
    }

    /// Gives states that have not changed for long the values of now, for their next repeat.
    private func refresh(_ now: Instant) {
        for machine in mounts.values { context.report(machine.finding(at: now)) }
        for machine in devices.values { context.report(machine.finding) }
        for probe in probes.values { context.report(probe.machine.finding(at: now)) }
    }

    private func arrange() {
        signs = []
        timer?.disarm()
        guard options.enabled else { return }
        watchForChanges()
        let now = context.loop.now
        (nextPoll, nextSurvey) = (now, now)
        tick()
    }

    /// Asks what is due, judges what time has changed, and sets the timer for the next.
    private func tick() {
        let now = context.loop.now
        let mayJudge = alarm.rang(at: now)
        calls.tick()
        if nextSurvey <= now { look() }
        if nextPoll <= now {
            for name in places.keys { ask(name) }
            nextPoll = nextMultiple(of: options.pollEvery, after: now)
        }
        for name in probes.keys { write(name) }
        if mayJudge { judge(now) }
        arm()
    }

    private func arm() {
        // What was asked before may be answered after all is forgotten.
        guard options.enabled else { return }
        let probed = probes.filter { !writes.wait(for: $0.key) }.values.map(\.nextAt)
        let judged =
            mounts.values.map(\.deadline) + devices.values.map(\.deadline)
            + probes.values.map(\.machine.deadline)
        let next = ([calls.deadline, nextPoll, nextSurvey] + judged).compactMap(\.self) + probed
        timer?.arm(at: alarm.set(for: next.min() ?? nextPoll))
    }

    /// Once the last answer is there; before that, the timer stands for the answers that are not.
    private func armIfIdle() { if calls.deadline == nil { arm() } }

    private func judge(_ now: Instant) {
        for name in mounts.keys { report(mounts[name]?.tick(at: now)) }
        for name in devices.keys { report(devices[name]?.tick(at: now)) }
        for name in probes.keys { report(probes[name]?.machine.tick(at: now)) }
        if let asked = surveyAskedAt, now - asked >= DiskWatcher.surveyLimit {
            notLooked("the kernel does not answer for \(context.roots.proc)/diskstats")
        }
    }

    private func report(_ finding: Finding??) {
        if let finding = finding ?? nil { context.report(finding) }
    }
}

// MARK: - Mounts and devices

extension DiskWatcher {
    /// The files by which the kernel tells that mounts or arrays have changed.
    private func watchForChanges() {
        isToldOfMounts = true
        mayHaveChanged = true
        for file in ["self/mountinfo", "1/mountinfo", "mdstat"] {
            // An array's state is told only to who opens the file again.
            let sign = ChangeSign(
                context.loop, path: "\(context.roots.proc)/\(file)", reopens: file == "mdstat"
            ) {
                [unowned self] in changed()
            }
            if let sign { signs.append(sign) } else if file != "mdstat" { isToldOfMounts = false }
        }
    }

    private func changed() {
        mayHaveChanged = true
        guard surveyAskedAt == nil else { return changedMeanwhile = true }
        nextSurvey = min(nextSurvey, context.loop.now + DiskWatcher.changePause)
        arm()
    }

    private func look() {
        let now = context.loop.now
        nextSurvey = nextMultiple(of: max(options.pollEvery, DiskWatcher.surveyEvery), after: now)
        guard surveyAskedAt == nil else { return }
        surveyAskedAt = now
        let order = DiskSurveyOrder(
            roots: context.roots, choice: MountChoice(options), devices: options.devices, previous: survey,
            isUnchanged: !mayHaveChanged)
        mayHaveChanged = !isToldOfMounts
        let generation = generation
        calls.perform(isVital: true, { DiskSurvey.take(order) }) { [weak self] survey in
            guard let self else { return }
            surveyAskedAt = nil
            if self.generation == generation {
                if let survey { took(survey) } else { notLooked("not looked at: there is no thread for it") }
            }
            if changedMeanwhile { nextSurvey = context.loop.now + DiskWatcher.changePause }
            changedMeanwhile = false
            armIfIdle()
        }
    }

    private func notLooked(_ words: String) {
        for name in devices.keys { report(devices[name]?.unreadable(words, at: context.loop.now)) }
    }

    private func took(_ survey: DiskSurvey) {
        let now = context.loop.now
        tellShortcomings(of: survey)
        for (name, device) in survey.devices { take(device, name, survey, now) }
        for mount in survey.mounts { take(mount, now) }
        if let failure = survey.mountsFailure { missRequired(failure) } else { leaveUnmounted(survey, now) }
        for name in devices.keys where survey.devices[name] == nil {
            drop(devices.removeValue(forKey: name)?.subject)
        }
        arrangeProbes(survey)
        self.survey = survey
    }

    private func leaveUnmounted(_ survey: DiskSurvey, _ now: Instant) {
        let names = Set(survey.mounts.map(\.mount.name))
        let required = Set(MountChoice(options).required)
        for name in required where !names.contains(name) {
            watch(name)
            leave(name)
            report(mounts[name]?.unmounted(at: now))
        }
        for name in mounts.keys where !names.contains(name) && !required.contains(name) {
            leave(name)
            drop(mounts.removeValue(forKey: name)?.subject)
        }
    }

    private func leave(_ name: String) {
        places[name] = nil
        questions.giveUp(name)
    }

    /// The list of mounts cannot be read: those that were known are asked as before.
    private func missRequired(_ failure: String) {
        for name in MountChoice(options).required where mounts[name] == nil {
            context.report(Finding(Subject(.disk, name), .unknown, failure))
        }
    }

    private func take(_ found: DiskSurvey.Mount, _ now: Instant) {
        let name = found.mount.name
        var facts = MountFacts(
            type: found.mount.type, source: found.mount.source, isReadOnly: found.mount.isReadOnly,
            isMountReadOnly: found.mount.isMountReadOnly)
        facts.errors = found.errors
        facts.goneDevice = found.isDeviceGone ? found.device : nil
        facts.isInSight = found.mount.path != nil
        facts.dependsOn = found.devices.map { Subject(.disk, $0) }
        let place = Place(path: found.mount.path, type: found.mount.type, source: found.mount.source)
        let isNew = places[name] != place
        if isNew {
            // What answers now was not asked, and may not answer.
            questions.giveUp(name)
            mounts[name]?.givenUp()
        }
        places[name] = place
        watch(name)
        report(mounts[name]?.mounted(facts, at: now))
        if isNew { ask(name) }
    }

    private func take(_ found: DiskSurvey.Device, _ name: String, _ survey: DiskSurvey, _ now: Instant) {
        if devices[name] == nil {
            devices[name] = DeviceMachine(Subject(.disk, name), options)
        }
        if let trouble = survey.trouble, found.statistics == nil {
            return report(devices[name]?.unreadable(trouble, at: now))
        }
        guard let statistics = found.statistics else {
            return report(devices[name]?.gone(whoNeeds(name, survey), at: now))
        }
        let below = found.devices.map { Subject(.disk, $0) }
        report(devices[name]?.read(statistics, array: found.array, dependsOn: below, at: now))
    }

    private func whoNeeds(_ device: String, _ survey: DiskSurvey) -> String {
        if let mount = survey.mounts.first(where: { $0.devices.contains(device) }) {
            return "\(mount.mount.name) is mounted from it"
        }
        if let array = survey.devices.first(where: { $0.value.devices.contains(device) }) {
            return "\(array.key) is made of it"
        }
        return "it is configured"
    }

    private func watch(_ name: String) {
        guard mounts[name] == nil else { return }
        mounts[name] = MountMachine(Subject(.disk, name), options)
    }

    private func drop(_ subject: Subject?) { if let subject { context.forget(subject) } }

    private func tellShortcomings(of survey: DiskSurvey) {
        if survey.leftOut > toldLeftOut {
            context.logger.event(
                .watchedWithLess,
                "disk: \(survey.leftOut) mounts and devices are too many, not watching them; exclude what does not matter"
            )
        }
        toldLeftOut = survey.leftOut
        let trouble = survey.mountsFailure ?? survey.trouble
        if let trouble, trouble != toldTrouble {
            context.logger.event(.watchedWithLess, "disk: \(trouble), watching what is left")
        }
        toldTrouble = trouble
        if survey.rejected > 0 {
            context.limited.event(
                .malformedInput, key: "disk",
                "disk: \(survey.rejected) lines of mountinfo and diskstats make no sense, ignoring them")
        }
    }
}

// MARK: - Questions

extension DiskWatcher {
    /// Asks a file system, unless it has not answered yet.
    private func ask(_ name: String) {
        guard let path = places[name]?.path, !questions.wait(for: name) else { return }
        let number = questions.put(name)
        calls.perform({ [asking] in asking(path) }, begun: { [weak self] in self?.begun(name, number) }) {
            [weak self] answer in
            guard let self else { return }
            if questions.answered(name, number) { took(answer, from: name) }
            armIfIdle()
        }
    }

    private func begun(_ name: String, _ number: UInt64) {
        if questions.wait(for: name, number) { mounts[name]?.asked(at: context.loop.now) }
    }

    private func took(_ answer: Result<FileSystemUsage, SystemError>?, from name: String) {
        let now = context.loop.now
        switch answer {
        case .success(let usage): report(mounts[name]?.answered(usage, at: now))
        case .failure(let error): report(mounts[name]?.failed(error, at: now))
        case nil: report(mounts[name]?.notAsked(at: now))
        }
    }
}

// MARK: - Probes

extension DiskWatcher {
    /// Begins the probes that are not there yet, knowing the mounts that they are on.
    private func arrangeProbes(_ survey: DiskSurvey) {
        for probe in options.probes where probes[probe.name] == nil {
            let machine = ProbeMachine(
                probe, hangAfter: options.hangAfter,
                dependsOn: mount(of: probe.folder, survey).map { [Subject(.disk, $0)] } ?? [])
            probes[probe.name] = Probe(machine: machine, options: probe, nextAt: context.loop.now)
            context.report(machine.finding(at: context.loop.now))
            write(probe.name)
        }
    }

    /// The watched mount that a folder is on: the longest mount point that it lies below.
    private func mount(of folder: String, _ survey: DiskSurvey) -> String? {
        survey.mounts.filter { MountInfo.contains(Array($0.mount.name.utf8), Array(folder.utf8)) }
            .max { $0.mount.name.utf8.count < $1.mount.name.utf8.count }?.mount.name
    }

    private func write(_ name: String) {
        let now = context.loop.now
        guard let probe = probes[name], !writes.wait(for: name), probe.nextAt <= now else { return }
        probes[name]?.nextAt = now + probe.options.every
        let (number, folder) = (writes.put(name), probe.options.folder)
        calls.perform(
            { () -> Result<WriteProbe, SystemError> in
                do throws(SystemError) { return .success(try WriteProbe(folder: folder)) } catch {
                    return .failure(error)
                }
            }, begun: { [weak self] in self?.writing(name, number) }
        ) { [weak self] answer in
            guard let self else { return }
            if writes.answered(name, number) { wrote(answer, name) }
            armIfIdle()
        }
    }

    private func writing(_ name: String, _ number: UInt64) {
        if writes.wait(for: name, number) { probes[name]?.machine.asked(at: context.loop.now) }
    }

    private func wrote(_ answer: Result<WriteProbe, SystemError>?, _ name: String) {
        let now = context.loop.now
        switch answer {
        case .success(let probe): report(probes[name]?.machine.wrote(probe, at: now))
        case .failure(let error): report(probes[name]?.machine.failed(error, at: now))
        case nil: report(probes[name]?.machine.notAsked(at: now))
        }
    }
}
