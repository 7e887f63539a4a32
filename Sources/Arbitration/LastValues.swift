// The last value of each topic of a channel, for clients that join late: only of messages that say all there is to know
// of their topic. Topics are handles of a `TopicIndex`. A value that is as long as the one before lies where that lay, so
// that the next one costs a copy. What may be outdated is not kept: a gap takes away what it may have changed.
import Basics
public import Wire

/// The last values of one channel, or of one feed whose topics are numbered each by itself.
public struct LastValues: ~Copyable {
    public struct Limits: Hashable, Sendable {
        /// Handles at or above it have no value.
        public var topics = TopicIndex.mostOfFeed
        /// All bodies together, as much as is taken for them.
        public var bytes = 64 << 20

        public init() {}
    }

    /// A topic's last value.
    public struct Value: Hashable, Sendable {
        /// As it was published, but for the feed and the run, which are whose who sends it.
        public var header: FrameHeader
        public var body: [UInt8]
    }

    /// What one message has of its own. 56 bytes.
    fileprivate struct Slot {
        var epoch: UInt64 = 0
        var sequence: UInt64 = 0
        var previous: UInt64 = 0
        /// 0: the venue did not say.
        var sourceTime: Int64 = 0
        var receiveTime: Int64 = 0
        var body = BlockChains.Chain()
        /// 0: no value.
        var generation: UInt32 = 0
        var flags: FrameFlags = []
        var path = Slot.nobody
        var state = ChannelState.live

        static let nobody: UInt8 = .max
    }

    public let limits: Limits
    /// Values for which there was no room.
    public private(set) var refused: UInt64 = 0
    /// Of all data frames here.
    private let channel: UInt16
    private var slots: [Slot] = []
    private var bodies: BlockChains
    private var generation: UInt32 = 1
    /// Values of this generation.
    public private(set) var count = 0
    /// Bodies of earlier generations may be there still.
    private var mayHaveLeftovers = false

    public init(channel: UInt16 = 0, limits: Limits = Limits()) {
        self.channel = channel
        self.limits = limits
        bodies = BlockChains(bytes: limits.bytes)
    }

    /// What bodies take, in bytes.
    public var bytes: Int { bodies.bytes }
    /// What is reserved in all, in bytes.
    public var memory: Int { bodies.memory + slots.capacity * MemoryLayout<Slot>.stride }

    /// A message is published that says all there is to know of its topic.
    ///
    /// - Parameter header: of a data frame of the channel.
    public mutating func keep(_ topic: Int, _ header: FrameHeader, body: Span<UInt8>) {
        guard admit(topic), makeRoom(for: body.count, of: topic) else {
            forget(topic)
            return refused &+= 1
        }
        bodies.put(body, in: &slots[topic].body)
        slots[topic].take(header)
        guard slots[topic].generation != generation else { return }
        slots[topic].generation = generation
        count += 1
    }

    /// A topic's value; `nil`: none that is known to be its last.
    public func value(of topic: Int) -> Value? {
        guard hasValue(topic) else { return nil }
        return Value(header: slots[topic].header(channel), body: bodies.body(of: slots[topic].body))
    }

    /// What was a topic's last value may not be it any more.
    public mutating func forget(_ topic: Int) {
        guard hasValue(topic) else { return }
        slots[topic].generation = 0
        bodies.clear(&slots[topic].body)
        count -= 1
    }

    /// Likewise for all topics: the numbers begin anew, or something of unknown topics was lost.
    public mutating func forgetAll() {
        count = 0
        mayHaveLeftovers = true
        generation &+= 1
        guard generation == 0 else { return }
        for topic in slots.indices { slots[topic].generation = 0 }
        generation = 1
    }

    private func hasValue(_ topic: Int) -> Bool {
        slots.indices.contains(topic) && slots[topic].generation == generation
    }

    @inline(__always)
    private mutating func admit(_ topic: Int) -> Bool {
        topic >= 0 && topic < slots.count ? true : grow(to: topic)
    }

    private mutating func grow(to topic: Int) -> Bool {
        guard topic >= 0, topic < limits.topics else { return false }
        slots.append(contentsOf: repeatElement(Slot(), count: topic + 1 - slots.count))
        return true
    }

    @inline(__always)
    private mutating func makeRoom(for length: Int, of topic: Int) -> Bool {
        bodies.hasRoom(for: length, in: slots[topic].body) || clearLeftovers(for: length, of: topic)
    }

    /// Gives up the bodies of topics that have no value before it refuses.
    private mutating func clearLeftovers(for length: Int, of topic: Int) -> Bool {
        guard mayHaveLeftovers else { return false }
        mayHaveLeftovers = false
        for topic in slots.indices where slots[topic].generation != generation {
            bodies.clear(&slots[topic].body)
        }
        return bodies.hasRoom(for: length, in: slots[topic].body)
    }
}

extension LastValues.Slot {
    @inline(__always)
    fileprivate mutating func take(_ header: FrameHeader) {
        epoch = header.epoch
        sequence = header.sequence
        previous = header.previous
        sourceTime = header.sourceTime?.nanoseconds ?? 0
        receiveTime = header.receiveTime.nanoseconds
        flags = header.flags
        path = header.path ?? LastValues.Slot.nobody
        state = header.state
    }

    fileprivate func header(_ channel: UInt16) -> FrameHeader {
        FrameHeader(
            kind: .data, flags: flags, feed: 0, channel: channel, epoch: epoch, sequence: sequence,
            previous: previous, path: path == LastValues.Slot.nobody ? nil : path, state: state,
            sourceTime: sourceTime == 0 ? nil : WallTime(nanoseconds: sourceTime),
            receiveTime: WallTime(nanoseconds: receiveTime))
    }
}
