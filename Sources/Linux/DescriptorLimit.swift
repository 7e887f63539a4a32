// How many descriptors the process may have. libzmq ends the process where it finds none left for itself, so
// that too low a limit is to be noticed before.
import Glibc

/// RLIMIT_NOFILE.
public enum DescriptorLimit {
    /// What holds now.
    public static var now: UInt64 {
        var limit = rlimit()
        let result = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return result == 0 ? UInt64(limit.rlim_cur) : .max
    }

    /// Raises what holds now to what may hold at most; epoll knows no bound. Returns what holds then.
    @discardableResult
    public static func raise() -> UInt64 {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return .max }
        let before = limit
        limit.rlim_cur = limit.rlim_max
        if unsafe setrlimit(resource, &limit) == 0 { return UInt64(limit.rlim_cur) }
        return UInt64(before.rlim_cur)
    }
}
