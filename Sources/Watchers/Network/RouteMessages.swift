// What rtnetlink says of links, addresses and routes, as values. Only what Holdfast uses is kept.
public import Basics

/// RFC 2863 operational states, as `IFLA_OPERSTATE` numbers them.
public enum OperationalState: UInt8, Hashable, Sendable {
    case unknown, notPresent, down, lowerLayerDown, testing, dormant, up
}

/// A link's traffic counters, from `IFLA_STATS64`.
public struct LinkStatistics: Hashable, Sendable {
    public var receivedPackets: UInt64 = 0
    public var sentPackets: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var sentBytes: UInt64 = 0
    public var receiveErrors: UInt64 = 0
    public var sendErrors: UInt64 = 0
    public var receiveDrops: UInt64 = 0
    public var sendDrops: UInt64 = 0
    /// Packets that the device had no buffer for; drivers do not count them as drops.
    public var receiveMissed: UInt64 = 0

    public init() {}
}

/// How often a link's carrier came and went; the kernel counts since the device was made.
public struct CarrierCounts: Hashable, Sendable {
    public var up: UInt32
    public var down: UInt32

    public init(up: UInt32, down: UInt32) {
        self.up = up
        self.down = down
    }
}

/// RTM_NEWLINK or RTM_DELLINK.
public struct LinkMessage: Hashable, Sendable {
    public var index: Int32
    public var name = ""
    /// ARPHRD_*: 1 is Ethernet, 32 InfiniBand, 772 loopback.
    public var hardwareType: UInt16 = 1
    /// IFF_*.
    public var flags: UInt32 = 0
    public var operationalState: OperationalState?
    public var carrierCounts: CarrierCounts?
    /// The device's address now, `02:00:00:00:00:01`.
    public var address: String?
    /// The address burnt into the device.
    public var permanentAddress: String?
    /// Octets.
    public var mtu: UInt32?
    /// The index of the lower or peer link.
    public var lower: Int32?
    /// `lower` is an index of another network namespace.
    public var isLowerElsewhere = false
    /// The index of the bond, bridge or VRF that it belongs to.
    public var master: Int32?
    /// `veth`, `bond`, `tun`; `nil` for a device that is not virtual.
    public var kind: String?
    /// What a bond says of itself.
    public var bond: BondMessage?
    /// What its bond says of a member.
    public var bondMember: BondMemberMessage?
    public var statistics: LinkStatistics?

    public init(index: Int32) { self.index = index }

    public var isAdministrativelyUp: Bool { flags & 0x1 != 0 }
    public var isLoopback: Bool { flags & 0x8 != 0 }
    /// IFF_LOWER_UP: the carrier.
    public var hasCarrier: Bool { flags & 0x1_0000 != 0 }
    /// Whether the kernel tells carrier changes of this link at once: it does for a link over another one, and
    /// holds others' back for up to a second. It tells a veth by its peer's index, so that one whose peer
    /// bears the same index in another namespace is held back too (net/core/link_watch.c,
    /// `linkwatch_urgent_event`).
    public var hasPromptEvents: Bool { lower.map { $0 > 0 && $0 != index } ?? false }
    /// A device that stands for hardware: of no virtual kind, Ethernet or InfiniBand.
    public var isPhysical: Bool { kind == nil && !isLoopback && (hardwareType == 1 || hardwareType == 32) }
}

/// A bond, from `IFLA_INFO_DATA`.
public struct BondMessage: Hashable, Sendable {
    /// The `mode` of the bonding driver: 1 is active-backup, 4 is 802.3ad.
    public var mode: UInt8?
    /// The index of the member that carries the traffic, where the mode has such.
    public var activeMember: Int32?

    public init(mode: UInt8? = nil, activeMember: Int32? = nil) {
        self.mode = mode
        self.activeMember = activeMember
    }
}

/// A member of a bond, from `IFLA_INFO_SLAVE_DATA`.
public struct BondMemberMessage: Hashable, Sendable {
    /// BOND_STATE_ACTIVE: it carries traffic.
    public var isActive: Bool?
    /// BOND_LINK_UP: the bond's own monitoring finds its link well.
    public var isLinkUp: Bool?

    public init(isActive: Bool? = nil, isLinkUp: Bool? = nil) {
        self.isActive = isActive
        self.isLinkUp = isLinkUp
    }
}

/// RTM_NEWADDR or RTM_DELADDR.
public struct AddressMessage: Hashable, Sendable {
    public var index: Int32
    public var prefixLength: UInt8
    /// The host's own address on the link.
    public var local: IPAddress

    public init(index: Int32, prefixLength: UInt8, local: IPAddress) {
        self.index = index
        self.prefixLength = prefixLength
        self.local = local
    }
}

/// RTM_NEWROUTE or RTM_DELROUTE of a unicast route in the main table that goes over a next hop; one that replaced
/// another may have none.
public struct RouteMessage: Hashable, Sendable {
    public struct Hop: Hashable, Sendable {
        public var index: Int32
        public var gateway: IPAddress

        public init(index: Int32, gateway: IPAddress) {
            self.index = index
            self.gateway = gateway
        }
    }

    public var destination: IPAddress
    public var prefixLength: UInt8
    /// Lower is preferred.
    public var metric: UInt32
    public var hops: [Hop]

    public init(destination: IPAddress, prefixLength: UInt8, metric: UInt32, hops: [Hop]) {
        self.destination = destination
        self.prefixLength = prefixLength
        self.metric = metric
        self.hops = hops
    }

    /// What the kernel knows a route by: one of the same replaces it.
    struct Key: Hashable, Sendable {
        var destination: IPAddress
        var prefixLength: UInt8
        var metric: UInt32
    }

    var key: Key { Key(destination: destination, prefixLength: prefixLength, metric: metric) }

    public var isDefault: Bool { prefixLength == 0 }
    public var family: IPFamily { destination.family }
}

/// RTM_NEWNEIGH: how an address on a link is resolved.
public struct NeighbourMessage: Hashable, Sendable {
    public var index: Int32
    /// NUD_*: 1 incomplete, 32 failed.
    public var state: UInt16
    public var address: IPAddress?

    public init(index: Int32, state: UInt16, address: IPAddress?) {
        self.index = index
        self.state = state
        self.address = address
    }

    /// It was asked for its hardware address and does not answer.
    public var isUnresolved: Bool { state & 0x21 != 0 }
}

/// One decoded rtnetlink message.
public enum RouteNetlinkMessage: Hashable, Sendable {
    case link(LinkMessage)
    case linkRemoved(LinkMessage)
    case address(AddressMessage)
    case addressRemoved(AddressMessage)
    case route(RouteMessage)
    case routeRemoved(RouteMessage)
    /// RTM_NEWROUTE in the place of another one, whose removal is not told.
    case routeReplaced(RouteMessage)
    /// RTM_NEWSTATS: the counters of the link of this index.
    case statistics(index: Int32, LinkStatistics)
    /// RTM_NEWNEIGH: what is known of a neighbour.
    case neighbour(NeighbourMessage)
    /// NLMSG_DONE: a dump is complete; the code is 0 or a negative errno.
    case done(Int32)
    /// NLMSG_ERROR with a negative errno; 0 acknowledges.
    case failed(Int32)
    /// NLMSG_OVERRUN: data was lost.
    case overrun
    /// Well-formed, and of no interest here.
    case other(UInt16)

    /// Whether it may have changed more default routes than it names: of several with one metric the kernel replaces
    /// one and tells not which, and a next hop of a multipath IPv6 route goes like a route of its own.
    var leavesDefaultRouteInDoubt: Bool {
        switch self {
        case .routeReplaced(let route), .routeRemoved(let route): route.isDefault
        case .link, .linkRemoved, .address, .addressRemoved, .route, .statistics, .neighbour, .done, .failed,
            .overrun, .other:
            false
        }
    }

    /// Whether it tells of a route that is no default route.
    var isOtherRoute: Bool {
        switch self {
        case .route(let route), .routeRemoved(let route), .routeReplaced(let route): !route.isDefault
        case .link, .linkRemoved, .address, .addressRemoved, .statistics, .neighbour, .done, .failed,
            .overrun, .other:
            false
        }
    }
}
