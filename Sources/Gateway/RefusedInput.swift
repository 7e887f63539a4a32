// What the decoders refused of what came: counted by name, and the last of it with where and why, so that a person can
// find out what it was. Words are made when they are asked for: whoever floods a line with garbage costs no more.
import Basics
import Configuration
import FeedProtocols
import Linux
import Logging
import Wire

/// What was refused on one path, or of a feed's messages.
package struct RefusedInput: Hashable, Sendable {
    /// The last of it, and how many bytes that was.
    struct Last: Hashable, Sendable {
        var error: MalformedInput
        var length: Int
    }

    /// By name, also what is odd and used all the same, or of a channel that is none of ours.
    package private(set) var counts: [String: UInt64] = [:]
    /// What was none of the protocol's.
    private(set) var refused: UInt64 = 0
    private(set) var last: Last?

    mutating func add(_ error: MalformedInput, length: Int) {
        count(error.reason.rawValue)
        refused &+= 1
        last = Last(error: error, length: length)
    }

    mutating func count(_ name: String) { counts[name, default: 0] &+= 1 }

    /// Takes in another channel's.
    mutating func add(_ other: RefusedInput) {
        counts.merge(other.counts) { $0 &+ $1 }
        refused &+= other.refused
        last = other.last ?? last
    }
}

extension RefusedInput.Last: CustomStringConvertible {
    /// `24 bytes, offset 20: truncated, 11 bytes wanted, 2 left`.
    var description: String { "\(length) byte\(length == 1 ? "" : "s"), \(error)" }
}

/// When refused input is told: the first at once, and then at most one entry in a while for all that came since.
struct RefusalNotice: Hashable, Sendable {
    static let every: Duration = .seconds(60)
    /// What came no longer ago explains why a path is not well.
    static let explainsFor: Duration = .seconds(5)

    private var seen: UInt64 = 0
    private var seenAt: Instant?
    private var told: UInt64 = 0
    private var toldAt: Instant?

    /// The count as it is now.
    ///
    /// - Returns: how many are to be told; `nil`: none, or not yet.
    mutating func update(_ refused: UInt64, at now: Instant) -> UInt64? {
        // An engine that took another one's place counts anew.
        if refused < seen { (seen, told) = (0, 0) }
        if refused > seen { (seen, seenAt) = (refused, now) }
        guard refused > told else { return nil }
        if let toldAt, now - toldAt < RefusalNotice.every { return nil }
        defer { (told, toldAt) = (refused, now) }
        return refused - told
    }

    /// Whether something was refused just now.
    func isRecent(at now: Instant) -> Bool { seenAt.map { now - $0 < RefusalNotice.explainsFor } ?? false }
}

/// The words for what a feed refused.
struct RefusalEntry {
    let message: String
    /// HOLDFAST_REASON, HOLDFAST_OFFSET, HOLDFAST_LENGTH and HOLDFAST_REFUSED.
    let fields: Logger.Metadata

    private init(_ message: String, _ more: UInt64, _ last: RefusedInput.Last) {
        self.message = message
        fields = [
            "reason": "\(last.error.reason.rawValue)", "offset": "\(last.error.offset)",
            "length": "\(last.length)", "refused": "\(more)",
        ]
    }

    /// Packets of a path; `nil`: none was refused.
    init?(_ more: UInt64, packetsOf path: String, _ feed: FeedOptions, _ refused: RefusedInput) {
        guard let last = refused.last else { return nil }
        let what = more == 1 ? "a packet was" : "\(more) packets were"
        let which = more == 1 ? "" : ", the last one"
        self.init(
            "path \(path) of feed \(feed.name): \(what) refused\(which) of \(last), which is no \(feed.feedProtocol.rawValue); see whether the feed's protocol and the path's address are the venue's, and who else sends there",
            more, last)
    }

    /// Messages of packets that were whole, which are published under no instrument; `nil`: there was none.
    init?(_ more: UInt64, messagesOf feed: FeedOptions, _ refused: RefusedInput) {
        guard let last = refused.last else { return nil }
        let what = more == 1 ? "a message names" : "\(more) messages name"
        let which = more == 1 ? " one" : " the last one"
        self.init(
            "feed \(feed.name): \(what) no instrument of \(feed.keys.rawValue),\(which) of \(last); see whether the feed's protocol is the venue's",
            more, last)
    }
}
