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

/// At most 146 years before or after 1970, so that two of them can be subtracted: a file has any time that somebody gave it.
func nanoseconds(_ time: timespec) -> Int64 {
    let most: Int64 = 1 << 62
    let seconds = min(max(Int64(time.tv_sec), -(most / 1_000_000_000)), most / 1_000_000_000)
    return seconds * 1_000_000_000 + Int64(time.tv_nsec)
}
