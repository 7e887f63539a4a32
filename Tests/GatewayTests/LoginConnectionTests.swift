// What a connection with a login tells of a server that cannot be reached: whom and why, each once.
import Basics
import Configuration
import FeedProtocols
import Linux
import Reactor
import Testing
import Wire

@testable import Gateway

@Suite struct LoginConnectionTests {
    private final class Told {
        var lines: [String] = []
        var reasons: [String] = []
    }

    private let loop: EventLoop
    private let lookUps: NameLookups
    private let told = Told()

    init() throws {
        loop = try EventLoop()
        lookUps = try NameLookups(loop, mostAsked: 8)
    }

    private func connection(to host: String, _ port: UInt16) throws -> LoginConnection<SoupDialect> {
        let address = ServerAddress(host: host, port: port, interface: nil, source: nil)
        let machine = SoupClientMachine(
            VenueLogin(user: "me", password: "secret"), silence: .seconds(1), resume: nil)
        return try LoginConnection(
            loop, lookUps, at: address, machine, log: { told.lines.append("\($0): \($1)") }
        ) {
            if case .closed(let why) = $0 { told.reasons.append(why) }
        }
    }

    private func run(until condition: () -> Bool) throws {
        for _ in 0..<400 where !condition() { try loop.step(atMost: .milliseconds(25)) }
        #expect(condition())
    }

    /// One at which nobody listens any more.
    private func freePort() throws -> UInt16 {
        let listener = try StreamListener(at: IPv4Endpoint(IPv4Address(number: 0x7F00_0001), 0))
        return try #require(listener.endpoint?.port)
    }

    @Test(arguments: ["127.0.0.1", String(repeating: "x", count: 64)])
    func `who is not reached is named once, in the journal and in the state`(host: String) throws {
        let port = try freePort()
        let connection = try connection(to: host, port)
        #expect(connection.trouble == "\(host):\(port): not connected")
        connection.start()
        try run { told.reasons.count == 2 }
        let why = try #require(told.reasons.last)
        #expect(!why.contains(host))
        #expect(host != "127.0.0.1" || why == "connect: Connection refused")
        #expect(told.reasons == [why, why])
        #expect(told.lines == ["pathNotReceiving: \(host):\(port): \(why), trying again"])
        #expect(connection.trouble == "\(host):\(port): \(why)")
    }
}
