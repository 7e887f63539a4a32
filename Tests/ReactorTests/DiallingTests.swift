// How a peer is reached, as a dialogue: its addresses in turn, each for a while.
import Basics
import Testing

@testable import Reactor

@Suite struct DiallingTests {
    private var dialling = Dialling(limit: .seconds(2))

    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test mutating func `the first address that answers is taken`() {
        #expect(dialling.deadline == nil)
        #expect(dialling.dial(at: at(0)) == .lookUp(attempt: 1))
        #expect(dialling.deadline == at(30_000))
        #expect(dialling.found(2, attempt: 1, at: at(50)) == .connect(0))
        #expect(dialling.deadline == at(2050))
        dialling.connected()
        #expect(dialling.deadline == nil)
        #expect(dialling.tick(at: at(9000)) == nil && dialling.failed("gone", at: at(9000)) == nil)
    }

    @Test mutating func `each address gets its time, and the last one says why nobody was reached`() {
        _ = dialling.dial(at: at(0))
        _ = dialling.found(3, attempt: 1, at: at(0))
        #expect(dialling.failed("refused", at: at(10)) == .connect(1))
        #expect(dialling.tick(at: at(2009)) == nil)
        #expect(dialling.tick(at: at(2010)) == .connect(2))
        #expect(dialling.tick(at: at(4010)) == .failed("no answer within 2.0 s"))
        #expect(dialling.deadline == nil)
        _ = dialling.dial(at: at(5000))
        _ = dialling.found(1, attempt: 3, at: at(5000))
        #expect(dialling.failed("connect: refused", at: at(5001)) == .failed("connect: refused"))
    }

    @Test mutating func `a name without an address, and name servers that do not answer, are told`() {
        _ = dialling.dial(at: at(0))
        #expect(dialling.notFound("not known", attempt: 1) == .failed("not known"))
        #expect(dialling.dial(at: at(100)) == .lookUp(attempt: 3))
        #expect(dialling.found(0, attempt: 3, at: at(100)) == .failed("no address"))
        _ = dialling.dial(at: at(200))
        #expect(dialling.tick(at: at(30_199)) == nil)
        #expect(dialling.tick(at: at(30_200)) == .failed("no address was found within 30.0 s"))
    }

    @Test mutating func `an answer that belongs to an earlier attempt changes nothing`() {
        _ = dialling.dial(at: at(0))
        #expect(dialling.dial(at: at(10)) == .lookUp(attempt: 2))
        #expect(dialling.found(1, attempt: 1, at: at(20)) == nil)
        #expect(dialling.notFound("too late", attempt: 1) == nil)
        #expect(dialling.found(1, attempt: 2, at: at(30)) == .connect(0))
        #expect(dialling.found(1, attempt: 2, at: at(40)) == nil)
        dialling.stop()
        #expect(dialling.failed("refused", at: at(50)) == nil && dialling.deadline == nil)
    }
}
