// The journal of one feed: a channel's for each of its channels, opened with its first frame, or, where an earlier run
// left one, at the start.
import Basics
import Configuration
import FeedJournal
import JournalFiles
import Linux
import Reactor
import Wire

/// What a feed's journal uses of the gateway.
struct JournalSurroundings {
    let options: JournalOptions
    let loop: EventLoop
    /// The thread that waits for the disk.
    let worker: Worker
    /// What may wait of all feeds' channels.
    let budget: JournalBudget
    let log: EventLog
    let run: UInt32
}

final class JournalKeeper: FrameJournal {
    /// Channels of which more are not journalled: as many as a feed may have.
    static let mostChannels = 256

    private let feed: String
    private let wantsMemory: Bool
    private let wantsDirectory: Bool
    private let surroundings: JournalSurroundings
    /// What earlier runs knew, of channels that nobody was told about yet.
    private var memories: [(channel: UInt16, memory: JournalMemory)] = []
    private var channels: [UInt16: ChannelJournal] = [:]
    /// Frames of channels that have no journal.
    private var withoutChannel: UInt64 = 0
    /// Which channels an earlier run left is not known yet.
    private var isListing = false
    private var isClosed = false
    /// A message was too long for it; that is told once.
    private var hasLeftOut = false
    private let ear = Ear()

    /// Where channels tell what happens, also when the keeper is gone: one may be in the midst of it, or wait for a disk
    /// that does not answer. A weak reference would make each frame's use of the keeper dearer.
    private final class Ear {
        unowned var keeper: JournalKeeper?
    }

    /// Called with what an earlier run knew of a channel; at once with what is known by then.
    var onMemory: ((UInt16, JournalMemory) -> Void)? { didSet { tellMemories() } }
    /// Called when nothing that an earlier run left is being read any more.
    var onOpened: (() -> Void)?
    private var onEnded: (() -> Void)?

    init(_ feed: FeedOptions, _ surroundings: JournalSurroundings) {
        self.feed = feed.name
        self.surroundings = surroundings
        wantsMemory = feed.wantsMemory
        wantsDirectory = feed.wantsMemory && feed.hasDirectory
        ear.keeper = self
        guard wantsMemory else { return }
        isListing = SegmentName.list(
            feed.name, in: surroundings.options.directory, by: surroundings.worker
        ) { [ear] in ear.keeper?.found($0) }
    }

    private func found(_ numbers: [UInt16]) {
        for number in numbers { _ = channel(number) }
        isListing = false
        if !isOpening { onOpened?() }
    }

    deinit { ear.keeper = nil }

    /// The number of the feed's run that is journalled.
    var run: UInt32 { surroundings.run }

    /// What an earlier run left is being read: a feed that goes on where that run stopped must know where, before its
    /// first message comes.
    var isOpening: Bool {
        isListing || channels.values.contains { $0.tail == nil && $0.machine.condition == .opening }
    }

    /// Waits until that is done, until then at most.
    func waitForMemory(until end: Instant) {
        while isOpening, Clock.monotonic < end { surroundings.worker.wait(until: end) }
    }

    private func tellMemories() {
        guard let onMemory else { return }
        let known = memories
        memories = []
        for (channel, memory) in known { onMemory(channel, memory) }
    }

    func append(_ frames: inout FrameBatch, channel number: UInt16) {
        if let journal = channel(number) { return journal.append(&frames) }
        withoutChannel &+= UInt64(frames.count)
        frames.removeAll()
    }

    func leaveOut(_ frame: [UInt8], topicLength: Int, channel number: UInt16) {
        guard let journal = channel(number) else { return withoutChannel &+= 1 }
        journal.leaveOut(frame, topicLength: topicLength)
        guard !hasLeftOut else { return }
        hasLeftOut = true
        surroundings.log(
            .feedJournalStopped,
            "\(place(of: number)) does not take a message of \(frame.count) bytes, more than \(RecordHead.mostBytes), nor others of its kind: it has a hole for each, which journal_lost counts; market data goes on"
        )
    }

    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, channel number: UInt16, epoch: UInt64) {
        channel(number)?.directory(unit, of: instrument, epoch: epoch)
    }

    func channelJournal(_ number: UInt16) -> ChannelJournal? { channels[number] }

    /// The channels that are journalled.
    var numbers: [UInt16] { channels.keys.sorted() }

    private func channel(_ number: UInt16) -> ChannelJournal? {
        if let known = channels[number] { return known }
        guard !isClosed, channels.count < JournalKeeper.mostChannels else { return nil }
        let options = surroundings.options
        let plan = JournalPlan(
            folder: ChannelFolder(root: options.directory, feed: feed, channel: number), feed: feed,
            channel: number, run: surroundings.run,
            retention: Retention(mostBytes: options.keepBytes, longest: options.keep),
            isDurable: options.fsync != .none, wantsMemory: wantsMemory, wantsDirectory: wantsDirectory)
        let opened = try? ChannelJournal(
            plan, JournalWriterOptions(options), surroundings.budget, surroundings.loop, surroundings.worker
        ) { [ear] in ear.keeper?.told($0, number) }
        channels[number] = opened
        return opened
    }

    // MARK: - What is told

    private func place(of number: UInt16) -> String {
        "the journal of feed \(feed)\(number == 0 ? "" : ", channel \(number)")"
    }

    private func told(_ news: JournalNews, _ number: UInt16) {
        let place = place(of: number)
        switch news {
        case .opened(let opening):
            if let torn = opening.torn {
                surroundings.log(
                    .feedJournalCut,
                    "\(place) ended in a record that was cut off: \(torn.bytes) bytes removed from segment \(torn.segment)"
                )
            }
            for damage in opening.damages.prefix(3) {
                surroundings.log(.feedJournalDamaged, "\(place) is damaged and goes on behind it: \(damage)")
            }
            if opening.memory.epoch != 0, wantsMemory {
                memories.append((number, opening.memory))
                tellMemories()
            }
        case .condition(.stopped(let why)):
            surroundings.log(.feedJournalStopped, "\(place) is not written: \(why); market data goes on")
        case .condition(.writing):
            if let figures = channels[number]?.machine.figures, figures.stops > 0 {
                surroundings.log(
                    .feedJournalResumed,
                    "\(place) is written again; \(figures.lost) frames so far are not in it")
            }
        case .condition(.opening): break
        case .notRemoved(let why):
            surroundings.log(.feedJournalStopped, "\(place): an old segment cannot be removed: \(why)")
        }
        if !isOpening { onOpened?() }
    }

    /// Why a channel is not journalled; `nil`: all are.
    var trouble: String? {
        for (_, journal) in channels.sorted(by: { $0.key < $1.key }) {
            if case .stopped(let why) = journal.machine.condition { return why }
        }
        return nil
    }

    /// All channels together; the sequence is that of the channel that was written last where there is one only.
    var values: [NamedValue] {
        let figures = channels.values.map { $0.machine.figures }
        let sum = { (of: KeyPath<JournalFigures, UInt64>) in
            Int64(clamping: figures.reduce(0) { $0 &+ $1[keyPath: of] })
        }
        let through = figures.count == 1 ? figures[0].writtenThrough.sequence : 0
        return [
            NamedValue("journal_written", .integer(sum(\.written))),
            NamedValue("journal_sequence", .integer(Int64(clamping: through))),
            NamedValue("journal_synced", .integer(sum(\.synced))),
            NamedValue("journal_lost", .integer(sum(\.lost) &+ Int64(clamping: withoutChannel))),
            NamedValue("journal_stops", .integer(sum(\.stops))),
            NamedValue(
                "journal_waiting_bytes",
                .integer(Int64(channels.values.reduce(0) { $0 + $1.machine.waiting }))),
            NamedValue("journal_expired", .integer(Int64(channels.values.reduce(0) { $0 + $1.expired }))),
        ]
    }

    // MARK: - The end

    /// Nothing is under way any more.
    var hasEnded: Bool { isClosed && channels.isEmpty }

    /// Writes what waits, and then says so; the loop goes on meanwhile.
    ///
    /// - Returns: whether anything waits; `false`: it has ended, and nobody is told.
    func end(then ended: @escaping () -> Void) -> Bool {
        isClosed = true
        (onMemory, onOpened) = (nil, nil)
        for (number, journal) in channels { journal.end { [ear] in ear.keeper?.ended(number) } }
        guard !channels.isEmpty else { return false }
        onEnded = ended
        return true
    }

    private func ended(_ number: UInt16) {
        channels[number] = nil
        if channels.isEmpty { onEnded?() }
    }

    /// Writes what waits, until then at most.
    func close(until end: Instant) {
        isClosed = true
        for journal in channels.values { journal.close(until: end) }
        channels = [:]
    }
}

extension SegmentName {
    /// Tells in order which channels of a feed have a folder, in a job of the thread that waits for the disk.
    ///
    /// - Returns: whether it will; `false`: the thread has too much to do.
    static func list(
        _ feed: String, in directory: String, by worker: Worker, then: @escaping ([UInt16]) -> Void
    ) -> Bool {
        let path = "\(directory)/\(folder(feed: feed))"
        return worker.perform(
            { ((try? Files.names(in: path)) ?? []).compactMap { UInt16($0) }.sorted() }, then: then)
    }
}

extension JournalWriterOptions {
    init(_ options: JournalOptions) {
        self.init()
        segmentBytes = options.segmentBytes
        mostWaiting = options.mostWaiting
        sync =
            switch options.fsync {
            case .none: .never
            case .every: .every(options.fsyncEvery)
            case .eachBatch: .eachBatch
            }
    }
}
