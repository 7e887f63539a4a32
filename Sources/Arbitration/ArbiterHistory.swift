// The last messages that were delivered or told as gaps: what each looked like and which paths brought it.
// It tells a duplicate from a divergent copy and from a latecomer, and what only the other path delivered.

/// A bounded memory of what became of each sequence number.
struct DeliveryHistory {
    /// What became of one number.
    struct Entry {
        var fingerprint: UInt32 = 0
        /// The paths that brought it, a bit each.
        var paths: UInt8 = 0
        /// The path whose copy was delivered.
        var first: UInt8 = 0
        var isGap = false
    }

    private var entries: [Entry]
    private let mask: UInt64
    /// The numbers below it are not remembered: the epoch began there.
    private var start: UInt64 = 0
    /// The number that is recorded next.
    private(set) var next: UInt64 = 0

    init(capacity: Int) {
        let size = powerOfTwo(atLeast: max(2, capacity))
        entries = Array(repeating: Entry(), count: size)
        mask = UInt64(size - 1)
    }

    private func index(_ sequence: UInt64) -> Int { Int(truncatingIfNeeded: sequence & mask) }

    /// Forgets everything; `sequence` is recorded next.
    mutating func restart(at sequence: UInt64) {
        start = sequence
        next = sequence
    }

    /// The entry of a number; `nil`: it is not remembered.
    func entry(of sequence: UInt64) -> Entry? {
        remembers(sequence) ? entries[index(sequence)] : nil
    }

    /// Another path brought a copy.
    mutating func seen(_ sequence: UInt64, by pathBit: UInt8) {
        guard remembers(sequence) else { return }
        entries[index(sequence)].paths |= pathBit
    }

    /// Another path brought a copy. `false`: it is none of what is remembered, and nothing is noted.
    @inline(__always)
    mutating func book(_ sequence: UInt64, _ fingerprint: UInt32, by pathBit: UInt8) -> Bool {
        guard remembers(sequence) else { return false }
        let slot = index(sequence)
        guard entries[slot].fingerprint == fingerprint, !entries[slot].isGap else { return false }
        entries[slot].paths |= pathBit
        return true
    }

    /// Records the next number and returns the paths of the one that had to make room.
    @inline(__always)
    mutating func append(_ entry: Entry) -> UInt8? {
        let slot = index(next)
        let isSettled = next &- start > mask
        let settled = entries[slot].paths
        entries[slot] = entry
        next &+= 1
        return isSettled ? settled : nil
    }

    /// Passes over numbers that nobody will look up any more, when a gap is wider than the memory.
    mutating func skip(to sequence: UInt64) { restart(at: sequence) }

    var capacity: UInt64 { mask + 1 }

    @inline(__always)
    private func remembers(_ sequence: UInt64) -> Bool {
        sequence >= start && sequence < next && next - sequence <= mask + 1
    }
}

/// A cheap hash of a payload, to tell whether two copies are the same. Not for adversarial input.
@inline(__always)
func fingerprint(_ payload: ArraySlice<UInt8>) -> UInt32 { fingerprint(payload.span) }

@inline(__always)
func fingerprint(_ payload: Span<UInt8>) -> UInt32 {
    let hash = unsafe payload.withUnsafeBytes { bytes in
        var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset &+ 16 <= bytes.count {
            hash = folded(
                hash, unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
                unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self))
            offset &+= 16
        }
        guard offset < bytes.count else { return hash }
        return unsafe withRest(hash, UnsafeRawBufferPointer(rebasing: bytes[offset...]))
    }
    return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
}

/// A hash with the last 1 to 15 bytes of a payload.
private func withRest(_ hash: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var words: (UInt64, UInt64) = (0, 0)
    unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.copyMemory(from: bytes) }
    return folded(hash, words.0, words.1)
}

/// One product of both words, its halves laid over each other: each bit of it depends on many of theirs.
@inline(__always)
private func folded(_ hash: UInt64, _ first: UInt64, _ second: UInt64) -> UInt64 {
    let product = (hash ^ first).multipliedFullWidth(by: second ^ 0xd6e8_feb8_6659_fd93)
    return product.high ^ product.low
}
