// The words of the health bus: what is watched, how it is, and how both are spelled.
public import Basics

/// How a subject is: the words of the monitoring plugins.
public enum Status: String, Hashable, Sendable, CaseIterable {
    case ok, warning, critical, unknown

    /// The exit status of the monitoring plugins' guidelines: 0 ok, 1 warning, 2 critical, 3 unknown.
    public var exitStatus: Int32 {
        switch self {
        case .ok: 0
        case .warning: 1
        case .critical: 2
        case .unknown: 3
        }
    }

    /// A rank for finding the worst of many: ok, warning, unknown, critical. What cannot be seen ranks above
    /// what is seen to be merely degraded.
    public var severity: Int {
        switch self {
        case .ok: 0
        case .warning: 1
        case .unknown: 2
        case .critical: 3
        }
    }

    /// The status with the highest severity; ok for none.
    public static func worst(of statuses: some Sequence<Status>) -> Status {
        statuses.max { $0.severity < $1.severity } ?? .ok
    }
}

/// What sort of thing is watched.
public enum Kind: String, Hashable, Sendable, CaseIterable {
    case nic, path, ups, disk, process, unit, clock, pressure, line, check
    case feed
    case feedPath = "feed-path"
    case client
    case replica
}

/// A watched thing: a kind and a name, `nic/eth0`.
public struct Subject: Hashable, Sendable, CustomStringConvertible {
    public var kind: Kind
    /// The raw name; percent-encoded only in topics.
    public var name: String

    public init(_ kind: Kind, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// Reads `kind/name`; `nil` for an unknown kind or an empty name.
    public init?(parsing text: String) {
        guard let slash = text.firstIndex(of: "/"), let kind = Kind(rawValue: String(text[..<slash])) else {
            return nil
        }
        let name = String(text[text.index(after: slash)...])
        guard !name.isEmpty else { return nil }
        self.init(kind, name)
    }

    public var description: String { "\(kind.rawValue)/\(name)" }

    /// By the name alone, which tells nearly all subjects apart: one is looked up many times a second.
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

/// A subject that something stands and falls with, and whose it is: `nic/eth0`, or `fra-1:nic/eth0` of another host.
public struct Dependency: Hashable, Sendable, CustomStringConvertible {
    /// Whose subject it is; `nil`: this host's.
    public var host: String?
    public var subject: Subject

    public init(_ subject: Subject, of host: String? = nil) {
        self.subject = subject
        self.host = host
    }

    /// Reads `kind/name` or `host:kind/name`; `nil` for an unknown kind or an empty name or host. No kind has a colon,
    /// and no host a slash.
    public init?(parsing text: String) {
        let place = text.prefix { $0 != "/" }
        let colon = place.lastIndex(of: ":")
        let host = colon.map { String(place[..<$0]) }
        guard host != "",
            let subject = Subject(
                parsing: String(text[(colon.map(text.index(after:)) ?? text.startIndex)...]))
        else { return nil }
        self.init(subject, of: host)
    }

    public var description: String { host.map { "\($0):\(subject)" } ?? "\(subject)" }
}

/// A measured value, published under a name that carries its unit: `rtt_s`, `rx_bytes`.
public enum Value: Hashable, Sendable {
    /// Below 2^53 in magnitude, so that every JSON reader keeps it exact.
    case integer(Int64)
    case number(Double)
    case text(String)
    case flag(Bool)

    /// The value as JSON. Integers beyond 2^53 are clamped to it.
    public var json: JSON {
        switch self {
        case .integer(let value): .integer(min(max(value, -(1 << 53)), 1 << 53))
        case .number(let value): .number(value)
        case .text(let text): .string(text)
        case .flag(let flag): .bool(flag)
        }
    }

    /// `nil` for null, arrays and objects.
    public init?(json: JSON) {
        switch json {
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let text): self = .text(text)
        case .bool(let flag): self = .flag(flag)
        case .null, .array, .object: return nil
        }
    }
}

/// A named value, in the order in which its watcher lists it.
public struct NamedValue: Hashable, Sendable {
    public var name: String
    public var value: Value

    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}

/// What a watcher says of a subject: the input of the `HealthBook`.
public struct Report: Hashable, Sendable {
    public var subject: Subject
    public var status: Status
    /// One short clause for a person: `carrier lost`, `3 of 3 targets silent for 1.0 s`.
    public var reason: String
    public var values: [NamedValue]
    /// Subjects whose failure would explain this one's, nearest first: a path names its NIC.
    public var dependsOn: [Subject]
    /// When it happened, where the kernel tells.
    public var occurredAt: WallTime?
    /// When the watcher noticed, on the wall clock.
    public var detectedAt: WallTime

    public init(
        _ subject: Subject, _ status: Status, reason: String, values: [NamedValue] = [],
        dependsOn: [Subject] = [], occurredAt: WallTime? = nil, detectedAt: WallTime
    ) {
        self.subject = subject
        self.status = status
        self.reason = reason
        self.values = values
        self.dependsOn = dependsOn
        self.occurredAt = occurredAt
        self.detectedAt = detectedAt
    }
}

/// A periodic measurement of a subject, which changes no state.
public struct Sample: Hashable, Sendable {
    public var subject: Subject
    public var values: [NamedValue]

    public init(_ subject: Subject, _ values: [NamedValue]) {
        self.subject = subject
        self.values = values
    }
}
