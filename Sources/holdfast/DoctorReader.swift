// What `holdfast doctor` reads of this host: /proc, sockets, the configuration, and the daemons' own word.
import Basics
import Configuration
import Linux
import Terminal
import Wire

/// Finds out what the checks look at. What cannot be read stays `nil`.
struct DoctorReader {
    /// The receive buffer that the gateway asks for each line.
    private static let lineBuffer = 16 << 20
    /// By the first 15 bytes of their names, which is what the kernel keeps; chronyd first, which tells most.
    private static let clockDaemons = [
        "chronyd", "ptp4l", "phc2sys", "timemaster", "sfptpd", "ptpd", "ntpd", "ntp-daemon", "openntpd",
        "systemd-timesyn",
    ]
    private static let agentUnit = "holdfast-agent.service"
    private static let systemBus = "/run/dbus/system_bus_socket"

    private var agent = AgentOptions()
    private var gateway = GatewayOptions()
    private var refused: [String] = []

    init(agentFile: String, gatewayFile: String) {
        do throws(ConfigurationError) {
            agent = try AgentFile.read(path: agentFile)
        } catch {
            note(error, isDefault: agentFile == AgentFile.defaultPath)
        }
        do throws(ConfigurationError) {
            gateway = try GatewayFile.read(path: gatewayFile)
        } catch {
            note(error, isDefault: gatewayFile == GatewayFile.defaultPath)
        }
    }

    /// Files that are there by choice may be missing.
    private mutating func note(_ error: ConfigurationError, isDefault: Bool) {
        guard error.cause != .missing || !isDefault else { return }
        refused.append("\(error)".split(separator: "\n").joined(separator: "; "))
    }

    func facts(within limit: Duration) throws -> DoctorFacts {
        var facts = DoctorFacts()
        facts.refusedFiles = refused
        facts.watchesPaths = agent.path.enabled
        facts.watchesClock = agent.clock.enabled
        facts.lineFeeds = agent.lines.count
        facts.executables = agent.process.watched.compactMap { watch in
            if case .executable = watch.match { watch.name } else { nil }
        }
        let names = try askAgent(within: limit, &facts)
        let process = try askGateway(within: limit, &facts)
        readJournal(&facts, process)
        readSystem(&facts)
        readNetwork(&facts, watched: names)
        readUPS(&facts)
        return facts
    }

    /// Returns the NICs that the agent watches.
    private func askAgent(within limit: Duration, _ facts: inout DoctorFacts) throws -> [String] {
        guard let endpoint = agent.bus.request.first(where: { Endpoint.isLocal($0) }) else {
            facts.answer = .none(advice: "the agent's bus.request has no endpoint for this host")
            return []
        }
        if endpoint.hasPrefix("ipc://") {
            facts.process = Reachability.listener(atUnixSocket: String(endpoint.dropFirst(6)))
                .flatMap(DoctorReader.process)
        }
        guard Advice.mightExist(endpoint) else {
            facts.answer = .none(advice: Advice.forSilence(of: endpoint))
            return []
        }
        let outcomes = try Asking.ask(.status, of: [Target(endpoint: endpoint)], within: limit)
        let answers = outcomes.map { DaemonAnswer(endpoint: $0.endpoint, $0.outcome) }
        guard let states = answers.first?.document?.states else {
            facts.answer = .none(advice: answers.first?.failure ?? Advice.forSilence(of: endpoint))
            return []
        }
        let unknown = states.filter { $0.status == .unknown }
        facts.answer = .status(
            unknown: unknown.map { DoctorFacts.UnknownSubject($0.subject, $0.reason) }, subjects: states.count
        )
        facts.clockSource = states.first { $0.subject.kind == .clock }.flatMap(DoctorReader.source)
        facts.refusedLines = unknown.filter {
            $0.subject.kind == .line && $0.reason.hasPrefix("not allowed to capture")
        }.map(\.subject.name)
        return states.filter { $0.subject.kind == .nic }.map(\.subject.name)
    }

    /// Returns the gateway's process, where it can be seen.
    private func askGateway(within limit: Duration, _ facts: inout DoctorFacts) throws -> Int32? {
        guard let endpoint = gateway.bus.request.first(where: { Endpoint.isLocal($0) }) else { return nil }
        guard gateway.hasWork else { return nil }
        guard Advice.mightExist(endpoint) else {
            facts.gateway = DoctorFacts.Answer.none(advice: Advice.forSilence(of: endpoint))
            return nil
        }
        let outcomes = try Asking.ask(.status, of: [Target(endpoint: endpoint)], within: limit)
        let answer = outcomes.map { DaemonAnswer(endpoint: $0.endpoint, $0.outcome) }.first
        guard let states = answer?.document?.states else {
            facts.gateway = DoctorFacts.Answer.none(
                advice: answer?.failure ?? Advice.forSilence(of: endpoint))
            return nil
        }
        facts.gateway = .status(
            unknown: states.filter { $0.status == .unknown }.map { .init($0.subject, $0.reason) },
            subjects: states.count)
        facts.unjournalled = states.compactMap { state in
            guard let start = state.reason.firstRange(of: "not journalled: ") else { return nil }
            return .init(state.subject, String(state.reason[start.lowerBound...]))
        }
        guard endpoint.hasPrefix("ipc://") else { return nil }
        return Reachability.listener(atUnixSocket: String(endpoint.dropFirst(6)))
    }

    private func readJournal(_ facts: inout DoctorFacts, _ process: Int32?) {
        let own = gateway.feeds.filter(\.journal).reduce(0) { $0 + max(1, $1.channels.count) }
        let channels = own + gateway.replicas.reduce(0) { $0 + $1.feeds.count }
        guard channels > 0 else { return }
        let path = gateway.journal.directory
        var folder = DoctorFacts.JournalFolder(path)
        folder.keptBytes = UInt64(clamping: gateway.journal.keepBytes).multiplied(by: channels)
        folder.usedBytes = DoctorReader.size(ofFolder: path, depth: 3)
        if let process, let user = DoctorReader.user(process) {
            folder.isWritable = Files.mayWrite(in: path, user: user.id, groups: user.groups)
        }
        // The folder may be made with the first message.
        var place = path
        while place.count > 1, !Files.exists(place) {
            place = String(place[..<(place.lastIndex(of: "/") ?? place.startIndex)])
        }
        let usage = try? FileSystemUsage(ofMountPoint: Array((place.isEmpty ? "/" : place).utf8))
        folder.availableBytes = usage?.availableBytes
        facts.journal = folder
    }

    /// Of the files in it, and in the folders in it down to `depth`.
    private static func size(ofFolder path: String, depth: Int) -> UInt64 {
        guard let names = try? Files.names(in: path) else { return 0 }
        return names.reduce(0) { sum, name in
            let inner = "\(path)/\(name)"
            let isFolder = depth > 0 && (try? Files.names(in: inner)) != nil
            return sum &+ (isFolder ? size(ofFolder: inner, depth: depth - 1) : Files.size(inner) ?? 0)
        }
    }

    /// The effective user and the groups of a process, by /proc/PID/status.
    private static func user(_ number: Int32) -> (id: UInt32, groups: [UInt32])? {
        guard let text = try? Files.text("/proc/\(number)/status") else { return nil }
        var user: UInt32?
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            if words.first == "Uid:", words.count > 2 { user = UInt32(words[2]) }
        }
        return user.map { ($0, process(number)?.groups ?? []) }
    }

    private static func source(of clock: StateMessage) -> String? {
        guard case .text(let source) = clock.values.first(where: { $0.name == "source" })?.value else {
            return nil
        }
        return source
    }

    /// Capabilities and groups, by /proc/PID/status.
    private static func process(_ number: Int32) -> DoctorFacts.Process? {
        guard let text = try? Files.text("/proc/\(number)/status") else { return nil }
        var capabilities: UInt64?
        var groups: [UInt32] = []
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            switch words.first {
            case "CapEff:": capabilities = words.last.flatMap { UInt64($0, radix: 16) }
            case "Gid:", "Groups:": groups += words.dropFirst().compactMap { UInt32($0) }
            case _: break
            }
        }
        return capabilities.map { DoctorFacts.Process(capabilities: $0, groups: groups) }
    }
}

// MARK: - The host

extension DoctorReader {
    private func readSystem(_ facts: inout DoctorFacts) {
        facts.hasPressure = Files.exists("/proc/pressure/cpu")
        facts.systemBus = DoctorFacts.Reach(
            DoctorReader.systemBus,
            failure: ResolvedAddress(unix: DoctorReader.systemBus).flatMap {
                Reachability.failure(at: $0, limit: 1000)
            })
        facts.hasLineDropIn = hasDropIn("line.conf")
        // Where processes have a namespace of their own, those of the host are hidden, and it keeps the clock.
        guard (try? Files.target(ofLink: "/proc/self/ns/pid")) == "pid:[4026531836]" else { return }
        let processes = ((try? Files.names(in: "/proc")) ?? []).filter { Int32($0) != nil }
        let names = Set(processes.compactMap { try? Files.text("/proc/\($0)/comm", limit: 64) })
        facts.clockDaemons = DoctorReader.clockDaemons.filter(names.contains).map {
            $0 == "systemd-timesyn" ? "systemd-timesyncd" : $0
        }
    }

    /// `nil`: the agent's unit is not installed here.
    private func hasDropIn(_ name: String) -> Bool? {
        let folders = [
            "/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
        ]
        guard folders.contains(where: { Files.exists("\($0)/\(DoctorReader.agentUnit)") }) else { return nil }
        return folders.contains { Files.exists("\($0)/\(DoctorReader.agentUnit).d/\(name)") }
    }

    private func readNetwork(_ facts: inout DoctorFacts, watched: [String]) {
        let sysctls = "/proc/sys/net/ipv4"
        func number(_ path: String) -> Int? { (try? Files.text(path, limit: 64)).flatMap { Int($0) } }
        let range = (try? Files.text("\(sysctls)/ping_group_range", limit: 64))?
            .split { $0 == " " || $0 == "\t" }.compactMap { UInt32($0) }
        if let range, range.count == 2, range[0] <= range[1] { facts.pingGroups = range[0]...range[1] }
        let feeds = gateway.feeds.flatMap(\.paths)
        let recoveries = gateway.feeds.map(\.recover)
        let configured =
            agent.path.isps.compactMap(\.interface) + feeds.compactMap(\.interface)
            + recoveries.compactMap(\.interface)
        // A line is captured below the filter that looks at where packets come from.
        let named = Set(configured + agent.lines.flatMap(\.paths).map(\.interface))
        facts.namedInterfaces = named.count
        facts.missingInterfaces = named.filter { Interface.index(of: $0) == nil }.sorted()
        for name in Set(configured + watched + physical) where name != "lo" {
            // Dots in a name are dots in the path: it is a folder.
            guard let own = number("\(sysctls)/conf/\(name)/rp_filter") else { continue }
            facts.reversePathFilters[name] = max(own, number("\(sysctls)/conf/all/rp_filter") ?? 0)
        }
        facts.multicastGroups =
            feeds.reduce(0) { $0 + $1.groups.count } + recoveries.reduce(0) { $0 + $1.groups.count }
        facts.wantedReceiveBuffer = DoctorReader.lineBuffer
        facts.mostReceiveBuffer = number("/proc/sys/net/core/rmem_max")
        // One socket for each group.
        facts.wantedMemberships = min(1, facts.multicastGroups)
        facts.igmpMemberships = number("\(sysctls)/igmp_max_memberships")
    }

    private var physical: [String] {
        ((try? Files.names(in: "/sys/class/net")) ?? []).filter {
            Files.exists("/sys/class/net/\($0)/device")
        }
    }

    private func readUPS(_ facts: inout DoctorFacts) {
        guard agent.ups.enabled else { return }
        var servers = agent.ups.servers.map { (host: $0.host, port: UInt16(clamping: $0.port)) }
        if agent.ups.discover { servers.insert((host: "127.0.0.1", port: 3493), at: 0) }
        facts.upsServers = servers.map { server in
            DoctorFacts.Reach("\(server.host):\(server.port)", failure: failure(of: server.host, server.port))
        }
        let folder = agent.ups.driverFolder
        facts.driverSockets = ((try? Files.names(in: folder)) ?? []).filter {
            Reachability.isSocket("\(folder)/\($0)")
        }.sorted()
        facts.driverGroup = facts.driverSockets.first.flatMap { Reachability.group(of: "\(folder)/\($0)") }
    }

    private func failure(of host: String, _ port: UInt16) -> String? {
        switch ResolvedAddress.lookUp(host: host, port: port) {
        case .failure(let failure): return failure.description
        case .success(let addresses):
            var why: String?
            for address in addresses {
                why = Reachability.failure(at: address, limit: 1000)
                if why == nil { return nil }
            }
            return why
        }
    }
}

extension UInt64 {
    fileprivate func multiplied(by factor: Int) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: UInt64(clamping: factor))
        return overflow ? .max : product
    }
}
