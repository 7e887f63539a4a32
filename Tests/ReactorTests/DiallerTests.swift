// Dialling on the loop, over loopback and Unix sockets: what stands is handed over, and what does not is explained.
import Basics
import Glibc
import Linux
import Testing

@testable import Reactor

@Suite struct DiallerTests {
    let loop: EventLoop
    let worker: Worker

    init() throws {
        loop = try EventLoop()
        worker = try Worker(loop)
    }

    private static let anyPort = IPv4Endpoint(IPv4Address(number: 0x7F00_0001), 0)

    /// Somebody who listens for as long as it is kept.
    private final class Server {
        let listener: StreamListener
        var port: UInt16 { listener.endpoint?.port ?? 0 }

        init() throws { listener = try StreamListener(at: DiallerTests.anyPort) }
        init(unix path: String) throws { listener = try StreamListener(unix: path) }
    }

    /// One at which nobody listens any more.
    private func freePort() throws -> UInt16 {
        let server = try Server()
        return server.port
    }

    private final class Outcomes {
        var streams: [ConnectedStream] = []
        var failures: [String] = []
        var count: Int { streams.count + failures.count }
    }

    private func dialler(_ outcomes: Outcomes) throws -> Dialler {
        try Dialler(loop, worker, limit: .seconds(5), by: StreamRoute()) { outcome in
            switch outcome {
            case .connected(let stream): outcomes.streams.append(stream)
            case .failed(let reason): outcomes.failures.append(reason)
            }
        }
    }

    private func run(until condition: () -> Bool) throws {
        for _ in 0..<400 where !condition() { try loop.step(atMost: .milliseconds(25)) }
        #expect(condition())
    }

    @Test func `a peer is reached by its number, by its name and by a Unix socket`() throws {
        let server = try Server()
        let path = "/tmp/holdfast-dialler-\(UInt32.random(in: 0 ... .max)).sock"
        let unix = try Server(unix: path)
        let outcomes = Outcomes()
        let dialler = try dialler(outcomes)
        let addresses: [StreamAddress] = [
            .tcp(host: "127.0.0.1", port: server.port), .tcp(host: "localhost", port: server.port),
            .unix(path: path),
        ]
        for (index, address) in addresses.enumerated() {
            dialler.dial(address)
            try run { outcomes.count == index + 1 }
        }
        #expect(outcomes.failures == [])
        let sent = try outcomes.streams.last?.socket.send([1, 2, 3])
        #expect(sent == 3)
        withExtendedLifetime((server, unix)) {}
    }

    @Test func `an address of either family waits for no name`() throws {
        let outcomes = Outcomes()
        let dialler = try dialler(outcomes)
        var ends: [Int32] = [0, 0]
        try #require(unsafe pipe(&ends) == 0)
        let (from, to) = (ends[0], ends[1])
        worker.perform({
            var byte: UInt8 = 0
            _ = unsafe read(from, &byte, 1)
            close(from)
        }) {}
        defer { close(to) }
        let port = try freePort()
        for (index, host) in ["127.0.0.1", "::1", "0:0:0:0:0:ffff:127.0.0.1"].enumerated() {
            dialler.dial(.tcp(host: host, port: port))
            // That nobody listens there is an outcome, too.
            try run { outcomes.count == index + 1 }
        }
    }

    @Test func `why a peer is not reached is told without its name`() throws {
        let port = try freePort()
        let outcomes = Outcomes()
        let dialler = try dialler(outcomes)
        dialler.dial(.tcp(host: "127.0.0.1", port: port))
        try run { outcomes.count == 1 }
        dialler.dial(.unix(path: "/" + String(repeating: "x", count: 200)))
        dialler.dial(.unix(path: "/nowhere/at/all"))
        #expect(
            outcomes.failures == [
                "connect: Connection refused", "the path is too long for a socket",
                "connect: No such file or directory",
            ])
        // A label has 63 characters at most: no name server is asked.
        let host = String(repeating: "x", count: 64)
        dialler.dial(.tcp(host: host, port: port))
        try run { outcomes.count == 4 }
        #expect(outcomes.failures.last.map { $0.isEmpty || $0.contains(host) } == false)
    }

    @Test func `a route that this host does not have is told as its own`() throws {
        let outcomes = Outcomes()
        // Of the block for documentation (RFC 5737).
        let route = StreamRoute(source: IPv4Address(number: 0xC000_0201))
        let dialler = try Dialler(loop, worker, limit: .seconds(5), by: route) { outcome in
            if case .failed(let reason) = outcome { outcomes.failures.append(reason) }
        }
        dialler.dial(.tcp(host: "127.0.0.1", port: 1))
        #expect(outcomes.failures == ["bind 192.0.2.1:0: Cannot assign requested address"])
    }

    @Test func `a name that is dialled again meanwhile is looked up once, for the last attempt`() throws {
        let server = try Server()
        let outcomes = Outcomes()
        let slow = try Worker(loop, capacity: 2)
        let dialler = try Dialler(loop, slow, limit: .seconds(5), by: StreamRoute()) { outcome in
            switch outcome {
            case .connected(let stream): outcomes.streams.append(stream)
            case .failed(let reason): outcomes.failures.append(reason)
            }
        }
        var ends: [Int32] = [0, 0]
        try #require(unsafe pipe(&ends) == 0)
        let (from, to) = (ends[0], ends[1])
        slow.perform({
            var byte: UInt8 = 0
            _ = unsafe read(from, &byte, 1)
            close(from)
        }) {}
        for _ in 0..<5 {
            dialler.stop()
            dialler.dial(.tcp(host: "localhost", port: server.port))
        }
        #expect(slow.refused == 0 && outcomes.count == 0)
        close(to)
        try run { outcomes.count == 1 }
        #expect(outcomes.streams.count == 1)
        withExtendedLifetime(server) {}
    }

    @Test func `what is stopped, or dialled anew, has no outcome`() throws {
        let server = try Server()
        let outcomes = Outcomes()
        let dialler = try dialler(outcomes)
        for _ in 0..<3 { dialler.dial(.tcp(host: "localhost", port: server.port)) }
        dialler.stop()
        var answered = 0
        // The worker answers in order: those of the names are before this one.
        worker.perform({ 1 }) { _ in answered += 1 }
        try run { answered == 1 }
        #expect(outcomes.count == 0)
        dialler.dial(.tcp(host: "localhost", port: server.port))
        try run { outcomes.count == 1 }
        #expect(outcomes.streams.count == 1)
        withExtendedLifetime(server) {}
    }
}
