// One path's socket and machine: sends what the machine asks for, hands it what comes back.
import Basics
import Configuration
import Linux
import Messaging
import Logging
import Reactor
import Wire

/// Probes one path.
final class PathProber {
    /// A socket that cannot be opened is tried again this often.
    private static let reopenEvery: Duration = .seconds(1)
    /// Receipts taken before others get their turn.
    private static let batch = 256

    let options: ISPOptions
    private(set) var machine: PathMachine
    private let context: WatcherContext
    private var socket: OpenSocket?
    private var link: LinkUnderPath
    private var reopenAt: Instant?
    private var openFailure = "its socket is not open"
    private var hasFailedSends = false
    private(set) var nextTick: Instant

    /// A socket on the loop.
    private final class OpenSocket {
        let icmp: ICMPSocket
        var source: IOSource?
        var departures = DepartureLog()
        /// The kernel's numbers are ours as long as every send succeeded.
        var hasReliableNumbers = true
        var isIdentified = false

        init(_ icmp: consuming ICMPSocket) { self.icmp = icmp }
    }

    init(_ context: WatcherContext, _ options: ISPOptions, targets: [IPv4Address]) {
        self.context = context
        self.options = options
        link = options.interface.map { context.links[$0] } ?? LinkUnderPath(.up, index: nil)
        let now = context.loop.now
        machine = PathMachine(options, targets: targets, identifier: .random(in: 1...UInt16.max), at: now)
        nextTick = now
        perform(machine.linkChanged(to: link.condition, at: now))
        perform(machine.passed(now))
    }

    var subject: Subject { machine.subject }

    /// When something is to be done next.
    var deadline: Instant { machine.deadline.map { min($0, nextTick) } ?? nextTick }

    /// The tick or a deadline has come.
    func wake(at now: Instant) {
        guard nextTick <= now else { return perform(machine.passed(now)) }
        nextTick = nextMultiple(of: options.probeEvery, after: now)
        perform(machine.tick(at: now))
    }

    func retarget(_ targets: [IPv4Address]) { perform(machine.retarget(targets, at: context.loop.now)) }

    func linkChanged() {
        guard let name = options.interface else { return }
        let previous = link
        link = context.links[name]
        let now = context.loop.now
        if link.index != previous.index { close() }
        let wasDown = previous.condition != .up && link.condition == .up
        perform(machine.linkChanged(to: link.condition, at: now))
        // Not a moment is lost between a link that is back and the first probe over it.
        if wasDown { nextTick = now }
    }

    /// The host's addresses on the path's link changed.
    func addressesChanged() {
        close()
        perform(machine.rebound(at: context.loop.now))
    }

    /// The present state with its newest values, and a sample of them.
    func sample() {
        if let finding = machine.finding { context.report(finding) }
        context.sample(machine.sample)
    }
}

// MARK: - The socket

extension PathProber {
    private func openIfNeeded(at now: Instant) {
        guard socket == nil, reopenAt.map({ $0 <= now }) ?? true else { return }
        do throws(SystemError) {
            socket = try open()
            reopenAt = nil
        } catch {
            if openFailure != error.description {
                tell("\(error); its probes cannot be sent")
            }
            openFailure = error.description
            reopenAt = now + PathProber.reopenEvery
        }
    }

    private func tell(_ trouble: String) {
        context.limited.event(
            .probeFailed, key: "\(subject)", "\(subject): \(trouble)", ["subject": "\(subject)"])
    }

    /// Raw where allowed, else a datagram socket.
    private func open() throws(SystemError) -> OpenSocket {
        let opened: OpenSocket
        if context.without.rawICMP {
            opened = OpenSocket(try ICMPSocket(access: .datagram, interface: options.interface))
        } else {
            opened = try openPreferringRaw()
        }
        if opened.icmp.access == .raw { try opened.icmp.accept(identifier: machine.identifier) }
        opened.source = try IOSource(context.loop, descriptor: opened.icmp.descriptor.raw) { [unowned self] in
            receive()
        }
        return opened
    }

    private func openPreferringRaw() throws(SystemError) -> OpenSocket {
        do throws(SystemError) {
            return OpenSocket(try ICMPSocket(access: .raw, interface: options.interface))
        } catch {
            guard let datagram = try? ICMPSocket(access: .datagram, interface: options.interface) else {
                throw error
            }
            return OpenSocket(datagram)
        }
    }

    private func close() {
        socket = nil
        reopenAt = nil
    }

    /// Takes all that has come, the kernel's stamps first: a reply may be read before the stamp of its probe.
    private func receive() {
        guard let socket else { return }
        var receipts: [ICMPReceipt] = []
        do throws(SystemError) {
            while receipts.count < PathProber.batch, let receipt = try socket.icmp.receive() {
                receipts.append(receipt)
            }
        } catch {
            tell("\(error), opening its socket anew")
            close()
        }
        for case .departed(let index, let time) in receipts where socket.hasReliableNumbers {
            socket.departures.departed(index, at: time)
        }
        for receipt in receipts { take(receipt, socket) }
    }

    private func take(_ receipt: ICMPReceipt, _ socket: OpenSocket) {
        switch receipt {
        case .reply(let source, let identifier, let sequence, let receivedAt):
            let left = socket.departures.departure(to: source, sequence: sequence)
            let roundTrip = left.flatMap { left in receivedAt.map { $0 - left } }
            perform(
                machine.received(
                    from: source, identifier: identifier, sequence: sequence, roundTrip: roundTrip,
                    at: context.loop.now))
        case .unreachable: machine.refused()
        case .departed, .other: break
        }
    }
}

// MARK: - Actions

extension PathProber {
    private func perform(_ actions: [PathAction]) {
        for action in actions {
            switch action {
            case .probe(let target, let identifier, let sequence): send(target, identifier, sequence)
            case .rotate(let identifier): rotate(to: identifier)
            case .report(let finding): context.report(finding)
            }
        }
    }

    private func rotate(to identifier: UInt16) {
        guard let socket else { return }
        guard socket.icmp.access == .raw else { return close() }
        do throws(SystemError) { try socket.icmp.accept(identifier: identifier) } catch { close() }
    }

    private func send(_ target: IPv4Address, _ identifier: UInt16, _ sequence: UInt16) {
        let now = context.loop.now
        openIfNeeded(at: now)
        guard let socket else {
            return machine.sendFailed(to: target, sequence: sequence, reason: openFailure, at: now)
        }
        if let reason = trySending(socket, target, machine.identifier, sequence) {
            hasFailedSends = true
            socket.hasReliableNumbers = false
            return machine.sendFailed(to: target, sequence: sequence, reason: reason, at: now)
        }
        identify(socket)
        machine.sent(to: target)
        socket.departures.sent(to: target, sequence: sequence)
        // The kernel may or may not have counted the failed ones: a new socket counts from 0 again.
        if hasFailedSends {
            hasFailedSends = false
            close()
        }
    }

    /// The kernel chooses a datagram socket's identifier when it sends for the first time.
    private func identify(_ socket: OpenSocket) {
        guard !socket.isIdentified else { return }
        socket.isIdentified = true
        if let identifier = socket.icmp.kernelIdentifier { machine.assigned(identifier: identifier) }
    }

    /// Sends one probe; returns why it could not be sent. A pending error of an earlier probe (an ICMP answer)
    /// fails one call and is cleared by it.
    private func trySending(
        _ socket: OpenSocket, _ target: IPv4Address, _ identifier: UInt16, _ sequence: UInt16
    ) -> String? {
        var reason: String?
        for _ in 0..<2 {
            do throws(SystemError) {
                return try socket.icmp.sendEcho(to: target, identifier: identifier, sequence: sequence)
                    ? nil : "the socket's buffer is full"
            } catch {
                reason = SystemError.text(error.number)
            }
        }
        return reason
    }
}
