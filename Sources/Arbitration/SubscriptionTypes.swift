// The words of the subscription table: what a client asks for, why it is refused, and what the shell has to
// do. The table itself is in `SubscriptionTable.swift`.
import Wire

/// What a topic prefix asks for.
public enum TopicRequest: Hashable, Sendable {
    /// `md/<feed>/` or `md/<feed>/<instrument>/`.
    case data(feed: String, InstrumentRequest)
    /// `control/<feed>/`, all channels, or `control/<feed>/<channel>/`.
    case control(feed: String, channel: UInt16?)
    /// `batch/<feed>/`, all channels, or `batch/<feed>/<channel>/`: everything, several messages in a frame.
    case batch(feed: String, channel: UInt16?)
    /// `sync/<nonce>/`: to be published once, as a marker.
    case sync(nonce: String)
}

/// Which instruments of a feed.
public enum InstrumentRequest: Hashable, Sendable {
    case all
    case one(String)
    /// `*`: the messages for no instrument.
    case none

    /// Of the one.
    var name: String? {
        switch self {
        case .one(let name): name
        case .all, .none: nil
        }
    }
}

/// Why a subscription is refused.
public enum SubscriptionRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    case tooLong(bytes: Int, limit: Int)
    case notText
    /// ZeroMQ matches prefixes: without the slash at its end a topic also matches longer names.
    case noSlashAtEnd
    case unknownTopic
    case noSuchFeed(String, known: [String])
    /// Its topics are numbered each by itself: there is no channel that could be batched.
    case notBatched(String)
    /// The client may read something else, or nothing.
    case notEntitled(Entitlements)
    case tooManyForClient(limit: Int)
    /// Control topics and sync markers.
    case tooManySignalsForClient(limit: Int)
    case tooMany(limit: Int)
    /// Of one feed, upstream.
    case tooManyUpstream(feed: String, limit: Int)

    /// The name under which it is counted.
    public var name: String {
        switch self {
        case .tooLong: "too_long"
        case .notText: "not_text"
        case .noSlashAtEnd: "no_slash_at_end"
        case .unknownTopic: "unknown_topic"
        case .noSuchFeed: "no_such_feed"
        case .notBatched: "not_batched"
        case .notEntitled: "not_entitled"
        case .tooManyForClient: "too_many_for_client"
        case .tooManySignalsForClient: "too_many_signals_for_client"
        case .tooMany: "too_many"
        case .tooManyUpstream: "too_many_upstream"
        }
    }

    public var description: String {
        switch self {
        case .tooLong(let bytes, let limit): "the topic has \(bytes) bytes, at most \(limit) are allowed"
        case .notText: "the topic is not UTF-8"
        case .noSlashAtEnd: "the topic does not end in /"
        case .unknownTopic:
            "topics are md/<feed>/, md/<feed>/<instrument>/, batch/<feed>/, batch/<feed>/<channel>/, control/<feed>/, control/<feed>/<channel>/ and sync/<nonce>/"
        case .noSuchFeed(let feed, let known):
            "there is no feed \(feed); there is \(known.isEmpty ? "none" : known.joined(separator: ", "))"
        case .notBatched(let feed): "feed \(feed) has no channels, and so no batches: take md/\(feed)/"
        case .notEntitled(let entitled): "the client may read \(entitled)"
        case .tooManyForClient(let limit):
            "the client holds \(limit) subscriptions to market data, the most that one may"
        case .tooManySignalsForClient(let limit):
            "the client holds \(limit) control topics and markers, the most that one may"
        case .tooManyUpstream(let feed, let limit):
            "feed \(feed) is subscribed to \(limit) topics upstream, the most that it may: subscribe to what others have, or to md/\(feed)/"
        case .tooMany(let limit): "the gateway holds \(limit) subscriptions, the most that it may"
        }
    }
}

/// A topic of a feed upstream: one instrument, or all of them.
public enum UpstreamTopic: Hashable, Sendable {
    case everything
    case instrument(String)

    /// Of the instrument.
    public var name: String? {
        switch self {
        case .instrument(let name): name
        case .everything: nil
        }
    }
}

/// What the shell has to do or tell.
public enum SubscriptionAction: Hashable, Sendable {
    /// The client has it from now on: show it, and nobody else, where it stands.
    case grant(connection: Int32, prefix: String, TopicRequest)
    /// A client does not have it any more.
    case revoke(prefix: String)
    case refuse(connection: Int32, prefix: String, SubscriptionRefusal)
    /// A request is granted in part, by the grants that follow: the client may read no more than this.
    case narrow(connection: Int32, prefix: String, Entitlements)
    case subscribeUpstream(feed: String, WantedTopic)
    /// It was asked for before: if it still waits, it may have its turn in a lower class.
    case hastenUpstream(feed: String, WantedTopic)
    case unsubscribeUpstream(feed: String, UpstreamTopic)
}

extension TopicRequest {
    /// Reads what a client asks for. `feeds` are the names that exist.
    init(parsing prefix: String, feeds: some Collection<String>) throws(SubscriptionRefusal) {
        guard prefix.utf8.last == UInt8(ascii: "/") else { throw .noSlashAtEnd }
        guard let request = TopicRequest(spelling: prefix) else { throw .unknownTopic }
        self = request
        try require(feeds)
    }

    /// Reads a prefix of any feed; `nil`: it is none.
    init?(spelling prefix: String) {
        guard prefix.utf8.last == UInt8(ascii: "/") else { return nil }
        let parts = prefix.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let wholeFeed =
            parts.count == 3 ? PercentEncoding.decode(parts[1]).flatMap { $0.isEmpty ? nil : $0 } : nil
        switch (String(decoding: parts[0], as: UTF8.self), wholeFeed, try? Topic(parsing: prefix)) {
        case ("md", let feed?, _): self = .data(feed: feed, .all)
        case ("control", let feed?, _): self = .control(feed: feed, channel: nil)
        case ("batch", let feed?, _): self = .batch(feed: feed, channel: nil)
        case (_, _, .marketData(let feed, let instrument?)): self = .data(feed: feed, .one(instrument))
        case (_, _, .marketData(let feed, nil)): self = .data(feed: feed, .none)
        case (_, _, .control(let feed, let channel)): self = .control(feed: feed, channel: channel)
        case (_, _, .batch(let feed, let channel)): self = .batch(feed: feed, channel: channel)
        case (_, _, .sync(let nonce)): self = .sync(nonce: nonce)
        case (_, _, .state), (_, _, .sample), (_, _, .heartbeat), (_, _, nil): return nil
        }
    }

    /// Whether a prefix that was read is one of control topics and markers, which bring no market data.
    static func isSignal(_ prefix: String) -> Bool {
        prefix.hasPrefix("control/") || prefix.hasPrefix("sync/")
    }

    private func require(_ feeds: some Collection<String>) throws(SubscriptionRefusal) {
        switch self {
        case .data(let feed, _), .control(let feed, _), .batch(let feed, _):
            guard feeds.contains(feed) else { throw .noSuchFeed(feed, known: feeds.sorted()) }
        case .sync: break
        }
    }
}
