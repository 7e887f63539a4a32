// What the gateway's engine for numbered channels asks of a protocol, as two values: one that reads packets, and
// one that says which instruments a message concerns. A protocol is its folder and its line in `Catalog.swift`.
public import Basics

/// Reads the packets of a protocol whose channels are numbered, by message or by packet.
public protocol PacketFraming {
    /// Walks over the numbered units of a sound packet.
    associatedtype Units: IteratorProtocol where Units.Element == ArraySlice<UInt8>

    /// The packets do not say which channel they are of: there is one, 0.
    static var hasOneChannel: Bool { get }

    /// They come over a connection, whole and in order: what one of them says needs no other packet's word.
    static var isOverConnection: Bool { get }

    /// - Throws: `MalformedInput`; then nothing of the packet may be used.
    static func read(_ packet: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units>

    /// What asks the venue for messages again; `nil`: it cannot be asked for them.
    static func request(for wanted: WantedMessages) -> [UInt8]?
}

extension PacketFraming {
    public static var isOverConnection: Bool { false }

    /// There are no such requests.
    public static func request(for wanted: WantedMessages) -> [UInt8]? { nil }
}

/// What a session is called whose venue gives it a number: 0 would be none.
public func epoch(ofSession number: some FixedWidthInteger & UnsignedInteger) -> UInt64 {
    number == 0 ? .max : UInt64(number)
}

/// Messages of a channel that a venue is to send again.
public struct WantedMessages: Hashable, Sendable {
    public var channel: UInt16
    /// As its packets name it; `nil`: they do not.
    public var session: MoldSession?
    /// The number of the first one, as the venue counts.
    public var first: UInt64
    public var count: UInt64

    public init(channel: UInt16, session: MoldSession?, first: UInt64, count: UInt64) {
        self.channel = channel
        self.session = session
        self.first = first
        self.count = count
    }
}

/// A packet that was found sound.
public struct FramedPacket<Units> {
    public var header: SequencedHeader
    /// The units that its numbers count, in order: messages, or the one payload of a packet that is numbered whole.
    public var units: Units
    /// The session's name where the protocol's requests must have it.
    public var session: MoldSession?
    /// When the venue sent it; `nil`: the packet does not say.
    public var sentAt: WallTime?
    /// The source itself says that it is no longer fresh: it proves nothing.
    public var isStale = false
    /// The source itself says that it is recovering: what it brings may be old, or have gaps.
    public var isRecovering = false
    /// Whether the source itself says that it is closed, which holds as long as it is said; `nil`: it says nothing of
    /// that. Only of heartbeats.
    public var isClosed: Bool?
    /// The source itself could not name the instrument: another one may know better.
    public var isUnresolved = false
    /// What the source says of its own run; of heartbeats of other gateways.
    public var run: SourceRun?
    /// It carries the venue's word that all begins anew.
    public var resets = false
    /// The source itself has inferred from its numbers that the session began: the venue did not name it.
    public var isInferred = false
    /// Bytes at its end that no message claims: worth counting, harmless.
    public var trailingBytes = 0

    public init(_ header: SequencedHeader, units: Units) {
        self.header = header
        self.units = units
    }
}

/// What another gateway says of the run in which it sends.
public struct SourceRun: Hashable, Sendable {
    /// A later run has another number.
    public var number: UInt32
    /// The sequence with which it knows the epoch; 0: it does not yet.
    public var first: UInt64
    /// The epoch is the venue's name of its session, within which no number begins anew.
    public var isNamed: Bool
}

/// Finds the instruments that a channel's messages concern.
public protocol InstrumentKeys {
    init()

    /// Instruments are named by a directory that the venue sends at the start: who has missed it cannot name them.
    static var needsDirectory: Bool { get }

    /// Says in `route`, which is as `MessageRoute.begin` left it, where a unit goes.
    /// - Throws: `MalformedInput` for a message that is none; it then concerns no instrument.
    mutating func route(_ unit: ArraySlice<UInt8>, into route: inout MessageRoute) throws(MalformedInput)

    /// Whether packets, or messages by themselves, say when the venue made them.
    static var haveTimes: Bool { get }

    /// When the venue made a unit that is not to be routed yet, as far as the unit by itself says so.
    static func time(of unit: ArraySlice<UInt8>) -> MessageRoute.Time

    /// The instruments that it gave numbers to.
    var directory: InstrumentDirectory { get }

    /// Why an entry of a directory that came by another way cannot be of this session: what it says, and what the venue's
    /// messages have said. `nil`: nothing speaks against it.
    func contradiction(of entry: ArraySlice<UInt8>) -> String?

    /// Why what an instrument was named cannot hold: the venue's message calls it otherwise. `nil`: nothing speaks against it.
    func doubt(by unit: ArraySlice<UInt8>) -> String?

    /// The numbering began anew: what the venue bound or opened before no longer holds.
    mutating func restart()
}

extension InstrumentKeys {
    public static func time(of unit: ArraySlice<UInt8>) -> MessageRoute.Time { .unknown }
    public static var haveTimes: Bool { true }
    public func contradiction(of entry: ArraySlice<UInt8>) -> String? { nil }
    public func doubt(by unit: ArraySlice<UInt8>) -> String? { nil }
}

/// Where a message goes. The engine uses one again and again.
public struct MessageRoute {
    /// When the venue made a message.
    public enum Time: Hashable, Sendable {
        /// It does not say.
        case unknown
        /// Nanoseconds since the venue's midnight.
        case ofDay(UInt64)
        case at(WallTime)
    }

    /// What a message means for its channel.
    public enum Meaning: Hashable, Sendable {
        case nothing
        /// A directory's entry: instruments can be named.
        case directory
        /// The last of its session.
        case endOfSession
        /// It says all there is to know of its instrument: whoever joins late needs no other.
        case lastValue
    }

    /// What goes to one more instrument.
    public struct Part {
        public var instrument: Int32
        public var body: ArraySlice<UInt8>

        public init(instrument: Int32, body: ArraySlice<UInt8>) {
            self.instrument = instrument
            self.body = body
        }
    }

    /// Concerns no instrument.
    public static let noInstrument: Int32 = -1

    /// An index in the directory, or `noInstrument`.
    public var instrument = MessageRoute.noInstrument
    /// What is published to it.
    public var body: ArraySlice<UInt8> = []
    /// Bytes at the unit's beginning that the venue did not send.
    public var prefix = 0
    /// Further instruments, each once.
    public var more: [Part] = []
    public var time = Time.unknown
    public var meaning = Meaning.nothing
    /// It concerns an instrument, and nobody knows which: it goes where messages for no instrument do.
    public var isUnresolved = false

    public init() {}

    /// Whole, to no instrument.
    @inline(__always)
    public mutating func begin(_ unit: ArraySlice<UInt8>) {
        instrument = MessageRoute.noInstrument
        body = unit
        prefix = 0
        if !more.isEmpty { more.removeAll(keepingCapacity: true) }
        time = .unknown
        meaning = .nothing
        isUnresolved = false
    }

    /// Keeps nothing of what it was about: a packet's buffer is copied as long as somebody does.
    @inline(__always)
    public mutating func clear() { begin([]) }
}
