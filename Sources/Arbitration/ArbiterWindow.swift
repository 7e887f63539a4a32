// The messages that wait behind a hole: slots keyed by sequence, so that finding and taking one is a
// single look. The slots are allocated once.

/// A bounded set of held messages, looked up by sequence.
struct ReorderWindow {
    /// What is looked at, apart from the messages, whose payloads would be counted as shared at each look.
    private struct Mark {
        /// 0: the slot is free.
        var sequence: UInt64 = 0
        var fingerprint: UInt32 = 0
        var path: UInt8 = 0
        /// The paths that brought it, a bit each.
        var paths: UInt8 = 0
    }

    private var marks: [Mark]
    private var messages: [HeldMessage?]
    private let mask: UInt64
    private(set) var count = 0
    /// Payload bytes that are held.
    private(set) var bytes = 0

    /// Twice as many slots as may be occupied, since a hole takes room too.
    init(capacity: Int) {
        let size = powerOfTwo(atLeast: max(2, capacity) * 2)
        marks = Array(repeating: Mark(), count: size)
        messages = Array(repeating: nil, count: size)
        mask = UInt64(size - 1)
    }

    private func index(_ sequence: UInt64) -> Int { Int(truncatingIfNeeded: sequence & mask) }

    /// The fingerprint and path of a held message; `nil`: it is not held.
    ///
    /// - Precondition: the number is not 0, here and below.
    func fingerprint(of sequence: UInt64) -> (fingerprint: UInt32, path: UInt8)? {
        let mark = marks[index(sequence)]
        return mark.sequence == sequence ? (mark.fingerprint, mark.path) : nil
    }

    func holds(_ sequence: UInt64) -> Bool { marks[index(sequence)].sequence == sequence }

    /// Which message is in the way of `sequence`; `nil`: none.
    func occupant(for sequence: UInt64) -> UInt64? {
        let occupant = marks[index(sequence)].sequence
        return occupant == 0 ? nil : occupant
    }

    /// Holds a message in its slot, in place of whatever was there.
    ///
    /// - Precondition: its number is not 0.
    mutating func hold(_ message: HeldMessage, fingerprint: UInt32) {
        precondition(message.arrival.sequence != 0, "a message that waits has a number")
        let (sequence, slot) = (message.arrival.sequence, index(message.arrival.sequence))
        _ = empty(slot)
        count += 1
        bytes += message.payload.count
        marks[slot] = Mark(
            sequence: sequence, fingerprint: fingerprint, path: message.arrival.path,
            paths: message.arrival.pathBit)
        messages[slot] = message
    }

    /// Another path brought a copy of a held message.
    mutating func seen(_ sequence: UInt64, by pathBit: UInt8) { marks[index(sequence)].paths |= pathBit }

    /// Takes out the message with this number; `nil`: it is not held.
    mutating func take(_ sequence: UInt64) -> (message: HeldMessage, fingerprint: UInt32, paths: UInt8)? {
        guard count > 0 else { return nil }
        let mark = marks[index(sequence)]
        guard mark.sequence == sequence, let message = empty(index(sequence)) else { return nil }
        return (message, mark.fingerprint, mark.paths)
    }

    /// The lowest held number above `sequence`; `nil`: none is.
    func lowest(above sequence: UInt64) -> UInt64? {
        guard count > 0 else { return nil }
        for distance in 1...mask {
            let candidate = sequence &+ distance
            guard candidate > sequence else { break }
            if marks[index(candidate)].sequence == candidate { return candidate }
        }
        return marks.lazy.map(\.sequence).filter { $0 > sequence }.min()
    }

    /// The highest held number; `nil`: none is held. Each slot is looked at.
    var highest: UInt64? { count == 0 ? nil : marks.lazy.map(\.sequence).max() }

    private mutating func empty(_ slot: Int) -> HeldMessage? {
        guard marks[slot].sequence != 0 else { return nil }
        marks[slot] = Mark()
        var message: HeldMessage?
        swap(&message, &messages[slot])
        count -= 1
        bytes -= message?.payload.count ?? 0
        return message
    }
}

/// The smallest power of two that is not below `number`.
func powerOfTwo(atLeast number: Int) -> Int {
    var size = 1
    while size < number { size <<= 1 }
    return size
}
