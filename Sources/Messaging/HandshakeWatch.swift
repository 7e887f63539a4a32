// Which handshakes have taken too long. The time of each is counted in looks, of which there is one at a time: while this
// process was held up nothing was read of what clients had sent, and that is not their slowness. A pure machine; it knows
// connections by their descriptors, and by numbers that tell them from others that had these.
import Basics

struct HandshakeWatch {
    /// One that goes on, or went on.
    struct Handshake: Hashable {
        var descriptor: Int32
        var number: UInt64
    }

    /// How often a handshake is looked at within its time.
    static let looks: UInt64 = 10

    /// How long a handshake may take, and up to a tenth longer.
    let limit: Duration
    /// In the order in which they began, and with which look each has taken too long.
    private var pending: [(handshake: Handshake, until: UInt64)] = []
    private var looks: UInt64 = 0
    private var nextLook = Instant.zero

    init(limit: Duration) { self.limit = limit }

    private var every: Duration { limit / Int(HandshakeWatch.looks) }

    /// When `look` is due; `nil`: nobody is in a handshake.
    var deadline: Instant? { pending.isEmpty ? nil : nextLook }

    mutating func began(_ handshake: Handshake, at now: Instant) {
        var until = looks + HandshakeWatch.looks
        if pending.isEmpty {
            nextLook = now + every
        } else {
            // The next look comes sooner than that.
            until += 1
        }
        pending.append((handshake, until))
    }

    /// Looks at all, if it is time to.
    ///
    /// - Parameter isOver: whether a handshake came to its end, one way or the other.
    /// - Returns: those that have taken too long.
    mutating func look(at now: Instant, isOver: (Handshake) -> Bool) -> [Handshake] {
        guard let deadline, deadline <= now else { return [] }
        looks += 1
        nextLook = now + every
        let done = pending.prefix { $0.until <= looks || isOver($0.handshake) }
        pending.removeFirst(done.count)
        return done.map(\.handshake).filter { !isOver($0) }
    }
}
