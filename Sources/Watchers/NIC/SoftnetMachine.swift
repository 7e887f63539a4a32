// The processors' backlog of received packets, /proc/net/softnet_stat: what they drop when it is full, and how often
// they give up with packets waiting. It belongs to the host and to no NIC. Source: net/core/net-procfs.c.
public import Basics
public import Configuration
import Detection
public import Wire

/// What all processors have counted.
public struct SoftnetCounters: Hashable, Sendable {
    public var dropped: UInt64 = 0
    public var squeezed: UInt64 = 0

    /// Reads a line for each processor, hexadecimal fields of which the second and third count; `nil` for
    /// anything else.
    public init?(_ bytes: [UInt8]) {
        var hasLines = false
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3)
            guard fields.count >= 3, let dropped = SoftnetCounters.number(fields[1]),
                let squeezed = SoftnetCounters.number(fields[2])
            else { return nil }
            self.dropped &+= dropped
            self.squeezed &+= squeezed
            hasLines = true
        }
        if !hasLines { return nil }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard (1...8).contains(digits.count) else { return nil }
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case 0x30...0x39: number = number << 4 | UInt64(digit - 0x30)
            case 0x61...0x66: number = number << 4 | UInt64(digit - 0x57)
            default: return nil
            }
        }
        return number
    }
}

/// Judges the backlog.
public struct SoftnetMachine: Sendable {
    public static let subject = Subject(.pressure, "softnet")

    private var dropLimit: Limit
    private var squeezeLimit: Limit
    private var last: (counters: SoftnetCounters, at: Instant)?
    private var drops: Double?
    private var squeezes: Double?
    private var reason = "no packet is dropped for want of backlog"

    public init(_ options: NICOptions) {
        dropLimit = Limit(.above, options.backlogDrops)
        squeezeLimit = Limit(.above, options.backlogSqueezes)
    }

    /// The file as read just now; `nil`: it could not be read, or holds something else.
    public mutating func read(_ counters: SoftnetCounters?, at now: Instant) -> Finding {
        guard let counters else {
            last = nil
            return Finding(Self.subject, .unknown, "/proc/net/softnet_stat cannot be read")
        }
        defer { last = (counters, now) }
        if let last, now > last.at, counters.dropped >= last.counters.dropped,
            counters.squeezed >= last.counters.squeezed
        {
            let elapsed = (now - last.at).inSeconds
            let (dropped, squeezed) = (
                Double(counters.dropped - last.counters.dropped) / elapsed,
                Double(counters.squeezed - last.counters.squeezed) / elapsed
            )
            (drops, squeezes) = (dropped, squeezed)
            judge(dropped, squeezed, at: now)
        } else {
            (drops, squeezes) = (nil, nil)
        }
        return Finding(
            Self.subject, Status.worst(of: [dropLimit.status, squeezeLimit.status]), reason,
            values: values(counters))
    }

    private mutating func judge(_ dropped: Double, _ squeezed: Double, at now: Instant) {
        let isOther = dropLimit.observed(dropped, at: now)
        guard squeezeLimit.observed(squeezed, at: now) || isOther else { return }
        if dropLimit.status != .ok {
            reason = "\(perSecond(dropped)) packets per second dropped: raise net.core.netdev_max_backlog"
        } else if squeezeLimit.status != .ok {
            reason =
                "processors give up \(perSecond(squeezed)) times per second: raise net.core.netdev_budget"
        } else {
            reason = "no packet is dropped for want of backlog"
        }
    }

    private func values(_ counters: SoftnetCounters) -> [NamedValue] {
        var values = [
            NamedValue("dropped_packets", .integer(Int64(clamping: counters.dropped))),
            NamedValue("time_squeezes", .integer(Int64(clamping: counters.squeezed))),
        ]
        if let drops { values.append(NamedValue("dropped_packets_per_second", .number(drops))) }
        if let squeezes { values.append(NamedValue("time_squeezes_per_second", .number(squeezes))) }
        return values
    }
}
