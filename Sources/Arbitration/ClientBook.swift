// The clients that send leases, and how each of them is: up to date, behind, missing something, or silent. A pure
// machine; the gateway publishes what it says as the subjects `client/<name>`.
//
// A client is behind if it has not reached by now what was published when it was last up to date. So neither how often
// it sends its leases nor the rate of a feed makes it look late.
public import Basics
public import Wire

/// How a client is.
public struct ClientCondition: Hashable, Sendable {
    public var status: Status
    public var reason: String
    /// Messages that were published and that it has not had yet, of all its channels, when it sent its last lease.
    public var behind: UInt64
    /// For how long, at the least.
    public var behindFor: Duration
    /// What it missed since it began, as it says.
    public var missed: UInt64
    public var leases: UInt64
    public var expiresAfter: Duration
}

/// Where a client is in a channel, and where the gateway is, in the same numbers.
public struct ClientProgress: Hashable, Sendable {
    public var feed: String
    public var channel: UInt16
    /// The numbers' epoch or run: with another one they begin anew.
    public var numbering: UInt64
    public var client: UInt64
    public var gateway: UInt64

    public init(feed: String, channel: UInt16, numbering: UInt64, client: UInt64, gateway: UInt64) {
        self.feed = feed
        self.channel = channel
        self.numbering = numbering
        self.client = client
        self.gateway = gateway
    }
}

/// What became of a lease.
public enum LeaseVerdict: Hashable, Sendable {
    /// It holds; `missed`: so much more than before.
    case taken(ClientCondition, missed: UInt64)
    /// The client has said goodbye.
    case ended
    /// Too soon: again after this.
    case later(Duration)
    /// There are too many clients.
    case full(limit: Int)
    /// The name is another one's: of this owner; `nil`: of somebody who came in the clear.
    case notYours(owner: String?)
}

/// What is to be said of a client.
public enum ClientAction: Hashable, Sendable {
    case report(name: String, ClientCondition)
    /// Nothing more is expected of it.
    case forget(name: String)
}

public struct ClientBook: Sendable {
    public struct Limits: Hashable, Sendable {
        public var clients = 1024
        /// Of one owner, who is known by a key.
        public var perOwner = 64
        /// Leases of one client are at least so far apart.
        public var leaseEvery: Duration = .milliseconds(100)
        /// Leases of all clients in a second, and of clients that are new.
        public var leasesPerSecond = 2000
        public var newPerSecond = 50
        /// Who has been behind for so long is in a state of warning.
        public var behindAfter: Duration = .seconds(1)
        /// A warning holds for so long after its reason has gone.
        public var hold: Duration = .seconds(5)
        /// A loss is told for so long.
        public var lossFor: Duration = .seconds(60)
        /// A client whose lease expired is forgotten after this.
        public var forgetAfter: Duration = .seconds(600)

        public init() {}
    }

    /// What was last known to be behind a client, and since when.
    private struct Mark {
        var numbering: UInt64
        var gateway: UInt64
        var at: Instant
    }

    private struct Channel: Hashable {
        var feed: String
        var number: UInt16
    }

    private struct Client {
        var owner: String?
        var lastAt: Instant
        var expiresAfter: Duration
        var marks: [Channel: Mark] = [:]
        var behind: UInt64 = 0
        var behindFor: Duration = .zero
        var missed: UInt64 = 0
        var leases: UInt64 = 0
        /// Until when it counts as behind, and as one that missed something.
        var lateUntil: Instant?
        var lossUntil: Instant?
        var hasExpired = false

        var expiresAt: Instant { lastAt + expiresAfter }
    }

    public let limits: Limits
    /// Leases that were sent away.
    public private(set) var postponed: UInt64 = 0
    public private(set) var refused: UInt64 = 0
    private var clients: [String: Client] = [:]
    private var second = Instant.zero
    private var leases = 0
    private var newcomers = 0

    public init(limits: Limits = Limits()) { self.limits = limits }

    public var count: Int { clients.count }

    // MARK: - Events

    /// A client sent a lease.
    ///
    /// - Parameters:
    ///   - owner: whose key it came with; `nil`: it came in the clear. Until the client is forgotten its name is that
    ///     owner's alone.
    ///   - progress: of each channel that it names and that has begun.
    public mutating func lease(
        _ lease: ClientLease, owner: String?, progress: [ClientProgress], at now: Instant
    ) -> LeaseVerdict {
        if let known = clients[lease.name], known.owner != owner {
            refused &+= 1
            return .notYours(owner: known.owner)
        }
        if let wait = wait(lease.name, at: now) {
            postponed &+= 1
            return .later(wait)
        }
        if lease.expiresAfter <= .zero {
            clients[lease.name] = nil
            return .ended
        }
        guard clients[lease.name] != nil || hasRoom(for: owner) else {
            refused &+= 1
            return .full(limit: owner == nil ? limits.clients : min(limits.clients, limits.perOwner))
        }
        var client =
            clients[lease.name] ?? Client(owner: owner, lastAt: now, expiresAfter: lease.expiresAfter)
        let more = take(lease, progress, into: &client, at: now)
        clients[lease.name] = client
        return .taken(condition(client, at: now), missed: more)
    }

    /// When `tick` is due.
    public var deadline: Instant? { clients.values.lazy.map { due($0) }.min() }

    /// Leases that expired, holds that are over, and clients that are forgotten.
    public mutating func tick(at now: Instant) -> [ClientAction] {
        var actions: [ClientAction] = []
        for name in clients.keys.sorted() {
            guard var client = clients[name], due(client) <= now else { continue }
            if client.hasExpired {
                clients[name] = nil
                actions.append(.forget(name: name))
                continue
            }
            if client.expiresAt <= now { client.hasExpired = true }
            if let until = client.lateUntil, until <= now { client.lateUntil = nil }
            if let until = client.lossUntil, until <= now { client.lossUntil = nil }
            clients[name] = client
            actions.append(.report(name: name, condition(client, at: now)))
        }
        return actions
    }

    private func due(_ client: Client) -> Instant {
        if client.hasExpired { return client.expiresAt + limits.forgetAfter }
        // Without an array: each lease looks at all clients.
        let late = client.lateUntil.map { min($0, client.expiresAt) } ?? client.expiresAt
        return client.lossUntil.map { min($0, late) } ?? late
    }

    // MARK: - Steps

    /// How long a client has to wait with its lease; `nil`: it need not.
    private mutating func wait(_ name: String, at now: Instant) -> Duration? {
        if now - second >= .seconds(1) { (second, leases, newcomers) = (now, 0, 0) }
        let known = clients[name]
        if let known, known.lastAt + limits.leaseEvery > now { return known.lastAt + limits.leaseEvery - now }
        guard leases < limits.leasesPerSecond, known != nil || newcomers < limits.newPerSecond else {
            return second + .seconds(1) - now
        }
        leases += 1
        if known == nil { newcomers += 1 }
        return nil
    }

    private func hasRoom(for owner: String?) -> Bool {
        guard clients.count < limits.clients else { return false }
        guard let owner else { return true }
        return clients.values.count { $0.owner == owner } < limits.perOwner
    }

    /// Returns what it missed since its last lease.
    private func take(
        _ lease: ClientLease, _ progress: [ClientProgress], into client: inout Client, at now: Instant
    ) -> UInt64 {
        client.lastAt = now
        client.expiresAfter = lease.expiresAfter
        client.hasExpired = false
        client.leases &+= 1
        follow(progress, &client, at: now)
        if client.behindFor >= limits.behindAfter { client.lateUntil = now + limits.hold }
        // A lower number is another run of the client.
        let more = lease.missed >= client.missed ? lease.missed - client.missed : lease.missed
        client.missed = lease.missed
        if more > 0 { client.lossUntil = now + limits.lossFor }
        return more
    }

    private func follow(_ progress: [ClientProgress], _ client: inout Client, at now: Instant) {
        let former = client.marks
        (client.marks, client.behind, client.behindFor) = ([:], 0, .zero)
        for item in progress {
            let channel = Channel(feed: item.feed, number: item.channel)
            var mark = Mark(numbering: item.numbering, gateway: item.gateway, at: now)
            if let old = former[channel], old.numbering == item.numbering, item.client < old.gateway {
                mark = old
            }
            client.marks[channel] = mark
            client.behind &+= item.gateway - min(item.client, item.gateway)
            client.behindFor = max(client.behindFor, now - mark.at)
        }
    }

    private func condition(_ client: Client, at now: Instant) -> ClientCondition {
        let (status, reason) = verdict(client)
        return ClientCondition(
            status: status, reason: reason, behind: client.behind, behindFor: client.behindFor,
            missed: client.missed, leases: client.leases, expiresAfter: client.expiresAfter)
    }

    private func verdict(_ client: Client) -> (Status, String) {
        if client.hasExpired {
            return (.critical, "no lease for \(client.expiresAfter.inSeconds) s\(distance(client))")
        }
        var reasons: [String] = []
        if client.lateUntil != nil { reasons.append("behind\(distance(client))") }
        if client.lossUntil != nil { reasons.append("it missed messages lately") }
        return reasons.isEmpty ? (.ok, "up to date") : (.warning, reasons.joined(separator: ", "))
    }

    /// In powers of ten: the reason is to change with the state and not with each message.
    private func distance(_ client: Client) -> String {
        guard client.behind > 0 else { return "" }
        var bound: UInt64 = 1
        while bound <= client.behind / 10 { bound *= 10 }
        return bound == 1 ? ", by less than 10 messages" : ", by \(bound) messages or more"
    }
}
