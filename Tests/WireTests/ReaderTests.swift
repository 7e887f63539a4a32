// The Python reader that is shipped beside the document decodes what the Swift encoder writes: two
// implementations of one table.
import Basics
import Foundation
import Testing
import Wire

/// Runs the reader as a program.
enum PythonReader {
    static var isAvailable: Bool { (try? run(["python3", "--version"])) != nil }

    static var path: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Wire/reader.py").path
    }

    struct Failure: Error { var output: String }

    static func run(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["PYTHONIOENCODING"] = "utf-8"
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment["PYTHONPATH"] = URL(filePath: path).deletingLastPathComponent().path
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let text = String(decoding: output, as: UTF8.self)
        guard process.terminationStatus == 0 else { throw Failure(output: text) }
        return text
    }

    /// What the reader prints for these frames, a line each.
    static func read(_ frames: [[UInt8]]) throws -> [String] {
        var writer = ByteWriter()
        for frame in frames {
            writer.littleEndian(UInt32(frame.count))
            writer.append(frame)
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "frames-\(UUID().uuidString)")
        try Data(writer.bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try run(["python3", path, file.path]).split(separator: "\n").map(String.init)
    }
}

@Suite(.enabled(if: PythonReader.isAvailable, "no python3 on this machine"))
struct ReaderTests {
    static func frame(_ topic: Topic, _ header: FrameHeader, _ body: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        header.encode(topic: topic.bytes[...], body: body[...], into: &bytes)
        return bytes
    }

    @Test func `a data frame with all its fields at work`() throws {
        let header = FrameHeader(
            kind: .data, flags: [.recovering, .stale, .late, .epochInferred, .numberedPerTopic, .unresolved],
            feed: .max, channel: .max, epoch: .max, sequence: .max - 1, previous: .max - 2, path: 254,
            state: .closed, run: .max - 3, sourceTime: WallTime(nanoseconds: .min),
            receiveTime: WallTime(nanoseconds: .max))
        let topic = Topic.marketData(feed: "e/u", instrument: "Ä *")
        let lines = try PythonReader.read([ReaderTests.frame(topic, header, [0, 255])])
        #expect(
            lines == [
                #"{"topic":"md/e%2Fu/%C3%84%20%2A/","names":["md","e/u","Ä *"],"version":1,"kind":"data","#
                    + #""flags":["recovering","stale","late","epoch_inferred","numbered_per_topic","#
                    + #""unresolved"],"feed":65535,"channel":65535,"epoch":18446744073709551615,"#
                    + #""sequence":18446744073709551614,"previous":18446744073709551613,"path":254,"#
                    + #""state":"closed","run":4294967292,"source_time":-9223372036854775808,"#
                    + #""receive_time":9223372036854775807,"body":"00ff"}"#
            ])
    }

    /// Frames of each kind, and what the reader must say of their bodies.
    static let bodies: [(Topic, FrameKind, [UInt8], String)] = {
        let topic = Topic.control(feed: "itch", channel: 3)
        let heartbeat = ControlBody.heartbeat(
            published: 1 << 60, gaps: 7, interval: .milliseconds(100), first: 5, isNamed: true)
        let gap = ControlBody.gap(SequenceRange(5, .max), .sessionChange, instrument: "ÄPFEL")
        let wholeGap = ControlBody.gap(SequenceRange(5, 5), .upstream, instrument: nil)
        let state = ControlBody.state(path: "A", reason: "silent for 300 ms")
        return [
            (
                topic, .heartbeat, heartbeat.bytes,
                #"{"published":1152921504606846976,"gaps":7,"interval_ms":100,"first":5,"named":true}"#
            ),
            (
                topic, .gap, gap.bytes,
                #"{"first":5,"last":18446744073709551615,"reason":"session_change","instrument":"ÄPFEL"}"#
            ),
            (topic, .gap, wholeGap.bytes, #"{"first":5,"last":5,"reason":"upstream","instrument":null}"#),
            (topic, .state, state.bytes, #"{"path":"A","reason":"silent for 300 ms"}"#),
            (.sync(nonce: "n1"), .sync, [], "null"),
            (.marketData(feed: "itch", instrument: nil), .idle, [], "null"),
        ]
    }()

    @Test func `each kind of frame and its body`() throws {
        let frames = ReaderTests.bodies.map { topic, kind, body, _ in
            ReaderTests.frame(
                topic,
                FrameHeader(
                    kind: kind, feed: 1, channel: 3, epoch: 9, sequence: 12, previous: 12, state: .live,
                    receiveTime: WallTime(nanoseconds: 5)), body)
        }
        let lines = try PythonReader.read(frames)
        try #require(lines.count == frames.count)
        for (line, (topic, kind, _, control)) in zip(lines, ReaderTests.bodies) {
            let names =
                switch topic {
                case .sync: #"["sync","n1"]"#
                case .marketData: #"["md","itch",null]"#
                case .control, .batch, .state, .sample, .heartbeat: #"["control","itch","3"]"#
                }
            let end = control == "null" ? #""body":"""# : #""control":"# + control
            #expect(
                line == #"{"topic":"\#(topic)","names":\#(names),"version":1,"kind":"\#(kind)","flags":[],"#
                    + #""feed":1,"channel":3,"epoch":9,"sequence":12,"previous":12,"path":null,"#
                    + #""state":"live","run":0,"source_time":null,"receive_time":5,\#(end)}"#)
        }
    }

    @Test func `hostile frames are errors of the reader too, not crashes`() throws {
        let whole = FrameTests.frame()
        var frames = (0..<whole.count).map { Array(whole[..<$0]) }
        for (offset, byte) in [(0, 2), (1, 8), (33, 0)] as [(Int, UInt8)] {
            var damaged = whole
            damaged[FrameTests.topic.bytes.count + 1 + offset] = byte
            frames.append(damaged)
        }
        for (kind, body) in [(.heartbeat, [1]), (.gap, [1, 2]), (.state, [9, 1]), (.state, [1, 0xFF, 0])]
            as [(FrameKind, [UInt8])]
        {
            var header = FrameTests.header
            header.kind = kind
            frames.append(FrameTests.frame(header, body: body))
        }
        let lines = try PythonReader.read(frames)
        #expect(lines.count == frames.count)
        #expect(lines.allSatisfy { $0.hasPrefix(#"{"error":"#) })
    }

    /// What the document's example says of these frames; each is written as arguments of `frame`.
    private static func example(_ frames: String, _ definition: String) throws -> [String] {
        let document = URL(filePath: PythonReader.path).deletingLastPathComponent().appending(
            path: "README.md")
        let blocks = try String(contentsOf: document, encoding: .utf8).components(separatedBy: "```")
        let example = try #require(blocks.first { $0.hasPrefix("python\nfrom reader import") }).dropFirst(6)
        let script = """

            import struct
            from reader import HEADER
            \(definition)
            for words in (\(frames)):
                said = [" ".join(map(str, news[1:] if news[0] == "missing" else news[:3:2]))
                        for news in received(frame(*words)) if news[0] in ("missing", "data")]
                print(", ".join(said) or "nothing")
            """
        return try PythonReader.run(["python3", "-c", example + script]).split(separator: "\n").map(
            String.init)
    }

    private static let channel = """
        def frame(kind, sequence, previous=0, run=1, epoch=1, topic="md/f/A/", first=0, named=0):
            header = HEADER.pack(1, kind, 0, 0, 0, epoch, sequence, previous, 0, 1, 0, run, 0, 0)
            body = {1: b"x", 2: b"", 3: struct.pack("<QQIQB", 0, 0, 100, first, named),
                    4: struct.pack("<QQBB", sequence, first, 1, 0)}[kind]
            return (topic if kind < 3 else "control/f/0/").encode() + b"\\0" + header + body
        """

    @Test func `the document's example notices its own losses`() throws {
        let said = try Self.example(
            """
            (1, 5), (1, 9, 5), (1, 9, 5), (1, 8, 5), (2, 9, 9), (1, 15, 12), (2, 20, 20), (1, 21, 20),
            (4, 22, 0, 1, 1, "", 25), (1, 30), (1, 1, 0, 1, 2)
            """, Self.channel)
        #expect(
            said == [
                "data 5", "data 9", "nothing", "nothing", "nothing", "A 10 12 own, data 15", "A 16 20 own",
                "data 21", "None 22 25 told", "data 30", "data 1",
            ])
    }

    @Test func `what is lost of the messages for no instrument is not what the channel lost`() throws {
        let star = "md/f/*/"
        #expect(
            try Self.example(
                "(1, 5, 0, 1, 1, \"\(star)\"), (1, 7), (1, 9, 8, 1, 1, \"\(star)\")", Self.channel)
                == ["data 5", "data 7", " 6 8 own, data 9"])
    }

    @Test func `the document's example knows what it missed while the gateway was restarted`() throws {
        let said = try Self.example(
            """
            (3, 0, 0, 1, 1, "", 4), (1, 5), (1, 6, 0, 1, 1, "md/f/B/"), (3, 8, 0, 1, 1, "", 4),
            (3, 0, 0, 2, 0), (3, 0, 0, 2, 1, "", 12), (1, 12, 0, 2), (3, 12, 0, 2, 1, "", 12),
            (1, 15, 13, 2, 1, "md/f/B/"),
            (1, 13, 0, 3), (3, 13, 0, 3, 1, "", 11), (1, 16, 13, 3),
            (3, 0, 0, 4, 2, "", 3), (1, 3, 0, 4, 2)
            """, Self.channel)
        #expect(
            said == [
                "nothing", "data 5", "data 6", "nothing",
                "nothing", "None 9 11 restart", "data 12", "nothing",
                "B 12 13 own, data 15",
                "nothing", "nothing", "data 16",
                "None 17 None restart, None 1 2 restart", "data 3",
            ])
    }

    @Test func `the document's example notices numbers that began anew while the gateway was restarted`()
        throws
    {
        let said = try Self.example(
            """
            (3, 0, 0, 1, 1, "", 70000), (1, 70000), (1, 70001, 70000), (3, 0, 0, 2, 1, "", 10), (1, 10, 0, 2),
            (1, 11, 10, 2), (1, 14, 12, 2), (2, 14, 14, 2)
            """, Self.channel)
        #expect(
            said == [
                "nothing", "data 70000", "data 70001", "None 70002 None restart, None 1 9 restart", "data 10",
                "data 11", "A 12 12 own, data 14", "nothing",
            ])
    }

    @Test func `an epoch that was left and comes again with another run has other numbers`() throws {
        let said = try Self.example(
            """
            (3, 0, 0, 1, 1, "", 1), (1, 5000), (3, 0, 0, 1, 2, "", 1), (1, 40, 0, 1, 2),
            (3, 0, 0, 2, 1, "", 50), (1, 50, 0, 2), (1, 51, 50, 2),
            (3, 0, 0, 3, 1, "", 51), (1, 51, 0, 3), (1, 52, 51, 3)
            """, Self.channel)
        #expect(
            said == [
                "nothing", "data 5000", "nothing", "data 40",
                "None 41 None restart, None 1 49 restart", "data 50", "data 51",
                "nothing", "nothing", "data 52",
            ])
    }

    @Test func `a session that is sent again from its beginning is neither missing nor new`() throws {
        let said = try Self.example(
            """
            (3, 0, 0, 1, 1, "", 899990, 1), (1, 900000), (3, 0, 0, 2, 1, "", 1, 1), (1, 1, 0, 2), (1, 899999, 1, 2),
            (1, 900000, 899999, 2), (4, 900001, 0, 2, 1, "", 900002), (1, 900003, 900000, 2),
            (3, 0, 0, 3, 1, "", 900006, 1), (1, 900006, 0, 3)
            """, Self.channel)
        #expect(
            said == [
                "nothing", "data 900000", "nothing", "nothing", "nothing", "nothing",
                "None 900001 900002 told", "data 900003", "None 900004 900005 restart", "data 900006",
            ])
    }

    @Test func `what a run told as missing before it began is not new when another one sends it`() throws {
        let said = try Self.example(
            """
            (3, 0, 0, 1, 1, "", 1, 1), (1, 5), (3, 0, 0, 2, 1, "", 10, 1), (3, 0, 0, 3, 1, "", 1, 1), (1, 5, 0, 3),
            (1, 7, 5, 3), (1, 10, 7, 3)
            """, Self.channel)
        #expect(
            said == [
                "nothing", "data 5", "None 6 9 restart", "nothing", "nothing", "nothing", "data 10",
            ])
    }

    @Test func `where topics are numbered, each topic's own sequence shows what a restart cost`() throws {
        let said = try Self.example(
            """
            (1, 5), (1, 6, 5), (2, 8, 8), (2, 8, 8, 2), (1, 11, 0, 2), (2, 12, 12, 3), (1, 12, 0, 3),
            (4, 13, 0, 3, 1, "", 14), (1, 15, 0, 3), (4, 18, 0, 3, 1, "", 19), (1, 3, 0, 4, 2)
            """,
            """
            def frame(kind, sequence, previous=0, run=1, epoch=1, topic="", first=0):
                header = HEADER.pack(1, kind, 16, 0, 0, epoch, sequence if kind < 3 else 0, previous, 0, 1, 0, run, 0, 0)
                body = {1: b"x", 2: b"", 4: struct.pack("<QQBB", sequence, first, 1, 1) + b"A"}[kind]
                return (b"md/f/A/" if kind < 3 else b"control/f/0/") + b"\\0" + header + body
            """)
        #expect(
            said == [
                "data 5", "data 6", "A 7 8 own", "nothing", "A 9 10 restart, data 11", "A 12 12 restart",
                "nothing", "A 13 14 told", "data 15", "A 16 17 own, A 18 19 told",
                "A 20 None restart, A 1 2 restart, data 3",
            ])
    }
}
