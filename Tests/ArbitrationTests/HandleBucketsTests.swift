// Handles by hash, beside a plain dictionary: hashes that meet in a bucket, and handles that come and go.
import Basics
import Testing

@testable import Arbitration

@Suite struct HandleBucketsTests {
    /// Few hashes that differ in their lower or upper bits alone, so that most meet.
    private func hash(_ handle: Int) -> Int { handle % 7 | Int(bitPattern: UInt(handle % 5) << 61) }

    @Test func `handles of one hash are told apart by what they are`() {
        var buckets = HandleBuckets()
        for handle in 0..<100 { buckets.insert(handle, 5) { _ in 5 } }
        for handle in 0..<100 { #expect(buckets.find(5) { $0 == handle } == handle) }
        #expect(buckets.find(5) { $0 == 100 } == nil)
    }

    @Test func `a handle is not asked for that has another hash`() {
        var buckets = HandleBuckets()
        let upper = Int(bitPattern: 1 << 60)
        buckets.insert(1, 3) { _ in 3 }
        buckets.insert(2, 3 | upper) { $0 == 1 ? 3 : 3 | upper }
        var asked: [Int] = []
        let found = buckets.find(3 | upper) {
            asked.append($0)
            return true
        }
        #expect(found == 2)
        #expect(asked == [2])
    }

    @Test func `the largest handle is found, and one that never came is taken out by nobody`() {
        var buckets = HandleBuckets()
        let largest = 16_777_214
        buckets.remove(largest, -1) { _ in -1 }
        buckets.insert(largest, -1) { _ in -1 }
        #expect(buckets.find(-1) { $0 == largest } == largest)
        buckets.remove(1, -1) { _ in -1 }
        #expect(buckets.find(-1) { _ in true } == largest)
        buckets.remove(largest, -1) { _ in -1 }
        #expect(buckets.find(-1) { _ in true } == nil)
    }

    @Test(arguments: 0..<20) func `whatever comes and goes, the others are found`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var buckets = HandleBuckets()
        var present: Set<Int> = []
        for _ in 0..<2000 {
            let handle = Int.random(in: 0..<200, using: &random)
            if present.insert(handle).inserted {
                buckets.insert(handle, hash(handle), hashOf: hash)
            } else {
                buckets.remove(handle, hash(handle), hashOf: hash)
                present.remove(handle)
            }
        }
        for handle in 0..<200 {
            #expect(buckets.find(hash(handle)) { $0 == handle } == (present.contains(handle) ? handle : nil))
        }
    }
}
