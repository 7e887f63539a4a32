// How a replica pulls the journal of a feed: it asks for what is behind a place, and so acknowledges what is before it.
public import Basics

/// What a replica asks of a feed's journal.
public struct PullRequest: Hashable, Sendable {
    /// A place in a channel's journal.
    public struct Place: Hashable, Sendable {
        /// 0: the first segment that is there.
        public var segment: UInt64
        /// Bytes of the segment before the place.
        public var offset: Int

        public init(segment: UInt64, offset: Int) {
            self.segment = segment
            self.offset = offset
        }
    }

    public var feed: String
    /// `nil`: it is asked which there are.
    public var channel: UInt16?
    /// What is before it is on the replica's disk.
    public var place: Place
    /// Messages in the place's segment before it.
    public var messages: UInt64
    /// When the last message before the place was received; `nil`: there is none.
    public var through: WallTime?
    /// What the replica calls itself, where no key names it.
    public var replica: String

    public init(
        feed: String, channel: UInt16?, place: Place = Place(segment: 0, offset: 0), messages: UInt64 = 0,
        through: WallTime? = nil, replica: String
    ) {
        self.feed = feed
        self.channel = channel
        self.place = place
        self.messages = messages
        self.through = through
        self.replica = replica
    }

    var members: [JSON.Member] {
        var members = [JSON.Member("feed", .string(feed)), JSON.Member("replica", .string(replica))]
        guard let channel else { return members }
        members.append(JSON.Member("channel", .integer(Int64(channel))))
        members += place.members
        members.append(JSON.Member("messages", .integer(Int64(clamping: messages))))
        if let through { members.append(JSON.Member("through", .string(through.rfc3339))) }
        return members
    }

    init(_ fields: Fields) throws(WireError) {
        feed = try fields.name("feed")
        replica = try fields.name("replica")
        channel = fields.has("channel") ? try fields.channel("channel") : nil
        place = channel == nil ? Place(segment: 0, offset: 0) : try Place(fields)
        messages = fields.has("messages") ? UInt64(try fields.integer("messages")) : 0
        through = fields.has("through") ? try fields.time("through") : nil
    }
}

extension PullRequest.Place {
    var members: [JSON.Member] {
        [
            JSON.Member("segment", .integer(Int64(clamping: segment))),
            JSON.Member("offset", .integer(Int64(offset))),
        ]
    }

    init(_ fields: Fields) throws(WireError) {
        self.init(segment: UInt64(try fields.integer("segment")), offset: Int(try fields.integer("offset")))
    }
}

/// The first frame of the answer to a pull.
public struct PullReply: Hashable, Sendable {
    public enum Body: Hashable, Sendable {
        /// Those that the feed has.
        case channels([UInt16])
        /// The bytes behind the place follow in a frame of their own.
        case bytes(PulledBytes)
        /// - `retryAfter`: it is too soon.
        /// - `first`: the first segment that can still be had.
        case refused(String, retryAfter: Duration?, first: UInt64?)
    }

    public var feed: String
    public var channel: UInt16?
    public var body: Body

    /// More channels a feed does not have.
    static let mostChannels = 4096

    public init(feed: String, channel: UInt16?, _ body: Body) {
        self.feed = feed
        self.channel = channel
        self.body = body
    }

    public var json: JSON {
        var members = [JSON.Member("feed", .string(feed))]
        if let channel { members.append(JSON.Member("channel", .integer(Int64(channel)))) }
        switch body {
        case .channels(let channels):
            let list = JSON.array(channels.map { .integer(Int64($0)) })
            return Reply.done(members + [JSON.Member("channels", list)]).json
        case .bytes(let bytes): return Reply.done(members + bytes.members).json
        case .refused(let reason, let retryAfter, let first):
            if let retryAfter {
                members.append(JSON.Member("retry_after_s", .number(retryAfter.inSeconds)))
            }
            if let first { members.append(JSON.Member("first", .integer(Int64(clamping: first)))) }
            return .object((Reply.refused(reason).json.members ?? []) + members)
        }
    }

    /// Reads the answer's first frame.
    public init(parsing bytes: some Collection<UInt8>) throws(WireError) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: bytes)
        } catch {
            throw WireError(key: "", found: "not JSON (\(error))", expected: "an answer to a pull")
        }
        let fields = try Fields(json)
        feed = try fields.name("feed")
        channel = fields.has("channel") ? try fields.channel("channel") : nil
        guard let isDone = json["ok"]?.bool else { throw fields.failure("ok", "true or false") }
        guard isDone else {
            let retry = fields.has("retry_after_s") ? try fields.number("retry_after_s", 0...3600) : nil
            body = .refused(
                try fields.text("error"), retryAfter: retry.map { .ofSeconds($0) },
                first: fields.has("first") ? UInt64(try fields.integer("first")) : nil)
            return
        }
        body = channel == nil ? .channels(try fields.channels("channels")) : .bytes(try PulledBytes(fields))
    }
}

/// What goes before bytes that were pulled.
public struct PulledBytes: Hashable, Sendable {
    /// Where they go.
    public var place: PullRequest.Place
    /// Of the segment, as far as it is written.
    public var size: Int
    /// The checksum of the segment's header, by which it is told from another one of the same number; `nil`: the header
    /// is damaged.
    public var header: UInt32?
    /// The segment is closed, and this is the one behind it.
    public var next: UInt64?
    /// Messages behind the place, those that follow now among them.
    public var behind: UInt64

    public init(place: PullRequest.Place, size: Int, header: UInt32?, next: UInt64?, behind: UInt64) {
        self.place = place
        self.size = size
        self.header = header
        self.next = next
        self.behind = behind
    }

    var members: [JSON.Member] {
        var members =
            place.members + [
                JSON.Member("size", .integer(Int64(size))),
                JSON.Member("behind", .integer(Int64(clamping: behind))),
            ]
        if let header { members.append(JSON.Member("header", .integer(Int64(header)))) }
        if let next { members.append(JSON.Member("next", .integer(Int64(clamping: next)))) }
        return members
    }

    init(_ fields: Fields) throws(WireError) {
        place = try PullRequest.Place(fields)
        size = Int(try fields.integer("size"))
        if fields.has("header") {
            guard let header = UInt32(exactly: try fields.integer("header")) else {
                throw fields.failure("header", "a checksum of 32 bits")
            }
            self.header = header
        }
        behind = UInt64(try fields.integer("behind"))
        next = fields.has("next") ? UInt64(try fields.integer("next")) : nil
        guard place.segment > 0 else { throw fields.failure("segment", "a segment's number, from 1") }
        if let next, next <= place.segment { throw fields.failure("next", "a segment behind it") }
    }
}

extension Fields {
    fileprivate func channel(_ key: String) throws(WireError) -> UInt16 {
        guard let channel = UInt16(exactly: try integer(key)) else { throw failure(key, "0 to 65535") }
        return channel
    }

    fileprivate func channels(_ key: String) throws(WireError) -> [UInt16] {
        guard let items = json[key]?.array, items.count <= PullReply.mostChannels else {
            throw failure(key, "a list of at most \(PullReply.mostChannels) channels")
        }
        var channels: [UInt16] = []
        for item in items {
            guard let channel = item.integer.flatMap({ UInt16(exactly: $0) }) else {
                throw failure(key, "a list of numbers from 0 to 65535")
            }
            channels.append(channel)
        }
        return channels
    }
}
