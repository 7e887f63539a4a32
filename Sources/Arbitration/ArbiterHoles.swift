// When each hole was first seen. A hole is recorded when the highest known number jumps over it; filling it
// needs no bookkeeping, since a record only says: whatever is missing up to here is missing since then.
import DequeModule
import Basics

/// The ages of what is missing, in ascending order.
struct HoleLog {
    private struct Record {
        var last: UInt64
        var since: Instant
    }

    private var records: Deque<Record> = []
    private let capacity: Int

    init(capacity: Int) {
        self.capacity = max(1, capacity)
        records.reserveCapacity(self.capacity)
    }

    var isEmpty: Bool { records.isEmpty }

    /// Since when the oldest hole is open.
    var oldest: Instant? { records.first?.since }

    /// Everything up to `last` that an earlier record does not cover is missing since `now`. When there are
    /// too many records, the youngest one takes it in: the hole is then told a little sooner.
    mutating func open(through last: UInt64, at now: Instant) {
        if records.count == capacity {
            records[records.count - 1].last = last
        } else {
            records.append(Record(last: last, since: now))
        }
    }

    /// The same, as part of the youngest record if that is not older than `span`.
    mutating func extend(through last: UInt64, at now: Instant, within span: Duration) {
        guard let youngest = records.last, now - youngest.since <= span else {
            return open(through: last, at: now)
        }
        records[records.count - 1].last = last
    }

    /// Forgets what lies below `sequence`.
    mutating func close(below sequence: UInt64) {
        while let first = records.first, first.last < sequence { records.removeFirst() }
    }

    /// Time that does not count has passed.
    mutating func skip(_ time: Duration) {
        for index in records.indices { records[index].since = records[index].since + time }
    }

    mutating func removeAll() { records.removeAll(keepingCapacity: true) }

    /// Whether the age of `sequence`, which is missing, is known.
    func covers(_ sequence: UInt64) -> Bool { records.last.map { sequence <= $0.last } ?? false }

    /// Since when the oldest hole is open that opened after `limit`; `nil`: none did.
    func oldest(openedAfter limit: Instant) -> Instant? { records.first { $0.since > limit }?.since }

    /// The highest number that has been missing since `limit` or longer; `nil`: none has.
    func expired(openSince limit: Instant) -> UInt64? {
        var expired: UInt64?
        for record in records {
            guard record.since <= limit else { break }
            expired = record.last
        }
        return expired
    }
}
