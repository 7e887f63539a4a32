// Flap damping: how often something was lost lately. A link that comes back each time is up, and yet not
// well; this is what tells it from one that was lost once.
public import Basics

/// Counts losses in a sliding window, in bounded memory: only the newest `count` losses matter.
public struct FlapDamping: Sendable {
    /// This many losses within `window` are flapping.
    public let count: Int
    public let window: Duration
    private var losses: Ring<Instant>

    /// - Precondition: `count` is at least 1.
    public init(count: Int, window: Duration) {
        self.count = count
        self.window = window
        losses = Ring(capacity: count)
    }

    /// Notes `number` losses at once; more than `count` make no difference.
    public mutating func lost(_ number: Int = 1, at now: Instant) {
        for _ in 0..<min(max(number, 0), count) { losses.append(now) }
    }

    /// Whether `count` losses or more lie within the window that ends now.
    public func isFlapping(at now: Instant) -> Bool {
        guard losses.isFull, let oldest = losses.first else { return false }
        return now - oldest < window
    }

    /// When a standing flap ends if nothing more is lost; `nil`: too few losses were seen.
    public var deadline: Instant? {
        guard losses.isFull, let oldest = losses.first else { return nil }
        return oldest + window
    }
}
