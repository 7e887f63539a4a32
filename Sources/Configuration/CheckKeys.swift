// `[[check]]` of `agent.toml`.

/// One `[[check]]`: a command in the manner of the monitoring plugins.
public struct CheckOptions: Hashable, Sendable {
    public var name: String
    /// The program by its path, and its arguments; no shell reads them.
    public var command: [String]
    public var every: Duration = .seconds(60)
    /// Whatever still runs after this is killed with all that it started.
    public var timeout: Duration = .seconds(10)

    public init(name: String, command: [String]) {
        self.name = name
        self.command = command
    }
}

extension Section where Options == CheckOptions {
    static var check: Section {
        Section(
            keys: [
                .value("name", \.name, required: true, Rules.name),
                .value("command", \.command, required: true, checkCommand),
                .value("every", \.every, Rules.duration(.milliseconds(100), .seconds(86400))),
                .value("timeout", \.timeout, Rules.duration(.milliseconds(100), .seconds(3600))),
            ])
    }

    private static var checkCommand: Rule<[String]> {
        { setting, place in
            guard case .list(let items) = setting, (1...64).contains(items.count) else {
                place.refuse(
                    setting,
                    "must be a list of 1 to 64 words, such as [\"/usr/lib/nagios/plugins/check_load\", \"-w\", \"5,4,3\"]"
                )
                return nil
            }
            var words: [String] = []
            for (index, item) in items.enumerated() {
                guard case .text(let word) = item, word.utf8.count <= 4096, !word.utf8.contains(0) else {
                    place.item(index).refuse(item, "must be a word in quotes of at most 4096 bytes")
                    continue
                }
                if index == 0, !word.hasPrefix("/") {
                    place.item(0).refuse(
                        item, "must be the absolute path of a program; no shell looks for it")
                }
                words.append(word)
            }
            return words.count == items.count ? words : nil
        }
    }
}
