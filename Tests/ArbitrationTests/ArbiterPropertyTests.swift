// Two lossy, skewed, reordering, duplicating paths and a venue that changes sessions, many times over with
// a seeded generator: each number comes out exactly once, in order, or is told as a gap.
import Arbitration
import Basics
import Testing

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seeded, the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// What one path hears, and when.
private struct Event {
    var at: Int64
    var arrival: Arrival
    var isHeartbeat: Bool
}

private struct Scenario {
    var events: [Event] = []
    /// Session and the number of messages in it.
    var sessions: [(session: UInt64, count: UInt64)] = []

    init(seed: UInt64, messages: UInt64) {
        var random = SeededGenerator(state: seed)
        let loss = Int.random(in: 0...30, using: &random)
        let skew = Int64.random(in: 0...15_000, using: &random)
        let jitter = Int64.random(in: 0...3_000, using: &random)
        let restarts = random.chance(30) ? messages / 2 : messages + 1
        sessions = [(1, 0)]
        for step in 0..<messages {
            if step == restarts { sessions.append((2, 0)) }
            sessions[sessions.count - 1].count += 1
            let (session, sequence) = sessions[sessions.count - 1]
            for path: UInt8 in 0...1 {
                var copies =
                    step < 2 || step == restarts ? 1 : random.chance(loss) ? 0 : random.chance(5) ? 2 : 1
                while copies > 0 {
                    copies -= 1
                    let wobble = Int64.random(in: 0...jitter, using: &random)
                    let at = Int64(step) * 100 + Int64(path) * skew + wobble
                    add(at, path, session, sequence, isHeartbeat: false)
                }
            }
        }
        let (session, count) = sessions[sessions.count - 1]
        for path: UInt8 in 0...1 {
            add(Int64(messages) * 100 + 20_000, path, session, count + 1, isHeartbeat: true)
        }
        events.sort { $0.at < $1.at }
    }

    private mutating func add(
        _ at: Int64, _ path: UInt8, _ session: UInt64, _ sequence: UInt64, isHeartbeat: Bool
    ) {
        let arrival = Arrival(
            path: path, session: session, sequence: sequence,
            receivedAt: WallTime(nanoseconds: Int64(events.count)))
        events.append(Event(at: at, arrival: arrival, isHeartbeat: isHeartbeat))
    }
}

/// Follows what is published and remembers the first thing that is wrong with it.
private struct Judge {
    var session: UInt64 = 1
    var next: UInt64 = 0
    var delivered = 0
    var fault: String?
    var ends: [UInt64: UInt64] = [:]

    mutating func take(_ released: Released) {
        switch released {
        case .message(let held): message(held.arrival, epoch: held.epoch, held.payload)
        case .gap(let gap):
            expect(gap.range.first, gap.epoch)
            next = gap.range.last + 1
        case .epoch(let change):
            ends[session] = next
            session = change.epoch
            next = 1
        case .divergence(let divergence): fault = fault ?? "divergence \(divergence)"
        }
    }

    mutating func message(_ arrival: Arrival, epoch: UInt64, _ payload: [UInt8]) {
        expect(arrival.sequence, epoch)
        if payload != payloadOf(arrival) { fault = fault ?? "\(arrival.sequence) with another's payload" }
        next = arrival.sequence + 1
        delivered += 1
    }

    private mutating func expect(_ sequence: UInt64, _ epoch: UInt64) {
        if next == 0 { next = sequence }
        guard fault == nil, sequence != next || epoch != session else { return }
        fault = "\(sequence) of \(epoch) came when \(next) of \(session) was due"
    }
}

private func payloadOf(_ arrival: Arrival) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: (arrival.sequence &* 31 &+ arrival.session) >> ($0 * 4)) }
}

@Suite struct ArbiterPropertyTests {
    private func play(_ scenario: Scenario, _ arbiter: inout Arbiter) -> Judge {
        var judge = Judge()
        for event in scenario.events {
            let now = Instant(nanoseconds: event.at * 1000)
            if let deadline = arbiter.deadline, deadline <= now {
                arbiter.tick(at: deadline)
                while let released = arbiter.nextReleased() { judge.take(released) }
            }
            if event.isHeartbeat {
                arbiter.heard(event.arrival, at: now)
            } else {
                let payload = payloadOf(event.arrival)
                if arbiter.offer(event.arrival, payload: payload[...], at: now) == .deliver {
                    judge.message(event.arrival, epoch: arbiter.epoch, payload)
                }
            }
            while let released = arbiter.nextReleased() { judge.take(released) }
        }
        while let deadline = arbiter.deadline {
            arbiter.tick(at: deadline)
            while let released = arbiter.nextReleased() { judge.take(released) }
        }
        return judge
    }

    @Test(arguments: 0..<20) func `each number is delivered once, in order, or told as a gap`(block: UInt64) {
        for seed in block * 10..<block * 10 + 10 {
            let scenario = Scenario(seed: seed, messages: 2000)
            var options = ArbiterOptions(paths: 2)
            options.reorderCount = seed % 5 == 0 ? 16 : 4096
            options.tellsWhenPassed = seed % 7 == 0
            var arbiter = Arbiter(options: options)
            let judge = play(scenario, &arbiter)
            #expect(judge.fault == nil, "seed \(seed)")
            #expect(judge.session == scenario.sessions.last?.session, "seed \(seed)")
            #expect(judge.next == (scenario.sessions.last?.count ?? 0) + 1, "seed \(seed)")
            #expect(arbiter.waiting == 0, "seed \(seed)")
            #expect(UInt64(judge.delivered) == arbiter.counters.delivered, "seed \(seed)")
            if options.reorderCount == 4096, !options.tellsWhenPassed {
                #expect(arbiter.counters.late == 0, "seed \(seed)")
            }
        }
    }
}
