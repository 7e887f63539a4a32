// Journals of feeds that are gone: what waits is still being written, while the loop goes on. Who writes in a folder next
// waits for that, or for as long as the disk may take.
import Basics
import Linux
import Reactor

final class ClosingJournals {
    private struct Closing {
        let journal: JournalKeeper
        /// What is not written by then is given up.
        let until: Instant
    }

    /// By the feed's name.
    private var closing: [String: Closing] = [:]
    private let loop: EventLoop
    private let patience: Duration
    private var timer: Timer?
    /// Called when a feed's folder may be used again.
    var onClosed: ((String) -> Void)?

    /// - Parameter patience: how long the disk may take.
    init(_ loop: EventLoop, patience: Duration) throws(SystemError) {
        self.loop = loop
        self.patience = patience
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in advance() }
    }

    var feeds: Set<String> { Set(closing.keys) }

    func contains(_ feed: String) -> Bool { closing[feed] != nil }

    /// Where nothing waits to be written, `onClosed` is not called.
    func add(_ journal: JournalKeeper, of feed: String) {
        precondition(closing[feed] == nil, "the journal of \(feed) was opened before the last one was closed")
        guard journal.end(then: { [weak self] in self?.arm() }) else { return }
        closing[feed] = Closing(journal: journal, until: loop.now + patience)
        arm()
    }

    /// The last job's result still holds the folder while it is told; at the next turn it does not.
    private func arm() {
        timer?.arm(at: closing.values.map { $0.journal.hasEnded ? loop.now : $0.until }.min())
    }

    private func advance() {
        let now = loop.now
        for closing in closing.values where closing.until <= now { closing.journal.close(until: now) }
        let closed = closing.filter { $0.value.journal.hasEnded }.keys.sorted()
        for feed in closed { closing[feed] = nil }
        arm()
        for feed in closed { onClosed?(feed) }
    }

    /// The end of the program: what waits is waited for, until then at most.
    func close(until end: Instant) {
        for closing in closing.values { closing.journal.close(until: end) }
        closing = [:]
    }
}
