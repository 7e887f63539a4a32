// The kinds of event in the journal, each with its own MESSAGE_ID, so that a search finds them all:
// journalctl MESSAGE_ID=…; packaging/holdfast.catalog explains each one to `journalctl -x`.
public import Logging

/// A kind of journal entry and its MESSAGE_ID. Never reuse one for another kind.
public enum JournalEvent: String, Sendable, CaseIterable {
    // MARK: The daemon's life
    case started = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a01"
    case reloaded = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a04"
    case reloadRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a05"
    /// The new configuration is good, and all of it waits for the next start: it changes what a reload cannot.
    case reloadNeedsRestart = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a52"
    case stopping = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a06"
    /// The daemon does not start: its configuration, keys or client list are not good.
    case configurationRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a09"
    /// The daemon does not start: the system refuses what it needs.
    case cannotStart = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0a"
    /// Something in the new configuration holds only from the next start on.
    case restartNeeded = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0b"
    /// The wall clock is behind an earlier run's, or not set at all.
    case clockNotSet = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0c"
    /// The number of this run could not be read or kept for the next one.
    case incarnationNotKept = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0d"
    /// The daemon may run on processors that the host has set apart, for want of others.
    case onIsolatedProcessors = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0f"
    /// The package was upgraded, and the old process goes on; logged by the package's script.
    case upgradeRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a0e"

    // MARK: Subjects
    case stateChanged = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a02"
    case noLongerWatched = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a03"

    // MARK: Feeds
    /// A feed moved to another path.
    case switched = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a07"
    /// A feed's numbering began anew.
    case epochBegan = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a08"
    /// An operator holds a feed on a path.
    case feedHeld = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a10"
    case feedReleased = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a11"
    case subjectMuted = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a12"
    case subjectUnmuted = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a13"
    /// Two paths carry different bytes under one sequence.
    case copiesDiffer = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a14"
    /// A path's socket cannot be opened or joined, or failed.
    case pathNotReceiving = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a15"
    case pathReceivingAgain = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a16"
    /// The kernel grants a path's socket less buffer than bursts need.
    case receiveBufferSmall = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a17"
    /// The venue did not confirm subscriptions in time.
    case subscriptionsUnconfirmed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a18"
    /// A subscription upstream, or a question to an agent, could not be sent.
    case upstreamFailed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a19"

    /// Sequences were told to clients as missing; with HOLDFAST_MISSING. At most one a second and feed, summed up.
    case gapTold = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1a"

    /// The venue's re-request servers did not answer. At most one a second and feed, summed up.
    case recoveryUnanswered = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1b"
    /// A venue does not let us in, or does not have the session that was asked for.
    case loginRejected = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1c"
    /// Packets or messages that were none of the feed's protocol, the first at once and then at most one entry a minute
    /// and path; with HOLDFAST_REASON, HOLDFAST_OFFSET, HOLDFAST_LENGTH and HOLDFAST_REFUSED.
    case inputRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1d"
    /// A session could not be taken from its beginning, or not all of it.
    case sessionNotTaken = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1e"
    /// A session's directory was taken from its file.
    case directoryTaken = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a1f"
    /// The file is not there, cannot be read, or is of another session.
    case directoryNotTaken = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a24"

    // MARK: Agents and collectors
    /// The gateway no longer hears an agent that it follows.
    case agentLost = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a20"
    case agentBack = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a21"
    /// The agent's connection out to a collector is up.
    case collectorConnected = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a22"
    case collectorLost = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a23"

    // MARK: The journals of feeds
    /// A feed is not journalled: the disk is full, too slow or not there; or a message of it was too long.
    case feedJournalStopped = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a60"
    case feedJournalResumed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a61"
    /// A feed's journal ended in a record that was cut off.
    case feedJournalCut = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a62"
    /// Something in a feed's journal is not what was written.
    case feedJournalDamaged = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a63"
    /// A journal that is pulled from another gateway is not written: the disk, the other gateway or what it sent.
    case replicaStopped = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a68"
    case replicaResumed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a69"
    /// The end of such a journal was cut and is pulled again; or the end of a segment of it was gone before it was pulled.
    case replicaCut = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a6a"
    /// Something in such a journal is damaged over there, and therefore here.
    case replicaDamaged = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a6b"

    // MARK: Clients and keys
    /// A connection was refused: an unknown key or a wrong handshake; with HOLDFAST_CLIENT_ADDRESS.
    case clientRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a30"
    /// A client was hung up on, because it was taken off the list; with HOLDFAST_CLIENT.
    case clientRemoved = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a31"
    /// A subscription was refused or narrowed; with HOLDFAST_TOPIC, of a known client with HOLDFAST_CLIENT.
    case subscriptionRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a32"
    /// A request was refused: the client may not, or it made no sense.
    case requestRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a33"
    /// A client says that it missed messages; with HOLDFAST_CLIENT and HOLDFAST_MISSING.
    case clientMissed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a37"
    /// A client's lease was refused; with HOLDFAST_CLIENT, the name that it gave.
    case leaseRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a38"
    /// Another key or client list is in force.
    case keysReloaded = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a34"
    /// Market data goes beyond this host in the clear, by configuration; with HOLDFAST_ENDPOINT.
    case plaintextPublished = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a35"
    /// A feed comes from beyond this host in the clear, by configuration; with HOLDFAST_ENDPOINT.
    case plaintextReceived = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a36"

    // MARK: Watching
    /// Probes cannot be sent.
    case probeFailed = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a40"
    /// A source of news is not there; another, slower one takes its place.
    case watchedWithLess = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a41"
    /// The kernel's news of the network were lost or could not be asked for; the picture is taken anew.
    case networkNewsLost = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a42"
    /// What somebody sent could not be understood and was ignored.
    case malformedInput = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a43"

    // MARK: The log itself
    /// So many entries of a kind were held back; with HOLDFAST_HELD_BACK and HOLDFAST_KIND.
    case droppedLog = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a50"
    /// So many entries did not reach the journal; with HOLDFAST_LOST.
    case journalLost = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a51"
}

/// An error whose entry in the journal is of a kind of its own.
public protocol JournalledError: Error {
    var event: JournalEvent { get }
}

extension JournalEvent {
    /// How urgent an entry of this kind is, unless its logger knows better.
    public var level: Logger.Level {
        switch self {
        case .started, .reloaded, .stopping, .stateChanged, .noLongerWatched, .epochBegan, .feedHeld,
            .feedReleased, .subjectMuted, .subjectUnmuted, .pathReceivingAgain, .agentBack,
            .collectorConnected, .clientRemoved, .keysReloaded, .networkNewsLost, .feedJournalResumed,
            .feedJournalCut, .replicaResumed, .replicaCut, .directoryTaken:
            .notice
        case .restartNeeded, .reloadNeedsRestart, .clockNotSet, .incarnationNotKept, .onIsolatedProcessors,
            .switched,
            .pathNotReceiving,
            .receiveBufferSmall, .gapTold, .recoveryUnanswered, .loginRejected, .inputRefused,
            .sessionNotTaken, .directoryNotTaken, .subscriptionsUnconfirmed,
            .upstreamFailed, .agentLost,
            .collectorLost,
            .clientRefused, .subscriptionRefused, .requestRefused, .clientMissed, .leaseRefused,
            .plaintextPublished, .plaintextReceived,
            .probeFailed, .watchedWithLess, .malformedInput, .droppedLog, .journalLost:
            .warning
        case .reloadRefused, .upgradeRefused, .copiesDiffer, .feedJournalStopped, .feedJournalDamaged,
            .replicaStopped, .replicaDamaged:
            .error
        case .configurationRefused, .cannotStart: .critical
        }
    }
}

extension JournalEvent {
    /// Whether a stranger's input can cause entries of this kind without end, so that a `LimitedLog` holds some
    /// back. Changes of state, moves and what operators do are always written.
    public var mayBeHeldBack: Bool {
        switch self {
        case .epochBegan, .copiesDiffer, .pathNotReceiving, .pathReceivingAgain, .subscriptionsUnconfirmed,
            .upstreamFailed, .recoveryUnanswered, .loginRejected, .inputRefused, .sessionNotTaken,
            .directoryTaken, .directoryNotTaken, .collectorConnected,
            .collectorLost,
            .clientRefused, .subscriptionRefused,
            .requestRefused, .clientMissed, .leaseRefused, .probeFailed, .watchedWithLess, .networkNewsLost,
            .malformedInput,
            .feedJournalStopped, .feedJournalResumed, .replicaStopped, .replicaResumed, .replicaDamaged:
            true
        case .started, .reloaded, .reloadRefused, .reloadNeedsRestart, .stopping, .configurationRefused,
            .cannotStart,
            .restartNeeded, .clockNotSet, .incarnationNotKept, .onIsolatedProcessors, .upgradeRefused,
            .stateChanged,
            .noLongerWatched, .switched, .feedHeld, .feedReleased, .subjectMuted, .subjectUnmuted,
            .receiveBufferSmall, .gapTold, .agentLost, .agentBack, .clientRemoved, .keysReloaded,
            .plaintextPublished,
            .plaintextReceived, .droppedLog, .journalLost, .feedJournalCut, .feedJournalDamaged, .replicaCut:
            false
        }
    }
}

extension Logger {
    /// Logs with the MESSAGE_ID of an event.
    ///
    /// - Parameters:
    ///   - level: the event's own where `nil`.
    ///   - fields: each becomes a field of the entry: `client_address` is HOLDFAST_CLIENT_ADDRESS.
    public func event(
        _ event: JournalEvent, level: Logger.Level? = nil, _ message: String, _ fields: Logger.Metadata = [:]
    ) {
        var fields = fields
        fields["message_id"] = "\(event.rawValue)"
        log(level: level ?? event.level, "\(message)", metadata: fields)
    }
}
