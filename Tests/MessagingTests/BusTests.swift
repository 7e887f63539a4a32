// ZeroMQ on the loop, with real sockets on loopback.
import Basics
import Linux
import Logging
import Reactor
import Testing

@testable import Messaging

@Suite struct BusTests {
    let loop: EventLoop
    let context = MessagingContext()
    let log: LimitedLog
    let anyPort = ServerEndpoints(["tcp://127.0.0.1:*"])

    init() throws {
        loop = try EventLoop()
        log = try LimitedLog(loop, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    @Test func `a subscription is seen, and what is then published arrives in order`() throws {
        var prefixes: [String] = []
        var received: [[String]] = []
        let publisher = try Publisher(loop, at: anyPort, log: log) {
            prefixes.append(String(decoding: $0.prefix, as: UTF8.self))
        }
        let subscriber = try Subscriber(context, loop, endpoint: publisher.lastEndpoint) { frames in
            received.append(frames.map { String(decoding: $0, as: UTF8.self) })
        }
        try subscriber.subscribe("state/a/")
        try run { prefixes == ["state/a/"] }
        for number in 0..<1000 {
            publisher.publish(topic: "state/a/\(number)/", payload: Array("\(number)".utf8))
        }
        publisher.publish(topic: "state/b/", payload: [])
        try run { received.count == 1000 }
        #expect(received == (0..<1000).map { ["state/a/\($0)/", "\($0)"] })
    }

    @Test func `a publisher knows whether anybody may want samples`() throws {
        var prefixes: [String] = []
        let publisher = try Publisher(loop, at: anyPort, log: log) {
            prefixes.append(String(decoding: $0.prefix, as: UTF8.self))
        }
        var first: Subscriber? = try Subscriber(context, loop, endpoint: publisher.lastEndpoint) { _ in }
        try first?.subscribe("state/")
        try run { prefixes.count == 1 }
        #expect(!publisher.isAskedForSamples)
        let second = try Subscriber(context, loop, endpoint: publisher.lastEndpoint) { _ in }
        try second.subscribe("sample/desk/nic/")
        try first?.subscribe("")
        try run { prefixes.count == 3 }
        #expect(publisher.isAskedForSamples)
        // One who leaves takes nothing from the other.
        first = nil
        try run { publisher.connections == 1 }
        #expect(publisher.isAskedForSamples)
        try second.unsubscribe("sample/desk/nic/")
        try run { !publisher.isAskedForSamples }
    }

    @Test func `each request gets its reply`() throws {
        var replies: [String] = []
        let server = try RequestServer(loop, at: anyPort, log: log) { request, _ in
            Array("re: ".utf8) + request
        }
        let requester = try Requester(context, loop, endpoint: server.lastEndpoint) {
            replies.append(String(decoding: $0, as: UTF8.self))
        }
        #expect(try requester.send(Array("one".utf8)))
        #expect(try requester.send(Array("two".utf8)))
        try run { replies.count == 2 }
        #expect(replies == ["re: one", "re: two"])
    }

    @Test func `of dear requests one is answered in a turn, and small ones many`() throws {
        var asked = 0
        var length = 300 << 10
        let server = try RequestServer(loop, at: anyPort, log: log) { _, _ in
            asked += 1
            return [UInt8](repeating: 0, count: length)
        }
        var replies = 0
        let requester = try Requester(context, loop, endpoint: server.lastEndpoint) { _ in replies += 1 }
        /// The most that a turn answered of so many.
        func most(of count: Int) throws -> Int {
            (asked, replies) = (0, 0)
            for _ in 0..<count { #expect(try requester.send([0])) }
            var most = 0
            while asked < count {
                let before = asked
                try loop.step(atMost: .milliseconds(25))
                most = max(most, asked - before)
            }
            try run { replies == count }
            return most
        }
        #expect(try most(of: 40) == 1)
        length = 10
        #expect(try most(of: 60) <= 64)
    }

    @Test func `of a client that does not read a few replies wait, and the others are counted`() throws {
        var asked = 0
        let server = try RequestServer(loop, at: anyPort, log: log) { _, _ in
            asked += 1
            return [UInt8](repeating: 0, count: 1 << 20)
        }
        let client = try Socket(context, .dealer)
        try client.set(.receiveHighWaterMark(1))
        try client.connect(server.lastEndpoint)
        for _ in 0..<300 { #expect(try client.send(frames: [[1]])) }
        try run { asked == 300 }
        // The kernel's buffers take some besides those that wait.
        #expect(server.undelivered >= 150)
        // Others are answered meanwhile.
        var replies = 0
        let requester = try Requester(context, loop, endpoint: server.lastEndpoint) { _ in replies += 1 }
        #expect(try requester.send([1]))
        try run { replies == 1 }
    }

    @Test func `an endpoint in use is named in the error`() throws {
        let publisher = try Publisher(loop, at: anyPort, log: log) { _ in }
        let taken = publisher.lastEndpoint
        let error = #expect(throws: BusError.self) {
            _ = try Publisher(loop, at: ServerEndpoints([taken]), log: log) { _ in }
        }
        #expect(error?.description.hasPrefix("bind \(taken): Address already in use; ") == true)
    }
}
