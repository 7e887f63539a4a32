// The publisher's sign of life: when it stops, everything that it said is unknown.
public import Basics

/// What the publisher itself costs its host.
public struct Cost: Hashable, Sendable {
    /// Of one core, averaged since the heartbeat before.
    public var cpuRatio: Double
    public var residentBytes: Int64
    public var wakeupsPerSecond: Double

    public init(cpuRatio: Double, residentBytes: Int64, wakeupsPerSecond: Double) {
        self.cpuRatio = cpuRatio
        self.residentBytes = residentBytes
        self.wakeupsPerSecond = wakeupsPerSecond
    }

    var json: JSON {
        .object([
            JSON.Member("cpu_ratio", .number(cpuRatio)),
            JSON.Member("rss_bytes", .integer(residentBytes)),
            JSON.Member("wakeups_per_s", .number(wakeupsPerSecond)),
        ])
    }

    init(json: JSON) {
        cpuRatio = json["cpu_ratio"]?.double ?? 0
        residentBytes = json["rss_bytes"]?.integer ?? 0
        wakeupsPerSecond = json["wakeups_per_s"]?.double ?? 0
    }
}

/// A heartbeat on the bus, `heartbeat/<host>/`.
public struct HeartbeatMessage: Hashable, Sendable {
    /// `change` is the latest: a subscriber that knows a lower one has missed something.
    public var stamp: Stamp
    /// Without another heartbeat for this long, the host is unknown.
    public var expiresAfter: Duration
    /// How many subjects have a state.
    public var subjects: Int64
    /// The worst of their statuses.
    public var worst: Status
    public var cost: Cost
    /// Why the publisher is about to fall silent; `nil`: it is not.
    public var stopping: String?

    public init(
        stamp: Stamp, expiresAfter: Duration, subjects: Int64, worst: Status, cost: Cost,
        stopping: String? = nil
    ) {
        self.stamp = stamp
        self.expiresAfter = expiresAfter
        self.subjects = subjects
        self.worst = worst
        self.cost = cost
        self.stopping = stopping
    }

    public var topic: Topic { .heartbeat(host: stamp.host) }

    public var json: JSON {
        .object(
            stamp.members + [
                JSON.Member("expires_after_s", .number(expiresAfter.inSeconds)),
                JSON.Member("subjects", .integer(subjects)),
                JSON.Member("worst", .string(worst.rawValue)),
                JSON.Member("cost", cost.json),
            ] + (stopping.map { [JSON.Member("stopping", .string($0))] } ?? []))
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        guard let cost = json["cost"], cost.members != nil else {
            throw fields.failure("cost", "an object")
        }
        self.init(
            stamp: try Stamp(fields),
            expiresAfter: .ofSeconds(try fields.number("expires_after_s", 0.001...3600)),
            subjects: try fields.integer("subjects"), worst: try fields.status("worst"),
            cost: Cost(json: cost), stopping: json["stopping"]?.string)
    }
}
