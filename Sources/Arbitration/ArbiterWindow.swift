// The messages that wait behind a hole: slots keyed by sequence, so that finding and taking one is a
// single look. The slots are allocated once.

/// A bounded set of held messages, looked up by sequence.
struct ReorderWindow {
    private struct Slot {
        var message: HeldMessage
        var fingerprint: UInt32
        /// The paths that brought it, a bit each.
        var paths: UInt8
    }

    private var slots: [Slot?]
    private let mask: UInt64
    private(set) var count = 0
    /// Payload bytes that are held.
    private(set) var bytes = 0

    /// Twice as many slots as may be occupied, since a hole takes room too.
    init(capacity: Int) {
        let size = powerOfTwo(atLeast: max(2, capacity) * 2)
        slots = Array(repeating: nil, count: size)
        mask = UInt64(size - 1)
    }

    private func index(_ sequence: UInt64) -> Int { Int(truncatingIfNeeded: sequence & mask) }

    /// The fingerprint and path of a held message; `nil`: it is not held.
    func fingerprint(of sequence: UInt64) -> (fingerprint: UInt32, path: UInt8)? {
        guard let slot = slots[index(sequence)], slot.message.arrival.sequence == sequence else { return nil }
        return (slot.fingerprint, slot.message.arrival.path)
    }

    func holds(_ sequence: UInt64) -> Bool {
        slots[index(sequence)]?.message.arrival.sequence == sequence
    }

    /// Which message is in the way of `sequence`; `nil`: none.
    func occupant(for sequence: UInt64) -> UInt64? { slots[index(sequence)]?.message.arrival.sequence }

    /// Holds a message in its slot, in place of whatever was there.
    mutating func hold(_ message: HeldMessage, fingerprint: UInt32) {
        drop(message.arrival.sequence)
        slots[index(message.arrival.sequence)] = Slot(
            message: message, fingerprint: fingerprint, paths: message.arrival.pathBit)
        count += 1
        bytes += message.payload.count
    }

    /// Another path brought a copy of a held message.
    mutating func seen(_ sequence: UInt64, by pathBit: UInt8) { slots[index(sequence)]?.paths |= pathBit }

    /// Takes out the message with this number; `nil`: it is not held.
    mutating func take(_ sequence: UInt64) -> (message: HeldMessage, fingerprint: UInt32, paths: UInt8)? {
        guard count > 0, let slot = slots[index(sequence)], slot.message.arrival.sequence == sequence else {
            return nil
        }
        drop(sequence)
        return (slot.message, slot.fingerprint, slot.paths)
    }

    /// The lowest held number above `sequence`; `nil`: none is.
    func lowest(above sequence: UInt64) -> UInt64? {
        guard count > 0 else { return nil }
        for distance in 1...mask {
            let candidate = sequence &+ distance
            if slots[index(candidate)]?.message.arrival.sequence == candidate { return candidate }
        }
        return slots.lazy.compactMap { $0?.message.arrival.sequence }.filter { $0 > sequence }.min()
    }

    private mutating func drop(_ sequence: UInt64) {
        guard let slot = slots[index(sequence)] else { return }
        slots[index(sequence)] = nil
        count -= 1
        bytes -= slot.message.payload.count
    }
}

/// The smallest power of two that is not below `number`.
func powerOfTwo(atLeast number: Int) -> Int {
    var size = 1
    while size < number { size <<= 1 }
    return size
}
