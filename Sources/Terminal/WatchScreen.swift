// `holdfast watch` as a picture: hosts, then feeds, then everything else with what is wrong first, then what
// changed last. A pure function of what is known and of the terminal's size.
public import Basics
public import Wire

/// What the screen shows of one publisher.
public struct WatchedPublisher: Sendable {
    /// What the person gave, shown until the publisher says its name.
    public var endpoint: String
    public var host: String?
    public var liveness: HealthView.Liveness
    public var states: [StateMessage]
    public var heartbeat: HeartbeatMessage?
    /// The newest measurements.
    public var samples: [Subject: [NamedValue]]

    public init(
        endpoint: String, host: String?, liveness: HealthView.Liveness, states: [StateMessage],
        heartbeat: HeartbeatMessage?, samples: [Subject: [NamedValue]]
    ) {
        self.endpoint = endpoint
        self.host = host
        self.liveness = liveness
        self.states = states
        self.heartbeat = heartbeat
        self.samples = samples
    }
}

public struct WatchScreen {
    /// The least that the recent changes keep when the screen is short.
    private static let fewestChanges = 3

    public var publishers: [WatchedPublisher]
    /// Newest first.
    public var changes: [ChangeLine]
    public var now: WallTime
    public var palette: Palette

    public init(publishers: [WatchedPublisher], changes: [ChangeLine], now: WallTime, palette: Palette) {
        self.publishers = publishers
        self.changes = changes
        self.now = now
        self.palette = palette
    }

    /// Exactly as many lines as the terminal has, or fewer; none wider than it.
    public func lines(width: Int, height: Int) -> [String] {
        let isFeed: (StateMessage) -> Bool = { $0.subject.kind == .feed || $0.subject.kind == .feedPath }
        let states = publishers.flatMap(\.states)
        let feeds = states.filter(isFeed).sorted(by: isNamedBefore)
        let others = states.filter { !isFeed($0) }.sorted(by: StatusTable.isWorse)
        var lines = [title(of: states, width)] + hostLines(width)
        var room = height - lines.count - 2 - min(changes.count, Self.fewestChanges)
        for (name, part) in [("FEED", feeds), ("SUBJECT", others)] where !part.isEmpty {
            let shown = section(name, part, width, room: room)
            lines += shown
            room -= shown.count
        }
        lines += changeLines(width, room: height - lines.count)
        return Array(lines.prefix(max(0, height)))
    }

    private func title(of states: [StateMessage], _ width: Int) -> String {
        let time = String(now.rfc3339.dropFirst(11).prefix(8)) + " UTC"
        let left =
            "holdfast  " + StatusTable.summary(of: states.map(\.status)) + IncidentLines.count(of: states)
        let right = "\(time)  q quits"
        return palette.heading(left.fitted(to: max(0, width - right.count - 1)) + " " + right)
    }

    private func hostLines(_ width: Int) -> [String] {
        let rows = publishers.sorted { ($0.host ?? "", $0.endpoint) < ($1.host ?? "", $1.endpoint) }.map(
            hostRow)
        let table = Table(
            titles: ["HOST", "STATUS", "SUBJECTS", "COST", "ENDPOINT"], statusColumn: 1, rows: rows)
        return [""] + table.lines(width: width, palette: palette)
    }

    private func hostRow(_ publisher: WatchedPublisher) -> Table.Row {
        let status: Status =
            switch publisher.liveness {
            case .neverHeard, .expired: .unknown
            case .alive: Status.worst(of: publisher.states.map(\.status))
            }
        let isStopping = publisher.heartbeat?.stopping != nil
        let word =
            switch publisher.liveness {
            case .neverHeard: "no answer yet"
            case .expired: isStopping ? "stopped" : "no heartbeat"
            case .alive: isStopping ? "stopping" : status.rawValue
            }
        let cost = publisher.heartbeat.map { heartbeat in
            let cpu = ValueText.text(NamedValue("cpu_ratio", .number(heartbeat.cost.cpuRatio)))
            return cpu + ValueText.text(NamedValue("_bytes", .integer(heartbeat.cost.residentBytes)))
        }
        let count = publisher.liveness == .neverHeard ? "" : "\(publisher.states.count)"
        return Table.Row([publisher.host ?? "?", word, count, cost ?? "", publisher.endpoint], status)
    }

    private func section(_ name: String, _ states: [StateMessage], _ width: Int, room: Int) -> [String] {
        // An empty line, the titles and one row, or nothing.
        guard room >= 3 else { return [] }
        let fits = states.count <= room - 2
        let shown = fits ? states : Array(states.prefix(max(0, room - 3)))
        let showsHost = Set(publishers.compactMap(\.host)).count > 1
        let table = Table(
            titles: (showsHost ? ["HOST"] : []) + [name, "STATUS", "SINCE", "REASON", "CAUSE"],
            statusColumn: showsHost ? 2 : 1,
            rows: shown.map { state in
                let cells = [
                    state.subject.description, state.status.rawValue, age(now - state.since),
                    details(of: state),
                    state.cause?.description ?? "",
                ]
                return Table.Row((showsHost ? [state.stamp.host] : []) + cells, state.status)
            })
        let more = fits ? [] : [palette.faint("… and \(states.count - shown.count) more")]
        return [""] + table.lines(width: width, palette: palette) + more
    }

    /// The reason and, of what is well, the newest measurements.
    private func details(of state: StateMessage) -> String {
        let samples = publishers.first { $0.host == state.stamp.host && $0.samples[state.subject] != nil }
        let values = samples?.samples[state.subject] ?? []
        let brief = ValueText.brief(values, width: 40)
        return brief.isEmpty ? state.reason : "\(state.reason) · \(brief)"
    }

    private func changeLines(_ width: Int, room: Int) -> [String] {
        guard room >= 3, !changes.isEmpty else { return [] }
        let showsHost = Set(publishers.compactMap(\.host)).count > 1
        // States that were there before come late, with the times at which they came about.
        let lines = changes.sorted { $0.at > $1.at }.prefix(room - 2).map {
            $0.screenLine(width: width, showsHost: showsHost, palette: palette)
        }
        return ["", palette.heading("RECENT CHANGES")] + lines
    }

    /// Feeds keep their places: a feed above its paths, by name.
    private func isNamedBefore(_ left: StateMessage, _ right: StateMessage) -> Bool {
        (left.stamp.host, left.subject.name, left.subject.kind.rawValue)
            < (right.stamp.host, right.subject.name, right.subject.kind.rawValue)
    }
}
