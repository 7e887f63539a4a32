// `[[feed]]` and `[[feed.path]]` of `gateway.toml`, and which protocols, keys, policies and addresses fit together.
internal import Basics
internal import Wire

extension FeedOptions {
    /// A feed of which nothing is read yet.
    static let draft = FeedOptions(name: "", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
}

extension Section where Options == FeedOptions {
    static var feed: Section {
        Section(
            keys: [
                .value("name", \.name, required: true, Rules.name),
                // Read before what its defaults depend on it for: the keys and the silence limit.
                Key(name: "protocol", isRequired: true, paths: ["protocol"], read: readProtocol),
                .value("keys", \.keys, Rules.word(FeedOptions.Keys.self)),
                .value("policy", \.policy, required: true, Rules.word(FeedOptions.Policy.self)),
                .value("silence", \.silence, Rules.duration(.milliseconds(10), .seconds(3600))),
                .value(
                    "silence_behind_twin", \.silenceBehindTwin,
                    Rules.duration(.milliseconds(10), .seconds(3600))),
                .value("lag", \.lag, Rules.duration(.milliseconds(100), .seconds(3600))),
                .value("freshness", \.freshness, Rules.duration(.milliseconds(10), .seconds(3600))),
                .session("session", \.session),
                .value("reorder_time", \.reorderTime, Rules.duration(.milliseconds(1), .seconds(10))),
                .value("reorder_count", \.reorderCount, Rules.integer(1...1_000_000)),
                .value("hold_down", \.holdDown, Rules.duration(.milliseconds(100), .seconds(3600))),
                .value("linger", \.linger, Rules.duration(.zero, .seconds(3600))),
                .value("subscribe_rate", \.subscribeRate, Rules.integer(1...10_000_000)),
                .value("upstream", \.upstream, Rules.name),
                .value("channels", \.channels, Rules.list(0...64, of: Rules.channel)),
                .table("recover", \.recover, .recover),
                .value("last_values", \.lastValues, Rules.flag),
                .value("journal", \.journal, Rules.flag),
                .value("start", \.start, Rules.word(FeedOptions.Start.self)),
                .value("start_messages", \.startMessages, Rules.integer(1...1_000_000_000)),
                .value("directory_file", \.directoryFile, Rules.file),
                .tables("path", \.paths, upTo: 8, .feedPath, empty: FeedPathOptions(name: "")) { path, _ in
                    path
                },
            ],
            check: checkFeed)
    }

    private static func readProtocol(_ setting: Setting, at place: Place, into feed: inout FeedOptions) {
        guard let feedProtocol = Rules.word(FeedOptions.FeedProtocol.self)(setting, place) else { return }
        feed = FeedOptions(
            name: feed.name, feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: feed.policy)
    }

    private static func checkFeed(_ feed: FeedOptions, at place: Place) {
        if feed.paths.isEmpty, place.accepted("path") {
            place.refuse("has no path; add one [[feed.path]] at least, two for redundancy")
        }
        refuseDuplicates(feed.paths.map(\.name), of: "paths", at: place.key("path"))
        guard place.accepted("protocol") else { return }
        checkKeys(feed, at: place)
        checkStart(feed, at: place)
        switch feed.feedProtocol {
        case .moldUDP64, .soupBinTCP, .pitch, .iexTP, .mdp3: checkNumbered(feed, at: place)
        case .holdfast, .zeromq: checkUpstream(feed, at: place)
        }
    }

    private static func checkKeys(_ feed: FeedOptions, at place: Place) {
        let (name, keys) = (feed.feedProtocol.rawValue, feed.feedProtocol.keys)
        if feed.keys != keys {
            place.key("keys").refuse(
                .text(feed.keys.rawValue),
                "the messages of \(name) have other keys: must be \"\(keys.rawValue)\"")
        }
        if feed.upstream != nil, feed.feedProtocol != .holdfast {
            place.key("upstream").refuse("is for holdfast; \(name) knows one feed")
        }
        if !feed.channels.isEmpty, !feed.feedProtocol.namesChannels {
            place.key("channels").refuse("is for pitch and iex-tp; a feed of \(name) is one channel")
        }
        if feed.lastValues == true, !feed.feedProtocol.hasLastValues {
            place.key("last_values").refuse(
                "is for zeromq, holdfast and iex-tp; the messages of \(name) are changes")
        }
        if feed.directoryFile != nil, feed.keys != .itch50 {
            place.key("directory_file").refuse(
                "is for itch-5.0; the messages of \(name) name their instruments themselves")
        }
        if feed.feedProtocol != .zeromq {
            let advice = "is for zeromq; a feed of \(name) is taken whole, and asks nobody for topics"
            if feed.subscribeRate != nil { place.key("subscribe_rate").refuse(advice) }
            if feed.linger != nil { place.key("linger").refuse(advice) }
        }
        checkRecovery(feed, at: place.key("recover"))
    }

    private static func checkStart(_ feed: FeedOptions, at place: Place) {
        switch feed.start {
        case .now: break
        case .journal:
            if feed.feedProtocol == .zeromq {
                place.key("start").refuse(
                    .text(feed.start.rawValue),
                    "is for feeds whose messages are numbered by channel; each topic of zeromq goes on by itself"
                )
            } else if !feed.journal, place.accepted("journal") {
                place.key("start").refuse(.text(feed.start.rawValue), "needs journal = true")
            }
        case .session: checkSessionStart(feed, at: place)
        }
    }

    /// Whether the whole session can be had.
    private static func checkSessionStart(_ feed: FeedOptions, at place: Place) {
        let connections = feed.paths.count { $0.isConnection }
        let why: String? =
            switch feed.feedProtocol {
            case .moldUDP64, .soupBinTCP:
                if connections > 0, connections < feed.paths.count {
                    "needs paths of one kind: lines, whose session the servers of [feed.recover] send, or connections"
                } else if connections == 0, feed.recover.servers.isEmpty {
                    "needs servers under [feed.recover]: they are asked for the session"
                } else {
                    nil
                }
            case .pitch, .iexTP, .mdp3, .holdfast, .zeromq:
                "is for moldudp64 and soupbintcp; of \(feed.feedProtocol.rawValue) nobody sends a session from its beginning"
            }
        guard let why, place.accepted("recover", "path") else { return }
        place.key("start").refuse(.text(feed.start.rawValue), why)
    }

    private static func checkNumbered(_ feed: FeedOptions, at place: Place) {
        if feed.policy == .hotWarm {
            place.key("policy").refuse(
                .text(feed.policy.rawValue),
                "\(feed.feedProtocol.rawValue) lines are always joined: must be \"hot-hot\"")
        }
        checkNumberedPaths(feed, at: place)
    }

    private static func checkUpstream(_ feed: FeedOptions, at place: Place) {
        let name = feed.feedProtocol.rawValue
        if feed.feedProtocol == .holdfast, feed.policy == .hotWarm {
            place.key("policy").refuse(
                .text(feed.policy.rawValue),
                "a feed of other gateways is taken from all of them at once: must be \"hot-hot\"")
        }
        for (index, path) in feed.paths.enumerated() {
            let here = place.key("path").item(index)
            if path.group != nil { here.key("group").refuse("is for multicast; \(name) needs endpoint") }
            if path.source != nil { here.key("source").refuse("is for multicast; \(name) needs endpoint") }
            if path.file != nil { here.key("file").refuse("is for datagrams; \(name) needs endpoint") }
            if path.pace != .recorded { here.key("pace").refuse("is for a path with a file") }
            if path.loginFile != nil {
                here.key("login_file").refuse("is for soupbintcp; \(name) needs none")
            }
            guard let endpoint = path.endpoint else {
                if here.accepted("endpoint") {
                    here.key("endpoint").refuse("is missing; \(name) needs it, \"tcp://10.0.0.1:7001\"")
                }
                continue
            }
            let twin = feed.paths[..<index].first {
                $0.endpoint == endpoint && $0.interface == path.interface
                    && $0.localAddress == path.localAddress
            }
            if let twin {
                here.key("endpoint").refuse(.text(endpoint), "is the very line of path \(twin.name)")
            }
            if let own = path.localAddress, !endpoint.hasPrefix("tcp://") {
                here.key("local_address").refuse(.text(own), "is for tcp:// endpoints")
            }
            checkProtection(of: path, endpoint, at: here)
        }
    }

    /// Encrypted, or in the clear because the operator says so.
    private static func checkProtection(of path: FeedPathOptions, _ endpoint: String, at place: Place) {
        guard place.accepted("server_key", "plaintext") else { return }
        if path.plaintext, path.serverKey != nil {
            return place.key("plaintext").refuse("true, and server_key encrypts the path; one of them only")
        }
        if endpoint.hasPrefix("ipc://") {
            let advice = "is for tcp; ipc does not leave this host and is never encrypted"
            if path.serverKey != nil { place.key("server_key").refuse(advice) }
            if path.plaintext { place.key("plaintext").refuse(advice) }
        } else if !Endpoint.isLocal(endpoint), path.serverKey == nil, !path.plaintext {
            place.key("endpoint").refuse(
                .text(endpoint),
                "is beyond this host: give server_key, the venue's public key, or say plaintext = true "
                    + "if it comes in the clear")
        }
    }
}

extension Section where Options == FeedPathOptions {
    static var feedPath: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.name),
            .value("interface", \.interface, Rules.interface),
            .value("group", \.groups, Rules.groups),
            .value("source", \.source, Rules.hostAddress),
            .value("file", \.file, Rules.file),
            .value("pace", \.pace, Rules.word(CapturePace.self)),
            .value("endpoint", \.endpoint, Rules.connectedEndpoint),
            .value("local_address", \.localAddress, Rules.hostAddress),
            .value("login_file", \.loginFile, Rules.file),
            .value("server_key", \.serverKey, Rules.publicKey),
            .value("plaintext", \.plaintext, Rules.flag),
            .value("depends_on", \.dependsOn, Rules.list(0...16, of: Rules.dependency)),
        ])
    }
}
