// Every decoder that strangers' bytes reach, a line each: its name, what it makes of bytes, and sound inputs to
// begin with.
import Basics
import FeedJournal
import FeedProtocols
import Wire

@testable import Arbitration
@testable import Configuration
@testable import Gateway
@testable import Watchers
@testable import ZMTP

/// One decoder.
struct FuzzTarget: Sendable {
    let name: String
    let seeds: @Sendable () -> [[UInt8]]
    /// Numbers from deep inside of what was decoded.
    let read: @Sendable ([UInt8]) throws -> [UInt64]

    init(
        _ name: String, _ seeds: @escaping @Sendable () -> [[UInt8]],
        _ decode: @escaping @Sendable ([UInt8]) throws -> [UInt64]
    ) {
        self.name = name
        self.seeds = seeds
        read = decode
    }

    /// The same; none: it was refused.
    func decode(_ bytes: [UInt8]) -> [UInt64] { (try? read(bytes)) ?? [] }

    /// What a planted mistake looks for in the lowest byte of what was decoded; no seed has it.
    static func meetsPlanted(_ facts: [UInt64]) -> Bool {
        facts.contains { (0xB0..<0xB8).contains($0 & 0xFF) }
    }

    static let all: [FuzzTarget] = [
        FuzzTarget("moldudp64", Seeds.mold) { try Facts.packet(MoldFraming.self, ITCH50Keys.self, $0) },
        FuzzTarget("moldudp64-request", Seeds.moldRequest) {
            [UInt64(try MoldUDP64Request(decoding: $0[...]).count)]
        },
        FuzzTarget("pitch", Seeds.pitch) { try Facts.packet(PITCHFraming.self, PITCHKeys.self, $0) },
        FuzzTarget("iex-tp", Seeds.iex) { try Facts.packet(IEXTPFraming.self, IEXKeys.self, $0) },
        FuzzTarget("mdp3", Seeds.mdp3) { try Facts.packet(MDP3Framing.self, MDP3Keys.self, $0) },
        FuzzTarget("headers", Seeds.mold) { bytes in
            PacketProtocol.allCases.compactMap {
                (try? $0.header(of: bytes[...], length: bytes.count))?.firstSequence
            }
        },
        FuzzTarget("itch50", Seeds.itch) { bytes in
            let message = try ITCH50Message(bytes[...])
            _ = (message.directorySymbol?.description, message.systemEvent, message.timestamp)
            return message.orderReference.map { [$0] } ?? []
        },
        FuzzTarget("soupbintcp", Seeds.soup, Facts.soup),
        FuzzTarget("gap-proxy", Seeds.gapProxy, Facts.gapProxy),
        FuzzTarget("feed-journal", Seeds.journal, Facts.journal),
        FuzzTarget("sequenced-frame", Seeds.sequenced) { [try SequencedFrame(decoding: $0.span).sequence] },
        FuzzTarget("downstream-frame", Seeds.frames, Facts.frame),
        FuzzTarget("downstream-feed", Seeds.frames) {
            try Facts.packet(HoldfastFraming.self, HoldfastKeys.self, $0)
        },
        FuzzTarget("downstream-topics", Seeds.topicFrames) { bytes in
            var reader = HoldfastTopicReader()
            _ = try reader.read(bytes[...])
            // The topic's spelling is known now.
            let (frame, topic, _) = try reader.read(bytes[...])
            return frame.kind == .data ? [frame.sequence] : topic.prefix(1).map { UInt64($0) }
        },
        FuzzTarget("downstream-engine", Seeds.topicStream, Facts.engine),
        FuzzTarget("subscriptions", Seeds.subscriptions, Facts.subscriptions),
        FuzzTarget("pulled-piece", Seeds.journal) { bytes in
            let piece = PulledPiece(
                bytes, at: PulledPiece.Position(segment: 1), isEnd: true, Seeds.noChecksum)
            return piece.stamps.map(\.stamp.sequence)
        },
        FuzzTarget("journal-index", Seeds.journalIndex) { bytes in
            let index = SegmentIndex.parse(bytes, size: Seeds.segmentSize, Seeds.noChecksum)?.index
            return index?.entries.map(\.sequence) ?? []
        },
        FuzzTarget("journal-directory", Seeds.directory) { bytes in
            VenueDirectory(parsing: bytes[...])?.units.map { UInt64($0.key) } ?? []
        },
        FuzzTarget("journal-hole", Seeds.holes) { bytes in
            let length = bytes.firstIndex(of: 0) ?? 0
            return Hole(bytes[...], topicLength: length).map { [$0.count] } ?? []
        },
        FuzzTarget("pcap", Seeds.pcap, Facts.recording),
        FuzzTarget("pcapng", Seeds.pcapng, Facts.recording),
        FuzzTarget("binaryfile", Seeds.binaryFILE, Facts.binaryFILE),
        FuzzTarget("nut-lines", Seeds.nut, Facts.nut),
        FuzzTarget("nut-driver", Seeds.driver, Facts.driver),
        FuzzTarget("chrony-tracking", Seeds.chrony) {
            [UInt64(try ChronyTracking(reply: $0, to: Seeds.chronySequence).stratum)]
        },
        FuzzTarget("rtnetlink", Seeds.rtnetlink, Facts.rtnetlink),
        FuzzTarget("ethtool", Seeds.ethtool, Facts.ethtool),
        FuzzTarget("perfdata", Seeds.perfdata) { bytes in
            _ = CheckOutput(bytes)
            return Perfdata.items(String(decoding: bytes, as: UTF8.self), most: 64).items.compactMap {
                $0.value.map { Facts.digits(Int64($0.rounded(.down).clamped)) }
            }
        },
        FuzzTarget("dns", Seeds.dns) {
            DNSMessage.identifier(ofResponse: $0[...]).map { [UInt64($0)] } ?? []
        },
        FuzzTarget("json", Seeds.json) { Facts.integers(try JSON(parsing: $0)) },
        FuzzTarget("request", Seeds.requests) { bytes in
            switch try Request(parsing: bytes) {
            case .mute(_, let length), .history(_, let length):
                [Facts.digits(length.nanoseconds / 1_000_000_000)]
            case .repair(let repair): [repair.range.first]
            case .pull(let pull): [Facts.digits(Int64(pull.place.offset))]
            case .lease(let lease): [lease.missed]
            case .snapshot(let snapshot): [UInt64(clamping: snapshot.after?.topic ?? 0)]
            case .status, .switch, .release, .unmute: []
            }
        },
        FuzzTarget("pull-reply", Seeds.pulls) { bytes in
            switch try PullReply(parsing: bytes).body {
            case .bytes(let pulled): [Facts.digits(Int64(clamping: pulled.behind))]
            case .channels(let channels): channels.map { Facts.digits(Int64($0)) }
            case .refused(_, _, let first): first.map { [Facts.digits(Int64(clamping: $0))] } ?? []
            }
        },
        FuzzTarget("topic", Seeds.topics) { bytes in
            if case .control(_, let channel) = try Topic(parsing: bytes) {
                [Facts.digits(Int64(channel))]
            } else {
                []
            }
        },
        FuzzTarget("zmtp-greeting", Seeds.greetings) { bytes in
            let minor = try ZMTPGreeting.check(bytes[...], mechanism: "CURVE", isServer: true)
            return minor.map { [UInt64($0)] } ?? []
        },
        FuzzTarget("zmtp-frames", Seeds.zmtpFrames, Facts.zmtpFrames),
        FuzzTarget("zmtp-session", Seeds.zmtpSession, Facts.zmtpSession),
        FuzzTarget("zmtp-requester", Seeds.zmtpRequester, Facts.zmtpRequester),
        FuzzTarget("zmtp-subscriber", Seeds.zmtpSubscriber, Facts.zmtpSubscriber),
        FuzzTarget("health-bus", Seeds.health, Facts.health),
        FuzzTarget("curve", Seeds.curve, Facts.curve),
        FuzzTarget("key-file", Seeds.keyFile) { bytes in
            try KeyFile.parse(Facts.text(bytes), name: "fuzz", isPair: { _ in true }).publicKey.bytes.map {
                UInt64($0)
            }
        },
        FuzzTarget("clients-file", Seeds.clients) { bytes in
            let text = Facts.text(bytes)
            return try ClientsFile.parse(text, name: "fuzz").clients.flatMap {
                $0.key.bytes.map { UInt64($0) }
            }
        },
        FuzzTarget("login-file", Seeds.login) { bytes in
            Facts.number(try LoginFile.parse(Facts.text(bytes), name: "fuzz").user).map { [$0] } ?? []
        },
        FuzzTarget("zone-file", Seeds.zone) { bytes in
            let zone = try ZoneRules(bytes)
            return [0, 1500, 5_000_000_000].map { UInt64(truncatingIfNeeded: zone.offset(at: $0)) }
        },
        FuzzTarget("agent-configuration", Seeds.agentFile) { bytes in
            let options = try AgentFile.parse(Facts.text(bytes), name: "fuzz")
            return [Facts.digits(options.bus.heartbeatEvery.nanoseconds / 10_000_000)]
        },
        FuzzTarget("gateway-configuration", Seeds.gatewayFile) { bytes in
            let options = try GatewayFile.parse(Facts.text(bytes), name: "fuzz")
            return [Facts.digits(options.controlEvery.nanoseconds / 10_000_000)]
                + options.feeds.map { Facts.digits(Int64($0.topicsPerSecond)) }
        },
    ]
}

/// What is looked for behind each decoder.
enum Facts {
    /// What the planted mistake looks for is 7 where numbers are written in digits.
    static func digits(_ value: Int64) -> UInt64 { value == 7 ? 0xB7 : 0 }

    static func number(_ word: String) -> UInt64? { Int64(word).map(digits) }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A packet, its units, and what each of them concerns.
    static func packet<Framing: PacketFraming, Keys: InstrumentKeys>(
        _ framing: Framing.Type, _ keys: Keys.Type, _ bytes: [UInt8]
    ) throws -> [UInt64] {
        var keys = Keys()
        var route = MessageRoute()
        let packet = try Framing.read(bytes[...])
        var units = packet.units
        var count: UInt64 = 0
        while let unit = units.next() {
            count += 1
            route.begin(unit)
            try? keys.route(unit, into: &route)
        }
        return count > 0 ? [packet.header.firstSequence] : []
    }

    /// A stream of packets, up to the first that is none.
    static func soup(_ bytes: [UInt8]) -> [UInt64] {
        var decoder = SoupDecoder()
        var facts: [UInt64] = []
        decoder.feed(bytes)
        while let packet = try? decoder.next() {
            switch packet {
            case .accepted(let place): facts.append(digits(Int64(clamping: place.next)))
            case .sequenced(let message), .unsequenced(let message): facts.append(UInt64(message.count))
            case .debug, .rejected, .serverHeartbeat, .endOfSession, .login, .clientHeartbeat, .logout: break
            }
        }
        return facts
    }

    /// A stream of messages, up to the first that is none.
    static func gapProxy(_ bytes: [UInt8]) -> [UInt64] {
        var decoder = GapProxyDecoder()
        var facts: [UInt64] = []
        decoder.feed(bytes)
        while let message = try? decoder.next() {
            switch message {
            case .request(let request): facts.append(UInt64(request.first))
            case .response(let response): facts.append(UInt64(response.request.count))
            case .heartbeat, .login, .loginAnswered, .other: break
            }
        }
        return facts
    }

    /// A segment, fed in pieces. Every checksum is 0, or no changed byte would come past the first.
    static func journal(_ bytes: [UInt8]) -> [UInt64] {
        var scanner = SegmentScanner(Seeds.noChecksum)
        var facts: [UInt64] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            scanner.push(Array(rest.prefix(97)))
            rest = rest.dropFirst(97)
            if rest.isEmpty { scanner.finish() }
            while let finding = scanner.next() {
                switch finding {
                case .header(let header): facts.append(UInt64(header.run))
                case .record(let record): facts.append(record.stamp.sequence)
                case .damage: break
                }
            }
        }
        return facts
    }

    /// Frames of another gateway, each behind the path that it comes on and its length: what of them is published.
    static func engine(_ bytes: [UInt8]) -> [UInt64] {
        let sink = PublishedSequences()
        var options = FeedOptions(
            name: "f", feedProtocol: .holdfast, keys: FeedOptions.FeedProtocol.holdfast.keys, policy: .hotHot)
        options.paths = [FeedPathOptions(name: "A"), FeedPathOptions(name: "B")]
        var now = Instant(nanoseconds: 1_000_000_000)
        let engine = EnginePlan(
            options: options, index: 0, run: 1, controlEvery: .milliseconds(100), sink: sink,
            log: { _, _ in }, now: now
        ).engine()
        func wall() -> WallTime { Seeds.time + (now - Instant(nanoseconds: 1_000_000_000)) }
        engine.granted(.data(feed: "f", .all), to: nil, at: now, wall: wall())
        engine.pathsChanged(PathCondition(used: [0, 1], active: [true, true]), at: now, wall: wall())
        var rest = bytes[...]
        while let path = rest.popFirst(), let length = rest.popFirst() {
            let frame = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            _ = engine.received(frame, on: Int(path & 1), receivedAt: wall(), at: now, wall: wall())
            now = now + .milliseconds(path & 2 == 0 ? 1 : 200)
            engine.tick(at: now, wall: wall())
        }
        return sink.sequences
    }

    /// What clients ask for and give up, a line each, of the connection that its first byte names: the channels that they
    /// are granted.
    static func subscriptions(_ bytes: [UInt8]) -> [UInt64] {
        var table = SubscriptionTable()
        var facts: [UInt64] = []
        let now = Instant(nanoseconds: 1_000_000_000)
        _ = table.addFeed("itch", linger: .zero, hasBatches: true, at: now)
        _ = table.addFeed("a b", linger: .zero, at: now)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let first = line.first else { continue }
            let (connection, prefix) = (Int32(first >> 1 & 3), line.dropFirst())
            if first & 1 == 0 {
                _ = table.unsubscribe(prefix, by: connection, at: now)
                continue
            }
            for action in table.subscribe(prefix, by: connection, at: now) {
                switch action {
                case .grant(_, _, .control(_, let channel?)), .grant(_, _, .batch(_, let channel?)):
                    facts.append(digits(Int64(channel)))
                default: break
                }
            }
        }
        for connection: Int32 in 0..<4 { _ = table.closed(connection, at: now) }
        return facts
    }

    static func frame(_ bytes: [UInt8]) throws -> [UInt64] {
        let frame = try Frame(parsing: bytes)
        _ = try? frame.topic()
        switch frame.header.kind {
        case .data, .idle, .sync: return [frame.header.sequence]
        case .batch:
            return try BatchBody.messages(of: frame.body, last: frame.header.sequence).map {
                UInt64($0.message.count)
            }
        case .heartbeat, .gap, .state:
            if case .gap(let range, _, _) = try ControlBody(kind: frame.header.kind, parsing: frame.body) {
                return [range.last]
            }
            return []
        }
    }

    /// A capture file, fed in pieces, and the datagrams within.
    static func recording(_ bytes: [UInt8]) throws -> [UInt64] {
        var reader = PcapFileReader()
        var facts: [UInt64] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            reader.feed(rest.prefix(61))
            rest = rest.dropFirst(61)
            while let frame = try reader.next() {
                if let datagram = try? UDPDatagram(frame) {
                    facts.append(UInt64(frame.originalLength))
                    facts += datagram.payload.prefix(40).map { UInt64($0) }
                }
            }
        }
        try reader.finish()
        return facts
    }

    static func binaryFILE(_ bytes: [UInt8]) throws -> [UInt64] {
        var reader = BinaryFILEReader()
        reader.feed(bytes)
        var facts: [UInt64] = []
        while let message = reader.next() {
            guard let message = try? ITCH50Message(message) else { continue }
            facts.append(UInt64(message.locate))
            if let symbol = message.symbol { facts += symbol.description.utf8.map { UInt64($0) } }
        }
        var directory = ITCH50Directory()
        try? directory.feed(bytes)
        facts.append(UInt64(try directory.units(isWhole: false).count))
        try reader.finish()
        return facts
    }

    static func nut(_ bytes: [UInt8]) -> [UInt64] {
        var lines = NUTLines()
        var conversation = NUTConversation(user: nil, password: nil)
        _ = conversation.connected()
        _ = conversation.poll(["ups"])
        return lines.received(bytes).flatMap { line in
            let events = conversation.received(line)
            _ = events.count
            return (NUTLine.words(line) ?? []).dropFirst(3).compactMap(number)
        }
    }

    static func driver(_ bytes: [UInt8]) -> [UInt64] {
        var lines = NUTLines()
        var conversation = DriverConversation()
        let now = Instant(nanoseconds: 0)
        _ = conversation.connected(at: now)
        return lines.received(bytes).flatMap { line in
            _ = conversation.received(line, at: now)
            return (NUTLine.words(line) ?? []).dropFirst(2).compactMap(number)
        }
    }

    static func rtnetlink(_ bytes: [UInt8]) throws -> [UInt64] {
        var frames = NetlinkFrameReader(bytes[...])
        var facts: [UInt64] = []
        while let frame = try frames.next() {
            switch try RouteNetlinkMessage(frame) {
            case .link(let link):
                facts.append(UInt64(UInt32(bitPattern: link.index)))
                if let mtu = link.mtu { facts.append(UInt64(mtu)) }
                if let counts = link.carrierCounts { facts += [UInt64(counts.up), UInt64(counts.down)] }
            case .route(let route): facts.append(UInt64(route.metric))
            case .address(let address): facts.append(UInt64(address.prefixLength))
            default: break
            }
        }
        return facts
    }

    static func ethtool(_ bytes: [UInt8]) throws -> [UInt64] {
        var frames = NetlinkFrameReader(bytes[...])
        var facts: [UInt64] = []
        while let frame = try frames.next() {
            switch try GenericNetlinkMessage(frame, ethtool: 20) {
            case .linkModes(let speed?, _): facts.append(UInt64(clamping: speed))
            case .family(let number): facts.append(UInt64(number))
            default: break
            }
        }
        return facts
    }

    /// A subscriber's connection from its greeting on: what it asks for.
    static func zmtpSession(_ bytes: [UInt8]) -> [UInt64] {
        var facts: [UInt64] = []
        var session = ServerSession(.publisher, .plain)
        try? session.receive(bytes[...]) { event in
            switch event {
            case .subscribe(let prefix), .cancel(let prefix), .pong(let prefix):
                facts += prefix.prefix(1).map { UInt64($0) }
            case .send, .judge, .opened, .strange: break
            }
        }
        return facts
    }

    /// A requester's connection from its greeting on: what it asks. No message is longer than one may be.
    static func zmtpRequester(_ bytes: [UInt8]) -> [UInt64] {
        var facts: [UInt64] = []
        var limits = ServerSession.Limits(.router)
        (limits.frame, limits.frames, limits.message) = (256, 4, 512)
        var session = ServerSession(.router, .plain, limits: limits)
        do {
            try session.receive(bytes[...]) {
                if case .pong(let context) = $0 { facts += first(of: context) }
            }
            while session.hasMessage {
                let frames = session.takeMessage()
                precondition((1...limits.frames).contains(frames.count))
                precondition(frames.reduce(0) { $0 + $1.count } <= limits.message)
                facts += frames.flatMap(first)
                try session.receive([]) { if case .pong(let context) = $0 { facts += first(of: context) } }
            }
        } catch {}
        return facts
    }

    private static func first(of bytes: [UInt8]) -> [UInt64] { bytes.prefix(1).map { UInt64($0) } }

    /// A publisher's connection from its greeting on: what it publishes.
    static func zmtpSubscriber(_ bytes: [UInt8]) -> [UInt64] {
        var facts: [UInt64] = []
        var session = SubscriberSession(.plain, limit: 1024)
        var place = 0
        while let item = try? session.next(in: bytes, at: &place, to: bytes.count) {
            _ = session.need(in: bytes, at: place, to: bytes.count)
            if case .message(let frame) = item { facts += frame.prefix(1).map { UInt64($0) } }
        }
        return facts
    }

    /// Messages and a status document, as a topic and what follows it, a line each: what a view holds then.
    static func health(_ bytes: [UInt8]) -> [UInt64] {
        var view = HealthView()
        var facts: [UInt64] = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let topic = line.prefix { $0 != UInt8(ascii: " ") }
            let payload = line.dropFirst(topic.count + 1)
            let events =
                topic.isEmpty
                ? (try? JSON(parsing: payload)).map { view.statusReply($0, at: Instant(nanoseconds: 0)) }
                    ?? []
                : view.received(topic: topic, payload: payload, at: Instant(nanoseconds: 0))
            for event in events {
                switch event {
                case .changed(let state, _): facts.append(digits(state.stamp.change))
                case .heartbeat(let heartbeat): facts.append(digits(heartbeat.stamp.change))
                default: break
                }
            }
        }
        return facts + view.tick(at: Instant(nanoseconds: 1_000_000_000_000)).map { _ in 0 }
    }

    /// A stream of frames, each read as a message, as a command and as metadata.
    static func zmtpFrames(_ bytes: [UInt8]) throws -> [UInt64] {
        var facts: [UInt64] = []
        var start = 0
        while let frame = try ZMTPFrame.next(in: bytes, from: start, to: bytes.count, limit: 1024) {
            start = frame.body.upperBound
            guard let (_, rest) = try? ZMTPCommand.split(bytes[frame.body]) else { continue }
            _ = ZMTPCommand.reason(rest)
            let value = try? ZMTPCommand.property("Identity", in: rest)
            if let number = value.flatMap(Facts.number) { facts.append(number) }
        }
        return facts
    }

    /// The first byte says whose ear the others come to, and whether in a box: without the keys nobody gets further.
    static func curve(_ bytes: [UInt8]) throws -> [UInt64] {
        guard let ear = bytes.first.flatMap(CurveDialogue.Ear.init(rawValue:)) else { return [] }
        let metadata = try CurveDialogue.sound?.heard(bytes.dropFirst(), by: ear) ?? []
        return try ZMTPCommand.property("Identity", in: metadata).flatMap(number).map { [$0] } ?? []
    }

    static func integers(_ json: JSON) -> [UInt64] {
        switch json {
        case .integer(let value): [digits(value)]
        case .array(let items): items.flatMap(integers)
        case .object(let members): members.flatMap { integers($0.value) }
        case .null, .bool, .number, .string: []
        }
    }
}

/// The numbers of the data frames that an engine publishes.
private final class PublishedSequences: FrameSink {
    private(set) var sequences: [UInt64] = []

    func publish(_ frame: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute {
        if let header = try? Frame(parsing: frame).header, header.kind == .data {
            sequences.append(header.sequence)
        }
        return route
    }

    func send(_ frame: [UInt8], to connection: Int32) {}
    func shows(to connection: Int32) {}
    func shown(to connection: Int32) {}
}

extension Double {
    /// Within what an integer holds.
    fileprivate var clamped: Double { isFinite ? Swift.min(Swift.max(self, -9e18), 9e18) : 0 }
}
