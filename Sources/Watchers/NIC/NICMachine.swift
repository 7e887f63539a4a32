// One network interface: what its link messages and its carrier counters say of it. The counters are read
// apart from the messages because the kernel holds a real NIC's messages back for up to a second; they tell
// the carrier too, once one message has shown both together.
public import Basics
import Detection
import Wire

/// The state of one NIC under its present name and index.
public struct NICMachine: Sendable {
    /// What is wrong, or that nothing is.
    public enum Condition: Hashable, Sendable {
        case up
        case administrativelyDown
        case noCarrier
        /// Carrier, but RFC 2863 says that nothing passes yet: waiting for authentication, testing.
        case withheld(OperationalState)
    }

    /// A condition that the NIC passed through or is in now; the last one of a list is the present one.
    public struct Change: Hashable, Sendable {
        public var condition: Condition
        public var isFlapping: Bool
    }

    public private(set) var link: LinkMessage
    public private(set) var condition: Condition
    /// Carrier losses that this machine saw.
    public private(set) var losses: UInt64 = 0
    /// Times that a counter went back: the driver or device was reset.
    public private(set) var resets: UInt64 = 0
    /// Messages older than what the counters had already told.
    public private(set) var outdated: UInt64 = 0
    /// Since when it has been up; zero: since before anyone looked, or it is not.
    public private(set) var upSince = Instant.zero
    private var counts: CarrierCounts?
    /// `up − down` while there is carrier; found when a message shows carrier and counts together.
    private var balanceWithCarrier: Int64?
    private var damping: FlapDamping
    private var wasFlapping = false

    /// A NIC as its first message shows it.
    public init(_ link: LinkMessage, flapCount: Int, flapWindow: Duration) {
        self.link = link
        condition = NICMachine.condition(of: link, carrier: link.hasCarrier)
        damping = FlapDamping(count: flapCount, window: flapWindow)
        take(counts: link.carrierCounts, carrier: link.hasCarrier)
    }

    /// The present state, as the first report tells it.
    public var current: Change { Change(condition: condition, isFlapping: wasFlapping) }

    /// When flapping may have ended.
    public var deadline: Instant? { wasFlapping ? damping.deadline : nil }

    public var carrierCounts: CarrierCounts? { counts }

    /// A message about this NIC; `isOrdered` when none of what is already known can be newer (an event of a
    /// NIC whose counters are not polled). Returns the conditions passed through.
    public mutating func changed(_ message: LinkMessage, isOrdered: Bool, at now: Instant) -> [Change] {
        let previous = counts
        let statistics = message.statistics ?? link.statistics
        let permanent = message.permanentAddress ?? link.permanentAddress
        link = message
        link.statistics = statistics
        link.permanentAddress = permanent
        guard let told = message.carrierCounts, let previous else {
            take(counts: message.carrierCounts, carrier: message.hasCarrier)
            return settle(carrier: message.hasCarrier, lostBetween: 0, at: now)
        }
        if NICMachine.wentBack(from: previous, to: told) {
            guard isOrdered else {
                outdated &+= 1
                return settle(carrier: carrier(of: previous) ?? message.hasCarrier, lostBetween: 0, at: now)
            }
            resets &+= 1
            take(counts: told, carrier: message.hasCarrier)
            return settle(carrier: message.hasCarrier, lostBetween: 0, at: now)
        }
        take(counts: told, carrier: message.hasCarrier)
        return settle(carrier: message.hasCarrier, lostBetween: told.down - previous.down, at: now)
    }

    /// The counters as read just now. Returns the conditions passed through.
    public mutating func counted(_ read: CarrierCounts, at now: Instant) -> [Change] {
        guard let previous = counts, !NICMachine.wentBack(from: previous, to: read) else {
            if counts != nil { resets &+= 1 }
            counts = read
            balanceWithCarrier = nil
            return []
        }
        counts = read
        guard read != previous, let carrier = carrier(of: read) else { return [] }
        return settle(carrier: carrier, lostBetween: read.down - previous.down, at: now)
    }

    /// Time passed: flapping may have ended.
    public mutating func passed(_ now: Instant) -> [Change] {
        guard wasFlapping, !damping.isFlapping(at: now) else { return [] }
        wasFlapping = false
        return [current]
    }

    /// Newer statistics, which change no condition.
    public mutating func measured(_ statistics: LinkStatistics) { link.statistics = statistics }

    /// A NIC that came back under a new index keeps the history of its losses.
    public mutating func inherit(_ other: NICMachine, at now: Instant) {
        damping = other.damping
        losses = other.losses
        resets = other.resets
        wasFlapping = damping.isFlapping(at: now)
    }

    /// Other limits after a reload; the history begins anew.
    public mutating func limit(flapCount: Int, flapWindow: Duration) {
        guard flapCount != damping.count || flapWindow != damping.window else { return }
        damping = FlapDamping(count: flapCount, window: flapWindow)
        wasFlapping = false
    }
}

// MARK: - Steps

extension NICMachine {
    private static func wentBack(from old: CarrierCounts, to new: CarrierCounts) -> Bool {
        new.down < old.down || new.up < old.up
    }

    private static func condition(of link: LinkMessage, carrier: Bool) -> Condition {
        guard link.isAdministrativelyUp else { return .administrativelyDown }
        guard carrier else { return .noCarrier }
        switch link.operationalState {
        case .dormant: return .withheld(.dormant)
        case .testing: return .withheld(.testing)
        case .notPresent: return .withheld(.notPresent)
        // The kernel sets down and lowerLayerDown late; the carrier is ahead of them.
        case .unknown, .down, .lowerLayerDown, .up, nil: return .up
        }
    }

    /// A message that shows counts and carrier together teaches how the one tells the other.
    private mutating func take(counts told: CarrierCounts?, carrier: Bool) {
        guard let told else { return }
        counts = told
        balanceWithCarrier = Int64(told.up) - Int64(told.down) + (carrier ? 0 : 1)
    }

    private func carrier(of counts: CarrierCounts) -> Bool? {
        balanceWithCarrier.map { Int64(counts.up) - Int64(counts.down) >= $0 }
    }

    /// Moves to the condition that follows from the carrier. Losses that were over before anyone looked are
    /// told as well: down, then what is now.
    private mutating func settle(carrier: Bool, lostBetween: UInt32, at now: Instant) -> [Change] {
        let next = NICMachine.condition(of: link, carrier: carrier)
        let wasUp = condition == .up
        let seen = wasUp && next == .noCarrier ? 1 : 0
        let lost = max(seen, Int(lostBetween))
        if lost > 0, link.isAdministrativelyUp {
            damping.lost(lost, at: now)
            losses &+= UInt64(lost)
        }
        let flaps = damping.isFlapping(at: now)
        var changes: [Change] = []
        if wasUp, next == .up, lostBetween > 0, link.isAdministrativelyUp {
            changes.append(Change(condition: .noCarrier, isFlapping: flaps))
        }
        let moved = next != condition || flaps != wasFlapping || !changes.isEmpty
        if next == .up, !wasUp { upSince = now }
        condition = next
        wasFlapping = flaps
        return moved ? changes + [current] : []
    }
}
