// What a client that joins late asks for: the last value of each topic of a feed whose messages say all there is to know
// of their topic.
import Basics

/// Topics whose last values are wanted.
public struct SnapshotRequest: Hashable, Sendable {
    /// Instruments that one request may name.
    public static let mostInstruments = 5000

    public var feed: String
    /// `nil`: all that the client may read.
    public var instruments: [String]?
    /// Where the reply before left off: its `next`.
    public var after: Place?

    /// A place among a feed's topics.
    public struct Place: Hashable, Sendable {
        public var channel: UInt16
        /// Topics in the order in which they were met.
        public var topic: Int

        public init(channel: UInt16, topic: Int) {
            self.channel = channel
            self.topic = topic
        }

        /// As it stands in requests and replies; clients only hand it back.
        public var text: String { "\(channel):\(topic)" }

        public init?(_ text: String) {
            let words = text.split(separator: ":", omittingEmptySubsequences: false)
            guard words.count == 2, let channel = UInt16(words[0]), let topic = Int(words[1]), topic >= 0
            else { return nil }
            self.init(channel: channel, topic: topic)
        }
    }

    public init(feed: String, instruments: [String]? = nil, after: Place? = nil) {
        self.feed = feed
        self.instruments = instruments
        self.after = after
    }

    var members: [JSON.Member] {
        var members = [JSON.Member("feed", .string(feed))]
        if let instruments {
            members.append(JSON.Member("instruments", .array(instruments.map { .string($0) })))
        }
        if let after { members.append(JSON.Member("after", .string(after.text))) }
        return members
    }

    init(_ fields: Fields, _ json: JSON) throws(WireError) {
        feed = try fields.name("feed")
        if fields.has("instruments") { instruments = try SnapshotRequest.names(fields, json) }
        guard fields.has("after") else { return }
        after = json["after"]?.string.flatMap { Place($0) }
        if after == nil { throw fields.failure("after", "what the reply before called next") }
    }

    private static func names(_ fields: Fields, _ json: JSON) throws(WireError) -> [String] {
        let names = (json["instruments"]?.array ?? []).compactMap { value -> String? in
            guard let name = value.string, (1...Topic.longestName).contains(name.utf8.count) else {
                return nil
            }
            return name
        }
        guard let items = json["instruments"]?.array, items.count == names.count,
            (1...mostInstruments).contains(names.count)
        else {
            throw fields.failure(
                "instruments", "an array of 1 to \(mostInstruments) names of 1 to \(Topic.longestName) bytes")
        }
        return names
    }
}
