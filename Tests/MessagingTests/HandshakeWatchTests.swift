// Who takes too long in the handshake, as a dialogue: who comes, the time, and who is to be given up.
import Basics
import Testing

@testable import Messaging

@Suite struct HandshakeWatchTests {
    private var watch = HandshakeWatch(limit: .seconds(2))
    private var now = Instant.zero + .seconds(100)
    private var over: Set<Int32> = []

    private mutating func begin(_ descriptor: Int32) {
        watch.began(HandshakeWatch.Handshake(descriptor: descriptor, number: 1), at: now)
    }

    /// Looks when it is due, and so much later.
    private mutating func look(later: Duration = .zero) -> [Int32] {
        guard let deadline = watch.deadline else { return [] }
        now = deadline + later
        return watch.look(at: now) { [over] in over.contains($0.descriptor) }.map(\.descriptor)
    }

    @Test mutating func `who says nothing for as long as it may is given up then`() {
        #expect(watch.deadline == nil)
        begin(20)
        let began = now
        for _ in 1..<10 { #expect(look() == []) }
        #expect(look() == [20])
        #expect(now == began + .seconds(2))
        #expect(watch.deadline == nil)
    }

    @Test mutating func `who comes between two looks has all of its time, and a tenth more at most`() {
        begin(20)
        now = now + .milliseconds(150)
        begin(21)
        let began = now
        for _ in 1..<10 { #expect(look() == []) }
        #expect(look() == [20])
        #expect(look() == [21])
        #expect(now - began == .milliseconds(2050))
    }

    @Test mutating func `while nothing could be read nobody was slow`() {
        begin(20)
        for _ in 1..<5 { #expect(look() == []) }
        #expect(look(later: .seconds(30)) == [])
        #expect(watch.deadline == now + .milliseconds(200))
        for _ in 6..<10 { #expect(look() == []) }
        #expect(look() == [20])
    }

    @Test mutating func `whose handshake is over is not given up, and not waited for`() {
        begin(20)
        begin(21)
        over = [20]
        #expect(look() == [])
        over = [20, 21]
        #expect(look() == [])
        #expect(watch.deadline == nil)
        over = []
        begin(22)
        for _ in 1..<10 { #expect(look() == []) }
        #expect(look() == [22])
    }
}
