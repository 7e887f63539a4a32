// Which links are watched: those that somebody named, those that are found, and those under them.
import Basics
import Configuration
import Wire

extension NICTable {
    func isExcluded(_ name: String) -> Bool {
        options.exclude.contains { NamePattern($0).matches(name) }
    }

    func isNamed(_ name: String) -> Bool {
        options.enabled && (options.include.contains { NamePattern($0).matches(name) } && !isExcluded(name))
            || required.contains(name)
    }

    private func isDiscoverable(_ link: LinkMessage) -> Bool {
        mayBeDiscovered(link) && link.isAdministrativelyUp
    }

    private func mayBeDiscovered(_ link: LinkMessage) -> Bool {
        options.enabled && options.discover && (link.isPhysical || link.isBond) && !isExcluded(link.name)
    }

    /// Whether a watched link stands on this one.
    private func isUnderWatched(_ link: LinkMessage) -> Bool {
        guard options.enabled, !isExcluded(link.name) else { return false }
        return watchedLinks.contains { index in
            index != link.index && machines[index].map { lower(of: $0.link).contains(link.index) } ?? false
        }
    }

    func isWatched(_ link: LinkMessage) -> Bool {
        watched[link.name]?.presence == .present(link.index)
    }

    func keeps(_ name: String) -> Bool {
        if isNamed(name) { return true }
        guard let entry = watched[name] else { return false }
        guard case .present(let index) = entry.presence else {
            return options.enabled && entry.mournedSince != nil
        }
        guard let link = machines[index]?.link else { return false }
        return mayBeDiscovered(link) || isUnderWatched(link)
    }

    /// So many links stand on one another at most (the kernel's MAX_NEST_DEV). Where news was lost, two of one name may
    /// seem to stand on each other.
    private static let deepest = 8

    /// Starts to watch a link, if it is one to watch and is not watched yet, and what it stands on.
    mutating func begin(_ index: Int32, at now: Instant, depth: Int = 0) -> [NICAction] {
        guard var machine = machines[index], !isWatched(machine.link) else { return [] }
        let name = machine.link.name
        guard isNamed(name) || isDiscoverable(machine.link) || isUnderWatched(machine.link) else { return [] }
        if let past = watched[name]?.past { machine.inherit(past, at: now) }
        machines[index] = machine
        watched[name] = Watched(presence: .present(index), past: nil, wasEverPresent: true)
        records[index] = records[index] ?? Record(traffic: LinkTraffic(options))
        var actions: [NICAction] = []
        for lower in lower(of: machine.link) where depth < NICTable.deepest {
            actions += begin(lower, at: now, depth: depth + 1)
        }
        actions += tell([machine.current], of: index, at: now)
        if !machine.link.hasPromptEvents, !machine.link.isLoopback {
            polled.insert(index)
            actions.append(.poll(index: index, name: name))
        }
        return actions + [look(at: machine.link)]
    }

    mutating func renamed(from old: String, _ machine: NICMachine, at now: Instant) -> [NICAction] {
        let index = machine.link.index
        let record = records[index]
        var actions = stopPolling(index)
        if watched[old]?.presence == .present(index) {
            actions += vanish(old, .renamed(to: machine.link.name), machine, at: now)
        }
        records[index] = record
        actions += begin(index, at: now)
        if !isWatched(machine.link) { records[index] = nil }
        return actions + related(machine.link, at: now)
    }

    /// A watched name lost its link: critical if someone asked for that name, and for a while if it was unplugged;
    /// else a tombstone.
    mutating func vanish(_ name: String, _ presence: Presence, _ machine: NICMachine, at now: Instant)
        -> [NICAction]
    {
        let isMourned = !isNamed(name)
        if isMourned, presence != .missing || !options.enabled { return drop(name) }
        watched[name] = Watched(
            presence: presence, past: machine, wasEverPresent: true, mournedSince: isMourned ? now : nil)
        return [.report(missingFinding(name))]
    }

    /// A link that bears the permanent address of a missing one explains where that one went.
    mutating func noteRenames(_ link: LinkMessage, at now: Instant) -> [NICAction] {
        guard let address = link.permanentAddress else { return [] }
        var actions: [NICAction] = []
        for name in watched.keys.sorted() where name != link.name {
            guard let entry = watched[name], entry.presence == .missing, let past = entry.past,
                past.link.permanentAddress == address
            else { continue }
            machines[link.index]?.inherit(past, at: now)
            if isNamed(name) {
                watched[name]?.presence = .renamed(to: link.name)
                actions.append(.report(missingFinding(name)))
            } else {
                actions += drop(name)
            }
            actions += tell([], of: link.index, at: now)
        }
        return actions
    }

    mutating func reportMissing() -> [NICAction] {
        let names =
            options.enabled ? options.include.filter { !NamePattern($0).isWildcard && !isExcluded($0) } : []
        var actions: [NICAction] = []
        for name in names + required where watched[name] == nil {
            watched[name] = Watched(presence: .missing, past: nil, wasEverPresent: false)
            actions.append(.report(missingFinding(name)))
        }
        return actions
    }

    /// Watches a name no longer.
    mutating func drop(_ name: String) -> [NICAction] {
        guard let entry = watched.removeValue(forKey: name) else { return [] }
        guard case .present(let index) = entry.presence else { return [.forget(Subject(.nic, name))] }
        records[index] = nil
        return stopPolling(index) + [.forget(Subject(.nic, name))]
    }

    /// Drops those links that were watched only for what stood on them.
    mutating func release(_ indices: [Int32]) -> [NICAction] {
        var actions: [NICAction] = []
        for index in indices {
            guard let link = machines[index]?.link, isWatched(link), !keeps(link.name) else { continue }
            actions += drop(link.name) + release(lower(of: link))
        }
        return actions
    }

    mutating func stopPolling(_ index: Int32) -> [NICAction] {
        polled.remove(index) == nil ? [] : [.stopPolling(index: index)]
    }
}

// MARK: - What stands on what

extension LinkMessage {
    /// A link made of others.
    var isBond: Bool { kind == "bond" || kind == "team" }

    /// The index of the link that this one is a part of: a VLAN, a macvlan. A veth has a peer and no parent.
    var parent: Int32? {
        guard kind != nil, kind != "veth", !isLowerElsewhere, let lower, lower > 0, lower != index else {
            return nil
        }
        return lower
    }
}

extension NICTable {
    /// The members of a bond, by name.
    func members(of link: LinkMessage) -> [LinkMessage] {
        guard link.isBond else { return [] }
        return machines.values.map(\.link).filter { $0.master == link.index }.sorted { $0.name < $1.name }
    }

    /// What a link stands on: its parent, or its members.
    func lower(of link: LinkMessage) -> [Int32] {
        (link.parent.map { [$0] } ?? []) + members(of: link).map(\.index)
    }

    /// What is told of the bond of a link, which may be another matter now.
    mutating func related(_ link: LinkMessage, at now: Instant) -> [NICAction] {
        guard let master = link.master, let bond = machines[master]?.link, bond.isBond else { return [] }
        return tell([], of: master, at: now)
    }
}
