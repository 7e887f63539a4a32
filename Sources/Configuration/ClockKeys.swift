// `[clock]` of `agent.toml`.

/// `[clock]`: how far this host's clock may be from UTC.
public struct ClockOptions: Hashable, Sendable {
    public var enabled = true
    /// How often chronyd and the kernel are asked.
    public var pollEvery: Duration = .seconds(2)
    /// The UDP port on 127.0.0.1 where chronyd answers (its `cmdport`); 0: it is not asked.
    public var chronyPort = 323
    /// What the law asks of this host; `nil`: nothing.
    public var accuracy: ClockClass?
    /// The measured offset, in seconds either way. A class gives `critical` where it is not set here.
    public var offset = LimitOptions(dwell: .seconds(10))
    /// The furthest that the clock can be from UTC, in seconds. A class gives `warning` where it is not set here.
    public var errorBound = LimitOptions(dwell: .seconds(10))
    /// A clock that is not synchronised is told after this.
    public var unsynchronisedFor: Duration = .seconds(30)
    /// The clock being set by less than this is no warning.
    public var stepLeast: Duration = .microseconds(100)
    /// How long a step stands as a warning.
    public var stepStands: Duration = .seconds(60)

    public init() {}
}

/// What an activity asks of the clocks that stamp it.
///
/// Source: Commission Delegated Regulation (EU) 2017/574 (RTS 25 of MiFID II), annex, table 2: maximum divergence
/// from UTC for members and participants of trading venues.
public enum ClockClass: String, Hashable, Sendable, CaseIterable {
    /// High-frequency algorithmic trading: 100 µs.
    case highFrequency = "rts25-hft"
    /// Any other trading activity, such as slower algorithms: 1 ms.
    case automated = "rts25-automated"
    /// Voice trading, requests for quote that a person answers, negotiated transactions: 1 s.
    case voice = "rts25-voice"

    /// In seconds.
    public var maximumDivergence: Double {
        switch self {
        case .highFrequency: 100e-6
        case .automated: 1e-3
        case .voice: 1
        }
    }
}

extension Section where Options == ClockOptions {
    static var clock: Section {
        Section(keys: [
            .value("enabled", \.enabled, Rules.flag),
            .value("poll_every", \.pollEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
            .value("chrony_port", \.chronyPort, Rules.integer(0...65535)),
            .value("class", \.accuracy, Rules.word(ClockClass.self)),
            .limit("offset", \.offset, .above, 0...3600),
            .limit("error_bound", \.errorBound, .above, 0...3600),
            .value("unsynchronised_for", \.unsynchronisedFor, Rules.duration(.zero, .seconds(86400))),
            .value("step_least", \.stepLeast, Rules.duration(.zero, .seconds(3600))),
            .value("step_stands", \.stepStands, Rules.duration(.seconds(1), .seconds(86400))),
        ])
    }
}
