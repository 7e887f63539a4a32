// Calls that may never return, on as few threads as that takes: one for all, until a call does not come back; then
// that thread is left to it, and the others go on with a new one.
import Basics
import Linux
import Reactor

/// Threads for calls into file systems.
final class PatientCalls {
    /// Calls that may be stuck at the same time; beyond, nothing is asked any more until one returns.
    static let mostStuck = 16
    /// Calls that may wait on one thread.
    private static let mostWaiting = 256

    private final class Lane {
        let worker: Worker
        /// In the order in which they are performed.
        var calls: [UInt64] = []
        /// Since when the first of them is.
        var since: Instant

        init(_ loop: EventLoop) throws(SystemError) {
            worker = try Worker(loop, capacity: PatientCalls.mostWaiting)
            since = loop.now
        }
    }

    private let loop: EventLoop
    /// A call that takes longer no longer holds up the others.
    private let grace: Duration
    private var lane: Lane?
    /// For vital calls while too many others hang.
    private var reserve: Lane?
    private var stuck: [Lane] = []
    private var returned: [Lane] = []
    private var pending: [UInt64: Call] = [:]
    private var nextID: UInt64 = 0

    /// A call that has not returned.
    private struct Call {
        let isVital: Bool
        /// Gives it to a thread; `false`: there is no room.
        var start: (Lane) -> Bool
        var begun: () -> Void
        var abandoned: () -> Void
    }

    init(_ loop: EventLoop, grace: Duration = .milliseconds(50)) {
        self.loop = loop
        self.grace = grace
    }

    /// Performs `work` on a thread and then `then` on the loop, with `nil` if too many calls hang already.
    ///
    /// - Parameters:
    ///   - isVital: it has a thread however many others hang. Of such calls one at a time is to be under way.
    ///   - begun: called when it is given to a thread, and again if that turns out to be stuck.
    func perform<Result: Sendable>(
        isVital: Bool = false, _ work: @escaping @Sendable () -> Result, begun: @escaping () -> Void = {},
        then: @escaping (Result?) -> Void
    ) {
        nextID += 1
        let id = nextID
        let start: (Lane) -> Bool = { [weak self] lane in
            lane.worker.perform(work) { [weak lane] result in
                guard let self, let lane else { return }
                let isFirst = self.pending.removeValue(forKey: id) != nil
                self.finished(id, lane)
                if isFirst { then(result) }
            }
        }
        pending[id] = Call(isVital: isVital, start: start, begun: begun, abandoned: { then(nil) })
        enqueue([id])
    }

    /// When `tick` is to be called next; `nil`: nothing is under way.
    var deadline: Instant? { lane.flatMap { $0.calls.isEmpty ? nil : $0.since + grace } }

    /// How many calls hang.
    var stuckCount: Int { stuck.count }

    /// Leaves a thread to the call that does not return, and takes the others elsewhere.
    func tick() {
        returned = []
        guard let lane, let first = lane.calls.first, loop.now - lane.since >= grace else { return }
        let others = lane.calls.dropFirst()
        lane.calls = [first]
        stuck.append(lane)
        self.lane = nil
        enqueue(Array(others))
    }

    private func lane(for call: Call) -> Lane? {
        if lane == nil, stuck.count < PatientCalls.mostStuck { lane = try? Lane(loop) }
        if let lane { return lane }
        guard call.isVital else { return nil }
        if reserve == nil { reserve = try? Lane(loop) }
        return reserve
    }

    private func enqueue(_ ids: [UInt64]) {
        for id in ids {
            guard let call = pending[id] else { continue }
            guard let lane = lane(for: call), call.start(lane) else {
                pending[id] = nil
                call.abandoned()
                continue
            }
            if lane.calls.isEmpty { lane.since = loop.now }
            lane.calls.append(id)
            call.begun()
        }
    }

    private func finished(_ id: UInt64, _ lane: Lane) {
        lane.calls.removeAll { $0 == id }
        lane.since = loop.now
        guard let index = stuck.firstIndex(where: { $0 === lane }) else { return }
        // Let go of later: this is called from within it.
        stuck.remove(at: index)
        returned.append(lane)
    }
}
