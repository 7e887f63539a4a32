// What a subject is: sent on each change, to each new subscriber, and again every few seconds.
public import Basics

/// A subject's state on the bus, `state/<host>/<kind>/<name>/`.
public struct StateMessage: Hashable, Sendable {
    /// `change` is this state's own number: a repeat keeps it.
    public var stamp: Stamp
    public var subject: Subject
    public var status: Status
    /// When the status, not merely the reason, last changed.
    public var since: WallTime
    /// One short clause for a person.
    public var reason: String
    /// The status before this one; `nil` for the first.
    public var previous: Status?
    /// The subject whose failure explains this one.
    public var cause: Subject?
    /// When the watcher noticed.
    public var detectedAt: WallTime
    /// When it happened, where the kernel tells.
    public var happenedAt: WallTime?
    public var values: [NamedValue]
    /// The last seconds before a change for the worse, where there were numbers that moved.
    public var before: Before?
    /// A tombstone: the subject is no longer watched, and this is its last message.
    public var isGone: Bool

    public init(
        stamp: Stamp, subject: Subject, status: Status, since: WallTime, reason: String,
        previous: Status? = nil, cause: Subject? = nil, detectedAt: WallTime, happenedAt: WallTime? = nil,
        values: [NamedValue] = [], before: Before? = nil, isGone: Bool = false
    ) {
        self.stamp = stamp
        self.subject = subject
        self.status = status
        self.since = since
        self.reason = reason
        self.previous = previous
        self.cause = cause
        self.detectedAt = detectedAt
        self.happenedAt = happenedAt
        self.values = values
        self.before = before
        self.isGone = isGone
    }

    public var topic: Topic { .state(host: stamp.host, subject: subject) }

    public var json: JSON {
        var members = stamp.members
        members += [
            JSON.Member("kind", .string(subject.kind.rawValue)),
            JSON.Member("name", .string(subject.name)),
            JSON.Member("status", .string(status.rawValue)),
            JSON.Member("since", .string(since.rfc3339)),
            JSON.Member("reason", .string(reason)),
            JSON.Member("previous", previous.map { .string($0.rawValue) } ?? .null),
            JSON.Member("cause", cause.map { .string($0.description) } ?? .null),
            JSON.Member("detected_at", .string(detectedAt.rfc3339)),
            JSON.Member("happened_at", happenedAt.map { .string($0.rfc3339) } ?? .null),
            JSON.Member("values", values.json),
        ]
        if let before { members.append(JSON.Member("before", before.json)) }
        if isGone { members.append(JSON.Member("gone", .bool(true))) }
        return .object(members)
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        self.init(
            stamp: try Stamp(fields), subject: try fields.kindAndName(), status: try fields.status("status"),
            since: try fields.time("since"), reason: try fields.text("reason"),
            previous: fields.has("previous") ? try fields.status("previous") : nil,
            cause: fields.has("cause") ? try fields.subject("cause") : nil,
            detectedAt: try fields.time("detected_at"),
            happenedAt: fields.has("happened_at") ? try fields.time("happened_at") : nil,
            values: try fields.values(), before: json["before"].flatMap { Before(json: $0) },
            isGone: json["gone"]?.bool ?? false)
    }
}
