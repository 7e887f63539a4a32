// Answers new subscriptions, so much in a turn of the loop and the rest in the next ones: who subscribes and cancels in a
// storm, or many who come at once, hold up nobody else for longer than that.
import Linux
import Reactor

/// Works through a `RepeatQueue`.
final class StateRepeater {
    /// What one step may cost, and what it has cost. Another state that is looked at costs 1.
    struct Step {
        /// A state that is made and sent.
        static let state = 32
        var units: Int
        /// Where it goes on; `nil`: it is done.
        var next: UInt64?
    }

    /// Of one turn of the loop, for all connections: 128 states.
    static let unitsOfTurn = 128 * Step.state
    /// Of one connection, before others get their turn.
    static let unitsOfOne = 16 * Step.state

    private var queue: RepeatQueue
    private let isReady: (Int32) -> Bool
    private let work: (RepeatQueue.Work, Int) -> Step
    private let afterTurn: () -> Void
    private var again: DeferredSource?

    /// - Parameters:
    ///   - isReady: whether a connection has taken what was sent to it; if not, `resume` is to be called when it has.
    ///   - work: does some of a work, for so many units or a little more.
    ///   - afterTurn: called when the loop's turn is over.
    init(
        _ loop: EventLoop, queue: RepeatQueue = RepeatQueue(), isReady: @escaping (Int32) -> Bool,
        work: @escaping (RepeatQueue.Work, Int) -> Step, afterTurn: @escaping () -> Void
    ) throws(SystemError) {
        self.queue = queue
        self.isReady = isReady
        self.work = work
        self.afterTurn = afterTurn
        again = try DeferredSource(loop) { [unowned self] in turn() }
    }

    var waiting: Int { queue.count }
    var refused: UInt64 { queue.refused }
    var mostWaiting: Int { queue.mostWaiting }

    /// - Returns: whether there was room for it.
    func subscribed(to prefix: [UInt8], by connection: Int32) -> Bool {
        guard queue.subscribed(to: prefix, by: connection) else { return false }
        again?.arm()
        return true
    }

    func cancelled(_ prefix: [UInt8], by connection: Int32) { queue.cancelled(prefix, by: connection) }
    func departed(_ connection: Int32) { queue.departed(connection) }

    func resume(_ connection: Int32) {
        queue.resume(connection)
        if !queue.isIdle { again?.arm() }
    }

    private func turn() {
        var units = StateRepeater.unitsOfTurn
        while units > 0, let next = queue.next() {
            guard isReady(next.connection) else {
                queue.pause()
                continue
            }
            let step = work(next, min(units, StateRepeater.unitsOfOne))
            queue.answered(upTo: step.next)
            units -= max(step.units, 1)
        }
        afterTurn()
        if !queue.isIdle { again?.arm() }
    }
}
