// The book of connections as a dialogue: what is told of them, and what is to be done about it.
import Basics
import Testing
import Wire

@testable import Messaging

@Suite struct ConnectionBookTests {
    private let desk: AllowedClient
    private let risk: AllowedClient
    private let stranger: PublicKey
    private let allowed: AllowList
    private var book = ConnectionBook(limits: limits(handshakes: 3, connections: 5))
    private let start = Instant.zero + .seconds(100)

    init() throws {
        func key(_ byte: UInt8) throws -> PublicKey {
            try #require(PublicKey(bytes: [UInt8](repeating: byte, count: 32)))
        }
        desk = AllowedClient(name: "desk", key: try key(1), topics: ["md/itch/"])
        risk = AllowedClient(name: "risk", key: try key(2))
        stranger = try key(3)
        allowed = AllowList([desk, risk])
    }

    private static func limits(handshakes: Int, connections: Int) -> ConnectionBook.Limits {
        var limits = ConnectionBook.Limits()
        limits.handshake = .seconds(2)
        limits.handshakes = handshakes
        limits.connections = connections
        limits.local = 2
        return limits
    }

    /// 10.0.0.`host`, whose port tells its connections apart.
    private func peer(_ host: UInt32, _ port: UInt16 = 5000) -> IPv4Endpoint {
        IPv4Endpoint(IPv4Address(number: 0x0A00_0000 + host), port)
    }

    /// A client of the list, connected and heard.
    private mutating func join(_ client: AllowedClient, _ descriptor: Int32, _ peer: IPv4Endpoint) {
        #expect(book.accepted(descriptor, by: .guarded, from: peer, at: start) == [])
        admit(client, descriptor)
    }

    /// Its handshake proves the key.
    private mutating func admit(_ client: AllowedClient, _ descriptor: Int32) {
        let (caller, actions) = book.heard(descriptor, key: client.key, allowed: allowed)
        #expect(caller == .client(client))
        #expect(actions == [])
    }

    // MARK: Who is refused, and why

    @Test mutating func `a refused key is told once, with the address, and its end is no news`() {
        #expect(book.accepted(20, by: .guarded, from: peer(7), at: start) == [])
        #expect(
            book.refused(stranger, of: 20) == [.refused(peer(7), .unknownKey(stranger))])
        book.failed(.refused(status: 300))
        #expect(book.disconnected(20, at: start + .seconds(2)) == [.departed(20)])
        #expect(book.refused == 1)
    }

    @Test(arguments: [
        (HandshakeFailure.notUnderstood(code: 0x1100_0001), ConnectionRefusal.otherServerKey),
        (.notUnderstood(code: 0x1100_0002), .noCURVE),
        (.notUnderstood(code: 0x1000_0013), .notZeroMQ),
        (.closed(errno: 32), .left),
    ])
    mutating func `a failed handshake is explained by what is told right before the end`(
        _ failure: HandshakeFailure, _ reason: ConnectionRefusal
    ) {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        book.failed(failure)
        #expect(book.disconnected(20, at: start) == [.departed(20), .refused(peer(7), reason)])
    }

    @Test mutating func `a failure explains only the end that follows at once`() {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        _ = book.accepted(21, by: .guarded, from: peer(8), at: start)
        book.failed(.closed(errno: 32))
        #expect(book.disconnected(20, at: start).last == .refused(peer(7), .left))
        #expect(book.disconnected(21, at: start).last == .refused(peer(8), .notZeroMQ))
    }

    @Test mutating func `who holds the connection and says nothing was too slow`() {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        book.failed(.closed(errno: 11))
        let actions = book.disconnected(20, at: start + .seconds(2))
        #expect(actions == [.departed(20), .refused(peer(7), .tooSlow(.seconds(2)))])
    }

    @Test mutating func `a client that leaves without a word was not refused`() {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        admit(desk, 20)
        #expect(book.disconnected(20, at: start) == [.departed(20)])
        #expect(book.refused == 0)
    }

    @Test mutating func `on this host and in the clear nobody is refused`() {
        for entrance in [Entrance.local, .plaintext] {
            _ = book.accepted(20, by: entrance, from: nil, at: start)
            book.failed(.closed(errno: 32))
            #expect(book.disconnected(20, at: start) == [.departed(20)])
        }
        #expect(book.refused == 0)
    }

    // MARK: Bounds

    @Test mutating func `beyond the bound of handshakes the oldest is hung up on, never one that is through`()
    {
        join(desk, 10, peer(1))
        for number in 0..<3 as Range<Int32> {
            #expect(book.accepted(20 + number, by: .guarded, from: peer(7, 5000), at: start) == [])
        }
        #expect(
            book.accepted(23, by: .guarded, from: peer(8), at: start)
                == [.hangUp(20), .refused(peer(7, 5000), .crowdedOut(3))])
        #expect(book.disconnected(20, at: start) == [.departed(20)])
        admit(desk, 23)
        #expect(book.clients == 2)
        #expect(book.refused == 1)
    }

    @Test mutating func `it is one of the address that has most of them, though others came before`() {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        _ = book.accepted(21, by: .guarded, from: peer(8, 1), at: start)
        _ = book.accepted(22, by: .guarded, from: peer(8, 2), at: start)
        #expect(
            book.accepted(23, by: .guarded, from: peer(8, 3), at: start)
                == [.hangUp(21), .refused(peer(8, 1), .crowdedOut(3))])
        _ = book.disconnected(21, at: start)
        // Who is through counts no more.
        admit(desk, 20)
        #expect(book.accepted(24, by: .guarded, from: peer(9), at: start) == [])
        #expect(
            book.accepted(25, by: .guarded, from: peer(9), at: start).first == .hangUp(22))
    }

    @Test mutating func `a refused key that holds its connection counts as one in its handshake, told once`()
    {
        for number in 0..<3 as Range<Int32> {
            _ = book.accepted(20 + number, by: .guarded, from: peer(7, UInt16(number)), at: start)
            _ = book.refused(stranger, of: 20 + number)
        }
        #expect(
            book.accepted(23, by: .guarded, from: peer(8), at: start) == [.hangUp(20)])
        #expect(book.refused == 3)
    }

    @Test mutating func `beyond the bound of connections the newest is hung up on`() {
        for number in 0..<5 as Range<Int32> { join(desk, 10 + number, peer(1, UInt16(number))) }
        #expect(
            book.accepted(30, by: .guarded, from: peer(9), at: start)
                == [.hangUp(30), .refused(peer(9), .full(5))])
        #expect(book.accepted(31, by: .local, from: nil, at: start) == [])
        #expect(book.disconnected(30, at: start) == [.departed(30)])
        #expect(book.disconnected(10, at: start) == [.departed(10)])
        #expect(book.accepted(10, by: .guarded, from: peer(9), at: start) == [])
    }

    @Test mutating func `of this host, too, the newest is hung up on beyond the bound, told and counted`() {
        for descriptor in [20, 21] as [Int32] {
            #expect(book.accepted(descriptor, by: .local, from: nil, at: start) == [])
        }
        #expect(
            book.accepted(22, by: .local, from: nil, at: start)
                == [.hangUp(22), .refused(nil, .hostIsFull(2))])
        let near = IPv4Endpoint(.loopback, 5000)
        #expect(
            book.accepted(23, by: .local, from: near, at: start)
                == [.hangUp(23), .refused(near, .hostIsFull(2))])
        #expect(book.refused == 2 && book.clients == 0)
        // Those from beyond have a bound of their own.
        #expect(book.accepted(30, by: .guarded, from: peer(7), at: start) == [])
        for descriptor in [23, 22, 21] as [Int32] {
            #expect(book.disconnected(descriptor, at: start) == [.departed(descriptor)])
        }
        #expect(book.accepted(24, by: .local, from: nil, at: start) == [])
    }

    @Test func `three sockets whose connections are all there leave a quarter of the descriptors`() {
        for descriptors in [64, 1024, 8192, 65_536, .max] as [UInt64] {
            let limits = ConnectionBook.Limits(descriptors: descriptors)
            #expect(UInt64(3 * (limits.connections + limits.local)) <= descriptors / 4 * 3)
            #expect(limits.handshakes <= limits.connections / 4)
        }
        let most = ConnectionBook.Limits(descriptors: 65_536)
        #expect(most == ConnectionBook.Limits())
    }

    @Test mutating func `a flood keeps the book small`() {
        for number in 0..<1000 as Range<Int32> {
            let actions = book.accepted(100 + number, by: .guarded, from: peer(7), at: start)
            #expect(actions.count <= 2)
            if number >= 4 { _ = book.disconnected(100 + number - 4, at: start) }
            #expect(book.count <= 5)
        }
        for number in 996..<1000 as Range<Int32> { _ = book.disconnected(100 + number, at: start) }
        join(desk, 10, peer(1))
        #expect(book.clients == 1 && book.count == 1)
    }

    // MARK: Messages

    @Test mutating func `whoever is on this host or in the clear is no client of the list`() {
        for (descriptor, entrance) in [(Int32(20), Entrance.local), (21, .plaintext)] {
            _ = book.accepted(descriptor, by: entrance, from: nil, at: start)
            let (caller, actions) = book.heard(descriptor, key: nil, allowed: allowed)
            #expect(caller == .open)
            #expect(actions == [])
        }
    }

    @Test mutating func `a message without a key from beyond is a stranger's`() {
        _ = book.accepted(20, by: .guarded, from: peer(7), at: start)
        let (caller, actions) = book.heard(20, key: nil, allowed: allowed)
        #expect(caller == .stranger)
        #expect(actions == [.hangUp(20)])
    }

    @Test mutating func `a client that was taken off the list in its handshake is hung up on when it speaks`()
    {
        _ = book.accepted(20, by: .guarded, from: peer(1), at: start)
        let renewed = AllowList([risk])
        #expect(book.renewed(from: allowed, to: renewed) { _, _ in false } == [])
        let (caller, actions) = book.heard(20, key: desk.key, allowed: renewed)
        #expect(caller == .stranger)
        #expect(actions == [.hangUp(20)])
        #expect(book.heard(20, key: desk.key, allowed: renewed).actions == [])
    }

    // MARK: Another list

    @Test mutating func `who is off the list is hung up on, and nobody else`() {
        join(desk, 10, peer(1, 1))
        join(risk, 11, peer(2))
        join(desk, 12, peer(1, 2))
        _ = book.accepted(13, by: .local, from: nil, at: start)
        _ = book.heard(13, key: nil, allowed: allowed)
        #expect(
            book.renewed(from: allowed, to: AllowList([risk])) { _, _ in false }
                == [
                    .hangUp(10), .removed(desk, peer(1, 1)), .hangUp(12),
                    .removed(desk, peer(1, 2)),
                ])
        #expect(book.removed == 2)
        #expect(book.clients == 2)
        #expect(book.disconnected(10, at: start) == [.departed(10)])
        #expect(book.refused == 0)
    }

    @Test mutating func `a client whose key changed is hung up on`() {
        join(desk, 10, peer(1))
        let rekeyed = AllowList([AllowedClient(name: "desk", key: stranger)])
        let actions = book.renewed(from: allowed, to: rekeyed) { _, _ in false }
        #expect(actions == [.hangUp(10), .removed(desk, peer(1))])
    }

    @Test mutating func `a client that may do less comes in anew`() {
        join(desk, 10, peer(1))
        join(risk, 11, peer(2))
        let narrowed = AllowList([AllowedClient(name: "desk", key: desk.key), risk])
        let actions = book.renewed(from: allowed, to: narrowed) { $0.topics != $1.topics }
        #expect(actions == [.hangUp(10), .curtailed(desk, peer(1))])
        #expect(book.removed == 0)
    }

    // MARK: Descriptors

    @Test mutating func `a descriptor that comes back is another connection`() {
        join(desk, 10, peer(1))
        #expect(book.accepted(10, by: .guarded, from: peer(2), at: start) == [.departed(10)])
        #expect(book.clients == 0)
        #expect(book.renewed(from: allowed, to: AllowList()) { _, _ in false } == [])
    }

    @Test mutating func `an endpoint that is closed takes its connections along`() {
        join(desk, 10, peer(1))
        _ = book.accepted(11, by: .guarded, from: peer(2), at: start)
        _ = book.accepted(12, by: .local, from: nil, at: start)
        #expect(book.closed(.guarded) == [.departed(10), .departed(11)])
        #expect(book.contains(12) && !book.contains(10))
        #expect(book.disconnected(11, at: start) == [])
        #expect(book.refused == 0)
    }

    @Test mutating func `what nobody knows changes nothing`() {
        #expect(book.disconnected(99, at: start) == [])
        let heard = book.heard(99, key: desk.key, allowed: allowed)
        #expect(heard.caller == .stranger && heard.actions == [])
        #expect(book.clients == 0)
    }
}
