// A venue: makes messages at its own pace, numbers them, and hands them to its servers, one for each path. Its
// sessions end and begin, its numbers begin again, it freezes.
import Basics
import Configuration
import FeedProtocols
import Wire

/// What a path's server is told to send.
enum VenueWord {
    case messages([TrueMessage])
    /// Nothing new: where the numbers stand.
    case heartbeat
    case endOfSession
    /// An instrument has nothing new.
    case idle(Int)
}

extension VenueWord {
    /// What a liar makes of it.
    var lied: VenueWord {
        guard case .messages(let messages) = self else { return self }
        return .messages(
            messages.map { message in
                var lie = message
                lie.payload = message.lie
                return lie
            })
    }
}

/// The kinds of venue there are.
enum VenueKind: CaseIterable {
    case itch, iex, pitch, mdp3, sequenced
    /// The messages of ITCH over SoupBinTCP, on some paths perhaps by MoldUDP64.
    case soup
    /// Gateways of a venue of IEX-TP, which stand in between.
    case chain
    /// Likewise, of a venue of sequenced ZeroMQ, so that topics are numbered each by itself.
    case relayed

    /// Those that are drawn; chains become relayed ones by draws of their own.
    static let allCases: [VenueKind] = [.itch, .iex, .pitch, .mdp3, .sequenced, .soup, .chain]

    var feedProtocol: FeedOptions.FeedProtocol {
        switch self {
        case .itch: .moldUDP64
        case .soup: .soupBinTCP
        case .iex: .iexTP
        case .pitch: .pitch
        case .mdp3: .mdp3
        case .sequenced: .zeromq
        case .chain, .relayed: .holdfast
        }
    }

    var name: String {
        switch self {
        case .itch: "itch"
        case .soup: "soup"
        case .iex: "iex"
        case .pitch: "pitch"
        case .mdp3: "mdp"
        case .sequenced: "quotes"
        case .chain: "chain"
        case .relayed: "relayed"
        }
    }

    /// Whether its messages are those of ITCH 5.0, with a directory.
    var speaksITCH: Bool {
        switch self {
        case .itch, .soup: true
        case .iex, .pitch, .mdp3, .sequenced, .chain, .relayed: false
        }
    }

    /// Whether gateways stand between it and the gateway that is tried.
    var hasGateways: Bool {
        switch self {
        case .chain, .relayed: true
        case .itch, .soup, .iex, .pitch, .mdp3, .sequenced: false
        }
    }

    /// Whether its paths are always joined, so that one is as good as another at any time.
    var isHotHot: Bool {
        switch self {
        case .chain, .relayed, .soup: true
        case .itch, .iex, .pitch, .mdp3, .sequenced: false
        }
    }
}

final class Venue {
    /// 2026-01-02T12:00:00Z: the wall clock when a simulation begins.
    static let noon: Int64 = 1_767_355_200_000_000_000
    private static let noonInDay: UInt64 = 43_200_000_000_000

    let name: String
    let kind: VenueKind
    let start: Instant
    /// By name; the first one is that of the messages for no instrument, where the protocol has such.
    let instruments: [String]
    private(set) var generations: [Generation] = []
    var isFrozen = false
    private(set) var hasEnded = false
    /// When it last said anything.
    private(set) var spokeAt: Instant
    private(set) var sent: UInt64 = 0
    private var sessions = 0
    private var idleSince: [Instant]

    init(_ name: String, _ kind: VenueKind, instruments count: Int, at now: Instant) {
        self.name = name
        self.kind = kind
        start = now
        spokeAt = now
        // Those of MDP 3.0 are security ids.
        instruments = (0..<count).map { kind == .mdp3 ? "\(1000 + $0)" : "S\($0)" }
        idleSince = Array(repeating: now, count: count)
        begin()
    }

    var isNumberedPerTopic: Bool {
        switch kind {
        case .sequenced, .relayed: true
        case .itch, .soup, .iex, .pitch, .mdp3, .chain: false
        }
    }
    /// Whether the first instrument stands for the messages that concern none.
    var hasUnnamed: Bool {
        switch kind {
        case .itch, .soup, .pitch, .mdp3: true
        case .iex, .sequenced, .chain, .relayed: false
        }
    }
    /// Whether its messages or packets say when they were sent; else nobody can tell how old they are.
    var tellsTime: Bool {
        switch kind {
        case .itch, .soup, .iex, .mdp3, .sequenced, .chain, .relayed: true
        case .pitch: false
        }
    }
    /// Whether packets name their session, so that another one can begin.
    var namesSessions: Bool {
        switch kind {
        case .itch, .soup, .iex, .sequenced, .chain, .relayed: true
        case .pitch, .mdp3: false
        }
    }
    var current: Generation { generations[generations.count - 1] }

    func wall(_ now: Instant) -> WallTime { WallTime(nanoseconds: Venue.noon) + (now - start) }

    // MARK: - Sessions

    private func begin() {
        sessions += 1
        let text = "\(name.uppercased())\(sessions)"
        let epoch: UInt64 =
            switch kind {
            case .itch, .soup: FrameHeader.epoch(ofSession: text.utf8)
            case .iex, .sequenced, .chain, .relayed: UInt64(sessions)
            // The date on which the numbers began: the day, and the Sunday of the week.
            case .pitch: 20_260_102_000_000
            case .mdp3: 20_251_228_000_000
            }
        generations.append(
            Generation(
                session: text, epoch: epoch, isReset: false, instruments: instruments.count,
                numberedPerTopic: isNumberedPerTopic))
        hasEnded = false
    }

    /// No message comes until the next session.
    func endSession() { hasEnded = true }

    func beginSession() { begin() }

    /// The numbers begin again. Where packets name a session nothing says so; else the first message does.
    func resetSequence() {
        let old = current
        generations.append(
            Generation(
                session: old.session, epoch: old.sessionEpoch, isReset: true, instruments: instruments.count,
                numberedPerTopic: isNumberedPerTopic))
    }

    // MARK: - Messages

    /// The directory, as it is repeated from time to time; of protocols that have one.
    func directory(at now: Instant) -> [TrueMessage] {
        guard kind.speaksITCH else { return [] }
        return instruments.indices.dropFirst().map { index in
            make(index, at: now) { .stockDirectory(symbol: ITCHSymbol(instruments[$0])) }
        }
    }

    /// An instrument that something happens to. Where gateways number topics, one has little news: they leave it in a
    /// session that others have long left.
    func instrument(by random: inout SeededRandom) -> Int {
        let drawn = random.below(instruments.count)
        guard kind == .relayed, drawn == instruments.count - 1, !random.chance(0.02) else { return drawn }
        return 0
    }

    func message(of instrument: Int, at now: Instant) -> TrueMessage {
        make(instrument, at: now) { _ in .orderDelete(reference: sent) }
    }

    /// The word that all begins anew, of a venue whose packets name no session.
    func resetMessage(at now: Instant) -> TrueMessage? {
        switch kind {
        case .itch, .soup, .iex, .sequenced, .chain, .relayed: return nil
        case .pitch: return current.append(0, at: now, [6, PITCHPacket.unitClear, 0, 0, 0, 0])
        case .mdp3:
            var writer = ByteWriter(capacity: 20)
            security(MDP3Header.channelReset, into: &writer) { _ in }
            return current.append(0, at: now, writer.bytes)
        }
    }

    /// A message of PITCH with its length, type and time offset, and a number that makes it another one.
    private func pitch(_ type: UInt8, _ symbol: String, into writer: inout ByteWriter) {
        var body = ByteWriter(capacity: 32)
        body.littleEndian(UInt32(0))
        if !symbol.isEmpty { body.padded(symbol, to: 8) }
        body.littleEndian(sent)
        writer.littleEndian(UInt8(2 + body.bytes.count))
        writer.littleEndian(type)
        writer.append(body.bytes)
    }

    /// A message of MDP 3.0 with its size and SBE header, and likewise.
    private func security(
        _ template: UInt16, into writer: inout ByteWriter, _ root: (inout ByteWriter) -> Void
    ) {
        var block = ByteWriter(capacity: 40)
        root(&block)
        block.littleEndian(sent)
        let length = UInt16(block.bytes.count)
        for number in [10 + length, length, template, 1, 9] { writer.littleEndian(number) }
        writer.append(block.bytes)
    }

    private func make(_ instrument: Int, at now: Instant, _ body: (Int) -> ITCH50Body) -> TrueMessage {
        sent += 1
        spokeAt = now
        idleSince[instrument] = now
        var writer = ByteWriter(capacity: 40)
        switch kind {
        case .itch, .soup:
            let time = Venue.noonInDay &+ UInt64(bitPattern: (now - start).nanoseconds)
            // Locate 0 is that of messages for no instrument.
            body(instrument).write(
                ITCH50Stamp(
                    locate: UInt16(instrument), trackingNumber: UInt16(truncatingIfNeeded: sent),
                    timestamp: time), into: &writer)
        case .iex, .chain:
            // A trade break: type, flags, time, symbol, size, price, trade.
            writer.append([UInt8(ascii: "B"), 0])
            writer.littleEndian(wall(now).nanoseconds)
            writer.padded(instruments[instrument], to: 8)
            writer.littleEndian(UInt32(100))
            writer.littleEndian(UInt64(generations.count))
            writer.littleEndian(sent)
        case .pitch:
            // A trading status, or a message that concerns no instrument.
            let isNone = instrument == 0
            pitch(isNone ? 0x99 : 0x31, isNone ? "" : instruments[instrument], into: &writer)
        case .mdp3 where instrument == 0: security(MDP3Header.heartbeat, into: &writer) { _ in }
        case .mdp3:
            // A security status.
            security(30, into: &writer) {
                $0.littleEndian(wall(now).nanoseconds)
                $0.padded("", to: 12)
                $0.littleEndian(Int32(1000 + instrument))
                $0.append([0, 0, 17, 0, 0, 0x80])
            }
        case .sequenced, .relayed:
            writer.littleEndian(UInt32(generations.count))
            writer.littleEndian(sent)
        }
        return current.append(instrument, at: now, writer.bytes)
    }

    /// Instruments that have been quiet for a second, each once in that time.
    func idle(at now: Instant) -> [Int] {
        let quiet = instruments.indices.filter {
            now - idleSince[$0] >= .seconds(1) && current.last(of: $0) > 0
        }
        for instrument in quiet { idleSince[instrument] = now }
        return quiet
    }

    func speaks(at now: Instant) { spokeAt = now }
}
