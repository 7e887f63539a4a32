// What the health bus says of a path of a feed and of the feed: status, reason and figures, from the path
// machine's state and a loss ratio with hysteresis.
import Arbitration
import Basics
import Configuration
import Wire

/// Raises at 1 % loss over the last second and clears below 0.5 %.
struct LossAlarm: Hashable, Sendable {
    static let raise = 0.01
    static let clear = 0.005
    /// Fewer messages than this prove nothing.
    static let leastMessages: UInt64 = 100

    private(set) var isRaised = false
    private(set) var ratio = 0.0
    private var received: UInt64 = 0
    private var missed: UInt64 = 0
    /// Calls since there were enough messages.
    private var quiet = 0
    /// After so many, what was is told no longer.
    static let mostQuiet = 60

    /// The counts since the start; called once a second.
    mutating func update(received: UInt64, missed: UInt64) {
        let got = received &- self.received
        let lost = missed &- self.missed
        guard got &+ lost >= LossAlarm.leastMessages else {
            quiet += 1
            if quiet >= LossAlarm.mostQuiet { (isRaised, ratio, quiet) = (false, 0, 0) }
            return
        }
        quiet = 0
        self.received = received
        self.missed = missed
        ratio = Double(lost) / Double(got &+ lost)
        if ratio >= LossAlarm.raise { isRaised = true }
        if ratio < LossAlarm.clear { isRaised = false }
    }
}

/// One path's figures, for the bus.
package struct PathFigures: Hashable, Sendable {
    var source = SourceCounters()
    package var messages: UInt64 = 0
    package var first: UInt64 = 0
    package var duplicates: UInt64 = 0
    package var missed: UInt64 = 0
    package var divergent: UInt64 = 0
    /// Packets that were no packets of the protocol.
    package var refused = RefusedInput()
    /// By name.
    package var decodeErrors: [String: UInt64] { refused.counts }

    var values: [NamedValue] {
        var values = [
            NamedValue("messages", .integer(Int64(clamping: messages))),
            NamedValue("messages_first", .integer(Int64(clamping: first))),
            NamedValue("duplicates", .integer(Int64(clamping: duplicates))),
            NamedValue("missed", .integer(Int64(clamping: missed))),
            NamedValue("divergent", .integer(Int64(clamping: divergent))),
            NamedValue("packets", .integer(Int64(clamping: source.packets))),
            NamedValue("received_bytes", .integer(Int64(clamping: source.bytes))),
            NamedValue("packets_dropped_by_kernel", .integer(Int64(clamping: source.droppedByKernel))),
            NamedValue("packets_truncated", .integer(Int64(clamping: source.truncated))),
            NamedValue("connects", .integer(Int64(clamping: source.connects))),
            NamedValue("receive_failures", .integer(Int64(clamping: source.failures))),
        ]
        if source.toSubscribe > 0 {
            values.append(NamedValue("subscribed", .integer(Int64(source.subscribed))))
            values.append(NamedValue("to_subscribe", .integer(Int64(source.toSubscribe))))
            values.append(NamedValue("subscribe_remaining_s", .number(source.subscribeRemaining.inSeconds)))
            values.append(NamedValue("unconfirmed", .integer(Int64(clamping: source.unconfirmed))))
        }
        if source.attempts > 0 {
            values.append(NamedValue("attempts", .integer(Int64(clamping: source.attempts))))
            values.append(NamedValue("retry_after_s", .number(source.retryAfter.inSeconds)))
        }
        if source.streamErrors > 0 {
            values.append(NamedValue("stream_errors", .integer(Int64(clamping: source.streamErrors))))
        }
        if source.unsequenced > 0 {
            values.append(NamedValue("unsequenced", .integer(Int64(clamping: source.unsequenced))))
        }
        for (name, count) in decodeErrors.sorted(by: { $0.key < $1.key }) {
            values.append(NamedValue("decode_errors_\(name)", .integer(Int64(clamping: count))))
        }
        return values
    }
}

extension PathState {
    /// How a path in this state is reported, without what its source says.
    func verdict(isLossy: Bool) -> (status: Status, reason: String) {
        switch self {
        case .waiting: (.unknown, "nothing heard yet")
        case .failed(let failure): (.critical, failure.description)
        case .standby, .recovering, .active:
            isLossy ? (.warning, "\(word), losing messages") : (.ok, word)
        }
    }

    /// The state in one word.
    var word: String {
        switch self {
        case .waiting: "waiting"
        case .standby: "standby"
        case .recovering: "recovering"
        case .active: "active"
        case .failed: "failed"
        }
    }
}
