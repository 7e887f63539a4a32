// Writes one feed's frames, all through one buffer that is used again and again, and gathers for the journal what came
// together.
import Arbitration
import Basics
import FeedJournal
import Wire

final class FramePublisher {
    /// The feed's index in the configuration.
    var feed: UInt16
    let run: UInt32
    private let sink: any FrameSink
    private let journal: (any FrameJournal)?
    /// Nobody is called while it is opened, so that no access overlaps another one: the check for that would be made for
    /// each message.
    @exclusivity(unchecked) private var buffer: [UInt8] = []
    /// Frames of a channel that the journal has not been given yet. As `buffer` is: the check would cost as much as the
    /// copy.
    @exclusivity(unchecked) private var released = FrameBatch()
    private var channel: UInt16 = 0
    /// What comes together is given to the journal together.
    private var isGathering = false

    init(_ plan: EnginePlan) {
        journal = plan.journal
        feed = plan.index
        run = plan.run
        sink = plan.sink
        unsafe buffer.reserveCapacity(2048)
    }

    /// Everything that is released is journalled, so that also frames are made which nobody takes.
    var isJournalled: Bool { journal != nil }

    /// Sends a frame, and journals data, gaps and states; the header's feed and run are filled in.
    ///
    /// - Parameters:
    ///   - route: what this returned for the topic before.
    ///   - isWanted: whether somebody takes it.
    ///   - beginsEpoch: a heartbeat that is journalled, too.
    /// - Returns: what to give with the topic's next frame.
    @discardableResult
    func publish(
        _ header: FrameHeader, topic: Span<UInt8>, body: Span<UInt8> = Span(),
        by route: TopicRoute = TopicRoute(), isWanted: Bool = true, beginsEpoch: Bool = false
    ) -> TopicRoute {
        var header = header
        header.feed = feed
        header.run = run
        // Taken out meanwhile, so that nobody else holds it.
        var frame: [UInt8] = []
        unsafe swap(&frame, &buffer)
        defer { unsafe swap(&frame, &buffer) }
        frame.removeAll(keepingCapacity: true)
        header.encode(topic: topic, body: body, into: &frame)
        let next = isWanted ? sink.publish(frame, topicLength: topic.count, by: route) : route
        guard journal != nil else { return next }
        switch header.kind {
        case .data, .gap, .state: keep(frame, topicLength: topic.count, header)
        case .heartbeat: if beginsEpoch { keep(frame, topicLength: topic.count, header) }
        case .idle, .batch, .sync: break
        }
        return next
    }

    // MARK: - The journal

    /// From here to `endGathering` the journal is not called for each frame.
    func beginGathering() { isGathering = journal != nil }

    func endGathering() {
        guard isGathering else { return }
        isGathering = false
        handOver()
    }

    private func keep(_ frame: [UInt8], topicLength: Int, _ header: FrameHeader) {
        if header.channel != channel {
            handOver()
            channel = header.channel
        }
        guard frame.count <= RecordHead.mostBytes else {
            handOver()
            journal?.leaveOut(frame, topicLength: topicLength, channel: channel)
            return
        }
        unsafe released.append(frame, topicLength: topicLength, header)
        if unsafe !isGathering || released.isFull { handOver() }
    }

    private func handOver() {
        guard let journal, unsafe !released.isEmpty else { return }
        // Taken out meanwhile, so that nobody else holds it.
        var frames = FrameBatch()
        unsafe swap(&frames, &released)
        journal.append(&frames, channel: channel)
        if unsafe released.isEmpty { unsafe swap(&frames, &released) }
    }

    /// Shows a client where something stands: nobody else needs the frame, and the journal has what it says.
    ///
    /// - Parameter connection: `nil`: all who hold the topic are shown it.
    func show(
        _ header: FrameHeader, topic: Span<UInt8>, body: [UInt8] = [], to connection: Int32?
    ) {
        if let connection {
            sink.send(frame(header, topic: topic, body: body), to: connection)
        } else {
            publish(header, topic: topic, body: body.span)
        }
    }

    /// A frame for one client alone.
    func frame(_ header: FrameHeader, topic: Span<UInt8>, body: [UInt8]) -> [UInt8] {
        var header = header
        header.feed = feed
        header.run = run
        var frame: [UInt8] = []
        frame.reserveCapacity(topic.count + 1 + FrameHeader.size + body.count)
        header.encode(topic: topic, body: body.span, into: &frame)
        return frame
    }

    /// A message of the venue's directory, for a gateway that starts anew.
    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, channel: UInt16, epoch: UInt64) {
        handOver()
        journal?.directory(unit, of: instrument, channel: channel, epoch: epoch)
    }
}
