// A watched process held by descriptor: the loop is woken the moment it ends.
import Basics
import Glibc
import Linux
import Reactor

/// Holds one process.
final class HeldProcess {
    let identity: ProcessIdentity
    private let pidfd: PIDFD
    private var source: IOSource?
    private let roots: FileRoots
    private let without: WithoutFeatures

    /// - Parameter onEvent: the process ended, or how it ended can be told now.
    /// - Throws: ESRCH when the process is gone, or its number is another one's by now.
    init(_ context: WatcherContext, _ identity: ProcessIdentity, onEvent: @escaping (HeldProcess) -> Void)
        throws(SystemError)
    {
        self.identity = identity
        roots = context.roots
        without = context.without
        pidfd = try PIDFD(opening: identity.pid)
        guard ProcScanner.stat(context.roots, identity.pid)?.startTicks == identity.startTicks else {
            throw SystemError("pidfd_open \(identity.pid): another process", number: ESRCH)
        }
        // Edges: one when the process ends, one when its parent has waited for it.
        source = try IOSource(context.loop, descriptor: pidfd.descriptor.raw, edgeTriggered: true) {
            [unowned self] in
            onEvent(self)
        }
    }

    var hasEnded: Bool { pidfd.hasEnded }

    /// How it ended, as far as anyone tells by now.
    var end: ProcessEnd {
        if !without.exitByPIDFD, let exit = pidfd.exit { return ProcessEnd(exit) }
        if !without.exitByStat, let exit = exitByStat { return ProcessEnd(exit) }
        return .unknown
    }

    /// The wait status that /proc shows while the parent has not waited yet, to who may trace the process;
    /// others are shown 0, so ask first: following the link fails then with another error than ENOENT.
    private var exitByStat: ProcessExit? {
        guard let stat = ProcScanner.stat(roots, identity.pid), stat.startTicks == identity.startTicks,
            stat.hasEnded, let status = stat.waitStatus
        else { return nil }
        do throws(SystemError) {
            _ = try Files.target(ofLink: "\(roots.proc)/\(identity.pid)/exe")
        } catch {
            guard error.number == ENOENT else { return nil }
        }
        let signal = status & 0x7f
        return signal == 0 ? .status(status >> 8 & 0xff) : .signal(signal)
    }
}

extension ProcessEnd {
    init(_ exit: ProcessExit) {
        switch exit {
        case .status(let code): self = .exited(code)
        case .signal(let number): self = .killed(signal: number)
        }
    }
}
