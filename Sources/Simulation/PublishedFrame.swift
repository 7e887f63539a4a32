// A frame as it left the gateway, taken apart once for everybody who looks at it.
import Basics
import Wire

struct PublishedFrame {
    let feed: Int
    let at: Instant
    let topicText: String
    let topic: Topic
    let header: FrameHeader
    let body: ArraySlice<UInt8>
    /// What a control frame says.
    let told: ControlBody?
    /// Which stint of its epoch's it belongs to.
    var stint = 0

    /// `nil`: it is no frame of version 1.
    init?(_ bytes: [UInt8], of feed: Int, at now: Instant) {
        guard let frame = try? Frame(parsing: bytes), let topic = try? frame.topic() else { return nil }
        self.feed = feed
        at = now
        self.topic = topic
        topicText = topic.text
        header = frame.header
        body = frame.body
        switch header.kind {
        case .data, .idle, .sync, .batch: told = nil
        case .heartbeat, .gap, .state:
            guard let body = try? ControlBody(kind: header.kind, parsing: frame.body) else { return nil }
            told = body
        }
    }

    /// The instrument that the frame is about, as the wire names it; `nil`: none, or the channel.
    var instrument: String? {
        if case .gap(_, _, let instrument) = told { return instrument }
        if case .marketData(_, let instrument) = topic { return instrument }
        return nil
    }

    /// The data topic of which a gap is; `nil`: it is the channel's.
    var mentioned: String? {
        guard case .gap(_, _, let instrument?) = told, case .control(let feed, _) = topic else { return nil }
        return Topic.marketData(feed: feed, instrument: instrument).text
    }

    /// It shows how far its topic is.
    var carriesOrTells: Bool {
        switch header.kind {
        case .data, .batch, .idle: true
        case .heartbeat, .gap, .state, .sync: false
        }
    }

    /// The sequences of the messages that it carries.
    var sequences: Range<UInt64> {
        let end = header.sequence + 1
        switch header.kind {
        case .data: return header.sequence..<end
        case .batch:
            var reader = ByteReader(body)
            let count = UInt64((try? reader.littleEndian(UInt32.self)) ?? 0)
            return end - min(count, header.sequence)..<end
        case .idle, .heartbeat, .gap, .state, .sync: return end..<end
        }
    }

    /// A frame that says so of itself may be taken for live.
    var isLive: Bool {
        header.state == .live && header.flags.isDisjoint(with: [.recovering, .stale, .late])
    }

    var line: String {
        var text = "\(topicText) \(header.kind) \(header.sequence)"
        switch told {
        case .heartbeat(let published, let gaps, _, let first, _):
            text += ", \(published) published, \(gaps) missing, known from \(first)"
        case .gap(let range, let reason, let instrument):
            text += ", \(range) will not come\(instrument.map { " on \($0)" } ?? ""): \(reason)"
        case .state(let path, let reason): text += ", \(path ?? "-")\(reason.isEmpty ? "" : ": \(reason)")"
        case nil: if header.kind == .data { text += " after \(header.previous)" }
        }
        return text + " [\(header.state)\(header.flags.contains(.late) ? ", late" : "")]"
    }
}
