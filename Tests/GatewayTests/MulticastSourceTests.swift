// A line's socket with a worker that has little room.
import Basics
import Glibc
import Linux
import Reactor
import Testing
import Wire

@testable import Gateway

private final class Owner: FeedSourceOwner {
    var connects = 0
    var reasons: [String] = []

    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at time: LoopTime) {}
    func emptied(_ path: Int) {}
    func drained(_ path: Int) {}
    func connected(_ path: Int) { connects += 1 }
    func disconnected(_ path: Int, because reason: String) { reasons.append(reason) }
    func resubscribed(_ path: Int) {}
}

/// One line on loopback, and its loop.
private final class Line {
    let loop: EventLoop
    let worker: Worker
    let owner = Owner()
    let endpoint: IPv4Endpoint
    var source: MulticastSource?
    private(set) var told: [String] = []

    init(capacity: Int = 1, on interface: String = "lo") throws {
        loop = try EventLoop()
        worker = try Worker(loop, capacity: capacity)
        endpoint = try Line.freePort()
        source = try MulticastSource(
            loop, path: 0, address: MulticastSource.Address(endpoint: endpoint, interface: interface),
            batch: DatagramBatch(slots: MulticastSource.slots), worker: worker,
            log: { [unowned self] in told.append($1) }, owner: owner)
    }

    private static func freePort() throws -> IPv4Endpoint {
        for offset in UInt16(0)..<200 {
            let port = 41_000 + UInt16(truncatingIfNeeded: getpid() % 19_000) + offset
            let endpoint = IPv4Endpoint(.loopback, port)
            if isFree(endpoint) { return endpoint }
        }
        throw SystemError("a free port", number: EADDRINUSE)
    }

    /// Keeps the worker from going on until what this returns is closed.
    func block() throws -> Int32 {
        var ends: [Int32] = [0, 0]
        try #require(unsafe pipe(&ends) == 0)
        let from = ends[0]
        worker.perform({
            var byte: UInt8 = 0
            _ = unsafe read(from, &byte, 1)
            close(from)
        }) {}
        return ends[1]
    }

    static func isFree(_ endpoint: IPv4Endpoint) -> Bool {
        (try? UDPSocket(receivingAt: endpoint, bufferBytes: 4096, isShared: false)) != nil
    }

    func until(_ what: String, _ isSo: () -> Bool) throws {
        let limit = Clock.monotonic + .seconds(20)
        while Clock.monotonic < limit {
            if isSo() { return }
            try loop.step(atMost: .milliseconds(5))
        }
        Issue.record("waited in vain for \(what)")
    }
}

@Suite struct MulticastSourceTests {
    @Test func `a join is one job, also where there is a socket to let go of`() throws {
        let line = try Line()
        line.source?.activate([])
        try line.until("the socket") { line.owner.connects == 1 }
        line.source?.linkChanged(nil)
        try line.until("the next one") { line.owner.connects == 2 }
        #expect(line.worker.refused == 0 && line.owner.reasons == [])
    }

    @Test func `a busy worker is tried again, and lets go of the old socket itself`() throws {
        let line = try Line()
        line.source?.activate([])
        try line.until("the socket") { line.owner.connects == 1 }
        let release = try line.block()
        line.source?.linkChanged(nil)
        #expect(line.worker.refused == 1 && line.source?.note?.contains("the worker is busy") == true)
        #expect(!Line.isFree(line.endpoint), "the loop has closed it")
        close(release)
        try line.until("the next one") { line.owner.connects == 2 }
    }

    @Test func `news of other interfaces does not make a join begin again`() throws {
        let line = try Line(capacity: 2)
        let release = try line.block()
        line.source?.activate([])
        let other = LinkNews(index: 9999, isRunning: true, isGone: false)
        for _ in 0..<3 { line.source?.linkChanged(other) }
        close(release)
        try line.until("the socket") { line.owner.connects == 1 }
        #expect(line.source?.counters.attempts == 1)
    }

    @Test func `a link that goes down is told, and when it is back the group is joined again`() throws {
        let line = try Line()
        line.source?.activate([])
        try line.until("the socket") { line.owner.connects == 1 }
        let index = try #require(Interface.index(of: "lo"))
        line.source?.linkChanged(LinkNews(index: index, isRunning: true, isGone: false))
        #expect(line.source?.counters.attempts == 1, "it was up before")
        for _ in 0..<2 { line.source?.linkChanged(LinkNews(index: index, isRunning: false, isGone: false)) }
        #expect(line.owner.reasons == ["the link of lo is down"])
        #expect(line.source?.note == "the link is down" && line.source?.counters.attempts == 1)
        line.source?.linkChanged(LinkNews(index: index, isRunning: true, isGone: false))
        #expect(line.source?.note == "joining")
        try line.until("the next one") { line.owner.connects == 2 }
        #expect(line.source?.note == nil && line.source?.counters.attempts == 2)
        #expect(line.owner.reasons.count == 1)
    }

    @Test func `an interface that is not there is told once`() throws {
        let line = try Line(on: "none0")
        line.source?.activate([])
        try line.until("three attempts") { line.source?.counters.attempts == 3 }
        #expect(line.told.count == 1, "\(line.told)")
    }

    @Test func `whose line is gone leaves its group where it may wait`() throws {
        let line = try Line(capacity: 2)
        line.source?.activate([])
        try line.until("the socket") { line.owner.connects == 1 }
        let release = try line.block()
        line.source = nil
        #expect(!Line.isFree(line.endpoint), "the loop has closed it")
        close(release)
        try line.until("the port") { Line.isFree(line.endpoint) }
    }
}
