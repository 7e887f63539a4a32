// `holdfast play`: serves a feed, generated or recorded, so that a set-up can be tried before the market
// opens. Here are its options and what they must be; `PlayServer` does the work.
import ArgumentParser
import Basics
import FeedProtocols
import Linux

struct Play: ParsableCommand {
    enum Generated: String, ExpressibleByArgument, CaseIterable { case itch, pitch, deep, mdp3, quotes }
    enum Pace: String, ExpressibleByArgument, CaseIterable { case recorded }

    static let configuration = CommandConfiguration(
        commandName: "play",
        abstract: "Serve a market-data feed, to try a set-up before the market opens.",
        discussion: """
            Plays generated messages (ITCH 5.0, PITCH, DEEP, MDP 3.0, quotes), a BinaryFILE of ITCH 5.0, or the MoldUDP64 packets of \
            a capture (pcap or pcapng; the kind is told by the content), on any number of paths at once:

              holdfast play --generate itch --mold 239.1.1.1:30001@eth0
              holdfast play --generate quotes --zeromq tcp://127.0.0.1:7001
              holdfast play --generate pitch --pitch 239.2.1.1:30001 --pitch 239.2.2.1:30001
              holdfast play day.NASDAQ_ITCH50 --speed 10 --mold 239.1.1.1:30001

            Two servers, on two machines, with the same --start-at and the same options play one stream in \
            step. It runs until Ctrl-C, the recording's end, --count or --seconds, and then prints a summary.

            Exit status: 0 ended as asked; 64 wrong usage; 65 the recording is broken; 66 it cannot be read; \
            69 an address cannot be used.
            """)

    @Argument(help: ArgumentHelp("The recording to play: BinaryFILE, pcap or pcapng.", valueName: "file"))
    var file: String?

    @Option(
        help: ArgumentHelp(
            "What to generate in place of a recording: itch, pitch, deep, mdp3 or quotes.", valueName: "what")
    )
    var generate: Generated?

    @Option(help: "How many symbols to generate (default: 100 for quotes, else 8000).")
    var symbols: Int?

    @Option(help: "Messages per second (default for what is generated: 1000).")
    var rate: UInt64?

    @Option(help: "recorded: as fast as the recording's own times say (default for recordings).")
    var pace: Pace?

    @Option(help: "Play a recording so many times as fast as it was recorded.")
    var speed: Double?

    @Option(
        help: ArgumentHelp(
            """
            Serve over MoldUDP64 to this IPv4 group or address; multicast leaves through the interface. May be \
            given several times.
            """, valueName: "address:port[@interface]"))
    var mold: [String] = []

    @Option(
        help: ArgumentHelp(
            "As --mold, in sequenced units of PITCH, unit 1; for --generate pitch.",
            valueName: "address:port[@interface]"))
    var pitch: [String] = []

    @Option(
        help: ArgumentHelp(
            "As --mold, over IEX-TP, channel 1; for --generate deep.", valueName: "address:port[@interface]"))
    var iexTp: [String] = []

    @Option(
        help: ArgumentHelp(
            "As --mold, in packets of MDP 3.0; for --generate mdp3.", valueName: "address:port[@interface]"))
    var mdp3: [String] = []

    @Option(
        help: ArgumentHelp(
            "Serve over Holdfast's sequenced ZeroMQ feed, bound here. May be given several times.",
            valueName: "endpoint"))
    var zeromq: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Answer MoldUDP64 requests here, with the newest 262,144 messages: what the lines of --mold lost can \
            be asked for again.
            """, valueName: "address:port"))
    var moldRequests: String?

    @Option(
        help: ArgumentHelp(
            "Serve over SoupBinTCP on this TCP port, of all addresses of this host or of one.",
            valueName: "[address:]port"))
    var soup: String?

    @Option(
        help: ArgumentHelp(
            "Let in over SoupBinTCP only who has this user and password (default: everybody).",
            valueName: "file"))
    var soupLogin: String?

    @Option(
        help: ArgumentHelp(
            "When message 1 is due, RFC 3339 in UTC, past or future (default: now).", valueName: "time"))
    var startAt: String?

    @Option(help: "End after this message of the stream.")
    var count: UInt64?

    @Option(help: "End so many seconds after the stream's start.")
    var seconds: Double?

    @Option(
        help: ArgumentHelp(
            "Lose this share of packets (ZeroMQ: of messages) on each path, 0 to 1.", valueName: "ratio"))
    var drop: Double = 0

    @Option(help: "Makes generated content and losses repeatable.")
    var seed: UInt64 = 1

    @Option(help: "The session's name, up to ten ASCII characters (default: derived from the stream).")
    var session: String?

    @Flag(help: "Say end of session over MoldUDP64 and SoupBinTCP at the end.")
    var end = false

    @Option(
        help: ArgumentHelp(
            """
            Weave the directory into what is generated, whole every so many seconds, for gateways that join \
            late (default: only at the start).
            """, valueName: "seconds"))
    var directoryEvery: Double?

    @Option(
        help: ArgumentHelp(
            """
            After a late start or a stop, send again at most what was due in so many seconds, and jump over \
            what is older (default: 60 with --zeromq alone, else 1).
            """, valueName: "seconds"))
    var catchUp: Double?

    @Flag(help: "Print the summary as JSON.")
    var json = false

    func validate() throws {
        try validateSource()
        try validateNumbers()
        guard packets.contains(where: { !$0.addresses.isEmpty }) || !zeromq.isEmpty || soup != nil else {
            throw ValidationError(
                "nowhere to play to: give --\(carrier) ADDRESS:PORT\(dialect == .itch ? ", --zeromq ENDPOINT or --soup PORT" : "")"
            )
        }
        try validateTargets()
        _ = try requestEndpoint()
        _ = try soupEndpoint()
        guard startAt.map({ WallTime(rfc3339: $0) != nil }) ?? true else {
            throw ValidationError(
                "--start-at '\(startAt ?? "")': not a time in RFC 3339 and UTC, such as 2026-01-02T14:30:00Z")
        }
        let isFit = session.map {
            (1...10).contains($0.utf8.count) && $0.utf8.allSatisfy { (33...126).contains($0) }
        }
        guard isFit ?? true else {
            throw ValidationError("--session '\(session ?? "")': one to ten ASCII characters without spaces")
        }
    }

    /// Each protocol carries its own messages.
    private func validateTargets() throws {
        for (option, addresses, content) in packets where !addresses.isEmpty && content != dialect {
            throw ValidationError(
                content == .itch
                    ? "\(option) carries itch and recordings; use --\(carrier) for --generate \(dialect.rawValue)"
                    : "\(option) is for --generate \(content.rawValue)")
        }
        guard generate != .quotes || packets.allSatisfy({ $0.addresses.isEmpty }) && soup == nil else {
            throw ValidationError("quotes are for --zeromq: the other protocols carry messages of a venue")
        }
        guard dialect == .itch || zeromq.isEmpty && soup == nil && moldRequests == nil else {
            throw ValidationError(
                "--zeromq, --soup and --mold-requests are not for --generate \(dialect.rawValue)")
        }
        _ = try packetTargets()
    }

    private func validateSource() throws {
        guard (file == nil) != (generate == nil) else {
            throw ValidationError(
                file == nil
                    ? "nothing to play: give a FILE, or --generate itch, pitch, deep, mdp3 or quotes"
                    : "give a FILE or --generate, not both")
        }
        if generate != nil, pace != nil || speed != nil {
            throw ValidationError("--pace and --speed are for recordings; for what is generated say --rate")
        }
        if rate != nil, pace != nil || speed != nil {
            throw ValidationError("--rate and the recorded pace (--pace, --speed) exclude each other")
        }
        if file != nil, symbols != nil || directoryEvery != nil {
            throw ValidationError("--symbols and --directory-every are for --generate")
        }
        if generate == .quotes, directoryEvery != nil {
            throw ValidationError("--directory-every is not for quotes: they have no directory")
        }
    }

    private func validateNumbers() throws {
        try check(symbols.map { Double($0) }, "--symbols", 1...65_535)
        if generate == .pitch, symbolCount > 9999 {
            throw ValidationError(
                "--symbols \(symbolCount): at most 9999 for pitch, whose symbols have 6 characters")
        }
        try check(rate.map { Double($0) }, "--rate", 1...10_000_000)
        try check(speed, "--speed", 0.000_001...1_000_000)
        try check(count.map { Double($0) }, "--count", 1...1e18)
        try check(seconds, "--seconds", 0...1e9)
        try check(drop, "--drop", 0...1)
        try check(catchUp, "--catch-up", 0...86_400)
        try check(directoryEvery, "--directory-every", 0...86_400)
        guard directoryMessages == 0 || directoryMessages >= 2 * UInt64(symbolCount) else {
            throw ValidationError(
                """
                --directory-every \(directoryEvery ?? 0): \(symbolCount) symbols need at least \
                \(2 * Double(symbolCount) / Double(messageRate)) seconds at \(messageRate) messages a second
                """)
        }
    }

    private func check(_ value: Double?, _ option: String, _ range: ClosedRange<Double>) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError(
            "\(option) \(plain(value)): from \(plain(range.lowerBound)) to \(plain(range.upperBound))")
    }

    /// A whole number without its fraction.
    private func plain(_ value: Double) -> String { Int64(exactly: value).map { "\($0)" } ?? "\(value)" }

    func run() throws {
        do throws(PlayFailure) {
            try PlayServer(self).run()
        } catch {
            Play.say(error.description)
            throw ExitCode(error.exitCode)
        }
    }
}

// MARK: - What the options mean

extension Play {
    var symbolCount: Int { symbols ?? (generate == .quotes ? 100 : 8000) }

    var messageRate: UInt64 { rate ?? 1000 }

    /// In how many messages the directory is repeated; 0: never.
    var directoryMessages: UInt64 { UInt64((directoryEvery ?? 0) * Double(messageRate)) }

    var catchUpTime: Duration {
        .ofSeconds(catchUp ?? (packets.allSatisfy { $0.addresses.isEmpty } ? 60 : 1))
    }

    /// What the messages are; a recording's are ITCH.
    var dialect: SyntheticDialect {
        switch generate {
        case .pitch: .pitch
        case .deep: .deep
        case .mdp3: .mdp3
        case .itch, .quotes, nil: .itch
        }
    }

    /// The options for packets, and what each carries.
    private var packets: [(option: String, addresses: [String], content: SyntheticDialect)] {
        [
            ("--mold", mold, .itch), ("--pitch", pitch, .pitch), ("--iex-tp", iexTp, .deep),
            ("--mdp3", mdp3, .mdp3),
        ]
    }

    /// The option that carries what is generated, without its hyphens.
    var carrier: String { String(packets.first { $0.content == dialect }?.option.dropFirst(2) ?? "mold") }

    /// Where packets go.
    struct PacketTarget {
        /// Without its hyphens: `mold`.
        let option: String
        let endpoint: IPv4Endpoint
        let interface: String?
        /// As it was given.
        let text: String
    }

    func requestEndpoint() throws -> IPv4Endpoint? {
        try moldRequests.map { text in
            guard let endpoint = IPv4Endpoint(text) else {
                throw ValidationError("--mold-requests '\(text)': ADDRESS:PORT, such as 127.0.0.1:18000")
            }
            return endpoint
        }
    }

    func soupEndpoint() throws -> IPv4Endpoint? {
        try soup.map { text in
            guard let endpoint = IPv4Endpoint(text) ?? IPv4Endpoint("0.0.0.0:\(text)") else {
                throw ValidationError("--soup '\(text)': PORT or ADDRESS:PORT, such as 127.0.0.1:17000")
            }
            return endpoint
        }
    }

    func packetTargets() throws -> [PacketTarget] {
        try packets.flatMap(\.addresses).map { text in
            let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            guard let endpoint = parts.first.flatMap({ IPv4Endpoint($0) }), parts.last?.isEmpty == false
            else {
                throw ValidationError(
                    "--\(carrier) '\(text)': ADDRESS:PORT or ADDRESS:PORT@INTERFACE, such as 239.1.1.1:30001@eth0"
                )
            }
            return PacketTarget(
                option: carrier, endpoint: endpoint, interface: parts.count == 2 ? String(parts[1]) : nil,
                text: text)
        }
    }
}
