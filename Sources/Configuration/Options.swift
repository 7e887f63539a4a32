// What an operator can decide, typed and with its defaults. The files are read by `AgentFile` and
// `GatewayFile`; nothing else in the project knows that they are TOML.
public import Wire

/// Where a daemon publishes its health and answers requests.
public struct BusOptions: Hashable, Sendable {
    /// Endpoints of the XPUB socket, `ipc://` or loopback `tcp://`.
    public var publish: [String]
    /// Endpoints of the ROUTER socket.
    public var request: [String]
    public var heartbeatEvery: Duration = .milliseconds(250)
    /// A heartbeat older than this means: the host is unknown.
    public var expiresAfter: Duration = .seconds(1)
    /// How often every state is repeated.
    public var stateEvery: Duration = .seconds(10)
    public var sampleEvery: Duration = .seconds(1)

    public init(publish: [String], request: [String]) {
        self.publish = publish
        self.request = request
    }
}

/// `[curve]`: the keys for endpoints beyond this host. Read only where there is such an endpoint.
public struct CurveOptions: Hashable, Sendable {
    /// Our own key, made by `holdfast keygen`.
    public var key = KeyFile.defaultPath
    /// Whom we let in, written by `holdfast authorize`.
    public var clients = ClientsFile.defaultPath

    public init() {}
}

/// One `[[report_to]]`: a collector that the agent connects out to.
public struct CollectorOptions: Hashable, Sendable {
    /// The collector's bound SUB socket, `tcp://10.0.0.9:5570`.
    public var endpoint: String
    /// Its public key; `nil` only for an endpoint on this host.
    public var serverKey: PublicKey?

    public init(endpoint: String, serverKey: PublicKey? = nil) {
        self.endpoint = endpoint
        self.serverKey = serverKey
    }
}

/// Everything that `agent.toml` can say.
public struct AgentOptions: Hashable, Sendable {
    /// The host's name on the bus; `nil`: the machine's own.
    public var host: String?
    public var bus = BusOptions(
        publish: ["ipc:///run/holdfast/agent.pub"], request: ["ipc:///run/holdfast/agent.req"])
    public var curve = CurveOptions()
    /// `[[report_to]]`.
    public var reportTo: [CollectorOptions] = []
    public var nic = NICOptions()
    public var path = PathOptions()
    public var unit = UnitOptions()
    public var process = ProcessOptions()
    public var ups = UPSOptions()
    public var disk = DiskOptions()
    public var history = HistoryOptions()

    public init() {}
}

/// `[history]`: what the agent remembers of its subjects' numbers.
public struct HistoryOptions: Hashable, Sendable {
    public var keep: Duration = .seconds(60)
    /// How often NICs and paths are read for it.
    public var recordEvery: Duration = .milliseconds(100)
    /// For all subjects together, in bytes.
    public var mostBytes = 1 << 20
    /// How much of it is in a state that changes for the worse; zero: nothing.
    public var before: Duration = .seconds(10)

    public init() {}
}

/// `[process]`: which processes must run.
public struct ProcessOptions: Hashable, Sendable {
    public var enabled = true
    /// How often /proc is searched for processes that appeared.
    public var scanEvery: Duration = .seconds(1)
    /// `[[process.watch]]`.
    public var watched: [ProcessWatchOptions] = []

    public init() {}
}

/// One `[[process.watch]]`.
public struct ProcessWatchOptions: Hashable, Sendable {
    /// How a process is recognised.
    public enum Match: Hashable, Sendable {
        /// The name in /proc/PID/comm (at most 15 bytes).
        case name(String)
        /// The words of the command line contain these words, in a row.
        case command([String])
        /// The path that /proc/PID/exe points to.
        case executable(String)
        /// A file that holds the process id.
        case pidfile(String)
    }

    public var name: String
    public var match: Match
    public var minimum = 1
    public var maximum: Int?

    public init(name: String, match: Match) {
        self.name = name
        self.match = match
    }
}

/// Everything that `gateway.toml` can say.
public struct GatewayOptions: Hashable, Sendable {
    /// The gateway's name on the health bus; `nil`: the machine's host name.
    public var host: String?
    /// Its own health bus (subjects `feed` and `feed-path`) and its requests.
    public var bus = BusOptions(
        publish: ["ipc:///run/holdfast/gateway.pub"], request: ["ipc:///run/holdfast/gateway.req"])
    /// `[downstream] publish`: endpoints where market data and the control topics are published.
    public var publish: [String] = ["ipc:///run/holdfast/gateway.md"]
    /// `[downstream] plaintext`: endpoints beyond this host where market data goes out in the clear, to whoever
    /// connects.
    public var plaintext: [String] = []
    public var curve = CurveOptions()
    /// `[downstream] control_every`: heartbeats on each control topic.
    public var controlEvery: Duration = .milliseconds(100)
    /// `[[agent]]`: health buses that the paths' `depends_on` subjects are looked up on.
    public var agents: [AgentEndpoint] = []
    /// `[[feed]]`.
    public var feeds: [FeedOptions] = []

    public init() {}
}

/// One `[[agent]]`: a health bus to follow.
public struct AgentEndpoint: Hashable, Sendable {
    public var publish: String
    public var request: String
    /// The agent's public key; `nil` only for endpoints on this host.
    public var serverKey: PublicKey?

    public init(publish: String, request: String, serverKey: PublicKey? = nil) {
        self.publish = publish
        self.request = request
        self.serverKey = serverKey
    }
}

/// One `[[feed]]`.
public struct FeedOptions: Hashable, Sendable {
    public enum FeedProtocol: String, Hashable, Sendable, CaseIterable {
        /// MoldUDP64 over UDP multicast or unicast; sequences per channel.
        case moldUDP64 = "moldudp64"
        /// Holdfast's sequenced ZeroMQ feed (XPUB upstream); sequences per topic.
        case zeromq
    }

    /// How a message names its instrument.
    public enum Keys: String, Hashable, Sendable, CaseIterable {
        /// The stock locate of ITCH 5.0, bound to a symbol by stock directory (`R`) messages.
        case itch50 = "itch-5.0"
        /// The upstream topic itself.
        case topic
    }

    public enum Policy: String, Hashable, Sendable, CaseIterable {
        /// All paths subscribed, first arrival wins.
        case hotHot = "hot-hot"
        /// The standby is connected and subscribed on failover.
        case hotWarm = "hot-warm"
    }

    public var name: String
    public var feedProtocol: FeedProtocol
    public var keys: Keys
    public var policy: Policy
    /// A path that says nothing, not even a heartbeat, for this long has failed. Default: the protocol's own
    /// (MoldUDP64 3 s, zeromq 300 ms).
    public var silence: Duration
    /// A path that says nothing for this long while its twin does has failed, if that is sooner.
    public var silenceBehindTwin: Duration = .milliseconds(300)
    /// Nothing older than this is published as live: neither data by its source time, nor a state after the
    /// last word from upstream. Default: 2 s for MoldUDP64, whose heartbeats come once a second, else 1 s.
    public var freshness: Duration
    /// A gap is told after this long, or when this many messages wait behind it.
    public var reorderTime: Duration = .milliseconds(20)
    public var reorderCount = 4096
    /// A path must be well for this long before a feed fails back to it.
    public var holdDown: Duration = .seconds(5)
    /// An upstream subscription that nobody holds any more is released after this.
    public var linger: Duration = .seconds(5)
    /// Topics resubscribed per second on failover, at most; the venue's limit.
    public var subscribeRate = 100_000
    /// In order of preference.
    public var paths: [FeedPathOptions] = []

    public init(name: String, feedProtocol: FeedProtocol, keys: Keys, policy: Policy) {
        self.name = name
        self.feedProtocol = feedProtocol
        self.keys = keys
        self.policy = policy
        silence = feedProtocol == .moldUDP64 ? .seconds(3) : .milliseconds(300)
        freshness = feedProtocol == .moldUDP64 ? .seconds(2) : .seconds(1)
    }
}

/// One `[[feed.path]]`: a redundant delivery of a feed.
public struct FeedPathOptions: Hashable, Sendable {
    /// `A`, `B`, `DR` …
    public var name: String
    /// Where it comes in; `nil`: as routed.
    public var interface: String?
    /// MoldUDP64: the IPv4 group (or own address) and UDP port, `239.1.1.1:30001`.
    public var group: String?
    /// MoldUDP64: accept only this sender (source-specific multicast).
    public var source: String?
    /// zeromq: the upstream endpoint, `tcp://10.0.0.1:7001`.
    public var endpoint: String?
    /// zeromq: the venue's public key; `nil`: in the clear.
    public var serverKey: PublicKey?
    /// zeromq: that the endpoint is beyond this host and in the clear is meant so.
    public var plaintext = false
    /// Health subjects that it depends on, on any of the agents.
    public var dependsOn: [Subject] = []

    public init(name: String) { self.name = name }
}
