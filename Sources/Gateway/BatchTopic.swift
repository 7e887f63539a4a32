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
    /// Nobody is called while it is opened, so that no access overlaps another one: the check for that would be made for
    /// each message.
    @exclusivity(unchecked) private var gathered = GatheredBatch()
    /// The last message that went out or stands in the batch; 0: none of this epoch.
    private var last: UInt64 = 0

    init(feed: String, channel: UInt16, publisher: FramePublisher) {
        topic = Topic.batch(feed: feed, channel: channel).bytes
        self.publisher = publisher
    }

    func want() { isWanted = true }

    /// A message of the channel, in order. `header` is a data frame's, with no `previous`.
    func append(_ message: ArraySlice<UInt8>, _ header: FrameHeader) {
        if unsafe gathered.append(message, header, after: last) { return last = header.sequence }
        flush()
        // UDP carries none that is longer than a batch, and what other sources carry goes out on its own topic.
        last = unsafe gathered.append(message, header, after: last) ? header.sequence : 0
    }

    /// The numbers begin anew.
    func interrupt() {
        flush()
        last = 0
    }

    /// Sends what there is.
    func flush() {
        guard let header = unsafe gathered.header else { return }
        let (topic, bytes) = unsafe (topic, gathered.bytes)
        publisher.publish(header, topic: topic.span, body: bytes.span)
        unsafe gathered.removeAll()
    }
}

/// A batch as it stands. A value of its own, so that it is opened once for each message.
private struct GatheredBatch {
    /// Its last message's, but for the times, which are the first's; `nil`: it has none.
    private(set) var header: FrameHeader?
    private var body = BatchBody(capacity: BatchTopic.longest + 4096)

    var bytes: [UInt8] { body.bytes }

    /// `false`: the message may not stand in this batch, or is too long for any.
    ///
    /// - Parameter previous: the message before the batch, if it is the batch's first.
    mutating func append(
        _ message: ArraySlice<UInt8>, _ header: FrameHeader, after previous: UInt64
    ) -> Bool {
        guard let standing = self.header else {
            guard body.append(message) else { return false }
            var first = header
            first.kind = .batch
            first.previous = previous
            self.header = first
            return true
        }
        guard standing.goes(with: header), body.bytes.count <= BatchTopic.longest, body.append(message)
        else { return false }
        self.header?.sequence = header.sequence
        self.header?.path = header.path
        return true
    }

    mutating func removeAll() {
        header = nil
        body.removeAll()
    }
}

extension FrameHeader {
    /// Whether a message with this header may stand in a batch behind one with the other.
    fileprivate func goes(with next: FrameHeader) -> Bool {
        sequence &+ 1 == next.sequence && epoch == next.epoch && flags == next.flags && state == next.state
    }
}
