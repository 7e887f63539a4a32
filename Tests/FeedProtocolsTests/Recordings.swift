// Where the recordings are that some tests read, and how bytes are written in tests.
import Foundation

/// The folder of recordings beside the package; tests that need it are skipped where it is absent.
enum Recordings {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("../shared/data").standardizedFileURL

    static var arePresent: Bool { FileManager.default.fileExists(atPath: folder.path) }

    static func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appendingPathComponent(path)))
    }

    /// The bytes of a file, unpacked where its name ends in gz.
    static func unpacked(_ path: String) throws -> [UInt8] {
        guard path.hasSuffix(".gz") else { return try bytes(path) }
        let unpacking = Process()
        let output = Pipe()
        unpacking.executableURL = URL(filePath: "/usr/bin/gzip")
        unpacking.arguments = ["-dc", folder.appendingPathComponent(path).path]
        unpacking.standardOutput = output
        try unpacking.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        unpacking.waitUntilExit()
        return [UInt8](data)
    }

    /// All files under a folder whose names end in `ending`.
    static func all(under path: String, ending: String) throws -> [String] {
        let names = try FileManager.default.subpathsOfDirectory(
            atPath: folder.appendingPathComponent(path).path)
        return names.filter { $0.hasSuffix(ending) }.sorted().map { path + "/" + $0 }
    }
}

/// Bytes from hexadecimal digits; spaces are ignored.
func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

/// A generator of numbers that is the same in each run.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}

/// `bytes` with a few bits flipped, or cut short, or with bytes put in.
func mutated(_ bytes: [UInt8], _ random: inout SeededNumbers) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[index] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
        case 2: bytes.removeSubrange(index...)
        default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
        }
    }
    return bytes
}
