// `holdfast verify`: whether a journal is what was written: each record by its checksum, the order of the numbers, and
// the chain of digests.
import ArgumentParser
import Basics
import FeedJournal
import Glibc
import JournalFiles
import Linux

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that a gateway's journal is whole, in order and unchanged.",
        discussion: """
            Reads every byte of a journal's folder (all of it, a feed's, or a channel's), or of single segments, \
            and names each fault by segment, record and sequence. The last digest vouches for all that was \
            written before it: keep it elsewhere, and give it back with --digest. The segment that a gateway is \
            writing to has none yet.

            Exit status: 0 whole; 65 something is wrong; 66 it cannot be read; 64 wrong usage.

            EXAMPLES
              holdfast verify /var/lib/holdfast/journal
              holdfast verify /var/lib/holdfast/journal/itch/0 --digest 2cf24dba…
            """)

    @Flag(help: "Print one JSON document.")
    var json = false
    @Option(help: ArgumentHelp("One of the segments must have this SHA-256.", valueName: "hex"))
    var digest: String?
    @Argument(help: ArgumentHelp("Folders or segments.", valueName: "path"))
    var paths: [String]

    func validate() throws {
        let isDigest = digest.map { $0.utf8.count == 64 && $0.allSatisfy(\.isHexDigit) } ?? true
        guard isDigest else { throw ValidationError("--digest: 64 hexadecimal digits") }
    }

    func run() throws {
        var checks: [JournalCheck] = []
        do throws(SystemError) {
            for path in paths { checks += try JournalCheck.all(at: path) }
        } catch {
            complain("\(error)")
            throw ExitCode.noInput
        }
        guard !checks.isEmpty else {
            complain(
                "no segment of a journal (\(SegmentName.file(1)) and so on) in \(paths.joined(separator: ", "))"
            )
            throw ExitCode.noInput
        }
        let isFound =
            digest.map { wanted in checks.contains { $0.has(wanted.lowercased()) } } ?? true
        if json {
            let whole = JSON.Member("whole", .bool(checks.allSatisfy(\.isWhole)))
            let found = digest == nil ? [] : [JSON.Member("digest_found", .bool(isFound))]
            write(
                JSON.object(
                    [JSON.Member("v", .integer(1)), whole] + found + [
                        JSON.Member("channels", .array(checks.map(\.json)))
                    ]
                ).text + "\n")
        } else {
            write(checks.flatMap(\.lines).joined(separator: "\n") + "\n")
            if !isFound { complain("no segment has the digest \(digest ?? "")") }
        }
        if !isFound || !checks.allSatisfy(\.isWhole) { throw ExitCode.dataError }
    }
}

/// What verifying the segments of one channel has found.
struct JournalCheck {
    let path: String
    private(set) var chain = SegmentChain(fastestCRC)
    /// Of each segment, in hexadecimal.
    private var digests: [(segment: UInt64, digest: String)] = []
    private var lastSegment: UInt64 = 0
    /// The last segment ends in what a gateway is writing right now.
    private var isBeingWritten = false

    /// A segment, or the channels of a folder.
    static func all(at path: String) throws(SystemError) -> [JournalCheck] {
        guard Files.isFolder(path) else {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            // What is not there is told as that, whatever it is called.
            guard let number = SegmentName.number(of: name) else {
                _ = try ReadFile(path)
                return []
            }
            // Before it is read: its digest is that of what was there by then.
            let folder = ChannelFolder(Files.folder(of: path))
            var check = JournalCheck(path: path)
            check.isBeingWritten = try folder.isBeingWritten(number)
            try check.read(path, number)
            return [check]
        }
        var checks: [JournalCheck] = []
        for folder in try ChannelFolder.all(below: path) {
            var check = JournalCheck(path: folder.path)
            let wasBeingWritten = folder.isBeingWritten
            for number in try folder.segments() { try check.read(folder.segment(number), number) }
            check.isBeingWritten = wasBeingWritten || folder.isBeingWritten
            checks.append(check)
        }
        return checks
    }

    private init(path: String) { self.path = path }

    func has(_ digest: String) -> Bool { digests.contains { $0.digest == digest } }

    private mutating func read(_ path: String, _ number: UInt64) throws(SystemError) {
        let file = try ReadFile(path)
        chain.begin(number)
        var position = 0
        while true {
            let piece = try file.read(1 << 18, at: position)
            if piece.isEmpty { break }
            position += piece.count
            chain.take(piece)
        }
        chain.end()
        digests.append((number, chain.digest?.description ?? ""))
        lastSegment = number
    }

    /// What a batch that is being written looks like is no fault.
    private var faults: [JournalFault] {
        guard isBeingWritten, let last = chain.faults.last, last.segment == lastSegment,
            case .damage(let damage) = last.problem, case .truncated = damage.problem
        else { return chain.faults }
        return chain.faults.dropLast()
    }

    private var faultCount: UInt64 { chain.faultCount - UInt64(chain.faults.count - faults.count) }

    var isWhole: Bool { faultCount == 0 }

    /// The last segment to which nothing is added any more, and its digest: what is worth keeping.
    private var vouching: (segment: UInt64, digest: String)? {
        digests.dropLast(isBeingWritten ? 1 : 0).last
    }

    private var digestLine: String {
        let open = isBeingWritten ? "segment \(lastSegment) is being written to and has none yet" : nil
        let closed = vouching.map { "last digest \($0.digest) (segment \($0.segment))" }
        return "  " + [closed ?? "no digest", open].compactMap(\.self).joined(separator: "; ")
    }

    var lines: [String] {
        let verdict = isWhole ? "whole" : "\(faultCount) fault\(faultCount == 1 ? "" : "s")"
        var lines = [
            "\(path): \(verdict): \(chain.segments) segments, \(chain.records) records, \(chain.bytes) bytes",
            digestLine,
        ]
        lines += faults.map { "  \($0)" }
        if faultCount > UInt64(faults.count) {
            lines.append("  … and \(faultCount - UInt64(faults.count)) more")
        }
        lines += chain.holes.map { "  not journalled: \($0.words)" }
        return lines
    }

    var json: JSON {
        JSON.object([
            JSON.Member("path", .string(path)), JSON.Member("whole", .bool(isWhole)),
            JSON.Member("segments", .integer(Int64(clamping: chain.segments))),
            JSON.Member("records", .integer(Int64(clamping: chain.records))),
            JSON.Member("frames", .integer(Int64(clamping: chain.frames))),
            JSON.Member("bytes", .integer(Int64(clamping: chain.bytes))),
            JSON.Member("last_segment", .integer(Int64(clamping: lastSegment))),
            JSON.Member("last_digest", vouching.map { .string($0.digest) } ?? .null),
            JSON.Member(
                "last_digest_segment", vouching.map { .integer(Int64(clamping: $0.segment)) } ?? .null),
            JSON.Member("being_written", .bool(isBeingWritten)),
            JSON.Member("fault_count", .integer(Int64(clamping: faultCount))),
            JSON.Member("faults", .array(faults.map { .string($0.description) })),
            JSON.Member("holes", .array(chain.holes.map(\.json))),
        ])
    }
}

extension Hole {
    /// For a person: "sequences 5–9 of control/itch/0/ (5 frames)".
    var words: String {
        let what = range.map { "sequences \($0) of " } ?? ""
        let whose = topic.isEmpty ? "other topics" : String(decoding: topic, as: UTF8.self)
        return "\(what)\(whose) (\(count) frames), from \(from.rfc3339) to \(to.rfc3339)"
    }

    /// Epochs need all 64 bits, so that they are text.
    var json: JSON {
        JSON.object([
            JSON.Member("topic", .string(String(decoding: topic, as: UTF8.self))),
            JSON.Member("epoch", .string(String(epoch))),
            JSON.Member("first", .integer(Int64(clamping: range?.first ?? 0))),
            JSON.Member("last", .integer(Int64(clamping: range?.last ?? 0))),
            JSON.Member("frames", .integer(Int64(clamping: count))),
            JSON.Member("from", .string(from.rfc3339)), JSON.Member("to", .string(to.rfc3339)),
        ])
    }
}
