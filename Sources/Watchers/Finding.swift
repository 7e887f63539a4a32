// What a machine says of a subject. The shell adds the wall clock, which machines do not know.
public import Basics
public import Wire

/// A subject's status as a machine judges it.
public struct Finding: Hashable, Sendable {
    public var subject: Subject
    public var status: Status
    /// One short clause for a person.
    public var reason: String
    public var values: [NamedValue]
    /// Subjects whose failure would explain this one's, nearest first.
    public var dependsOn: [Subject]

    public init(
        _ subject: Subject, _ status: Status, _ reason: String, values: [NamedValue] = [],
        dependsOn: [Subject] = []
    ) {
        self.subject = subject
        self.status = status
        self.reason = reason
        self.values = values
        self.dependsOn = dependsOn
    }

    /// The finding as the health bus takes it.
    public func report(detectedAt: WallTime, occurredAt: WallTime? = nil) -> Report {
        Report(
            subject, status, reason: reason, values: values, dependsOn: dependsOn, occurredAt: occurredAt,
            detectedAt: detectedAt)
    }
}

/// A count with its noun: `1 process`, `3 processes`.
func counted(_ count: Int, _ one: String, _ many: String) -> String { "\(count) \(count == 1 ? one : many)" }

/// A duration for a person: seconds with one decimal.
func seconds(_ duration: Duration) -> String {
    let tenths = max(0, duration.nanoseconds) / 100_000_000
    return "\(tenths / 10).\(tenths % 10) s"
}

/// A ratio for a person: per cent with one decimal.
func percent(_ ratio: Double) -> String {
    let tenths = Int64((min(max(ratio, 0), 1) * 1000).rounded())
    return "\(tenths / 10).\(tenths % 10) %"
}
