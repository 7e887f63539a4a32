// `[path]` and `[[path.isp]]` of `agent.toml`.
internal import Basics

/// `[path]`: the ways out of this host.
public struct PathOptions: Hashable, Sendable {
    /// The subject that sums the paths up; no path may be called so.
    public static let summary = "site"

    public var enabled = true
    /// Watch a path per default route by probing its next hop, once a second.
    public var discover = true
    /// `[[path.isp]]`: named paths with targets of their own.
    public var isps: [ISPOptions] = []

    public init() {}
}

/// One `[[path.isp]]`.
public struct ISPOptions: Hashable, Sendable {
    public var name: String
    /// The interface through which probes leave; `nil`: as routed.
    public var interface: String?
    /// Hosts that answer, as `ProbeTarget` reads them; empty: the interface's next hop.
    public var targets: [String]
    /// How many targets must answer for the path to be up; `nil`: more than half of them.
    public var quorum: Int?
    /// One probe per target in this time.
    public var probeEvery: Duration = .milliseconds(100)
    /// A probe without reply for this long is lost.
    public var lossAfter: Duration = .milliseconds(300)
    /// No reply for this long, and at least `downAfterProbes` probes lost in a row, is `critical`.
    public var downAfter: Duration = .milliseconds(700)
    public var downAfterProbes = 5
    /// Replies in a row that end `critical`.
    public var upAfterReplies = 3
    /// Loss, and round-trip times, are taken over so many probes.
    public var lossWindow = 100
    /// Loss over the window, from 0 to 1. Random loss comes in clusters, so that it is held for three windows.
    public var loss = LimitOptions(warning: 0.02, hold: .seconds(30))
    /// Round-trip time in seconds.
    public var rtt = LimitOptions(dwell: .seconds(1))

    public init(name: String, interface: String? = nil, targets: [String] = []) {
        self.name = name
        self.interface = interface
        self.targets = targets
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
            check: { path, place in
                refuseDuplicates(path.isps.map(\.name), of: "paths", at: place.key("isp"))
                for (index, isp) in path.isps.enumerated() where isp.name == PathOptions.summary {
                    place.key("isp").item(index).key("name").refuse(
                        .text(isp.name), "is the name of what sums all paths up")
                }
            })
    }
}

extension Section where Options == ISPOptions {
    static var isp: Section {
        Section(
            keys: [
                .value("name", \.name, required: true, Rules.name),
                .value("interface", \.interface, Rules.interface),
                .value("targets", \.targets, Rules.list(0...16, of: Rules.probeTarget)),
                .value("quorum", \.quorum, Rules.integer(1...16)),
                .value("probe_every", \.probeEvery, Rules.duration(.milliseconds(10), .seconds(3600))),
                .value("loss_after", \.lossAfter, Rules.duration(.milliseconds(10), .seconds(60))),
                .value("down_after", \.downAfter, Rules.duration(.milliseconds(20), .seconds(3600))),
                .value("down_after_probes", \.downAfterProbes, Rules.integer(1...1000)),
                .value("up_after_replies", \.upAfterReplies, Rules.integer(1...1000)),
                .value("loss_window", \.lossWindow, Rules.integer(10...10000)),
                .limit("loss", \.loss, .above, 0...1),
                .limit("rtt", \.rtt, .above, 0...60),
            ],
            check: checkISP)
    }

    private static func checkISP(_ isp: ISPOptions, at place: Place) {
        if place.accepted("interface", "targets"), isp.interface == nil {
            if isp.targets.isEmpty {
                place.refuse("needs targets to probe, or an interface whose next hop is probed")
            }
            for (index, target) in isp.targets.enumerated()
            where ProbeTarget(target)?.address.isLinkLocal == true {
                place.key("targets").item(index).refuse(
                    .text(target), "is an address of a link; say which by interface")
            }
        }
        if place.accepted("quorum", "targets"), let quorum = isp.quorum,
            quorum > max(1, isp.targets.count)
        {
            place.key("quorum").refuse(
                .integer(Int64(quorum)),
                "more than the \(max(1, isp.targets.count)) targets that could answer")
        }
        if place.accepted("loss_after", "down_after"), isp.downAfter < isp.lossAfter {
            place.key("down_after").refuse(
                "\"\(isp.downAfter.written)\": must not be shorter than loss_after (\"\(isp.lossAfter.written)\")"
            )
        }
    }
}

extension Rules {
    /// Whom to probe.
    static let probeTarget = text(
        "must be a host to probe: \"192.0.2.1\" by ICMP echo, \"tcp://192.0.2.1:443\" or \"dns://192.0.2.53\"; "
            + "IPv6 as \"2001:db8::1\" or \"tcp://[2001:db8::1]:443\""
    ) {
        ProbeTarget($0) != nil
    }
}
