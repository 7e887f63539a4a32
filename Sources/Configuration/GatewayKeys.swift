// The vocabulary of `gateway.toml`, but for its feeds.
internal import Wire

extension Section where Options == GatewayOptions {
    static var gateway: Section {
        Section(
            keys: [
                .value("host", \.host, Rules.name),
                .table("bus", \.bus, .bus),
                .table("curve", \.curve, .curve),
                // Values that live beside the sections in the options.
                Key(
                    name: "downstream", isRequired: false,
                    paths: Section.downstream.paths.map { "downstream." + $0 }
                ) {
                    Section.downstream.read($0, at: $1, into: &$2)
                },
                .table("journal", \.journal, .journal),
                .tables(
                    "agent", \.agents, upTo: 64, .endpoints, empty: AgentEndpoint(publish: "", request: "")
                ) {
                    agent, _ in agent
                },
                .tables("feed", \.feeds, upTo: 64, .feed, empty: .draft) { feed, _ in feed },
                .tables("replica", \.replicas, upTo: 16, .replica, empty: ReplicaOptions(request: "")) {
                    replica, _ in replica
                },
            ],
            check: checkGateway)
    }

    static var downstream: Section {
        Section(keys: [
            .value("publish", \.publish, Rules.list(1...8, of: Rules.boundEndpoint)),
            .value("plaintext", \.plaintext, Rules.list(0...8, of: Rules.boundBeyondHost)),
            .value("control_every", \.controlEvery, Rules.duration(.milliseconds(10), .seconds(10))),
        ])
    }

    private static func checkGateway(_ options: GatewayOptions, at place: Place) {
        refuseDuplicates(options.feeds.map(\.name), of: "feeds", at: place.key("feed"))
        let bus = [("bus.publish", options.bus.publish), ("bus.request", options.bus.request)]
        refuseSharedEndpoints("downstream.publish", options.publish, besides: bus, at: place)
        refuseSharedEndpoints(
            "downstream.plaintext", options.plaintext,
            besides: bus + [("downstream.publish", options.publish)], at: place)
        checkReplicas(options, at: place)
        for (index, agent) in options.agents.enumerated()
        where options.agents[..<index].contains(where: { $0.publish == agent.publish }) {
            place.key("agent").item(index).key("publish").refuse(
                .text(agent.publish), "this agent stands here twice")
        }
        guard place.accepted("agent") else { return }
        for (index, feed) in options.feeds.enumerated() {
            for (number, path) in feed.paths.enumerated() {
                checkDependencies(
                    of: path, options.agents,
                    at: place.key("feed").item(index).key("path").item(number).key("depends_on"))
            }
        }
    }

    /// Somebody tells of each, and it is clear who. What agents call their hosts is not known here.
    private static func checkDependencies(
        of path: FeedPathOptions, _ agents: [AgentEndpoint], at place: Place
    ) {
        guard let first = path.dependsOn.first else { return }
        guard !agents.isEmpty else {
            return place.refuse(
                "there is no [[agent]] that would tell of \(first); add one with publish and request")
        }
        guard agents.count > 1, !agents.contains(where: \.isLocal),
            let plain = path.dependsOn.first(where: { $0.host == nil })
        else { return }
        place.refuse(
            "\(plain) is of one of \(agents.count) hosts, none of them this one: write \"HOST:\(plain)\", "
                + "with the host's name as holdfast status shows it")
    }
}

extension Section where Options == AgentEndpoint {
    static var endpoints: Section {
        Section(
            keys: [
                .value("publish", \.publish, required: true, Rules.connectedAddress),
                .value("request", \.request, required: true, Rules.connectedAddress),
                .value("server_key", \.serverKey, Rules.publicKey),
            ],
            check: { agent, place in
                guard place.accepted("publish", "request", "server_key") else { return }
                checkServerKey(
                    agent.serverKey, for: [("publish", agent.publish), ("request", agent.request)], at: place)
            })
    }
}
