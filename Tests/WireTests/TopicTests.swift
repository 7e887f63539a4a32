// Topics: one spelling each, and what else arrives as a topic.
import Testing
import Wire

@Suite struct TopicTests {
    @Test(
        arguments: [
            (.state(host: "fra-1", subject: Subject(.nic, "eth0")), "state/fra-1/nic/eth0/"),
            (.sample(host: "fra 1", subject: Subject(.disk, "/var")), "sample/fra%201/disk/%2Fvar/"),
            (.state(host: "h", subject: Subject(.feedPath, "itch/A")), "state/h/feed-path/itch%2FA/"),
            (.heartbeat(host: "büro"), "heartbeat/b%C3%BCro/"),
            (.marketData(feed: "itch", instrument: "BRK.B"), "md/itch/BRK.B/"),
            (.marketData(feed: "itch", instrument: nil), "md/itch/*/"),
            (.marketData(feed: "itch", instrument: "*"), "md/itch/%2A/"),
            (.marketData(feed: "itch", instrument: "#17"), "md/itch/%2317/"),
            (.control(feed: "itch", channel: 65535), "control/itch/65535/"),
            (.batch(feed: "itch", channel: 0), "batch/itch/0/"),
            (.sync(nonce: "a~_-.1\0"), "sync/a~_-.1%00/"),
        ] as [(Topic, String)])
    func `each topic is written and read`(topic: Topic, text: String) throws {
        #expect(topic.text == text)
        #expect(try Topic(parsing: text) == topic)
        #expect(try Topic(parsing: topic.bytes) == topic)
    }

    @Test(arguments: [
        "", "/", "//", "state", "state/", "state/h/", "state/h/nic/eth0", "state/h/nic/eth0/x/",
        "state/h/nic//", "state/h/car/eth0/", "heartbeat//", "heartbeat/fra-1", "heartbeat/%41/",
        "heartbeat/%e9/", "heartbeat/%E9/", "heartbeat/%/", "heartbeat/%4/", "heartbeat/a b/",
        "heartbeat/*/", "md/f/", "md/f/**/", "md//x/", "md/*/x/", "control/f/65536/", "control/f/-1/",
        "control/f/+1/", "control/f/01/", "batch/f/", "batch/f/01/", "control/f//", "sync//", "Sync/a/",
        "bus/a/b/",
    ])
    func `no other spelling is a topic`(text: String) {
        #expect(throws: TopicError.self) { try Topic(parsing: text) }
    }

    @Test func `long topics and names are refused`() {
        let name = String(repeating: "é", count: 127)
        #expect(throws: Never.self) {
            try Topic(parsing: Topic.state(host: name, subject: Subject(.nic, name)).text)
        }
        #expect(throws: TopicError.self) {
            try Topic(parsing: "heartbeat/\(String(repeating: "a", count: 256))/")
        }
        #expect(throws: TopicError.self) {
            try Topic(parsing: "heartbeat/\(String(repeating: "a", count: 1_000_000))/")
        }
    }

    @Test func `an error shows the topic and what would be right`() {
        #expect {
            try Topic(parsing: "state/h/car/eth0/")
        } throws: { error in
            "\(error)" == #"topic "state/h/car/eth0/": expected part 3 to be a kind such as "nic""#
        }
    }
}
