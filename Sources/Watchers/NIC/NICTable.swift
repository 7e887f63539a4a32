// All NICs of the host: which of them are watched, under which subject, and what is reported of each. A
// value: link messages, counter reads, addresses and routes in, findings out.
public import Basics
public import Configuration
public import Wire

/// What the shell is to do for the table.
public enum NICAction: Hashable, Sendable {
    case report(Finding)
    /// No longer watched.
    case forget(Subject)
    /// Keep the carrier counters of this link open and read them regularly.
    case poll(index: Int32, name: String)
    case stopPolling(index: Int32)
    /// What a message does not tell (speed, duplex, why it is down) should be asked for again.
    case inspect(index: Int32, name: String)
    /// Something changed of which the kernel tells nothing: only a whole picture helps.
    case resync
}

/// The watched NICs of a host.
public struct NICTable: Sendable {
    /// Links beyond this many are ignored and counted.
    public static let mostLinks = 4096
    /// A NIC that nobody asked for by name and that is unplugged is critical for so long, then forgotten.
    public static let mournedFor: Duration = .seconds(60)
    /// How often, once a sample, a link that changed is looked at again: drivers learn late why it is down.
    static let looksAfterChange = 2

    enum Presence: Hashable { case present(Int32), missing, renamed(to: String) }

    struct Watched {
        var presence: Presence
        /// The machine as it was when the link went.
        var past: NICMachine?
        var wasEverPresent: Bool
        /// Since when it has been gone, if nobody asked for it by name.
        var mournedSince: Instant?
    }

    /// What is known of a watched link besides its messages.
    struct Record {
        var details = LinkDetails()
        /// The highest speed seen while it was up.
        var fastest: Int64?
        var traffic: LinkTraffic
        var told: Told?
        var looksLeft = 0
    }

    /// What was reported, without the values.
    struct Told: Hashable {
        var status: Status
        var reason: String
        var dependsOn: [Subject]
    }

    var options: NICOptions
    /// Interfaces that ISP paths leave through: watched as if they were included.
    var required: [String]
    var machines: [Int32: NICMachine] = [:]
    var watched: [String: Watched] = [:]
    var records: [Int32: Record] = [:]
    var reach = LinkReach()
    var polled: Set<Int32> = []
    private var isComplete = false
    /// Links ignored because there were too many.
    public private(set) var ignored: UInt64 = 0

    public init(options: NICOptions, required: [String]) {
        self.options = options
        self.required = required
    }

    /// The watched link that bears this name now.
    public func link(named name: String) -> NICMachine? {
        guard case .present(let index)? = watched[name]?.presence else { return nil }
        return machines[index]
    }

    /// Links that are watched and there.
    var watchedLinks: [Int32] {
        watched.values.compactMap { if case .present(let index) = $0.presence { index } else { nil } }
    }

    /// The next instant at which `passed` is of use.
    public func deadline(at now: Instant) -> Instant? {
        var deadline = watched.values.compactMap { $0.mournedSince.map { $0 + NICTable.mournedFor } }.min()
        for index in watchedLinks {
            guard let machine = machines[index] else { continue }
            let lost = reach.deadline(
                of: index, upSince: machine.upSince, dwell: options.addressDwell, at: now)
            for next in [machine.deadline, lost] {
                if let next { deadline = min(deadline ?? next, next) }
            }
        }
        return deadline
    }
}

// MARK: - Events

extension NICTable {
    /// RTM_NEWLINK: a new link, or news of a known one.
    public mutating func changed(_ link: LinkMessage, isEvent: Bool, at now: Instant) -> [NICAction] {
        guard var machine = machines[link.index] else { return appeared(link, at: now) }
        let previous = machine.link
        let changes = machine.changed(link, isOrdered: isEvent && !polled.contains(link.index), at: now)
        machines[link.index] = machine
        guard previous.name == link.name else { return renamed(from: previous.name, machine, at: now) }
        var actions: [NICAction] = []
        if previous.master != link.master || previous.lower != link.lower {
            actions += related(previous, at: now) + release([link.index])
        }
        guard isWatched(link) else { return actions + begin(link.index, at: now) + related(link, at: now) }
        actions += tell(changes, of: link.index, at: now)
        if !changes.isEmpty || previous.mtu != link.mtu { actions.append(look(at: link)) }
        // The kernel drops the routes of a link that is switched off without a word for each.
        if previous.isAdministrativelyUp, !link.isAdministrativelyUp { actions.append(.resync) }
        return actions + related(link, at: now)
    }

    /// RTM_DELLINK, or a link that a complete dump no longer holds.
    public mutating func removed(_ index: Int32, at now: Instant) -> [NICAction] {
        guard let machine = machines.removeValue(forKey: index) else { return [] }
        records[index] = nil
        var actions = stopPolling(index)
        if let entry = watched[machine.link.name], entry.presence == .present(index) {
            actions += vanish(machine.link.name, .missing, machine, at: now)
        }
        return actions + release(lower(of: machine.link)) + related(machine.link, at: now)
    }

    /// All links, addresses and routes, by a dump: what it does not hold is gone.
    mutating func pictured(_ dump: NetworkDump, at now: Instant) -> [NICAction] {
        reach.picture(dump, at: now)
        return dumped(dump.links, at: now) + tellAll(at: now)
    }

    /// All links, by a dump: what it does not hold is gone.
    public mutating func dumped(_ links: [LinkMessage], at now: Instant) -> [NICAction] {
        let held = Set(links.map(\.index))
        var actions: [NICAction] = []
        for index in machines.keys.sorted() where !held.contains(index) {
            actions += removed(index, at: now)
        }
        for link in links { actions += changed(link, isEvent: false, at: now) }
        guard !isComplete else { return actions }
        isComplete = true
        return actions + reportMissing()
    }

    /// News of an address or a route.
    mutating func reached(_ message: RouteNetlinkMessage, at now: Instant) -> [NICAction] {
        let changed = reach.changed(message, at: now)
        var actions: [NICAction] = []
        for index in changed.sorted() { actions += tell([], of: index, at: now) }
        // Routes go with an address without a word.
        if case .addressRemoved(let address) = message, changed.contains(address.index),
            let link = machines[address.index]?.link, isWatched(link)
        {
            actions.append(.resync)
        }
        return actions
    }

    /// A read of a polled link's counters.
    public mutating func counted(_ index: Int32, _ counts: CarrierCounts, at now: Instant) -> [NICAction] {
        guard var machine = machines[index] else { return [] }
        let resets = machine.resets
        let changes = machine.counted(counts, at: now)
        machines[index] = machine
        guard !changes.isEmpty || machine.resets != resets, isWatched(machine.link) else { return [] }
        var actions = changes.isEmpty ? [] : tell(changes, of: index, at: now)
        if !changes.isEmpty { actions += [look(at: machine.link)] + related(machine.link, at: now) }
        return machine.resets == resets ? actions : actions + [.resync]
    }

    /// Time passed.
    public mutating func passed(_ now: Instant) -> [NICAction] {
        var actions: [NICAction] = []
        for name in watched.keys.sorted() {
            guard let since = watched[name]?.mournedSince, now - since >= NICTable.mournedFor else {
                continue
            }
            watched[name] = nil
            actions.append(.forget(Subject(.nic, name)))
        }
        for index in watchedLinks.sorted() {
            guard var machine = machines[index] else { continue }
            let changes = machine.passed(now)
            machines[index] = machine
            actions += tell(changes, of: index, at: now)
        }
        return actions
    }

    /// What ethtool says of a link.
    public mutating func inspected(_ index: Int32, _ details: LinkDetails, at now: Instant) -> [NICAction] {
        guard let machine = machines[index], var record = records[index], record.details != details else {
            return []
        }
        record.details = details
        if machine.condition == .up, let speed = details.speed {
            record.fastest = max(record.fastest ?? speed, speed)
        }
        records[index] = record
        return tell([], of: index, at: now, always: true)
    }

    /// The counters of all links, as read just now.
    public mutating func measured(_ counters: [Int32: LinkStatistics], at now: Instant) -> [NICAction] {
        var actions: [NICAction] = []
        for index in watchedLinks.sorted() {
            guard let read = counters[index], var record = records[index] else { continue }
            let before = (record.traffic.errors, record.traffic.drops)
            machines[index]?.measured(read)
            record.traffic.measured(read, at: now)
            let isLookedAt = record.looksLeft > 0
            record.looksLeft = max(0, record.looksLeft - 1)
            records[index] = record
            let isOther = before != (record.traffic.errors, record.traffic.drops)
            actions += tell([], of: index, at: now, always: isOther)
            if isLookedAt, let name = machines[index]?.link.name {
                actions.append(.inspect(index: index, name: name))
            }
        }
        return actions
    }

    /// Other options: what is still watched keeps its history.
    public mutating func reconfigure(_ options: NICOptions, required: [String], at now: Instant)
        -> [NICAction]
    {
        let hasOtherLimits = options.errors != self.options.errors || options.drops != self.options.drops
        self.options = options
        self.required = required
        for index in machines.keys {
            machines[index]?.limit(flapCount: options.flapCount, flapWindow: options.flapWindow)
            if hasOtherLimits { records[index]?.traffic = LinkTraffic(options) }
        }
        var actions: [NICAction] = []
        // What is above goes first, then what was watched for its sake alone.
        while let name = watched.keys.sorted().first(where: { !keeps($0) }) { actions += drop(name) }
        for index in machines.keys.sorted() { actions += begin(index, at: now) }
        actions += tellAll(at: now)
        return isComplete ? actions + reportMissing() : actions
    }

    mutating func appeared(_ link: LinkMessage, at now: Instant) -> [NICAction] {
        guard machines.count < NICTable.mostLinks else {
            ignored &+= 1
            return []
        }
        machines[link.index] = NICMachine(link, flapCount: options.flapCount, flapWindow: options.flapWindow)
        return begin(link.index, at: now) + noteRenames(link, at: now) + related(link, at: now)
    }

    /// A link that changed is looked at now and, as drivers learn late why it is down, a little later again.
    mutating func look(at link: LinkMessage) -> NICAction {
        records[link.index]?.looksLeft = NICTable.looksAfterChange
        return .inspect(index: link.index, name: link.name)
    }
}
