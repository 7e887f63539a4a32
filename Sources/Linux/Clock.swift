// The clocks. The event loop reads them once per iteration; tools read them directly.
public import Basics
import CLinux
import Glibc

/// The host's clocks.
public enum Clock {
    /// `CLOCK_MONOTONIC`.
    public static var monotonic: Instant { Instant(nanoseconds: read(CLOCK_MONOTONIC)) }

    /// `CLOCK_REALTIME`.
    public static var wall: WallTime { WallTime(nanoseconds: read(CLOCK_REALTIME)) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        let result = unsafe clock_gettime(clock, &time)
        precondition(result == 0, "the kernel has no clock \(clock)")
        return nanoseconds(time)
    }
}

func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
