// Frames of one channel that were released together, as the records which they become: so that the journal is called
// for all that came with one read, and not for each message.
public import Wire

/// Frames that go to a channel's journal at once.
public struct FrameBatch: Sendable {
    /// More wait for no others.
    public static let mostBytes = 1 << 16

    private(set) var records = RecordBatch()
    /// The last one with data; `nil`: none has any.
    private(set) var last: (epoch: UInt64, sequence: UInt64)?

    public init() {}

    public var isEmpty: Bool { records.isEmpty }
    public var count: Int { records.count }
    public var isFull: Bool { records.size >= FrameBatch.mostBytes }

    /// - Parameter topicLength: of the topic with which the frame begins.
    /// - Precondition: the frame is not longer than `RecordHead.mostBytes`.
    public mutating func append(_ frame: [UInt8], topicLength: Int, _ header: FrameHeader) {
        records.append(.frame, frame, topicLength: topicLength)
        if header.kind == .data { last = (header.epoch, header.sequence) }
    }

    /// There are none any more; the storage stays.
    public mutating func removeAll() {
        records.removeAll()
        last = nil
    }

    /// Each frame, in order.
    public func forEach(_ body: (_ frame: Span<UInt8>, _ topicLength: Int) -> Void) {
        records.forEach { _, contents, topicLength in body(contents, topicLength) }
    }
}
