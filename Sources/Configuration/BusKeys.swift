// `[bus]`, which both daemons have.

extension Section where Options == BusOptions {
    static var bus: Section {
        Section(
            keys: [
                .value("publish", \.publish, Rules.list(1...8, of: Rules.localEndpoint)),
                .value("request", \.request, Rules.list(1...8, of: Rules.localEndpoint)),
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
                refuseSharedEndpoints([("publish", bus.publish), ("request", bus.request)], at: place)
            })
    }
}

/// No two sockets can be bound to one endpoint.
func refuseSharedEndpoints(_ lists: [(key: String, endpoints: [String])], at place: Place) {
    var owners: [String: String] = [:]
    for (key, endpoints) in lists {
        for endpoint in Set(endpoints).sorted() {
            if let owner = owners[endpoint] {
                place.key(key).refuse(.text(endpoint), "is already the endpoint of \(owner)")
            } else {
                owners[endpoint] = key
            }
        }
    }
}

/// Refuses the elements that have an earlier one's name.
func refuseDuplicates(_ names: [String], of what: String, at place: Place) {
    var seen: Set<String> = []
    for name in names where !name.isEmpty && !seen.insert(name).inserted {
        place.refuse("two \(what) are called \"\(Setting.printable(name))\"; names must differ")
    }
}
