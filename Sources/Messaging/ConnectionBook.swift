// The connections that came in by one socket: whose they are, which of them to hang up on, and who was refused and
// why. libzmq tells of them in pieces: the descriptor when a connection is accepted and when it ends, a failed
// handshake without its descriptor, and the client's key only with the first message and, by address, when its
// handshake is judged. A pure machine that puts the pieces together.
import Basics
import Wire

/// By what kind of endpoint a connection came in.
enum Entrance: Hashable, Sendable {
    /// Only this host can reach it.
    case local
    /// Beyond this host, in the clear by configuration: whoever comes may read.
    case plaintext
    /// Beyond this host, CURVE.
    case guarded
}

/// Why a connection was refused.
enum ConnectionRefusal: Hashable, Sendable {
    case unknownKey(PublicKey)
    case otherServerKey
    case noCURVE
    /// It began no handshake of ZeroMQ.
    case notZeroMQ
    /// It left before the end of the handshake.
    case left
    /// It did not come to the end of the handshake in time.
    case tooSlow(Duration)
    /// So many others came while it had not come to the end of the handshake.
    case crowdedOut(Int)
    /// There are as many connections as there may be from beyond this host.
    case full(Int)
    /// There are as many as there may be of this host.
    case hostIsFull(Int)
}

struct ConnectionBook {
    struct Limits: Hashable, Sendable {
        /// The time for a handshake, which libzmq keeps.
        var handshake: Duration = .milliseconds(2500)
        /// Connections from beyond this host that are in their handshake. Beyond it one is hung up on of the address that
        /// has most of them, the one that takes longest: a client that means well takes milliseconds, one that holds on
        /// takes all that it can get.
        var handshakes = 1000
        /// Connections from beyond this host. Beyond it the newest is hung up on.
        var connections = 4096
        /// Connections of this host, likewise.
        var local = 4096

        init() {}

        /// - Parameter descriptors: what the process may have. Its three sockets for clients leave it a quarter, whoever
        ///   connects.
        init(descriptors: UInt64) {
            let share = Int(min(4096, descriptors / 8))
            connections = share
            local = share
            handshakes = min(1000, share / 4)
        }
    }

    /// What is to be done, in this order.
    enum Action: Hashable {
        /// End the connection, if its peer is still this one; `nil`: it came in by a Unix socket.
        case hangUp(Int32, IPv4Endpoint?)
        case refused(IPv4Endpoint?, ConnectionRefusal)
        /// A client that is no longer on the list is hung up on.
        case removed(AllowedClient, IPv4Endpoint?)
        /// A client that may do less than before is hung up on, and comes back.
        case curtailed(AllowedClient, IPv4Endpoint?)
        case departed(Int32)
    }

    private enum Stage: Hashable {
        /// In its handshake.
        case greeting
        /// Its key was refused, and that was told; libzmq ends it soon.
        case refused
        /// Through the handshake; nothing was heard from it yet.
        case admitted
        /// Heard, with the keys that it gave: one, unless it has the descriptor of a connection before it whose
        /// messages were read late.
        case heard(Set<String>)
        case hungUp

        var isUnfinished: Bool { self == .greeting || self == .refused }
    }

    private struct Connection {
        let entrance: Entrance
        let peer: IPv4Endpoint?
        let began: Instant
        /// Tells it from others that had its descriptor.
        let number: UInt64
        var stage = Stage.greeting

        var isRemote: Bool { entrance != .local }
    }

    let limits: Limits
    /// Whether the socket has endpoints that nobody comes in by without a key.
    var isGuarded = false
    private var connections: [Int32: Connection] = [:]
    private var lastNumber: UInt64 = 0
    /// How many came from beyond this host, and are there.
    private var remote = 0
    private var local: Int { connections.count - remote }
    /// How many of them are not through the handshake, and how many of each address.
    private var unfinished = 0
    private var unfinishedOf: [IPv4Address?: Int] = [:]
    /// Those, in the order in which they came; others among them have got through or have gone.
    private var queue: [(descriptor: Int32, number: UInt64)] = []
    private var failure: HandshakeFailure?
    private(set) var refused: UInt64 = 0
    private(set) var removed: UInt64 = 0
    /// Messages that nobody on the list had sent.
    private(set) var strangeMessages: UInt64 = 0

    init(limits: Limits = Limits()) { self.limits = limits }

    /// Clients that are connected; without CURVE, those in their handshake among them.
    var clients: Int {
        connections.values.count { connection in
            switch connection.stage {
            case .admitted, .heard: true
            case .greeting: connection.entrance != .guarded
            case .refused, .hungUp: false
            }
        }
    }

    var count: Int { connections.count }

    func contains(_ descriptor: Int32) -> Bool { connections[descriptor] != nil }

    /// Who is at the other end: its address, where it is known, and the keys that its messages gave.
    func peer(_ descriptor: Int32) -> (address: IPv4Endpoint?, keys: Set<String>) {
        guard let connection = connections[descriptor] else { return (nil, []) }
        guard case .heard(let keys) = connection.stage else { return (connection.peer, []) }
        return (connection.peer, keys)
    }

    /// Connections from which something was heard, in the order in which they came.
    var heard: [Int32] {
        let heard = connections.filter { if case .heard = $0.value.stage { true } else { false } }
        return heard.sorted { $0.value.number < $1.value.number }.map(\.key)
    }
}

// MARK: - What libzmq tells

extension ConnectionBook {
    /// - Parameter peer: `nil` where it is not known: the connection was gone before anybody could look.
    mutating func accepted(
        _ descriptor: Int32, by entrance: Entrance, from peer: IPv4Endpoint?, at now: Instant
    ) -> [Action] {
        var actions = disconnected(descriptor, at: now)
        lastNumber &+= 1
        let connection = Connection(entrance: entrance, peer: peer, began: now, number: lastNumber)
        connections[descriptor] = connection
        guard connection.isRemote else {
            return local > limits.local ? actions + refuse(descriptor, .hostIsFull(limits.local)) : actions
        }
        remote += 1
        unfinished += 1
        unfinishedOf[peer?.address, default: 0] += 1
        queue.append((descriptor, lastNumber))
        if remote > limits.connections { actions += refuse(descriptor, .full(limits.connections)) }
        settleQueue(at: now)
        if unfinished > limits.handshakes, let one = oldestOfMost {
            actions += refuse(one, .crowdedOut(limits.handshakes))
        }
        return actions
    }

    /// A handshake came to its end.
    mutating func succeeded() { failure = nil }

    /// A handshake failed; whose, the `disconnected` says that follows at once. (A refused key is told before.)
    mutating func failed(_ failure: HandshakeFailure) {
        if case .refused = failure { return }
        self.failure = failure
    }

    mutating func disconnected(_ descriptor: Int32, at now: Instant) -> [Action] {
        let failure = failure
        self.failure = nil
        guard let connection = connections[descriptor] else { return [] }
        remove(descriptor)
        guard connection.entrance == .guarded, connection.stage == .greeting else {
            return [.departed(descriptor)]
        }
        refused &+= 1
        let reason = reason(failure, after: now - connection.began)
        return [.departed(descriptor), .refused(connection.peer, reason)]
    }

    /// An endpoint was closed, and with it, without a word, every connection by it.
    mutating func closed(_ entrance: Entrance) -> [Action] {
        let closed = connections.filter { $0.value.entrance == entrance }.keys.sorted()
        for descriptor in closed { remove(descriptor) }
        return closed.map { .departed($0) }
    }

    private mutating func remove(_ descriptor: Int32) {
        setStage(.hungUp, of: descriptor)
        if connections.removeValue(forKey: descriptor)?.isRemote == true { remote -= 1 }
    }

    private func reason(_ failure: HandshakeFailure?, after age: Duration) -> ConnectionRefusal {
        switch failure {
        case .notUnderstood(HandshakeFailure.otherMechanism): .noCURVE
        case .notUnderstood(HandshakeFailure.otherKey): .otherServerKey
        // libzmq's time runs from a little before we hear of the connection.
        case .closed: age >= limits.handshake - limits.handshake / 10 ? .tooSlow(limits.handshake) : .left
        case .notUnderstood, .refused, nil: .notZeroMQ
        }
    }
}

// MARK: - What the handshake's judge tells

extension ConnectionBook {
    /// A client's key is on the list: one connection of this address is through.
    mutating func admitted(from address: IPv4Address?) {
        if let descriptor = greetingConnection(from: address) { setStage(.admitted, of: descriptor) }
    }

    /// The key of a connection that is known is not on the list.
    mutating func refused(_ key: PublicKey, of descriptor: Int32) -> [Action] {
        refused &+= 1
        setStage(.refused, of: descriptor)
        return [.refused(connections[descriptor]?.peer, .unknownKey(key))]
    }

    /// Likewise, where only its address is known.
    mutating func refused(_ key: PublicKey, from address: IPv4Address?) -> [Action] {
        refused &+= 1
        let descriptor = greetingConnection(from: address)
        if let descriptor { setStage(.refused, of: descriptor) }
        let peer = descriptor.flatMap { connections[$0]?.peer } ?? address.map { IPv4Endpoint($0, 0) }
        return [.refused(peer, .unknownKey(key))]
    }

    /// The one of this address that has been in its handshake for longest; else one whose address is not known.
    private func greetingConnection(from address: IPv4Address?) -> Int32? {
        var anonymous: Int32?
        for entry in queue {
            guard let connection = current(entry), connection.entrance == .guarded,
                connection.stage == .greeting
            else { continue }
            guard let peer = connection.peer else {
                anonymous = anonymous ?? entry.descriptor
                continue
            }
            if peer.address == address { return entry.descriptor }
        }
        return anonymous
    }
}

// MARK: - Messages, and another list

extension ConnectionBook {
    /// Who sent a message. A stranger is hung up on.
    mutating func heard(
        _ descriptor: Int32, userID: String?, allowed: AllowList
    ) -> (caller: Caller, actions: [Action]) {
        let connection = connections[descriptor]
        var caller = allowed.caller(userID: userID)
        // Only who is known to have come in without a key may speak without one.
        if isGuarded, userID == nil, (connection?.entrance ?? .guarded) == .guarded { caller = .stranger }
        guard caller != .stranger else {
            strangeMessages &+= 1
            return (caller, hangUp(descriptor))
        }
        let key = Set(userID.map { [$0] } ?? [])
        switch connection?.stage {
        case .greeting, .refused, .admitted: setStage(.heard(key), of: descriptor)
        case .heard(let keys):
            if !key.isSubset(of: keys) { setStage(.heard(keys.union(key)), of: descriptor) }
        case .hungUp, nil: break
        }
        return (caller, [])
    }

    /// Another list is in force.
    ///
    /// - Parameter isCurtailed: whether a client that is still on the list may do less than before, and has to
    ///   come in anew.
    mutating func renewed(
        from old: AllowList, to new: AllowList, isCurtailed: (AllowedClient, AllowedClient) -> Bool
    ) -> [Action] {
        var actions: [Action] = []
        for (descriptor, connection) in connections.sorted(by: { $0.value.number < $1.value.number }) {
            guard case .heard(let keys) = connection.stage else { continue }
            let clients = keys.sorted().compactMap { PublicKey($0) }.compactMap { old[$0] }
            for client in clients {
                let remaining = new[client.key]
                if let remaining, !isCurtailed(client, remaining) { continue }
                if remaining == nil { removed &+= 1 }
                let action = remaining == nil ? Action.removed : Action.curtailed
                actions += hangUp(descriptor) + [action(client, connection.peer)]
                break
            }
        }
        return actions
    }
}

// MARK: - Steps

extension ConnectionBook {
    private mutating func refuse(_ descriptor: Int32, _ reason: ConnectionRefusal) -> [Action] {
        guard let connection = connections[descriptor] else { return [] }
        let actions = hangUp(descriptor)
        // A refused key was told and counted before.
        if connection.stage == .refused { return actions }
        refused &+= 1
        return actions + [.refused(connection.peer, reason)]
    }

    private mutating func hangUp(_ descriptor: Int32) -> [Action] {
        guard let connection = connections[descriptor], connection.stage != .hungUp else { return [] }
        setStage(.hungUp, of: descriptor)
        // From beyond and without an address, it is gone already.
        return connection.isRemote && connection.peer == nil ? [] : [.hangUp(descriptor, connection.peer)]
    }

    private mutating func setStage(_ stage: Stage, of descriptor: Int32) {
        guard let connection = connections[descriptor] else { return }
        if connection.isRemote, connection.stage.isUnfinished, !stage.isUnfinished {
            unfinished -= 1
            let left = unfinishedOf[connection.peer?.address, default: 1] - 1
            unfinishedOf[connection.peer?.address] = left > 0 ? left : nil
        }
        connections[descriptor]?.stage = stage
    }

    /// Of the address with the most connections in their handshake, the one that came first.
    private var oldestOfMost: Int32? {
        guard let most = unfinishedOf.values.max() else { return nil }
        return queue.first { entry in
            guard let connection = current(entry), connection.stage.isUnfinished else { return false }
            return unfinishedOf[connection.peer?.address] == most
        }?.descriptor
    }

    /// Has an unfinished one at the head of the queue, if there is any, and keeps the queue short.
    private mutating func settleQueue(at now: Instant) {
        var stale = 0
        for entry in queue {
            if let connection = current(entry), connection.stage.isUnfinished {
                guard now - connection.began > limits.handshake * 2 else { break }
                outlived(entry.descriptor, connection)
            }
            stale += 1
        }
        queue.removeFirst(stale)
        if queue.count > 4 * limits.handshakes {
            queue = queue.filter { current($0)?.stage.isUnfinished == true }
        }
    }

    /// There long after the time for the handshake: in the clear it is through, which nobody told; else it went
    /// with an endpoint that was closed.
    private mutating func outlived(_ descriptor: Int32, _ connection: Connection) {
        switch connection.entrance {
        case .plaintext, .local: setStage(.admitted, of: descriptor)
        case .guarded: remove(descriptor)
        }
    }

    private func current(_ entry: (descriptor: Int32, number: UInt64)) -> Connection? {
        connections[entry.descriptor].flatMap { $0.number == entry.number ? $0 : nil }
    }
}
