// Habits that hold in every source file.
import Foundation
import Testing

@Suite struct SourceTests {
    /// What the compiler would let pass, and who may use it nevertheless.
    private static let forbidden: [(words: String, except: [String])] = [
        ("try!", []), ("as!", []), ("nonisolated(unsafe)", []),
        // The one crossing between threads.
        ("@unchecked Sendable", ["Sources/Reactor/Worker.swift"]),
        ("TODO", []), ("FIXME", []), ("XXX", []),
    ]

    @Test func `every file opens with what it is`() throws {
        let files = try Repository.swiftFiles(below: "Sources") + Repository.swiftFiles(below: "Tests")
        #expect(files.count > 50)
        for file in files {
            let opening = file.lines.first ?? ""
            #expect(opening.hasPrefix("// ") && opening.count > 20, "\(file.path)")
        }
    }

    @Test func `every C file opens with what it is`() throws {
        for module in [
            "CLinux/include/CLinux.h", "CPcap/include/CPcap.h", "CSystemd/shim.h", "CTOML/include/CTOML.h",
            "CZeroMQ/shim.h",
        ] {
            #expect(try Repository.text("Sources/\(module)").hasPrefix("// "), "\(module)")
        }
    }

    @Test func `what can trap or hide a race is not used`() throws {
        for file in try Repository.swiftFiles(below: "Sources") {
            for (words, except) in Self.forbidden where !except.contains(file.path) {
                #expect(file.text.range(of: words) == nil, "\(file.path): \(words)")
            }
        }
    }

    @Test func `no placeholder is left`() throws {
        for file in try Repository.swiftFiles(below: "Sources") + Repository.swiftFiles(below: "Tests") {
            #expect(!file.path.hasSuffix("/Empty.swift"), "\(file.path)")
        }
    }
}
