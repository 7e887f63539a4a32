// Timers of the loop. They share one source of sd-event, which wakes as late as the most impatient of them allows, or
// when the loop is awake anyway: what is due together is one wake-up and one iteration.
public import Basics
public import Linux
import CSystemd
import Glibc

/// Calls back once at an instant of the monotonic clock; armed again by each `arm`.
public final class Timer {
    private let entry: TimerQueue.Entry
    private let queue: TimerQueue
    private let turn: DeferredSource?

    /// - Parameters:
    ///   - accuracy: how late it may be, so that wake-ups can be shared.
    ///   - isLast: when it is due, what is ready by then has its turn first.
    public init(
        _ loop: EventLoop, accuracy: Duration = .milliseconds(1), isLast: Bool = false,
        _ onTime: @escaping () -> Void
    ) throws(SystemError) {
        let turn = isLast ? try DeferredSource(loop, onTime) : nil
        self.turn = turn
        entry = TimerQueue.Entry(
            accuracy: UInt64(clamping: max(1, accuracy.microseconds)), turn.map { $0.arm } ?? onTime)
        queue = try loop.timers()
        queue.add(entry)
    }

    deinit { queue.remove(entry) }

    /// Calls back at `instant`, or at once if it is past; replaces an earlier time. `nil` disarms.
    public func arm(at instant: Instant?) {
        guard let instant else { return disarm() }
        turn?.disarm()
        let up = instant.nanoseconds.addingReportingOverflow(999)
        queue.arm(entry, at: UInt64(clamping: (up.overflow ? .max : up.partialValue) / 1000))
    }

    public func disarm() {
        turn?.disarm()
        queue.arm(entry, at: nil)
    }
}

/// All timers, on one source of sd-event.
@safe
final class TimerQueue {
    /// What the queue knows of a timer. Times are in microseconds of the monotonic clock.
    final class Entry {
        fileprivate let accuracy: UInt64
        fileprivate let onTime: () -> Void
        fileprivate var at = UInt64.max

        init(accuracy: UInt64, _ onTime: @escaping () -> Void) {
            self.accuracy = accuracy
            self.onTime = onTime
        }

        /// Until then it may wait for others.
        fileprivate var latest: UInt64 {
            let (sum, overflow) = at.addingReportingOverflow(accuracy)
            return overflow ? .max : sum
        }
    }

    private let event: OpaquePointer
    private var source: OpaquePointer?
    private var entries: [Entry] = []
    /// When the first of them is due; `max`: none is.
    private var earliest = UInt64.max
    /// When the source wakes the loop for them.
    private var wakesAt = UInt64.max
    private var isDispatching = false

    init(_ event: OpaquePointer) throws(SystemError) {
        unsafe self.event = event
        let pointer = unsafe Unmanaged.passUnretained(self).toOpaque()
        let result = unsafe sd_event_add_time(
            event, &source, CLOCK_MONOTONIC, UInt64.max - 1, 1,
            { _, _, userdata in
                unsafe Unmanaged<TimerQueue>.fromOpaque(userdata!).takeUnretainedValue().dispatch()
                return 0
            }, pointer)
        try checked("sd_event_add_time", result)
        unsafe sd_event_source_set_enabled(source, Int32(SD_EVENT_OFF))
        unsafe sd_event_source_set_prepare(source) { _, userdata in
            unsafe Unmanaged<TimerQueue>.fromOpaque(userdata!).takeUnretainedValue().prepare()
            return 0
        }
    }

    deinit { if let source = unsafe source { unsafe sd_event_source_disable_unref(source) } }

    func add(_ entry: Entry) {
        entries.append(entry)
        settle()
    }

    func remove(_ entry: Entry) {
        entries.removeAll { $0 === entry }
        // It may be among those that are being called.
        entry.at = .max
        settle()
    }

    func arm(_ entry: Entry, at time: UInt64?) {
        let (wasAt, wasLatest) = (entry.at, entry.latest)
        entry.at = time ?? .max
        // Most timers are neither the first nor the most impatient, before or after.
        guard wasAt == earliest || wasLatest == wakesAt || entry.at < earliest || entry.latest < wakesAt
        else { return }
        settle()
    }

    private func settle() {
        guard !isDispatching else { return }
        var next = UInt64.max
        earliest = .max
        for entry in entries {
            earliest = min(earliest, entry.at)
            next = min(next, entry.latest)
        }
        wake(at: next)
    }

    private func wake(at time: UInt64) {
        guard time != wakesAt else { return }
        wakesAt = time
        guard time != .max else {
            unsafe sd_event_source_set_enabled(source, Int32(SD_EVENT_OFF))
            return
        }
        unsafe sd_event_source_set_time(source, time)
        unsafe sd_event_source_set_enabled(source, Int32(SD_EVENT_ONESHOT))
    }

    private var now: UInt64 {
        var now: UInt64 = 0
        unsafe sd_event_now(event, CLOCK_MONOTONIC, &now)
        return now
    }

    /// Before each wait: the loop is awake, so what is due need not wait for a wake-up of its own.
    private func prepare() {
        let now = now
        if earliest <= now, wakesAt > now { wake(at: now) }
    }

    /// Calls all that are due, in the order of their times. One that is armed meanwhile has its turn in a later
    /// iteration.
    private func dispatch() {
        let now = now
        wakesAt = .max
        isDispatching = true
        let due = entries.filter { $0.at <= now }.sorted { $0.at < $1.at }
        for entry in due where entry.at <= now {
            entry.at = .max
            entry.onTime()
        }
        isDispatching = false
        settle()
    }
}
