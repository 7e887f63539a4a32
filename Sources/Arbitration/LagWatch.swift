// How far each path of a feed is behind the best of the others: the delay of what it brings, from the venue's stamp to
// this host, less theirs. What the clocks of venue and host differ by is in both. The least delay within a window counts,
// so that neither a burst nor jitter does, nor what waited for a packet that was sent again.
import Basics

/// How old something was when a path brought it.
public struct DelaySample: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// A message, with the venue's stamp, which is the same on each path.
        case message
        /// A heartbeat, with the stamp of who sends on this path: they must agree on the time.
        case heartbeat
        /// A message without a stamp, by when it first came, on whatever path.
        case copy
    }

    public var path: Int
    public var kind: Kind
    /// From its stamp to when it was received, by two clocks: it may be negative; of a copy, by one.
    public var delay: Duration

    public init(path: Int, _ kind: Kind, delay: Duration) {
        self.path = path
        self.kind = kind
        self.delay = delay
    }
}

/// The least delays of a feed's paths.
struct LagWatch: Sendable {
    /// Half of the window. The halves begin at the same time for all paths, so that they are compared by what came at
    /// the same time.
    static let half: Duration = .seconds(1)
    /// Stamps of one path that are so far ahead, where this path's are not, are another clock's: where a venue tells the
    /// time of day only, a gateway whose clock is off by a quarter of an hour takes it for another zone's.
    private static let mostAhead: Duration = .seconds(60)

    /// The least delay of one kind on one path, in the half that had the last sample and in the one before it.
    private struct Least {
        var half = Int64.min
        var latest: Duration?
        var before: Duration?

        mutating func note(_ delay: Duration, in current: Int64) {
            if current != half {
                before = current == half &+ 1 ? latest : nil
                (half, latest) = (current, nil)
            }
            latest = min(latest ?? delay, delay)
        }

        func value(in current: Int64) -> Duration? {
            guard current == half else { return current == half &+ 1 ? latest : nil }
            return [latest, before].compactMap(\.self).min()
        }
    }

    private var messages: [Least]
    private var heartbeats: [Least]
    private var copies: [Least]

    init(paths: Int) {
        messages = Array(repeating: Least(), count: paths)
        (heartbeats, copies) = (messages, messages)
    }

    mutating func note(_ sample: DelaySample, at now: Instant) {
        switch sample.kind {
        case .message: messages[sample.path].note(sample.delay, in: Self.half(of: now))
        case .heartbeat: heartbeats[sample.path].note(sample.delay, in: Self.half(of: now))
        case .copy: copies[sample.path].note(sample.delay, in: Self.half(of: now))
        }
    }

    /// How far a path is behind the best of some others; negative: ahead of it; `nil`: nothing that can be compared came
    /// lately. Like is compared with like: a message may be old when the venue sends it.
    func lag(of path: Int, behind others: [Int], at now: Instant) -> Duration? {
        difference(messages, path, others, at: now) ?? difference(heartbeats, path, others, at: now)
            ?? difference(copies, path, others, at: now)
    }

    private func difference(_ least: [Least], _ path: Int, _ others: [Int], at now: Instant) -> Duration? {
        let current = Self.half(of: now)
        guard let own = least[path].value(in: current) else { return nil }
        let sameClock = others.compactMap { least[$0].value(in: current) }
            .filter { Self.isAhead(own) || !Self.isAhead($0) }
        return sameClock.min().map { own - $0 }
    }

    private static func isAhead(_ delay: Duration) -> Bool { delay < .zero - mostAhead }

    private static func half(of now: Instant) -> Int64 { now.nanoseconds / half.nanoseconds }
}
