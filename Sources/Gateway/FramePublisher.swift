// Writes one feed's frames, all through one buffer that is used again and again.
import Basics
import Wire

final class FramePublisher {
    /// The feed's index in the configuration.
    var feed: UInt16
    private let run: UInt32
    private unowned let sink: any FrameSink
    private var buffer: [UInt8] = []

    init(_ plan: EnginePlan) {
        feed = plan.index
        run = plan.run
        sink = plan.sink
        buffer.reserveCapacity(2048)
    }

    /// Sends a frame; the header's feed and run are filled in.
    func publish(_ header: FrameHeader, topic: [UInt8], body: ArraySlice<UInt8> = []) {
        var header = header
        header.feed = feed
        header.run = run
        buffer.removeAll(keepingCapacity: true)
        header.encode(topic: topic, body: body, into: &buffer)
        sink.publish(buffer)
    }
}
