// Copies of one message that are not the same: which of them are reported, and what paths said that are only compared.
import Basics

/// What is reported of the copies that differ.
public struct DivergenceOptions: Hashable, Sendable {
    /// At most one divergence per path is reported in this time.
    public var every: Duration = .seconds(10)
    /// So many within `repeatedWithin` are reported again, as repeated.
    public var repeatedCount = 3
    public var repeatedWithin: Duration = .seconds(1)
    /// Those of a path that is only compared are all repeated, and reported so often at most: it still differs.
    public var againEvery: Duration = .milliseconds(50)

    public init() {}
}

/// The copies of one path that differ from those that were delivered.
struct DivergentPath {
    private var reportedAt: Instant?
    private var repeatedAt: Instant?
    /// Of late: how many, and since when.
    private var recent = 0
    private var since = Instant.zero

    /// One more. Whether it is to be reported: the first for a while, and when there were several of late.
    mutating func differs(
        at now: Instant, isTrusted: Bool, _ options: DivergenceOptions
    ) -> (isReported: Bool, isRepeated: Bool) {
        guard isTrusted else {
            if let repeatedAt, now - repeatedAt < options.againEvery { return (false, false) }
            repeatedAt = now
            return (true, true)
        }
        if now - since >= options.repeatedWithin { (since, recent) = (now, 0) }
        recent &+= 1
        if recent == options.repeatedCount { return (true, true) }
        if let reportedAt, now - reportedAt < options.every { return (false, false) }
        reportedAt = now
        return (true, false)
    }
}

/// What paths that are only compared said ahead of the others, for as long as nobody else has said it.
struct Claims {
    private struct Claim {
        var sequence: UInt64 = 0
        var topic = 0
        var fingerprint: UInt32 = 0
        var path: UInt8 = 0
    }

    /// How much is remembered.
    private static let most: UInt64 = 1024
    private var claims: [Claim] = []

    /// - Parameter topic: whose number it is, where topics have their own.
    mutating func note(_ sequence: UInt64, of topic: Int = 0, _ fingerprint: UInt32, by path: UInt8) {
        if claims.isEmpty { claims = Array(repeating: Claim(), count: Int(Claims.most)) }
        claims[place(sequence, topic)] = Claim(
            sequence: sequence, topic: topic, fingerprint: fingerprint, path: path)
    }

    /// Who said something else of a message that came now; `nil`: nobody.
    mutating func contradicts(_ sequence: UInt64, of topic: Int = 0, _ fingerprint: UInt32) -> UInt8? {
        guard !claims.isEmpty else { return nil }
        let claim = claims[place(sequence, topic)]
        guard claim.sequence == sequence, claim.topic == topic else { return nil }
        claims[place(sequence, topic)] = Claim()
        return claim.fingerprint == fingerprint ? nil : claim.path
    }

    /// Neighbouring numbers of one topic, and neighbouring topics, have places of their own.
    private func place(_ sequence: UInt64, _ topic: Int) -> Int {
        Int((sequence &+ UInt64(truncatingIfNeeded: topic) &* 0x9e37_79b9_7f4a_7c15) % Claims.most)
    }
}
