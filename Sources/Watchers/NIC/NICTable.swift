// All NICs of the host: which of them are watched, under which subject, and what is reported of each. A
// value: link messages and counter reads in, findings out.
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
    /// What a message does not tell (speed) should be read again.
    case inspect(index: Int32, name: String)
    /// The counters went back: only a message that shows counters and carrier together helps.
    case resync
}

/// The watched NICs of a host.
public struct NICTable: Sendable {
    /// Links beyond this many are ignored and counted.
    public static let mostLinks = 4096

    private enum Presence: Hashable { case present(Int32), missing, renamed(to: String) }

    private struct Watched {
        var presence: Presence
        /// The machine as it was when the link went.
        var past: NICMachine?
        var wasEverPresent: Bool
    }

    private var options: NICOptions
    /// Interfaces that ISP paths leave through: watched as if they were included.
    private var required: [String]
    private var machines: [Int32: NICMachine] = [:]
    private var watched: [String: Watched] = [:]
    private var polled: Set<Int32> = []
    private var isComplete = false
    /// Links ignored because there were too many.
    public private(set) var ignored: UInt64 = 0

    public init(options: NICOptions, required: [String]) {
        self.options = options
        self.required = required
    }

    /// The next instant at which `passed` is of use.
    public var deadline: Instant? { watchedMachines.compactMap { machines[$0]?.deadline }.min() }

    /// The link that bears this name now.
    public func link(named name: String) -> NICMachine? { machines.values.first { $0.link.name == name } }

    private var watchedMachines: [Int32] {
        watched.values.compactMap { if case .present(let index) = $0.presence { index } else { nil } }
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
        guard isWatched(link) else { return begin(link.index, at: now) }
        var actions = changes.map { NICAction.report(finding($0, machine)) }
        if !changes.isEmpty || previous.mtu != link.mtu {
            actions.append(.inspect(index: link.index, name: link.name))
        }
        return actions
    }

    /// RTM_DELLINK, or a link that a complete dump no longer holds.
    public mutating func removed(_ index: Int32, at now: Instant) -> [NICAction] {
        guard let machine = machines.removeValue(forKey: index) else { return [] }
        let stop = stopPolling(index)
        guard let entry = watched[machine.link.name], entry.presence == .present(index) else { return stop }
        return stop + vanish(machine.link.name, .missing, machine)
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

    /// A read of a polled link's counters.
    public mutating func counted(_ index: Int32, _ counts: CarrierCounts, at now: Instant) -> [NICAction] {
        guard var machine = machines[index] else { return [] }
        let resets = machine.resets
        let changes = machine.counted(counts, at: now)
        machines[index] = machine
        guard isWatched(machine.link) else { return [] }
        let reports = changes.map { NICAction.report(finding($0, machine)) }
        return machine.resets == resets ? reports : reports + [.resync]
    }

    /// Time passed.
    public mutating func passed(_ now: Instant) -> [NICAction] {
        var actions: [NICAction] = []
        for index in watchedMachines.sorted() {
            guard var machine = machines[index] else { continue }
            let changes = machine.passed(now)
            machines[index] = machine
            actions += changes.map { .report(finding($0, machine)) }
        }
        return actions
    }

    /// The driver's speed in megabits per second.
    public mutating func inspected(_ index: Int32, speed: Int64?) -> [NICAction] {
        guard var machine = machines[index], machine.speed != speed else { return [] }
        machine.speed = speed
        machines[index] = machine
        return isWatched(machine.link) ? [.report(finding(machine.current, machine))] : []
    }

    /// Statistics of all links, by a dump that is about nothing else.
    public mutating func measured(_ links: [LinkMessage]) {
        for link in links {
            guard let statistics = link.statistics else { continue }
            machines[link.index]?.measured(statistics)
        }
    }

    /// Other options: what is still watched keeps its history.
    public mutating func reconfigure(_ options: NICOptions, required: [String], at now: Instant)
        -> [NICAction]
    {
        self.options = options
        self.required = required
        for index in machines.keys {
            machines[index]?.limit(flapCount: options.flapCount, flapWindow: options.flapWindow)
        }
        var actions: [NICAction] = []
        for name in watched.keys.sorted() where !keeps(name) {
            if case .present(let index)? = watched[name]?.presence { actions += stopPolling(index) }
            watched[name] = nil
            actions.append(.forget(Subject(.nic, name)))
        }
        for index in machines.keys.sorted() { actions += begin(index, at: now) }
        return isComplete ? actions + reportMissing() : actions
    }

    /// The samples of all watched links.
    public var samples: [Sample] {
        watchedMachines.sorted().compactMap { index in
            machines[index].map { Sample(Subject(.nic, $0.link.name), NICTable.measurements($0)) }
        }
    }
}

// MARK: - What is watched

extension NICTable {
    private func isExcluded(_ name: String) -> Bool {
        options.exclude.contains { NamePattern($0).matches(name) }
    }

    private func isNamed(_ name: String) -> Bool {
        options.enabled && (options.include.contains { NamePattern($0).matches(name) } && !isExcluded(name))
            || required.contains(name)
    }

    private func isDiscoverable(_ link: LinkMessage) -> Bool {
        options.enabled && options.discover && link.isPhysical && link.isAdministrativelyUp
            && !isExcluded(link.name)
    }

    private func isWatched(_ link: LinkMessage) -> Bool {
        watched[link.name]?.presence == .present(link.index)
    }

    private func keeps(_ name: String) -> Bool {
        if isNamed(name) { return true }
        guard let entry = watched[name], case .present(let index) = entry.presence else { return false }
        guard let link = machines[index]?.link else { return false }
        return options.enabled && options.discover && link.isPhysical && !isExcluded(name)
    }

    private mutating func appeared(_ link: LinkMessage, at now: Instant) -> [NICAction] {
        guard machines.count < NICTable.mostLinks else {
            ignored &+= 1
            return []
        }
        machines[link.index] = NICMachine(link, flapCount: options.flapCount, flapWindow: options.flapWindow)
        return begin(link.index, at: now) + noteRenames(link)
    }

    /// Starts to watch a link, if it is one to watch and is not watched yet.
    private mutating func begin(_ index: Int32, at now: Instant) -> [NICAction] {
        guard var machine = machines[index], !isWatched(machine.link) else { return [] }
        let name = machine.link.name
        guard isNamed(name) || isDiscoverable(machine.link) else { return [] }
        if let past = watched[name]?.past { machine.inherit(past, at: now) }
        machines[index] = machine
        watched[name] = Watched(
            presence: .present(index), past: nil, wasEverPresent: true)
        var actions: [NICAction] = [.report(finding(machine.current, machine))]
        if !machine.link.hasPromptEvents, !machine.link.isLoopback {
            polled.insert(index)
            actions.append(.poll(index: index, name: name))
        }
        return actions + [.inspect(index: index, name: name)]
    }

    private mutating func renamed(from old: String, _ machine: NICMachine, at now: Instant) -> [NICAction] {
        var actions = stopPolling(machine.link.index)
        if watched[old]?.presence == .present(machine.link.index) {
            actions += vanish(old, .renamed(to: machine.link.name), machine)
        }
        return actions + begin(machine.link.index, at: now)
    }

    /// A watched name lost its link: critical if someone asked for that name, else a tombstone.
    private mutating func vanish(_ name: String, _ presence: Presence, _ machine: NICMachine) -> [NICAction] {
        guard isNamed(name), watched.count < NICTable.mostLinks else {
            watched[name] = nil
            return [.forget(Subject(.nic, name))]
        }
        watched[name] = Watched(presence: presence, past: machine, wasEverPresent: true)
        return [.report(missingFinding(name))]
    }

    /// A link that bears the permanent address of a missing one explains where that one went.
    private mutating func noteRenames(_ link: LinkMessage) -> [NICAction] {
        guard let address = link.permanentAddress else { return [] }
        var actions: [NICAction] = []
        for name in watched.keys.sorted() where name != link.name {
            guard let entry = watched[name], entry.presence == .missing,
                entry.past?.link.permanentAddress == address
            else { continue }
            watched[name]?.presence = .renamed(to: link.name)
            actions.append(.report(missingFinding(name)))
        }
        return actions
    }

    private mutating func reportMissing() -> [NICAction] {
        let names =
            options.enabled ? options.include.filter { !NamePattern($0).isWildcard && !isExcluded($0) } : []
        var actions: [NICAction] = []
        for name in names + required where watched[name] == nil {
            watched[name] = Watched(presence: .missing, past: nil, wasEverPresent: false)
            actions.append(.report(missingFinding(name)))
        }
        return actions
    }

    private mutating func stopPolling(_ index: Int32) -> [NICAction] {
        polled.remove(index) == nil ? [] : [.stopPolling(index: index)]
    }
}

// MARK: - What is said

extension NICTable {
    private func missingFinding(_ name: String) -> Finding {
        let entry = watched[name]
        let reason: String
        switch entry?.presence {
        case .renamed(let other): reason = "renamed to \(other)"
        case .missing, .present, nil:
            reason = entry?.wasEverPresent == true ? "removed" : "no such interface"
        }
        return Finding(Subject(.nic, name), .critical, reason)
    }

    private func finding(_ change: NICMachine.Change, _ machine: NICMachine) -> Finding {
        let (status, reason) = verdict(change)
        let subject = Subject(.nic, machine.link.name)
        return Finding(subject, status, reason, values: NICTable.values(machine))
    }

    private func verdict(_ change: NICMachine.Change) -> (Status, String) {
        switch change.condition {
        case .administrativelyDown: return (.critical, "administratively down")
        case .noCarrier: return (.critical, "no carrier")
        case .withheld(let state): return (.critical, NICTable.words(state))
        case .up:
            guard change.isFlapping else { return (.ok, "up") }
            let window = options.flapWindow.components.seconds
            return (
                .warning, "up, but lost its carrier \(options.flapCount) times or more within \(window) s"
            )
        }
    }

    private static func words(_ state: OperationalState) -> String {
        switch state {
        case .dormant: "dormant: waiting for another event, such as authentication"
        case .testing: "in a test mode"
        case .notPresent: "a component is not present"
        case .unknown, .down, .lowerLayerDown, .up: "held back by the kernel"
        }
    }

    private static func values(_ machine: NICMachine) -> [NamedValue] {
        let link = machine.link
        var values = [NamedValue("ifindex", .integer(Int64(link.index)))]
        if let address = link.address { values.append(NamedValue("mac", .text(address))) }
        if let kind = link.kind { values.append(NamedValue("driver_kind", .text(kind))) }
        if let mtu = link.mtu { values.append(NamedValue("mtu_bytes", .integer(Int64(mtu)))) }
        if let speed = machine.speed {
            values.append(NamedValue("speed_bits_per_second", .integer(speed &* 1_000_000)))
        }
        if let counts = machine.carrierCounts {
            values.append(NamedValue("carrier_down_count", .integer(Int64(counts.down))))
        }
        return values
    }

    private static func measurements(_ machine: NICMachine) -> [NamedValue] {
        var values: [NamedValue] = []
        if let statistics = machine.link.statistics {
            let named: [(String, UInt64)] = [
                ("rx_bytes", statistics.receivedBytes), ("tx_bytes", statistics.sentBytes),
                ("rx_packets", statistics.receivedPackets), ("tx_packets", statistics.sentPackets),
                ("rx_errors", statistics.receiveErrors), ("tx_errors", statistics.sendErrors),
                ("rx_drops", statistics.receiveDrops), ("tx_drops", statistics.sendDrops),
            ]
            values = named.map { NamedValue($0.0, .integer(Int64(clamping: $0.1))) }
        }
        if let counts = machine.carrierCounts {
            values.append(NamedValue("carrier_down_count", .integer(Int64(counts.down))))
        }
        return values + [NamedValue("carrier_losses_seen", .integer(Int64(clamping: machine.losses)))]
    }
}
