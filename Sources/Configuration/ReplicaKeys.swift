// `[[replica]]` of `gateway.toml`: journals of other gateways that are kept here.
internal import Basics

extension Rules {
    /// How far a replica may be behind.
    static let lag = duration(.milliseconds(100), .seconds(7 * 86400))
}

extension Section where Options == ReplicaOptions {
    static var replica: Section {
        Section(
            keys: [
                .value("request", \.request, required: true, Rules.connectedAddress),
                .value("server_key", \.serverKey, Rules.publicKey),
                .value("feeds", \.feeds, required: true, Rules.list(1...64, of: Rules.name)),
                .value("every", \.every, Rules.duration(.milliseconds(10), .seconds(60))),
                .value("warning", \.warning, Rules.lag),
                .value("critical", \.critical, Rules.lag),
            ],
            check: { replica, place in
                checkLag(replica.warning, replica.critical, "warning", "critical", at: place)
                guard place.accepted("request", "server_key") else { return }
                checkServerKey(replica.serverKey, for: [("request", replica.request)], at: place)
            })
    }
}

/// The worse limit is not the nearer one.
func checkLag(_ warning: Duration, _ critical: Duration, _ first: String, _ second: String, at place: Place) {
    guard place.accepted(first, second), critical < warning else { return }
    place.key(second).refuse(
        "\"\(critical.written)\": must be at least \(first) (\"\(warning.written)\")")
}

/// A folder has one writer: what is journalled here is not pulled from elsewhere, and nothing is pulled twice.
func checkReplicas(_ options: GatewayOptions, at place: Place) {
    var taken = Set(options.feeds.filter(\.journal).map(\.name))
    for (index, replica) in options.replicas.enumerated() {
        for (number, feed) in replica.feeds.enumerated() where !taken.insert(feed).inserted {
            let isOwn = options.feeds.contains { $0.name == feed && $0.journal }
            place.key("replica").item(index).key("feeds").item(number).refuse(
                .text(feed),
                isOwn ? "is journalled here; its replica must be another gateway's" : "is pulled twice")
        }
    }
}
