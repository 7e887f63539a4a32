// What an agent's file may say, and how each mistake is answered.
import Basics
import Configuration
import Testing

@Suite struct AgentFileTests {
    @Test func `an empty file is the defaults`() throws {
        #expect(try AgentFile.parse("", name: "agent.toml") == AgentOptions())
    }

    @Test func `values of every type arrive`() throws {
        let text = """
            host = "fra-7"
            [bus]
            publish = ["tcp://127.0.0.1:5555", "ipc:///tmp/x.pub"]
            heartbeat_every = "0.5s"
            expires_after = "2s"
            [nic]
            discover = false
            include = ["eth*", "bond0"]
            flap_count = 5
            [[path.isp]]
            name = "isp-a"
            targets = ["192.0.2.1"]
            loss = { warning = 1, warning_clear = 0.5, dwell = "2s", hold = "0s" }
            [[process.watch]]
            name = "java"
            match_command = ["java", "-jar", "x.jar", "-jar"]
            minimum = 2
            """
        let options = try AgentFile.parse(text, name: "agent.toml")
        #expect(options.host == "fra-7")
        #expect(options.bus.publish == ["tcp://127.0.0.1:5555", "ipc:///tmp/x.pub"])
        #expect(options.bus.heartbeatEvery == .milliseconds(500))
        #expect(options.nic.include == ["eth*", "bond0"])
        #expect(!options.nic.discover && options.nic.flapCount == 5)
        #expect(options.path.isps[0].loss.warning == 1 && options.path.isps[0].loss.warningClear == 0.5)
        #expect(options.path.isps[0].loss.dwell == .seconds(2) && options.path.isps[0].loss.hold == .zero)
        #expect(options.process.watched[0].match == .command(["java", "-jar", "x.jar", "-jar"]))
    }

    @Test func `a line's session is read, with its zone's rules`() throws {
        let text = """
            [[line]]
            feed = "itch"
            protocol = "moldudp64"
            [line.session]
            zone = "America/New_York"
            days = ["mon", "sun"]
            hours = ["04:00-20:00", "22:00-01:00"]
            holidays = ["2026-12-25"]
            other_hours = ["2026-11-27 04:00-17:00"]
            [[line.path]]
            name = "A"
            interface = "eth0"
            group = "239.1.1.1:30001"
            """
        let session = try #require(try AgentFile.parse(text, name: "agent.toml").lines[0].session)
        #expect(session.zone == "America/New_York" && session.days == [.monday, .sunday])
        #expect(session.hours.map(\.opens) == [240, 1320] && session.holidays.count == 1)
        #expect(session.otherHours.values.map { $0.map(\.closes) } == [[1020]])
        #expect(session.rules.offset(at: 1_782_864_000) == -4 * 3600)
    }

    @Test func `what is wrong with a session is told with its line`() {
        let text = """
            [[line]]
            feed = "itch"
            protocol = "moldudp64"
            session = { zone = "America/New_Yrok", days = ["mon", "mitt"], hours = ["9:30-16:00"] }
            [[line.path]]
            name = "A"
            interface = "eth0"
            group = "239.1.1.1:30001"
            [[line]]
            feed = "other"
            protocol = "pitch"
            [line.session]
            zone = "../../etc/passwd"
            holidays = ["2026-02-29"]
            other_hours = ["2026-11-27"]
            close = "20:00"
            [[line.path]]
            name = "A"
            interface = "eth0"
            group = "239.1.1.2:30001"
            [[line]]
            feed = "third"
            protocol = "pitch"
            session = "daily"
            [[line.path]]
            name = "A"
            interface = "eth0"
            group = "239.1.1.3:30001"
            """
        let times = "must be two times of day, such as \"09:30-16:00\"; \"17:00-16:00\" ends on the next day"
        #expect(
            agentProblems(text) == [
                "agent.toml:4: line[0].session.days[1]: \"mitt\": must be one of \"sun\", \"mon\", \"tue\", "
                    + "\"wed\", \"thu\", \"fri\", \"sat\"",
                "agent.toml:4: line[0].session.hours[0]: \"9:30-16:00\": \(times)",
                "agent.toml:4: line[0].session.zone: \"America/New_Yrok\": no such time zone in "
                    + "/usr/share/zoneinfo; is the package tzdata installed?",
                "agent.toml:12: line[1].session.hours: is missing and has no default",
                "agent.toml:13: line[1].session.zone: \"../../etc/passwd\": must be a name of the time zone "
                    + "database, such as \"America/New_York\"",
                "agent.toml:14: line[1].session.holidays[0]: \"2026-02-29\": must be a date in quotes, such as "
                    + "\"2026-12-25\"",
                "agent.toml:15: line[1].session.other_hours[0]: \"2026-11-27\": must be a date and its hours, "
                    + "such as \"2026-11-27 04:00-17:00\"",
                "agent.toml:16: line[1].session.close: unknown key; the keys here are zone, days, hours, holidays, "
                    + "other_hours",
                "agent.toml:24: line[2].session: \"daily\": write its hours, such as "
                    + "{ zone = \"America/New_York\", hours = [\"04:00-20:00\"] }",
            ])
    }

    @Test func `every problem is told at once, by line`() {
        let text = """
            [nic]
            enabeld = true
            flap_count = "3"
            [bus]
            heartbeat_every = 250
            [[path.isp]]
            name = "a"
            targets = ["192.0.2.1", "192.0.2.999"]
            """
        #expect(
            agentProblems(text) == [
                "agent.toml:2: nic.enabeld: unknown key; did you mean enabled?",
                "agent.toml:3: nic.flap_count: \"3\": must be a whole number from 1 to 1000",
                "agent.toml:5: bus.heartbeat_every: 250: must be a number and its unit in quotes, "
                    + "such as \"100ms\", \"1.5s\" or \"2m\"",
                "agent.toml:8: path.isp[0].targets[1]: \"192.0.2.999\": "
                    + "must be a host to probe: \"192.0.2.1\" by ICMP echo, \"tcp://192.0.2.1:443\" or "
                    + "\"dns://192.0.2.53\"; IPv6 as \"2001:db8::1\" or \"tcp://[2001:db8::1]:443\"",
            ])
    }

    @Test func `a key of another section is sent there`() {
        #expect(
            agentProblems("probe_every = \"1s\"") == [
                "agent.toml:1: probe_every: unknown key here; it belongs in [[path.isp]]"
            ])
    }

    @Test func `an unknown section is refused with the nearest one`() {
        #expect(
            agentProblems("[proces]\nenabled = true") == [
                "agent.toml:1: proces: unknown key; did you mean process?"
            ])
    }

    @Test func `an error of syntax names its line`() throws {
        let problems = agentProblems("[nic]\nenabled = \n")
        #expect(problems.count == 1)
        #expect(problems[0].hasPrefix("agent.toml:2: syntax: "))
    }

    @Test func `a duplicate key is an error of syntax`() {
        #expect(
            agentProblems("host = \"a\"\nhost = \"b\"").first?.hasPrefix("agent.toml:2: syntax: ") == true
        )
    }

    @Test func `a bus may be bound to addresses beyond loopback, which need keys`() throws {
        let text =
            "[bus]\npublish = [\"tcp://*:5555\"]\nrequest = [\"tcp://127.0.0.1:1\", \"tcp://10.0.0.1:5556\"]"
        let options = try AgentFile.parse(text, name: "agent.toml")
        #expect(options.keyNeeds.map(\.keyPath) == ["bus.publish[0]", "bus.request[1]"])
        #expect(options.needsKeys && !AgentOptions().needsKeys)
    }

    @Test func `a collector is named with its key`() throws {
        let text = "[[report_to]]\nendpoint = \"tcp://10.0.0.9:5570\"\nserver_key = \"\(exampleKey)\""
        let options = try AgentFile.parse(text, name: "agent.toml")
        #expect(
            options.reportTo == [CollectorOptions(endpoint: "tcp://10.0.0.9:5570", serverKey: exampleKey)]
        )
        #expect(
            options.keyNeeds == [
                KeyNeed(keyPath: "report_to[0].endpoint", endpoint: "tcp://10.0.0.9:5570", isServed: false)
            ])
    }

    @Test(arguments: [
        (
            "[bus]\nheartbeat_every = \"1s\"",
            "bus.expires_after: \"1s\": must be at least twice heartbeat_every"
        ),
        ("[bus]\nrequest = [\"ipc:///run/holdfast/agent.pub\"]", "is already the endpoint of publish"),
        ("[bus]\npublish = [\"tcp://eth0:5555\"]", "must be an endpoint to bind"),
        ("[bus]\npublish = [\"tcp://*:0\"]", "must be an endpoint to bind"),
        (
            "[bus]\npublish = [\"tcp://127.0.0.1:5555\", \"tcp://*:5555\"]",
            "bus.publish: \"tcp://*:5555\": takes the port of \"tcp://127.0.0.1:5555\" of publish"
        ),
        (
            "[bus]\npublish = [\"tcp://0.0.0.0:5555\"]\nrequest = [\"tcp://10.0.0.1:5555\"]",
            "takes the port of \"tcp://0.0.0.0:5555\" of publish"
        ),
        ("[curve]\nkey = \"host.key\"", "must be an absolute path"),
        (
            "[[report_to]]\nendpoint = \"tcp://10.0.0.9:5570\"",
            "needs server_key, the public key that"
        ),
        (
            "[[report_to]]\nendpoint = \"tcp://*:5570\"", "is for binding; name the address to connect to"
        ),
        (
            "[[report_to]]\nendpoint = \"tcp://collector.example:5570\"",
            "must have an IPv4 address in place of the name collector.example"
        ),
        (
            "[[report_to]]\nendpoint = \"ipc:///c\"\nserver_key = \"\(exampleKey)\"",
            "report_to[0].server_key: is for tcp; ipc does not leave this host"
        ),
        (
            "[[report_to]]\nendpoint = \"tcp://10.0.0.9:5570\"\nserver_key = \"tooshort\"",
            "must be a public key: 40 characters"
        ),
        (
            "[[report_to]]\nendpoint = \"tcp://127.0.0.1:1\"\n[[report_to]]\nendpoint = \"tcp://127.0.0.1:1\"",
            "this collector stands here twice"
        ),
        ("[[path.isp]]\nname = \"a\"", "needs targets to probe, or an interface"),
        ("[[path.isp]]\ninterface = \"eth0\"", "path.isp[0].name: is missing"),
        ("[[path.isp]]\nname = \"a b\"\ninterface = \"e\"", "1 to 64 bytes without spaces"),
        ("[[path.isp]]\nname = \"a\"\ninterface = \"much-too-long-name\"", "1 to 15 bytes"),
        ("[[path.isp]]\nname = \"a\"\ntargets = [\"192.0.2.1\", \"192.0.2.1\"]", "stands here twice"),
        ("[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nquorum = 2", "more than the 1 targets"),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nloss = { warning_clear = 0.1 }",
            "must not be above warning (0.02)"
        ),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nloss = { hold = \"2d\" }",
            "path.isp[0].loss.hold"
        ),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nloss = { warning = 2 }",
            "a number from 0.0 to 1.0"
        ),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nloss = { warning = nan }",
            "a number from 0.0 to 1.0"
        ),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nrtt = { warning_clear = 0.001 }",
            "set warning too"
        ),
        ("[[path.isp]]\nname = \"site\"\ninterface = \"e\"", "is the name of what sums all paths up"),
        (
            "[[path.isp]]\nname = \"a\"\ntargets = [\"fe80::1\"]",
            "is an address of a link; say which by interface"
        ),
        ("[[path.isp]]\nname = \"a\"\ntargets = [\"tcp://192.0.2.1\"]", "must be a host to probe"),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\nrtt = { warning = 0.1, critical = 0.01 }",
            "must not be above critical (0.01)"
        ),
        (
            "[[path.isp]]\nname = \"a\"\ninterface = \"e\"\ndown_after = \"200ms\"",
            "must not be shorter than loss_after"
        ),
        (
            "[[path.isp]]\nname=\"a\"\ninterface=\"e\"\n[[path.isp]]\nname=\"a\"\ninterface=\"f\"",
            "two paths are called \"a\""
        ),
        ("[[process.watch]]\nname = \"a\"", "needs one of match_name"),
        (
            "[[process.watch]]\nname = \"a\"\nmatch_name = \"a\"\npidfile = \"/a\"",
            "takes one of match_name"
        ),
        (
            "[[process.watch]]\nname = \"a\"\nmatch_name = \"longer-than-15-bytes\"",
            "for longer names use match_executable"
        ),
        (
            "[[process.watch]]\nname = \"a\"\nmatch_name = \"a\"\nmaximum = 0",
            "must not be below minimum (1)"
        ),
        ("[[process.watch]]\nname = \"a\"\npidfile = \"a.pid\"", "must be an absolute path"),
        ("[clock]\nclass = \"rts25-htf\"", "did you mean \"rts25-hft\"?"),
        ("[clock]\noffset = 0.001", "write its levels"),
        ("[[check]]\nname = \"a\"\ncommand = \"/bin/true\"", "must be a list of 1 to 64 words"),
        ("[[check]]\nname = \"a\"\ncommand = [\"true\"]", "must be the absolute path of a program"),
        (
            "[[check]]\nname=\"a\"\ncommand=[\"/a\"]\n[[check]]\nname=\"a\"\ncommand=[\"/b\"]",
            "two checks are called \"a\""
        ),
        ("[path.isp]\nname = \"a\"", "write a section [[path.isp]]"),
        ("[[line]]\nfeed = \"a\"\nprotocol = \"pitch\"", "has no line; add one [[line.path]]"),
        (
            "[[line]]\nfeed = \"a\"\nprotocol = \"itch\"\n[[line.path]]\nname = \"A\"\ninterface = \"e\"\n"
                + "group = \"239.1.1.1:1\"",
            "must be one of \"moldudp64\", \"pitch\", \"iex-tp\", \"mdp3\"; did you mean \"pitch\"?"
        ),
        (
            "[[line]]\nfeed = \"a\"\nprotocol = \"mdp3\"\n[[line.path]]\nname = \"A\"\ninterface = \"e\"\n"
                + "group = \"239.1.1.1:1\"\n[[line.path]]\nname = \"B\"\ninterface = \"e\"\n"
                + "group = \"239.1.1.1:1\"",
            "is the very line A"
        ),
        (
            "[[line]]\nfeed = \"a\"\nprotocol = \"mdp3\"\nloss = 0.1\n[[line.path]]\nname = \"A\"\n"
                + "interface = \"e\"\ngroup = \"239.1.1.1:1\"",
            "write its levels"
        ),
        ("nic = true", "write a section [nic] with its keys below"),
        ("[nic]\ninclude = \"eth0\"", "must be a list, such as [\"eth0\"]"),
    ])
    func `what does not fit is refused`(text: String, advice: String) {
        let problems = agentProblems(text)
        #expect(problems.count == 1 && problems[0].contains(advice), "\(problems)")
    }

    @Test func `more problems than a person reads are counted`() {
        let text = (0..<50).map { "nonsense_\($0) = 1\n" }.joined()
        let problems = agentProblems(text)
        #expect(problems.count == 21)
        #expect(problems.last == "agent.toml: and 30 more")
    }
}
