// The default files that are shipped: they document every key, and they tell the truth about the defaults.
import Basics
import Testing
import Wire

@testable import Configuration

@Suite struct ShippedFilesTests {
    static let packaging =
        String(#filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }) + "/packaging"
    let agent: String
    let gateway: String

    init() throws {
        agent = try FileText.read(path: Self.packaging + "/agent.toml")
        gateway = try FileText.read(path: Self.packaging + "/gateway.toml")
    }

    /// The file with its keys taken out of their comments: `#key`; prose starts with `# `.
    private func uncommented(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? $0.dropFirst() : $0 }
            .joined(separator: "\n")
    }

    @Test func `as shipped, the agent's file changes nothing`() throws {
        #expect(try AgentFile.parse(agent, name: "agent.toml") == AgentOptions())
    }

    @Test func `as shipped, the gateway's file changes nothing`() throws {
        #expect(try GatewayFile.parse(gateway, name: "gateway.toml") == GatewayOptions())
    }

    @Test func `the agent's file documents every key`() {
        var documented = KeyLines(of: uncommented(agent)).keys
        for way in ["match_command", "match_executable", "pidfile", "unit"]
        where agent.contains("\n#     \(way) = ") {
            documented.insert("process.watch[].\(way)")
        }
        #expect(documented == Set(AgentFile.keyPaths))
    }

    @Test func `the gateway's file documents every key`() {
        #expect(KeyLines(of: uncommented(gateway)).keys == Set(GatewayFile.keyPaths))
    }

    @Test func `holdfast.toml(5) has every key, and no other`() throws {
        let page = try FileText.read(path: Self.packaging + "/man/holdfast.toml.5")
        let known = AgentFile.keyPaths + GatewayFile.keyPaths + ClientsFile.keyPaths
        #expect(Self.keys(ofPage: page).symmetricDifference(known) == [])
    }

    /// The key paths that the page documents: `.Ss [table]` or `.Ss [[table]]`, then `.It Va key`.
    private static func keys(ofPage page: String) -> Set<String> {
        let lines = page.split(separator: "\n")
        let arrays = Set(
            lines.compactMap { $0.wholeMatch(of: /\.Ss \[\[(.+)\]\]/).map { String($0.1) } })
        var table = ""
        var keys: Set<String> = []
        for line in lines {
            if line.hasPrefix(".Sh ") { table = "" }
            if let heading = line.wholeMatch(of: /\.Ss \[+(.+?)\]+/) {
                let parts = heading.1.split(separator: ".")
                table = parts.indices.reduce("") { path, index in
                    let isArray = arrays.contains(parts[...index].joined(separator: "."))
                    return path + parts[index] + (isArray ? "[]." : ".")
                }
            }
            if let key = line.wholeMatch(of: /\.It Va (\w+)/) { keys.insert(table + key.1) }
        }
        return keys
    }

    @Test func `uncommented, the agent's file is its defaults and its examples`() throws {
        let options = try AgentFile.parse(uncommented(agent), name: "agent.toml")
        var expected = AgentOptions()
        expected.host = "fra-1"
        var isp = ISPOptions(
            name: "isp-a", interface: "eth0",
            targets: ["192.0.2.1", "tcp://198.51.100.1:443", "dns://203.0.113.53"])
        isp.quorum = 2
        isp.rtt.warning = 0.05
        isp.rtt.warningClear = 0.04
        expected.path.isps = [isp]
        expected.nic.links = [LinkOptions(name: "eth*", speedAtLeast: 10_000)]
        var matcher = ProcessWatchOptions(name: "matcher", match: .name("matcher"))
        matcher.maximum = 1
        matcher.tcp = HostPort(host: "127.0.0.1", port: 5432)
        matcher.socket = "/run/matcher.sock"
        matcher.heartbeatFile = "/run/matcher.heartbeat"
        matcher.rssBytes = LimitOptions(warning: 8e9, critical: 12e9)
        matcher.threads = LimitOptions(warning: 1000)
        expected.process.watched = [matcher]
        expected.reportTo = [CollectorOptions(endpoint: "tcp://192.0.2.9:5570", serverKey: exampleKey)]
        var server = UPSServerOptions(host: "10.0.0.7")
        server.user = "monitor"
        server.passwordFile = "/etc/holdfast/upsd.password"
        server.upses = ["rack2"]
        expected.ups.servers = [server]
        var group = UPSGroupOptions(name: "power")
        group.members = ["main", "rack2@10.0.0.7"]
        expected.ups.groups = [group]
        expected.unit.watched = [UnitWatchOptions(name: "matcher.service")]
        expected.disk.probes = [DiskProbeOptions(name: "journal")]
        var line = LineOptions(feed: "itch", lineProtocol: .moldUDP64)
        line.silence = .seconds(3)
        line.session = try Self.session()
        line.paths = [LinePathOptions(name: "A", interface: "eth0", group: "239.1.1.1:30001")]
        line.paths[0].source = "192.0.2.10"
        expected.lines = [line]
        expected.clock.accuracy = .automated
        expected.checks = [
            CheckOptions(
                name: "ntp-offset",
                command: [
                    "/usr/lib/nagios/plugins/check_ntp_time", "-H", "192.0.2.123", "-w", "0.01",
                ])
        ]
        #expect(options == expected)
    }

    @Test func `uncommented, the gateway's file is its defaults and its examples`() throws {
        let options = try GatewayFile.parse(uncommented(gateway), name: "gateway.toml")
        var expected = GatewayOptions()
        expected.host = "fra-1"
        expected.agents = [
            AgentEndpoint(
                publish: "ipc:///run/holdfast/agent.pub", request: "ipc:///run/holdfast/agent.req"),
            AgentEndpoint(
                publish: "tcp://192.0.2.30:5555", request: "tcp://192.0.2.30:5556", serverKey: exampleKey),
        ]
        expected.plaintext = ["tcp://10.1.0.1:7000"]
        var replica = ReplicaOptions(request: "tcp://192.0.2.40:7001")
        replica.serverKey = exampleKey
        replica.feeds = ["itch"]
        expected.replicas = [replica]
        var itch = FeedOptions(name: "itch", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        itch.recover.servers = ["udp://192.0.2.10:18000", "udp://192.0.2.20:18000"]
        itch.session = try Self.session()
        itch.directoryFile = "/var/lib/holdfast/itch.directory"
        itch.paths = [
            path(
                "A", interface: "eth0", group: "239.1.1.1:30001", source: "192.0.2.10", "nic/eth0",
                "path/isp-a"),
            path(
                "B", interface: "eth1", group: "239.1.2.1:30001", source: "192.0.2.20", "nic/eth1",
                "path/isp-b"),
        ]
        var quotes = FeedOptions(name: "quotes", feedProtocol: .zeromq, keys: .topic, policy: .hotWarm)
        quotes.paths = [
            path("A", endpoint: "tcp://192.0.2.10:7001", "path/isp-a"),
            path("B", endpoint: "tcp://192.0.2.20:7001", "path/isp-b"),
        ]
        quotes.lastValues = true
        (quotes.linger, quotes.subscribeRate) = (.seconds(5), 100_000)
        quotes.paths[0].serverKey = exampleKey
        quotes.paths[1].plaintext = true
        var bzx = FeedOptions(name: "bzx", feedProtocol: .pitch, keys: .pitch, policy: .hotHot)
        bzx.channels = [1, 2]
        bzx.paths = [path("A"), path("B")]
        bzx.paths[0].groups = ["239.2.1.1:30001", "239.2.1.2:30001"]
        bzx.paths[1].groups = ["239.2.2.1:30001", "239.2.2.2:30001"]
        bzx.recover.servers = ["tcp://192.0.2.10:17010", "tcp://192.0.2.20:17010"]
        bzx.recover.loginFiles = ["/etc/holdfast/grp-1.login", "/etc/holdfast/grp-2.login"]
        bzx.recover.groups = ["239.2.9.1:30501", "239.2.9.2:30501"]
        bzx.recover.interface = "eth0"
        bzx.recover.localAddress = "192.0.2.2"
        bzx.recover.source = "192.0.2.10"
        var copy = FeedOptions(name: "itch-fra", feedProtocol: .holdfast, keys: .topic, policy: .hotHot)
        copy.upstream = "itch"
        copy.paths = [
            path("A", endpoint: "tcp://192.0.2.40:7000"), path("B", endpoint: "tcp://192.0.2.41:7000"),
        ]
        for index in copy.paths.indices { copy.paths[index].serverKey = exampleKey }
        var soup = FeedOptions(name: "itch-tcp", feedProtocol: .soupBinTCP, keys: .itch50, policy: .hotHot)
        soup.paths = [
            path("A", interface: "eth0", endpoint: "tcp://192.0.2.10:17000"),
            path("B", interface: "eth1", endpoint: "tcp://192.0.2.20:17000"),
        ]
        soup.paths[0].localAddress = "192.0.2.2"
        for index in 0...1 { soup.paths[index].loginFile = "/etc/holdfast/itch.login" }
        var trial = FeedOptions(name: "trial", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        trial.paths = [path("A", group: "239.1.1.1:30001")]
        trial.paths[0].file = "/var/lib/holdfast/day.pcap"
        expected.journal.processors = CPUList([3])
        expected.feeds = [itch, bzx, copy, soup, trial, quotes]
        #expect(options == expected)
    }

    /// The example of a session.
    private static func session() throws -> SessionCalendar {
        SessionCalendar(
            zone: "America/New_York", rules: try #require(try NamedZone.read("America/New_York")).rules,
            days: [.monday, .tuesday, .wednesday, .thursday, .friday],
            hours: [SessionHours(opens: 240, closes: 1200)],
            holidays: [CivilDate(year: 2026, month: 12, day: 25)])
    }

    private func path(
        _ name: String, interface: String? = nil, group: String? = nil, source: String? = nil,
        endpoint: String? = nil, _ subjects: String...
    ) -> FeedPathOptions {
        var path = FeedPathOptions(name: name)
        path.interface = interface
        path.group = group
        path.source = source
        path.endpoint = endpoint
        path.dependsOn = subjects.compactMap { .init(parsing: $0) }
        return path
    }
}
