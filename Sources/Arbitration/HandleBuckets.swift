// A hash table of handles alone: what a handle stands for lies elsewhere, in an array, and is not kept a second time as
// a key. Four to eight bytes for each.

/// Handles, found by the hash of what they stand for: open addressing, a step at a time, at most half full.
struct HandleBuckets: Sendable {
    private static let free = UInt32.max
    private var buckets: [UInt32] = []
    private var count = 0

    private var mask: Int { buckets.count - 1 }

    /// The handle with this hash that is it.
    @inline(__always)
    func find(_ hash: Int, where isIt: (Int) -> Bool) -> Int? {
        guard !buckets.isEmpty else { return nil }
        var place = hash & mask
        while buckets[place] != HandleBuckets.free {
            let handle = Int(buckets[place])
            if isIt(handle) { return handle }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Enters a handle that is not there yet. `hashOf` tells the hash of any handle.
    mutating func insert(_ handle: Int, _ hash: Int, hashOf: (Int) -> Int) {
        if 2 * (count + 1) > buckets.count { grow(hashOf) }
        enter(UInt32(handle), hash)
        count += 1
    }

    /// Takes a handle out; what came behind it moves up, so that it is found still.
    mutating func remove(_ handle: Int, _ hash: Int, hashOf: (Int) -> Int) {
        guard !buckets.isEmpty else { return }
        var hole = hash & mask
        while buckets[hole] != UInt32(handle) {
            guard buckets[hole] != HandleBuckets.free else { return }
            hole = (hole + 1) & mask
        }
        count -= 1
        var place = (hole + 1) & mask
        while buckets[place] != HandleBuckets.free {
            let home = hashOf(Int(buckets[place])) & mask
            if (place - home) & mask >= (place - hole) & mask {
                buckets[hole] = buckets[place]
                hole = place
            }
            place = (place + 1) & mask
        }
        buckets[hole] = HandleBuckets.free
    }

    private mutating func grow(_ hashOf: (Int) -> Int) {
        let old = buckets
        buckets = Array(repeating: HandleBuckets.free, count: max(16, 2 * old.count))
        for handle in old where handle != HandleBuckets.free { enter(handle, hashOf(Int(handle))) }
    }

    private mutating func enter(_ handle: UInt32, _ hash: Int) {
        var place = hash & mask
        while buckets[place] != HandleBuckets.free { place = (place + 1) & mask }
        buckets[place] = handle
    }
}
