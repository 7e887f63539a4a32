// What clients asked for of one feed, shared by its channels, and how many topics they may have together.
import Arbitration

final class TopicDemand {
    /// Topics of a feed, and names that were asked for.
    static let limit = TopicIndex.mostOfFeed

    private(set) var wantsAll = false
    private var names = TopicIndex(capacity: TopicDemand.limit)
    private var topics = 0

    /// A client was granted a topic, by the feed's own spelling. It counts as wanted for good: what nobody takes any
    /// more costs little. More names than may be kept are as good as all.
    func want(_ key: [UInt8]) {
        guard !wantsAll else { return }
        if names.intern(key[...]) == nil { wantAll() }
    }

    func wantAll() {
        wantsAll = true
        names = TopicIndex(capacity: 0)
    }

    func isWanted(_ key: ArraySlice<UInt8>) -> Bool { wantsAll || names.find(key) != nil }

    /// Whether there is room for one more topic; takes it.
    func takeRoom() -> Bool {
        guard topics < TopicDemand.limit else { return false }
        topics += 1
        return true
    }
}
