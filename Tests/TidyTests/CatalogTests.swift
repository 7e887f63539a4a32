// The catalogs: what is in a folder of its own is listed, and what configurations may say exists.
import Testing

@Suite struct CatalogTests {
    @Test(.enabled(if: Repository.exists("Sources/Watchers/Catalog.swift")))
    func `the catalog of watchers lists each folder that has one`() throws {
        let catalog = try Repository.text("Sources/Watchers/Catalog.swift")
        for folder in Repository.names(in: "Sources/Watchers") {
            let watcher = "\(folder)Watcher"
            guard Repository.exists("Sources/Watchers/\(folder)/\(watcher).swift") else { continue }
            #expect(catalog.contains(watcher), "Sources/Watchers/Catalog.swift does not list \(watcher)")
        }
    }

    @Test func `the catalog of protocols has each protocol that a feed may name`() throws {
        let options = try Repository.text("Sources/Configuration/Options.swift")
        let body = try #require(options.firstMatch(of: /enum FeedProtocol[^{]*\{([^}]*)\}/)).1
        let names = body.matches(of: /case (\w+)(?: = "([\w-]+)")?/).map { String($0.2 ?? $0.1) }
        #expect(names.count >= 2)
        let catalog = try Repository.text("Sources/FeedProtocols/Catalog.swift")
        let listed = catalog.matches(of: /name: "([\w-]+)"/).map { String($0.1) }
        #expect(listed.sorted() == names.sorted())
    }
}
