// What the documents promise: commands, links and the few names at the top of the project.
import Testing

@Suite struct DocumentTests {
    /// Everything that the top level holds; what a build leaves there is not the project's.
    private static let top: Set = [
        "Package.swift", "Sources", "Tests", "units", "packaging", "README.md", "LICENSE", ".ci",
        ".gitignore",
        ".swift-format", ".editorconfig", ".github",
    ]
    private static let leftByTools: Set = [
        ".git", ".build", "dist", "Package.resolved", ".swiftpm", ".vscode",
    ]

    @Test func `the top level holds what the design lists`() {
        let names = Set(Repository.names(in: "")).subtracting(Self.leftByTools)
        #expect(names.isSubset(of: Self.top), "\(names.subtracting(Self.top).sorted())")
    }

    @Test func `the scripts that the README runs exist`() throws {
        let text = try Repository.text("README.md")
        let scripts = text.matches(of: /(?:^|[`\s(])((?:packaging|Tests)\/[\w-]+)(?=[`\s)])/).map {
            String($0.1)
        }
        #expect(scripts.contains("packaging/demo") && scripts.contains("Tests/run"))
        for script in Set(scripts) {
            #expect(Repository.isProgram(script), "\(script)")
        }
    }

    @Test func `the commands that the README shows exist, with their options`() throws {
        let commands = try Self.commands()
        let text = try Repository.text("README.md")
        let uses = text.matches(of: /(?:^|\n|`)holdfast ([a-z-]+)([^\n`#]*)/)
        #expect(uses.count >= 5)
        for use in uses {
            guard let source = commands[String(use.1)] else {
                Issue.record("README: there is no holdfast \(use.1)")
                continue
            }
            for option in use.2.matches(of: /--([a-z-]+)/) where option.1 != "help" {
                #expect(
                    source.contains(Self.declaration(of: String(option.1))), "holdfast \(use.1) --\(option.1)"
                )
            }
        }
    }

    @Test func `no example lies where the sandboxes of the daemons hide it`() throws {
        let documents = [
            "README.md", "packaging/agent.toml", "packaging/gateway.toml", "packaging/man/holdfast.toml.5",
        ]
        for document in documents {
            for path in try Repository.text(document).matches(of: /"\/(?:tmp|var\/tmp|home|root)\/[^"]*"/) {
                Issue.record("\(document): \(path.0)")
            }
        }
    }

    @Test func `the links of the README lead somewhere`() throws {
        for link in try Repository.text("README.md").matches(of: /\]\(([^)#:]+)\)/) {
            #expect(Repository.exists(String(link.1)), "\(link.1)")
        }
    }

    @Test func `every command is registered`() throws {
        let list = try Repository.text("Sources/holdfast/Holdfast.swift")
        for file in try Repository.swiftFiles(below: "Sources/holdfast")
        where !file.path.hasSuffix("Holdfast.swift") {
            for command in file.text.matches(of: /struct (\w+): ParsableCommand/) {
                #expect(list.contains("\(command.1).self"), "\(command.1)")
            }
        }
    }

    /// The text of the files that make up each command, by its name.
    private static func commands() throws -> [String: String] {
        let files = try Repository.swiftFiles(below: "Sources/holdfast")
        var commands: [String: String] = [:]
        for file in files {
            let text = file.text + groups(of: file.text, in: files.map(\.text))
            for match in file.text.matches(of: /commandName: "([a-z-]+)"/) {
                commands[String(match.1)] = text
            }
        }
        return commands
    }

    /// The text of the files that declare the options which a command shares with others.
    private static func groups(of text: String, in texts: [String]) -> String {
        text.matches(of: /@OptionGroup var \w+: (\w+)/).map { match in
            texts.filter { $0 != text && $0.contains("struct \(match.1): ParsableArguments") }
                .map { $0 + groups(of: $0, in: texts) }.joined()
        }.joined()
    }

    /// How a command's source declares an option: as a property or under a name of its own.
    private static func declaration(of option: String) -> Regex<Substring> {
        let words = option.split(separator: "-")
        let property = words.dropFirst().reduce(String(words[0])) {
            $0 + $1.prefix(1).uppercased() + $1.dropFirst()
        }
        return (try? Regex("\\bvar \(property)\\b|\"\(option)\"", as: Substring.self)) ?? /$^/
    }
}
