// `[bus]` and `[curve]`, which both daemons have.
internal import Wire

extension Section where Options == CurveOptions {
    static var curve: Section {
        Section(keys: [
            .value("key", \.key, Rules.file), .value("clients", \.clients, Rules.file),
        ])
    }
}

extension Section where Options == BusOptions {
    static var bus: Section {
        Section(
            keys: [
                .value("publish", \.publish, Rules.list(1...8, of: Rules.boundEndpoint)),
                .value("request", \.request, Rules.list(1...8, of: Rules.boundEndpoint)),
                .value("heartbeat_every", \.heartbeatEvery, Rules.duration(.milliseconds(10), .seconds(60))),
                .value("expires_after", \.expiresAfter, Rules.duration(.milliseconds(20), .seconds(600))),
                .value("state_every", \.stateEvery, Rules.duration(.seconds(1), .seconds(3600))),
                .value("sample_every", \.sampleEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
            ],
            check: { bus, place in
                if place.accepted("heartbeat_every", "expires_after"),
                    bus.expiresAfter < bus.heartbeatEvery * 2
                {
                    place.key("expires_after").refuse(
                        "\"\(bus.expiresAfter.written)\": must be at least twice heartbeat_every "
                            + "(\"\(bus.heartbeatEvery.written)\"), or one late heartbeat means an unknown host"
                    )
                }
                refuseSharedEndpoints("publish", bus.publish, besides: [], at: place)
                refuseSharedEndpoints(
                    "request", bus.request, besides: [("publish", bus.publish)], at: place)
            })
    }
}

/// No two sockets can be bound to one endpoint, nor to one port if one of them takes it on every address.
func refuseSharedEndpoints(
    _ key: String, _ endpoints: [String], besides others: [(key: String, endpoints: [String])],
    at place: Place
) {
    for (index, endpoint) in endpoints.enumerated() {
        let earlier = others + [(key, Array(endpoints[..<index]))]
        for (owner, owned) in earlier {
            guard let clash = owned.first(where: { areShared($0, endpoint) }) else { continue }
            place.key(key).refuse(
                .text(endpoint),
                clash == endpoint
                    ? "is already the endpoint of \(owner)" : "takes the port of \"\(clash)\" of \(owner)")
            break
        }
    }
}

private func areShared(_ one: String, _ other: String) -> Bool {
    guard let one = Endpoint(bound: one), let other = Endpoint(bound: other) else { return one == other }
    return one.clashes(with: other)
}

/// Refuses the elements that have an earlier one's name, each where it stands.
func refuseDuplicates(_ names: [String], of what: String, at place: Place) {
    var seen: Set<String> = []
    for (index, name) in names.enumerated() where !name.isEmpty && !seen.insert(name).inserted {
        place.item(index).refuse("two \(what) are called \"\(Setting.printable(name))\"; names must differ")
    }
}
