// The vocabulary of `agent.toml`.
internal import Wire

extension Section where Options == AgentOptions {
    static var agent: Section {
        Section(
            keys: [
                .value("host", \.host, Rules.name),
                .table("bus", \.bus, .bus),
                .table("curve", \.curve, .curve),
                .tables(
                    "report_to", \.reportTo, upTo: 16, .collector, empty: CollectorOptions(endpoint: "")
                ) { collector, _ in collector },
                .table("nic", \.nic, .nic),
                .table("path", \.path, .path),
                .table("unit", \.unit, .unit),
                .table("process", \.process, .process),
                .table("ups", \.ups, .ups),
                .table("disk", \.disk, .disk),
                .table("history", \.history, .history),
                .tables(
                    "line", \.lines, upTo: 64, .line, empty: LineOptions(feed: "", lineProtocol: .moldUDP64)
                ) { line, _ in line },
                .table("clock", \.clock, .clock),
                .table("pressure", \.pressure, .pressure),
                .tables("check", \.checks, upTo: 512, .check, empty: CheckOptions(name: "", command: [])) {
                    check, _ in check
                },
            ], check: checkAgent)
    }

    private static func checkAgent(_ options: AgentOptions, at place: Place) {
        refuseDuplicates(options.lines.map(\.feed), of: "feeds", at: place.key("line"))
        refuseDuplicates(options.checks.map(\.name), of: "checks", at: place.key("check"))
        for (index, collector) in options.reportTo.enumerated()
        where options.reportTo[..<index].contains(where: { $0.endpoint == collector.endpoint }) {
            place.key("report_to").item(index).key("endpoint").refuse(
                .text(collector.endpoint), "this collector stands here twice")
        }
    }
}

extension Section where Options == CollectorOptions {
    static var collector: Section {
        Section(
            keys: [
                .value("endpoint", \.endpoint, required: true, Rules.connectedAddress),
                .value("server_key", \.serverKey, Rules.publicKey),
            ],
            check: { collector, place in
                guard place.accepted("endpoint", "server_key") else { return }
                checkServerKey(collector.serverKey, for: [("endpoint", collector.endpoint)], at: place)
            })
    }
}

/// An endpoint beyond this host is encrypted for the one server that has the key; one of ipc cannot be.
func checkServerKey(
    _ key: PublicKey?, for endpoints: [(key: String, endpoint: String)], at place: Place
) {
    if key == nil, let beyond = endpoints.first(where: { !Endpoint.isLocal($0.endpoint) }) {
        place.key(beyond.key).refuse(
            .text(beyond.endpoint),
            "is beyond this host and needs server_key, the public key that sudo holdfast keygen --show prints "
                + "over there")
    }
    if key != nil, endpoints.allSatisfy({ $0.endpoint.hasPrefix("ipc://") }) {
        place.key("server_key").refuse(
            "is for tcp; ipc does not leave this host and is never encrypted")
    }
}
