// When one session is left for another. A session's last messages may still come on the slower path when
// the faster one has begun the next, and a damaged packet may name a session that does not exist. So a new
// session waits until each active path has moved to it, or for the reorder time; what it brings is parked.
import Basics

/// How far a change of session has come.
enum SessionStage {
    /// One session, no doubt.
    case settled
    /// Another session was heard of.
    case doubted(SessionCandidate)
    /// The old session is being released; the new one begins when nothing of it is left.
    case leaving(Departure)

    /// Messages that wait for the change.
    var parked: Int {
        if case .doubted(let candidate) = self { return candidate.messages.count }
        return 0
    }
}

/// Another session, which may be next.
struct SessionCandidate {
    var session: UInt64
    var since: Instant
    var firstPath: UInt8
    var firstReceived: WallTime
    /// A second packet or another path confirmed that it exists.
    var isConfirmed = false
    /// Paths whose last word was of this session, a bit each.
    var moved: UInt8
    /// How often a path went back to the current session.
    var returns = 0
    var messages: [HeldMessage] = []
    /// The highest next number that its heartbeats named; 0: none did.
    var announced: UInt64 = 0

    init(_ arrival: Arrival, at now: Instant) {
        session = arrival.session
        since = now
        firstPath = arrival.path
        firstReceived = arrival.receivedAt
        moved = arrival.pathBit
    }

    mutating func confirm(_ arrival: Arrival) {
        moved |= arrival.pathBit
        if arrival.path != firstPath || arrival.receivedAt != firstReceived { isConfirmed = true }
    }
}

/// The epoch that is entered once the old one is released.
struct Departure {
    var session: UInt64
    var epoch: UInt64
    var cause: EpochChange.Cause
    /// The first number of the new epoch.
    var start: UInt64
    /// The number that the new epoch's heartbeats name as the next one; 0: none did.
    var announced: UInt64 = 0
    var decidedAt: Instant
}

/// A session that was left, with the place where it stood.
struct LeftSession {
    var session: UInt64
    var epoch: UInt64
    var expected: UInt64
    /// The packet of it that came first after it was left, and whether another one followed.
    var firstPath: UInt8 = 0
    var firstReceived: WallTime?
    var isConfirmed = false

    mutating func confirm(_ arrival: Arrival) {
        guard let firstReceived else {
            (firstPath, self.firstReceived) = (arrival.path, arrival.receivedAt)
            return
        }
        if arrival.path != firstPath || arrival.receivedAt != firstReceived { isConfirmed = true }
    }
}

/// Messages in order of arrival that are sorted in later.
struct Backlog {
    private var messages: [HeldMessage] = []
    private var taken = 0

    var isEmpty: Bool { messages.isEmpty }
    var count: Int { messages.count - taken }

    mutating func append(_ message: HeldMessage) { messages.append(message) }

    mutating func append(contentsOf more: [HeldMessage]) { messages.append(contentsOf: more) }

    mutating func next() -> HeldMessage? {
        guard taken < messages.count else {
            messages.removeAll()
            taken = 0
            return nil
        }
        taken += 1
        return messages[taken - 1]
    }
}
