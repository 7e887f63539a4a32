// Keeps a daemon off the processors that the host has set apart for trading: those of the kernel's isolcpus= and
// nohz_full=. A daemon on one of them would make the very jitter that they are isolated from.
import Basics
import Linux

enum Housekeeping {
    /// What to do about processors that are set apart.
    enum Plan: Hashable {
        /// None of those that the daemon may use is.
        case stay
        case move(CPUList)
        /// All of them are: the operator wants the daemon there, or leaves it no other.
        case nowhere(CPUList)
    }

    static func plan(allowed: CPUList, isolated: CPUList, tickless: CPUList) -> Plan {
        let apart = isolated.union(tickless)
        let left = allowed.without(apart)
        if left == allowed { return .stay }
        return left.isEmpty ? .nowhere(allowed) : .move(left)
    }

    /// Moves the calling thread, which must be the only one so far.
    ///
    /// - Returns: why it runs on processors that are set apart; `nil`: it does not.
    static func leaveIsolatedProcessors(_ folder: String = "/sys/devices/system/cpu") -> String? {
        func list(_ name: String) -> CPUList {
            (try? Files.text("\(folder)/\(name)", limit: 65_536)).flatMap { CPUList(parsing: $0) }
                ?? CPUList([])
        }
        let (isolated, tickless) = (list("isolated"), list("nohz_full"))
        guard !isolated.isEmpty || !tickless.isEmpty else { return nil }
        do throws(SystemError) {
            switch plan(allowed: try Affinity.current(), isolated: isolated, tickless: tickless) {
            case .stay: return nil
            case .move(let left):
                try Affinity.set(left)
                return nil
            case .nowhere(let allowed): return "there is no other among those that are allowed (\(allowed))"
            }
        } catch {
            return "\(error)"
        }
    }
}
