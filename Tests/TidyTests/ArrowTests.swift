// The arrows of the design: who may import whom, and what the pure modules and the daemons never import.
import Testing

@Suite struct ArrowTests {
    private static let pure = [
        "Basics", "Wire", "Detection", "Arbitration", "FeedProtocols", "FeedJournal", "Terminal",
        "ZMTP",
    ]
    /// Values from elsewhere: a queue, a digest, and boxes.
    private static let alsoPure: Set = ["DequeModule", "CCrypto", "CSodium"]
    /// What every target finds without declaring it.
    private static let system: Set = ["Swift", "Glibc", "Synchronization"]

    @Test func `the manifest was understood`() throws {
        let modules = try Manifest().dependencies
        let folders = Repository.names(in: "Sources").filter {
            !["CAllocations", "CCrypto", "CLinux", "CPcap", "CSodium", "CSystemd", "CTOML", "CZeroMQ"]
                .contains($0)
        }
        #expect(modules.keys.sorted() == folders)
        #expect(modules["Wire"] == ["Basics"])
    }

    @Test func `every dependency goes down`() throws {
        for (module, dependencies) in try Manifest().dependencies {
            let layer = try #require(Manifest.layer(of: module), "\(module) has no layer in Manifest.swift")
            for dependency in dependencies {
                let below = try #require(Manifest.layer(of: dependency), "\(dependency) has no layer")
                #expect(below < layer, "\(module) must not depend on \(dependency)")
            }
        }
    }

    @Test func `every import is declared`() throws {
        for (module, dependencies) in try Manifest().dependencies {
            let allowed = Self.system.union(dependencies)
            for file in try Repository.swiftFiles(below: "Sources/\(module)") {
                for name in file.imports where !allowed.contains(name) {
                    Issue.record("\(file.path) imports \(name), which its target does not declare")
                }
            }
        }
    }

    @Test(arguments: pure)
    func `a pure module imports no system`(module: String) throws {
        let dependencies = try Manifest().dependencies[module] ?? []
        #expect(dependencies.allSatisfy { Self.pure.contains($0) || Self.alsoPure.contains($0) })
        for file in try Repository.swiftFiles(below: "Sources/\(module)") {
            let others = file.imports.filter(Self.system.contains)
            #expect(others.isEmpty, "\(file.path) imports \(others)")
        }
    }

    @Test func `nothing that is shipped imports Foundation`() throws {
        for file in try Repository.swiftFiles(below: "Sources") {
            #expect(!file.imports.contains("Foundation"), "\(file.path)")
        }
    }

    @Test func `only one file knows the TOML library`() throws {
        let files = try Repository.swiftFiles(below: "Sources").filter { $0.imports.contains("CTOML") }
        #expect(files.map(\.path) == ["Sources/Configuration/Syntax.swift"])
    }

    @Test func `only the doors know the C libraries`() throws {
        let doors = [
            "CCrypto": ["FeedJournal"], "CPcap": ["Linux"], "CSodium": ["ZMTP"],
            "CSystemd": ["Linux", "Reactor"], "CZeroMQ": ["Messaging", "holdfast-bench"],
        ]
        for file in try Repository.swiftFiles(below: "Sources") {
            let module = file.path.split(separator: "/")[1]
            for (door, users) in doors where file.imports.contains(door) {
                #expect(users.contains(String(module)), "\(file.path) imports \(door)")
            }
        }
    }
}
