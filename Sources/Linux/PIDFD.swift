// A process held by descriptor (pidfd): readable when it ends, safe against reuse of its number.
import CLinux
import Glibc

/// How a process ended.
public enum ProcessExit: Hashable, Sendable {
    case status(Int32)
    case signal(Int32)

    /// From the kernel's wait status.
    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7F
        self = signal == 0 ? .status((waitStatus >> 8) & 0xFF) : .signal(signal)
    }
}

/// A descriptor of a process.
public struct PIDFD: ~Copyable {
    public let descriptor: Descriptor

    /// - Throws: ESRCH when there is no such process.
    public init(opening pid: Int32) throws(SystemError) {
        descriptor = Descriptor(owning: try check("pidfd_open \(pid)") { clinux_pidfd_open(pid, 0) })
    }

    /// Whether the process has ended: its descriptor is readable.
    public var hasEnded: Bool {
        var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, 0) == 1
    }

    /// How the process ended, where the kernel tells (`PIDFD_INFO_EXIT`, Linux 6.15, after its parent has
    /// waited for it); `nil` where it does not, or not yet.
    public var exit: ProcessExit? {
        // struct pidfd_info, version 0: mask at 0, exit code at 60, 64 bytes in all.
        var info = [UInt32](repeating: 0, count: 16)
        info[0] = PIDFD.infoExit
        let result = unsafe info.withUnsafeMutableBytes {
            unsafe clinux_ioctl_pointer(descriptor.raw, PIDFD.getInfo, $0.baseAddress)
        }
        guard result == 0, info[0] & PIDFD.infoExit != 0 else { return nil }
        return ProcessExit(waitStatus: Int32(bitPattern: info[15]))
    }

    /// `PIDFD_INFO_EXIT` and `PIDFD_GET_INFO` (linux/pidfd.h): `_IOWR(0xFF, 11, struct pidfd_info)`.
    private static let infoExit: UInt32 = 1 << 3
    private static let getInfo: UInt = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
}
