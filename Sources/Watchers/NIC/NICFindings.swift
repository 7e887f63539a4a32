// What is said of a NIC: its status and reason, and the values that go with them.
import Basics
import Configuration
public import Wire

extension NICTable {
    /// Reports the conditions that a link passed through, and its present state if that is news; always, to bring
    /// its values up to date.
    mutating func tell(
        _ changes: [NICMachine.Change], of index: Int32, at now: Instant, always: Bool = false
    ) -> [NICAction] {
        guard let machine = machines[index], isWatched(machine.link) else { return [] }
        var actions: [NICAction] = changes.dropLast().map { .report(finding($0, machine, at: now)) }
        let present = finding(machine.current, machine, at: now)
        let told = Told(status: present.status, reason: present.reason, dependsOn: present.dependsOn)
        guard always || !changes.isEmpty || records[index]?.told != told else { return actions }
        records[index]?.told = told
        actions.append(.report(present))
        return actions
    }

    /// Whatever is news of any watched link.
    mutating func tellAll(at now: Instant) -> [NICAction] {
        var actions: [NICAction] = []
        for index in watchedLinks.sorted() { actions += tell([], of: index, at: now) }
        return actions
    }

    func missingFinding(_ name: String) -> Finding {
        let entry = watched[name]
        let reason: String
        switch entry?.presence {
        case .renamed(let other): reason = "renamed to \(other)"
        case .missing, .present, nil:
            reason = entry?.wasEverPresent == true ? "removed" : "no such interface"
        }
        return Finding(Subject(.nic, name), .critical, reason)
    }

    private func finding(_ change: NICMachine.Change, _ machine: NICMachine, at now: Instant) -> Finding {
        let link = machine.link
        let members = members(of: link)
        let (status, reason) = verdict(change, machine, members, at: now)
        let lower = (link.parent.map { [$0] } ?? []) + members.map(\.index)
        return Finding(
            Subject(.nic, link.name), status, reason, values: values(machine, members),
            dependsOn: lower.compactMap { machines[$0].map { Subject(.nic, $0.link.name) } })
    }

    private func verdict(
        _ change: NICMachine.Change, _ machine: NICMachine, _ members: [LinkMessage], at now: Instant
    ) -> (Status, String) {
        switch change.condition {
        case .administrativelyDown: return (.critical, "administratively down")
        case .noCarrier: return (.critical, noCarrier(machine.link, members))
        case .withheld(let state): return (.critical, NICTable.words(state))
        case .up: break
        }
        var worst = NICConcern(.ok, up(machine.link))
        for concern in concerns(change, machine, members, at: now)
        where concern.status.severity > worst.status.severity {
            worst = concern
        }
        return (worst.status, worst.clause)
    }

    private func noCarrier(_ link: LinkMessage, _ members: [LinkMessage]) -> String {
        if link.isBond {
            return members.isEmpty
                ? "no carrier: it has no members"
                : "no carrier: none of its \(members.count) members is up"
        }
        return "no carrier" + (records[link.index]?.details.downReason.map { ": \($0)" } ?? "")
    }

    private func up(_ link: LinkMessage) -> String {
        guard let active = link.bond?.activeMember, let name = machines[active]?.link.name else {
            return "up"
        }
        return "up over \(name)"
    }

    /// What is not quite well with a NIC that is up, in the order in which it matters.
    private func concerns(
        _ change: NICMachine.Change, _ machine: NICMachine, _ members: [LinkMessage], at now: Instant
    ) -> [NICConcern] {
        let link = machine.link
        var concerns = degraded(link, members)
        if change.isFlapping {
            let window = options.flapWindow.components.seconds
            concerns.append(
                NICConcern(
                    .warning, "up, but lost its carrier \(options.flapCount) times or more within \(window) s"
                ))
        }
        guard let record = records[link.index] else { return concerns }
        concerns += record.traffic.concerns
        concerns += slow(link, record)
        concerns += reach.losses(
            of: link.index, upSince: machine.upSince, dwell: options.addressDwell, at: now
        ).map { NICConcern(.warning, $0) }
        return concerns
    }

    /// A bond that has lost members.
    private func degraded(_ bond: LinkMessage, _ members: [LinkMessage]) -> [NICConcern] {
        let down = members.filter { !$0.carriesFor(bond) }
        guard let first = down.first else { return [] }
        if down.count == members.count {
            return [NICConcern(.critical, "none of its \(down.count) members is up")]
        }
        let up = members.count - down.count
        return [
            NICConcern(
                .warning,
                "\(up) of \(members.count) members \(up == 1 ? "is" : "are") up: \(first.whyNotCarrying)")
        ]
    }

    /// A link that is slower than it should be.
    private func slow(_ link: LinkMessage, _ record: Record) -> [NICConcern] {
        var concerns: [NICConcern] = []
        let least = options.links.first { NamePattern($0.name).matches(link.name) }?.speedAtLeast
        if let speed = record.details.speed {
            if let least, speed < Int64(least) {
                concerns.append(NICConcern(.warning, "its speed is \(speed) Mbit/s, less than \(least)"))
            } else if least == nil, !link.isBond, let fastest = record.fastest, speed < fastest {
                concerns.append(NICConcern(.warning, "its speed fell from \(fastest) to \(speed) Mbit/s"))
            }
        }
        if record.details.isFullDuplex == false {
            concerns.append(NICConcern(.warning, "half duplex: see what its port negotiates"))
        }
        return concerns
    }

    private static func words(_ state: OperationalState) -> String {
        switch state {
        case .dormant: "dormant: waiting for another event, such as authentication"
        case .testing: "in a test mode"
        case .notPresent: "a component is not present"
        case .unknown, .down, .lowerLayerDown, .up: "held back by the kernel"
        }
    }
}

extension LinkMessage {
    /// Whether a member does its part in its bond. In 802.3ad one without a partner stands aside.
    fileprivate func carriesFor(_ bond: LinkMessage) -> Bool {
        isAdministrativelyUp && hasCarrier && bondMember?.isLinkUp != false
            && !(bond.bond?.mode == 4 && bondMember?.isActive == false)
    }

    fileprivate var whyNotCarrying: String {
        if !isAdministrativelyUp { return "\(name) is administratively down" }
        if !hasCarrier { return "\(name) has no carrier" }
        if bondMember?.isLinkUp == false { return "the bond finds \(name) down" }
        return "\(name) is in no aggregate; see LACP on its port"
    }
}

// MARK: - Values

extension NICTable {
    private func values(_ machine: NICMachine, _ members: [LinkMessage]) -> [NamedValue] {
        let link = machine.link
        let record = records[link.index]
        var values = [NamedValue("ifindex", .integer(Int64(link.index)))]
        if let address = link.address { values.append(NamedValue("mac", .text(address))) }
        if let kind = link.kind { values.append(NamedValue("driver_kind", .text(kind))) }
        if let mtu = link.mtu { values.append(NamedValue("mtu_bytes", .integer(Int64(mtu)))) }
        if let speed = record?.details.speed {
            values.append(NamedValue("speed_bits_per_second", .integer(speed &* 1_000_000)))
        }
        if let isFull = record?.details.isFullDuplex {
            values.append(NamedValue("duplex", .text(isFull ? "full" : "half")))
        }
        if let counts = machine.carrierCounts {
            values.append(NamedValue("carrier_down_count", .integer(Int64(counts.down))))
        }
        if link.isBond {
            let up = members.count { $0.carriesFor(link) }
            values.append(NamedValue("members", .integer(Int64(members.count))))
            values.append(NamedValue("members_up", .integer(Int64(up))))
            if let active = link.bond?.activeMember, let name = machines[active]?.link.name {
                values.append(NamedValue("active_member", .text(name)))
            }
        }
        return values + NICTable.rates(record)
    }

    private static func rates(_ record: Record?) -> [NamedValue] {
        var values: [NamedValue] = []
        if let errors = record?.traffic.errors {
            values.append(NamedValue("errors_per_second", .number(errors)))
        }
        if let drops = record?.traffic.drops { values.append(NamedValue("drops_per_second", .number(drops))) }
        return values
    }

    /// The samples of all watched links.
    public var samples: [Sample] {
        watchedLinks.sorted().compactMap { index in
            machines[index].map { Sample(Subject(.nic, $0.link.name), measurements($0)) }
        }
    }

    private func measurements(_ machine: NICMachine) -> [NamedValue] {
        var values: [NamedValue] = []
        if let statistics = machine.link.statistics {
            let named: [(String, UInt64)] = [
                ("rx_bytes", statistics.receivedBytes), ("tx_bytes", statistics.sentBytes),
                ("rx_packets", statistics.receivedPackets), ("tx_packets", statistics.sentPackets),
                ("rx_errors", statistics.receiveErrors), ("tx_errors", statistics.sendErrors),
                ("rx_drops", statistics.receiveDrops), ("tx_drops", statistics.sendDrops),
                ("rx_missed", statistics.receiveMissed),
            ]
            values = named.map { NamedValue($0.0, .integer(Int64(clamping: $0.1))) }
        }
        values += NICTable.rates(records[machine.link.index])
        if let counts = machine.carrierCounts {
            values.append(NamedValue("carrier_down_count", .integer(Int64(counts.down))))
        }
        return values + [NamedValue("carrier_losses_seen", .integer(Int64(clamping: machine.losses)))]
    }
}
