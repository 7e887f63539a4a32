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
    var minimum = 1
    var maximum: Int?

    private var matches: [ProcessWatchOptions.Match] {
        [
            matchName.map { .name($0) }, matchCommand.map { .command($0) },
            matchExecutable.map { .executable($0) }, pidfile.map { .pidfile($0) },
        ].compactMap(\.self)
    }

    func options(at place: Place) -> ProcessWatchOptions? {
        let ways = "match_name, match_command, match_executable or pidfile"
        guard place.accepted("match_name", "match_command", "match_executable", "pidfile") else { return nil }
        guard let match = matches.first, matches.count == 1 else {
            place.refuse(
                matches.isEmpty ? "needs one of \(ways)" : "takes one of \(ways), and has \(matches.count)")
            return nil
        }
        if place.accepted("minimum", "maximum"), let maximum, maximum < minimum {
            place.key("maximum").refuse(.integer(Int64(maximum)), "must not be below minimum (\(minimum))")
        }
        var options = ProcessWatchOptions(name: name, match: match)
        options.minimum = minimum
        options.maximum = maximum
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
            .value("minimum", \.minimum, Rules.integer(0...10000)),
            .value("maximum", \.maximum, Rules.integer(0...10000)),
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
