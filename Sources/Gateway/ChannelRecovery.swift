// The re-requests of one channel: what its arbiter misses is asked of the venue's servers, and what they send is checked
// before anything of it is used.
import Arbitration
import Basics
import Configuration
import FeedProtocols

/// A channel's recovery, for the bus.
package struct RecoveryFigures: Hashable, Sendable {
    package var requests: UInt64 = 0
    /// Messages that were delivered because they were sent again.
    package var recovered: UInt64 = 0
    package var unanswered: UInt64 = 0
    /// Answers that were not used, by name.
    package var refused: [String: UInt64] = [:]
    /// Requests that the venue rejected, by its reason.
    package var rejected: [String: UInt64] = [:]
}

extension RecoveryFigures {
    /// Takes in another channel.
    mutating func add(_ other: RecoveryFigures) {
        requests &+= other.requests
        recovered &+= other.recovered
        unanswered &+= other.unanswered
        refused.merge(other.refused) { $0 &+ $1 }
        rejected.merge(other.rejected) { $0 &+ $1 }
    }
}

/// What a venue's server says of a request that it will not serve.
package struct RequestRejection: Hashable, Sendable {
    package var channel: UInt16
    /// The first number that was asked for, as the venue counts.
    package var first: UInt64
    /// How many were.
    package var count: UInt64
    /// Its reason, as it is counted.
    package var reason: String
    /// It would be refused again, whenever it is asked.
    package var isFinal: Bool
}

struct ChannelRecovery {
    /// Missing ranges that are looked at at a time.
    private static let mostRanges = 64
    /// After numbers began anew, what a venue sends again without naming its session may still be of the old ones.
    private static let oldNumbersFor: Duration = .milliseconds(500)

    /// The number under which the arbiter knows what was recovered: the one behind those of the feed's paths.
    let path: UInt8
    private let channel: UInt16
    private var machine: RecoveryMachine
    private let sink: any RecoverySink
    private let encode: (WantedMessages) -> [UInt8]?
    private let mostMissing: UInt64
    private(set) var recovered: UInt64 = 0
    private var refused: [String: UInt64] = [:]
    private var rejected: [String: UInt64] = [:]
    /// The session's name, if it has one, which requests must have then, and its number.
    private var session: (name: MoldSession?, epoch: UInt64)?
    private var restartedAt: Instant?

    /// `nil`: the feed has nobody to ask.
    /// - Parameters:
    ///   - sent: when the channel's last requests were sent, before its feed's options were these.
    ///   - encode: writes a request of the feed's protocol.
    init?(
        _ options: FeedOptions, channel: UInt16, sent: [Instant], sink: (any RecoverySink)?,
        encode: @escaping (WantedMessages) -> [UInt8]?
    ) {
        guard let sink, !options.recover.servers.isEmpty else { return nil }
        self.sink = sink
        self.channel = channel
        self.encode = encode
        mostMissing = UInt64(options.recover.count / 2)  // what comes meanwhile waits, too
        path = UInt8(truncatingIfNeeded: options.paths.count)
        machine = RecoveryMachine(options: RecoveryOptions(options), sent: sent)
    }

    var deadline: Instant? { machine.deadline }
    var requestsLately: [Instant] { machine.sentLately }

    /// A packet of a line came: its session has this name.
    mutating func heard(_ name: MoldSession?, epoch: UInt64) {
        if session?.epoch != epoch { session = (name, epoch) }
    }

    /// Whether something is missing between two numbers, the venue may be asked for all of it, and the arbiter may wait
    /// for it.
    func canRecover(after last: UInt64, before next: UInt64) -> Bool {
        next > last && next - last > 1 && next - last - 1 <= mostMissing
    }

    /// The arbiter may miss something since now.
    mutating func follow(_ arbiter: borrowing Arbiter, at now: Instant) {
        if arbiter.hasHole { machine.suspect(at: now) }
    }

    /// Asks for what is due.
    mutating func tick(_ arbiter: borrowing Arbiter, _ labels: borrowing SessionLabels, at now: Instant) {
        guard let deadline = machine.deadline, deadline <= now else { return }
        // What a line brought last may be a packet of another session, whose name is none for a request.
        guard !arbiter.hasHole || session?.epoch == arbiter.session else { return machine.wait(at: now) }
        let missing = arbiter.missing(
            for: machine.options.patience, atMost: ChannelRecovery.mostRanges, at: now)
        for request in machine.look(missing, at: now) {
            send(request, labels, at: now)
        }
    }

    private mutating func send(
        _ request: RecoveryRequest, _ labels: borrowing SessionLabels, at now: Instant
    ) {
        let (first, before) = labels.venueNumber(of: request.range.first)
        let messages = WantedMessages(
            channel: channel, session: session?.name, first: first, count: min(request.range.count, before))
        switch encode(messages).map({ sink.ask($0, of: request.server) }) {
        case .sent: break
        case .failed, nil: machine.withdrawn(request, until: now + machine.options.answerWithin, at: now)
        case .notBefore(let end): machine.withdrawn(request, until: end, at: now)
        }
    }

    /// Whether a packet that was sent again is of the numbering that counts; if not, that is counted.
    mutating func accepts<Units>(
        _ packet: FramedPacket<Units>, from server: Int?, session wanted: UInt64, at now: Instant
    ) -> Bool {
        let isData =
            switch packet.header.kind {
            case .data: true
            case .heartbeat, .endOfSession, .unsequenced: false
            }
        // A group's heartbeats say nothing.
        if server == nil, !isData { return false }
        guard packet.session.map({ $0.epoch == wanted }) ?? !isRestarting(at: now) else {
            refuse("other-session")
            return false
        }
        if let server, !isData {
            refuse("nothing")
            machine.refused(by: server, at: now)
        }
        return isData
    }

    private func isRestarting(at now: Instant) -> Bool {
        restartedAt.map { now - $0 < ChannelRecovery.oldNumbersFor } ?? false
    }

    /// A packet was none.
    mutating func refuse(_ why: String) { refused[why, default: 0] &+= 1 }

    /// A packet was used. Of one that goes to all who listen nothing is known of who asked for it, and it is none of our
    /// servers' faults if nobody here misses it.
    mutating func answered(_ range: SequenceRange, by server: Int?, taken: UInt64, at now: Instant) {
        recovered &+= taken
        machine.answered(range, by: server, at: now)
    }

    /// A server will not send what it was asked for.
    mutating func rejected(
        _ rejection: RequestRejection, by server: Int, _ labels: borrowing SessionLabels, at now: Instant
    ) {
        rejected[rejection.reason, default: 0] &+= 1
        let mayBeOld = restartedAt.map { now - $0 < max(Self.oldNumbersFor, machine.options.answerWithin) }
        machine.refused(
            from: labels.place(ofRecovered: rejection.first), count: mayBeOld ?? false ? 0 : rejection.count,
            by: server, isFinal: rejection.isFinal, at: now)
    }

    /// The numbering began anew.
    mutating func restart(at now: Instant) {
        machine.reset()
        restartedAt = now
    }

    var figures: RecoveryFigures {
        RecoveryFigures(
            requests: machine.counters.requests, recovered: recovered,
            unanswered: machine.counters.unanswered, refused: refused, rejected: rejected)
    }
}

extension RecoveryOptions {
    init(_ feed: FeedOptions) {
        self.init(servers: feed.recover.servers.count)
        patience = feed.reorderTime
        messagesPerRequest = UInt64(feed.recover.messagesPerRequest)
        requestsPerSecond = feed.recover.requestsPerSecond
        answerWithin = feed.recover.answerWithin
        // What comes by multicast is sent after a while, in several packets.
        if !feed.recover.groups.isEmpty { restAfter = answerWithin }
    }
}
