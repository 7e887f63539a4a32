// The project's own files, as the tests of this suite read them.
import Foundation

/// A file of the project and its lines.
struct SourceFile {
    /// From the project's root: `Sources/Wire/Topic.swift`.
    var path: String
    var text: String

    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The modules that a Swift file imports.
    var imports: [String] {
        lines.filter { $0.hasPrefix("import ") || $0.contains(" import ") }.compactMap { line in
            let found = line.firstMatch(
                of: /^\s*(?:@\w+ )?(?:\w+ )?import (?:(?:struct|enum|class|func|var) )?(\w+)/)
            return found.map { String($0.1) }
        }
    }
}

enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path)
    }

    static func isProgram(_ path: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: root.appending(path: path).path)
    }

    /// The names in a folder, sorted; empty for a folder that does not exist.
    static func names(in folder: String) -> [String] {
        let path = root.appending(path: folder).path
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: root.appending(path: path).path, isDirectory: &isFolder)
            && isFolder.boolValue
    }

    /// All Swift files below a folder.
    static func swiftFiles(below folder: String) throws -> [SourceFile] {
        let paths =
            FileManager.default.enumerator(atPath: root.appending(path: folder).path)?.allObjects ?? []
        return try paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.sorted().map {
            SourceFile(path: "\(folder)/\($0)", text: try text("\(folder)/\($0)"))
        }
    }
}
