// What a gateway's file may say: above all, which protocols, keys, policies and addresses fit together.
import Configuration
import Testing
import Wire

@Suite struct GatewayFileTests {
    private func feed(_ keys: String, _ paths: String...) -> String {
        "[[feed]]\nname = \"f\"\n\(keys)\n" + paths.map { "[[feed.path]]\n\($0)\n" }.joined()
    }
    private let session = "\nstart = \"session\""
    let mold = "protocol = \"moldudp64\"\npolicy = \"hot-hot\""
    private let zeromq = "protocol = \"zeromq\"\npolicy = \"hot-warm\""

    @Test func `keys and silence default to the protocol's, wherever it stands`() throws {
        let text = feed(
            "policy = \"hot-warm\"\nprotocol = \"zeromq\"",
            "name = \"A\"\nendpoint = \"tcp://venue.example:7001\"\nplaintext = true")
        let feed = try GatewayFile.parse(text, name: "gateway.toml").feeds[0]
        #expect(feed.keys == .topic && feed.silence == .milliseconds(300))
        #expect(feed.paths[0].endpoint == "tcp://venue.example:7001")
    }

    @Test func `a silence limit that is given stays`() throws {
        let text = feed("silence = \"90s\"\n" + mold, "name = \"A\"\ngroup = \"239.1.1.1:30001\"")
        #expect(try GatewayFile.parse(text, name: "gateway.toml").feeds[0].silence == .seconds(90))
    }

    @Test func `last values are for protocols whose messages say all`() throws {
        let kept = feed(
            zeromq + "\nlast_values = false", "name = \"A\"\nendpoint = \"ipc:///run/venue\"")
        #expect(try GatewayFile.parse(kept, name: "gateway.toml").feeds[0].lastValues == false)
        let refused = feed(mold + "\nlast_values = true", "name = \"A\"\ngroup = \"239.1.1.1:30001\"")
        #expect(
            gatewayProblems(refused) == [
                "gateway.toml:5: feed[0].last_values: is for zeromq, holdfast and iex-tp; the messages of "
                    + "moldudp64 are changes"
            ])
    }

    @Test func `the same group on two interfaces is two lines`() {
        let text = feed(
            mold, "name = \"A\"\ngroup = \"239.1.1.1:30001\"\ninterface = \"a\"",
            "name = \"B\"\ngroup = \"239.1.1.1:30001\"\ninterface = \"b\"")
        #expect(gatewayProblems(text).isEmpty)
    }

    @Test func `a misspelt protocol is one problem and not many`() {
        let text = feed(
            "protocol = \"moldudp\"\npolicy = \"hot-hot\"", "name = \"A\"\ngroup = \"239.1.1.1:30001\"")
        #expect(
            gatewayProblems(text) == [
                "gateway.toml:3: feed[0].protocol: \"moldudp\": must be one of \"moldudp64\", "
                    + "\"soupbintcp\", \"pitch\", \"iex-tp\", \"mdp3\", \"holdfast\", \"zeromq\"; "
                    + "did you mean \"moldudp64\"?"
            ])
    }

    @Test func `what does not fit is refused`() {
        let a = "name = \"A\"\n"
        let group = "group = \"239.1.1.1:30001\""
        let bare = "endpoint = \"tcp://10.0.0.1:7001\""
        let endpoint = bare + "\nplaintext = true"
        let soup = "protocol = \"soupbintcp\"\npolicy = \"hot-hot\""
        let pitch = "protocol = \"pitch\"\npolicy = \"hot-hot\""
        let login = "\nlogin_file = \"/etc/holdfast/itch.login\""
        let recover = "\n[feed.recover]\nservers = [\"udp://10.0.0.9:18000\"]"
        let proxy = "\n[feed.recover]\nservers = [\"tcp://10.0.0.9:17010\"]"
        let gaps = "\ngroup = \"239.1.1.9:30501\""
        let serverKey = "\nserver_key = \"\(exampleKey)\""
        let cases: [(String, String)] = [
            (feed(mold), "has no path"),
            (feed(mold, a + bare + "\n" + group), "endpoint: and group, or file: one of them only"),
            (feed(mold, a + bare), "login_file: is missing; soupbintcp logs in"),
            (
                feed(pitch, a + bare + "\n" + group),
                "endpoint: is for holdfast, soupbintcp and zeromq; pitch needs group"
            ),
            (feed(mold, a + group + "\npace = \"flat-out\""), "pace: is for a path with a file"),
            (feed(mold, a + group + login), "login_file: is for soupbintcp"),
            (feed(soup, a + bare), "login_file: is missing; soupbintcp logs in"),
            (feed(soup, a + login), "endpoint: is missing; soupbintcp needs it"),
            (feed(soup, a + "endpoint = \"ipc:///v\"" + login), "must be a TCP address"),
            (
                feed(soup, a + bare + login + "\nsource = \"10.0.0.2\""),
                "own address of a connection is local_address"
            ),
            (feed(soup, a + bare + login, "name = \"B\"\n" + bare + login), "is the very line of path A"),
            (feed(soup, a + bare + login + serverKey), "server_key: is for holdfast and zeromq"),
            (
                feed("protocol = \"soupbintcp\"\npolicy = \"hot-warm\"", a + bare + login),
                "must be \"hot-hot\""
            ),
            (feed(zeromq, a + endpoint + login), "login_file: is for soupbintcp"),
            (
                feed(zeromq, a + "endpoint = \"ipc:///run/x\"\nlocal_address = \"10.0.0.2\"\n"),
                "local_address: \"10.0.0.2\": is for tcp:// endpoints"
            ),
            (
                feed(zeromq + "\njournal = true\nstart = \"journal\"", a + endpoint),
                "start: \"journal\": is for feeds whose messages are numbered by channel"
            ),
            (feed(zeromq, a + endpoint + "\npace = \"flat-out\""), "pace: is for a path with a file"),
            (
                feed(mold, a + group + "\nfile = \"/f\"\ninterface = \"eth0\""),
                "interface: is for lines; of a capture all is taken that went to group"
            ),
            (feed(mold + "\n[feed.recover]\nservers = []", a + group), "servers"),
            (
                feed(zeromq + "\ndirectory_file = \"/f\"", a + endpoint),
                "directory_file: is for itch-5.0; the messages of zeromq name their instruments themselves"
            ),
            (feed(zeromq, a + endpoint + "\nfile = \"/f\""), "file: is for datagrams"),
            (feed(zeromq + recover, a + endpoint), "is for moldudp64, soupbintcp and pitch"),
            (feed(mold + "\n[feed.recover]\nwithin = \"1s\"", a + group), "servers: is missing"),
            (feed(mold + recover.replacing("10.0.0.9", with: "239.1.1.1"), a + group), "re-request server"),
            (
                feed(pitch + recover + login + gaps, a + group),
                "servers[0]: \"udp://10.0.0.9:18000\": the protocol asks over TCP"
            ),
            (feed(mold + proxy, a + group), "servers[0]: \"tcp://10.0.0.9:17010\": the protocol asks by UDP"),
            (feed(pitch + proxy + gaps, a + group), "login_file: is missing; a gap request proxy asks for"),
            (
                feed(pitch + proxy + login, a + group),
                "recover.group: is missing; what is asked for comes by multicast"
            ),
            (
                feed(pitch + proxy + login + "\n" + group, a + group),
                "recover.group: \"239.1.1.1:30001\": is a group of path A"
            ),
            (
                feed(pitch + proxy + gaps + "\nlogin_file = [\"/a\", \"/b\"]", a + group),
                "login_file: 2 items; must be one for all servers"
            ),
            (
                feed(
                    pitch + proxy + login + "\ngroup = \"127.0.0.1:1\"\nsource = \"10.0.0.2\"", a + group),
                "recover.source: needs a multicast group"
            ),
            (feed(mold + recover + login, a + group), "recover.login_file: is for pitch; moldudp64"),
            (feed(mold + recover + "\n" + group, a + group), "recover.group: is for pitch"),
            (feed(mold + recover + "\nrequests_per_day = 5", a + group), "requests_per_day: is for pitch"),
            (feed(mold + session, a + group), "start: \"session\": needs servers under [feed.recover]"),
            (
                feed("protocol = \"mdp3\"\npolicy = \"hot-hot\"" + session, a + group),
                "start: \"session\": is for moldudp64 and soupbintcp; of mdp3 nobody sends a session"
            ),
            (
                feed("protocol = \"zeromq\"\npolicy = \"hot-hot\"" + session, a + endpoint),
                "start: \"session\": is for moldudp64"
            ),
            (
                feed(mold + "\nsubscribe_rate = 500", a + group),
                "subscribe_rate: is for zeromq; a feed of moldudp64 is taken whole, and asks nobody for topics"
            ),
            (feed(mold + "\nlinger = \"1s\"", a + group), "linger: is for zeromq"),
            (feed(mold, a), "group: is missing; moldudp64 needs it"),
            (feed(zeromq, a), "endpoint: is missing; zeromq needs it"),
            (feed(zeromq, a + endpoint + "\n" + group), "group: is for multicast"),
            (feed(mold + "\nkeys = \"topic\"", a + group), "other keys: must be \"itch-5.0\""),
            (feed(zeromq + "\nkeys = \"itch-5.0\"", a + endpoint), "must be \"topic\""),
            (feed("protocol = \"moldudp64\"\npolicy = \"hot-warm\"", a + group), "must be \"hot-hot\""),
            (feed("protocol = \"mdp3\"\npolicy = \"hot-warm\"", a + group), "mdp3 lines are always joined"),
            (
                feed("protocol = \"pitch\"\npolicy = \"hot-hot\"", a + bare + "\n" + group),
                "pitch needs group"
            ),
            (feed("protocol = \"iex-tp\"\npolicy = \"hot-hot\"", a), "iex-tp needs it"),
            (
                feed("protocol = \"iex-tp\"\npolicy = \"hot-hot\"\nkeys = \"pitch\"", a + group),
                "must be \"iex\""
            ),
            (
                feed("protocol = \"holdfast\"\npolicy = \"hot-warm\"", a + "endpoint = \"ipc:///g\""),
                "must be \"hot-hot\""
            ),
            (feed("protocol = \"holdfast\"\npolicy = \"hot-hot\"", a + bare), "give server_key"),
            (feed("protocol = \"holdfast\"\npolicy = \"hot-hot\"", a), "holdfast needs it"),
            (feed(mold + "\nupstream = \"itch\"", a + group), "upstream: is for holdfast"),
            (
                feed(mold, a + "group = [\"239.1.1.1:1\", \"239.1.1.2:1\"]"),
                "group: a path of moldudp64 is one group"
            ),
            (
                feed(
                    "protocol = \"pitch\"\npolicy = \"hot-hot\"",
                    a + "group = [\"239.1.1.1:1\", \"239.1.1.2:1\"]", "name = \"B\"\ngroup = \"239.1.1.2:1\""),
                "is the very line of path A"
            ),
            (
                feed("protocol = \"pitch\"\npolicy = \"hot-hot\"", a + "group = [\"239.1.1.1:1\", \"x\"]"),
                "group[1]: \"x\": must be an IPv4 multicast group"
            ),
            (feed("protocol = \"pitch\"\npolicy = \"hot-hot\"", a + "group = []"), "must have from 1 to 64"),
            (feed(mold + "\nchannels = [1]", a + group), "channels: is for pitch and iex-tp"),
            (
                feed("protocol = \"pitch\"\npolicy = \"hot-hot\"\nchannels = [65536]", a + group),
                "from 0 to 65535"
            ),
            (feed(mold, a + "group = \"239.1.1.1\""), "and a port, such as"),
            (feed(mold, a + "group = \"10.0.0.1:1\"\nsource = \"10.0.0.2\""), "needs a multicast group"),
            (feed(mold, a + group, "name = \"B\"\n" + group), "is the very line of path A"),
            (feed(zeromq, a + endpoint, "name = \"B\"\n" + endpoint), "is the very line of path A"),
            (feed(mold, a + group, a + "group = \"239.1.1.2:1\""), "path[1]: two paths are called \"A\""),
            (
                feed(
                    mold + "\nsession = { zone = \"UTC\", hours = [\"04:00-20:00\"], "
                        + "holidays = [\"2026-12-24\"], other_hours = [\"2026-12-24 04:00-13:00\"] }",
                    a + group),
                "session.other_hours[0]: 2026-12-24 is one of holidays as well"
            ),
            (
                feed(mold, a + group + "\ndepends_on = [\"nic/eth0\"]"),
                "there is no [[agent]] that would tell of nic/eth0"
            ),
            (feed(mold, a + group + "\ndepends_on = [\"nics/eth0\"]"), "did you mean \"nic/…\"?"),
            (feed(mold, a + group + "\ndepends_on = [\"fra-2:nics/eth0\"]"), "did you mean \"nic/…\"?"),
            (feed(mold, a + group + "\ndepends_on = [\":nic/eth0\"]"), "must be KIND/NAME or HOST:KIND/NAME"),
            (
                agents(["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"])
                    + feed(mold, a + group + "\ndepends_on = [\"fra-2:nic/eth0\", \"nic/eth0\"]"),
                "nic/eth0 is of one of 2 hosts, none of them this one: write \"HOST:nic/eth0\""
            ),
            (feed("protocol = \"moldudp64\"", a + group), "policy: is missing"),
            (
                "[[agent]]\npublish = \"tcp://10.0.0.1:1\"\nrequest = \"ipc:///r\"",
                "agent[0].publish: \"tcp://10.0.0.1:1\": is beyond this host and needs server_key"
            ),
            (
                "[[agent]]\npublish = \"ipc:///p\"\nrequest = \"ipc:///r\"" + serverKey,
                "agent[0].server_key: is for tcp"
            ),
            (feed(zeromq, a + bare), "give server_key, the venue's public key, or say plaintext = true"),
            (feed(zeromq, a + endpoint + serverKey), "one of them only"),
            (feed(zeromq, a + "endpoint = \"ipc:///v\"" + serverKey), "server_key: is for tcp"),
            (feed(zeromq, a + "endpoint = \"ipc:///v\"\nplaintext = true"), "plaintext: is for tcp"),
            (feed(zeromq, a + "endpoint = \"tcp://0.0.0.0:7001\"\nplaintext = true"), "is for binding"),
            (feed(mold, a + group + serverKey), "server_key: is for holdfast and zeromq"),
            (feed(mold, a + group + "\nplaintext = true"), "plaintext: is for holdfast and zeromq"),
            ("[downstream]\nplaintext = [\"tcp://127.0.0.1:7000\"]", "is on this host"),
            ("[downstream]\nplaintext = [\"ipc:///run/x\"]", "is on this host"),
            (
                "[downstream]\npublish = [\"tcp://*:7000\"]\nplaintext = [\"tcp://10.1.0.1:7000\"]",
                "takes the port of \"tcp://*:7000\" of downstream.publish"
            ),
            (
                "[bus]\nrequest = [\"tcp://*:7000\"]\n[downstream]\npublish = [\"tcp://10.1.0.1:7000\"]",
                "takes the port of \"tcp://*:7000\" of bus.request"
            ),
            (
                "[downstream]\npublish = [\"ipc:///run/holdfast/gateway.req\"]",
                "is already the endpoint of bus.request"
            ),
        ]
        for (text, advice) in cases {
            let problems = gatewayProblems(text)
            #expect(problems.count == 1 && problems.first?.contains(advice) == true, "\(advice): \(problems)")
        }
    }

    @Test
    func `a feed may have datagrams, a connection and a capture side by side, and servers to ask again`()
        throws
    {
        let text = feed(
            "silence = \"2s\"\n" + mold
                + "\n[feed.recover]\nservers = [\"udp://10.0.0.9:18000\"]\nwithin = \"2s\"",
            "name = \"A\"\ngroup = \"239.1.1.1:30001\"",
            "name = \"T\"\nendpoint = \"tcp://10.0.0.1:17000\"\nlogin_file = \"/etc/holdfast/itch.login\"",
            "name = \"F\"\nfile = \"/var/tmp/day.pcap\"\npace = \"flat-out\"")
        let feed = try GatewayFile.parse(text, name: "gateway.toml").feeds[0]
        #expect(feed.paths.map(\.name) == ["A", "T", "F"] && feed.paths[2].pace == .flatOut)
        #expect(feed.recover.servers == ["udp://10.0.0.9:18000"] && feed.recover.within == .seconds(2))
    }

    @Test func `a file's sections tell whose it is`() {
        #expect(ConfigurationFile.kind(of: "[nic]\nenabled = true") == .agent)
        #expect(ConfigurationFile.kind(of: "[[feed]]\nname = \"f\"") == .gateway)
        #expect(ConfigurationFile.kind(of: "[[report_to]]\nendpoint = \"x\"") == .agent)
        #expect(ConfigurationFile.kind(of: "[[client]]\nname = \"x\"") == .clients)
        #expect(ConfigurationFile.kind(of: "[bus]\nstate_every = \"1s\"\n[curve]\nkey = \"/k\"") == nil)
        #expect(ConfigurationFile.kind(of: "[nic]\nenabled = true\n[[client]]\nname = \"x\"") == nil)
        let agents = ["nic", "path", "unit", "process", "ups", "disk", "clock", "pressure", "history"]
        for name in agents { #expect(ConfigurationFile.kind(of: "[\(name)]") == .agent, "\(name)") }
        for name in ["line", "check"] { #expect(ConfigurationFile.kind(of: "[[\(name)]]") == .agent) }
        for name in ["[journal]", "[downstream]", "[[agent]]", "[[replica]]"] {
            #expect(ConfigurationFile.kind(of: name) == .gateway, "\(name)")
        }
        for name in ["[bus]", "[curve]", "host = 'x'"] { #expect(ConfigurationFile.kind(of: name) == nil) }
    }

    @Test func `a path depends on this host's subjects or on those of a host that it names`() throws {
        for publish in [["ipc:///p", "tcp://10.0.0.2:1"], ["ipc:///p", "ipc:///q"], ["tcp://10.0.0.2:1"]] {
            let text =
                agents(publish)
                + feed(
                    mold,
                    "name = \"A\"\ngroup = \"239.1.1.1:30001\"\n"
                        + "depends_on = [\"nic/eth0\", \"fra-2:nic/eth0\"]")
            let options = try GatewayFile.parse(text, name: "gateway.toml")
            let eth0 = Subject(.nic, "eth0")
            #expect(options.feeds[0].paths[0].dependsOn == [Dependency(eth0), Dependency(eth0, of: "fra-2")])
        }
    }

    @Test func `the agent that is meant without a host's name`() {
        func own(_ publish: [String], saying hosts: [String?]) -> [Bool] {
            let agents = publish.map { AgentEndpoint(publish: $0, request: $0) }
            return zip(agents, hosts).map { $0.isOwn(saying: $1, among: agents, on: "fra-1") }
        }
        #expect(own(["tcp://10.0.0.2:1"], saying: ["fra-2"]) == [true])
        #expect(own(["tcp://10.0.0.2:1", "tcp://10.0.0.1:1"], saying: ["fra-2", "fra-1"]) == [false, true])
        #expect(own(["tcp://10.0.0.2:1", "ipc:///p"], saying: ["fra-2", "agent"]) == [false, true])
        #expect(own(["ipc:///q", "ipc:///p"], saying: ["fra-2", "fra-1"]) == [false, true])
        #expect(own(["ipc:///q", "ipc:///p"], saying: ["fra-2", nil]) == [false, false])
    }

    private func agents(_ publish: [String]) -> String {
        publish.map {
            "[[agent]]\npublish = \"\($0)\"\nrequest = \"\($0)2\"\n"
                + ($0.hasPrefix("tcp") ? "server_key = \"\(exampleKey)\"\n" : "")
        }
        .joined()
    }

    @Test func `what needs our key, and for whom a list is needed too`() throws {
        let text = """
            [downstream]
            publish = ["ipc:///run/md", "tcp://*:7000"]
            plaintext = ["tcp://10.1.0.1:7001"]
            [[agent]]
            publish = "tcp://127.0.0.1:5555"
            request = "tcp://127.0.0.1:5556"
            server_key = "\(exampleKey)"
            [[feed]]
            name = "f"
            protocol = "zeromq"
            policy = "hot-warm"
            [[feed.path]]
            name = "A"
            endpoint = "tcp://10.0.0.1:7001"
            server_key = "\(exampleKey)"
            [[feed.path]]
            name = "B"
            endpoint = "tcp://10.0.0.2:7001"
            plaintext = true
            """
        let options = try GatewayFile.parse(text, name: "gateway.toml")
        #expect(
            options.keyNeeds == [
                KeyNeed(keyPath: "downstream.publish[1]", endpoint: "tcp://*:7000", isServed: true),
                KeyNeed(keyPath: "agent[0].publish", endpoint: "tcp://127.0.0.1:5555", isServed: false),
                KeyNeed(
                    keyPath: "feed[0].path[0].endpoint", endpoint: "tcp://10.0.0.1:7001", isServed: false),
            ])
        #expect(options.plaintext == ["tcp://10.1.0.1:7001"])
    }
}
