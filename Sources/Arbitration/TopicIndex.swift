// Topics as small numbers: each topic that is met gets the next handle, so that everything that is known of
// topics lies in arrays.

/// A topic as a key, which is hashed in one go and not byte by byte.
private struct TopicKey: Hashable {
    let bytes: ArraySlice<UInt8>

    func hash(into hasher: inout Hasher) {
        unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    }
}

/// A bounded dictionary from topics to handles, 0, 1, 2 …; handles are never given up.
public struct TopicIndex: ~Copyable, Sendable {
    private var handles: [TopicKey: Int] = [:]
    private var topics: [ArraySlice<UInt8>] = []
    public let capacity: Int
    /// How often a topic was refused because there were too many.
    public private(set) var refused: UInt64 = 0

    public init(capacity: Int) { self.capacity = capacity }

    public var count: Int { topics.count }

    /// The bytes that a handle stands for.
    public subscript(handle: Int) -> ArraySlice<UInt8> { topics[handle] }

    /// The handle of a topic that is known; `nil`: it is not.
    public func find(_ topic: ArraySlice<UInt8>) -> Int? { handles[TopicKey(bytes: topic)] }

    /// The handle of a topic, a new one if need be; `nil`: there are too many, counted.
    public mutating func intern(_ topic: ArraySlice<UInt8>) -> Int? {
        if let handle = handles[TopicKey(bytes: topic)] { return handle }
        guard topics.count < capacity else {
            refused += 1
            return nil
        }
        // A copy: a slice would keep the whole buffer that it was read into.
        let own = ArraySlice(Array(topic))
        topics.append(own)
        handles[TopicKey(bytes: own)] = topics.count - 1
        return topics.count - 1
    }
}
