// The last value of each topic of a channel, for clients that join late: only of messages that say all there is to know
// of their topic. Topics are handles of a `TopicIndex`. A value keeps its topic's buffer, so that the next one costs a
// copy and no allocation. What may be outdated is not kept: a gap takes away what it may have changed.
public import Wire

/// The last values of one channel, or of one feed whose topics are numbered each by itself.
public struct LastValues: ~Copyable {
    public struct Limits: Hashable, Sendable {
        /// Handles at or above it have no value.
        public var topics = 200_000
        /// All bodies together, as much as is reserved for them.
        public var bytes = 64 << 20

        public init() {}
    }

    /// A topic's last value.
    public struct Value: Hashable, Sendable {
        /// As it was published.
        public var header: FrameHeader
        public var body: [UInt8]
    }

    private struct Slot {
        var header: FrameHeader
        /// Kept when the value goes, for the next one.
        var body: [UInt8] = []
        /// 0: no value.
        var generation: UInt64 = 0
    }

    public let limits: Limits
    /// Values for which there was no room.
    public private(set) var refused: UInt64 = 0
    /// What is reserved for bodies, in bytes.
    public private(set) var bytes = 0
    /// What is reserved in all, in bytes.
    public var memory: Int { bytes + slots.capacity * MemoryLayout<Slot>.stride }
    private var slots: [Slot] = []
    private var generation: UInt64 = 1
    /// Values of this generation.
    public private(set) var count = 0
    /// Buffers of earlier generations may be reserved still.
    private var mayHaveLeftovers = false

    public init(limits: Limits = Limits()) { self.limits = limits }

    /// A message is published that says all there is to know of its topic.
    public mutating func keep(_ topic: Int, _ header: FrameHeader, body: ArraySlice<UInt8>) {
        guard admit(topic, header) else { return refused &+= 1 }
        let reserved = slots[topic].body.capacity
        if body.count > reserved, !makeRoom(for: body.count - reserved) {
            forget(topic)
            return refused &+= 1
        }
        slots[topic].header = header
        slots[topic].body.removeAll(keepingCapacity: true)
        slots[topic].body.append(contentsOf: body)
        if body.count > reserved { bytes += slots[topic].body.capacity - reserved }
        guard slots[topic].generation != generation else { return }
        slots[topic].generation = generation
        count += 1
    }

    /// A topic's value; `nil`: none that is known to be its last.
    public func value(of topic: Int) -> Value? {
        guard slots.indices.contains(topic), slots[topic].generation == generation else { return nil }
        return Value(header: slots[topic].header, body: slots[topic].body)
    }

    /// What was a topic's last value may not be it any more.
    public mutating func forget(_ topic: Int) {
        guard slots.indices.contains(topic), slots[topic].generation == generation else { return }
        slots[topic].generation = 0
        count -= 1
    }

    /// Likewise for all topics: the numbers begin anew, or something of unknown topics was lost.
    public mutating func forgetAll() {
        generation &+= 1
        count = 0
        mayHaveLeftovers = true
    }

    @inline(__always)
    private mutating func admit(_ topic: Int, _ header: FrameHeader) -> Bool {
        topic >= 0 && topic < slots.count ? true : grow(to: topic, header)
    }

    private mutating func grow(to topic: Int, _ header: FrameHeader) -> Bool {
        guard topic >= 0, topic < limits.topics else { return false }
        slots.append(contentsOf: repeatElement(Slot(header: header), count: topic + 1 - slots.count))
        return true
    }

    /// Gives up the buffers of topics that have no value before it refuses.
    private mutating func makeRoom(for more: Int) -> Bool {
        if bytes + more <= limits.bytes { return true }
        guard mayHaveLeftovers else { return false }
        mayHaveLeftovers = false
        for topic in slots.indices where slots[topic].generation != generation {
            bytes -= slots[topic].body.capacity
            slots[topic].body = []
        }
        return bytes + more <= limits.bytes
    }
}
