// Writes one feed's frames, all through one buffer that is used again and again.
import Basics
import Wire

final class FramePublisher {
    /// The feed's index in the configuration.
    var feed: UInt16
    private unowned let sink: any FrameSink
    private var buffer: [UInt8] = []

    init(feed: UInt16, sink: any FrameSink) {
        self.feed = feed
        self.sink = sink
        buffer.reserveCapacity(2048)
    }

    /// Sends a frame; the header's feed is filled in.
    func publish(_ header: FrameHeader, topic: [UInt8], body: ArraySlice<UInt8> = []) {
        var header = header
        header.feed = feed
        buffer.removeAll(keepingCapacity: true)
        header.encode(topic: topic, body: body, into: &buffer)
        sink.publish(buffer)
    }
}
