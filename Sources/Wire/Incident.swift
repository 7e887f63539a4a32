// What a person is called for: a failure that nothing explains, with everything that it explains.
public import Basics

/// One fault and its dependents, on one host.
public struct Incident: Hashable, Sendable {
    public var host: String
    /// The subject at the end of every dependent's chain of causes.
    public var root: Subject
    /// The root's state; `nil`: who publishes it was not asked, or it has just been forgotten.
    public var state: StateMessage?
    /// What the root explains, by kind and name.
    public var dependents: [Subject]

    /// The worst of the root and its dependents.
    public var status: Status

    /// The incidents among the states of any number of publishers; an agent and a gateway of one host share
    /// theirs. The worst first, then those with the most dependents.
    ///
    /// `warning` and `critical` are failures; what is `unknown` is an incident only by a cause that failed.
    public static func all(of states: [StateMessage]) -> [Incident] {
        var known: [Key: StateMessage] = [:]
        for state in states { known[Key(state.stamp.host, state.subject)] = state }
        var incidents: [Key: Incident] = [:]
        for (key, state) in known where state.isFailure {
            let root = self.root(of: key, known)
            var incident =
                incidents[root]
                ?? Incident(
                    host: root.host, root: root.subject, state: known[root], dependents: [],
                    status: state.status)
            if key != root { incident.dependents.append(key.subject) }
            incident.status = Status.worst(of: [incident.status, state.status])
            incidents[root] = incident
        }
        return incidents.values.map { incident in
            var incident = incident
            incident.dependents.sort { ($0.kind.rawValue, $0.name) < ($1.kind.rawValue, $1.name) }
            return incident
        }.sorted { left, right in
            let (one, other) = (left.dependents.count, right.dependents.count)
            return (right.status.severity, other, left.host, left.root.description)
                < (left.status.severity, one, right.host, right.root.description)
        }
    }

    private struct Key: Hashable {
        var host: String
        var subject: Subject

        init(_ host: String, _ subject: Subject) {
            self.host = host
            self.subject = subject
        }
    }

    /// The end of the chain; one publisher's cause may have a cause of its own with another publisher. Of a ring
    /// it is the subject where it closes, the same for each that leads into it.
    private static func root(of start: Key, _ known: [Key: StateMessage]) -> Key {
        var seen: Set<Key> = [start]
        var key = start
        while let cause = known[key]?.cause {
            let next = Key(key.host, cause)
            guard seen.insert(next).inserted else {
                return ring(from: next, known).min { $0.subject.description < $1.subject.description } ?? key
            }
            key = next
        }
        return key
    }

    private static func ring(from start: Key, _ known: [Key: StateMessage]) -> Set<Key> {
        var ring: Set<Key> = [start]
        var key = start
        while let cause = known[key]?.cause, ring.insert(Key(key.host, cause)).inserted {
            key = Key(key.host, cause)
        }
        return ring
    }

    public var json: JSON {
        .object([
            JSON.Member("host", .string(host)), JSON.Member("root", .string(root.description)),
            JSON.Member("status", .string(status.rawValue)),
            JSON.Member("reason", state.map { .string($0.reason) } ?? .null),
            JSON.Member("since", state.map { .string($0.since.rfc3339) } ?? .null),
            JSON.Member("dependents", .array(dependents.map { .string($0.description) })),
        ])
    }
}

extension StateMessage {
    fileprivate var isFailure: Bool {
        switch status {
        case .warning, .critical: !isGone
        case .unknown: cause != nil && !isGone
        case .ok: false
        }
    }
}
