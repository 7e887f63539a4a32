// The vocabulary of `gateway.toml`, but for its feeds.

extension Section where Options == GatewayOptions {
    static var gateway: Section {
        Section(
            keys: [
                .value("host", \.host, Rules.name),
                .table("bus", \.bus, .bus),
                // Two values that live beside the sections in the options.
                Key(
                    name: "downstream", isRequired: false,
                    paths: Section.downstream.paths.map { "downstream." + $0 }
                ) {
                    Section.downstream.read($0, at: $1, into: &$2)
                },
                .tables(
                    "agent", \.agents, upTo: 64, .endpoints, empty: AgentEndpoint(publish: "", request: "")
                ) {
                    agent, _ in agent
                },
                .tables("feed", \.feeds, upTo: 64, .feed, empty: .draft) { feed, _ in feed },
            ],
            check: checkGateway)
    }

    static var downstream: Section {
        Section(keys: [
            .value("publish", \.publish, Rules.list(1...8, of: Rules.localEndpoint)),
            .value("control_every", \.controlEvery, Rules.duration(.milliseconds(10), .seconds(10))),
        ])
    }

    private static func checkGateway(_ options: GatewayOptions, at place: Place) {
        refuseDuplicates(options.feeds.map(\.name), of: "feeds", at: place.key("feed"))
        refuseSharedEndpoints(
            [
                ("bus.publish", options.bus.publish), ("bus.request", options.bus.request),
                ("downstream.publish", options.publish),
            ].filter {
                $0.0 != "bus.request" || Set(options.bus.publish).isDisjoint(with: options.bus.request)
            },
            at: place)
        for (index, agent) in options.agents.enumerated()
        where options.agents[..<index].contains(where: { $0.publish == agent.publish }) {
            place.key("agent").item(index).key("publish").refuse(
                .text(agent.publish), "this agent stands here twice")
        }
        guard options.agents.isEmpty, place.accepted("agent") else { return }
        for (index, feed) in options.feeds.enumerated() {
            for (number, path) in feed.paths.enumerated() where !path.dependsOn.isEmpty {
                place.key("feed").item(index).key("path").item(number).key("depends_on").refuse(
                    "there is no [[agent]] that would tell of \(path.dependsOn[0]); add one with publish and request"
                )
            }
        }
    }
}

extension Section where Options == AgentEndpoint {
    static var endpoints: Section {
        Section(keys: [
            .value("publish", \.publish, required: true, Rules.localEndpoint),
            .value("request", \.request, required: true, Rules.localEndpoint),
        ])
    }
}
