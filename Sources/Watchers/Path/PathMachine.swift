// One way out of the host, judged by probes to several targets: up while a quorum of them answers. A
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
    /// Send a probe; echo requests bear the identifier.
    case probe(target: ProbeTarget, identifier: UInt16, sequence: UInt16)
    /// Open what probes leave by anew: it is bound to an address that they no longer leave by.
    case rebind
    /// From now on probes bear another identifier; one that the kernel chooses, and a port, need a new socket.
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
    var lossLimit: Limit
    var delayLimit: Limit
    /// The next hop, while it does not tell its hardware address.
    var unresolvedHop: IPAddress?
    /// The host's addresses by which probes leave, none if they cannot; `nil`: not looked at yet.
    private var sources: Set<IPAddress>?
    private var lastReply: Instant
    var hasOutage = false

    /// - Parameter targets: whom to probe, without repetition.
    public init(_ options: ISPOptions, targets: [ProbeTarget], identifier: UInt16, at now: Instant) {
        subject = Subject(.path, options.name)
        self.options = options
        self.identifier = identifier
        self.targets = targets.map { TargetMachine($0, options, at: now) }
        lossLimit = Limit(.above, options.loss)
        delayLimit = Limit(.above, options.rtt)
        lastReply = now
    }

    /// What was told last.
    public var status: Status { told?.status ?? .unknown }

    /// It is told as silent.
    public var isSilent: Bool { if case .silent = told { true } else { false } }

    /// The next reply may change what is told: it is not to wait for the next tick.
    public var isAwaitingReply: Bool { targets.contains { !$0.isUp } }

    /// How many targets must answer.
    public var quorum: Int {
        min(max(1, options.quorum ?? targets.count / 2 + 1), max(1, targets.count))
    }

    /// The host had no address to send from when it was last looked at.
    public var hasNoSource: Bool { sources?.isEmpty == true }

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
                    .probe(target: targets[index].target, identifier: identifier, sequence: sequence))
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
    public mutating func sent(to target: ProbeTarget) {
        guard let index = index(of: target) else { return }
        targets[index].sendSucceeded()
    }

    /// The kernel refused the probe: an error of probing, not of the path.
    public mutating func sendFailed(
        to target: ProbeTarget, sequence: UInt16, reason: String, at now: Instant
    ) {
        guard let index = index(of: target) else { return }
        targets[index].sendFailed(sequence, reason, at: now)
    }

    /// An echo reply arrived.
    public mutating func received(
        from source: IPAddress, identifier: UInt16, sequence: UInt16, roundTrip: Duration?,
        at now: Instant
    ) -> [PathAction] {
        guard identifier == self.identifier else {
            foreign &+= 1
            return []
        }
        return answered(ProbeTarget(source), sequence: sequence, roundTrip: roundTrip, at: now)
    }

    /// A target answered the probe of this sequence.
    public mutating func answered(
        _ target: ProbeTarget, sequence: UInt16, roundTrip: Duration?, at now: Instant
    ) -> [PathAction] {
        guard let index = index(of: target) else {
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

    /// An answer that no probe of ours asked for.
    public mutating func ignored() { foreign &+= 1 }

    /// An ICMP error came back.
    public mutating func refused() { unreachable &+= 1 }

    /// What the kernel knows of the next hop: `unresolved` does not answer ARP or neighbour discovery.
    public mutating func heard(unresolved hop: IPAddress?, at now: Instant) -> [PathAction] {
        guard hop != unresolvedHop else { return [] }
        unresolvedHop = hop
        return tell(at: now)
    }

    /// The link under the path changed.
    public mutating func linkChanged(to condition: LinkCondition, at now: Instant) -> [PathAction] {
        guard condition != link else { return [] }
        link = condition
        sources = nil
        switch condition {
        case .unknown: break
        case .up: for index in targets.indices { targets[index].rebound(at: now) }
        case .noCarrier, .administrativelyDown, .missing, .withheld:
            for index in targets.indices { targets[index].linkLost(at: now) }
        }
        return tell(at: now)
    }

    /// The addresses of the path's link changed, and the kernel says by which of them probes leave now. While those
    /// are the same, replies come to them, and silence is judged on; as long as there are none, so are failed sends.
    public mutating func leaves(by sources: Set<IPAddress>, at now: Instant) -> [PathAction] {
        guard let before = self.sources else {
            self.sources = sources
            return []
        }
        // An address may have come and gone between two looks.
        guard sources != before else { return sources.isEmpty ? [.rebind] : [] }
        self.sources = sources
        for index in targets.indices { targets[index].rebound(at: now) }
        return [.rebind] + tell(at: now)
    }

    /// Others to probe (the next hop moved): known ones keep their history.
    public mutating func retarget(_ wanted: [ProbeTarget], at now: Instant) -> [PathAction] {
        guard wanted != targets.map(\.target) else { return told == nil ? tell(at: now) : [] }
        let known = targets
        sources = nil
        targets = wanted.map { target in
            known.first { $0.target == target } ?? TargetMachine(target, options, at: now)
        }
        return tell(at: now)
    }

    private func index(of target: ProbeTarget) -> Int? { targets.firstIndex { $0.target == target } }
}
