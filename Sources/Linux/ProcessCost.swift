// What this process costs its host: processor time and memory.
import Basics
import CLinux
import Glibc

/// Processor time and memory of this process, as the kernel counts them.
public struct ProcessCost: Hashable, Sendable {
    /// User and system time of all threads since the start.
    public var processorTime: Duration
    /// Resident memory in bytes; 0 where /proc is not mounted.
    public var residentBytes: Int64

    /// Reads them now.
    public static func now() -> ProcessCost {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        let fields = (try? Files.text("/proc/self/statm", limit: 4096))?.split(separator: " ") ?? []
        let pages = fields.count > 1 ? Int64(fields[1]) ?? 0 : 0
        return ProcessCost(
            processorTime: .nanoseconds(nanoseconds(time)),
            residentBytes: pages * Int64(sysconf(Int32(_SC_PAGESIZE))))
    }
}
