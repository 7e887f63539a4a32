// What `holdfast play` asks of a protocol: packets of consecutive messages of one channel.
public import Basics

/// Collects consecutive messages into packets of a bounded length. Its buffer is used again and again.
public protocol PacketBuilder {
    /// The packet as it stands.
    var bytes: [UInt8] { get }
    var isEmpty: Bool { get }

    /// Starts an empty packet whose first message will be `sequence`, sent at `time`.
    mutating func begin(at sequence: UInt64, time: WallTime)

    /// Adds a message.
    /// - Returns: `false`, and nothing is added, when the packet would become too long: send it and begin the next one.
    mutating func append(_ message: some Collection<UInt8>) -> Bool

    /// A packet without messages that names the sequence to come; `nil`: the protocol numbers those, too.
    func heartbeat(next sequence: UInt64, time: WallTime) -> [UInt8]?

    /// The packet that ends a session, `sequence` being one past its last; `nil`: the protocol has none.
    func endOfSession(next sequence: UInt64) -> [UInt8]?
}

/// The longest packet that is built, in bytes.
private let longest = 1400

extension MoldUDP64PacketBuilder: PacketBuilder {
    public mutating func begin(at sequence: UInt64, time: WallTime) { begin(at: sequence) }

    public func heartbeat(next sequence: UInt64, time: WallTime) -> [UInt8]? {
        MoldUDP64PacketBuilder.heartbeat(session: session, next: sequence)
    }

    public func endOfSession(next sequence: UInt64) -> [UInt8]? {
        MoldUDP64PacketBuilder.endOfSession(session: session, next: sequence)
    }
}

/// PITCH: sequenced units, whose messages bring their own lengths.
public struct PITCHPacketBuilder: PacketBuilder {
    public let unit: UInt8
    public private(set) var bytes: [UInt8] = []
    private var count: UInt8 = 0

    public init(unit: UInt8 = 1) {
        self.unit = unit
        bytes = header(1)
    }

    public var isEmpty: Bool { count == 0 }

    private func header(_ sequence: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: longest)
        writer.littleEndian(UInt16(PITCHHeader.length))
        writer.littleEndian(UInt8(0))
        writer.littleEndian(unit)
        // After the last number comes 1.
        writer.littleEndian(UInt32((max(sequence, 1) - 1) % UInt64(UInt32.max) + 1))
        return writer.bytes
    }

    public mutating func begin(at sequence: UInt64, time: WallTime) {
        bytes = header(sequence)
        count = 0
    }

    public mutating func append(_ message: some Collection<UInt8>) -> Bool {
        guard bytes.count + message.count <= longest, count < .max else { return false }
        bytes.append(contentsOf: message)
        count += 1
        bytes[0] = UInt8(truncatingIfNeeded: bytes.count)
        bytes[1] = UInt8(truncatingIfNeeded: bytes.count >> 8)
        bytes[2] = count
        return true
    }

    public func heartbeat(next sequence: UInt64, time: WallTime) -> [UInt8]? { header(sequence) }

    /// A message, which would have a number.
    public func endOfSession(next sequence: UInt64) -> [UInt8]? { nil }
}

/// IEX-TP: segments of one channel and session.
public struct IEXTPPacketBuilder: PacketBuilder {
    /// What the messages are: DEEP 1.0.
    private static let deep: UInt16 = 0x8004
    private static let channel: UInt32 = 1

    public let session: UInt32
    public private(set) var bytes: [UInt8] = []
    private var count: UInt16 = 0
    /// The bytes of the messages of this builder's earlier packets.
    private var streamOffset: UInt64 = 0

    public init(session: UInt32) {
        self.session = session
        bytes = header(1, WallTime(nanoseconds: 0))
    }

    public var isEmpty: Bool { count == 0 }

    private func header(_ sequence: UInt64, _ time: WallTime) -> [UInt8] {
        var writer = ByteWriter(capacity: longest)
        writer.littleEndian(UInt16(1))
        writer.littleEndian(IEXTPPacketBuilder.deep)
        writer.littleEndian(IEXTPPacketBuilder.channel)
        writer.littleEndian(session)
        writer.littleEndian(UInt32(0))
        writer.littleEndian(streamOffset)
        writer.littleEndian(sequence)
        writer.littleEndian(time.nanoseconds)
        return writer.bytes
    }

    public mutating func begin(at sequence: UInt64, time: WallTime) {
        streamOffset += UInt64(bytes.count - IEXTPHeader.length)
        bytes = header(sequence, time)
        count = 0
    }

    public mutating func append(_ message: some Collection<UInt8>) -> Bool {
        guard bytes.count + 2 + message.count <= longest else { return false }
        set(UInt16(message.count), at: bytes.count)
        bytes.append(contentsOf: message)
        count += 1
        set(UInt16(bytes.count - IEXTPHeader.length), at: 12)
        set(count, at: 14)
        return true
    }

    private mutating func set(_ number: UInt16, at offset: Int) {
        let low = UInt8(truncatingIfNeeded: number)
        let high = UInt8(truncatingIfNeeded: number >> 8)
        guard offset < bytes.count else { return bytes.append(contentsOf: [low, high]) }
        bytes[offset] = low
        bytes[offset + 1] = high
    }

    public func heartbeat(next sequence: UInt64, time: WallTime) -> [UInt8]? { header(sequence, time) }

    public func endOfSession(next sequence: UInt64) -> [UInt8]? { nil }
}

/// MDP 3.0: a packet for each message, because packets are numbered.
public struct MDP3PacketBuilder: PacketBuilder {
    public private(set) var bytes: [UInt8] = []
    public private(set) var isEmpty = true

    public init() {}

    public mutating func begin(at sequence: UInt64, time: WallTime) {
        var writer = ByteWriter(capacity: longest)
        writer.littleEndian(UInt32(truncatingIfNeeded: sequence))
        writer.littleEndian(time.nanoseconds)
        bytes = writer.bytes
        isEmpty = true
    }

    public mutating func append(_ message: some Collection<UInt8>) -> Bool {
        guard isEmpty else { return false }
        bytes.append(contentsOf: message)
        isEmpty = false
        return true
    }

    public func heartbeat(next sequence: UInt64, time: WallTime) -> [UInt8]? { nil }

    public func endOfSession(next sequence: UInt64) -> [UInt8]? { nil }
}
