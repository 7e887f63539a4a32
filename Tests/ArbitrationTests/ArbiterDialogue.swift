// A dialogue with an arbiter, in milliseconds: each call answers with what would be published, in order.
import Arbitration
import Basics

/// What a subscriber would see.
enum Published: Equatable, CustomStringConvertible {
    case message(UInt64)
    case gap(UInt64, UInt64, GapCause)
    case epoch(UInt64, EpochChange.Cause)
    case divergent(path: UInt8)
    /// An offer that published nothing by itself.
    case refused(Offer)

    init(_ released: Released) {
        switch released {
        case .message(let held): self = .message(held.arrival.sequence)
        case .gap(let gap): self = .gap(gap.range.first, gap.range.last, gap.cause)
        case .epoch(let change): self = .epoch(change.epoch, change.cause)
        case .divergence(let divergence): self = .divergent(path: divergence.path)
        }
    }

    var description: String {
        switch self {
        case .message(let sequence): "\(sequence)"
        case .gap(let first, let last, let cause): "gap \(first)–\(last) \(cause)"
        case .epoch(let epoch, let cause): "epoch \(epoch) \(cause)"
        case .divergent(let path): "divergent \(path)"
        case .refused(let offer): "\(offer)"
        }
    }
}

func milliseconds(_ count: Int64) -> Instant { Instant(nanoseconds: count * 1_000_000) }

struct Dialogue: ~Copyable {
    var arbiter: Arbiter
    var now = milliseconds(1000)
    /// Packets so far: each offer is a packet of its own unless the test says otherwise.
    private var packets: Int64 = 0

    init(paths: Int = 2, _ change: (inout ArbiterOptions) -> Void = { _ in }) {
        var options = ArbiterOptions(paths: paths)
        change(&options)
        arbiter = Arbiter(options: options)
    }

    mutating func pass(_ count: Int64) { now = now + .milliseconds(count) }

    private mutating func arrival(_ sequence: UInt64, _ path: UInt8, _ session: UInt64, _ isNew: Bool)
        -> Arrival
    {
        if isNew { packets += 1 }
        return Arrival(
            path: path, session: session, sequence: sequence, receivedAt: WallTime(nanoseconds: packets))
    }

    /// Offers one message.
    mutating func offer(
        _ sequence: UInt64, path: UInt8 = 0, session: UInt64 = 7, payload: [UInt8]? = nil,
        samePacket: Bool = false
    ) -> [Published] {
        let bytes = payload ?? Array("message \(session)/\(sequence)".utf8)
        let arrival = arrival(sequence, path, session, !samePacket)
        let verdict = arbiter.offer(arrival, payload: bytes[...], at: now)
        let drained = drain()
        return (verdict == .deliver ? [.message(sequence)] : [.refused(verdict)]) + drained
    }

    /// Offers a run of messages and returns everything that was published.
    mutating func offer(_ range: ClosedRange<UInt64>, path: UInt8 = 0, session: UInt64 = 7) -> [Published] {
        range.flatMap { offer($0, path: path, session: session) }
    }

    mutating func heard(next: UInt64, path: UInt8 = 0, session: UInt64 = 7) -> [Published] {
        arbiter.heard(arrival(next, path, session, true), at: now)
        return drain()
    }

    mutating func tick(after count: Int64) -> [Published] {
        pass(count)
        arbiter.tick(at: now)
        return drain()
    }

    mutating func giveUp() -> [Published] {
        arbiter.giveUp()
        return drain()
    }

    mutating func drain() -> [Published] {
        var published: [Published] = []
        while let released = arbiter.nextReleased() {
            published.append(Published(released))
        }
        return published
    }
}
