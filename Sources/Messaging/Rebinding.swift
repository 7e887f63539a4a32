// Endpoints that were closed, since their key is another one, and are bound anew: at once, or as soon as the kernel has
// given their addresses free.
import Basics
import Linux
import Reactor

/// The endpoints of one socket that are to be bound again.
final class Rebinding {
    private let loop: EventLoop
    private let log: LimitedLog
    private let bind: (String) throws(BusError) -> Void
    private var timer: Timer?
    private var endpoints: [String] = []
    private var since = Instant.zero

    init(
        _ loop: EventLoop, log: LimitedLog, bind: @escaping (String) throws(BusError) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.log = log
        self.bind = bind
        timer = try Timer(loop) { [unowned self] in attempt() }
    }

    /// These were closed now.
    func begin(_ closed: [String]) {
        endpoints += closed
        since = loop.now
        attempt()
    }

    private func attempt() {
        var refused: BusError?
        endpoints = endpoints.filter { endpoint in
            do throws(BusError) {
                try bind(endpoint)
                return false
            } catch {
                refused = error
                return true
            }
        }
        guard let refused else { return }
        let isSlow = loop.now - since > .seconds(1)
        if isSlow {
            log.event(
                .keysReloaded, key: "", "cannot listen with the new key yet, trying again: \(refused)")
        }
        timer?.arm(at: loop.now + (isSlow ? .seconds(1) : .milliseconds(5)))
    }
}
