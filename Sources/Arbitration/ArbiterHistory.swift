// The last messages that were delivered or told as gaps: what each looked like and which paths brought it.
// It tells a duplicate from a divergent copy and from a latecomer, and what only the other path delivered.

/// A bounded memory of what became of each sequence number.
struct DeliveryHistory: ~Copyable {
    /// What became of one number.
    struct Entry: BitwiseCopyable {
        var fingerprint: UInt32 = 0
        /// The paths that brought it, a bit each.
        var paths: UInt8 = 0
        /// The path whose copy was delivered.
        var first: UInt8 = 0
        var isGap = false
    }

    private var entries: SequenceSlots<Entry>
    /// The numbers below it are not remembered: the epoch began there.
    private var start: UInt64 = 0
    /// The number that is recorded next.
    private(set) var next: UInt64 = 0

    init(capacity: Int) {
        entries = SequenceSlots(atLeast: capacity, repeating: Entry())
    }

    /// Forgets everything; `sequence` is recorded next.
    mutating func restart(at sequence: UInt64) {
        start = sequence
        next = sequence
    }

    /// The entry of a number; `nil`: it is not remembered.
    func entry(of sequence: UInt64) -> Entry? {
        remembers(sequence) ? entries[sequence] : nil
    }

    /// Another path brought a copy.
    mutating func seen(_ sequence: UInt64, by pathBit: UInt8) {
        guard remembers(sequence) else { return }
        entries[sequence].paths |= pathBit
    }

    /// Another path brought a copy. `false`: it is none of what is remembered, and nothing is noted.
    @inline(__always)
    mutating func book(_ sequence: UInt64, _ fingerprint: UInt32, by pathBit: UInt8) -> Bool {
        guard remembers(sequence) else { return false }
        let entry = entries[sequence]
        guard entry.fingerprint == fingerprint, !entry.isGap else { return false }
        entries[sequence].paths = entry.paths | pathBit
        return true
    }

    /// Records the next number and returns the paths of the one that had to make room.
    @inline(__always)
    mutating func append(_ entry: Entry) -> UInt8? {
        let isSettled = next &- start >= capacity
        let settled = entries[next].paths
        entries[next] = entry
        next &+= 1
        return isSettled ? settled : nil
    }

    @inline(__always)
    var capacity: UInt64 { entries.count }

    @inline(__always)
    private func remembers(_ sequence: UInt64) -> Bool {
        sequence >= start && sequence < next && next - sequence <= capacity
    }
}

/// A slot for each of so many successive numbers, made once and changed in place: an array would look at each change
/// whether somebody else has it, too.
@safe
struct SequenceSlots<Element: BitwiseCopyable>: ~Copyable {
    /// Nobody else has it.
    private let base: UnsafeMutablePointer<Element>
    private let mask: UInt64

    /// - Parameter least: how many there are at least; in all a power of two.
    init(atLeast least: Int, repeating element: Element) {
        let size = powerOfTwo(atLeast: max(2, least))
        unsafe base = .allocate(capacity: size)
        unsafe base.initialize(repeating: element, count: size)
        mask = UInt64(size - 1)
    }

    deinit { unsafe base.deallocate() }

    var count: UInt64 {
        @inline(__always) get { mask &+ 1 }
    }

    /// Of a number, and of each that is a multiple of `count` away: whatever the number is, it has a slot.
    subscript(sequence: UInt64) -> Element {
        @inline(__always) get { unsafe base[Int(truncatingIfNeeded: sequence & mask)] }
        @inline(__always) set { unsafe base[Int(truncatingIfNeeded: sequence & mask)] = newValue }
    }
}

/// A cheap hash of a payload, to tell whether two copies are the same. Not for adversarial input.
@inline(__always)
func fingerprint(_ payload: ArraySlice<UInt8>) -> UInt32 { fingerprint(payload.span) }

@inline(__always)
func fingerprint(_ payload: Span<UInt8>) -> UInt32 {
    let hash = unsafe payload.withUnsafeBytes { bytes in
        var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9e37_79b9_7f4a_7c15
        var (offset, rest) = (0, bytes.count)
        while rest >= 16 {
            hash = folded(
                hash, unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
                unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self))
            (offset, rest) = (offset &+ 16, rest &- 16)
        }
        guard rest > 0 else { return hash }
        return unsafe withRest(hash, UnsafeRawBufferPointer(rebasing: bytes[offset...]))
    }
    return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
}

/// A hash with the last 1 to 15 bytes of a payload.
@inline(never)
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
