// What a client asks of a feed's journal when it missed something, and what it is told besides the frames.
public import Basics

/// Sequences that are wanted from a journal.
public struct RepairRequest: Hashable, Sendable {
    public var feed: String
    public var channel: UInt16
    public var epoch: UInt64
    public var range: SequenceRange
    /// Only what was published on this instrument's topic; needed where topics are numbered each by itself.
    public var instrument: String?
    /// Where the reply before left off: its `next`.
    public var after: Place?

    /// A place in a channel's journal.
    public struct Place: Hashable, Sendable {
        public var segment: UInt64
        public var offset: Int
        public var record: UInt64

        public init(segment: UInt64, offset: Int, record: UInt64) {
            self.segment = segment
            self.offset = offset
            self.record = record
        }

        /// As it stands in requests and replies; clients only hand it back.
        public var text: String { "\(segment):\(offset):\(record)" }

        public init?(_ text: String) {
            let words = text.split(separator: ":", omittingEmptySubsequences: false)
            guard words.count == 3, let segment = UInt64(words[0]), let offset = Int(words[1]), offset >= 0,
                let record = UInt64(words[2])
            else { return nil }
            self.init(segment: segment, offset: offset, record: record)
        }
    }

    public init(
        feed: String, channel: UInt16 = 0, epoch: UInt64, range: SequenceRange, instrument: String? = nil,
        after: Place? = nil
    ) {
        self.feed = feed
        self.channel = channel
        self.epoch = epoch
        self.range = range
        self.instrument = instrument
        self.after = after
    }

    var members: [JSON.Member] {
        var members = [
            JSON.Member("feed", .string(feed)), JSON.Member("channel", .integer(Int64(channel))),
            JSON.Member("epoch", .string(String(epoch))),
            JSON.Member("from", .integer(Int64(clamping: range.first))),
            JSON.Member("to", .integer(Int64(clamping: range.last))),
        ]
        if let instrument { members.append(JSON.Member("instrument", .string(instrument))) }
        if let after { members.append(JSON.Member("after", .string(after.text))) }
        return members
    }

    init(_ fields: Fields, _ json: JSON) throws(WireError) {
        feed = try fields.name("feed")
        channel = try fields.channelOrZero("channel")
        epoch = try fields.epoch("epoch")
        let (first, last) = (try fields.integer("from"), try fields.integer("to"))
        guard first <= last else { throw fields.failure("to", "a sequence that is not below from") }
        range = SequenceRange(UInt64(first), UInt64(last))
        instrument = fields.has("instrument") ? try fields.name("instrument") : nil
        guard fields.has("after") else { return }
        after = json["after"]?.string.flatMap { Place($0) }
        if after == nil { throw fields.failure("after", "what the reply before called next") }
    }
}
