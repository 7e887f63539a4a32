// The arbiter of one numbered channel that several paths deliver: each message goes out exactly once, in
// order, or is told as a gap. What is next goes straight through, without a copy; what came early waits in
// a window bounded by count, bytes and time. The rules are in design.md, section 8, and in the rules for
// all protocols.
//
// How to use it: `offer` each message and publish it if told so; tell heartbeats with `heard`, call `tick`
// at `deadline`; after each of them drain `nextReleased` until it returns `nil`.
public import Basics

/// Merges the copies of one channel's messages into one ordered stream with exact gaps.
public struct Arbiter: ~Copyable {
    public let options: ArbiterOptions
    public internal(set) var counters = ArbiterCounters()
    /// The epoch of whatever is delivered or released next: the session, or a number derived from it.
    public internal(set) var epoch: UInt64 = 0
    /// The venue's session that the epoch belongs to.
    public internal(set) var session: UInt64 = 0
    /// The number with which this arbiter's knowledge of the epoch begins: what is below was never seen here.
    public internal(set) var first: UInt64 = 0
    /// The number that is delivered or told next; 0 until the channel has begun.
    public internal(set) var expected: UInt64 = 0
    /// The highest number known to exist, `expected` - 1 if nothing is missing.
    public internal(set) var highest: UInt64 = 0

    var window: ReorderWindow
    var history: DeliveryHistory
    var holes: HoleLog
    var paths: PathLedger
    /// What is missing up to here is missing for good.
    var givenUp = Surrender()
    /// The session is being taken from its beginning; `nil`: it is not, or no longer.
    var catchUp: CatchUp?
    /// What was given up of it, as `takeLosses` has not told yet.
    var losses: [CatchUpLoss] = []
    /// What packets say of numbers far ahead, and no other one has confirmed yet; one for each path at most.
    var jumps: [Jump] = []
    var run = RestartRun()
    /// When the last new number came, and the last word of the session that was no new number.
    var lastAdvance = Instant.zero
    /// When the epoch began here.
    var startedAt = Instant.zero
    var lastWord = Instant.zero

    var stage = SessionStage.settled
    var left: [LeftSession] = []
    /// Paths whose last word was of a session that was left, a bit each.
    var strayed: UInt8 = 0
    /// The session is one that was left before.
    var isResumed = false
    /// Messages of the new epoch, to be sorted in once the old one is released.
    var backlog = Backlog()
    var divergences: [Divergence] = []
    /// Paths that never begin again but for this once, a bit each.
    var restarted: UInt8 = 0
    /// Paths whose messages are only compared, a bit each.
    var distrusted: UInt8 = 0
    /// What these said before anybody else did.
    var claims = Claims()
    /// Nothing waits, nothing is missing, nothing is in doubt: the next number can go straight through.
    var isCalm = false

    /// - Precondition: 1 to 8 paths.
    public init(options: ArbiterOptions) {
        precondition((1...8).contains(options.paths), "an arbiter has 1 to 8 paths")
        self.options = options
        window = ReorderWindow(capacity: options.reorderCount)
        history = DeliveryHistory(capacity: options.historyCount)
        holes = HoleLog(capacity: options.reorderCount)
        paths = PathLedger(count: options.paths)
    }

    /// Whether the channel has begun: something came.
    public var hasBegun: Bool { expected != 0 }
    /// The last number that was delivered or told; 0: none.
    public var lastPublished: UInt64 { expected == 0 ? 0 : expected - 1 }
    /// How many messages wait for their turn.
    public var waiting: Int {
        window.count + backlog.count + stage.parked + jumps.reduce(0) { $0 + $1.messages.count }
    }
    /// Whether a number below the highest known one is missing and not yet told.
    public var hasHole: Bool { hasBegun && expected <= highest }

    public func counters(of path: UInt8) -> PathCounters { paths.counters(of: path) }

    /// The share of recent messages that a path did not deliver although it was active, 0 to 1; `nil`:
    /// nothing is known yet. It covers the last 1,024 to 2,048 messages that left the history.
    public func lossRatio(of path: UInt8) -> Double? { paths.lossRatio(of: path) }

    /// A path is subscribed and expected to deliver, or not. At first all are.
    public mutating func set(_ path: UInt8, isActive: Bool) { paths.set(path, isActive: isActive) }

    /// What a path brings is delivered, or only compared with what others brought.
    public mutating func set(_ path: UInt8, isTrusted: Bool) {
        let bit: UInt8 = 1 << (path & 7)
        distrusted = isTrusted ? distrusted & ~bit : distrusted | bit
        if distrusted == 0 { claims = Claims() }
        if !isTrusted { dropJump(of: path) }
        settleDown()
    }

    /// Whether what a path says counts.
    public func trusts(_ path: UInt8) -> Bool { distrusted & 1 << (path & 7) == 0 }

    /// A path's numbers may have begun again within the session, though they never do: its source was started anew, and
    /// does not know what it had.
    public mutating func set(_ path: UInt8, mayRestart: Bool) {
        let bit: UInt8 = 1 << (path & 7)
        restarted = mayRestart ? restarted | bit : restarted & ~bit
    }

    /// What copies of a message must agree on.
    @inline(__always)
    func essence(_ payload: ArraySlice<UInt8>) -> UInt32 {
        guard options.isLabelled, let end = payload.firstIndex(of: 0) else { return fingerprint(payload) }
        return fingerprint(payload[(end + 1)...])
    }

    /// Whether a word that was just given to `heard` counts: its path is trusted, its session is the current one, and what
    /// it names as the last number is known to exist.
    public func believes(_ heartbeat: Arrival) -> Bool {
        distrusted & heartbeat.pathBit == 0 && hasBegun && heartbeat.session == session
            && heartbeat.sequence &- 1 <= highest
    }

    /// Judges one message of one path.
    /// - Parameter now: the loop's time, not earlier than in any call before.
    public mutating func offer(_ arrival: Arrival, payload: ArraySlice<UInt8>, at now: Instant) -> Offer {
        guard isCalm, arrival.session == session, arrival.sequence != .max else {
            return weigh(arrival, payload, at: now)
        }
        let print = essence(payload)
        guard arrival.sequence == expected else {
            return isCopy(arrival, print, at: now) ? .duplicate : weigh(arrival, payload, at: now)
        }
        deliver(arrival, print, at: now)
        highest = arrival.sequence
        return .deliver
    }

    /// A path says which number is sent next: what it names as sent and nobody brought is a hole.
    public mutating func heard(_ heartbeat: Arrival, at now: Instant) {
        guard heartbeat.sequence != 0, heartbeat.sequence != .max else { return counters.implausible += 1 }
        guard distrusted & heartbeat.pathBit == 0 else { return }
        defer { settleDown() }
        guard hasBegun else { return begin(heartbeat, at: now) }
        guard heartbeat.session == session, !isChanging else {
            _ = meet(heartbeat, nil, at: now)
            return
        }
        keep(heartbeat, at: now)
        let last = heartbeat.sequence - 1
        judgeJumps(by: heartbeat, on: last, at: now)
        isEnough(heartbeat, for: last) ? know(last, at: now) : doubt(heartbeat, on: last)
        reachJumps(at: now)
    }

    /// When `tick` must be called; `nil`: nothing waits for time to pass.
    public var deadline: Instant? {
        let hole = catchUp?.deadline ?? holes.oldest.map { $0 + options.holeTime }
        guard let change = changeDeadline else { return hole }
        return hole.map { min($0, change) } ?? change
    }

    /// Time has passed.
    public mutating func tick(at now: Instant) {
        expire(at: now)
        decideChange(at: now)
        settleDown()
    }

    /// Whatever is missing now is told as a gap: the channel ends, or nobody is left who could fill it.
    public mutating func giveUp() {
        givenUp.extend(through: highest, cause: .givenUp)
        settleDown()
    }
}
