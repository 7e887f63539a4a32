// Sound inputs of each format, mostly by Holdfast's own encoders: what the fuzzer changes, a little at a time.
import Basics
import FeedProtocols
import Wire

@testable import Configuration
@testable import FeedJournal
@testable import Watchers
@testable import ZMTP

enum Seeds {
    static let time = WallTime(nanoseconds: 1_767_355_200_000_000_000)

    static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap { UInt8($0.isHexDigit ? String($0) : "", radix: 16) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func text(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    /// A written sequence of fields.
    private static func written(_ write: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        write(&writer)
        return writer.bytes
    }

    // MARK: - Feeds

    @Sendable static func itch() -> [[UInt8]] {
        let feed = SyntheticITCH(symbols: 3, seed: 1, rate: 10, start: WallTime(nanoseconds: 0))
        return (1...12 as ClosedRange<UInt64>).map { number in written { feed.write(number, into: &$0) } }
    }

    @Sendable static func mold() -> [[UInt8]] {
        let session = MoldSession("FUZZ")
        var builder = MoldUDP64PacketBuilder(session: session)
        builder.begin(at: 1)
        for message in itch() { _ = builder.append(message) }
        return [
            builder.bytes, MoldUDP64PacketBuilder.heartbeat(session: session, next: 9),
            MoldUDP64PacketBuilder.endOfSession(session: session, next: 9),
        ]
    }

    @Sendable static func soup() -> [[UInt8]] {
        let place = SoupPosition(session: MoldSession("FUZZ"), next: 12)
        let message = Array("A message"[...].utf8)[...]
        let packets: [SoupPacket] = [
            .accepted(place), .sequenced(message), .unsequenced(message), .debug(message), .serverHeartbeat,
            .endOfSession,
        ]
        return [packets.flatMap(\.bytes), SoupPacket.rejected(.notAuthorised).bytes]
    }

    @Sendable static func gapProxy() -> [[UInt8]] {
        let request = GapRequest(unit: 1, first: 14, count: 3)
        let login = GapProxyLogin(session: "0001", user: "FUZZ", password: "secret")
        let messages: [GapProxyMessage] = [
            .loginAnswered(.accepted), .heartbeat, .response(GapResponse(request, .accepted)),
        ]
        return [
            messages.flatMap(\.bytes), GapProxyMessage.login(login).bytes,
            GapProxyMessage.request(request).bytes,
        ]
    }

    static let noChecksum: Checksum = { _, _ in 0 }

    @Sendable static func journal() -> [[UInt8]] {
        let header = SegmentHeader(
            feed: "itch", channel: 0, number: 1, run: 5, created: time, previous: Digest.none)
        var batch = RecordBatch()
        for frame in frames() { batch.append(.frame, frame, topicLength: frame.firstIndex(of: 0) ?? 0) }
        let start = header.encoded(noChecksum)
        return [start + batch.sealed(at: start.count, noChecksum) { _, _ in }]
    }

    /// Of the segment that an index is of.
    static let segmentSize = 200_000

    @Sendable static func journalIndex() -> [[UInt8]] {
        var index = SegmentIndex()
        for number: UInt64 in 1...3 {
            let stamp = RecordStamp(
                frame: .data, epoch: 7, sequence: number, receiveTime: time, lastTime: time)
            index.add(stamp, at: Int(number) * 65_536 - 65_000, record: number)
        }
        (index.size, index.records) = (segmentSize, 4)
        return [index.encoded(digest: Digest.none, noChecksum)]
    }

    @Sendable static func directory() -> [[UInt8]] {
        VenueDirectory(epoch: 7, units: [1: [65, 66], 2: [67]]).records
    }

    @Sendable static func holes() -> [[UInt8]] {
        [[], Array("control/itch/0/".utf8)].map { topic in
            Hole(topic: topic, epoch: 7, range: SequenceRange(3, 5), count: 3, from: time, to: time).bytes
        }
    }

    @Sendable static func moldRequest() -> [[UInt8]] {
        [MoldUDP64Request(session: MoldSession("FUZZ"), firstSequence: 5, count: 10).bytes]
    }

    /// A unit of add order (long), delete order and trading status, and a heartbeat.
    @Sendable static func pitch() -> [[UInt8]] {
        let add = hex("22 21 00000000 0500000000000000 42 64000000 5A565A5A54202020 6400000000000000")
        let delete = hex("0E 29 00000000 0500000000000000")
        let status = hex("12 31 00000000 5A565A5A54202020 54 00 00 00")
        let messages: [[UInt8]] = [add, delete, status].map { [UInt8($0.count)] + $0.dropFirst() }
        let body: [UInt8] = messages.reduce(into: []) { $0 += $1 }
        let unit = written {
            $0.littleEndian(UInt16(8 + body.count))
            $0.append([3, 1])
            $0.littleEndian(UInt32(2))
            $0.append(body)
        }
        return [unit, hex("0800 00 01 05000000")]
    }

    @Sendable static func iex() -> [[UInt8]] {
        let messages = [
            hex(
                "51 00 0000000000000001 5A49455854202020 64000000 0100000000000000 0200000000000000 64000000"),
            hex("44 00 0000000000000001 5A49455854202020 64000000 01000000"),
        ]
        let body: [UInt8] = messages.reduce(into: []) { $0 += [UInt8($1.count), 0] + $1 }
        return [segment(body, count: UInt16(messages.count)), segment([], count: 0)]
    }

    private static func segment(_ body: [UInt8], count: UInt16) -> [UInt8] {
        written {
            $0.append([1, 0])
            $0.littleEndian(UInt16(0x8004))
            $0.littleEndian(UInt32(1))
            $0.littleEndian(UInt32(77))
            $0.littleEndian(UInt16(body.count))
            $0.littleEndian(count)
            for value in [0, 1, time.nanoseconds] { $0.littleEndian(value) }
            $0.append(body)
        }
    }

    @Sendable static func mdp3() -> [[UInt8]] {
        let message = written {
            for value: UInt16 in [34, 11, 46, 1, 9] { $0.littleEndian(value) }
            $0.append(repeatElement(1, count: 24))
        }
        return [
            written {
                $0.littleEndian(UInt32(5))
                $0.littleEndian(UInt64(time.nanoseconds))
                $0.append(message + message)
            }
        ]
    }

    @Sendable static func sequenced() -> [[UInt8]] {
        let encoder = SequencedFrameEncoder(session: 7)
        return [
            written {
                encoder.write(
                    .data, topic: Array("A/".utf8), sequence: 9, sourceTime: time, payload: [1], into: &$0)
            },
            written {
                encoder.write(.idle, topic: Array("B%2F/".utf8), sequence: 3, sourceTime: time, into: &$0)
            },
            written {
                encoder.write(
                    .heartbeat(every: .milliseconds(100)), topic: SequencedFrame.heartbeatTopic, sequence: 0,
                    sourceTime: time, into: &$0)
            },
        ]
    }

    @Sendable static func frames() -> [[UInt8]] {
        func frame(_ kind: FrameKind, _ topic: String, _ body: [UInt8]) -> [UInt8] {
            let header = FrameHeader(
                kind: kind, feed: 0, channel: 0, epoch: 7, sequence: 5, previous: 4, path: 1, state: .live,
                run: 3,
                receiveTime: time)
            var bytes: [UInt8] = []
            header.encode(topic: Array(topic.utf8)[...], body: body[...], into: &bytes)
            return bytes
        }
        let bodies: [ControlBody] = [
            .heartbeat(published: 9, gaps: 2, interval: .milliseconds(100), first: 1, isNamed: true),
            .gap(SequenceRange(3, 5), .notRecovered, instrument: "A"),
            .state(path: "A", reason: "a gap is open"),
        ]
        var batch = BatchBody()
        _ = batch.append([1, 2, 3][...])
        _ = batch.append([4][...])
        return [
            frame(.batch, "batch/f/0/", batch.bytes), frame(.data, "md/f/A/", [1, 2]),
            frame(.idle, "md/f/*/", []),
        ]
            + bodies.map { frame($0.kind, "control/f/0/", $0.bytes) }
    }

    /// Of another gateway whose topics are numbered each by itself.
    @Sendable static func topicFrames() -> [[UInt8]] {
        func frame(_ kind: FrameKind, _ topic: String, _ sequence: UInt64, _ body: [UInt8] = []) -> [UInt8] {
            let header = FrameHeader(
                kind: kind, flags: .numberedPerTopic, feed: 0, channel: 0, epoch: 7, sequence: sequence,
                previous: sequence - 1, path: 1, state: .live, run: 3, sourceTime: time, receiveTime: time)
            var bytes: [UInt8] = []
            header.encode(topic: Array(topic.utf8)[...], body: body[...], into: &bytes)
            return bytes
        }
        let gap = ControlBody.gap(SequenceRange(3, 5), .notRecovered, instrument: "A")
        return [
            frame(.data, "md/f/A/", 5, [1, 2]), frame(.data, "md/f/A/", 7, [3]),
            frame(.data, "md/f/B%2F/", 1, [4]), frame(.idle, "md/f/A/", 8),
            frame(.gap, "control/f/0/", 8, gap.bytes),
        ]
    }

    /// The same, one after the other on two paths.
    @Sendable static func topicStream() -> [[UInt8]] {
        let frames = topicFrames()
        let both = frames.enumerated().flatMap { number, frame in
            [UInt8(number & 1), UInt8(frame.count)] + frame
        }
        return [both, frames.flatMap { [2, UInt8($0.count)] + $0 }]
    }

    @Sendable static func subscriptions() -> [[UInt8]] {
        text(
            "1md/itch/A/\n3md/itch/\n0md/itch/A/\n", "1control/itch/4/\n1batch/itch/4/\n2md/a%20b/*/\n",
            "5md/a%20b/%2A/\n5sync/abc/\n5batch/a%20b/\n5md/itch\n")
    }

    // MARK: - Files

    private static let ethernet = hex(
        """
        01005E010101 020000000001 8100 0001 0800 4500001E 00000000 0111 0000 0A000001 EF010101
        03E8 07D0 000A 0000 AABB
        """)

    @Sendable static func pcap() -> [[UInt8]] {
        [
            hex("D4C3B2A1 0200 0400 00000000 00000000 00000400 01000000 01000000 02000000 30000000 30000000")
                + ethernet
        ]
    }

    @Sendable static func pcapng() -> [[UInt8]] {
        [
            hex("0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFFFFFFFFFF 1C000000")
                + hex("01000000 28000000 0100 0000 00000000 0900 0100 83000000 0E00 0800 0A00")
                + hex("000000000000 28000000")
                + hex("06000000 50000000 00000000 00000000 E8030000 30000000 30000000") + ethernet
                + hex("50000000 03000000 40000000 30000000") + ethernet + hex("40000000"),
            // A single datagram of 40 bytes, without options.
            hex("0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFFFFFFFFFF 1C000000")
                + hex("01000000 14000000 0100 0000 00000000 14000000")
                + hex("06000000 78000000 00000000 00000000 E8030000 56000000 56000000")
                + hex(
                    "01005E010101 020000000001 8100 0001 0800 45000044 00000000 0111 0000 0A000001 EF010101")
                + hex("03E8 07D0 0030 0000") + Array(repeating: 0x11, count: 40) + hex("0000 78000000"),
        ]
    }

    @Sendable static func binaryFILE() -> [[UInt8]] {
        [itch().reduce(into: []) { $0 += [0, UInt8($1.count)] + $1 }]
    }

    // MARK: - What hosts say

    @Sendable static func nut() -> [[UInt8]] {
        text(
            "BEGIN LIST VAR ups\nVAR ups battery.charge \"100\"\nVAR ups ups.status \"OL CHRG\"\nEND LIST VAR ups\n",
            "BEGIN LIST UPS\nUPS ups \"a \\\"good\\\" one\"\nEND LIST UPS\nERR DATA-STALE\nOK\n")
    }

    @Sendable static func driver() -> [[UInt8]] {
        text(
            "SETINFO ups.status \"OB LB\"\nSETINFO battery.charge \"20\"\nDUMPDONE\nDATASTALE\nDATAOK\nPONG\n"
        )
    }

    static let chronySequence: UInt32 = 0x0102_0304

    @Sendable static func chrony() -> [[UInt8]] {
        [
            hex(
                """
                06020000 0021 0005 0000 000000000000 01020304 0000000000000000
                7f000001 7f000001000000000000000000000000 00010000 0009 0000 00000000 6b03740d 0624a50c
                df3a60e6 dcb663ff dec10855 09341270 00cc5082 0ef73bf8 e2b14d37 e880cfd7 fc8375a2
                """)
        ]
    }

    @Sendable static func rtnetlink() -> [[UInt8]] {
        [
            hex(
                """
                70000000 1000 0200 07000000 995e0000 00 00 0100 03000000 43100100 00000000
                0a00 0300 6973702d6100 0000 0500 1000 06 000000 0800 0400 dc050000 0800 2f00 02000000
                0800 3000 01000000 0a00 0100 2e148c13c31d 0000 1000 1200 0900 0100 7665746800 000000
                0800 0500 02000000
                """),
            hex(
                """
                3c000000 1800 0200 07000000 995e0000 02 00 00 00 fe 03 00 01 00000000
                0800 0f00 fe000000  0800 0600 64000000 0800 0500 c0000201  0800 0400 03000000
                """),
            hex(
                "28000000 1400 0200 07000000 995e0000 02 18 80 00 03000000 0800 0200 c0000201 0800 0100 c0000201"
            ),
        ]
    }

    /// The number of a family, and what ethtool says of a link's speed and of why it is down.
    @Sendable static func ethtool() -> [[UInt8]] {
        [
            hex("1c000000 1000 0000 01000000 995e0000 01 02 0000 0600 0100 1400 0000"),
            hex("24000000 1400 0000 01000000 995e0000 04 01 0000 0800 0500 e8030000 0500 0600 01 000000"),
            hex("24000000 1400 0000 01000000 995e0000 06 01 0000 0500 0200 00 000000 0500 0500 02 000000"),
        ]
    }

    @Sendable static func perfdata() -> [[UInt8]] {
        text(
            "'a label'=5.5ms;10;@20:30;0;100 rta=0.1s;1:;~:5 size=10MB;;;; 'it''s'=U",
            "OK - all is well | time=0.02s;1;2\nmore\nand | load=1.5\nlast=3%")
    }

    @Sendable static func dns() -> [[UInt8]] {
        [
            hex("1234 8180 0001 0000 0001 0000 00 0006 0001"),
            hex("1234 8183 0000 0000 0000 0000"),
        ]
    }

    // MARK: - Requests and configuration

    @Sendable static func json() -> [[UInt8]] {
        text(
            #"{"v":1,"list":[1,2.5e3,-8,true,null,"a\n\u00e9\ud83d\ude00"],"deep":{"a":{"b":[]}}}"#, "[0]",
            "\"\"")
    }

    /// A state, a heartbeat and a status document, a line each.
    @Sendable static func health() -> [[UInt8]] {
        guard let incarnation = Incarnation(1_767_355_200) else { return [] }
        let stamp = Stamp(host: "fra-1", incarnation: incarnation, change: 5, at: time)
        let state = StateMessage(
            stamp: stamp, subject: Subject(.nic, "eth0"), status: .ok, since: time, reason: "up",
            detectedAt: time)
        let document = StatusDocument(stamp: stamp, states: [state])
        let line = Array("\(state.topic) ".utf8) + state.json.bytes + [10]
        return [line + Array(" ".utf8) + document.json.bytes + [10]]
    }

    @Sendable static func requests() -> [[UInt8]] {
        text(
            #"{"v":1,"request":"status"}"#, #"{"v":1,"request":"history","subject":"path/a","last_s":30}"#,
            #"{"v":1,"request":"switch","feed":"q","path":"B","hold":true}"#,
            #"{"v":1,"request":"mute","subject":"nic/eth0","for_s":1800}"#,
            #"{"v":1,"request":"pull","feed":"q","replica":"b","channel":0,"segment":3,"offset":5}"#)
    }

    @Sendable static func pulls() -> [[UInt8]] {
        let bytes = PulledBytes(
            place: PullRequest.Place(segment: 3, offset: 5), size: 9, header: 1, next: 4, behind: 2)
        let bodies: [(UInt16?, PullReply.Body)] = [
            (0, .bytes(bytes)), (nil, .channels([0, 1])),
            (0, .refused("gone", retryAfter: .seconds(1), first: 2)),
        ]
        return bodies.map { PullReply(feed: "q", channel: $0.0, $0.1).json.bytes }
    }

    @Sendable static func topics() -> [[UInt8]] {
        text("control/itch/4/", "md/itch/%2A/", "md/itch/*/", "state/fra-1/disk/%2Fvar/", "sync/abc/")
    }

    private static let key = PublicKey(bytes: Array(repeating: 7, count: 32))

    @Sendable static func keyFile() -> [[UInt8]] {
        guard let key, let secret = SecretKey(bytes: Array(repeating: 9, count: 32)) else { return [] }
        return text(KeyFile.text(of: KeyPair(publicKey: key, secretKey: secret)))
    }

    @Sendable static func clients() -> [[UInt8]] {
        guard let key else { return [] }
        let written = Z85.encode(key.bytes) ?? ""
        return text(
            "# who\n[[client]]\nname = \"desk\"\nkey = \"\(written)\"\ntopics = [\"md/itch/\"]\noperate = true\n"
        )
    }

    /// A file of the second version with two changes and a rule.
    @Sendable static func zone() -> [[UInt8]] {
        func block(_ writer: inout ByteWriter, _ counts: [UInt32]) {
            writer.append(Array("TZif2".utf8) + Array(repeating: 0, count: 15))
            for count in counts { writer.bigEndian(count) }
        }
        return [
            written {
                block(&$0, [0, 0, 0, 0, 1, 4])
                $0.append(Array(repeating: 0, count: 10))
                block(&$0, [0, 0, 0, 2, 2, 8])
                for moment: Int64 in [1000, 2000] { $0.bigEndian(moment) }
                $0.append([1, 0])
                for offset: Int32 in [-3600, 7200] {
                    $0.bigEndian(offset)
                    $0.append([0, 0])
                }
                $0.append(Array("AAA\0BBB\0\nCET-1CEST,M3.5.0,M10.5.0/3\n".utf8))
            }
        ]
    }

    // MARK: - ZMTP

    @Sendable static func greetings() -> [[UInt8]] {
        [
            ZMTPGreeting.encode(mechanism: "CURVE", isServer: false),
            ZMTPGreeting.encode(mechanism: "NULL", isServer: false),
        ]
    }

    static let metadata = ZMTPCommand.encode([("Socket-Type", "SUB"), ("Identity", "12")])

    @Sendable static func zmtpFrames() -> [[UInt8]] {
        let ready = ZMTPFrame.encode(ZMTPCommand.encode("READY", metadata), .command)
        let subscription = ZMTPFrame.encode(ZMTPCommand.encode("SUBSCRIBE", "md/".utf8), .command)
        let error = ZMTPFrame.encode(ZMTPCommand.encode("ERROR", [3] + "400".utf8), .command)
        let long = ZMTPFrame.encode(Array(repeating: 7, count: 300), .more)
        return [ready + subscription, error, long + ZMTPFrame.encode([])]
    }

    @Sendable static func zmtpSession() -> [[UInt8]] {
        let ready = ZMTPFrame.encode(ZMTPCommand.encode("READY", metadata), .command)
        let ping = ZMTPFrame.encode(ZMTPCommand.encode("PING", [0, 0, 7, 8]), .command)
        let asked = ZMTPFrame.encode([1] + "md/".utf8) + ZMTPFrame.encode([0] + "md/".utf8)
        let greeting = ZMTPGreeting.encode(mechanism: "NULL", isServer: false)
        let second = ZMTPGreeting.signature + [ZMTPGreeting.second, 2, 0, 0]
        return [greeting + ready + asked + ping, second + asked]
    }

    @Sendable static func zmtpRequester() -> [[UInt8]] {
        let properties = ZMTPCommand.encode([("Socket-Type", "REQ"), ("Identity", "")])
        let ready = ZMTPFrame.encode(ZMTPCommand.encode("READY", properties), .command)
        let ping = ZMTPFrame.encode(ZMTPCommand.encode("PING", [0, 0, 7, 8]), .command)
        let asked = ZMTPFrame.encode([], .more) + ZMTPFrame.encode(Array("{}".utf8))
        let several = ZMTPFrame.encode([7], .more) + ping + ZMTPFrame.encode([8], .more) + asked
        let greeting = ZMTPGreeting.encode(mechanism: "NULL", isServer: false)
        let second = ZMTPGreeting.signature + [ZMTPGreeting.second, 3, 0, 0]
        return [greeting + ready + asked + ping + several, second + asked + asked]
    }

    @Sendable static func zmtpSubscriber() -> [[UInt8]] {
        let properties = ZMTPCommand.encode([("Socket-Type", "XPUB"), ("Identity", "")])
        let ready = ZMTPFrame.encode(ZMTPCommand.encode("READY", properties), .command)
        let ping = ZMTPFrame.encode(ZMTPCommand.encode("PING", [0, 0, 7, 8]), .command)
        let messages = ZMTPFrame.encode([7], .more) + ZMTPFrame.encode(Array(repeating: 9, count: 300))
        return [ZMTPGreeting.encode(mechanism: "NULL", isServer: false) + ready + messages + ping + messages]
    }

    @Sendable static func curve() -> [[UInt8]] { CurveDialogue.sound?.seeds ?? [] }

    @Sendable static func login() -> [[UInt8]] {
        text("session = \"AB\"\nuser = \"12\"\npassword = \"p\"\n")
    }

    @Sendable static func agentFile() -> [[UInt8]] {
        text(
            "[bus]\nheartbeat_every = \"50ms\"\n",
            "host = \"fra-1\"\n[[process.watch]]\nname = \"x\"\nunit = \"x.service\"\n",
            "[[path.isp]]\nname = \"a\"\ninterface = \"eth0\"\ntargets = [\"192.0.2.1\"]\n",
            "[[check]]\nname = \"c\"\ncommand = [\"/bin/true\"]\nevery = \"1m\"\n")
    }

    @Sendable static func gatewayFile() -> [[UInt8]] {
        text(
            "[downstream]\ncontrol_every = \"50ms\"\n",
            "[[replica]]\nrequest = \"ipc:///run/g.req\"\nfeeds = [\"itch\"]\n",
            """
            [[feed]]
            name = "quotes"
            protocol = "zeromq"
            keys = "topic"
            policy = "hot-warm"
            subscribe_rate = 500
            [[feed.path]]
            name = "A"
            endpoint = "tcp://127.0.0.1:7001"
            depends_on = ["nic/eth0"]
            [[feed.path]]
            name = "B"
            endpoint = "tcp://127.0.0.1:7002"
            """)
    }
}
