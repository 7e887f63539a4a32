// Topics as handles: dense, found again, and bounded.
import Arbitration
import Testing

@Suite struct TopicIndexTests {
    @Test func `handles are dense and bounded`() {
        var index = TopicIndex(capacity: 2)
        #expect(index.intern(Array("a/".utf8)[...]) == 0)
        #expect(index.intern(Array("xb/".utf8)[1...]) == 1)
        #expect(index.intern(Array("b/".utf8)[...]) == 1)
        #expect(index.intern(Array("c/".utf8)[...]) == nil)
        #expect(index.find(Array("c/".utf8)[...]) == nil)
        #expect(index.refused == 1)
        #expect(index[1].elementsEqual("b/".utf8))
    }

    @Test func `topics are found among very many`() {
        var index = TopicIndex(capacity: 20_000)
        for number in 0..<20_000 { #expect(index.intern(Array("Q\(number)/".utf8)[...]) == number) }
        for number in 0..<20_000 { #expect(index.find(Array("Q\(number)/".utf8)[...]) == number) }
        #expect(index.find(Array("Q20000/".utf8)[...]) == nil)
        #expect(index[19_999].elementsEqual("Q19999/".utf8))
    }

    @Test func `a topic that is too long is refused`() {
        var index = TopicIndex(capacity: 2)
        #expect(index.intern(Array(repeating: 65, count: 256)[...]) == nil)
        #expect(index.intern(Array(repeating: 65, count: 255)[...]) == 0)
        #expect(index.intern([][...]) == 1)
        #expect(index.find([][...]) == 1)
        #expect(index.refused == 1)
    }
}
