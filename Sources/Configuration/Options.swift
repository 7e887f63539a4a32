// What an operator can decide, typed and with its defaults. The files are read by `AgentFile` and
// `GatewayFile`; nothing else in the project knows that they are TOML.
public import Basics
public import Wire

/// Where a daemon publishes its health and answers requests.
public struct BusOptions: Hashable, Sendable {
    /// Endpoints of the publisher, `ipc://` or loopback `tcp://`.
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
    /// `[[line]]`.
    public var lines: [LineOptions] = []
    public var clock = ClockOptions()
    public var pressure = PressureOptions()
    /// `[[check]]`.
    public var checks: [CheckOptions] = []

    public init() {}
}

/// `[history]`: what the agent remembers of its subjects' numbers.
public struct HistoryOptions: Hashable, Sendable {
    public var keep: Duration = .seconds(60)
    /// How often NICs, paths and pressure are read for it.
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

/// A host, by name or address, and a port.
public struct HostPort: Hashable, Sendable {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// As it is written: an IPv6 address stands in brackets.
    public var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
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
        /// The control group of this unit of systemd, or one below it.
        case unit(String)
    }

    public var name: String
    public var match: Match
    public var minimum = 1
    public var maximum: Int?
    /// It works if it accepts connections here.
    public var tcp: HostPort?
    /// It works if it accepts connections at this Unix socket.
    public var socket: String?
    /// It works if it writes this file at least every `heartbeatWithin`.
    public var heartbeatFile: String?
    public var heartbeatWithin: Duration = .seconds(5)
    /// How often connections and the heartbeat are tried, and how long an answer may take.
    public var probeEvery: Duration = .seconds(1)
    public var probeLimit: Duration = .seconds(1)
    /// Limits on the resident memory and the threads of all its processes.
    public var rssBytes = LimitOptions()
    public var threads = LimitOptions()
    /// Limit on the open descriptors of a process, as a ratio of how many it may have.
    public var descriptors = LimitOptions(warning: 0.8, critical: 0.95)

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
    public var journal = JournalOptions()
    /// `[[agent]]`: health buses that the paths' `depends_on` subjects are looked up on.
    public var agents: [AgentEndpoint] = []
    /// `[[feed]]`.
    public var feeds: [FeedOptions] = []
    /// `[[replica]]`: gateways whose journals are kept here, too.
    public var replicas: [ReplicaOptions] = []

    /// Whether a gateway has anything to do with these: feeds, or journals of others to keep.
    public var hasWork: Bool { !feeds.isEmpty || !replicas.isEmpty }

    public init() {}
}

/// One `[[replica]]`: the journals of another gateway, which are pulled and kept in `[journal] directory`.
public struct ReplicaOptions: Hashable, Sendable {
    /// Where the other gateway answers requests.
    public var request: String
    /// Its public key; `nil` only for an endpoint on this host.
    public var serverKey: PublicKey?
    /// The feeds whose journals are pulled.
    public var feeds: [String] = []
    /// How often it is asked once everything is here.
    public var every: Duration = .milliseconds(100)
    /// The replica is `warning`, or `critical`, when it is so far behind.
    public var warning: Duration = .seconds(5)
    public var critical: Duration = .seconds(60)

    public init(request: String) { self.request = request }
}

/// `[journal]`: where and how feeds that say `journal = true` are journalled.
public struct JournalOptions: Hashable, Sendable {
    /// When the disk is to have what was written.
    public enum Sync: String, Hashable, Sendable, CaseIterable {
        /// When the kernel sees fit.
        case none
        /// After `fsyncEvery` at the latest.
        case every
        /// Before the next batch is written.
        case eachBatch = "each-batch"
    }

    public var directory = "/var/lib/holdfast/journal"
    public var fsync = Sync.every
    public var fsyncEvery: Duration = .milliseconds(100)
    /// A segment that has so many bytes is closed.
    public var segmentBytes = 64 << 20
    /// Of each channel so much is kept, in bytes and since it was received.
    public var keepBytes = 20 << 30
    public var keep: Duration = .seconds(7 * 86400)
    /// So many bytes of a channel may wait for the disk.
    public var mostWaiting = 64 << 20
    /// And so many of all channels together.
    public var mostWaitingInAll = 1 << 30
    /// Where the thread that writes may run; `nil`: where the gateway may.
    public var processors: CPUList?
    /// A replica of it elsewhere is `warning`, or `critical`, when it is so far behind.
    public var replicaWarning: Duration = .seconds(5)
    public var replicaCritical: Duration = .seconds(60)

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

    /// Whether only this host can reach it.
    public var isLocal: Bool { Endpoint.isLocal(publish) }

    /// Whether the agent is the one that is meant where a path depends on a subject and names no host: it is of this host,
    /// or it alone is reached only from here, or it is the only one.
    ///
    /// - Parameters:
    ///   - host: what it says to be; `nil`: it was not heard yet.
    ///   - agents: all that are followed.
    ///   - own: what the gateway says to be.
    public func isOwn(saying host: String?, among agents: [AgentEndpoint], on own: String) -> Bool {
        agents.count == 1 || host == own
            || isLocal && !agents.contains { $0 != self && $0.isLocal }
    }
}

/// One `[[feed]]`.
public struct FeedOptions: Hashable, Sendable {
    public enum FeedProtocol: String, Hashable, Sendable, CaseIterable {
        /// MoldUDP64 over UDP multicast or unicast; sequences per channel.
        case moldUDP64 = "moldudp64"
        /// SoupBinTCP over TCP, numbered as MoldUDP64 is.
        case soupBinTCP = "soupbintcp"
        /// Cboe's sequenced units over UDP; sequences per unit.
        case pitch
        /// IEX Transport Protocol over UDP; sequences per channel.
        case iexTP = "iex-tp"
        /// CME MDP 3.0 over UDP; packets are numbered, not messages.
        case mdp3
        /// A whole feed of other gateways of Holdfast; sequences per channel.
        case holdfast
        /// Holdfast's sequenced ZeroMQ feed (XPUB upstream); sequences per topic.
        case zeromq

        /// It comes by multicast groups that are always joined.
        public var isMulticast: Bool {
            switch self {
            case .moldUDP64, .pitch, .iexTP, .mdp3: true
            case .soupBinTCP, .holdfast, .zeromq: false
            }
        }

        /// How its messages name their instruments.
        public var keys: Keys {
            switch self {
            case .moldUDP64, .soupBinTCP: .itch50
            case .pitch: .pitch
            case .iexTP: .iex
            case .mdp3: .securityID
            case .holdfast, .zeromq: .topic
            }
        }

        /// The last message of a topic can be all there is to know of it.
        public var hasLastValues: Bool {
            switch self {
            case .iexTP, .holdfast, .zeromq: true
            case .moldUDP64, .soupBinTCP, .pitch, .mdp3: false
            }
        }

        /// Its packets name the channel that they are of.
        public var namesChannels: Bool {
            switch self {
            case .pitch, .iexTP: true
            case .moldUDP64, .soupBinTCP, .mdp3, .holdfast, .zeromq: false
            }
        }

        /// Its messages are numbered as MoldUDP64 and SoupBinTCP number them: a feed can have paths of both, and
        /// ask for what is missing by MoldUDP64's requests.
        var keepsMoldNumbers: Bool {
            switch self {
            case .moldUDP64, .soupBinTCP: true
            case .pitch, .iexTP, .mdp3, .holdfast, .zeromq: false
            }
        }

        /// Three of its heartbeats; over SoupBinTCP, where they come each second, what lets a half-open connection be found
        /// within 1.5 s.
        var silence: Duration {
            switch self {
            case .moldUDP64, .pitch, .iexTP: .seconds(3)
            case .soupBinTCP: .milliseconds(1400)
            case .mdp3: .seconds(90)
            case .holdfast, .zeromq: .milliseconds(300)
            }
        }

        /// Above the time from one heartbeat to the next.
        var freshness: Duration {
            switch self {
            case .moldUDP64, .soupBinTCP, .pitch, .iexTP: .seconds(2)
            case .mdp3: .seconds(35)
            case .holdfast, .zeromq: .seconds(1)
            }
        }

        /// A gateway waits for its own lines first.
        var reorderTime: Duration {
            switch self {
            case .moldUDP64, .soupBinTCP, .pitch, .iexTP, .mdp3, .zeromq: .milliseconds(20)
            case .holdfast: .milliseconds(100)
            }
        }
    }

    /// How a message names its instrument.
    public enum Keys: String, Hashable, Sendable, CaseIterable {
        /// The stock locate of ITCH 5.0, bound to a symbol by stock directory (`R`) messages.
        case itch50 = "itch-5.0"
        /// The symbol of PITCH messages, or that of the order that they name.
        case pitch
        /// The symbol of TOPS, DEEP and DEEP+ messages.
        case iex
        /// The security ids of MDP 3.0 messages.
        case securityID = "security-id"
        /// The upstream topic itself.
        case topic
    }

    /// What a feed knows when it begins.
    public enum Start: String, Hashable, Sendable, CaseIterable {
        /// Nothing.
        case now
        /// The venue's directory of instruments, as its journal has it.
        case journal
        /// All of the session: what was sent before is asked for.
        case session
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
    /// (mdp3 90 s, soupbintcp 1.5 s, zeromq 300 ms, the others 3 s).
    public var silence: Duration
    /// A path that says nothing for this long while its twin does has failed, if that is sooner.
    public var silenceBehindTwin: Duration = .milliseconds(300)
    /// A path that brings what it brings this much later than another path, for some time, has failed.
    public var lag: Duration = .seconds(1)
    /// Nothing older than this is published as live: neither data by its source time, nor a state after the
    /// last word from upstream. Default: 35 s for mdp3, whose heartbeats come each 30 s, 1 s for zeromq, 2 s for the
    /// others, whose come once a second.
    public var freshness: Duration
    /// When its venue trades; `nil`: always. Neither silence nor freshness is judged while it does not.
    public var session: SessionCalendar?
    /// A gap is told after this long, or when this many messages wait behind it. Default: 100 ms for holdfast, else
    /// 20 ms.
    public var reorderTime: Duration
    public var reorderCount = 4096
    /// A path must be well for this long before a feed fails back to it.
    public var holdDown: Duration = .seconds(5)
    /// zeromq: an upstream subscription that nobody holds any more is released after this; `nil`: `lingerTime`.
    public var linger: Duration?
    /// zeromq: topics subscribed per second on each path, at most: the venue's limit; `nil`: `topicsPerSecond`.
    public var subscribeRate: Int?
    /// The channels that are expected, PITCH units or IEX channels; empty: those that come.
    public var channels: [UInt16] = []
    public var recover: RecoverOptions
    /// Whether each topic's last value is kept for clients that join late, where its messages say all there is to know.
    /// `nil`: it is, if the protocol's messages do.
    public var lastValues: Bool?
    /// holdfast: the feed's name at the gateways that it comes from; `nil`: the same.
    public var upstream: String?
    /// Whether what it releases is journalled.
    public var journal = false
    public var start = Start.now
    /// With `Start.session`: a session that is more messages ahead is taken from where it is.
    public var startMessages = 1_000_000
    /// itch-5.0: a BinaryFILE from which the directory is taken in a session that was joined in its middle.
    public var directoryFile: String?
    /// In order of preference.
    public var paths: [FeedPathOptions] = []

    public var lingerTime: Duration { linger ?? .seconds(5) }
    public var topicsPerSecond: Int { subscribeRate ?? 100_000 }

    public init(name: String, feedProtocol: FeedProtocol, keys: Keys, policy: Policy) {
        self.name = name
        self.feedProtocol = feedProtocol
        self.keys = keys
        self.policy = policy
        silence = feedProtocol.silence
        freshness = feedProtocol.freshness
        reorderTime = feedProtocol.reorderTime
        recover = RecoverOptions(for: feedProtocol)
    }
}

/// One `[[feed.path]]`: a redundant delivery of a feed.
public struct FeedPathOptions: Hashable, Sendable {
    /// `A`, `B`, `DR` …
    public var name: String
    /// Where it comes in; `nil`: as routed.
    public var interface: String?
    /// Multicast protocols: the IPv4 groups (or own addresses) and UDP ports, `239.1.1.1:30001`; several where the
    /// packets name their channels.
    public var groups: [String] = []
    /// Multicast protocols: accept only this sender (source-specific multicast).
    public var source: String?
    /// UDP protocols: a capture that is played in place of the wire; of it what was sent to `group`, if given.
    public var file: String?
    public var pace = CapturePace.recorded
    /// holdfast, soupbintcp and zeromq: the upstream endpoint, `tcp://10.0.0.1:7001`.
    public var endpoint: String?
    /// holdfast, soupbintcp and zeromq: the own address that the connection comes from; `nil`: as routed.
    public var localAddress: String?
    /// soupbintcp: the file with user and password.
    public var loginFile: String?
    /// What stands in it.
    public var login: VenueLogin?
    /// holdfast and zeromq: the venue's public key; `nil`: in the clear.
    public var serverKey: PublicKey?
    /// holdfast and zeromq: that the endpoint is beyond this host and in the clear is meant so.
    public var plaintext = false
    /// Health subjects that it depends on: of this host's agent, or of the host that each names.
    public var dependsOn: [Dependency] = []

    public init(name: String) { self.name = name }

    /// The first of its groups, or the only one.
    public var group: String? {
        get { groups.first }
        set { groups = newValue.map { [$0] } ?? [] }
    }
}
