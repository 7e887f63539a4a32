// The topics of both buses. ZeroMQ matches subscriptions as prefixes of bytes, so that each topic ends in
// `/` (`heartbeat/fra-1` would also receive `fra-10`), and each name has one spelling only.

/// A whole topic, taken apart.
public enum Topic: Hashable, Sendable, CustomStringConvertible {
    /// `state/<host>/<kind>/<name>/`
    case state(host: String, subject: Subject)
    /// `sample/<host>/<kind>/<name>/`
    case sample(host: String, subject: Subject)
    /// `heartbeat/<host>/`
    case heartbeat(host: String)
    /// `md/<feed>/<instrument>/`; `nil` is the `*` of messages for no instrument.
    case marketData(feed: String, instrument: String?)
    /// `control/<feed>/<channel>/`
    case control(feed: String, channel: UInt16)
    /// `batch/<feed>/<channel>/`: the channel's messages, several in a frame
    case batch(feed: String, channel: UInt16)
    /// `sync/<nonce>/`: published once to whoever subscribes it, behind what was published before.
    case sync(nonce: String)

    /// The longest topic that is read, in bytes: two names of `longestName` bytes, all of them escaped.
    public static let longest = 2048
    /// The longest name of a host, subject, feed, instrument or nonce, in bytes before encoding.
    public static let longestName = 255

    /// The topic as it stands on the wire.
    public var text: String {
        switch self {
        case .state(let host, let subject): "state/" + Topic.spell(host, subject)
        case .sample(let host, let subject): "sample/" + Topic.spell(host, subject)
        case .heartbeat(let host): "heartbeat/\(PercentEncoding.encode(host))/"
        case .marketData(let feed, let instrument):
            "md/\(PercentEncoding.encode(feed))/\(instrument.map(PercentEncoding.encode) ?? "*")/"
        case .control(let feed, let channel): "control/\(PercentEncoding.encode(feed))/\(channel)/"
        case .batch(let feed, let channel): "batch/\(PercentEncoding.encode(feed))/\(channel)/"
        case .sync(let nonce): "sync/\(PercentEncoding.encode(nonce))/"
        }
    }

    /// The topic's bytes.
    public var bytes: [UInt8] { Array(text.utf8) }

    public var description: String { text }

    private static func spell(_ host: String, _ subject: Subject) -> String {
        "\(PercentEncoding.encode(host))/\(subject.kind.rawValue)/\(PercentEncoding.encode(subject.name))/"
    }
}

/// Why bytes are no topic of ours.
public struct TopicError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The topic, cut to 64 characters.
    public var topic: String
    /// What it should have been.
    public var expected: String

    init(_ bytes: some Collection<UInt8>, expected: String) {
        topic = String(decoding: bytes.prefix(64), as: UTF8.self)
        self.expected = expected
    }

    public var description: String { "topic \"\(topic)\": expected \(expected)" }
}

extension Topic {
    /// Reads what `text` writes; no other spelling.
    public init(parsing bytes: some Collection<UInt8>) throws(TopicError) {
        func failure(_ expected: String) -> TopicError { TopicError(bytes, expected: expected) }
        guard bytes.count <= Topic.longest else { throw failure("at most \(Topic.longest) bytes") }
        let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count >= 3, let end = parts.last, end.isEmpty else {
            throw failure("a family and at least one name, each followed by \"/\"")
        }
        func name(_ index: Int) throws(TopicError) -> String {
            guard let name = PercentEncoding.decode(parts[index]), !name.isEmpty,
                name.utf8.count <= Topic.longestName
            else { throw failure("part \(index + 1) to be a percent-encoded name") }
            return name
        }
        func subject() throws(TopicError) -> Subject {
            guard let kind = Kind(rawValue: String(decoding: parts[2], as: UTF8.self)) else {
                throw failure("part 3 to be a kind such as \"nic\"")
            }
            return Subject(kind, try name(3))
        }
        switch (String(decoding: parts[0], as: UTF8.self), parts.count) {
        case ("state", 5): self = .state(host: try name(1), subject: try subject())
        case ("sample", 5): self = .sample(host: try name(1), subject: try subject())
        case ("heartbeat", 3): self = .heartbeat(host: try name(1))
        case ("sync", 3): self = .sync(nonce: try name(1))
        case ("md", 4):
            let isForNone = parts[2].elementsEqual("*".utf8)
            self = .marketData(feed: try name(1), instrument: isForNone ? nil : try name(2))
        case (let family, 4) where family == "control" || family == "batch":
            guard let channel = Topic.channel(parts[2]) else { throw failure("part 3 to be 0 to 65535") }
            let feed = try name(1)
            self =
                family == "batch"
                ? .batch(feed: feed, channel: channel) : .control(feed: feed, channel: channel)
        default: throw failure("state/, sample/, heartbeat/, md/, batch/, control/ or sync/ with its names")
        }
    }

    public init(parsing text: String) throws(TopicError) { try self.init(parsing: text.utf8) }

    /// A channel's number as `text` spells it: no sign, no leading zeros.
    private static func channel(_ bytes: some Collection<UInt8>) -> UInt16? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let channel = UInt16(text), String(channel) == text else { return nil }
        return channel
    }
}
