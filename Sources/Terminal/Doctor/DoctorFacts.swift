// What `holdfast doctor` has found out of a host. What could not be read is nil, and nothing is concluded from it.
public import Wire

/// The host as it is, for the checks.
public struct DoctorFacts: Hashable, Sendable {
    /// What became of asking the agent.
    public enum Answer: Hashable, Sendable {
        /// It has these subjects that are `unknown`, of so many.
        case status(unknown: [UnknownSubject], subjects: Int)
        /// No answer, and what to do about that.
        case none(advice: String)
    }

    public struct UnknownSubject: Hashable, Sendable {
        public var subject: Subject
        public var reason: String

        public init(_ subject: Subject, _ reason: String) {
            self.subject = subject
            self.reason = reason
        }
    }

    /// The running agent as the kernel sees it.
    public struct Process: Hashable, Sendable {
        /// The set of effective capabilities, one bit each (capabilities(7)).
        public var capabilities: UInt64
        public var groups: [UInt32]

        public init(capabilities: UInt64, groups: [UInt32]) {
            self.capabilities = capabilities
            self.groups = groups
        }
    }

    /// The folder in which feeds are journalled, or their replicas kept.
    public struct JournalFolder: Hashable, Sendable {
        public var path: String
        /// Whether the gateway's user may write there; `nil`: there is no gateway to be asked about, or no folder yet.
        public var isWritable: Bool?
        /// Free for that user; `nil`: it cannot be seen.
        public var availableBytes: UInt64?
        /// What is there, and what may be kept of all channels.
        public var usedBytes: UInt64 = 0
        public var keptBytes: UInt64 = 0

        public init(_ path: String) { self.path = path }
    }

    /// A server or a socket, and why it cannot be reached; `nil`: it can.
    public struct Reach: Hashable, Sendable {
        public var name: String
        public var failure: String?

        public init(_ name: String, failure: String?) {
            self.name = name
            self.failure = failure
        }
    }

    public var answer: Answer = .none(advice: "")
    /// What became of asking the gateway; `nil`: this host has none, as far as can be seen.
    public var gateway: Answer?
    /// Feeds that are not journalled though they are to be, by the gateway's word, with the reason.
    public var unjournalled: [UnknownSubject] = []
    /// `nil`: nothing is journalled.
    public var journal: JournalFolder?
    /// Why configuration files would be refused.
    public var refusedFiles: [String] = []
    public var process: Process?
    /// `net.ipv4.ping_group_range`.
    public var pingGroups: ClosedRange<UInt32>?
    public var watchesPaths = true
    /// Interfaces that the configuration files name, and those of them that this host does not have.
    public var namedInterfaces = 0
    public var missingInterfaces: [String] = []
    /// The reverse-path filter in force (the higher of `all` and the interface's), by interface that matters.
    public var reversePathFilters: [String: Int] = [:]
    /// Multicast groups that are received, the gateway's feeds among them.
    public var multicastGroups = 0
    /// `net.core.rmem_max` in bytes.
    public var mostReceiveBuffer: Int?
    /// The receive buffer that is asked for each group.
    public var wantedReceiveBuffer = 0
    /// `net.ipv4.igmp_max_memberships`, for each socket, and how many one socket needs.
    public var igmpMemberships: Int?
    public var wantedMemberships = 0
    /// The servers of UPSes that are to be watched.
    public var upsServers: [Reach] = []
    /// NUT's drivers' sockets, their group, and whether the agent is in it.
    public var driverGroup: UInt32?
    public var driverSockets: [String] = []
    /// Daemons that keep the clock, by name; `nil`: the host's processes cannot be seen, as in a container.
    public var clockDaemons: [String]?
    /// Whom the agent has the clock's state from: `chrony`, `kernel` …; `nil`: it was not asked, or has it from nobody.
    public var clockSource: String?
    public var watchesClock = true
    /// Feeds whose lines are watched on the wire.
    public var lineFeeds = 0
    /// Lines that the agent is not allowed to capture.
    public var refusedLines: [String] = []
    /// Whether the unit has the drop-in for them; `nil`: the agent is no unit of this host's.
    public var hasLineDropIn: Bool?
    public var systemBus: Reach?
    /// Whether the kernel tells of pressure (PSI).
    public var hasPressure: Bool?
    /// Processes that are recognised by their executable.
    public var executables: [String] = []

    public init() {}
}
