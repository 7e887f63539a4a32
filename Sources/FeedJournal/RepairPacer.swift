// Paces repairs, so that clients that missed much do not take the disk and the network from those who missed nothing.
public import Basics

/// Decides who may be served now.
public struct RepairPacer: Sendable {
    public struct Limits: Hashable, Sendable {
        /// What one client gets in a second, in the long run, or what costs as much.
        public var bytesPerSecond = 8 << 20
        /// Requests of all clients that are served at once.
        public var atOnce = 16
        /// Clients that are remembered.
        public var clients = 1024

        public init() {}
    }

    public enum Verdict: Hashable, Sendable {
        case now
        /// Ask again after this.
        case later(Duration)
    }

    private struct Client {
        var isServed = false
        /// Nothing before.
        var notBefore: Instant
    }

    private let limits: Limits
    private var clients: [String: Client] = [:]
    private var served = 0
    /// Requests that were sent away.
    public private(set) var postponed: UInt64 = 0

    public init(limits: Limits = Limits()) { self.limits = limits }

    public mutating func asks(_ name: String, at now: Instant) -> Verdict {
        let client = clients[name] ?? Client(notBefore: now)
        if client.isServed { return postpone(.milliseconds(10)) }
        if client.notBefore > now { return postpone(client.notBefore - now) }
        if served >= limits.atOnce { return postpone(.milliseconds(50)) }
        if clients.count >= limits.clients {
            clients = clients.filter { $0.value.isServed || $0.value.notBefore > now }
        }
        guard clients.count < limits.clients else { return postpone(.milliseconds(500)) }
        clients[name] = Client(isServed: true, notBefore: now)
        served += 1
        return .now
    }

    private mutating func postpone(_ duration: Duration) -> Verdict {
        postponed &+= 1
        return .later(duration)
    }

    /// A client was given so many bytes, or what cost as much.
    ///
    /// - Returns: how long it has to wait for the next ones.
    @discardableResult
    public mutating func gave(_ name: String, bytes: Int, at now: Instant) -> Duration {
        guard clients[name]?.isServed == true else { return .zero }
        served -= 1
        let time = Duration.nanoseconds(Int64(bytes) * 1_000_000_000 / Int64(limits.bytesPerSecond))
        clients[name] = Client(isServed: false, notBefore: now + time)
        return time
    }
}
