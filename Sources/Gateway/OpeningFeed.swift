// A feed that is not there yet: it takes up its journal, and what an earlier run left in that is still being read. The
// loop goes on meanwhile.
import Basics
import Configuration
import Linux
import Reactor

final class OpeningFeed {
    let options: FeedOptions
    let journal: JournalKeeper
    private var timer: Timer?

    /// - Parameters:
    ///   - patience: how long the disk may take; then the feed is opened without what it would have remembered.
    ///   - open: called when the feed is to be opened, perhaps more than once.
    init(
        _ options: FeedOptions, _ journal: JournalKeeper, _ loop: EventLoop, patience: Duration,
        then open: @escaping () -> Void
    ) throws(SystemError) {
        self.options = options
        self.journal = journal
        timer = try Timer(loop, accuracy: .milliseconds(10), open)
        timer?.arm(at: loop.now + patience)
        journal.onOpened = open
    }
}
