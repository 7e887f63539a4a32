// The shell of the NIC table: rtnetlink news, carrier counters and the clock in, reports out.
import Basics
public import Configuration
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches the host's NICs.
public final class NICWatcher: Watcher {
    private let context: WatcherContext
    private var options: AgentOptions
    private var table: NICTable
    private var poller: CarrierPoller?
    private var timer: Timer?
    private var hasPicture = false
    private var softnet: SoftnetMachine
    private var hasBacklog = false
    private var uninspected: [Int32: String] = [:]
    private var isInspecting = false
    private let recorder: NICRecorder

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options
        recorder = NICRecorder(context.roots)
        table = NICTable(options: options.nic, required: context.links.required)
        softnet = SoftnetMachine(options.nic)
        poller = try CarrierPoller(context, every: options.nic.counterPollEvery) {
            [unowned self] index, counts in
            perform(table.counted(index, counts, at: context.loop.now))
        }
        timer = try Timer(context.loop, accuracy: .milliseconds(100)) { [unowned self] in
            perform(table.passed(context.loop.now))
            settle()
        }
        context.network.listen { [unowned self] in heard($0) }
        context.links.onRequired = { [unowned self] in reconfigure() }
    }

    public func start() { context.network.resync() }

    public func reconfigure(_ options: AgentOptions) {
        if options.nic.backlogDrops != self.options.nic.backlogDrops
            || options.nic.backlogSqueezes != self.options.nic.backlogSqueezes
        {
            softnet = SoftnetMachine(options.nic)
        }
        self.options = options
        poller?.interval = options.nic.counterPollEvery
        reconfigure()
    }

    private func reconfigure() {
        let actions = table.reconfigure(options.nic, required: context.links.required, at: context.loop.now)
        perform(actions)
        settle()
    }

    public func sample() {
        readBacklog()
        guard !table.watchedLinks.isEmpty else { return }
        context.network.statistics { [weak self] counters in
            guard let self else { return }
            perform(table.measured(counters, at: context.loop.now))
            let samples = table.samples
            recorder.watch(samples.map(\.subject.name))
            for sample in samples { context.sample(sample) }
        }
    }

    public func record() {
        for reading in recorder.readings(at: context.loop.now) { context.record(reading) }
    }

    private func heard(_ news: NetworkNews) {
        let now = context.loop.now
        switch news {
        case .picture(let dump):
            hasPicture = true
            perform(table.pictured(dump, at: now))
        case .message(.link(let link)): perform(table.changed(link, isEvent: true, at: now))
        case .message(.linkRemoved(let link)):
            perform(table.reached(.linkRemoved(link), at: now) + table.removed(link.index, at: now))
        case .message(let message): perform(table.reached(message, at: now))
        }
        settle()
    }

    /// The backlog of received packets, where any NIC is watched; reading it waits for nothing.
    private func readBacklog() {
        guard !table.watchedLinks.isEmpty else {
            if hasBacklog { context.forget(SoftnetMachine.subject) }
            hasBacklog = false
            return
        }
        hasBacklog = true
        let bytes = try? Files.read("\(context.roots.proc)/net/softnet_stat", limit: 1 << 20)
        let finding = softnet.read(bytes.flatMap { SoftnetCounters($0) }, at: context.loop.now)
        context.report(finding)
        context.sample(Sample(finding.subject, finding.values))
    }
}

// MARK: - Actions

extension NICWatcher {
    private func perform(_ actions: [NICAction]) {
        guard !actions.isEmpty else { return }
        for action in actions { perform(action) }
        inspect()
        settle()
    }

    /// After whatever may have changed what is told to paths, or when to look again.
    private func settle() {
        timer?.arm(at: table.deadline(at: context.loop.now))
        tellLinks()
        // With the first NIC, not a second later.
        if !hasBacklog, !table.watchedLinks.isEmpty { readBacklog() }
    }

    private func perform(_ action: NICAction) {
        switch action {
        case .report(let finding): context.report(finding)
        case .forget(let subject): context.forget(subject)
        case .poll(let index, let name): poll(index, name)
        case .stopPolling(let index): poller?.remove(index: index)
        case .inspect(let index, let name): uninspected[index] = name
        case .resync: context.network.resync()
        }
    }

    private func poll(_ index: Int32, _ name: String) {
        guard !context.without.carrierCounters else { return }
        do throws(SystemError) {
            try poller?.add(index: index, name: name)
        } catch {
            let subject = Subject(.nic, name)
            context.limited.event(
                .watchedWithLess, key: "\(subject)",
                "\(subject): \(error); its carrier is told by link events alone", ["subject": "\(subject)"])
        }
    }

    /// Asks ethtool for what has changed, all at once; that waits for RTNL, so it is the network's worker's.
    private func inspect() {
        guard !uninspected.isEmpty, !isInspecting else { return }
        let links = uninspected
        let inspection = LinkInspection(
            roots: context.roots, withoutEthtool: context.without.ethtoolNetlink)
        isInspecting = context.network.worker.perform({ inspection.take(links) }) { [weak self] details in
            guard let self else { return }
            isInspecting = false
            let now = context.loop.now
            for index in details.keys.sorted() {
                if let found = details[index] { perform(table.inspected(index, found, at: now)) }
            }
            inspect()
        }
        if isInspecting { uninspected = [:] }
    }

    /// Tells the paths of the links under them.
    private func tellLinks() {
        guard hasPicture else { return }
        for name in context.links.required {
            let link = table.link(named: name)
            let condition: LinkCondition =
                switch link?.condition {
                case .up: .up
                case .noCarrier: .noCarrier
                case .administrativelyDown: .administrativelyDown
                case .withheld: .withheld
                case nil: .missing
                }
            context.links.update(name, LinkUnderPath(condition, index: link?.link.index))
        }
    }
}
