// The journal's events and what `journalctl -x` says of each: the two lists are one.
import Testing

@Suite struct JournalTests {
    private static let source = "Sources/Linux/JournalEvent.swift"
    private static let catalog = "packaging/holdfast.catalog"

    /// An entry of the catalogue: header lines, and paragraphs of text.
    private struct Entry {
        var header: [String: String] = [:]
        var paragraphs: [Substring] = []
    }

    /// The MESSAGE_ID of each event.
    private static func events() throws -> [String: String] {
        let text = try Repository.text(source)
        let pairs = text.matches(of: /case (\w+) = "([0-9a-f]{32})"/).map { (String($0.1), String($0.2)) }
        #expect(Set(pairs.map(\.1)).count == pairs.count, "a MESSAGE_ID stands for two events")
        return Dictionary(pairs) { first, _ in first }
    }

    private static func entries() throws -> [String: Entry] {
        let text = try Repository.text(catalog)
        let blocks = "\n\(text)".split(separator: "\n-- ").dropFirst()
        let pairs = blocks.map { block in
            let parts = block.replacing(/\n#[^\n]*/, with: "").split(separator: "\n\n")
            let lines = parts[0].split(separator: "\n")
            var entry = Entry(paragraphs: Array(parts.dropFirst()).map { Substring($0) })
            for line in lines.dropFirst() {
                let words = line.split(separator: ": ", maxSplits: 1)
                entry.header[String(words[0])] = words.count == 2 ? String(words[1]) : ""
            }
            return (String(lines[0]), entry)
        }
        #expect(Set(pairs.map(\.0)).count == pairs.count, "the catalogue explains a MESSAGE_ID twice")
        return Dictionary(pairs) { first, _ in first }
    }

    @Test func `each kind of journal entry is in the catalogue, and nothing else is`() throws {
        let events = try Self.events()
        #expect(events.count > 20)
        let entries = try Self.entries()
        for (name, identifier) in events {
            #expect(entries[identifier] != nil, "\(Self.catalog) does not explain \(name) (\(identifier))")
        }
        let unknown = Set(entries.keys).subtracting(events.values)
        #expect(unknown.isEmpty, "\(Self.source) has no event for \(unknown.sorted())")
    }

    @Test func `each entry of the catalogue says what happened, what it means and what to do`() throws {
        for (identifier, entry) in try Self.entries() {
            #expect(Set(entry.header.keys) == ["Subject", "Defined-By", "Documentation"], "\(identifier)")
            #expect(entry.header["Defined-By"] == "holdfast", "\(identifier)")
            #expect(entry.header["Documentation"]?.hasPrefix("man:") == true, "\(identifier)")
            #expect(entry.header["Subject"]?.isEmpty == false, "\(identifier)")
            #expect(entry.paragraphs.count >= 2, "\(identifier): what it means, and what to do next")
            let longest = entry.paragraphs.flatMap { $0.split(separator: "\n") }.map(\.count).max() ?? 0
            #expect(longest <= 80, "\(identifier): a line of \(longest) characters")
        }
    }

    /// The modules that make up the daemons; the command line says what it says on a terminal.
    private static let daemons = [
        "Linux", "Reactor", "Messaging", "Watchers", "Gateway", "Daemon", "holdfast-agent",
        "holdfast-gateway",
    ]

    @Test(arguments: daemons) func `whatever a daemon logs is an event of the catalogue`(module: String)
        throws
    {
        for file in try Repository.swiftFiles(below: "Sources/\(module)") {
            for (number, line) in file.lines.enumerated() {
                let isPlain = line.contains(
                    /\b[lL]og(?:ger)?\??\.(?:trace|debug|info|notice|warning|error|critical|log)\(/)
                #expect(!isPlain, "\(file.path):\(number + 1) logs without an event")
            }
        }
    }

    @Test func `the packages' scripts log an upgrade that is refused as its event`() throws {
        let identifier = try #require(try Self.events()["upgradeRefused"])
        #expect(try Repository.text("packaging/debian/postinst.in").contains("MESSAGE_ID=\(identifier) "))
    }

    @Test func `the catalogue names only fields that every entry of its kind has`() throws {
        // What every entry has, and what those who log these kinds always give.
        let everywhere: Set = ["HOLDFAST_HOST", "HOLDFAST_INCARNATION"]
        let given: [String: Set<String>] = [
            "stateChanged": ["SUBJECT", "STATUS", "REASON"], "noLongerWatched": ["SUBJECT"],
            "switched": ["FEED"], "epochBegan": ["FEED"], "gapTold": ["FEED", "MISSING"],
            "feedHeld": ["FEED"], "feedReleased": ["FEED"],
            "subjectMuted": ["FEED"], "subjectUnmuted": ["FEED"], "copiesDiffer": ["FEED"],
            "pathNotReceiving": ["SUBJECT"], "pathReceivingAgain": ["SUBJECT"],
            "recoveryUnanswered": ["FEED"], "loginRejected": ["SUBJECT"], "sessionNotTaken": ["FEED"],
            "directoryTaken": ["SUBJECT"], "directoryNotTaken": ["SUBJECT"],
            "inputRefused": ["SUBJECT", "REFUSED", "REASON", "OFFSET", "LENGTH"],
            "receiveBufferSmall": ["SUBJECT"], "subscriptionsUnconfirmed": ["SUBJECT"],
            "clientRefused": ["CLIENT_ADDRESS"], "clientMissed": ["CLIENT", "MISSING"],
            "leaseRefused": ["CLIENT"],
            "subscriptionRefused": ["TOPIC"], "probeFailed": ["SUBJECT"],
            "watchedWithLess": ["SUBJECT"], "droppedLog": ["HELD_BACK", "KIND"], "journalLost": ["LOST"],
        ]
        let text = try Repository.text(Self.catalog)
        for (name, identifier) in try Self.events() {
            let allowed = everywhere.union((given[name] ?? []).map { "HOLDFAST_\($0)" })
            let parts = text.split(separator: "-- \(identifier)", maxSplits: 1)
            let entry = parts.last?.split(separator: "\n-- ", maxSplits: 1).first ?? ""
            for field in entry.matches(of: /@([A-Z_]+)@/) {
                #expect(allowed.contains(String(field.1)), "\(name): @\(field.1)@")
            }
        }
    }
}
