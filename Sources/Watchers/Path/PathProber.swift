// One path's machine and the ways of its probes: sends what the machine asks for, hands it what comes back.
import Basics
import Configuration
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Probes one path.
final class PathProber {
    let options: ISPOptions
    private(set) var machine: PathMachine
    private let context: WatcherContext
    private let onChange: () -> Void
    private var transport: ProbeTransport?
    private var link: LinkUnderPath
    private(set) var nextTick: Instant

    /// - Parameter onChange: called after a report of another state.
    init(
        _ context: WatcherContext, _ options: ISPOptions, targets: [ProbeTarget],
        onChange: @escaping () -> Void
    ) {
        self.context = context
        self.options = options
        self.onChange = onChange
        link = options.interface.map { context.links[$0] } ?? LinkUnderPath(.up, index: nil)
        let now = context.loop.now
        machine = PathMachine(
            options, targets: targets, identifier: .random(in: 1...UInt16.max), at: now)
        nextTick = now
        transport = ProbeTransport(context, options) { [unowned self] in heard($0) }
        perform(machine.linkChanged(to: link.condition, at: now))
        perform(machine.passed(now))
        lookAtSources()
    }

    var subject: Subject { machine.subject }

    /// When something is to be done next.
    var deadline: Instant { machine.deadline.map { min($0, nextTick) } ?? nextTick }

    func probes(_ family: IPFamily) -> Bool {
        machine.targets.contains { $0.target.address.family == family }
    }

    /// The tick or a deadline has come.
    func wake(at now: Instant) {
        // Before anything is given up.
        transport?.collect()
        guard nextTick <= now else { return perform(machine.passed(now)) }
        nextTick = nextMultiple(of: options.probeEvery, after: now)
        perform(machine.tick(at: now))
    }

    func retarget(_ targets: [ProbeTarget]) {
        let isOther = targets != machine.targets.map(\.target)
        perform(machine.retarget(targets, at: context.loop.now))
        if isOther { lookAtSources() }
    }

    /// What the kernel knows of the next hop, see the machine.
    func heard(unresolved hop: IPAddress?) {
        perform(machine.heard(unresolved: hop, at: context.loop.now))
    }

    func linkChanged() {
        guard let name = options.interface else { return }
        let previous = link
        link = context.links[name]
        let now = context.loop.now
        if link.index != previous.index { transport?.close() }
        let wasDown = previous.condition != .up && link.condition == .up
        perform(machine.linkChanged(to: link.condition, at: now))
        if link != previous { lookAtSources() }
        // Not a moment is lost between a link that is back and the first probe over it.
        if wasDown { nextTick = now }
    }

    /// The host's addresses on the path's link changed, or may have: asks the kernel by which of them probes leave now.
    func lookAtSources() {
        let found = machine.targets.compactMap {
            sourceAddress(towards: $0.target.address, interface: options.interface)
        }
        perform(machine.leaves(by: Set(found), at: context.loop.now))
    }

    /// The present state with its newest values, and a sample of them.
    func sample() {
        if machine.hasNoSource, !machine.targets.isEmpty, link.condition == .up { lookAtSources() }
        if let finding = machine.finding { context.report(finding) }
        context.sample(machine.sample)
    }
}

// MARK: - Events and actions

extension PathProber {
    private func heard(_ event: ProbeEvent) {
        let now = context.loop.now
        switch event {
        case .echo(let source, let identifier, let sequence, let roundTrip):
            perform(
                machine.received(
                    from: source, identifier: identifier, sequence: sequence, roundTrip: roundTrip, at: now))
        case .answer(let target, let sequence, let roundTrip):
            perform(machine.answered(target, sequence: sequence, roundTrip: roundTrip, at: now))
        case .unreachable: machine.refused()
        case .foreign: machine.ignored()
        case .trouble(let words):
            context.limited.event(
                .probeFailed, key: "\(subject)", "\(subject): \(words)", ["subject": "\(subject)"])
        }
    }

    private func perform(_ actions: [PathAction]) {
        for action in actions {
            switch action {
            case .probe(let target, let identifier, let sequence): send(target, identifier, sequence)
            case .rebind: transport?.close()
            case .rotate(let identifier): transport?.rotate(to: identifier)
            case .report(let finding):
                context.report(finding)
                onChange()
            }
        }
        transport?.isPrompt = machine.isAwaitingReply
    }

    private func send(_ target: ProbeTarget, _ identifier: UInt16, _ sequence: UInt16) {
        let reason = transport?.send(to: target, identifier: identifier, sequence: sequence)
        if let reason {
            machine.sendFailed(to: target, sequence: sequence, reason: reason, at: context.loop.now)
        } else {
            machine.sent(to: target)
        }
    }
}
