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

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options
        table = NICTable(options: options.nic, required: context.links.required)
        poller = try CarrierPoller(context, every: options.nic.counterPollEvery) {
            [unowned self] index, counts in
            perform(table.counted(index, counts, at: context.loop.now))
        }
        timer = try Timer(context.loop, accuracy: .milliseconds(100)) { [unowned self] in
            perform(table.passed(context.loop.now))
        }
        context.network.listen { [unowned self] in heard($0) }
        context.links.onRequired = { [unowned self] in reconfigure() }
    }

    public func start() { context.network.resync() }

    public func reconfigure(_ options: AgentOptions) {
        self.options = options
        poller?.interval = options.nic.counterPollEvery
        reconfigure()
    }

    private func reconfigure() {
        let actions = table.reconfigure(options.nic, required: context.links.required, at: context.loop.now)
        perform(actions)
    }

    public func sample() {
        guard !table.samples.isEmpty else { return }
        context.network.statistics { [weak self] links in
            guard let self else { return }
            table.measured(links)
            for sample in table.samples { context.sample(sample) }
        }
    }

    private func heard(_ news: NetworkNews) {
        let now = context.loop.now
        switch news {
        case .picture(let dump):
            hasPicture = true
            perform(table.dumped(dump.links, at: now))
        case .message(.link(let link)): perform(table.changed(link, isEvent: true, at: now))
        case .message(.linkRemoved(let link)): perform(table.removed(link.index, at: now))
        case .message: break
        }
    }
}

// MARK: - Actions

extension NICWatcher {
    private func perform(_ actions: [NICAction]) {
        for action in actions { perform(action) }
        timer?.arm(at: table.deadline)
        tellLinks()
    }

    private func perform(_ action: NICAction) {
        switch action {
        case .report(let finding): context.report(finding)
        case .forget(let subject): context.forget(subject)
        case .poll(let index, let name): poll(index, name)
        case .stopPolling(let index): poller?.remove(index: index)
        case .inspect(let index, let name): inspect(index, name)
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

    /// The driver's speed; reading it takes RTNL, so it is the worker's.
    private func inspect(_ index: Int32, _ name: String) {
        let path = "\(context.roots.sys)/class/net/\(name)/speed"
        context.worker.perform({
            (try? Files.text(path, limit: 64)).flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil }
        }) {
            [weak self] speed in
            guard let self else { return }
            for action in table.inspected(index, speed: speed) { perform(action) }
        }
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
