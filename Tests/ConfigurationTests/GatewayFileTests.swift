// What a gateway's file may say: above all, which protocols, keys, policies and addresses fit together.
import Configuration
import Testing

@Suite struct GatewayFileTests {
    private func feed(_ keys: String, _ paths: String...) -> String {
        "[[feed]]\nname = \"f\"\n\(keys)\n" + paths.map { "[[feed.path]]\n\($0)\n" }.joined()
    }
    private let mold = "protocol = \"moldudp64\"\npolicy = \"hot-hot\""
    private let zeromq = "protocol = \"zeromq\"\npolicy = \"hot-warm\""

    @Test func `keys and silence default to the protocol's, wherever it stands`() throws {
        let text = feed(
            "policy = \"hot-warm\"\nprotocol = \"zeromq\"",
            "name = \"A\"\nendpoint = \"tcp://venue.example:7001\"")
        let feed = try GatewayFile.parse(text, name: "gateway.toml").feeds[0]
        #expect(feed.keys == .topic && feed.silence == .milliseconds(300))
        #expect(feed.paths[0].endpoint == "tcp://venue.example:7001")
    }

    @Test func `a silence limit that is given stays`() throws {
        let text = feed("silence = \"90s\"\n" + mold, "name = \"A\"\ngroup = \"239.1.1.1:30001\"")
        #expect(try GatewayFile.parse(text, name: "gateway.toml").feeds[0].silence == .seconds(90))
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
                "gateway.toml:3: feed[0].protocol: \"moldudp\": must be one of \"moldudp64\", \"zeromq\"; "
                    + "did you mean \"moldudp64\"?"
            ])
    }

    @Test func `what does not fit is refused`() {
        let a = "name = \"A\"\n"
        let group = "group = \"239.1.1.1:30001\""
        let endpoint = "endpoint = \"tcp://10.0.0.1:7001\""
        let cases: [(String, String)] = [
            (feed(mold), "has no path"),
            (feed(mold, a + endpoint + "\n" + group), "endpoint: is for zeromq; moldudp64 needs group"),
            (feed(mold, a), "group: is missing; moldudp64 needs it"),
            (feed(zeromq, a), "endpoint: is missing; zeromq needs it"),
            (feed(zeromq, a + endpoint + "\n" + group), "group: is for moldudp64"),
            (feed(mold + "\nkeys = \"topic\"", a + group), "moldudp64 carries ITCH"),
            (feed(zeromq + "\nkeys = \"itch-5.0\"", a + endpoint), "must be \"topic\""),
            (feed("protocol = \"moldudp64\"\npolicy = \"hot-warm\"", a + group), "must be \"hot-hot\""),
            (feed(mold, a + "group = \"239.1.1.1\""), "and a port, such as"),
            (feed(mold, a + "group = \"10.0.0.1:1\"\nsource = \"10.0.0.2\""), "needs a multicast group"),
            (feed(mold, a + group, "name = \"B\"\n" + group), "is the very line of path A"),
            (feed(zeromq, a + endpoint, "name = \"B\"\n" + endpoint), "is the very line of path A"),
            (feed(mold, a + group, a + "group = \"239.1.1.2:1\""), "two paths are called \"A\""),
            (
                feed(mold, a + group + "\ndepends_on = [\"nic/eth0\"]"),
                "there is no [[agent]] that would tell of nic/eth0"
            ),
            (feed(mold, a + group + "\ndepends_on = [\"nics/eth0\"]"), "did you mean \"nic/…\"?"),
            (feed("protocol = \"moldudp64\"", a + group), "policy: is missing"),
            ("[[agent]]\npublish = \"tcp://10.0.0.1:1\"\nrequest = \"ipc:///r\"", "need CURVE keys"),
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

    @Test func `a file's sections tell whose it is`() {
        #expect(ConfigurationFile.kind(of: "[nic]\nenabled = true") == .agent)
        #expect(ConfigurationFile.kind(of: "[[feed]]\nname = \"f\"") == .gateway)
        #expect(ConfigurationFile.kind(of: "[bus]\nstate_every = \"1s\"") == nil)
    }
}
