// Topics as small numbers: each topic that is met gets the next handle, so that everything that is known of
// topics lies in arrays.

/// A bounded dictionary from topics to handles, 0, 1, 2 …; handles are never given up.
public struct TopicIndex: ~Copyable, Sendable {
    /// Longest topic, in bytes.
    public static let longest = 255
    /// Topics that a feed may have had since it began. More than clients may hold at a time of one that is subscribed
    /// by topic (`SubscriptionTable.Limits.topics`), or some would be granted what never comes.
    public static let mostOfFeed = 1 << 18

    private var topics = PackedBytes()
    private var buckets = HandleBuckets()
    public let capacity: Int
    /// How often a topic was refused because there were too many, or it was too long.
    public private(set) var refused: UInt64 = 0

    public init(capacity: Int) { self.capacity = capacity }

    public var count: Int { topics.count }

    /// The bytes that a handle stands for.
    public subscript(handle: Int) -> ArraySlice<UInt8> { topics[handle] }

    /// The handle of a topic that is known; `nil`: it is not.
    public func find(_ topic: ArraySlice<UInt8>) -> Int? { find(topic, topics.hash(topic)) }

    /// Likewise, of a topic that is borrowed.
    public func find(_ topic: Span<UInt8>) -> Int? {
        buckets.find(topics.hash(topic)) { topics.isEqual($0, to: topic) }
    }

    /// The handle of a topic, a new one if need be; `nil`: there are too many, or it is too long, counted.
    public mutating func intern(_ topic: ArraySlice<UInt8>) -> Int? {
        let hash = topics.hash(topic)
        if let handle = find(topic, hash) { return handle }
        guard topics.count < capacity, topic.count <= TopicIndex.longest else {
            refused += 1
            return nil
        }
        let handle = topics.count
        topics.append(topic)
        buckets.insert(handle, hash) { topics.hash(topics[$0]) }
        return handle
    }

    private func find(_ topic: ArraySlice<UInt8>, _ hash: Int) -> Int? {
        buckets.find(hash) { topics.isEqual($0, to: topic) }
    }
}
