// The journal of one channel in one run of the gateway: the production's writer, and around it what the shell and the
// thread that writes do, on a disk that is slow, or full, or cut off in the midst of a write.
import Basics
import Configuration
import FeedJournal
import Gateway
import Wire

/// What is wrong with a feed's disk.
struct DiskWeather {
    var isFull = 0
    var slowUntil = Instant.zero

    func isReady(at now: Instant) -> Bool { isFull == 0 && slowUntil <= now }
}

final class SimulatedJournal: FrameJournal {
    private unowned let world: Simulation
    private unowned let feed: FeedOfWorld
    private let run: UInt32
    private var channels: [UInt16: JournalOfChannel] = [:]
    private let onMemory: (UInt16, JournalMemory) -> Void

    init(
        _ world: Simulation, _ feed: FeedOfWorld, run: UInt32,
        onMemory: @escaping (UInt16, JournalMemory) -> Void
    ) {
        self.world = world
        self.feed = feed
        self.run = run
        self.onMemory = onMemory
    }

    /// Those that an earlier run left are opened at the start, at once unless the disk keeps the gateway waiting.
    func open() {
        guard feed.options.wantsMemory else { return }
        for number in feed.disks.keys.sorted() { channel(number).openAtOnce() }
    }

    func append(_ frames: inout FrameBatch, channel number: UInt16) { channel(number).append(&frames) }

    func leaveOut(_ frame: [UInt8], topicLength: Int, channel number: UInt16) {
        channel(number).leaveOut(frame, topicLength: topicLength)
    }

    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, channel number: UInt16, epoch: UInt64) {
        channel(number).directory(unit, of: instrument, epoch: epoch)
    }

    private func channel(_ number: UInt16) -> JournalOfChannel {
        if let known = channels[number] { return known }
        let disk = feed.disks[number] ?? SimulatedDisk(feed: feed.options.name, channel: number)
        feed.disks[number] = disk
        let made = JournalOfChannel(world, feed, disk, number, run: run) { [onMemory] in
            onMemory(number, $0)
        }
        channels[number] = made
        made.advance()
        return made
    }

    /// The gateway is killed, or the simulation is over.
    func end() {
        for number in channels.keys.sorted() { channels[number]?.end() }
        channels = [:]
    }

    /// Bytes that wait, and how many may.
    var waiting: (bytes: Int, limit: Int) {
        var most = 0
        for channel in channels.values { most = max(most, channel.waiting) }
        return (most, JournalOfChannel.mostWaiting + JournalOfChannel.besides)
    }
}

private final class JournalOfChannel {
    static let mostWaiting = 16 << 10
    /// Bytes of the directory and of holes, which are short and wait on top of that.
    static let besides = 4 << 10

    /// Small, so that segments turn and queues overflow.
    static var options: JournalWriterOptions {
        var options = JournalWriterOptions()
        (options.batchBytes, options.mostWaiting) = (4096, mostWaiting)
        (options.segmentBytes, options.segmentTime) = (32 << 10, .seconds(5))
        (options.sync, options.retryAfter) = (.every(.milliseconds(100)), .milliseconds(200))
        options.expireEvery = .seconds(2)
        return options
    }

    private unowned let world: Simulation
    private unowned let feed: FeedOfWorld
    private let disk: SimulatedDisk
    private let run: UInt32
    private let onMemory: (JournalMemory) -> Void
    private var machine: JournalWriter
    private var directory: VenueDirectory?
    private var job: JournalJob?
    /// How many there were.
    private var jobs = 0
    private var wake = 0
    private var hasEnded = false
    /// What this run was told to keep, in order.
    private var appended: [[UInt8]] = []

    init(
        _ world: Simulation, _ feed: FeedOfWorld, _ disk: SimulatedDisk, _ channel: UInt16, run: UInt32,
        onMemory: @escaping (JournalMemory) -> Void
    ) {
        self.world = world
        self.feed = feed
        self.disk = disk
        self.run = run
        self.onMemory = onMemory
        let control = Topic.control(feed: feed.options.name, channel: channel)
        var options = JournalOfChannel.options
        if world.plan.defect == .hoards { options.mostWaiting *= 16 }
        machine = JournalWriter(options: options, control: control.bytes, at: world.now)
    }

    var waiting: Int { machine.waiting }
    private var wall: WallTime { feed.venue.wall(world.now) }

    func append(_ frames: inout FrameBatch) {
        frames.forEach { frame, _ in appended.append([UInt8](copying: frame)) }
        if machine.take(&frames, at: world.now) { look() }
    }

    func leaveOut(_ frame: [UInt8], topicLength: Int) {
        appended.append(frame)
        machine.leaveOut(frame.span, topicLength: topicLength, at: world.now)
        look()
    }

    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, epoch: UInt64) {
        if directory?.epoch != epoch { directory = VenueDirectory(epoch: epoch) }
        guard directory?.take(unit, of: instrument) == true else { return }
        for contents in VenueDirectory(epoch: epoch, units: [instrument: Array(unit)]).records {
            machine.directory(contents, at: world.now)
        }
        look()
    }

    // MARK: - Jobs

    private func look() {
        guard job == nil, !hasEnded, let due = machine.deadline(at: world.now) else { return }
        if due <= world.now { return advance() }
        wake += 1
        world.note(at: due) { [weak self, wake] in
            self?.hasTime { if wake == $0.wake { $0.advance() } }
        }
    }

    func advance() {
        guard job == nil, !hasEnded else { return }
        let turns = machine.turns(at: world.now)
        guard
            let next = machine.nextJob(directory: turns ? directory?.records ?? [] : [], at: world.now)
        else { return look() }
        job = next
        jobs += 1
        let takes = world.random.duration(.microseconds(50) ... .milliseconds(3))
        world.note(at: max(feed.disk.slowUntil, world.now) + takes) { [weak self, jobs] in
            self?.hasTime { if jobs == $0.jobs { $0.finish() } }
        }
    }

    /// The thread that writes stands still with the others.
    private func hasTime(_ work: @escaping (JournalOfChannel) -> Void) {
        world.gateway.loop.reads(from: "\(feed.options.name)'s journal") { [weak self] in self.map(work) }
    }

    /// The first job is done before anything else happens, unless the disk is slow.
    func openAtOnce() {
        guard job == .open, feed.disk.slowUntil <= world.now else { return }
        jobs += 1
        finish()
    }

    private func finish() {
        guard var done = job, !hasEnded else { return }
        job = nil
        if feed.disk.isFull > 0, done != .sync, done != .expire {
            machine.finished(.failed("the disk is full"), returning: done.takeRecords(), at: world.now)
        } else {
            let size = disk.perform(done, run: run, at: wall)
            let isOpening = done == .open
            machine.finished(.done(size: size), returning: done.takeRecords(), at: world.now)
            if isOpening { opened() }
        }
        advance()
    }

    private func opened() {
        let memory = disk.memory
        guard feed.options.wantsMemory, memory.epoch != 0 else { return }
        world.trace.say(
            world.now, feed.options.name,
            "remembers sequence \(memory.last) and \(memory.directory?.units.count ?? 0) instruments")
        onMemory(memory)
    }

    /// No end of the process loses what it was said to have written.
    func end() {
        hasEnded = true
        if let job, feed.disk.isFull == 0 {
            disk.tear(job, run: run, at: wall, keeping: world.random.ratio(0...1))
        }
        if world.plan.defect == .losesWritten { disk.forget(200) }
        if world.plan.defect == .losesBehindHole { disk.forgetLastFrame(of: run) }
        check()
    }

    // MARK: - What must be there

    /// How far what is there was compared.
    private struct Comparison {
        /// Of what was released: frames that are there, and those of which a hole tells.
        var place = 0
        /// Those that are there.
        var frames = 0
    }

    private func check() {
        var compared = Comparison()
        var isWhole = true
        for number in disk.segments.indices {
            let segment = disk.records(of: number)
            guard segment.header?.run == run else { continue }
            // Only what was written last can be torn.
            if !segment.isWhole, number < disk.segments.count - 1 { isWhole = false }
            for record in segment.records where !take(record, &compared) { return }
        }
        guard isWhole else { return wrong("is damaged before its end") }
        // A hole is no frame: what it tells of was never said to be written.
        if compared.frames < Int(clamping: machine.figures.written) {
            wrong("has \(compared.frames) frames of a run that had written \(machine.figures.written)")
        }
        var faults = disk.faults
        // A torn end is cut at the next start.
        faults.removeAll { fault in
            if case .damage = fault.problem { fault.segment == UInt64(disk.segments.count) } else { false }
        }
        if let fault = faults.first { wrong("is not whole: \(fault)") }
    }

    /// Each record is what was released next, or says how much is missing.
    private func take(_ record: Record, _ compared: inout Comparison) -> Bool {
        switch record.head.kind {
        case .directory: return true
        case .hole:
            let hole = Hole(record.contents, topicLength: record.head.topicLength)
            compared.place += Int(clamping: hole?.count ?? 0)
            return true
        case .frame:
            let place = compared.place
            guard place < appended.count, appended[place].elementsEqual(record.contents) else {
                wrong("has as record \(record.number) another frame than was released as number \(place)")
                return false
            }
            compared.place += 1
            compared.frames += 1
            return true
        }
    }

    private func wrong(_ what: String) {
        world.checker.violated(.journal, "the journal of \(feed.options.name) \(what)")
    }
}
