// Requests to a daemon's ROUTER socket and its replies: one JSON frame each way.
public import Basics

/// What can be asked of a daemon.
public enum Request: Hashable, Sendable {
    /// All current states, and the change to continue from.
    case status
    /// Move a feed to a path; with `hold`, no failback until `release` or another `switch` without it.
    case `switch`(feed: String, path: String, hold: Bool)
    /// End a feed's hold.
    case release(feed: String)
    /// Let a subject's failure trigger nothing for this long.
    case mute(Subject, for: Duration)
    case unmute(Subject)
    /// The recent past of a subject's numbers, so far back.
    case history(Subject, last: Duration)
    /// What a client missed, from a feed's journal.
    case repair(RepairRequest)
    /// What a replica does not have yet, of a feed's journal.
    case pull(PullRequest)
    /// The last values of a feed's topics.
    case snapshot(SnapshotRequest)
    /// A client says how far it is, and when it is to be missed.
    case lease(ClientLease)

    /// The longest mute: 30 days.
    public static let longestMute: Duration = .seconds(30 * 86400)

    /// The longest history that can be asked for: a day.
    public static let longestHistory: Duration = .seconds(86400)

    public var json: JSON {
        var members = [JSON.Member("v", .integer(schemaVersion)), JSON.Member("request", .string(word))]
        switch self {
        case .status: break
        case .switch(let feed, let path, let hold):
            members.append(JSON.Member("feed", .string(feed)))
            members.append(JSON.Member("path", .string(path)))
            members.append(JSON.Member("hold", .bool(hold)))
        case .release(let feed): members.append(JSON.Member("feed", .string(feed)))
        case .mute(let subject, let duration):
            members.append(JSON.Member("subject", .string(subject.description)))
            members.append(JSON.Member("for_s", .number(duration.inSeconds)))
        case .unmute(let subject):
            members.append(JSON.Member("subject", .string(subject.description)))
        case .history(let subject, let last):
            members.append(JSON.Member("subject", .string(subject.description)))
            members.append(JSON.Member("last_s", .number(last.inSeconds)))
        case .repair(let repair): members += repair.members
        case .pull(let pull): members += pull.members
        case .snapshot(let snapshot): members += snapshot.members
        case .lease(let lease): members += lease.members
        }
        return .object(members)
    }

    /// Whether it changes something, for which a client beyond this host needs to be an operator.
    public var isOperation: Bool {
        switch self {
        case .status, .history, .repair, .pull, .snapshot, .lease: false
        case .switch, .release, .mute, .unmute: true
        }
    }

    /// Its name on the wire: `switch`.
    public var word: String {
        switch self {
        case .status: "status"
        case .switch: "switch"
        case .release: "release"
        case .mute: "mute"
        case .unmute: "unmute"
        case .history: "history"
        case .repair: "repair"
        case .pull: "pull"
        case .snapshot: "snapshot"
        case .lease: "lease"
        }
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        switch json["request"]?.string {
        case "status": self = .status
        case "switch":
            let hold = json["hold"] ?? .bool(false)
            guard let hold = hold.bool else { throw fields.failure("hold", "true or false") }
            self = .switch(feed: try fields.name("feed"), path: try fields.name("path"), hold: hold)
        case "release": self = .release(feed: try fields.name("feed"))
        case "mute":
            let seconds = try fields.number("for_s", 0.001...Request.longestMute.inSeconds)
            self = .mute(try fields.subject("subject"), for: .ofSeconds(seconds))
        case "unmute": self = .unmute(try fields.subject("subject"))
        case "history":
            let last =
                fields.has("last_s")
                ? Duration.ofSeconds(try fields.number("last_s", 0.1...Request.longestHistory.inSeconds))
                : Request.longestHistory
            self = .history(try fields.subject("subject"), last: last)
        case "repair": self = .repair(try RepairRequest(fields, json))
        case "pull": self = .pull(try PullRequest(fields))
        case "snapshot": self = .snapshot(try SnapshotRequest(fields, json))
        case "lease": self = .lease(try ClientLease(fields, json))
        case _:
            throw fields.failure(
                "request",
                "one of status, history, repair, pull, snapshot, lease, switch, release, mute, unmute")
        }
    }

    /// Reads a request's frame.
    public init(parsing bytes: some Collection<UInt8>) throws(WireError) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: bytes)
        } catch {
            throw WireError(
                key: "", found: "not JSON (\(error))",
                expected: "an object such as {\"v\":1,\"request\":\"status\"}")
        }
        try self.init(json: json)
    }
}

/// A daemon's answer.
public enum Reply: Hashable, Sendable {
    /// Done; with what was asked for, such as the members of a status document.
    case done([JSON.Member])
    /// Not done, and why, for a person.
    case refused(String)

    /// The answer to `status`: the document's members.
    public static func document(_ json: JSON) -> Reply { .done(json.members ?? []) }

    public var json: JSON {
        let version = JSON.Member("v", .integer(schemaVersion))
        switch self {
        case .done(let members):
            let others = members.filter { $0.key != "v" && $0.key != "ok" }
            return .object([version, JSON.Member("ok", .bool(true))] + others)
        case .refused(let reason):
            return .object([version, JSON.Member("ok", .bool(false)), JSON.Member("error", .string(reason))])
        }
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        guard let isDone = json["ok"]?.bool else { throw fields.failure("ok", "true or false") }
        if isDone {
            self = .done((json.members ?? []).filter { $0.key != "v" && $0.key != "ok" })
        } else {
            self = .refused(try fields.text("error"))
        }
    }
}
