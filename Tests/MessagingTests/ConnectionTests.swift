// Connections out, over real sockets on loopback: who is refused says so and comes back later.
import Basics
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Messaging

@Suite struct ConnectionTests {
    let loop: EventLoop
    let context = MessagingContext()
    let server: KeyPair
    let client: KeyPair

    init() throws {
        loop = try EventLoop()
        server = try KeyPair.generate()
        client = try KeyPair.generate()
    }

    private func run(until condition: () throws -> Bool) throws { try loop.run(until: condition) }

    /// A server in the clear, or one with a key.
    private func bound(secured: Bool) throws -> Socket {
        let socket = try Socket(context, .xpub)
        if secured {
            try socket.bind("tcp://127.0.0.1:*", as: server)
        } else {
            try socket.bind("tcp://127.0.0.1:*")
        }
        return socket
    }

    @Test func `a wrong server key is named after a few attempts, and the right one connects at once`() throws
    {
        let venue = try bound(secured: true)
        var news: [Connection.News] = []
        let subscriber = try Subscriber(
            context, loop, endpoint: venue.lastEndpoint, security: .client(client, of: client.publicKey),
            onConnection: { news.append($0) }
        ) { _ in }
        try subscriber.subscribe("state/")
        try run { subscriber.trouble != nil }
        #expect(
            subscriber.trouble
                == "\(venue.lastEndpoint) ends the handshake: is server_key its key, and ours on its list?")
        #expect(news.allSatisfy { if case .failed(.closed) = $0 { true } else { false } })
        subscriber.reconnect(.client(client, of: server.publicKey))
        try run { subscriber.isConnected }
        #expect(subscriber.trouble == nil)
        #expect(news.last == .connected)
        // What was subscribed while nobody was there.
        var heard: [UInt8] = []
        try run {
            heard += (try? venue.receive())?.frames.first ?? []
            return heard == [1] + Array("state/".utf8)
        }
    }

    @Test func `a server in the clear is never taken for the one whose key is known`() throws {
        let venue = try bound(secured: false)
        let requester = try Requester(
            context, loop, endpoint: venue.lastEndpoint, security: .client(client, of: server.publicKey)
        ) { _ in }
        try run { requester.trouble != nil }
        #expect(requester.trouble?.hasPrefix(venue.lastEndpoint) == true)
    }

    @Test func `nobody there is no trouble of its own`() throws {
        var venue: Socket? = try bound(secured: false)
        let endpoint = try #require(venue?.lastEndpoint)
        var news: [Connection.News] = []
        let subscriber = try Subscriber(context, loop, endpoint: endpoint, onConnection: { news.append($0) })
        {
            _ in
        }
        try run { subscriber.isConnected }
        venue = nil
        try run { !subscriber.isConnected }
        #expect(news == [.connected, .disconnected])
        #expect(subscriber.trouble == nil)
        #expect(venue == nil)
    }

    @Test func `an endpoint with a server key needs keys of our own`() {
        #expect(throws: BusError.noKeys(endpoint: "tcp://192.0.2.1:1")) {
            try EndpointSecurity.connecting(to: "tcp://192.0.2.1:1", server.publicKey, with: nil)
        }
    }
}
