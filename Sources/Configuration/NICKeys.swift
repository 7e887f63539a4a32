// `[nic]` and `[[nic.link]]` of `agent.toml`.

/// `[nic]`: which network interfaces are watched, and how.
public struct NICOptions: Hashable, Sendable {
    public var enabled = true
    /// Watch each physical NIC that is administratively up, and bonds.
    public var discover = true
    /// Names, with `*` as a wildcard, that are watched besides, virtual ones too; one without a wildcard is
    /// watched even while it does not exist.
    public var include: [String] = []
    /// Names, with `*` as a wildcard, that are never watched.
    public var exclude: [String] = []
    /// How often the carrier counters of real NICs are read; the kernel may hold their link events back for
    /// a second.
    public var counterPollEvery: Duration = .milliseconds(50)
    /// Carrier losses within `flapWindow` that make a NIC `warning` after it is back up.
    public var flapCount = 3
    public var flapWindow: Duration = .seconds(60)
    /// Errors per second, received and sent.
    public var errors = LimitOptions(warning: 1, dwell: .seconds(3))
    /// Packets per second that the host or the device dropped. Every host drops some, of protocols that it does
    /// not speak.
    public var drops = LimitOptions(warning: 100, dwell: .seconds(3))
    /// Packets per second that all processors dropped because their backlog was full.
    public var backlogDrops = LimitOptions(warning: 1, flapCount: 3)
    /// Times per second that processors gave up with packets waiting (`time_squeeze`).
    public var backlogSqueezes = LimitOptions(warning: 1000, dwell: .seconds(10))
    /// The loss of a NIC's last address or of its default route is told after this.
    public var addressDwell: Duration = .seconds(3)
    /// `[[nic.link]]`.
    public var links: [LinkOptions] = []

    public init() {}
}

/// One `[[nic.link]]`: what is expected of some NICs.
public struct LinkOptions: Hashable, Sendable {
    /// A name, with `*` as a wildcard.
    public var name: String
    /// Megabits per second; less is a warning.
    public var speedAtLeast: Int?

    public init(name: String, speedAtLeast: Int? = nil) {
        self.name = name
        self.speedAtLeast = speedAtLeast
    }
}

extension Section where Options == NICOptions {
    static var nic: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("discover", \.discover, Rules.flag),
                .value("include", \.include, Rules.list(0...64, of: Rules.interfacePattern)),
                .value("exclude", \.exclude, Rules.list(0...64, of: Rules.interfacePattern)),
                .value(
                    "counter_poll_every", \.counterPollEvery, Rules.duration(.milliseconds(5), .seconds(60))),
                .value("flap_count", \.flapCount, Rules.integer(1...1000)),
                .value("flap_window", \.flapWindow, Rules.duration(.seconds(1), .seconds(86400))),
                .limit("errors", \.errors, .above, 0...1e9),
                .limit("drops", \.drops, .above, 0...1e9),
                .limit("backlog_drops", \.backlogDrops, .above, 0...1e9),
                .limit("backlog_squeezes", \.backlogSqueezes, .above, 0...1e9),
                .value("address_dwell", \.addressDwell, Rules.duration(.zero, .seconds(3600))),
                .tables("link", \.links, upTo: 64, .link, empty: LinkOptions(name: "")) { link, _ in link },
            ],
            check: { nic, place in
                refuseDuplicates(nic.links.map(\.name), of: "links", at: place.key("link"))
            })
    }
}

extension Section where Options == LinkOptions {
    static var link: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.interfacePattern),
            .value("speed_at_least", \.speedAtLeast, Rules.integer(1...10_000_000)),
        ])
    }
}
