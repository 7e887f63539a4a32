// A periodic measurement on the bus, and the marker that answers a subscription to `sync/<nonce>/`.
public import Basics

/// A subject's measurements, `sample/<host>/<kind>/<name>/`.
public struct SampleMessage: Hashable, Sendable {
    public var stamp: Stamp
    public var subject: Subject
    public var values: [NamedValue]

    public init(stamp: Stamp, subject: Subject, values: [NamedValue]) {
        self.stamp = stamp
        self.subject = subject
        self.values = values
    }

    public var topic: Topic { .sample(host: stamp.host, subject: subject) }

    public var json: JSON {
        .object(
            stamp.members + [
                JSON.Member("kind", .string(subject.kind.rawValue)),
                JSON.Member("name", .string(subject.name)),
                JSON.Member("values", values.json),
            ])
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        self.init(
            stamp: try Stamp(fields), subject: try fields.kindAndName(), values: try fields.values())
    }
}

/// The echo of a subscription: everything that was published before it has a lower place in the pipe.
public struct SyncMessage: Hashable, Sendable {
    public var stamp: Stamp
    public var nonce: String
    /// All subjects that the publisher has now: who cannot ask for the status forgets the others.
    public var subjects: [Subject]

    public init(stamp: Stamp, nonce: String, subjects: [Subject] = []) {
        self.stamp = stamp
        self.nonce = nonce
        self.subjects = subjects
    }

    public var topic: Topic { .sync(nonce: nonce) }

    public var json: JSON {
        let names = subjects.map { JSON.string($0.description) }
        return .object(
            stamp.members + [JSON.Member("sync", .string(nonce)), JSON.Member("subjects", .array(names))])
    }

    /// Subjects of a kind that it does not know are left out.
    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        let names = json["subjects"]?.array ?? []
        self.init(
            stamp: try Stamp(fields), nonce: try fields.name("sync"),
            subjects: names.compactMap { $0.string.flatMap { Subject(parsing: $0) } })
    }
}
