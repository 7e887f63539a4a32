// What goes into an arbiter and what comes out: arrivals, verdicts, held messages, gaps and epoch changes.
public import Basics
public import Wire

/// One message, or one heartbeat, as it came in on one path.
public struct Arrival: Hashable, Sendable {
    /// The path's index in its feed, from 0; at most 7.
    public var path: UInt8
    /// The venue's session as a number (a hash of its name); the same on each path.
    public var session: UInt64
    /// The message's own number; of a heartbeat, the number of the message that is sent next.
    public var sequence: UInt64
    /// When the venue says that it sent the message; `nil`: it does not say.
    public var sourceTime: WallTime?
    /// When the packet reached this host. Messages with the same path and time came in one packet.
    public var receivedAt: WallTime

    public init(
        path: UInt8, session: UInt64, sequence: UInt64, sourceTime: WallTime? = nil, receivedAt: WallTime
    ) {
        self.path = path
        self.session = session
        self.sequence = sequence
        self.sourceTime = sourceTime
        self.receivedAt = receivedAt
    }

    @inline(__always) var pathBit: UInt8 { 1 << (path & 7) }
}

/// What to do with a message that was offered.
public enum Offer: Hashable, Sendable {
    /// It is next: publish it now, then drain what was released behind it.
    case deliver
    /// Its turn has not come, or its number is far ahead and waits for another packet that agrees; the arbiter has a copy and
    /// releases it, has it told as a gap, or finds out that its number was wrong.
    case held
    /// Another copy was delivered or is held.
    case duplicate
    /// It was told as a gap; it must not be delivered any more.
    case late
    /// It belongs to a session that was left.
    case oldEpoch
    /// Its number cannot be right, or there is no room to hold it; counted.
    case refused
}

/// A message that waited for its turn.
public struct HeldMessage: Hashable, Sendable {
    public var arrival: Arrival
    /// The epoch under which it is published.
    public var epoch: UInt64
    public var payload: [UInt8]

    public init(arrival: Arrival, epoch: UInt64, payload: [UInt8]) {
        self.arrival = arrival
        self.epoch = epoch
        self.payload = payload
    }
}

/// Why a gap became certain.
public enum GapCause: String, Hashable, Sendable, CaseIterable {
    /// Nobody delivered it within the reorder time.
    case timeout
    /// As many messages as may wait were waiting behind it.
    case windowFull = "window-full"
    /// Each active path has gone past it.
    case passed
    /// The venue began another session, or its numbering began again.
    case epochLeft = "epoch-left"
    /// Whoever runs the arbiter gave up on what was missing: the end of the session, a shutdown.
    case givenUp = "given-up"

    /// The word for it on the wire.
    public var reason: GapReason {
        switch self {
        case .timeout, .windowFull, .passed, .givenUp: .notRecovered
        case .epochLeft: .sessionChange
        }
    }
}

/// Sequence numbers that were not delivered and never will be.
public struct Gap: Hashable, Sendable {
    public var epoch: UInt64
    public var range: SequenceRange
    public var cause: GapCause

    public init(epoch: UInt64, range: SequenceRange, cause: GapCause) {
        self.epoch = epoch
        self.range = range
        self.cause = cause
    }
}

/// The numbering begins anew: everything after this belongs to `epoch`.
public struct EpochChange: Hashable, Sendable {
    public enum Cause: String, Hashable, Sendable, CaseIterable {
        /// The venue began another session.
        case session
        /// The numbers began again within a session, or in a protocol without one.
        case inferred
        /// Every path went back to a session that had been left: the one in between was a mistake.
        case resumed
    }

    public var from: UInt64
    public var epoch: UInt64
    public var cause: Cause

    public init(from: UInt64, epoch: UInt64, cause: Cause) {
        self.from = from
        self.epoch = epoch
        self.cause = cause
    }
}

/// Two copies of one message that are not the same.
public struct Divergence: Hashable, Sendable {
    /// The path whose copy came second.
    public var path: UInt8
    /// The path whose copy was delivered.
    public var deliveredBy: UInt8
    public var sequence: UInt64
    /// It is not the first of late: the two say different things.
    public var isRepeated: Bool

    public init(path: UInt8, deliveredBy: UInt8, sequence: UInt64, isRepeated: Bool = false) {
        self.path = path
        self.deliveredBy = deliveredBy
        self.sequence = sequence
        self.isRepeated = isRepeated
    }
}

/// What an arbiter lets go, in the order in which it is to be published.
public enum Released: Hashable, Sendable {
    case message(HeldMessage)
    case gap(Gap)
    case epoch(EpochChange)
    /// For the log and the path's health; at most one per path and `DivergenceOptions.every`, and those that are repeated.
    case divergence(Divergence)
}
