// The re-requests of one MoldUDP64 channel: what its arbiter misses is asked of the venue's servers, and their answers
// are checked before anything of them is used.
import Arbitration
import Basics
import Configuration
import FeedProtocols

/// A channel's recovery, for the bus.
package struct RecoveryFigures: Hashable, Sendable {
    package var requests: UInt64 = 0
    /// Messages that were delivered because they were asked for.
    package var recovered: UInt64 = 0
    package var unanswered: UInt64 = 0
    /// Answers that were not used, by name.
    package var refused: [String: UInt64] = [:]
}

struct ChannelRecovery {
    /// Missing ranges that are looked at at a time.
    private static let mostRanges = 64

    /// The number under which the arbiter knows what was recovered: the one behind those of the feed's paths.
    let path: UInt8
    private var machine: RecoveryMachine
    private let sink: any RecoverySink
    private let mostMissing: UInt64
    private(set) var recovered: UInt64 = 0
    private var refused: [String: UInt64] = [:]
    /// The session's name, which requests must have, and its number.
    private var session: (name: MoldSession, epoch: UInt64)?

    /// `nil`: the feed has nobody to ask.
    init?(_ options: FeedOptions, sink: (any RecoverySink)?) {
        guard let sink, !options.recover.servers.isEmpty else { return nil }
        self.sink = sink
        mostMissing = UInt64(options.recover.count / 2)  // what comes meanwhile waits, too
        path = UInt8(truncatingIfNeeded: options.paths.count)
        machine = RecoveryMachine(options: RecoveryOptions(options))
    }

    var deadline: Instant? { machine.deadline }

    /// A packet of a line came: its session has this name.
    mutating func heard(_ name: MoldSession, epoch: UInt64) {
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
    mutating func tick(_ arbiter: borrowing Arbiter, at now: Instant) {
        guard let deadline = machine.deadline, deadline <= now else { return }
        let missing = arbiter.missing(
            for: machine.options.patience, atMost: ChannelRecovery.mostRanges, at: now)
        for request in machine.look(missing, at: now) { send(request, session: arbiter.session, at: now) }
    }

    private mutating func send(_ request: RecoveryRequest, session wanted: UInt64, at now: Instant) {
        guard let session, session.epoch == wanted else { return }
        let packet = MoldUDP64Request(
            session: session.name, firstSequence: request.range.first,
            count: UInt16(clamping: min(request.range.count, 65_534)))
        if !sink.ask(packet.bytes, of: request.server) { machine.refused(by: request.server, at: now) }
    }

    /// Checks an answer. `nil`: there is nothing in it that could be used, which is counted.
    mutating func read(
        _ bytes: ArraySlice<UInt8>, from server: Int, session wanted: UInt64, at now: Instant
    ) -> MoldUDP64Packet? {
        let packet: MoldUDP64Packet
        do throws(MalformedInput) {
            packet = try MoldUDP64Packet(decoding: bytes)
        } catch {
            refuse(error.reason.rawValue)
            return nil
        }
        guard packet.session.epoch == wanted else {
            refuse("other-session")
            return nil
        }
        switch packet.kind {
        case .data: return packet
        case .heartbeat, .endOfSession:
            refuse("nothing")
            machine.refused(by: server, at: now)
            return nil
        }
    }

    private mutating func refuse(_ why: String) { refused[why, default: 0] &+= 1 }

    /// An answer was used.
    mutating func answered(
        _ range: SequenceRange, by server: Int, delivered: UInt64, at now: Instant
    ) {
        recovered &+= delivered
        if delivered == 0 { refuse("nothing-missing") }
        machine.answered(range, by: server, at: now)
    }

    /// The numbering began anew.
    mutating func restart() { machine.reset() }

    var figures: RecoveryFigures {
        RecoveryFigures(
            requests: machine.counters.requests, recovered: recovered,
            unanswered: machine.counters.unanswered, refused: refused)
    }
}

extension RecoveryOptions {
    init(_ feed: FeedOptions) {
        self.init(servers: feed.recover.servers.count)
        patience = feed.reorderTime
        messagesPerRequest = UInt64(feed.recover.messagesPerRequest)
        requestsPerSecond = feed.recover.requestsPerSecond
        answerWithin = feed.recover.answerWithin
    }
}
