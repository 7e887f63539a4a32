// `[process]` and `[[process.watch]]` of `agent.toml`.

extension Section where Options == ProcessOptions {
    static var process: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("scan_every", \.scanEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
                .tables("watch", \.watched, upTo: 256, .watch, empty: WatchDraft()) { $0.options(at: $1) },
            ],
            check: { process, place in
                refuseDuplicates(process.watched.map(\.name), of: "processes", at: place.key("watch"))
            })
    }
}

/// A `[[process.watch]]` while it is read: which of the ways to match it uses is not known yet.
struct WatchDraft: Sendable {
    var name = ""
    var matchName: String?
    var matchCommand: [String]?
    var matchExecutable: String?
    var pidfile: String?
    var unit: String?
    /// All else; its name and match are filled in at the end.
    var rest = ProcessWatchOptions(name: "", match: .name(""))

    private var matches: [ProcessWatchOptions.Match] {
        [
            matchName.map { .name($0) }, matchCommand.map { .command($0) },
            matchExecutable.map { .executable($0) }, pidfile.map { .pidfile($0) }, unit.map { .unit($0) },
        ].compactMap(\.self)
    }

    func options(at place: Place) -> ProcessWatchOptions? {
        let ways = "match_name, match_command, match_executable, pidfile or unit"
        guard place.accepted("match_name", "match_command", "match_executable", "pidfile", "unit") else {
            return nil
        }
        guard let match = matches.first, matches.count == 1 else {
            place.refuse(
                matches.isEmpty ? "needs one of \(ways)" : "takes one of \(ways), and has \(matches.count)")
            return nil
        }
        if place.accepted("minimum", "maximum"), let maximum = rest.maximum, maximum < rest.minimum {
            place.key("maximum").refuse(
                .integer(Int64(maximum)), "must not be below minimum (\(rest.minimum))")
        }
        if place.accepted("probe_every", "probe_limit"), rest.probeLimit > rest.probeEvery {
            place.key("probe_limit").refuse(
                .text(rest.probeLimit.written),
                "must not be longer than probe_every (\"\(rest.probeEvery.written)\")")
        }
        var options = rest
        options.name = name
        options.match = match
        return options
    }
}

extension Section where Options == WatchDraft {
    static var watch: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.name),
            .value("match_name", \.matchName, commandName),
            .value("match_command", \.matchCommand, commandWords),
            .value("match_executable", \.matchExecutable, Rules.file),
            .value("pidfile", \.pidfile, Rules.file),
            .value("unit", \.unit, Rules.unitName),
            .value("minimum", \.rest.minimum, Rules.integer(0...10000)),
            .value("maximum", \.rest.maximum, Rules.integer(0...10000)),
            .value("tcp", \.rest.tcp, Rules.hostPort),
            .value("socket", \.rest.socket, Rules.socketPath),
            .value("heartbeat_file", \.rest.heartbeatFile, Rules.file),
            .value(
                "heartbeat_within", \.rest.heartbeatWithin,
                Rules.duration(.milliseconds(100), .seconds(86400))),
            .value("probe_every", \.rest.probeEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
            .value("probe_limit", \.rest.probeLimit, Rules.duration(.milliseconds(10), .seconds(60))),
            .limit("rss_bytes", \.rest.rssBytes, .above, 1...1e18),
            .limit("threads", \.rest.threads, .above, 1...1e9),
            .limit("descriptors", \.rest.descriptors, .above, 0...1),
        ])
    }

    /// The kernel keeps 15 bytes of a process's name (proc(5), /proc/PID/comm).
    private static var commandName: Rule<String> {
        Rules.text("must be 1 to 15 bytes, as in /proc/PID/comm; for longer names use match_executable") {
            (1...15).contains($0.utf8.count)
        }
    }

    /// Words may repeat, so this is not `Rules.list`.
    private static var commandWords: Rule<[String]> {
        { setting, place in
            guard case .list(let items) = setting, (1...32).contains(items.count) else {
                place.refuse(
                    setting, "must be a list of 1 to 32 words, such as [\"java\", \"-jar\", \"matcher.jar\"]")
                return nil
            }
            var words: [String] = []
            for (index, item) in items.enumerated() {
                guard case .text(let word) = item, (1...1024).contains(word.utf8.count) else {
                    place.item(index).refuse(item, "must be a word in quotes")
                    continue
                }
                words.append(word)
            }
            return words.count == items.count ? words : nil
        }
    }
}

extension Rules {
    /// A Unix socket's absolute path; the kernel takes 107 bytes (unix(7)).
    static let socketPath = text(
        "must be an absolute path of at most 107 bytes, such as \"/run/matcher.sock\""
    ) { text in
        text.hasPrefix("/") && text.utf8.count <= 107 && !text.unicodeScalars.contains { $0.value < 0x20 }
    }

    /// A host and a port: `127.0.0.1:5432`, `[::1]:5432`.
    static let hostPort: Rule<HostPort> = { setting, place in
        guard case .text(let text) = setting, let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else {
            place.refuse(setting, "must be a host and a port, such as \"127.0.0.1:5432\"")
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let name = hostName(.text(String(host)), place) else { return nil }
        return HostPort(host: name, port: port)
    }
}
