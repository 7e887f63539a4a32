// The topics of a channel: how much work a subscription is, and how many there may be.
import Arbitration
import Basics
import Testing
import Wire

@testable import Gateway

@Suite struct FeedTopicsTests {
    private let demand = TopicDemand()

    private func topics(_ count: Int) -> FeedTopics {
        var topics = FeedTopics(feed: "quotes", demand: demand, keepsValues: false, at: ms(0))
        for number in 0..<count { add("Q\(number)", to: &topics) }
        return topics
    }

    private func add(_ name: String, to topics: inout FeedTopics) {
        let key = Array(name.utf8)
        #expect(topics.intern(key[...], at: ms(0), instrument: { name }) != nil)
    }

    @Test func `there is room for all that clients may hold of a feed that is subscribed by topic`() {
        let held = SubscriptionTable.Limits().topics
        #expect(TopicDemand.limit >= held)
        #expect(TopicArbiterOptions(paths: 1).maximumTopics >= TopicDemand.limit)
        #expect(TopicBookOptions().maximumTopics >= TopicDemand.limit)
        #expect(LastValues.Limits().topics >= TopicDemand.limit)
    }

    @Test func `a feed without room for more topics says so, and not one that refused long ones`() {
        var figures = ChannelFigures(
            state: .live, reason: "", published: 0, gaps: 0, topics: TopicDemand.limit, unresolved: 0,
            epochs: 0, refused: [:])
        #expect(figures.trouble == nil)
        figures.refused = ["topics": 1]
        let told = "no room for topics beyond the first 262144, on which nothing is published"
        #expect(figures.trouble == told)
        figures.refused = ["topics": 2]
        #expect(figures.trouble == told)
        figures.topics -= 1
        #expect(figures.trouble == nil)
    }

    @Test func `when all topics are held, whoever asks for one or for all looks at none`() {
        var topics = topics(1000)
        demand.wantAll()
        let looks = [
            topics.wantAll(at: ms(1)), topics.want(Array("Q7".utf8), at: ms(2)), topics.wantAll(at: ms(3)),
        ]
        #expect(looks == [1000, 0, 0])
        add("LATER", to: &topics)
        let again = topics.want(Array("LATER".utf8), at: ms(4))
        #expect(again == 0)
        let wanted = (0..<topics.count).map { topics.isWanted($0) }
        #expect(wanted == Array(repeating: true, count: 1001))
    }

    @Test func `a topic that is asked for is looked at alone`() {
        var topics = topics(3)
        demand.want(Array("Q1".utf8))
        let looks = [topics.want(Array("Q1".utf8), at: ms(1)), topics.want(Array("NONE".utf8), at: ms(1))]
        #expect(looks == [1, 0])
        let wanted = (0..<3).map { topics.isWanted($0) }
        #expect(wanted == [false, true, false])
    }
}
