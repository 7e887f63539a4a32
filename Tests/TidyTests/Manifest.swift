// What Package.swift says of the targets, read as text: SwiftPM itself does not refuse an import that nobody
// declared.

struct Manifest {
    /// The dependencies of each module and program, by target; products by the name of their module.
    var dependencies: [String: [String]] = [:]

    /// The constants by which Package.swift names the products of other packages.
    private static let products = [
        "logging": "Logging", "deque": "DequeModule", "arguments": "ArgumentParser",
    ]

    init() throws {
        let text = try Repository.text("Package.swift").replacing(/\s+/, with: " ")
        for match in text.matches(of: /\b(?:module|program)\( ?"([\w-]+)", \[([^\]]*)\] ?\)/) {
            let words = match.2.split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
            dependencies[String(match.1)] = words.map { word in
                word.hasPrefix("\"") ? word.filter { $0 != "\"" } : Self.products[word] ?? word
            }
        }
    }

    /// The layers of the design, lowest first; an arrow goes from a layer to a lower one.
    static let layers: [[String]] = [
        [
            "Basics", "CAllocations", "CCrypto", "CLinux", "CPcap", "CSodium", "CSystemd", "CTOML", "CZeroMQ",
            "Logging",
            "DequeModule",
            "ArgumentParser",
        ],
        ["Linux", "Wire"],
        ["Reactor", "ZMTP"],
        [
            "Detection", "Arbitration", "FeedProtocols", "FeedJournal", "Messaging", "Configuration",
            "Terminal",
        ],
        ["JournalFiles"],
        ["Watchers", "Gateway", "Daemon"],
        ["Simulation"],
        ["holdfast", "holdfast-agent", "holdfast-bench", "holdfast-gateway", "holdfast-simulate"],
    ]

    static func layer(of module: String) -> Int? { layers.firstIndex { $0.contains(module) } }
}
