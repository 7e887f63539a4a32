// `[feed.recover]` of `gateway.toml`: whom a feed asks again for what every path lost, how what they send comes in, and
// within which limits.
internal import Basics

/// `[feed.recover]`.
public struct RecoverOptions: Hashable, Sendable {
    /// Re-request servers in order of preference; none: nobody is asked. `udp://10.0.0.1:18000` of MoldUDP64,
    /// `tcp://10.0.0.1:17010`, a Gap Request Proxy, of PITCH.
    public var servers: [String] = []
    /// pitch: the files with session, user and password: one for all servers, or one for each.
    public var loginFiles: [String] = []
    /// What stands in them.
    public var logins: [VenueLogin] = []
    /// pitch: the groups and ports that what was asked for comes to.
    public var groups: [String] = []
    /// pitch: where connections leave and groups come in; `nil`: as routed.
    public var interface: String?
    /// pitch: the own address that connections come from; `nil`: as routed.
    public var localAddress: String?
    /// pitch: accept only this sender in the groups.
    public var source: String?
    /// How much longer than `reorder_time` a hole may stay open.
    public var within: Duration = .seconds(1)
    /// How many messages may wait behind a hole meanwhile.
    public var count = 16_384
    /// The venue's limits; `nil`: none.
    public var requestsPerSecond = 100
    public var requestsPerMinute: Int?
    public var requestsPerDay: Int?
    public var messagesPerRequest = 1000
    /// A server that has not answered for so long is passed over for the next.
    public var answerWithin: Duration = .milliseconds(100)

    public init() {}

    /// With the limits that venues of a protocol have as a rule.
    init(for feedProtocol: FeedOptions.FeedProtocol) {
        switch feedProtocol {
        case .pitch: (messagesPerRequest, requestsPerMinute, requestsPerDay) = (100, 1500, 100_000)
        case .moldUDP64, .soupBinTCP, .iexTP, .mdp3, .holdfast, .zeromq: break
        }
    }

    /// Whom a server lets in.
    public func login(of server: Int) -> VenueLogin? {
        logins.count == 1 ? logins[0] : logins.indices.contains(server) ? logins[server] : nil
    }
}

extension Section where Options == RecoverOptions {
    static var recover: Section {
        Section(keys: [
            .value("servers", \.servers, required: true, Rules.list(1...8, of: Rules.requestServer)),
            .value("login_file", \.loginFiles, Rules.loginFiles),
            .value("group", \.groups, Rules.groups),
            .value("interface", \.interface, Rules.interface),
            .value("local_address", \.localAddress, Rules.hostAddress),
            .value("source", \.source, Rules.hostAddress),
            .value("within", \.within, Rules.duration(.milliseconds(10), .seconds(60))),
            .value("count", \.count, Rules.integer(64...1_000_000)),
            .value("requests_per_second", \.requestsPerSecond, Rules.integer(1...10_000)),
            .value("requests_per_minute", \.requestsPerMinute, Rules.integer(1...600_000)),
            .value("requests_per_day", \.requestsPerDay, Rules.integer(1...100_000_000)),
            .value("messages_per_request", \.messagesPerRequest, Rules.integer(1...65_534)),
            .value("answer_within", \.answerWithin, Rules.duration(.milliseconds(1), .seconds(10))),
        ])
    }
}

extension Section where Options == FeedOptions {
    /// Whether a feed's protocol has such requests, and what it needs for them is there.
    static func checkRecovery(_ feed: FeedOptions, at place: Place) {
        let recover = feed.recover
        guard !recover.servers.isEmpty else { return }
        if feed.paths.count > 7 {
            place.key("servers").refuse("a feed that recovers has at most 7 paths")
        }
        switch feed.feedProtocol {
        case .moldUDP64, .soupBinTCP:
            checkServers(recover, scheme: "udp://", "by UDP, \"udp://10.0.0.1:18000\"", at: place)
            refuseForeign(recover, feed.feedProtocol, at: place)
        case .pitch:
            checkServers(recover, scheme: "tcp://", "over TCP, \"tcp://10.0.0.1:17010\"", at: place)
            checkProxies(feed, at: place)
        case .iexTP, .mdp3, .holdfast, .zeromq:
            place.key("servers").refuse(
                "is for moldudp64, soupbintcp and pitch; what all paths of \(feed.feedProtocol.rawValue) lost is told as a gap, nobody is asked for it"
            )
        }
    }

    private static func checkServers(
        _ recover: RecoverOptions, scheme: String, _ wanted: String, at place: Place
    ) {
        for (index, server) in recover.servers.enumerated() where !server.hasPrefix(scheme) {
            place.key("servers").item(index).refuse(.text(server), "the protocol asks \(wanted)")
        }
    }

    /// What only a Gap Request Proxy needs.
    private static func refuseForeign(
        _ recover: RecoverOptions, _ feedProtocol: FeedOptions.FeedProtocol, at place: Place
    ) {
        let given = [
            ("login_file", recover.loginFiles.first), ("group", recover.groups.first),
            ("interface", recover.interface), ("local_address", recover.localAddress),
            ("source", recover.source), ("requests_per_minute", recover.requestsPerMinute.map { "\($0)" }),
            ("requests_per_day", recover.requestsPerDay.map { "\($0)" }),
        ]
        for (key, value) in given where value != nil {
            place.key(key).refuse("is for pitch; \(feedProtocol.rawValue) needs none")
        }
    }

    private static func checkProxies(_ feed: FeedOptions, at place: Place) {
        let recover = feed.recover
        if recover.loginFiles.isEmpty, place.accepted("login_file") {
            place.key("login_file").refuse(
                "is missing; a gap request proxy asks for the session, user and password in it")
        }
        if recover.loginFiles.count > 1, recover.loginFiles.count != recover.servers.count {
            place.key("login_file").refuse(
                "\(recover.loginFiles.count) items; must be one for all servers, or one for each")
        }
        if recover.groups.isEmpty, place.accepted("group") {
            place.key("group").refuse(
                "is missing; what is asked for comes by multicast, \"239.1.1.1:30501\"")
        }
        for group in recover.groups {
            if let path = feed.paths.first(where: { $0.groups.contains(group) }) {
                place.key("group").refuse(
                    .text(group), "is a group of path \(path.name); what is sent again has groups of its own")
            }
            if recover.source != nil, IPv4Endpoint(group)?.address.isMulticast == false {
                place.key("source").refuse("needs a multicast group, and \(group) is a host's address")
            }
        }
    }
}

extension Rules {
    /// Where requests for messages go.
    static let requestServer = text(
        "must be the address and port of a re-request server, such as \"udp://10.0.0.1:18000\""
    ) { text in
        guard text.hasPrefix("udp://") || text.hasPrefix("tcp://"),
            let endpoint = IPv4Endpoint(text.dropFirst(6))
        else { return false }
        return endpoint.address.isHost
    }

    /// One file, or a list of them.
    static let loginFiles: Rule<[String]> = { setting, place in
        guard case .list = setting else { return file(setting, place).map { [$0] } }
        return list(1...8, of: file)(setting, place)
    }
}
