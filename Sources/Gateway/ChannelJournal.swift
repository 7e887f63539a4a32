// The journal of one channel on the loop: carries out what its writer decides, on the thread that may wait for the
// disk.
import Basics
import FeedJournal
import JournalFiles
import Linux
import Reactor
import Wire

/// What a channel's journal is told about.
enum JournalNews {
    /// It was opened, and this was found.
    case opened(JournalOpening)
    /// It is written, or not, from now on.
    case condition(JournalWriter.Condition)
    /// An old segment could not be removed.
    case notRemoved(String)
}

final class ChannelJournal {
    /// Where jobs come back to, also when the journal is gone. A weak reference to it would make each frame's use of it
    /// dearer.
    private final class Returns {
        unowned var journal: ChannelJournal?
    }

    private(set) var machine: JournalWriter
    /// As the last job left it.
    private(set) var tail: JournalTail?
    /// Where the job that is under way leaves it.
    private let deposit = Deposit<JournalTail>()
    /// Segments that were let go of.
    private(set) var expired = 0
    private var plan: JournalPlan
    private let loop: EventLoop
    private let worker: Worker
    private let onNews: (JournalNews) -> Void
    private var timer: Timer?
    private var armedAt: Instant?
    private var isBusy = false
    /// Nothing comes any more: what waits is written, and then the folder is let go of.
    private var isEnding = false
    private var hasEnded = false
    private var onEnded: (() -> Void)?
    private let returns = Returns()
    private var told = JournalWriter.Condition.opening
    /// What is done when so many frames are written.
    private var waiters: [(frames: UInt64, work: (ChannelJournal) -> Void)] = []
    private static let mostWaiters = 256
    /// What the venue said of its instruments.
    private var directory: VenueDirectory?

    init(
        _ plan: JournalPlan, _ options: JournalWriterOptions, _ budget: JournalBudget, _ loop: EventLoop,
        _ worker: Worker,
        onNews: @escaping (JournalNews) -> Void
    ) throws(SystemError) {
        self.plan = plan
        self.loop = loop
        self.worker = worker
        self.onNews = onNews
        let control = Topic.control(feed: plan.feed, channel: plan.channel)
        machine = JournalWriter(options: options, control: control.bytes, budget: budget, at: loop.now)
        timer = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in
            armedAt = nil
            advance()
        }
        returns.journal = self
        advance()
    }

    deinit {
        returns.journal = nil
        leaveFolder()
    }

    var folder: ChannelFolder { plan.folder }
    /// Where it ends, if it could be read and not be opened to be written.
    var end: JournalEnd? { tail == nil ? plan.known : nil }

    // MARK: - What is journalled

    func append(_ frames: inout FrameBatch) {
        let now = loop.now
        if machine.take(&frames, at: now) { look(at: now) }
    }

    /// A frame that is too long for a record.
    func leaveOut(_ frame: [UInt8], topicLength: Int) {
        machine.leaveOut(frame.span, topicLength: topicLength, at: loop.now)
        look(at: loop.now)
    }

    /// A message of the venue's directory.
    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, epoch: UInt64) {
        if directory?.epoch != epoch { directory = VenueDirectory(epoch: epoch) }
        guard directory?.take(unit, of: instrument) == true else { return }
        for contents in VenueDirectory(epoch: epoch, units: [instrument: Array(unit)]).records {
            machine.directory(contents, at: loop.now)
        }
        look(at: loop.now)
    }

    /// Does something once all that was journalled so far can be read; at once, where it is, or cannot be written.
    func afterWriting(_ work: @escaping (ChannelJournal) -> Void) {
        guard machine.condition == .writing, machine.figures.written < machine.taken,
            waiters.count < ChannelJournal.mostWaiters
        else { return work(self) }
        waiters.append((machine.taken, work))
    }

    private func serveWaiters() {
        let isWriting = machine.condition == .writing
        let due = waiters.filter { !isWriting || $0.frames <= machine.figures.written }
        guard !due.isEmpty else { return }
        waiters.removeAll { !isWriting || $0.frames <= machine.figures.written }
        for waiter in due { waiter.work(self) }
    }

    // MARK: - Jobs

    /// Something came, so that more may be due than was.
    private func look(at now: Instant) {
        guard !isBusy, let due = machine.deadline(at: now) else { return tell() }
        if due <= now { return advance() }
        if let armedAt, armedAt <= due { return }
        arm(due)
    }

    private func arm(_ due: Instant?) {
        armedAt = due
        timer?.arm(at: due)
    }

    private func advance() {
        guard !isBusy, !hasEnded else { return }
        let turns = machine.turns(at: loop.now)
        let job = machine.nextJob(
            directory: turns ? directory?.records ?? [] : [], isLast: isEnding, at: loop.now)
        guard let job else {
            tell()
            guard !isEnding else { return letGo() }
            return arm(machine.deadline(at: loop.now))
        }
        isBusy = true
        let (tail, plan, now, wall, deposit) = (tail, plan, loop.now, loop.wall, deposit)
        let refused = worker.lend(
            consume job,
            to: { job in
                var result = JournalTail.perform(&job, tail, plan, at: now, wall: wall)
                deposit.leave(result.tail.take())
                return result
            }, then: { [returns] in returns.journal?.finished($0, &$1) })
        if var refused {
            let failure = JournalOutcome.failed("the thread that writes has too much to do")
            deposit.leave(tail)
            finished(JournalResult(outcome: failure, tail: nil), &refused)
        }
    }

    private func finished(_ result: JournalResult, _ job: inout JournalJob) {
        guard !hasEnded else { return }
        isBusy = false
        let last = tail
        tail = deposit.take()
        if let last, last.number != tail?.number { worker.letGo(of: consume last) }
        expired += result.expired
        if let end = result.end { plan.known = end }
        machine.finished(result.outcome, returning: job.takeRecords(), at: loop.now)
        if let opening = result.opening { onNews(.opened(opening)) }
        if let why = result.notRemoved { onNews(.notRemoved(why)) }
        tell()
        serveWaiters()
        // At the end a disk that refuses is not asked again and again; one that is slow is waited for.
        if isEnding, machine.hasFailed { letGo() } else { advance() }
    }

    private func tell() {
        let condition = machine.condition
        guard condition != told else { return }
        told = condition
        onNews(.condition(condition))
    }

    // MARK: - The end

    /// Writes what waits, lets go of the folder, and then says so; the loop goes on meanwhile.
    func end(then ended: @escaping () -> Void) {
        (isEnding, onEnded) = (true, ended)
        advance()
    }

    /// Writes what waits, until then at most, and lets go of the folder.
    func close(until end: Instant) {
        isEnding = true
        advance()
        while !hasEnded, Clock.monotonic < end { worker.wait(until: end) }
        let left = machine.taken &- machine.figures.written
        if !hasEnded, left > 0 {
            let why = "the disk did not take the last \(left) frames in time: they are given up"
            onNews(.condition(.stopped(why)))
        }
        letGo()
    }

    private func letGo() {
        guard !hasEnded else { return }
        hasEnded = true
        timer = nil
        // What cannot be written is not waited for.
        let left = waiters
        waiters = []
        for waiter in left { waiter.work(self) }
        leaveFolder()
        onEnded?()
    }

    /// To close a file may wait for the disk: the thread that writes does that, before anything that it is given from now
    /// on. So the next one finds the folder unlocked.
    private func leaveFolder() {
        if let last = tail.take() { worker.letGo(of: consume last) }
        if isBusy { worker.empty(deposit) }
    }
}
