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
}

/// Reads what this process costs, several times a second.
public final class ProcessMeter {
    private final class Held {
        let file: PolledFile
        init() throws(SystemError) { file = try PolledFile(path: "/proc/self/statm") }
    }

    private let statm = try? Held()
    private let pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))
    private var buffer = [UInt8](repeating: 0, count: 128)

    public init() {}

    /// Reads it now.
    public func now() -> ProcessCost {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return ProcessCost(
            processorTime: .nanoseconds(nanoseconds(time)), residentBytes: residentPages &* pageBytes)
    }

    /// The second field of /proc/self/statm (proc_pid_statm(5)).
    private var residentPages: Int64 {
        guard let statm, let count = try? statm.file.read(into: &buffer) else { return 0 }
        var pages: Int64 = 0
        for byte in buffer[..<count].drop(while: { $0 != UInt8(ascii: " ") }).dropFirst() {
            guard (48...57).contains(byte) else { break }
            pages = pages &* 10 &+ Int64(byte &- 48)
        }
        return pages
    }
}
