// Answers clients that missed something from the feeds' journals: who may have what, at which pace, and where it is.
import Arbitration
import Basics
import FeedJournal
import JournalFiles
import Linux
import Messaging
import Reactor
import Wire

final class RepairDesk {
    private let loop: EventLoop
    private let worker: Worker
    private var pacer = RepairPacer()
    private let book: SegmentBook
    /// Requests that were answered with frames, and the frames.
    private(set) var repairs: UInt64 = 0
    private(set) var frames: UInt64 = 0

    /// - Parameters:
    ///   - worker: the thread that reads, so that nothing waits for it.
    ///   - book: what it knows of the journals.
    init(_ loop: EventLoop, _ worker: Worker, _ book: SegmentBook) {
        self.loop = loop
        self.worker = worker
        self.book = book
    }

    var postponed: UInt64 { pacer.postponed }

    func answer(_ request: RepairRequest, _ feed: NamedFeed, _ caller: Caller, _ responder: Responder) {
        guard let feed = responder.opened(feed, named: request.feed) else { return }
        guard let keeper = feed.journal else {
            return responder.refuse("feed \(request.feed) is not journalled")
        }
        let entitled = Entitlements(caller)
        guard entitled.mayHave(.control(feed: request.feed, channel: request.channel)) else {
            return responder.refuse("md/\(request.feed)/ is not for this client: it may have \(entitled)")
        }
        if let instrument = request.instrument,
            !entitled.mayHave(.marketData(feed: request.feed, instrument: instrument))
        {
            return responder.refuse(
                "\(instrument) of \(request.feed) is not for this client: it may have \(entitled)")
        }
        guard let channel = keeper.channelJournal(request.channel) else {
            return responder.refuse("channel \(request.channel) of feed \(request.feed) is not journalled")
        }
        let name = responder.peerName(caller)
        switch pacer.asks(name, at: loop.now) {
        case .later(let wait): return responder.postpone(wait)
        case .now: break
        }
        // What was missed may be so new that it still waits for the disk.
        channel.afterWriting { [unowned self] in read($0, request, entitled, name, responder) }
    }

    private func read(
        _ channel: ChannelJournal, _ request: RepairRequest, _ entitled: Entitlements, _ name: String,
        _ responder: Responder
    ) {
        let folder = channel.folder
        let reader = RepairReader(request, in: folder, tail: channel.tail) { topic in
            guard let topic = try? Topic(parsing: topic) else { return false }
            return entitled.mayHave(topic)
        }
        let page = book.page(of: folder)
        let isTaken = worker.perform({ page.with { reader.read(&$0) } }) { [weak self] findings in
            self?.found(findings, request, name, responder)
        }
        if !isTaken {
            pacer.gave(name, bytes: 0, at: loop.now)
            responder.postpone(.milliseconds(100))
        }
    }

    private func found(
        _ findings: RepairFindings, _ request: RepairRequest, _ name: String, _ responder: Responder
    ) {
        let wait = pacer.gave(name, bytes: findings.cost, at: loop.now)
        if let failure = findings.failure {
            return responder.refuse("the journal cannot be read: \(failure)")
        }
        if let unread = findings.unread {
            return responder.postpone(max(wait, .milliseconds(100)), because: unread)
        }
        // Where there is more to read, it may be there still; what is gone on with was there before.
        let isPart = findings.next != nil || request.after != nil
        guard let known = findings.known ?? (isPart ? request.range : nil) else {
            return responder.refuse(
                "nothing of epoch \(request.epoch) is journalled for feed \(request.feed)")
        }
        guard isPart || request.range.last >= known.first else {
            return responder.refuse(
                "not in the journal, or not any more: epoch \(request.epoch) of feed \(request.feed) can be had from sequence \(known.first) on",
                [JSON.Member("first", .integer(Int64(clamping: known.first)))])
        }
        repairs &+= 1
        frames &+= UInt64(findings.frames.count)
        var members = [
            JSON.Member("frames", .integer(Int64(findings.frames.count))),
            JSON.Member("first", .integer(Int64(clamping: known.first))),
            JSON.Member("last", .integer(Int64(clamping: known.last))),
        ]
        if let next = findings.next { members.append(JSON.Member("next", .string(next.text))) }
        responder.send([Reply.done(members).json.bytes] + findings.frames)
    }
}
