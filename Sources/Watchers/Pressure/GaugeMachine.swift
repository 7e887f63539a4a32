// A subject of several measured values, each with its limit: how all of pressure is judged. A value: measurements in,
// findings out.
public import Basics
import Detection
public import Wire

/// One measured value of a subject.
struct Gauge: Sendable {
    /// Its name on the bus, with the unit.
    let name: String
    var limit: Limit
    /// How it is told when it is beyond its limit: `memory: 3.1 % available`.
    let words: @Sendable (Double) -> String
    /// `nil`: not known now.
    fileprivate(set) var value: Double?

    init(_ name: String, _ limit: Limit, words: @escaping @Sendable (Double) -> String) {
        self.name = name
        self.limit = limit
        self.words = words
    }
}

/// Judges a subject by its gauges.
public struct GaugeMachine: Sendable {
    public let subject: Subject
    /// The reason while all is well.
    private let fine: String
    private(set) var gauges: [Gauge]
    /// Values that are published and not judged.
    var others: [NamedValue] = []
    /// What could not be read, by name, since the last look.
    private(set) var missing: [String] = []
    private var told: (status: Status, key: String, reason: String)?

    init(_ subject: Subject, fine: String, _ gauges: [Gauge]) {
        self.subject = subject
        self.fine = fine
        self.gauges = gauges
    }

    /// Nothing was measured yet.
    public mutating func started() -> Finding {
        told = (.unknown, "", "not measured yet")
        return Finding(subject, .unknown, "not measured yet")
    }

    /// Goes on where another one of the same subject stands: with what it told, and its state of those gauges that are
    /// judged as before.
    mutating func inherit(_ old: GaugeMachine, _ isSame: (String) -> Bool) {
        for index in gauges.indices where isSame(gauges[index].name) {
            guard let gauge = old.gauges.first(where: { $0.name == gauges[index].name }) else { continue }
            gauges[index].limit = gauge.limit
            gauges[index].value = gauge.value
        }
        (others, missing, told) = (old.others, old.missing, old.told)
    }

    /// When time alone changes something.
    public var deadline: Instant? { gauges.compactMap(\.limit.deadline).min() }

    /// Takes the measurements of one look; a gauge that is not among them is not known. What is missing is named.
    public mutating func observed(_ measured: [String: Double], missing: [String] = [], at now: Instant)
        -> Finding?
    {
        for index in gauges.indices {
            gauges[index].value = measured[gauges[index].name]
            if let value = gauges[index].value {
                _ = gauges[index].limit.observed(value, at: now)
            } else {
                gauges[index].limit.reset()
            }
        }
        self.missing = Array(missing.prefix(8))
        return judge()
    }

    public mutating func tick(at now: Instant) -> Finding? {
        for index in gauges.indices { _ = gauges[index].limit.passed(now) }
        return judge()
    }

    /// The state as told, with the newest values; `nil`: nothing was told yet.
    public var finding: Finding? { told.map { Finding(subject, $0.status, $0.reason, values: values) } }

    public var values: [NamedValue] {
        gauges.compactMap { gauge in gauge.value.map { NamedValue(gauge.name, .number($0)) } } + others
            + (missing.isEmpty ? [] : [NamedValue("unreadable", .integer(Int64(missing.count)))])
    }

    /// The finding, where the status or what it is for is another than last told.
    private mutating func judge() -> Finding? {
        let known = gauges.filter { $0.value != nil }
        let bad = known.filter { $0.limit.status != .ok }
        let status =
            known.isEmpty && !missing.isEmpty ? Status.unknown : Status.worst(of: bad.map(\.limit.status))
        let key =
            bad.map { "\($0.name) \($0.limit.status)" }.joined(separator: " ")
            + missing.joined(separator: " ")
        if let told, told.status == status, told.key == key { return nil }
        told = (status, key, reason(status, bad))
        return finding
    }

    private func reason(_ status: Status, _ bad: [Gauge]) -> String {
        let unread = missing.first.map {
            "not known: \($0)" + (missing.count > 1 ? " and \(missing.count - 1) more" : "")
        }
        if status == .unknown { return unread ?? "not measured" }
        guard !bad.isEmpty else { return unread.map { "\(fine); \($0)" } ?? fine }
        let worst = bad.sorted { $0.limit.status.severity > $1.limit.status.severity }
        let words = worst.prefix(3).compactMap { gauge in
            gauge.value.map { gauge.words($0) + (gauge.limit.isFlapping ? " (came and went)" : "") }
        }
        return words.joined(separator: ", ") + (worst.count > 3 ? " and \(worst.count - 3) more" : "")
    }
}
