// `[feed.recover]` of `gateway.toml`: whom a feed asks again for what every path lost, and within which limits.
internal import Basics

/// `[feed.recover]`.
public struct RecoverOptions: Hashable, Sendable {
    /// Re-request servers in order of preference, `udp://10.0.0.1:18000`; none: nobody is asked.
    public var servers: [String] = []
    /// How much longer than `reorder_time` a hole may stay open.
    public var within: Duration = .seconds(1)
    /// How many messages may wait behind a hole meanwhile.
    public var count = 16_384
    /// The venue's limits.
    public var requestsPerSecond = 100
    public var messagesPerRequest = 1000
    /// A server that has not answered for so long is passed over for the next.
    public var answerWithin: Duration = .milliseconds(100)

    public init() {}
}

extension Section where Options == RecoverOptions {
    static var recover: Section {
        Section(keys: [
            .value("servers", \.servers, required: true, Rules.list(0...8, of: Rules.requestServer)),
            .value("within", \.within, Rules.duration(.milliseconds(10), .seconds(60))),
            .value("count", \.count, Rules.integer(64...1_000_000)),
            .value("requests_per_second", \.requestsPerSecond, Rules.integer(1...10_000)),
            .value("messages_per_request", \.messagesPerRequest, Rules.integer(1...65_534)),
            .value("answer_within", \.answerWithin, Rules.duration(.milliseconds(1), .seconds(10))),
        ])
    }
}

extension Rules {
    /// Where requests for messages go.
    static let requestServer = text(
        "must be the address and UDP port of a re-request server, such as \"udp://10.0.0.1:18000\""
    ) { text in
        guard text.hasPrefix("udp://"), let endpoint = IPv4Endpoint(text.dropFirst(6)) else { return false }
        return endpoint.address.isHost
    }
}
