// The event loop of both daemons: sd-event, one thread, plain classes. It is the only reader of the clock:
// `now` and `wall` are read once per iteration. Sources live as long as their owner keeps them.
public import Basics
public import Linux
import CSystemd
import Glibc

/// The clocks at the start of an iteration of a loop.
public struct LoopTime: Hashable, Sendable {
    public var now: Instant
    public var wall: WallTime

    public init(now: Instant, wall: WallTime) {
        self.now = now
        self.wall = wall
    }
}

/// A loop of one thread.
@safe
public final class EventLoop {
    let event: OpaquePointer
    private var queue: TimerQueue?

    /// - Throws: `SystemError` when the kernel gives no epoll descriptor.
    public init() throws(SystemError) {
        var created: OpaquePointer?
        try checked("sd_event_new", unsafe sd_event_new(&created))
        unsafe event = created!
    }

    deinit {
        queue = nil
        unsafe sd_event_unref(event)
    }

    func timers() throws(SystemError) -> TimerQueue {
        if let queue { return queue }
        let made = try unsafe TimerQueue(event)
        queue = made
        return made
    }

    /// The monotonic clock at the start of this iteration.
    public var now: Instant { Instant(nanoseconds: read(CLOCK_MONOTONIC)) }

    /// The wall clock at the start of this iteration.
    public var wall: WallTime { WallTime(nanoseconds: read(CLOCK_REALTIME)) }

    /// Both, for who handles many things in one iteration.
    public var time: LoopTime { LoopTime(now: now, wall: wall) }

    private func read(_ clock: clockid_t) -> Int64 {
        var microseconds: UInt64 = 0
        let result = unsafe sd_event_now(event, clock, &microseconds)
        precondition(result >= 0, "sd_event_now failed with \(result)")
        return Int64(clamping: microseconds &* 1000)
    }

    /// How often the loop has woken up so far.
    public var iterations: UInt64 {
        var count: UInt64 = 0
        return unsafe sd_event_get_iteration(event, &count) >= 0 ? count : 0
    }

    /// Runs until `exit`; returns the code that was given to it.
    public func run() throws(SystemError) -> Int32 {
        let result = unsafe sd_event_loop(event)
        try checked("sd_event_loop", result)
        return result
    }

    /// Ends `run` after what is being dispatched.
    public func exit(_ code: Int32) { unsafe sd_event_exit(event, code) }

    /// Runs one iteration, waiting at most `atMost`. For tests and for tools that step the loop themselves.
    public func step(atMost: Duration) throws(SystemError) {
        try checked("sd_event_run", unsafe sd_event_run(event, UInt64(clamping: atMost.microseconds)))
    }

    /// Pings systemd's watchdog from the loop, so that a loop that hangs is restarted. `false`: the unit has
    /// no `WatchdogSec=`.
    public func enableWatchdog() throws(SystemError) -> Bool {
        let result = unsafe sd_event_set_watchdog(event, 1)
        try checked("sd_event_set_watchdog", result)
        return result > 0
    }
}

/// Throws what a call of libsystemd reports as a negative errno.
func checked(_ call: @autoclosure () -> String, _ result: Int32) throws(SystemError) {
    if result < 0 { throw SystemError(call(), number: -result) }
}
