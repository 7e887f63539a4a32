// Hands the feeds' journals to replicas elsewhere: who may have them, at which pace, and how far each replica is behind,
// which the health bus is told.
import Arbitration
import Basics
import FeedJournal
import JournalFiles
import Linux
import Messaging
import Reactor
import Wire

final class PullDesk {
    private let loop: EventLoop
    private let worker: Worker
    private var pacer: RepairPacer
    private var book = ReplicaBook()
    private let limits: ReplicaLimits
    private let segments: SegmentBook

    /// - Parameters:
    ///   - worker: the thread that reads.
    ///   - segments: what it knows of the journals.
    init(_ loop: EventLoop, _ worker: Worker, _ segments: SegmentBook, _ limits: ReplicaLimits) {
        self.loop = loop
        self.worker = worker
        self.segments = segments
        self.limits = limits
        // Replicas read what market data does not wait for, but not all that the disk and the network can do.
        var paces = RepairPacer.Limits()
        (paces.bytesPerSecond, paces.atOnce) = (64 << 20, 4)
        pacer = RepairPacer(limits: paces)
    }

    func answer(_ request: PullRequest, _ feed: NamedFeed, _ caller: Caller, _ responder: Responder) {
        switch feed {
        case .open(let feed):
            guard let keeper = feed.journal else {
                return refuse(request, responder, "feed \(request.feed) is not journalled")
            }
            answer(request, keeper, caller, responder)
        case .opening:
            postpone(
                request, responder, NamedFeed.retryAfter, because: "feed \(request.feed) is being opened")
        case .unknown: refuse(request, responder, "there is no feed \(request.feed)")
        }
    }

    private func answer(
        _ request: PullRequest, _ keeper: JournalKeeper, _ caller: Caller, _ responder: Responder
    ) {
        let entitled = Entitlements(caller)
        guard entitled.mayHave(.batch(feed: request.feed, channel: request.channel ?? 0)) else {
            return refuse(
                request, responder,
                "the journal of \(request.feed) is for clients that may have md/\(request.feed)/: this one may have \(entitled)"
            )
        }
        guard let number = request.channel else {
            return send(PullReply(feed: request.feed, channel: nil, .channels(keeper.numbers)), responder)
        }
        let name = ReplicaBook.Name(feed: request.feed, replica: replica(request, caller))
        guard book.mayPull(name, number, at: loop.now) else {
            return refuse(
                request, responder, "too many replicas pull feed \(request.feed), or too many channels")
        }
        // A gateway that has just started opens a channel with its first frame.
        guard let channel = keeper.channelJournal(number) else {
            book.putOff(request, by: name, number, at: loop.now)
            return postpone(
                request, responder, .milliseconds(500), because: "nothing of channel \(number) came yet")
        }
        read(request, channel, name, number, responder)
    }

    /// A client is what its key says; on this host it is what it says itself.
    private func replica(_ request: PullRequest, _ caller: Caller) -> String {
        switch caller {
        case .client(let client): client.name
        case .open, .stranger: request.replica
        }
    }

    private func read(
        _ request: PullRequest, _ channel: ChannelJournal, _ name: ReplicaBook.Name, _ number: UInt16,
        _ responder: Responder
    ) {
        let written = channel.machine.figures.written
        let pace = "\(name.replica) \(name.feed)/\(number)"
        guard let reader = PullDesk.reader(request, channel) else {
            book.putOff(request, by: name, number, at: loop.now)
            return postpone(
                request, responder, .milliseconds(500), because: PullDesk.obstacle(channel.machine.condition))
        }
        switch pacer.asks(pace, at: loop.now) {
        case .later(let wait):
            book.putOff(request, by: name, number, at: loop.now)
            return postpone(request, responder, wait)
        case .now: break
        }
        let page = segments.page(of: channel.folder)
        let isTaken = worker.perform({ page.with { reader.read(&$0) } }) { [weak self] findings in
            guard let self else { return }
            pacer.gave(pace, bytes: findings.cost, at: loop.now)
            switch findings.body {
            case .bytes(let pulled):
                book.pulled(
                    request, by: name, number, pulled, bytes: findings.bytes.count, isAll: findings.isAll,
                    written: written, at: loop.now)
            case .refused, .channels: book.putOff(request, by: name, number, at: loop.now)
            }
            send(
                PullReply(feed: request.feed, channel: number, findings.body), responder,
                findings.bytes)
        }
        if !isTaken {
            pacer.gave(pace, bytes: 0, at: loop.now)
            book.putOff(request, by: name, number, at: loop.now)
            postpone(request, responder, .milliseconds(100))
        }
    }

    /// Also of a journal that can be read and not be written, as on a full disk: nobody needs a replica more.
    private static func reader(_ request: PullRequest, _ channel: ChannelJournal) -> PullReader? {
        if let tail = channel.tail { return PullReader(request, in: channel.folder, tail: tail) }
        return channel.end.map { PullReader(request, in: channel.folder, end: $0) }
    }

    /// Why a journal cannot be read yet.
    private static func obstacle(_ condition: JournalWriter.Condition) -> String {
        switch condition {
        case .opening, .writing: "the journal is being opened"
        case .stopped(let why): "the journal cannot be opened: \(why)"
        }
    }

    private func send(_ reply: PullReply, _ responder: Responder, _ bytes: [UInt8]? = nil) {
        responder.send([reply.json.bytes] + (bytes.map { [$0] } ?? []))
    }

    private func refuse(_ request: PullRequest, _ responder: Responder, _ reason: String) {
        let reply = PullReply(
            feed: request.feed, channel: request.channel, .refused(reason, retryAfter: nil, first: nil))
        responder.sendRefusal([reply.json.bytes])
    }

    private func postpone(
        _ request: PullRequest, _ responder: Responder, _ wait: Duration, because reason: String = "too soon"
    ) {
        send(
            PullReply(
                feed: request.feed, channel: request.channel,
                .refused("\(reason): ask again after \(wait.inSeconds) s", retryAfter: wait, first: nil)),
            responder)
    }

    // MARK: - What the health bus is told

    /// The state of each replica, and the subjects of those that are none any more.
    /// - Parameter opening: feeds that are journalled and will be there soon.
    func reports(
        _ feeds: [String: Feed], opening: some Collection<String>
    ) -> (reports: [Report], gone: [Subject]) {
        let (now, wall) = (loop.now, loop.wall)
        let journalled = Set(feeds.filter { $0.value.journal != nil }.keys).union(opening)
        let gone = book.forget(at: now, except: journalled).map(\.subject)
        let reports = book.names.compactMap { name -> Report? in
            guard let keeper = feeds[name.feed]?.journal else { return nil }
            let distance = book.distance(of: name, at: now, wall: wall) {
                keeper.channelJournal($0)?.machine.figures.written ?? 0
            }
            guard let distance else { return nil }
            let (status, reason) = distance.verdict(limits, quiet: "does not ask")
            return Report(
                name.subject, status, reason: reason,
                values: [
                    NamedValue("behind_messages", .integer(Int64(clamping: distance.messages))),
                    NamedValue("behind_s", .number(distance.time.inSeconds)),
                    NamedValue("silent_s", .number(distance.silence.inSeconds)),
                ], detectedAt: wall)
        }
        return (reports, gone)
    }
}

extension ReplicaBook.Name {
    /// The replica itself calls it after the feed alone, on its own bus.
    var subject: Subject { Subject(.replica, "\(feed).\(replica)") }
}
