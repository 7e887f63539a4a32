// The wall clock as the kernel keeps it: what adjtimex(2) says of its discipline, and when it is set.
import Basics
import CLinux
import Glibc

/// What the kernel says of its own clock. Asking needs no capability.
public struct KernelClock: Hashable, Sendable {
    /// Whoever disciplines the clock says that it is synchronised (`STA_UNSYNC` is clear).
    public var isSynchronised: Bool
    /// The clock's hardware is at fault (`STA_CLOCKERR`).
    public var hasFault: Bool
    /// How much the kernel still adds, in seconds.
    public var correction: Double
    /// In seconds, as whoever disciplines the clock said, grown since by the kernel (500 ppm).
    public var maximumError: Double
    /// In seconds, as whoever disciplines the clock said.
    public var estimatedError: Double
    /// What the kernel adds to the clock's own rate, in parts per million.
    public var frequency: Double
    /// UTC to TAI in seconds; 0: nobody told the kernel.
    public var taiOffset: Int

    /// - Throws: EPERM where a sandbox forbids the call.
    public static func read() throws(SystemError) -> KernelClock {
        var state = clinux_kernel_clock()
        try check("adjtimex") { unsafe clinux_kernel_clock(&state) }
        let unit = state.in_nanoseconds != 0 ? 1e-9 : 1e-6
        return KernelClock(
            isSynchronised: state.is_unsynchronised == 0, hasFault: state.has_fault != 0,
            correction: Double(state.offset) * unit, maximumError: Double(state.maximum_error) * 1e-6,
            estimatedError: Double(state.estimated_error) * 1e-6,
            // The kernel counts in 2^-16 ppm.
            frequency: Double(state.frequency) / 65536, taiOffset: Int(state.tai))
    }
}

/// How far the wall clock is ahead of the time since the boot. Slewing moves both alike, suspending too: the
/// difference changes only when the wall clock is set, or a leap second passes.
public struct WallClockLead: Hashable, Sendable {
    public var lead: Duration
    /// How far `lead` may be wrong, since two clocks cannot be read at once.
    public var uncertainty: Duration

    public init(lead: Duration, uncertainty: Duration) {
        self.lead = lead
        self.uncertainty = uncertainty
    }

    /// The best of a few readings.
    public static func now() -> WallClockLead {
        var best = reading()
        for _ in 0..<4 {
            let next = reading()
            if next.uncertainty < best.uncertainty { best = next }
        }
        return best
    }

    private static func reading() -> WallClockLead {
        var (before, wall, after) = (timespec(), timespec(), timespec())
        unsafe clock_gettime(CLOCK_BOOTTIME, &before)
        unsafe clock_gettime(CLOCK_REALTIME, &wall)
        unsafe clock_gettime(CLOCK_BOOTTIME, &after)
        let gap = nanoseconds(after) - nanoseconds(before)
        return WallClockLead(
            lead: .nanoseconds(nanoseconds(wall) - nanoseconds(before) - gap / 2),
            uncertainty: .nanoseconds(gap / 2 + 1))
    }
}

/// A timer that never expires, and whose descriptor is readable when the wall clock is set
/// (`TFD_TIMER_CANCEL_ON_SET`).
public struct ClockSetTimer: ~Copyable {
    public let descriptor: Descriptor

    public init() throws(SystemError) {
        descriptor = Descriptor(owning: try check("timerfd_create") { clinux_clock_set_timer() })
    }

    /// Whether the clock was set since the last call.
    public func wasSet() throws(SystemError) -> Bool {
        var expirations: UInt64 = 0
        let raw = descriptor.raw
        do throws(SystemError) {
            _ = try checkNow("read timerfd") { unsafe read(raw, &expirations, 8) }
            return false
        } catch {
            guard error.number == ECANCELED else { throw error }
            try check("timerfd_settime") { clinux_clock_set_timer_arm(raw) }
            return true
        }
    }
}
