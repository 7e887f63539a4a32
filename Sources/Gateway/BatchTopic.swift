// The batch topic of one channel: consecutive messages in as few frames as the sources' bursts allow. Nothing waits
// for a batch to become full: it goes out when the burst ends, and before anything on the channel's control topic.
import Arbitration
import Basics
import Wire

final class BatchTopic {
    /// A batch goes out before it is longer than this, in bytes.
    static let longest = 60_000

    /// Somebody takes it.
    private(set) var isWanted = false
    private let topic: [UInt8]
    private let publisher: FramePublisher
    private var body = BatchBody(capacity: BatchTopic.longest + 4096)
    /// Of the batch as it stands: its last message's, but for the times, which are the first's.
    private var header: FrameHeader?
    /// The last message that went out or stands in the batch; 0: none of this epoch.
    private var last: UInt64 = 0

    init(feed: String, channel: UInt16, publisher: FramePublisher) {
        topic = Topic.batch(feed: feed, channel: channel).bytes
        self.publisher = publisher
    }

    func want() { isWanted = true }

    /// A message of the channel, in order. `header` is a data frame's, with no `previous`.
    func append(_ message: ArraySlice<UInt8>, _ header: FrameHeader) {
        if let standing = self.header, !standing.goes(with: header) || body.bytes.count > BatchTopic.longest {
            flush()
        }
        guard body.append(message) else {
            // UDP carries none that is longer, and what other sources carry goes out on its own topic.
            flush()
            return last = 0
        }
        if self.header == nil {
            var first = header
            first.kind = .batch
            first.previous = last
            self.header = first
        }
        self.header?.sequence = header.sequence
        self.header?.path = header.path
        last = header.sequence
    }

    /// The numbers begin anew.
    func interrupt() {
        flush()
        last = 0
    }

    /// Sends what there is.
    func flush() {
        guard let header else { return }
        self.header = nil
        let (topic, bytes) = (topic, body.bytes)
        publisher.publish(header, topic: topic.span, body: bytes.span)
        body.removeAll()
    }
}

extension FrameHeader {
    /// Whether a message with this header may stand in a batch behind one with the other.
    fileprivate func goes(with next: FrameHeader) -> Bool {
        sequence &+ 1 == next.sequence && epoch == next.epoch && flags == next.flags && state == next.state
    }
}
