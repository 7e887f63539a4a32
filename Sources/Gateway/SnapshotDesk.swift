// Answers clients that join late with the last values of a feed's topics: who may have what, and at which pace.
import Arbitration
import Basics
import FeedJournal
import Messaging
import Reactor
import Wire

final class SnapshotDesk {
    private let loop: EventLoop
    private var pacer = RepairPacer()
    /// Requests that were answered with frames, and the frames.
    private(set) var snapshots: UInt64 = 0
    private(set) var frames: UInt64 = 0

    init(_ loop: EventLoop) { self.loop = loop }

    var postponed: UInt64 { pacer.postponed }

    func answer(_ request: SnapshotRequest, _ feed: NamedFeed, _ caller: Caller, _ responder: Responder) {
        guard let feed = responder.opened(feed, named: request.feed) else { return }
        let entitled = Entitlements(caller)
        guard let wants = SnapshotDesk.wants(request, entitled) else {
            return responder.refuse(
                "that of md/\(request.feed)/ is not for this client: it may have \(entitled)")
        }
        let name = responder.peerName(caller)
        switch pacer.asks(name, at: loop.now) {
        case .later(let wait): return responder.postpone(wait)
        case .now: break
        }
        guard let page = feed.core.snapshot(wants, at: loop.now, wall: loop.wall) else {
            pacer.gave(name, bytes: 0, at: loop.now)
            return responder.refuse(
                "no last values are kept of feed \(request.feed): its messages are changes, it is another gateway's and numbered by channel, or last_values is false"
            )
        }
        pacer.gave(name, bytes: page.cost, at: loop.now)
        responder.charge(bytes: page.cost - page.bytes)
        send(page, to: responder)
    }

    /// What of a request a client may have; `nil`: nothing.
    private static func wants(_ request: SnapshotRequest, _ entitled: Entitlements) -> SnapshotWants? {
        guard let allowed = entitled.instruments(of: request.feed) else {
            return SnapshotWants(instruments: request.instruments, after: request.after)
        }
        let may = Set(allowed)
        let instruments = request.instruments.map { $0.filter(may.contains) } ?? allowed
        return instruments.isEmpty ? nil : SnapshotWants(instruments: instruments, after: request.after)
    }

    private func send(_ page: SnapshotPage, to responder: Responder) {
        snapshots &+= 1
        frames &+= UInt64(page.frames.count)
        var members = [
            JSON.Member("frames", .integer(Int64(page.frames.count))),
            JSON.Member("without", .integer(Int64(page.without))),
        ]
        if let next = page.next { members.append(JSON.Member("next", .string(next.text))) }
        responder.send([Reply.done(members).json.bytes] + page.frames)
    }
}
