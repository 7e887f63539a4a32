// Numbers far ahead of all that are known. They may be real, after an outage, or come from one damaged or misdirected
// datagram: then they would make a gap of all that lies between, and old numbers of all that follow. So what one packet
// says of them waits for another one that agrees, of any path. If the next one of its own path goes on with the numbers
// that are known, it was wrong. Where the session ends before either comes, it is lost like anything else that the session
// sent last.
import Basics

/// What one packet says of numbers far ahead.
struct Jump {
    let path: UInt8
    let receivedAt: WallTime
    /// The lowest number and the highest one that it says exist.
    private(set) var first: UInt64
    private(set) var last: UInt64
    /// Its messages, in the order in which they came; none, if it was a heartbeat.
    private(set) var messages: [HeldMessage] = []
    private(set) var bytes = 0

    init(_ arrival: Arrival, on sequence: UInt64) {
        (path, receivedAt, first, last) = (arrival.path, arrival.receivedAt, sequence, sequence)
    }

    /// Whether a message, or a heartbeat's word, came in the same packet.
    func isOfSamePacket(_ arrival: Arrival) -> Bool {
        arrival.path == path && arrival.receivedAt == receivedAt
    }

    /// How far a number is from these.
    func distance(of sequence: UInt64) -> UInt64 {
        sequence < first ? first - sequence : sequence > last ? sequence - last : 0
    }

    mutating func append(_ arrival: Arrival, _ payload: ArraySlice<UInt8>) {
        (first, last) = (min(first, arrival.sequence), max(last, arrival.sequence))
        messages.append(HeldMessage(arrival: arrival, epoch: 0, payload: Array(payload)))
        bytes += payload.count
    }
}

extension Arbiter {
    /// Whether the word of one packet is enough for a number.
    func isEnough(_ arrival: Arrival, for sequence: UInt64) -> Bool {
        sequence <= highest || sequence - highest <= options.maximumJump
            || options.overConnection & arrival.pathBit != 0
    }

    /// Whether what a packet says waits for another one: it proves nothing yet.
    public func doubts(_ arrival: Arrival) -> Bool {
        let sequence = arrival.sequence
        guard hasBegun, arrival.session == session, !isEnough(arrival, for: sequence) else { return false }
        return !jumps.contains {
            !$0.isOfSamePacket(arrival) && $0.distance(of: sequence) <= options.maximumJump
        }
    }

    /// What another word makes of those that wait. It confirms what it is near to, and nearer than to what is known; and
    /// what its own path said else was wrong.
    mutating func judgeJumps(by arrival: Arrival, on sequence: UInt64, at now: Instant) {
        let known = highest
        for jump in jumps where !jump.isOfSamePacket(arrival) {
            let distance = jump.distance(of: sequence)
            if sequence > known, distance <= min(options.maximumJump, sequence - known) {
                believe(jump, at: now)
            } else if jump.path == arrival.path {
                dropJump(of: jump.path)
            }
        }
    }

    /// Somebody else came as far as what waits.
    mutating func reachJumps(at now: Instant) {
        for jump in jumps where jump.first <= highest { believe(jump, at: now) }
    }

    /// Keeps what a packet says of a number far ahead until another one agrees; `false`: there is no room.
    mutating func doubt(_ arrival: Arrival, on sequence: UInt64, _ payload: ArraySlice<UInt8>) -> Bool {
        var jump = own(arrival, on: sequence)
        defer { jumps.append(jump) }
        guard jump.messages.count < options.reorderCount, jump.bytes <= options.reorderBytes else {
            counters.overflow += 1
            return false
        }
        jump.append(arrival, payload)
        return true
    }

    /// The same of a heartbeat.
    mutating func doubt(_ heartbeat: Arrival, on last: UInt64) { jumps.append(own(heartbeat, on: last)) }

    /// Takes out what waits of the same packet, or begins it; of an earlier one it takes the place.
    private mutating func own(_ arrival: Arrival, on sequence: UInt64) -> Jump {
        if let index = jumps.firstIndex(where: { $0.path == arrival.path }) {
            if jumps[index].distance(of: sequence) <= options.maximumJump { return jumps.remove(at: index) }
            dropJump(of: arrival.path)
        }
        return Jump(arrival, on: sequence)
    }

    /// Sorts in what a packet said that was in doubt.
    private mutating func believe(_ jump: Jump, at now: Instant) {
        jumps.removeAll { $0.path == jump.path }
        know(jump.messages.isEmpty ? jump.last : jump.first - 1, at: now)
        for message in jump.messages {
            let arrival = message.arrival
            if arrival.sequence < expected || window.holds(arrival.sequence) {
                paths.received(arrival, isFirst: false)
                counters.duplicates += 1
                paths.duplicate(by: arrival.path)
            } else {
                let payload = message.payload[...]
                _ = place(arrival, payload, essence(payload), at: now)
            }
        }
    }

    /// A number exists: what nobody brought up to it is missing.
    mutating func know(_ last: UInt64, at now: Instant) {
        guard last > highest else { return }
        holes.open(through: last, at: now)
        highest = last
    }

    /// What a path said of numbers far ahead was wrong, or counts no longer.
    mutating func dropJump(of path: UInt8) {
        for jump in jumps where jump.path == path {
            counters.unconfirmed += UInt64(max(1, jump.messages.count))
        }
        jumps.removeAll { $0.path == path }
    }

    /// The numbers begin anew.
    mutating func dropJumps() {
        while let jump = jumps.last { dropJump(of: jump.path) }
    }
}
