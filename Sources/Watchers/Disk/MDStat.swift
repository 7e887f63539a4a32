// /proc/mdstat, decoded: Linux software RAID. Source: md_seq_show() of the kernel's drivers/md/md.c, and md(4).
import Basics

/// One array.
struct MDArray: Hashable, Sendable {
    /// What the array is doing besides its work.
    enum Operation: String, Hashable, Sendable {
        /// Filling a new member.
        case recovery
        /// Making the members alike again.
        case resync
        case reshape
        /// Comparing the members.
        case check
    }

    var name: String
    /// `false`: it cannot be used.
    var isActive = true
    /// `raid1`, `raid5` …; empty while it is not active.
    var level = ""
    var members: [String] = []
    /// Of the members, those that the kernel gave up.
    var failed: [String] = []
    /// How many members it is made for, and how many it has; `nil` for levels without redundancy.
    var wanted: Int?
    var working: Int?
    var operation: Operation?
    /// How much of the operation is done; `nil`: it waits.
    var progress: Double?

    init(name: String) { self.name = name }

    /// Members that are missing.
    var missing: Int { max(0, (wanted ?? 0) - (working ?? 0)) }

    /// Whether the next failure would lose data.
    var isWithoutRedundancy: Bool {
        guard missing > 0 else { return false }
        return switch level {
        case "raid1": (working ?? 0) <= 1
        case "raid6": missing >= 2
        default: true
        }
    }
}

extension MDArray {
    /// Arrays beyond this many are left out, and so are members.
    private static let most = 128

    /// The arrays of the text.
    static func decode(_ bytes: [UInt8]) -> [MDArray] {
        var arrays: [MDArray] = []
        var current: MDArray?
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
            if line.first == UInt8(ascii: " ") || line.first == UInt8(ascii: "\t") {
                current?.takeDetails(words)
            } else {
                if let current, arrays.count < most { arrays.append(current) }
                current = MDArray(heading: words)
            }
        }
        if let current, arrays.count < most { arrays.append(current) }
        return arrays
    }

    /// `md0 : active (auto-read-only) raid1 sdb1[1] sda1[0](F)`
    private init?(heading words: [String]) {
        guard words.count >= 3, words[1] == ":", words[0].hasPrefix("md") else { return nil }
        name = words[0]
        isActive = words[2] == "active"
        for word in words.dropFirst(3) where !word.hasPrefix("(") {
            guard let bracket = word.firstIndex(of: "[") else {
                if level.isEmpty { level = word }
                continue
            }
            let member = String(word[..<bracket])
            guard members.count < MDArray.most else { break }
            members.append(member)
            if word.hasSuffix("(F)") || word.contains("](F)") || word.contains(")(F)") {
                failed.append(member)
            }
        }
    }

    /// `1953520640 blocks level 5 [3/2] [UU_]`, `[==>…] recovery = 12.6% (…) finish=…`, `resync=DELAYED`
    private mutating func takeDetails(_ words: [String]) {
        for (index, word) in words.enumerated() {
            if let counts = MDArray.counts(word) {
                (wanted, working) = counts
            } else if let kind = Operation(rawValue: word), words.count > index + 1,
                words[index + 1].hasPrefix("=")
            {
                operation = kind
                // `= 12.6%`, or `=100.0%`.
                progress = MDArray.ratio(words[(index + 1)...].prefix(2).joined())
            } else if let equals = word.firstIndex(of: "="),
                let kind = Operation(rawValue: String(word[..<equals]))
            {
                operation = kind
            }
        }
    }

    /// Reads `=12.6%(1/8)`.
    private static func ratio(_ word: String) -> Double? {
        Double(word.dropFirst().prefix { $0 != "%" }).flatMap { (0...100).contains($0) ? $0 / 100 : nil }
    }

    /// Reads `[3/2]`.
    private static func counts(_ word: String) -> (Int, Int)? {
        guard word.hasPrefix("["), word.hasSuffix("]") else { return nil }
        let numbers = word.dropFirst().dropLast().split(separator: "/", omittingEmptySubsequences: false)
        guard numbers.count == 2, let wanted = Int(numbers[0]), let working = Int(numbers[1]),
            (0...10_000).contains(wanted), (0...10_000).contains(working)
        else { return nil }
        return (wanted, working)
    }
}
