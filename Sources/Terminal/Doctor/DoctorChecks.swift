// The checks of `holdfast doctor`: each looks at the facts and says what is not watched, why, and what to do.
public import Basics
import Wire

/// What a check found.
public struct DoctorFinding: Hashable, Sendable {
    public enum Verdict: String, Hashable, Sendable {
        case ok
        /// Something should be done.
        case advice
        /// It could not be looked at, or does not matter here.
        case skipped
    }

    public var check: String
    public var verdict: Verdict
    /// What is the case, in one clause.
    public var what: String
    /// What to do.
    public var advice: String?

    public init(_ check: String, _ verdict: Verdict, _ what: String, advice: String? = nil) {
        self.check = check
        self.verdict = verdict
        self.what = what
        self.advice = advice
    }

    public var json: JSON {
        .object([
            JSON.Member("check", .string(check)), JSON.Member("verdict", .string(verdict.rawValue)),
            JSON.Member("what", .string(what)), JSON.Member("advice", advice.map { .string($0) } ?? .null),
        ])
    }
}

public enum DoctorChecks {
    static let rawSockets: UInt64 = 1 << 13
    static let trace: UInt64 = 1 << 19

    /// All of them, in the order in which they are shown.
    public static let all: [@Sendable (DoctorFacts) -> [DoctorFinding]] = [
        agent, gateway, files, unknownSubjects, journal, interfaces, ping, reversePath, receiveBuffer,
        memberships, upsServers,
        upsDrivers,
        clock, lines, systemBus, pressure, executables,
    ]

    public static func findings(of facts: DoctorFacts) -> [DoctorFinding] { all.flatMap { $0(facts) } }

    @Sendable static func agent(_ facts: DoctorFacts) -> [DoctorFinding] {
        switch facts.answer {
        case .status(_, let subjects):
            [DoctorFinding("agent", .ok, "the agent answers and watches \(subjects) subjects")]
        case .none(let advice):
            [DoctorFinding("agent", .advice, "the agent does not answer: nothing is watched", advice: advice)]
        }
    }

    @Sendable static func gateway(_ facts: DoctorFacts) -> [DoctorFinding] {
        switch facts.gateway {
        case nil: [DoctorFinding("gateway", .skipped, "no feed is configured")]
        case .some(.status(let unknown, let subjects)):
            [DoctorFinding("gateway", .ok, "the gateway answers and tells of \(subjects) subjects")]
                + unknown.map(unknownSubject)
        case .some(.none(let advice)):
            [
                DoctorFinding(
                    "gateway", .advice, "the gateway does not answer: no feed is delivered", advice: advice)
            ]
        }
    }

    @Sendable static func journal(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard let folder = facts.journal else {
            return [DoctorFinding("journal", .skipped, "nothing is journalled")]
        }
        var found = facts.unjournalled.map {
            DoctorFinding(
                "journal", .advice, "\($0.subject): \($0.reason)",
                advice:
                    "see the folder's owner and space; one outside /var/lib/holdfast needs ReadWritePaths= in a drop-in of the unit"
            )
        }
        if folder.isWritable == false {
            found.append(
                DoctorFinding(
                    "journal", .advice, "the gateway's user may not write to \(folder.path)",
                    advice: "chown that user \(folder.path), or name another directory under [journal]"))
        }
        if let available = folder.availableBytes, available &+ folder.usedBytes < folder.keptBytes {
            let (kept, room) = (folder.keptBytes - folder.usedBytes, available)
            found.append(
                DoctorFinding(
                    "journal", .advice,
                    "\(bytes(kept)) more may be kept in \(folder.path), and there is room for \(bytes(room)): a full disk stops journalling",
                    advice:
                        "lower keep_bytes or keep under [journal], which is for each channel, or give it a larger disk"
                ))
        }
        guard found.isEmpty else { return found }
        return [
            DoctorFinding(
                "journal", .ok, "\(folder.path) has room for what is to be kept, as far as can be seen")
        ]
    }

    private static func bytes(_ count: UInt64) -> String {
        ValueText.figure(NamedValue("_bytes", .integer(Int64(clamping: count))))
    }

    @Sendable static func files(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard !facts.refusedFiles.isEmpty else {
            return [DoctorFinding("configuration", .ok, "the configuration files are good")]
        }
        return facts.refusedFiles.map {
            DoctorFinding(
                "configuration", .advice, $0,
                advice: "holdfast check-config FILE shows each problem; the daemons go on with what they had")
        }
    }

    @Sendable static func unknownSubjects(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard case .status(let unknown, _) = facts.answer else { return [] }
        guard !unknown.isEmpty else { return [DoctorFinding("subjects", .ok, "no subject is unknown")] }
        return unknown.map(unknownSubject)
    }

    private static func unknownSubject(_ item: DoctorFacts.UnknownSubject) -> DoctorFinding {
        DoctorFinding(
            "subjects", .advice, "\(item.subject) is unknown: \(item.reason)", advice: hint(item.subject.kind)
        )
    }

    private static func hint(_ kind: Kind) -> String {
        switch kind {
        case .path: "see the checks of ping and reverse path, and path.isp in agent.toml"
        case .ups: "see the checks of ups, and: upsc -l"
        case .process: "see process.watch in agent.toml; what it matches must run, or be readable"
        case .unit: "systemctl status of the unit, and the check of the system bus"
        case .disk: "is it mounted, and does it answer? dmesg tells of a device that does not"
        case .clock: "see the check of the clock"
        case .line: "a NIC that bypasses the kernel shows nothing; else see the drop-in line.conf"
        case .check: "run the command as the user holdfast"
        case .nic, .pressure: "does the kernel of this host offer it?"
        case .feed, .feedPath, .client, .replica: "holdfast status --gateway"
        }
    }

    @Sendable static func ping(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.watchesPaths else { return [DoctorFinding("ping", .skipped, "no path is watched")] }
        guard let process = facts.process else {
            return [DoctorFinding("ping", .skipped, "the agent's rights cannot be seen")]
        }
        if process.capabilities & rawSockets != 0 {
            return [DoctorFinding("ping", .ok, "the agent may send ICMP echo (CAP_NET_RAW)")]
        }
        if let range = facts.pingGroups, process.groups.contains(where: range.contains) {
            return [DoctorFinding("ping", .ok, "the agent may send ICMP echo (ping_group_range)")]
        }
        return [
            DoctorFinding(
                "ping", .advice, "the agent may not send ICMP echo: no path is watched",
                advice: "give it CAP_NET_RAW, as the shipped unit does, or widen net.ipv4.ping_group_range")
        ]
    }

    @Sendable static func interfaces(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.namedInterfaces > 0 else {
            return [DoctorFinding("interfaces", .skipped, "the configuration names none")]
        }
        guard !facts.missingInterfaces.isEmpty else {
            return [DoctorFinding("interfaces", .ok, "each one that the configuration names is there")]
        }
        return facts.missingInterfaces.map { name in
            DoctorFinding(
                "interfaces", .advice, "there is no interface \(name): nothing comes in or goes out there",
                advice: "ip link shows those that there are; correct interface in the configuration")
        }
    }

    @Sendable static func reversePath(_ facts: DoctorFacts) -> [DoctorFinding] {
        let strict = facts.reversePathFilters.filter { $0.value == 1 }.keys.sorted()
        guard facts.reversePathFilters.count > 1 || facts.multicastGroups > 0 else {
            return [DoctorFinding("reverse path", .skipped, "one interface, and no multicast")]
        }
        guard !strict.isEmpty else {
            return [DoctorFinding("reverse path", .ok, "no interface drops what it would answer elsewhere")]
        }
        return strict.map { name in
            DoctorFinding(
                "reverse path", .advice,
                "\(name) drops, silently, packets from sources that are routed through another interface",
                advice: "sysctl -w net.ipv4.conf.\(name).rp_filter=2, and the same line in /etc/sysctl.d")
        }
    }

    @Sendable static func receiveBuffer(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.multicastGroups > 0 else {
            return [DoctorFinding("receive buffer", .skipped, "no multicast feed is configured")]
        }
        guard let most = facts.mostReceiveBuffer else {
            return [DoctorFinding("receive buffer", .skipped, "net.core.rmem_max cannot be read here")]
        }
        guard most < facts.wantedReceiveBuffer else {
            return [DoctorFinding("receive buffer", .ok, "net.core.rmem_max is \(most) bytes")]
        }
        return [
            DoctorFinding(
                "receive buffer", .advice,
                "net.core.rmem_max is \(most) bytes: a burst of a feed is lost before it is read",
                advice:
                    "sysctl -w net.core.rmem_max=\(facts.wantedReceiveBuffer), and the same line in /etc/sysctl.d"
            )
        ]
    }

    @Sendable static func memberships(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.wantedMemberships > 0 else {
            return [DoctorFinding("memberships", .skipped, "no multicast feed is configured")]
        }
        guard let most = facts.igmpMemberships else {
            return [DoctorFinding("memberships", .skipped, "igmp_max_memberships cannot be read here")]
        }
        guard most < facts.wantedMemberships else {
            return [DoctorFinding("memberships", .ok, "a socket may join \(most) groups")]
        }
        return [
            DoctorFinding(
                "memberships", .advice,
                "a socket may join \(most) groups, fewer than the \(facts.wantedMemberships) that are needed",
                advice: "sysctl -w net.ipv4.igmp_max_memberships=\(max(20, facts.wantedMemberships)), "
                    + "and the same line in /etc/sysctl.d")
        ]
    }
}

// MARK: - What others must offer

extension DoctorChecks {
    @Sendable static func upsServers(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard !facts.upsServers.isEmpty else {
            return [DoctorFinding("ups", .skipped, "no UPS is to be watched")]
        }
        return facts.upsServers.map { server in
            guard let failure = server.failure else {
                return DoctorFinding("ups", .ok, "upsd answers at \(server.name)")
            }
            return DoctorFinding(
                "ups", .advice, "no upsd at \(server.name) (\(failure)): its UPSes are not watched",
                advice:
                    "set NUT up (apt-get install nut-server), name another host's upsd under [[ups.server]], "
                    + "or, without a UPS, set enabled = false under [ups]")
        }
    }

    @Sendable static func upsDrivers(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard !facts.driverSockets.isEmpty, let group = facts.driverGroup else {
            return [DoctorFinding("ups drivers", .skipped, "no driver of a UPS runs on this host")]
        }
        guard let process = facts.process else {
            return [DoctorFinding("ups drivers", .skipped, "the agent's rights cannot be seen")]
        }
        guard process.groups.contains(group) || process.capabilities & 2 != 0 else {
            return [
                DoctorFinding(
                    "ups drivers", .advice,
                    "the agent may not listen to the drivers themselves: a change is known at the next poll only",
                    advice:
                        "install the drop-in ups.conf of /usr/share/holdfast/drop-ins, see holdfast-agent(8)")
            ]
        }
        return [
            DoctorFinding(
                "ups drivers", .ok, "the agent hears \(facts.driverSockets.joined(separator: ", "))")
        ]
    }

    @Sendable static func clock(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.watchesClock else {
            return [DoctorFinding("clock", .skipped, "the clock is not watched")]
        }
        if let source = facts.clockSource, source == "chrony" || source == "kernel" {
            return [
                DoctorFinding(
                    "clock", .ok, "\(source == "chrony" ? "chronyd" : "the kernel") tells how the clock is")
            ]
        }
        guard let daemons = facts.clockDaemons else {
            return [DoctorFinding("clock", .skipped, "the host of this container keeps the clock")]
        }
        guard let daemon = daemons.first else {
            return [
                DoctorFinding(
                    "clock", .advice, "nothing keeps the clock of this host", advice: "apt-get install chrony"
                )
            ]
        }
        return [clock(keptBy: daemon, facts)]
    }

    /// A daemon keeps the clock, and neither it nor the kernel tells the agent how well.
    private static func clock(keptBy daemon: String, _ facts: DoctorFacts) -> DoctorFinding {
        switch (daemon, facts.answer) {
        case ("chronyd", .none): DoctorFinding("clock", .ok, "chronyd keeps the clock")
        case ("chronyd", .status):
            DoctorFinding(
                "clock", .advice, "chronyd keeps the clock and does not answer the agent",
                advice:
                    "see cmdport and bindcmdaddress in chrony.conf, and chrony_port under [clock] in agent.toml"
            )
        case ("systemd-timesyncd", _):
            DoctorFinding(
                "clock", .advice, "systemd-timesyncd keeps the clock, and does not say how far off it may be",
                advice: "apt-get install chrony, whose offset and bound the agent can publish")
        case _:
            DoctorFinding(
                "clock", .advice, "\(daemon) keeps the clock, and only the kernel says how well",
                advice:
                    "install the drop-in clock.conf of /usr/share/holdfast/drop-ins, see holdfast-agent(8)")
        }
    }

    @Sendable static func lines(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard facts.lineFeeds > 0 else {
            return [DoctorFinding("lines", .skipped, "no feed is watched on the wire")]
        }
        let advice = "install the drop-in line.conf of /usr/share/holdfast/drop-ins, see holdfast-agent(8)"
        guard facts.refusedLines.isEmpty else {
            let names = facts.refusedLines.joined(separator: ", ")
            return [DoctorFinding("lines", .advice, "the agent may not capture: \(names)", advice: advice)]
        }
        if case .none = facts.answer, facts.hasLineDropIn == false {
            return [
                DoctorFinding("lines", .advice, "the agent's unit will not let it capture", advice: advice)
            ]
        }
        guard case .status = facts.answer else {
            return [DoctorFinding("lines", .skipped, "the agent's rights cannot be seen")]
        }
        return [DoctorFinding("lines", .ok, "the agent may capture")]
    }

    @Sendable static func systemBus(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard let bus = facts.systemBus else { return [] }
        guard let failure = bus.failure else {
            return [DoctorFinding("system bus", .ok, "systemd can be asked about its units")]
        }
        return [
            DoctorFinding(
                "system bus", .advice, "no system bus (\(failure)): units are not watched",
                advice: "apt-get install dbus; in a container, watch processes instead")
        ]
    }

    @Sendable static func pressure(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard let has = facts.hasPressure else { return [] }
        guard !has else { return [DoctorFinding("pressure", .ok, "the kernel tells of pressure")] }
        return [
            DoctorFinding(
                "pressure", .advice, "the kernel does not tell of pressure (/proc/pressure)",
                advice: "boot with psi=1")
        ]
    }

    @Sendable static func executables(_ facts: DoctorFacts) -> [DoctorFinding] {
        guard !facts.executables.isEmpty else { return [] }
        guard let process = facts.process else {
            return [DoctorFinding("executables", .skipped, "the agent's rights cannot be seen")]
        }
        guard process.capabilities & trace == 0 else {
            return [DoctorFinding("executables", .ok, "the agent sees which file a process runs")]
        }
        return [
            DoctorFinding(
                "executables", .advice,
                "the agent does not see which file another user's process runs: "
                    + facts.executables.joined(separator: ", "),
                advice:
                    "install the drop-in executables.conf of /usr/share/holdfast/drop-ins, or use match_name")
        ]
    }
}

// MARK: - For a person

public enum DoctorReport {
    /// What is to do first, each with its advice on a line of its own; then what is well.
    public static func lines(_ findings: [DoctorFinding], palette: Palette) -> [String] {
        let order: [DoctorFinding.Verdict] = [.advice, .ok, .skipped]
        var lines: [String] = []
        for verdict in order {
            for finding in findings where finding.verdict == verdict { lines += self.lines(finding, palette) }
        }
        let count = findings.count { $0.verdict == .advice }
        return lines + ["", count == 0 ? "nothing to do" : "\(count) to do"]
    }

    private static func lines(_ finding: DoctorFinding, _ palette: Palette) -> [String] {
        let text = "\(finding.check): \(finding.what)".printable
        switch finding.verdict {
        case .ok: return [palette.paint("ok  ", .ok) + "  " + text]
        case .skipped: return [palette.faint("-     " + text)]
        case .advice:
            let advice = finding.advice.map { ["      " + $0.printable] } ?? []
            return [palette.paint("to do", .warning) + " " + text] + advice
        }
    }
}
