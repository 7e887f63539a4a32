// `[unit]` and `[[unit.watch]]` of `agent.toml`.

/// `[unit]`: systemd's units.
public struct UnitOptions: Hashable, Sendable {
    public var enabled = true
    /// Tell of every unit that has failed, whichever it is.
    public var failed = true
    /// `[[unit.watch]]`.
    public var watched: [UnitWatchOptions] = []

    public init() {}
}

/// One `[[unit.watch]]`.
public struct UnitWatchOptions: Hashable, Sendable {
    /// The state in which a unit should be.
    public enum Expected: String, Hashable, Sendable, CaseIterable {
        case active, inactive
    }

    /// With its suffix: `matcher.service`.
    public var name: String
    public var expected = Expected.active
    /// Active for less than this is a warning.
    public var minimumUptime: Duration = .zero
    /// Limits on how many crashes there were within `crashWindow`. So the first one is told for that long, although
    /// systemd has started the unit again.
    public var crashes = LimitOptions(warning: 1, critical: 3)
    public var crashWindow: Duration = .seconds(60)

    public init(name: String) { self.name = name }
}

extension Section where Options == UnitOptions {
    static var unit: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("failed", \.failed, Rules.flag),
                .tables("watch", \.watched, upTo: 64, .unitWatch, empty: UnitWatchOptions(name: "")) {
                    watch, _ in watch
                },
            ],
            check: { unit, place in
                refuseDuplicates(unit.watched.map(\.name), of: "units", at: place.key("watch"))
            })
    }
}

extension Section where Options == UnitWatchOptions {
    static var unitWatch: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.unitName),
            .value("expected", \.expected, Rules.word(UnitWatchOptions.Expected.self)),
            .value("minimum_uptime", \.minimumUptime, Rules.duration(.zero, .seconds(86400))),
            .limit("crashes", \.crashes, .above, 1...1000),
            .value("crash_window", \.crashWindow, Rules.duration(.seconds(1), .seconds(86400))),
        ])
    }
}

extension Rules {
    /// A unit's name with its suffix (systemd.unit(5)).
    static let unitName = text(
        "must be a unit's name with its suffix, such as \"matcher.service\"; of a template, the instance"
    ) { text in
        let suffixes = [
            "service", "socket", "target", "timer", "mount", "automount", "swap", "path", "slice", "scope",
            "device",
        ]
        guard text.utf8.count <= 255, let dot = text.lastIndex(of: "."), dot > text.startIndex else {
            return false
        }
        let isPlain = text.utf8.allSatisfy {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                || [0x2D, 0x2E, 0x3A, 0x40, 0x5C, 0x5F].contains($0)
        }
        return isPlain && suffixes.contains(String(text[text.index(after: dot)...])) && !text.contains("@.")
    }
}
