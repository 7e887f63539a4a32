// `holdfast replay`: plays a channel's journal, as text or to subscribers. Here are its options and what they must be;
// `ReplayServer` serves sockets.
import ArgumentParser
import Basics
import FeedJournal
import FeedProtocols
import Glibc
import JournalFiles
import Linux
import Messaging
import Wire

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Play a gateway's journal, as text or to subscribers.",
        discussion: """
            Prints the frames of one channel, oldest first, one a line; with --json, as JSON lines. With --zeromq \
            it publishes them as the gateway did, frame by frame, at the pace at which they were received, and \
            begins with the first subscription. Subscribers that do not keep up slow it down and lose nothing, unless \
            they take nothing for as long as --patience says. At the end it waits until each of them has taken all and \
            ended its connection; whoever did not is told, with what may not have arrived there.

            With --directory it writes the messages that name the instruments of the journal's last epoch into a \
            file, for directory_file of a gateway that was not there when the venue sent them.

            Exit status: 0 played to the end; 65 the journal is damaged, what is whole was played; 66 it cannot \
            be read; 69 an address cannot be used; 73 the file cannot be written; 74 a subscriber did not get all \
            of it; 64 wrong usage.

            EXAMPLES
              holdfast replay /var/lib/holdfast/journal/itch/0 --from 4711 --count 10
              holdfast replay /var/lib/holdfast/journal/itch/0 --json --since 2026-01-02T14:30:00Z
              holdfast replay /var/lib/holdfast/journal/itch/0 --zeromq tcp://127.0.0.1:7009 --speed 10
              holdfast replay /var/lib/holdfast/journal/itch/0 --directory itch.directory
            """)

    @Argument(
        help: ArgumentHelp("The folder of a channel, or of a feed with one channel.", valueName: "folder"))
    var folder: String
    @Option(
        help: ArgumentHelp("Publish here, as the gateway does, in place of printing.", valueName: "endpoint"))
    var zeromq: String?
    @Flag(help: "Publish in the clear where others than this host can read it.")
    var plaintext = false
    @Option(
        help: ArgumentHelp("Write the last epoch's directory here, in place of printing.", valueName: "file"))
    var directory: String?
    @Flag(help: "Print JSON lines.")
    var json = false
    @Option(help: ArgumentHelp("Begin with this sequence.", valueName: "sequence"))
    var from: UInt64?
    @Option(help: ArgumentHelp("Of this epoch (default: the first that has it).", valueName: "number"))
    var epoch: UInt64?
    @Option(help: ArgumentHelp("Begin with what was received then, RFC 3339 in UTC.", valueName: "time"))
    var since: String?
    @Option(help: ArgumentHelp("Without what was received then or later.", valueName: "time"))
    var until: String?
    @Option(help: "End after so many frames.")
    var count: UInt64?
    @Option(help: ArgumentHelp("Only topics that begin so: md/itch/AAPL/.", valueName: "prefix"))
    var topic: String?
    @Option(help: ArgumentHelp("So many times as fast as it was received (default: 1).", valueName: "factor"))
    var speed: Double?
    @Flag(help: "As fast as the subscribers take it.")
    var flatOut = false
    @Option(
        help: ArgumentHelp(
            "Give a subscriber up that takes nothing for so long (default: 60).", valueName: "seconds"))
    var patience: Double?

    func validate() throws {
        for (option, text) in [("--since", since), ("--until", until)] {
            guard let text, WallTime(rfc3339: text) == nil else { continue }
            throw ValidationError(
                "\(option) '\(text)': not a time in RFC 3339 and UTC, such as 2026-01-02T14:30:00Z")
        }
        guard from == nil || since == nil else { throw ValidationError("give --from or --since, not both") }
        let isNarrowed = from != nil || since != nil || until != nil || count != nil || topic != nil
        guard directory == nil || !(isNarrowed || json || zeromq != nil) else {
            throw ValidationError("--directory writes a whole directory; it takes no other option")
        }
        guard epoch == nil || from != nil else { throw ValidationError("--epoch belongs to --from") }
        guard !json || zeromq == nil else {
            throw ValidationError("--json is for printing, not for --zeromq")
        }
        guard zeromq != nil || (speed == nil && !flatOut && !plaintext && patience == nil) else {
            throw ValidationError("--speed, --flat-out, --patience and --plaintext are for --zeromq")
        }
        guard (0.1...86_400).contains(patience ?? 60) else {
            throw ValidationError("--patience: from 0.1 to 86400 seconds")
        }
        if let zeromq, zeromq.hasPrefix("tcp://"), !Endpoint.isLocal(zeromq), !plaintext {
            throw ValidationError(
                """
                --zeromq \(zeromq): others than this host could read the journal there; \
                add --plaintext if they may, or take an endpoint of this host, such as tcp://127.0.0.1:7009
                """)
        }
        guard speed == nil || !flatOut else { throw ValidationError("give --speed or --flat-out, not both") }
        guard (0.000_001...1_000_000).contains(speed ?? 1) else {
            throw ValidationError("--speed: from 0.000001 to 1000000")
        }
    }

    func run() throws {
        var source: ReplaySource
        do {
            if let directory {
                let channel = try channel(of: ChannelFolder.all(below: folder))
                return try writeDirectory(of: channel, to: directory)
            }
            source = try ReplaySource(self, try channel(of: ChannelFolder.all(below: folder)))
            if zeromq == nil { try show(&source) }
        } catch let error as SystemError {
            complain("\(error)")
            throw ExitCode.noInput
        }
        let server = try zeromq.map { try serve(source, at: $0) }
        if let server { source = server.source }
        for damage in source.damages { complain(damage) }
        if !source.damages.isEmpty { throw ExitCode.dataError }
        if let server, server.readers.lostCount > 0 { throw ExitCode.outputError }
    }

    private func writeDirectory(of channel: ChannelFolder, to path: String) throws {
        let memory = try channel.memory()
        guard let directory = memory.directory else {
            complain("\(channel.path) has no directory of instruments: only feeds of itch-5.0 have one")
            throw ExitCode.noInput
        }
        let file = ITCH50Directory.file(of: directory.ordered)
        do {
            // Whoever takes it has to know which session's it is, from the moment on at which it is there.
            try Files.write(
                file, to: path, Files.Attributes(mode: 0o644, modified: memory.heardAt), replacing: true)
        } catch {
            complain("\(error)")
            throw ExitCode.cannotCreate
        }
        complain(
            "replay: \(directory.units.count) instruments of \(memory.heardAt.rfc3339) written to \(path)")
    }

    private func serve(_ source: ReplaySource, at endpoint: String) throws -> ReplayServer {
        do throws(PlayFailure) {
            let server = try ReplayServer(self, source, at: endpoint)
            try server.run()
            return server
        } catch {
            complain(error.description)
            throw ExitCode(error.exitCode)
        }
    }

    /// The one channel of the folder.
    private func channel(of found: [ChannelFolder]) throws(ExitCode) -> ChannelFolder {
        if found.count == 1 { return found[0] }
        complain(
            found.isEmpty
                ? "no segment of a journal in \(folder)"
                : "\(folder) has several channels: give one of \(found.map(\.path).joined(separator: ", "))")
        throw found.isEmpty ? .noInput : .usage
    }

    private func show(_ source: inout ReplaySource) throws(SystemError) {
        var isEmpty = true
        while let record = try source.next() {
            isEmpty = false
            write(line(record) + "\n")
        }
        if isEmpty { complain("replay: 0 frames: nothing in \(folder) is what was asked for") }
    }

    var start: JournalStart {
        if let from { return .sequence(from, epoch: epoch) }
        if let since = since.flatMap({ WallTime(rfc3339: $0) }) { return .time(since) }
        return .beginning
    }

    // MARK: - Printing

    private func line(_ record: Record) -> String {
        switch record.head.kind {
        case .hole:
            guard let hole = Hole(record.contents, topicLength: record.head.topicLength) else { return "" }
            return json ? JSON.object([JSON.Member("hole", hole.json)]).text : "not journalled: \(hole.words)"
        case .frame, .directory: break
        }
        do throws(FrameError) {
            let frame = try Frame(parsing: record.contents)
            return json ? ReplayLine.json(frame).text : ReplayLine.text(frame)
        } catch {
            return json
                ? JSON.object([JSON.Member("error", .string(error.description))]).text : "no frame: \(error)"
        }
    }
}

/// A frame for people and for scripts.
enum ReplayLine {
    static func text(_ frame: Frame) -> String {
        let header = frame.header
        let topic = String(decoding: frame.topicBytes, as: UTF8.self)
        let place = "\(header.receiveTime.rfc3339) \(topic) \(header.epoch):\(header.sequence)"
        return "\(place) \(word(header.kind)) \(header.state) \(told(frame) ?? hex(frame.body))"
    }

    static func json(_ frame: Frame) -> JSON {
        let header = frame.header
        let source = header.sourceTime.map { [JSON.Member("source_time", .string($0.rfc3339))] } ?? []
        let path = header.path.map { [JSON.Member("path", .integer(Int64($0)))] } ?? []
        // Epochs need all 64 bits, so that they are text.
        return JSON.object(
            [
                JSON.Member("topic", .string(String(decoding: frame.topicBytes, as: UTF8.self))),
                JSON.Member("kind", .string(word(header.kind))),
                JSON.Member("epoch", .string(String(header.epoch))),
                JSON.Member("sequence", .integer(Int64(clamping: header.sequence))),
                JSON.Member("previous", .integer(Int64(clamping: header.previous))),
                JSON.Member("state", .string("\(header.state)")),
                JSON.Member("flags", .integer(Int64(header.flags.rawValue))),
                JSON.Member("run", .integer(Int64(header.run))),
                JSON.Member("receive_time", .string(header.receiveTime.rfc3339)),
            ] + source + path + [
                told(frame).map { JSON.Member("says", .string($0)) }
                    ?? JSON.Member("body", .string(hex(frame.body)))
            ])
    }

    private static func word(_ kind: FrameKind) -> String { "\(kind)" }

    private static func hex(_ bytes: ArraySlice<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// What a control frame says; `nil`: it is none.
    private static func told(_ frame: Frame) -> String? {
        guard let body = try? ControlBody(kind: frame.header.kind, parsing: frame.body) else { return nil }
        switch body {
        case .heartbeat(let published, let gaps, _, let first, _):
            return "published \(published), missing \(gaps), from \(first)"
        case .gap(let range, let reason, let instrument):
            return "missing \(range)\(instrument.map { " of \($0)" } ?? ""): \(reason)"
        case .state(let path, let reason):
            return "path \(path ?? "-")\(reason.isEmpty ? "" : ": \(reason)")"
        }
    }
}

/// The frames and holes that were asked for, in order.
struct ReplaySource {
    private var cursor: JournalCursor
    private let topic: [UInt8]
    private var left: UInt64
    private let channel: ChannelFolder
    /// A gateway was writing there when this began.
    private let wasBeingWritten: Bool
    /// What could not be read, for a person.
    private(set) var damages: [String] = []

    init(_ options: ReplayCommand, _ channel: ChannelFolder) throws(SystemError) {
        // Before it is read: what is there by then is whole if nobody writes.
        wasBeingWritten = channel.isBeingWritten
        cursor = try JournalCursor(
            channel, from: options.start, until: options.until.flatMap { WallTime(rfc3339: $0) })
        topic = Array((options.topic ?? "").utf8)
        left = options.count ?? .max
        self.channel = channel
    }

    mutating func next() throws(SystemError) -> Record? {
        while left > 0 {
            guard let finding = try cursor.next() else { return nil }
            switch finding {
            case .damage(let damage, let segment):
                guard damages.count < 100, !isBeingWritten(damage, segment) else { continue }
                damages.append("\(channel.segment(segment)): \(damage)")
            case .record(let record, _):
                guard record.head.kind != .directory, record.topic.starts(with: topic) else { continue }
                // A hole is no frame, and those that are published are frames only.
                if record.head.kind == .frame { left -= 1 }
                return record
            }
        }
        return nil
    }

    /// What a batch that is being written looks like is no damage.
    private func isBeingWritten(_ damage: SegmentDamage, _ segment: UInt64) -> Bool {
        guard case .truncated = damage.problem, segment == cursor.last else { return false }
        return wasBeingWritten || channel.isBeingWritten
    }
}
