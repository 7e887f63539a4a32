// One way out of the host, judged by echo probes to several targets: up while a quorum of them answers. A
// value: ticks, replies, send errors and link conditions in; probes and findings out.
public import Basics
public import Configuration
import Detection
public import Wire

/// What the link under a path allows.
public enum LinkCondition: Hashable, Sendable {
    /// As routed, or not read yet.
    case unknown
    case up
    case noCarrier
    case administrativelyDown
    /// There is no such interface.
    case missing
    case withheld
}

/// What the shell is to do for a path.
public enum PathAction: Hashable, Sendable {
    /// Send an echo request.
    case probe(target: IPv4Address, identifier: UInt16, sequence: UInt16)
    /// From now on probes bear another identifier; a kernel-chosen one needs a new socket.
    case rotate(identifier: UInt16)
    case report(Finding)
}

/// The state of one path.
public struct PathMachine: Sendable {
    /// After this long without any reply the identifier is changed: some firewalls wedge on one.
    public static let rotateAfter: Duration = .seconds(10)

    public let subject: Subject
    public private(set) var options: ISPOptions
    public private(set) var targets: [TargetMachine]
    public private(set) var identifier: UInt16
    /// Replies that no probe asked for.
    public private(set) var foreign: UInt64 = 0
    /// Times that the network, or this host's own stack, said that something is unreachable. Which probe it
    /// was about is not told, so its loss is judged by time like any other.
    public private(set) var unreachable: UInt64 = 0
    var link = LinkCondition.unknown
    var told: Verdict?
    /// The words of what was told; figures in them are of that moment.
    var toldReason = ""
    var lossAlarm: Hysteresis
    var delayAlarm: Hysteresis?
    private var lastReply: Instant
    var hasOutage = false

    /// - Parameter targets: the addresses to probe, without repetition.
    public init(_ options: ISPOptions, targets: [IPv4Address], identifier: UInt16, at now: Instant) {
        subject = Subject(.path, options.name)
        self.options = options
        self.identifier = identifier
        self.targets = targets.map { TargetMachine($0, options, at: now) }
        lossAlarm = Hysteresis(raise: options.lossRaise, clear: min(options.lossClear, options.lossRaise))
        delayAlarm = options.rttRaise.map {
            Hysteresis(
                raise: $0.inSeconds, clear: min(options.rttClear ?? $0, $0).inSeconds,
                dwell: options.probeEvery * 10)
        }
        lastReply = now
    }

    /// How many targets must answer.
    public var quorum: Int { min(max(1, options.quorum ?? targets.count / 2 + 1), max(1, targets.count)) }

    /// The next instant, other than a tick, at which `passed` may have something to say.
    public var deadline: Instant? { targets.compactMap(\.deadline).min() }
}

// MARK: - Events

extension PathMachine {
    /// The tick of all paths: what is due is given up and judged, and every target is probed.
    public mutating func tick(at now: Instant) -> [PathAction] {
        var actions = passed(now)
        if !targets.isEmpty, now - lastReply >= PathMachine.rotateAfter {
            lastReply = now
            identifier = identifier == .max ? 1 : identifier + 1
            actions.append(.rotate(identifier: identifier))
        }
        for index in targets.indices {
            let number = targets[index].isSuspect(at: now) ? 2 : 1
            for _ in 0..<number {
                let sequence = targets[index].probe(at: now)
                actions.append(
                    .probe(target: targets[index].address, identifier: identifier, sequence: sequence))
            }
        }
        return actions
    }

    /// Time passed.
    public mutating func passed(_ now: Instant) -> [PathAction] {
        for index in targets.indices { targets[index].passed(now) }
        return tell(at: now)
    }

    /// The kernel took the probe.
    public mutating func sent(to target: IPv4Address) {
        guard let index = index(of: target) else { return }
        targets[index].sendSucceeded()
    }

    /// The kernel refused the probe: an error of probing, not of the path.
    public mutating func sendFailed(
        to target: IPv4Address, sequence: UInt16, reason: String, at now: Instant
    ) {
        guard let index = index(of: target) else { return }
        targets[index].sendFailed(sequence, reason, at: now)
    }

    /// An echo reply arrived.
    public mutating func received(
        from source: IPv4Address, identifier: UInt16, sequence: UInt16, roundTrip: Duration?, at now: Instant
    ) -> [PathAction] {
        guard identifier == self.identifier, let index = index(of: source) else {
            foreign &+= 1
            return []
        }
        let previous = targets[index].state
        guard targets[index].replied(sequence, measured: roundTrip, at: now) else {
            foreign &+= 1
            return []
        }
        lastReply = now
        return targets[index].state == previous ? [] : tell(at: now)
    }

    /// An ICMP error came back.
    public mutating func refused() { unreachable &+= 1 }

    /// The kernel chose this identifier.
    public mutating func assigned(identifier: UInt16) { self.identifier = identifier }

    /// The link under the path changed.
    public mutating func linkChanged(to condition: LinkCondition, at now: Instant) -> [PathAction] {
        guard condition != link else { return [] }
        link = condition
        switch condition {
        case .unknown: break
        case .up: for index in targets.indices { targets[index].rebound(at: now) }
        case .noCarrier, .administrativelyDown, .missing, .withheld:
            for index in targets.indices { targets[index].linkLost(at: now) }
        }
        return tell(at: now)
    }

    /// The host's address or the interface's index changed: the shell has bound anew.
    public mutating func rebound(at now: Instant) -> [PathAction] {
        for index in targets.indices { targets[index].rebound(at: now) }
        return tell(at: now)
    }

    /// Other addresses to probe (the next hop moved): known ones keep their history.
    public mutating func retarget(_ addresses: [IPv4Address], at now: Instant) -> [PathAction] {
        guard addresses != targets.map(\.address) else { return told == nil ? tell(at: now) : [] }
        let known = targets
        targets = addresses.map { address in
            known.first { $0.address == address } ?? TargetMachine(address, options, at: now)
        }
        return tell(at: now)
    }

    private func index(of target: IPv4Address) -> Int? { targets.firstIndex { $0.address == target } }
}
