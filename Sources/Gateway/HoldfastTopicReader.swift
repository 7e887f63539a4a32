// The frames of another gateway's feed whose topics are numbered each by itself, as those of the sequenced ZeroMQ feed
// that they once were.
import Basics
import FeedProtocols
import Wire

struct HoldfastTopicReader: Sendable {
    /// What the other gateway tells as missing of a topic, in which it has gone past that.
    struct Missing: Sendable {
        /// The feed's own spelling.
        var topic: [UInt8]
        var session: UInt64
        /// The last one that is missing.
        var through: UInt64
    }

    typealias Read = (frame: SequencedFrame, topic: ArraySlice<UInt8>, missing: Missing?)

    /// Topics whose spelling is remembered.
    private static let mostTopics = TopicDemand.limit

    /// The feed's own spelling of the topics that were met.
    private var spellings: [ArraySlice<UInt8>: ArraySlice<UInt8>] = [:]

    init() {}

    /// Whether a frame is of such a feed; `nil`: it does not say, or is none.
    static func isNumberedPerTopic(_ bytes: ArraySlice<UInt8>) -> Bool? {
        guard let frame = try? Frame(parsing: bytes), frame.header.kind != .sync else { return nil }
        return frame.header.flags.contains(.numberedPerTopic)
    }

    /// The frame, and the feed's own spelling of its topic. Control frames are heartbeats, which name the session that the
    /// other gateway is in, 0 for none: a topic may be in an older one still, and so may what is told as missing, which
    /// comes besides.
    /// - Throws: `MalformedInput`; `inconsistent` for feeds that are numbered by channel.
    mutating func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> Read {
        let frame = try HoldfastFraming.frame(bytes)
        let header = frame.header
        guard header.flags.contains(.numberedPerTopic), header.kind != .data || header.sequence > 0 else {
            throw MalformedInput(.inconsistent, offset: frame.topicBytes.count + 3, wanted: 16, found: 0)
        }
        let (kind, topic): (SequencedFrame.Kind, ArraySlice<UInt8>) =
            switch header.kind {
            case .data: (.data, try spelling(frame.topicBytes))
            case .idle: (.idle, try spelling(frame.topicBytes))
            case .heartbeat, .gap, .state, .sync, .batch:
                (.heartbeat(every: .milliseconds(100)), SequencedFrame.heartbeatTopic[...])
            }
        let read = SequencedFrame(
            topic: frame.topicBytes.indices, kind: kind, session: header.kind == .gap ? 0 : header.epoch,
            sequence: header.sequence,
            sourceTime: header.sourceTime ?? WallTime(nanoseconds: 0), payload: frame.body.indices,
            isStale: header.state == .stale,
            // Who is closed is not live in between.
            isRecovering: header.isRecovering || header.state == .closed && header.kind != .data,
            isClosed: HoldfastFraming.isClosed(header))
        return (read, topic, HoldfastTopicReader.missing(of: frame))
    }

    private static func missing(of frame: Frame) -> Missing? {
        guard frame.header.kind == .gap,
            case .gap(let range, _, let name?)? = try? ControlBody(kind: .gap, parsing: frame.body)
        else { return nil }
        return Missing(
            topic: UpstreamName.topic(of: name), session: frame.header.epoch, through: range.last)
    }

    private mutating func spelling(_ topic: ArraySlice<UInt8>) throws(MalformedInput) -> ArraySlice<UInt8> {
        if let known = spellings[topic] { return known }
        guard case .marketData(_, let name?)? = try? Topic(parsing: topic) else {
            throw MalformedInput(.badTopic, offset: 0, wanted: topic.count, found: topic.count)
        }
        let spelled = UpstreamName.topic(of: name)[...]
        if spellings.count < HoldfastTopicReader.mostTopics { spellings[ArraySlice(Array(topic))] = spelled }
        return spelled
    }
}
