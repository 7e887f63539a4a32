// What wakes the loop besides timers: descriptors, signals and deferred work. Each is a value that its owner keeps;
// letting go of it removes it from the loop.
public import Linux
import CSystemd
import Glibc

/// The part that all sources share: an sd-event source and the closure that it calls.
@safe
public class EventSource {
    fileprivate(set) var source: OpaquePointer?
    fileprivate var handler: () -> Void
    /// Called before each wait, when set.
    fileprivate var preparer: (() -> Void)?

    fileprivate init(_ handler: @escaping () -> Void) { self.handler = handler }

    deinit { if let source = unsafe source { unsafe sd_event_source_disable_unref(source) } }

    fileprivate var pointer: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    /// Orders this source among others that are ready in one iteration: lower numbers go first, 0 is usual.
    public func setPriority(_ priority: Int64) { unsafe sd_event_source_set_priority(source, priority) }

    /// Switches the source on or off; a source that is off keeps its settings.
    public func setEnabled(_ enabled: Bool) {
        unsafe sd_event_source_set_enabled(source, enabled ? Int32(SD_EVENT_ON) : Int32(SD_EVENT_OFF))
    }

    /// Has `prepare` called before each wait of the loop.
    public func setPrepare(_ prepare: @escaping () -> Void) throws(SystemError) {
        preparer = prepare
        let result = unsafe sd_event_source_set_prepare(source) { _, userdata in
            unsafe eventSource(userdata).preparer?()
            return 0
        }
        try checked("sd_event_source_set_prepare", result)
    }
}

/// The source behind a callback's user data. Kept alive for the length of the call by the caller's use.
private func eventSource(_ userdata: UnsafeMutableRawPointer?) -> EventSource {
    unsafe Unmanaged<EventSource>.fromOpaque(userdata!).takeUnretainedValue()
}

/// Calls back while a descriptor is ready (or has an error).
public final class IOSource: EventSource {
    /// What it is waited for.
    public enum Interest: Sendable {
        case readable, writable, both
        /// POLLPRI: a file of /proc changed since it was opened or last waited for, or a pressure trigger fired.
        case change

        var events: UInt32 {
            switch self {
            case .readable: UInt32(EPOLLIN.rawValue)
            case .writable: UInt32(EPOLLOUT.rawValue)
            case .both: UInt32(EPOLLIN.rawValue) | UInt32(EPOLLOUT.rawValue)
            case .change: UInt32(EPOLLPRI.rawValue)
            }
        }
    }

    /// - Parameter descriptor: stays with its owner, who must outlive the source.
    /// - Parameter edgeTriggered: call once per arrival instead of while anything is left.
    public init(
        _ loop: EventLoop, descriptor: Int32, interest: Interest = .readable, edgeTriggered: Bool = false,
        _ onReady: @escaping () -> Void
    ) throws(SystemError) {
        super.init(onReady)
        let events = interest.events | (edgeTriggered ? UInt32(EPOLLET.rawValue) : 0)
        let result = unsafe sd_event_add_io(
            loop.event, &source, descriptor, events,
            { _, _, _, userdata in
                unsafe eventSource(userdata).handler()
                return 0
            }, pointer)
        try checked("sd_event_add_io", result)
    }

    /// Waits for something else from now on; a source that is edge-triggered becomes level-triggered.
    public func setInterest(_ interest: Interest) throws(SystemError) {
        try checked(
            "sd_event_source_set_io_events", unsafe sd_event_source_set_io_events(source, interest.events))
    }
}

/// Calls back once in this or the next iteration of the loop, after others that are ready.
///
/// sd-event never forgets in which iteration a deferred source became ready first, and takes the oldest of what is
/// ready: one that is armed again and again would leave no other its turn. So each arming makes a source anew, which
/// stands behind what is ready already.
public final class DeferredSource: EventSource {
    private let loop: EventLoop
    private var isArmed = false

    public init(_ loop: EventLoop, _ work: @escaping () -> Void) throws(SystemError) {
        self.loop = loop
        super.init(work)
        try make()
        setEnabled(false)
    }

    public func arm() {
        guard !isArmed else { return }
        isArmed = true
        do throws(SystemError) {
            try make()
        } catch {
            // Without memory for another: the one that there is.
            unsafe sd_event_source_set_enabled(source, Int32(SD_EVENT_ONESHOT))
        }
    }

    public func disarm() {
        guard isArmed else { return }
        isArmed = false
        setEnabled(false)
    }

    private func make() throws(SystemError) {
        var made: OpaquePointer?
        let result = unsafe sd_event_add_defer(
            loop.event, &made,
            { _, userdata in
                let deferred = unsafe Unmanaged<DeferredSource>.fromOpaque(userdata!).takeUnretainedValue()
                deferred.isArmed = false
                deferred.handler()
                return 0
            }, pointer)
        try checked("sd_event_add_defer", result)
        if let before = unsafe source { unsafe sd_event_source_disable_unref(before) }
        unsafe source = made
    }
}

/// Calls back when the process receives a signal, in place of the signal's own effect.
public final class SignalSource: EventSource {
    /// Blocks the signal for the process; create it before any thread.
    public init(_ loop: EventLoop, signal: Int32, _ onSignal: @escaping () -> Void) throws(SystemError) {
        super.init(onSignal)
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, signal)
        let blocked = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        guard blocked == 0 else { throw SystemError("pthread_sigmask", number: blocked) }
        let result = unsafe sd_event_add_signal(
            loop.event, &source, signal,
            { _, _, userdata in
                unsafe eventSource(userdata).handler()
                return 0
            }, pointer)
        try checked("sd_event_add_signal", result)
    }
}
