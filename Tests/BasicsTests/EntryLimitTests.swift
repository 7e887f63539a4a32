// The limits of noisy log entries, as dialogues.
import Basics
import Testing

@Suite struct EntryLimitTests {
    private enum Kind: Hashable, Sendable { case refused, malformed }
    private typealias Limit = EntryLimit<Kind>

    private static func at(_ milliseconds: Int64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    private static func limit(perKey: Int = 2, perKind: Int = 3, keys: Int = 4) -> Limit {
        var options = Limit.Options()
        options.perKey = perKey
        options.perKind = perKind
        options.keys = keys
        return Limit(options: options)
    }

    @Test func `the first entries of a key pass, the rest are counted and told once`() {
        var limit = Self.limit()
        let passed = (0..<10).map { limit.admit(.refused, key: "10.0.0.1", at: Self.at($0)) }
        #expect(passed == [true, true] + Array(repeating: false, count: 8))
        #expect(limit.deadline == Self.at(10_000))
        let ticks = [9_999, 10_000, 30_000].map { limit.tick(at: Self.at($0)) }
        #expect(
            ticks == [[], [Limit.HeldBack(kind: .refused, count: 8, key: "10.0.0.1", ofKey: 8)], []])
        #expect(limit.deadline == nil)
    }

    @Test func `a window that held nothing back ends without a word`() {
        var limit = Self.limit()
        let passed = limit.admit(.refused, key: "a", at: Self.at(0))
        let told = limit.tick(at: Self.at(10_000))
        #expect(passed && told == [])
        #expect(limit.deadline == nil)
    }

    @Test func `one key does not silence another, within the limit of the kind`() {
        var limit = Self.limit()
        for _ in 0..<5 { _ = limit.admit(.refused, key: "loud", at: Self.at(0)) }
        let quiet = limit.admit(.refused, key: "quiet", at: Self.at(1))
        #expect(quiet)
        let third = limit.admit(.refused, key: "third", at: Self.at(2))
        #expect(!third, "the kind has had its three")
        let told = limit.tick(at: Self.at(10_000))
        #expect(told == [Limit.HeldBack(kind: .refused, count: 4, key: "loud", ofKey: 3)])
    }

    @Test func `one kind does not silence another`() {
        var limit = Self.limit()
        for _ in 0..<5 { _ = limit.admit(.refused, key: "a", at: Self.at(0)) }
        let other = limit.admit(.malformed, key: "a", at: Self.at(5))
        #expect(other)
        #expect(limit.deadline == Self.at(10_000))
        let told = limit.tick(at: Self.at(10_005))
        #expect(told.map(\.kind) == [.refused])
        #expect(limit.deadline == nil)
    }

    @Test func `after its window a key may speak again`() {
        var limit = Self.limit()
        for _ in 0..<5 { _ = limit.admit(.refused, key: "a", at: Self.at(0)) }
        _ = limit.tick(at: Self.at(10_000))
        let again = limit.admit(.refused, key: "a", at: Self.at(10_001))
        #expect(again)
        #expect(limit.deadline == Self.at(20_001))
    }

    @Test func `however many keys come, no more than so many are kept, and none is lost from the count`() {
        var limit = Self.limit(perKey: 1, perKind: 100, keys: 4)
        let passed = (0..<10_000).filter { limit.admit(.refused, key: "host \($0)", at: Self.at(0)) }
        #expect(passed == [0, 1, 2, 3, 4], "four keys, and one for all others")
        let told = limit.tick(at: Self.at(10_000))
        #expect(told == [Limit.HeldBack(kind: .refused, count: 9_995, key: "", ofKey: 9_995)])
    }
}
