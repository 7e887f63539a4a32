// Who reads a stream that is to reach each of its readers whole, as a replay is, and who did not get all of it. A pure
// machine: it knows readers by their connections, hears what each is sent and what of that has not arrived yet, and says
// whom to give up. Patience is counted in looks, of which there is one at a time: while this process was held up nothing
// could be sent, and that is no reader's slowness.
import Basics

/// The readers of one stream.
public struct Readership {
    /// Why a reader did not get all.
    public enum Loss: Hashable, Sendable {
        /// It left, or its connection broke.
        case left
        /// It took nothing for as long as it is waited for.
        case stalled
        /// All arrived where it is, and for as long as that is waited for it did not say that it has read it.
        case unconfirmed
        /// It asked for more than it may.
        case refused(String)
        /// It was not waited for to the end.
        case stopped
    }

    /// A reader that did not get all, as far as is known here.
    public struct Lost: Hashable, Sendable {
        /// `nil`: it is of this host, or not known.
        public var address: String?
        public var loss: Loss
        /// Frames that it was sent.
        public var sent: UInt64
        /// So many of the last of them may not have reached its host, or over a Unix socket itself.
        public var doubtful: UInt64
    }

    /// What the shell has to do, in this order.
    public enum Action: Hashable, Sendable {
        /// Nothing more comes for it: it is to see the end behind what it was sent.
        case finish(Int32)
        case hangUp(Int32)
        /// `stopped` when this is over, whoever is still here.
        case waitAtMost(Duration)
    }

    private enum Phase {
        case running
        /// All has been sent.
        case over
        /// Likewise, and somebody does not want to wait for long.
        case stopping
    }

    private struct Reader {
        var address: String?
        var sent: UInt64 = 0
        /// How many had been sent when nothing was under way to it.
        var arrived: UInt64 = 0
        /// The least that has been under way since it was sent something; `nil`: not looked at since.
        var lowest: Int?
        /// Looks since something arrived.
        var idleLooks = 0
        /// Looks at which nothing was under way any more, behind the end.
        var arrivedLooks = 0
    }

    /// A reader for whom nothing arrives in so many looks is given up.
    public static let looks = 10
    /// So many times as long is one waited for to which all has arrived: it may still be reading what its kernel has, in
    /// which nobody else sees progress.
    static let longer = 10
    /// How long readers are waited for at most when somebody stops it.
    static let whenStopped = Duration.seconds(5)
    /// Readers that did not get all and are remembered by name; more are counted.
    public static let remembered = 100

    private var held: BusSubscriptions
    private var readers: [Int32: Reader] = [:]
    /// Left with all that had been published by then.
    private var leavers: [Lost] = []
    private var phase = Phase.running
    /// How many did not get all, and the first of them.
    public private(set) var lostCount = 0
    public private(set) var lost: [Lost] = []

    public init() {
        var limits = BusSubscriptions.Limits()
        limits.prefixes = 100_000
        limits.bytes = 4 << 20
        self.init(limits: limits)
    }

    init(limits: BusSubscriptions.Limits) { held = BusSubscriptions(limits: limits) }

    private var isOver: Bool { phase != .running }
    /// Nothing more comes, and nobody is waited for.
    public var isDone: Bool { isOver && readers.isEmpty }
    /// Who is here, in no order.
    public var present: [Int32] { Array(readers.keys) }

    // MARK: - Events

    /// Whoever comes when the stream is over gets nothing, and is no reader.
    public mutating func subscribed(
        to prefix: [UInt8], by reader: Int32, from address: String?
    ) -> [Action] {
        guard !isOver else { return [] }
        let known = readers[reader] ?? Reader(address: address)
        readers[reader] = known
        guard let refusal = held.subscribe(prefix, by: reader) else { return [] }
        return giveUp(reader, .refused("\(refusal)"))
    }

    public mutating func cancelled(_ prefix: [UInt8], by reader: Int32) { held.cancel(prefix, by: reader) }

    /// A frame is to be sent to each of these.
    public mutating func published(_ topic: [UInt8]) -> [Int32] {
        for leaver in leavers { note(leaver) }
        leavers = []
        return held.receivers(of: topic)
    }

    /// A reader was sent a frame.
    public mutating func sent(to reader: Int32) {
        readers[reader]?.sent += 1
        readers[reader]?.lowest = nil
        readers[reader]?.idleLooks = 0
    }

    /// So many bytes are under way to a reader, in whatever measure.
    public mutating func looked(at reader: Int32, waiting: Int) -> [Action] {
        guard var known = readers[reader] else { return [] }
        if waiting == 0 { known.arrived = known.sent }
        let hasMoved = known.lowest.map { waiting < $0 } ?? true
        known.lowest = min(known.lowest ?? waiting, waiting)
        // Who has everything has nothing to take, and when the stream is over it is to say so.
        known.idleLooks = hasMoved || waiting == 0 ? 0 : known.idleLooks + 1
        known.arrivedLooks = waiting == 0 && isOver ? known.arrivedLooks + 1 : 0
        readers[reader] = known
        if known.arrivedLooks >= Readership.looks * Readership.longer { return giveUp(reader, .unconfirmed) }
        return known.idleLooks < Readership.looks ? [] : giveUp(reader, .stalled)
    }

    /// A connection is gone; one that has taken back all that it asked for misses nothing.
    ///
    /// - Parameter hasReadAll: it ended it, having read all that it was sent.
    public mutating func departed(_ reader: Int32, hasReadAll: Bool) {
        let wantsMore = held.holds(reader)
        held.departed(reader)
        guard let gone = readers.removeValue(forKey: reader), wantsMore else { return }
        guard hasReadAll else { return note(gone, .left) }
        // It lost nothing if nothing comes after it.
        if !isOver { leavers.append(Readership.lost(gone, .left, doubtful: 0)) }
        if leavers.count > Readership.remembered { note(leavers.removeFirst()) }
    }

    /// All has been sent.
    public mutating func ended() -> [Action] {
        phase = .over
        leavers = []
        for reader in readers.keys {
            readers[reader]?.lowest = nil
            readers[reader]?.idleLooks = 0
        }
        return readers.keys.sorted().map { .finish($0) }
    }

    /// Somebody stops it: it ends with what was sent, and who is here is waited for, not long; the second time not at
    /// all.
    public mutating func interrupted() -> [Action] {
        guard phase != .stopping else {
            stopped()
            return []
        }
        let actions = isOver ? [] : ended()
        phase = .stopping
        return actions + [.waitAtMost(Readership.whenStopped)]
    }

    /// Nobody is waited for any more.
    public mutating func stopped() {
        for reader in readers.keys.sorted() { _ = giveUp(reader, .stopped) }
    }

    // MARK: - Steps

    private mutating func giveUp(_ reader: Int32, _ loss: Loss) -> [Action] {
        held.departed(reader)
        if let gone = readers.removeValue(forKey: reader) { note(gone, loss) }
        return [.hangUp(reader)]
    }

    private mutating func note(_ reader: Reader, _ loss: Loss) {
        note(Readership.lost(reader, loss, doubtful: reader.sent - reader.arrived))
    }

    private mutating func note(_ one: Lost) {
        lostCount += 1
        if lost.count < Readership.remembered { lost.append(one) }
    }

    private static func lost(_ reader: Reader, _ loss: Loss, doubtful: UInt64) -> Lost {
        Lost(address: reader.address, loss: loss, sent: reader.sent, doubtful: doubtful)
    }
}

extension Readership.Lost: CustomStringConvertible {
    private var what: String {
        switch (sent, doubtful) {
        case (0, _): "it was sent no frame"
        case (_, 0):
            "it was sent \(sent) frames, all of which arrived at its host; how many it has read is not seen here"
        default:
            "it was sent \(sent) frames, of which the last \(doubtful) may not have arrived at its host; how many of the others it has read is not seen here"
        }
    }

    /// For a person.
    public var description: String {
        let who = address.map { "the subscriber at \($0)" } ?? "a subscriber of this host"
        switch loss {
        case .left: return "\(who) left before the end: \(what)"
        case .stalled: return "\(who) took nothing for as long as --patience says and was given up: \(what)"
        case .unconfirmed:
            return
                "\(who) did not end its connection for \(Readership.longer) times as long as --patience says and was given up: \(what)"
        case .refused(let why): return "\(who) was refused: \(why)"
        case .stopped: return "\(who) had not taken all when it was stopped: \(what)"
        }
    }
}
