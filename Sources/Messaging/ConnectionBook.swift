// The connections that came in by one socket: whose they are, which of them to hang up on, and who was refused and why. A
// pure machine, which is told of each by its descriptor: that it was accepted, which key it proved and whether that is on
// the list, why its handshake failed, that it was heard, and that it is gone.
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

struct ConnectionBook {
    struct Limits: Hashable, Sendable {
        /// The time for a handshake.
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
        case hangUp(Int32)
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
        /// Its key was refused, and that was told; it ends soon.
        case refused
        /// Through the handshake, with the key that it proved; `nil`: it came in the clear.
        case heard(PublicKey?)
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

    init(limits: Limits = Limits()) { self.limits = limits }

    /// Connections that are through the handshake.
    var clients: Int {
        connections.values.count { if case .heard = $0.stage { true } else { false } }
    }

    var count: Int { connections.count }

    func contains(_ descriptor: Int32) -> Bool { connections[descriptor] != nil }

    /// Who is at the other end: its address, where it is known, and the key that it proved.
    func peer(_ descriptor: Int32) -> (address: IPv4Endpoint?, key: PublicKey?) {
        guard let connection = connections[descriptor] else { return (nil, nil) }
        guard case .heard(let key) = connection.stage else { return (connection.peer, nil) }
        return (connection.peer, key)
    }

    /// Connections that are through the handshake, in the order in which they came.
    var heard: [Int32] {
        let heard = connections.filter { if case .heard = $0.value.stage { true } else { false } }
        return heard.sorted { $0.value.number < $1.value.number }.map(\.key)
    }
}

// MARK: - Connections come and go

extension ConnectionBook {
    /// - Parameter peer: `nil` where it is not known: it came in by a Unix socket, or was gone before anybody could look.
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
        settleQueue()
        if unfinished > limits.handshakes, let one = oldestOfMost {
            actions += refuse(one, .crowdedOut(limits.handshakes))
        }
        return actions
    }

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

    /// An endpoint was closed, and with it every connection by it, which is no refusal.
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
        // It was looked at in tenths of the time.
        case .closed: age >= limits.handshake - limits.handshake / 10 ? .tooSlow(limits.handshake) : .left
        case .notUnderstood, .refused, nil: .notZeroMQ
        }
    }
}

// MARK: - What the handshake's judge tells

extension ConnectionBook {
    /// The key that a connection proved is not on the list.
    mutating func refused(_ key: PublicKey, of descriptor: Int32) -> [Action] {
        refused &+= 1
        setStage(.refused, of: descriptor)
        return [.refused(connections[descriptor]?.peer, .unknownKey(key))]
    }
}

// MARK: - Messages, and another list

extension ConnectionBook {
    /// Who is through the handshake, or said something. A stranger is hung up on.
    ///
    /// - Parameter key: that the handshake proved.
    mutating func heard(
        _ descriptor: Int32, key: PublicKey?, allowed: AllowList
    ) -> (caller: Caller, actions: [Action]) {
        let caller = caller(connections[descriptor], key, allowed)
        guard caller != .stranger else { return (caller, hangUp(descriptor)) }
        setStage(.heard(key), of: descriptor)
        return (caller, [])
    }

    private func caller(_ connection: Connection?, _ key: PublicKey?, _ allowed: AllowList) -> Caller {
        guard let connection, connection.stage != .hungUp else { return .stranger }
        // Only who came in without a key may speak without one.
        guard let key else { return connection.entrance == .guarded ? .stranger : .open }
        return allowed[key].map { .client($0) } ?? .stranger
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
            guard case .heard(let key?) = connection.stage, let client = old[key] else { continue }
            let remaining = new[key]
            if let remaining, !isCurtailed(client, remaining) { continue }
            if remaining == nil { removed &+= 1 }
            let action = remaining == nil ? Action.removed : Action.curtailed
            actions += hangUp(descriptor) + [action(client, connection.peer)]
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
        return [.hangUp(descriptor)]
    }

    private mutating func setStage(_ stage: Stage, of descriptor: Int32) {
        guard let connection = connections[descriptor], connection.stage != stage else { return }
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
    private mutating func settleQueue() {
        queue.removeFirst(queue.prefix { current($0)?.stage.isUnfinished != true }.count)
        if queue.count > 4 * limits.handshakes {
            queue = queue.filter { current($0)?.stage.isUnfinished == true }
        }
    }

    private func current(_ entry: (descriptor: Int32, number: UInt64)) -> Connection? {
        connections[entry.descriptor].flatMap { $0.number == entry.number ? $0 : nil }
    }
}
