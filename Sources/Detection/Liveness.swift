// Liveness by deadline: whether something that should speak regularly has spoken lately. Before its first
// word it is neither alive nor silent until as much time has passed as it may be silent.
public import Basics

/// Tells a speaker that is alive from one that fell silent.
public struct Liveness: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        /// Nothing heard yet, and not long enough awaited to say more.
        case awaited
        case alive
        /// Silent since the last word, or since the wait began.
        case silent(since: Instant)
    }

    /// A silence of this length is silence.
    public let silentAfter: Duration
    private var lastWord: Instant
    private var isHeard = false

    public init(silentAfter: Duration, from start: Instant) {
        self.silentAfter = silentAfter
        lastWord = start
    }

    /// A word was heard. An older one than the last changes nothing.
    public mutating func heard(at now: Instant) {
        isHeard = true
        lastWord = max(lastWord, now)
    }

    /// Starts the wait anew, as if nothing had ever been heard.
    public mutating func restart(at now: Instant) {
        isHeard = false
        lastWord = now
    }

    public func state(at now: Instant) -> State {
        guard now - lastWord < silentAfter else { return .silent(since: lastWord) }
        return isHeard ? .alive : .awaited
    }

    /// How long the silence has lasted, since the last word or the start.
    public func silence(at now: Instant) -> Duration { now - lastWord }

    /// When it becomes silent unless it speaks before.
    public var deadline: Instant { lastWord + silentAfter }
}
