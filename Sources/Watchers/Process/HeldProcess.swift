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
    private let group: ControlGroup
    private let killCount: KillCount?
    /// The kills for lack of memory in its control group while it ran.
    private var kills: Int64?
    /// `nil`: its files in /proc cannot be opened.
    let gauge: ProcessGauge?

    /// - Parameter onEvent: the process ended, or how it ended can be told now.
    /// - Throws: ESRCH when the process is gone, or its number is another one's by now.
    init(_ context: WatcherContext, _ identity: ProcessIdentity, onEvent: @escaping (HeldProcess) -> Void)
        throws(SystemError)
    {
        self.identity = identity
        roots = context.roots
        without = context.without
        pidfd = try PIDFD(opening: identity.pid)
        let pid = identity.pid
        group = ControlGroup((try? Files.read("\(roots.proc)/\(pid)/cgroup", limit: 65_536)) ?? [])
        killCount = KillCount(group, roots)
        gauge = try? ProcessGauge(roots, pid, killCount)
        var buffer = [UInt8](repeating: 0, count: 1024)
        kills = killCount?.now(&buffer)
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

    /// The service of systemd that it belongs to, if any.
    var service: String? { group.service }

    /// What was measured of it while it ran.
    func measured(_ measure: ProcessMeasure) { kills = measure.kills ?? kills }

    /// How it ended, as far as anyone tells by now.
    var end: ProcessEnd {
        let end = told
        guard end == .unknown || end == .killed(signal: SIGKILL), let kills, let killCount else { return end }
        var buffer = [UInt8](repeating: 0, count: 1024)
        return (killCount.now(&buffer) ?? kills) > kills ? .outOfMemory : end
    }

    /// Its parent may wait for it between both looks: /proc shows nothing more then, and the descriptor tells.
    private var told: ProcessEnd {
        (exitByPIDFD ?? exitByStat ?? exitByPIDFD).map { ProcessEnd($0) } ?? .unknown
    }

    private var exitByPIDFD: ProcessExit? { without.exitByPIDFD ? nil : pidfd.exit }

    /// The wait status that /proc shows while the parent has not waited yet, to who may trace the process; others are
    /// shown 0.
    private var exitByStat: ProcessExit? {
        guard !without.exitByStat, isShown, let stat = ProcScanner.stat(roots, identity.pid),
            stat.startTicks == identity.startTicks, stat.hasEnded, let status = stat.waitStatus
        else { return nil }
        let signal = status & 0x7f
        return signal == 0 ? .status(status >> 8 & 0xff) : .signal(signal)
    }

    /// Whether we may trace the process that has ended: following its link fails with ENOENT then, else with another
    /// error. Asked before the status is read: of a process that is gone, everybody is told ENOENT.
    private var isShown: Bool {
        do throws(SystemError) {
            _ = try Files.target(ofLink: "\(roots.proc)/\(identity.pid)/exe")
            return true
        } catch {
            return error.number == ENOENT
        }
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
