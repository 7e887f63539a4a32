// `[[line]]` and `[[line.path]]` of `agent.toml`: feeds whose lines are watched on the wire.
public import Basics

/// One `[[line]]`: a feed and its redundant lines.
public struct LineOptions: Hashable, Sendable {
    /// What the packets' headers are.
    public enum LineProtocol: String, Hashable, Sendable, CaseIterable {
        case moldUDP64 = "moldudp64"
        /// Cboe's sequenced units.
        case pitch
        case iexTP = "iex-tp"
        /// CME MDP 3.0; packets are numbered, not messages.
        case mdp3
    }

    public var feed: String
    public var lineProtocol: LineProtocol
    /// Nothing for so long, not even a heartbeat, is silence; `nil`: three heartbeats of the protocol.
    public var silence: Duration?
    /// So is nothing for so long while another line brings data.
    public var silenceBehindTwin: Duration = .milliseconds(500)
    /// The share of what was sent within `lossWindow` that is missing on a line.
    public var loss = LimitOptions(warning: 0.001)
    public var lossWindow: Duration = .seconds(60)
    /// When its venue trades; `nil`: always. Silence and loss are not judged while it does not.
    public var session: SessionCalendar?
    /// The capture's ring, for each line.
    public var bufferBytes = 1 << 20
    /// `[[line.path]]`, the one that the others are compared with first.
    public var paths: [LinePathOptions] = []

    public init(feed: String, lineProtocol: LineProtocol) {
        self.feed = feed
        self.lineProtocol = lineProtocol
    }
}

/// One `[[line.path]]`.
public struct LinePathOptions: Hashable, Sendable {
    /// `A`, `B` …
    public var name: String
    /// Where it comes in.
    public var interface: String
    /// The IPv4 group (or own address) and UDP port, `239.1.1.1:30001`.
    public var group: String
    /// Only this sender (source-specific multicast).
    public var source: String?

    public init(name: String, interface: String, group: String) {
        self.name = name
        self.interface = interface
        self.group = group
    }
}

extension Section where Options == LineOptions {
    static var line: Section {
        Section(
            keys: [
                .value("feed", \.feed, required: true, Rules.name),
                .value(
                    "protocol", \.lineProtocol, required: true, Rules.word(LineOptions.LineProtocol.self)),
                .value("silence", \.silence, Rules.duration(.milliseconds(100), .seconds(3600))),
                .value(
                    "silence_behind_twin", \.silenceBehindTwin,
                    Rules.duration(.milliseconds(100), .seconds(3600))),
                .limit("loss", \.loss, .above, 0...1),
                .value("loss_window", \.lossWindow, Rules.duration(.seconds(1), .seconds(86400))),
                .session("session", \.session),
                .value("buffer_bytes", \.bufferBytes, Rules.integer(524_288...268_435_456)),
                .tables(
                    "path", \.paths, upTo: 8, .linePath,
                    empty: LinePathOptions(name: "", interface: "", group: "")
                ) { path, _ in path },
            ],
            check: checkLine)
    }

    private static func checkLine(_ line: LineOptions, at place: Place) {
        if line.paths.isEmpty, place.accepted("path") {
            place.refuse("has no line; add one [[line.path]] at least, two to compare")
        }
        refuseDuplicates(line.paths.map(\.name), of: "lines", at: place.key("path"))
        for (index, path) in line.paths.enumerated() {
            let here = place.key("path").item(index)
            let twin = line.paths[..<index].first {
                $0.group == path.group && $0.interface == path.interface && $0.source == path.source
            }
            if let twin, !path.group.isEmpty {
                here.key("group").refuse(.text(path.group), "is the very line \(twin.name)")
            }
            if path.source != nil, IPv4Endpoint(path.group)?.address.isMulticast == false {
                here.key("source").refuse("needs a multicast group, and \(path.group) is a host's address")
            }
        }
    }
}

extension Section where Options == LinePathOptions {
    static var linePath: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.name),
            .value("interface", \.interface, required: true, Rules.interface),
            .value("group", \.group, required: true, Rules.group),
            .value("source", \.source, Rules.hostAddress),
        ])
    }
}
