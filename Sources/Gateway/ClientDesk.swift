// The clients that send leases: who may take which name, how far each of them is, and what the health bus says of it.
import Arbitration
import Basics
import Linux
import Logging
import Messaging
import Reactor
import Wire

final class ClientDesk {
    private let loop: EventLoop
    private let log: LimitedLog
    private let health: HealthBus
    private var book = ClientBook()
    private var timer: Timer?

    init(_ loop: EventLoop, _ health: HealthBus, log: LimitedLog) throws(SystemError) {
        self.loop = loop
        self.health = health
        self.log = log
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            perform(book.tick(at: loop.now))
        }
    }

    var count: Int { book.count }
    var postponed: UInt64 { book.postponed }
    var refused: UInt64 { book.refused }

    /// - Parameter find: the feed of a name. One that is being opened is no reason to refuse a lease, and nobody is
    ///   behind it.
    func answer(
        _ lease: ClientLease, _ caller: Caller, among allowed: AllowList, _ responder: Responder,
        find: (String) -> NamedFeed
    ) {
        let trouble =
            ClientDesk.trouble(withName: lease.name, caller, among: allowed)
            ?? ClientDesk.trouble(with: lease, caller, find: find)
        if let trouble {
            tellRefused(lease, responder, trouble)
            return responder.refuse(trouble)
        }
        let progress = lease.positions.compactMap { $0.progress(in: find($0.feed)) }
        switch book.lease(lease, owner: caller.ownName, progress: progress, at: loop.now) {
        case .taken(let condition, let missed):
            if missed > 0 { tellMissed(lease.name, missed, condition.missed) }
            report(lease.name, condition)
            responder.send([Reply.done(condition.members).json.bytes])
        case .ended:
            health.forget(Subject(.client, lease.name))
            responder.send([Reply.done([]).json.bytes])
        case .later(let wait): responder.postpone(wait)
        case .full(let limit):
            let trouble = "there are \(limit) clients with leases, the most that there may be"
            tellRefused(lease, responder, trouble)
            responder.refuse(trouble)
        case .notYours(let owner):
            let whose = owner.map { "client \($0)" } ?? "somebody who came in the clear"
            let trouble = "the lease \(lease.name) belongs to \(whose), until it has ended"
            tellRefused(lease, responder, trouble)
            responder.refuse(trouble)
        }
        timer?.arm(at: book.deadline)
    }

    /// Why a lease may not have its name.
    static func trouble(withName name: String, _ caller: Caller, among allowed: AllowList) -> String? {
        guard let own = caller.ownName else { return nil }
        guard name == own || name.hasPrefix(own + ".") else {
            return "the name of this client's leases is \(own), or begins with \(own)."
        }
        guard let owner = allowed.owner(of: name), owner != own else { return nil }
        return "the name \(name) is for client \(owner)"
    }

    /// Why a lease does not hold.
    private static func trouble(
        with lease: ClientLease, _ caller: Caller, find: (String) -> NamedFeed
    ) -> String? {
        let entitled = Entitlements(caller)
        for position in lease.positions {
            if case .unknown = find(position.feed) { return "there is no feed \(position.feed)" }
            guard entitled.mayHave(.control(feed: position.feed, channel: position.channel)) else {
                return "md/\(position.feed)/ is not for this client: it may have \(entitled)"
            }
        }
        return nil
    }

    private func perform(_ actions: [ClientAction]) {
        for action in actions {
            switch action {
            case .report(let name, let condition): report(name, condition)
            case .forget(let name): health.forget(Subject(.client, name))
            }
        }
        timer?.arm(at: book.deadline)
    }

    private func report(_ name: String, _ condition: ClientCondition) {
        health.report(
            Report(
                Subject(.client, name), condition.status, reason: condition.reason, values: condition.values,
                detectedAt: loop.wall))
    }

    private func tellRefused(_ lease: ClientLease, _ responder: Responder, _ trouble: String) {
        log.event(
            .leaseRefused, key: "", "the lease of client \(lease.name) was refused: \(trouble)",
            ["client": "\(lease.name)"])
    }

    private func tellMissed(_ name: String, _ more: UInt64, _ all: UInt64) {
        log.event(
            .clientMissed, key: name,
            "client \(name) says that it missed \(more) messages, \(all) since it began",
            ["client": "\(name)", "missing": "\(more)"])
    }
}

extension Caller {
    /// Its name on the list; `nil`: it came in the clear.
    fileprivate var ownName: String? {
        switch self {
        case .client(let client): client.name
        case .open, .stranger: nil
        }
    }
}

extension ClientCondition {
    fileprivate var values: [NamedValue] {
        [
            NamedValue("behind_messages", .integer(Int64(clamping: behind))),
            NamedValue("behind_s", .number(behindFor.inSeconds)),
            NamedValue("missed", .integer(Int64(clamping: missed))),
            NamedValue("leases", .integer(Int64(clamping: leases))),
            NamedValue("expires_after_s", .number(expiresAfter.inSeconds)),
        ]
    }

    fileprivate var members: [JSON.Member] {
        [JSON.Member("status", .string(status.rawValue)), JSON.Member("reason", .string(reason))]
            + values.map { JSON.Member($0.name, $0.value.json) }
    }
}

extension ClientLease.Position {
    /// Beside where the gateway is; `nil`: the channel has not begun.
    fileprivate func progress(in feed: NamedFeed) -> ClientProgress? {
        guard case .open(let open) = feed, let place = open.engine.place(of: channel) else { return nil }
        switch mark {
        case .sequence(let sequence, let epoch):
            // Of another epoch than the gateway's it has had nothing.
            return ClientProgress(
                feed: self.feed, channel: channel, numbering: place.epoch,
                client: epoch == place.epoch ? sequence : max(place.first, 1) - 1, gateway: place.last)
        case .published(let published, let run):
            return ClientProgress(
                feed: self.feed, channel: channel, numbering: UInt64(place.run),
                client: run == place.run ? published : 0, gateway: place.published)
        }
    }
}
