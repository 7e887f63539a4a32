// `[[replica]]`: which journals may be pulled, and from where.
import Configuration
import Testing

@Suite struct ReplicaKeysTests {
    private let local = "request = \"tcp://127.0.0.1:7001\"\n"

    private func replica(_ keys: String) -> String { "[[replica]]\n\(keys)\n" }

    @Test func `a replica says where from and which feeds`() throws {
        let text = replica(local + "feeds = [\"itch\", \"quotes\"]\nevery = \"50ms\"\ncritical = \"10s\"")
        let options = try GatewayFile.parse(text, name: "gateway.toml").replicas[0]
        var expected = ReplicaOptions(request: "tcp://127.0.0.1:7001")
        (expected.feeds, expected.every) = (["itch", "quotes"], .milliseconds(50))
        expected.critical = .seconds(10)
        #expect(options == expected)
    }

    @Test func `what does not fit is refused`() {
        let feeds = "feeds = [\"itch\"]\n"
        let own = """
            [[feed]]
            name = "itch"
            protocol = "moldudp64"
            policy = "hot-hot"
            journal = true
            [[feed.path]]
            name = "A"
            group = "239.1.1.1:30001"

            """
        let cases: [(String, String)] = [
            (replica(feeds), "request: is missing"),
            (replica(local), "feeds: is missing"),
            (replica(local + "feeds = []"), "feeds: 0 items; must have from 1 to 64"),
            (replica("request = \"tcp://10.0.0.1:7001\"\n" + feeds), "beyond this host and needs server_key"),
            (replica(local + feeds + "critical = \"1s\""), "must be at least warning (\"5s\")"),
            ("[journal]\nprocessors = \"1-\"", "must be a list of processors in quotes"),
            ("[journal]\nprocessors = 3", "must be a list of processors in quotes"),
            ("[journal]\nprocessors = \"\"", "must be a list of processors in quotes"),
            ("[journal]\nreplica_critical = \"1s\"", "must be at least replica_warning (\"5s\")"),
            ("[journal]\nmost_waiting_in_all = 1048576", "must be at least most_waiting (67108864)"),
            (replica(local + feeds) + replica(local + feeds), "\"itch\": is pulled twice"),
            (own + replica(local + feeds), "\"itch\": is journalled here"),
        ]
        for (text, words) in cases {
            let problems = gatewayProblems(text)
            #expect(problems.count == 1 && problems[0].contains(words), "\(problems)")
        }
    }
}
