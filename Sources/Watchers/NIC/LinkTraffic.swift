// What a link's counters say of it: rates of errors and drops, each under a limit. A counter that went back was
// reset; nothing is made of the difference.
public import Basics
public import Configuration
import Detection
import Wire

/// The rates of one link, and whether they are well.
public struct LinkTraffic: Sendable {
    /// Per second, received and sent; `nil` before two readings.
    public private(set) var errors: Double?
    /// Per second, received and sent, for want of a buffer or of anybody who wants them.
    public private(set) var drops: Double?
    private var last: (counters: LinkStatistics, at: Instant)?
    private var errorLimit: Limit
    private var dropLimit: Limit
    private var errorClause = ""
    private var dropClause = ""

    public init(_ options: NICOptions) {
        errorLimit = Limit(.above, options.errors)
        dropLimit = Limit(.above, options.drops)
    }

    /// The counters as read just now.
    public mutating func measured(_ counters: LinkStatistics, at now: Instant) {
        defer { last = (counters, now) }
        guard let last, now > last.at else { return }
        let elapsed = (now - last.at).inSeconds
        func rate(_ total: (LinkStatistics) -> [UInt64]) -> Double? {
            var sum = 0.0
            for (old, new) in zip(total(last.counters), total(counters)) {
                guard new >= old else { return nil }
                sum += Double(new - old)
            }
            return sum / elapsed
        }
        errors = rate { [$0.receiveErrors, $0.sendErrors] }
        drops = rate { [$0.receiveDrops, $0.sendDrops, $0.receiveMissed] }
        if let errors, errorLimit.observed(errors, at: now) { errorClause = words(errors, "errors") }
        if let drops, dropLimit.observed(drops, at: now) { dropClause = words(drops, "drops") }
    }

    private func words(_ rate: Double, _ what: String) -> String { "\(perSecond(rate)) \(what) per second" }

    /// What is beyond its limit, worst first.
    var concerns: [NICConcern] {
        [
            NICConcern(errorLimit.status, errorClause + ": see its cable, its module and ethtool -S"),
            NICConcern(dropLimit.status, dropClause + ": see its ring and queues with ethtool -S"),
        ].filter { $0.status != .ok }
    }
}

/// A rate for a person.
func perSecond(_ rate: Double) -> String {
    rate >= 100 ? String(Int64(min(rate, 1e15))) : String((min(max(rate, 0), 1e15) * 10).rounded() / 10)
}

/// Something about a NIC that is up and not quite well.
struct NICConcern: Hashable, Sendable {
    var status: Status
    var clause: String

    init(_ status: Status, _ clause: String) {
        self.status = status
        self.clause = clause
    }
}
