// Where the sockets that clients connect to are bound, and what is told of who is connected. What is beyond this host is
// CURVE, but for what is opted in by name.
import Linux
import Wire

/// Where a server socket is bound, and for what.
public struct ServerEndpoints {
    /// Endpoints of this host in the clear; those beyond it with CURVE.
    public var endpoints: [String]
    /// Endpoints beyond this host, in the clear.
    public var plaintext: [String] = []
    /// Needed by endpoints beyond this host.
    public var authenticator: Authenticator?
    /// What counts as this host; another judgement is for tests.
    var isLocal: (String) -> Bool = Endpoint.isLocal
    var limits: ConnectionBook.Limits

    public init(_ endpoints: [String], plaintext: [String] = [], authenticator: Authenticator? = nil) {
        self.endpoints = endpoints
        self.plaintext = plaintext
        self.authenticator = authenticator
        limits = ConnectionBook.Limits(descriptors: DescriptorLimit.now)
    }
}

/// Counters of a server socket, or of several.
public struct AccessCounters: Hashable, Sendable {
    /// Connections that are through the handshake now.
    public var clients = 0
    /// Connections that were refused.
    public var refused: UInt64 = 0
    /// Connections that ended because their client was taken off the list.
    public var removed: UInt64 = 0

    public init() {}

    public static func + (left: AccessCounters, right: AccessCounters) -> AccessCounters {
        var sum = left
        sum.clients += right.clients
        sum.refused &+= right.refused
        sum.removed &+= right.removed
        return sum
    }
}

/// Somebody who is connected.
public struct Peer: Hashable, Sendable {
    public var connection: Int32
    /// Its name on the list; `nil`: it came in the clear.
    public var client: String?
    /// Its IPv4 address; `nil`: it is of this host, or not known.
    public var address: String?

    public init(connection: Int32, client: String? = nil, address: String? = nil) {
        self.connection = connection
        self.client = client
        self.address = address
    }
}
