// The copies of topics' messages that come on another path: each is compared with what is remembered of its number,
// the topic's last message and those that wait.
import Basics

/// What a path has contributed, and which of its copies that differ were reported.
struct TopicPath {
    var counters = PathCounters()
    var divergent = DivergentPath()
}

extension TopicArbiter {
    /// What a path brings is delivered, or only compared with what others brought.
    public mutating func set(_ path: UInt8, isTrusted: Bool) {
        let bit: UInt8 = 1 << (path & 7)
        let changed = isTrusted ? distrusted & ~bit : distrusted | bit
        if changed != distrusted { positions.forgetAll() }
        distrusted = changed
        if distrusted == 0 { claims = Claims() }
    }

    /// Whether what a path says counts.
    public func trusts(_ path: UInt8) -> Bool { distrusted & 1 << (path & 7) == 0 }

    /// A path that is not trusted delivers nothing and begins nothing; what it says of a message that is remembered
    /// shows whether it still differs.
    mutating func compare(
        _ topic: Int, _ arrival: Arrival, _ payload: Span<UInt8>, at now: Instant
    ) -> Offer {
        guard topics[topic].isKnown, topics[topic].session == arrival.session else {
            counters.distrusted += 1
            return .refused
        }
        guard arrival.sequence > topics[topic].last, !isHeld(topic, arrival.sequence) else {
            return duplicate(topic, arrival, payload, at: now)
        }
        counters.distrusted += 1
        claims.note(arrival.sequence, of: topic, fingerprint(payload), by: arrival.path)
        return .refused
    }

    /// What was said of a message before it came on a path that is trusted.
    mutating func heedClaims(
        _ topic: Int, _ arrival: Arrival, _ payload: Span<UInt8>, at now: Instant
    ) {
        guard distrusted != 0,
            let other = claims.contradicts(arrival.sequence, of: topic, fingerprint(payload))
        else { return }
        differs(topic, other, from: arrival.path, arrival.sequence, at: now)
    }

    /// A number that was passed, or waits.
    mutating func duplicate(
        _ topic: Int, _ arrival: Arrival, _ payload: Span<UInt8>, at now: Instant
    ) -> Offer {
        counters.duplicates += 1
        paths[Int(arrival.path)].counters.duplicates &+= 1
        if arrival.sequence <= topics[topic].last {
            note(arrival.sequence, of: topic, by: arrival.path)
        } else {
            holds[topic]?.bring(arrival.sequence, by: arrival.path)
        }
        if let known = remembered(topic, arrival.sequence), known.path != arrival.path,
            known.fingerprint != fingerprint(payload)
        {
            differs(topic, arrival.path, from: known.path, arrival.sequence, at: now)
        }
        return .duplicate
    }

    func isHeld(_ topic: Int, _ sequence: UInt64) -> Bool {
        topics[topic].isHolding && holds[topic]?.message(sequence) != nil
    }

    private func remembered(_ topic: Int, _ sequence: UInt64) -> (fingerprint: UInt32, path: UInt8)? {
        let record = topics[topic]
        if sequence == record.last {
            return record.deliveredBy == TopicRecord.nobody ? nil : (record.fingerprint, record.deliveredBy)
        }
        guard record.isHolding, let held = holds[topic]?.message(sequence) else { return nil }
        return (fingerprint(held.payload.span), held.arrival.path)
    }

    private mutating func differs(
        _ topic: Int, _ path: UInt8, from other: UInt8, _ sequence: UInt64, at now: Instant
    ) {
        counters.divergent += 1
        paths[Int(path)].counters.divergent &+= 1
        let isTrusted = distrusted & 1 << path == 0
        let news = paths[Int(path)].divergent.differs(at: now, isTrusted: isTrusted, options.divergence)
        guard news.isReported else { return }
        let divergence = Divergence(
            path: path, deliveredBy: other, sequence: sequence, isRepeated: news.isRepeated)
        released.append(TopicRelease(topic: topic, .divergence(divergence)))
    }
}
