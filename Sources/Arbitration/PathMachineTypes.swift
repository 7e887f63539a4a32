// The words of the path machine: what an operator chose, how a path of a feed can be, why it failed, why a
// feed moved, and what the shell has to do. The machine itself is in `PathMachine.swift`.
public import Basics
public import Wire

/// What decides how a feed uses its paths.
public struct PathMachineOptions: Hashable, Sendable {
    public enum Policy: Hashable, Sendable {
        /// All paths are subscribed, the first arrival wins.
        case hotHot
        /// One path is subscribed; the others are connected and subscribed on failover.
        case hotWarm
    }

    /// One redundant delivery of the feed.
    public struct Path: Hashable, Sendable {
        public var name: String
        /// Health subjects whose failure fails the path.
        public var dependsOn: [Dependency]
        /// How long its first word may take, if that is longer than the limit of silence: a login is answered when the
        /// server likes. That it is not connected is told as such.
        public var firstWordWithin: Duration

        public init(_ name: String, dependsOn: [Dependency] = [], firstWordWithin: Duration = .zero) {
            self.name = name
            self.dependsOn = dependsOn
            self.firstWordWithin = firstWordWithin
        }
    }

    public var policy: Policy
    /// The venue sends what it is asked for, and forgets that with the connection: a path that comes back is complete
    /// when it says so anew.
    public var isAsked = false
    /// In order of preference.
    public var paths: [Path]
    /// A path that says nothing for this long has failed.
    public var silence: Duration
    /// A path that says nothing for this long while another one speaks has failed.
    public var silenceBehindTwin: Duration
    /// A path that brings what it brings this much later than another one does, for some time, has failed.
    public var lag: Duration = .seconds(1)
    /// A path must be well for this long before the feed goes back to it; doubled by each further failure
    /// within `flapWindow`, up to `longestHoldDown`.
    public var holdDown: Duration
    public var flapWindow: Duration = .seconds(600)
    public var longestHoldDown: Duration = .seconds(300)
    /// Data refutes a fault that an agent told if it was read this long after the fault: what is read just
    /// after a fault may have arrived before it.
    public var refutationMargin: Duration = .milliseconds(10)
    /// A path that differed from the others stays out until it has not for so long.
    public var divergenceHold: Duration = .seconds(30)
    /// How many subjects can be muted at once.
    public var mostMutes = 64

    /// - Precondition: there is at least one path.
    public init(
        policy: Policy, paths: [Path], silence: Duration, silenceBehindTwin: Duration, holdDown: Duration
    ) {
        precondition(!paths.isEmpty, "a feed has at least one path")
        self.policy = policy
        self.paths = paths
        self.silence = silence
        self.silenceBehindTwin = silenceBehindTwin
        self.holdDown = holdDown
    }
}

/// Why a path is not well.
public enum PathFailure: Hashable, Sendable, CustomStringConvertible {
    /// Nothing was heard since the path was opened, for this long.
    case neverHeard(Duration)
    case silent(Duration)
    /// Silent for this long while another path spoke.
    case behindTwin(Duration)
    case disconnected
    /// What it brings comes later than on another path, by this much or more.
    case lagging(Duration)
    /// An agent said that this subject is critical.
    case dependency(Dependency)
    /// It says something else than the others do, or than this preferred path does.
    case diverging(from: String)

    /// Silence may be the venue's or the network's: it alone moves a feed only to a path that was heard later.
    var isSilence: Bool {
        switch self {
        case .neverHeard, .silent, .behindTwin: true
        case .disconnected, .lagging, .dependency, .diverging: false
        }
    }

    /// It counts only while others are well, who can be followed instead.
    var needsOthers: Bool {
        switch self {
        case .lagging, .diverging: true
        case .neverHeard, .silent, .behindTwin, .disconnected, .dependency: false
        }
    }

    public var description: String {
        switch self {
        case .neverHeard(let limit): "never heard in \(inMilliseconds(limit))"
        case .silent(let limit): "silent for \(inMilliseconds(limit))"
        case .behindTwin(let limit): "silent for \(inMilliseconds(limit)) while another path speaks"
        case .disconnected: "not connected"
        case .lagging(let limit): "\(inMilliseconds(limit)) or more behind another path"
        case .dependency(let dependency): "\(dependency) is critical"
        case .diverging(let other): "its messages differ from those of \(other)"
        }
    }

    private func inMilliseconds(_ duration: Duration) -> String { "\(duration.nanoseconds / 1_000_000) ms" }
}

/// How a path of a feed is.
public enum PathState: Hashable, Sendable {
    /// Opened, nothing heard yet, and the limit has not passed.
    case waiting
    /// Well, and not subscribed.
    case standby
    /// Subscribed, but not every subscription is active yet.
    case recovering
    case active
    case failed(PathFailure)
}

/// Why a hot-warm feed moved.
public enum SwitchReason: Hashable, Sendable, CustomStringConvertible {
    case failed(PathFailure)
    /// A preferred path has been well for its hold-down.
    case failback
    case requested

    public var description: String {
        switch self {
        case .failed(let failure): failure.description
        case .failback: "the preferred path is well again"
        case .requested: "an operator asked for it"
        }
    }
}

/// How many paths are well.
public enum Redundancy: Hashable, Sendable {
    /// All of them.
    case full
    /// At least one, not all.
    case reduced
    /// No path: the feed stays where it is and goes on trying.
    case none
}

/// What the shell has to do or tell. Paths are indices in the order of preference.
public enum PathAction: Hashable, Sendable {
    /// Subscribe everything that is wanted on this path, then call `resubscribed`.
    case activate(Int)
    /// Drop all data subscriptions on this path; stay connected.
    case deactivate(Int)
    case state(Int, PathState)
    case switched(from: Int, to: Int, SwitchReason)
    case redundancy(Redundancy)
    /// The feed is pinned to its path, or is free again.
    case held(Bool)
    case muted(Subject, until: Instant)
    case unmuted(Subject)
}

/// What an operator asked of a feed. It outlives the machine that it was asked of.
public struct OperatorOrders: Hashable, Sendable {
    /// The name of the path that the feed is held on.
    public var heldOn: String?
    /// Muted subjects, and until when.
    public var mutes: [Subject: Instant]

    public init(heldOn: String? = nil, mutes: [Subject: Instant] = [:]) {
        self.heldOn = heldOn
        self.mutes = mutes
    }
}

/// Why an operator's request was refused.
public enum PathRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// All paths are in use already.
    case hotHot
    case notWell(path: String, PathState)
    case tooManyMutes(limit: Int)
    case notMuted(Subject)

    public var description: String {
        switch self {
        case .hotHot: "a hot-hot feed uses all of its paths at once"
        case .notWell(let path, .failed(let failure)):
            "path \(path) is not well: \(failure); use --hold to insist"
        case .notWell(let path, .waiting), .notWell(let path, .standby), .notWell(let path, .recovering),
            .notWell(let path, .active):
            "path \(path) has not been heard yet; use --hold to insist"
        case .tooManyMutes(let limit): "\(limit) subjects are muted already"
        case .notMuted(let subject): "\(subject) is not muted"
        }
    }
}
