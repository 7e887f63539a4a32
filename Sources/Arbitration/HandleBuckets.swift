// A hash table of handles alone: what a handle stands for lies elsewhere, in an array, and is not kept a second time as
// a key. Five to ten bytes for each.

/// Handles, found by the hash of what they stand for: open addressing, a step at a time, at most four fifths full. Each is
/// kept with a part of its hash, so that hardly any is looked at which is not meant.
struct HandleBuckets: Sendable {
    private static let free = UInt32.max
    /// A bucket's lower bits are the handle, the upper ones the part of its hash.
    private static let handleBits: UInt32 = 24
    private static let handleMask: UInt32 = 1 << handleBits - 1

    private var buckets: [UInt32] = []
    private var count = 0

    private var mask: Int { buckets.count - 1 }

    /// The handle with this hash that is it.
    @inline(__always)
    func find(_ hash: Int, where isIt: (Int) -> Bool) -> Int? {
        guard !buckets.isEmpty else { return nil }
        let part = HandleBuckets.part(hash)
        var place = hash & mask
        while buckets[place] != HandleBuckets.free {
            if buckets[place] >> HandleBuckets.handleBits == part, isIt(handle(at: place)) {
                return handle(at: place)
            }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Enters a handle that is not there yet. `hashOf` tells the hash of any handle.
    ///
    /// - Precondition: the handle is below 16,777,215.
    mutating func insert(_ handle: Int, _ hash: Int, hashOf: (Int) -> Int) {
        precondition(handle < Int(HandleBuckets.handleMask), "a handle has 24 bits")
        if 5 * (count + 1) > 4 * buckets.count { grow(hashOf) }
        enter(UInt32(handle), hash)
        count += 1
    }

    /// Takes a handle out; what came behind it moves up, so that it is found still.
    mutating func remove(_ handle: Int, _ hash: Int, hashOf: (Int) -> Int) {
        guard !buckets.isEmpty else { return }
        var hole = hash & mask
        while self.handle(at: hole) != handle {
            guard buckets[hole] != HandleBuckets.free else { return }
            hole = (hole + 1) & mask
        }
        count -= 1
        var place = (hole + 1) & mask
        while buckets[place] != HandleBuckets.free {
            let home = hashOf(self.handle(at: place)) & mask
            if (place - home) & mask >= (place - hole) & mask {
                buckets[hole] = buckets[place]
                hole = place
            }
            place = (place + 1) & mask
        }
        buckets[hole] = HandleBuckets.free
    }

    @inline(__always)
    private func handle(at place: Int) -> Int { Int(buckets[place] & HandleBuckets.handleMask) }

    /// Its upper bits; the lower ones are the place.
    @inline(__always)
    private static func part(_ hash: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: UInt(bitPattern: hash) >> (UInt(UInt.bitWidth) - 8))
    }

    private mutating func grow(_ hashOf: (Int) -> Int) {
        let old = buckets
        buckets = Array(repeating: HandleBuckets.free, count: max(16, 2 * old.count))
        for bucket in old where bucket != HandleBuckets.free {
            let handle = bucket & HandleBuckets.handleMask
            enter(handle, hashOf(Int(handle)))
        }
    }

    private mutating func enter(_ handle: UInt32, _ hash: Int) {
        var place = hash & mask
        while buckets[place] != HandleBuckets.free { place = (place + 1) & mask }
        buckets[place] = handle | HandleBuckets.part(hash) << HandleBuckets.handleBits
    }
}
