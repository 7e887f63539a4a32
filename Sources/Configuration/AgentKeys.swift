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
                .table("history", \.history, .history),
                .table("clock", \.clock, .clock),
                .table("pressure", \.pressure, .pressure),
                .tables("check", \.checks, upTo: 512, .check, empty: CheckOptions(name: "", command: [])) {
                    check, _ in check
                },
            ], check: checkAgent)
    }

    private static func checkAgent(_ options: AgentOptions, at place: Place) {
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
                .value("endpoint", \.endpoint, required: true, Rules.connectedEndpoint),
                .value("server_key", \.serverKey, Rules.publicKey),
            ],
            check: { collector, place in
                guard place.accepted("endpoint", "server_key") else { return }
                checkServerKey(collector.serverKey, for: [("endpoint", collector.endpoint)], at: place)
            })
    }
}

/// An endpoint beyond this host is encrypted for the one server that has the key; one of ipc cannot be.
func checkServerKey(_ key: PublicKey?, for endpoints: [(key: String, endpoint: String)], at place: Place) {
    if key == nil, let beyond = endpoints.first(where: { !Endpoint.isLocal($0.endpoint) }) {
        place.key(beyond.key).refuse(
            .text(beyond.endpoint),
            "is beyond this host and needs server_key, the public key that sudo holdfast keygen --show prints "
                + "over there")
    }
    if key != nil, endpoints.allSatisfy({ $0.endpoint.hasPrefix("ipc://") }) {
        place.key("server_key").refuse("is for tcp; ipc does not leave this host and is never encrypted")
    }
}

extension Section where Options == PathOptions {
    static var path: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("discover", \.discover, Rules.flag),
                .tables("isp", \.isps, upTo: 64, .isp, empty: ISPOptions(name: "")) { isp, _ in isp },
            ],
            check: { path, place in refuseDuplicates(path.isps.map(\.name), of: "paths", at: place.key("isp"))
            })
    }
}

extension Section where Options == ISPOptions {
    static var isp: Section {
        Section(
            keys: [
                .value("name", \.name, required: true, Rules.name),
                .value("interface", \.interface, Rules.interface),
                .value("targets", \.targets, Rules.list(0...16, of: Rules.hostAddress)),
                .value("quorum", \.quorum, Rules.integer(1...16)),
                .value("probe_every", \.probeEvery, Rules.duration(.milliseconds(10), .seconds(3600))),
                .value("loss_after", \.lossAfter, Rules.duration(.milliseconds(10), .seconds(60))),
                .value("down_after", \.downAfter, Rules.duration(.milliseconds(20), .seconds(3600))),
                .value("down_after_probes", \.downAfterProbes, Rules.integer(1...1000)),
                .value("up_after_replies", \.upAfterReplies, Rules.integer(1...1000)),
                .value("loss_window", \.lossWindow, Rules.integer(10...10000)),
                .value("loss_raise", \.lossRaise, Rules.ratio),
                .value("loss_clear", \.lossClear, Rules.ratio),
                .value("rtt_raise", \.rttRaise, Rules.duration(.microseconds(1), .seconds(60))),
                .value("rtt_clear", \.rttClear, Rules.duration(.microseconds(1), .seconds(60))),
            ],
            check: checkISP)
    }

    private static func checkISP(_ isp: ISPOptions, at place: Place) {
        if place.accepted("interface", "targets"), isp.interface == nil, isp.targets.isEmpty {
            place.refuse("needs targets to probe, or an interface whose next hop is probed")
        }
        if place.accepted("quorum", "targets"), let quorum = isp.quorum, quorum > max(1, isp.targets.count) {
            place.key("quorum").refuse(
                .integer(Int64(quorum)),
                "more than the \(max(1, isp.targets.count)) targets that could answer")
        }
        if place.accepted("loss_after", "down_after"), isp.downAfter < isp.lossAfter {
            place.key("down_after").refuse(
                "\"\(isp.downAfter.written)\": must not be shorter than loss_after (\"\(isp.lossAfter.written)\")"
            )
        }
        checkThresholds(isp, at: place)
    }

    private static func checkThresholds(_ isp: ISPOptions, at place: Place) {
        if place.accepted("loss_raise", "loss_clear"), isp.lossClear > isp.lossRaise {
            place.key("loss_clear").refuse(
                .number(isp.lossClear),
                "must not be above loss_raise (\(isp.lossRaise)), or the warning never clears")
        }
        guard place.accepted("rtt_raise", "rtt_clear"), let clear = isp.rttClear else { return }
        guard let raise = isp.rttRaise else {
            return place.key("rtt_clear").refuse("clears what nothing raises; set rtt_raise too")
        }
        if clear > raise {
            place.key("rtt_clear").refuse(
                .text(clear.written),
                "must not be above rtt_raise (\"\(raise.written)\"), or the warning never clears")
        }
    }
}
