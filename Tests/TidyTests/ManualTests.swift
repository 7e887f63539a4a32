// The manual pages have every command and every option that the programs take, and the packages have the
// programs' version. What they say of keys is held against the configuration's own list by its tests.
import Testing

@Suite struct ManualTests {
    /// The options that a text declares by swift-argument-parser, in the order of the text.
    private static func options(in text: String) -> [String] {
        text.matches(of: /@(?:Option|Flag)\b([\s\S]*?)\bvar (\w+)/).map { match in
            if let name = match.1.firstMatch(of: /customLong\("([a-z-]+)"\)/) { return String(name.1) }
            return String(match.2).replacing(/[A-Z]/) { "-\($0.output.lowercased())" }
        }
    }

    /// The text of a page's section `.Ss TITLE`.
    private static func section(_ title: String, of page: String) -> Substring? {
        page.replacing("\n.Sh ", with: "\n.Ss ").split(separator: "\n.Ss ").first {
            $0.hasPrefix(title + "\n")
        }
    }

    @Test func `holdfast(1) has a section for each command, with all its options`() throws {
        let page = try Repository.text("packaging/man/holdfast.1")
        var commands = 0
        for file in try Repository.swiftFiles(below: "Sources/holdfast") {
            for part in file.text.split(separator: ": ParsableCommand {") {
                guard let name = part.firstMatch(of: /commandName: "([a-z-]+)"/)?.1, name != "holdfast" else {
                    continue
                }
                commands += 1
                guard let section = Self.section("holdfast \(name)", of: page) else {
                    Issue.record("holdfast(1) has no section \"holdfast \(name)\"")
                    continue
                }
                for option in Self.options(in: String(part)) {
                    #expect(section.contains("Fl -\(option)"), "holdfast(1), \(name): --\(option)")
                }
            }
        }
        #expect(commands >= 7)
    }

    @Test func `holdfast(1) has each option that commands share`() throws {
        let page = try Repository.text("packaging/man/holdfast.1")
        for file in try Repository.swiftFiles(below: "Sources/holdfast") {
            for option in Self.options(in: file.text) {
                #expect(page.contains("Fl -\(option)"), "holdfast(1): --\(option) of \(file.path)")
            }
        }
    }

    @Test(arguments: ["holdfast-agent", "holdfast-gateway"])
    func `a daemon's page has each option of its usage`(program: String) throws {
        let usage = try Repository.swiftFiles(below: "Sources/\(program)").map(\.text).joined()
        let page = try Repository.text("packaging/man/\(program).8")
        let options = Set(usage.matches(of: /--([a-z]+)/).map { String($0.1) })
        #expect(options.count >= 4)
        for option in options {
            #expect(page.contains("Fl -\(option)"), "\(program)(8): --\(option)")
        }
    }

    @Test func `holdfast-agent(8) has each drop-in`() throws {
        let page = try Repository.text("packaging/man/holdfast-agent.8")
        let names = Repository.names(in: "units/drop-ins/holdfast-agent.service.d")
        #expect(names.count >= 3)
        for name in names { #expect(page.contains(".Pa \(name)\n"), "\(name)") }
    }

    @Test func `the programs and the packages have one version`() throws {
        let source = try Repository.text("Sources/Basics/Version.swift")
        let changelog = try Repository.text("packaging/debian/changelog")
        let version = try #require(source.firstMatch(of: /number = "([^"]+)"/)).1
        let packaged = try #require(changelog.prefixMatch(of: /holdfast \(([^)]+)\)/)).1
        #expect(version == packaged)
        for file in try Repository.swiftFiles(below: "Sources") where !file.path.hasSuffix("/Version.swift") {
            #expect(!file.text.contains("\"\(version)\""), "\(file.path) has a version of its own")
        }
    }
}
