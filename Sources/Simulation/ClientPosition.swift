// Where a client of one gateway stands, by the rules of Sources/Wire/README.md and of nothing else: they are
// written down a second time here, as `Position` of reader.py has them.
import Basics
import Wire

/// What a client finds missing.
struct Missing: Hashable {
    enum Why: String { case told, restart, own }

    /// Of which instrument's topic, empty: that of the messages for no instrument; `nil`: of the channel.
    var instrument: String?
    var first: UInt64
    /// `nil`: nobody knows the end.
    var last: UInt64?
    var why: Why
}

struct ClientPosition {
    /// What has sequences of its own.
    enum Key: Hashable {
        case channel(feed: String, UInt16)
        case topic(feed: String, instrument: String?)
    }

    /// A topic of a channel: several channels of a feed share it.
    private struct Place: Hashable {
        var topic: String
        var channel: UInt16
    }

    /// An epoch, and how often its numbers began anew.
    private struct Round: Hashable {
        var epoch: UInt64
        var number: Int
    }

    /// Where sessions have no names, two runs of a gateway hear the same numbers again over no more.
    static let overlap: UInt64 = 65_536

    /// Subscriptions are being put in place, one after the other.
    private var isJoining = true
    /// Topics that were subscribed since, until they are in place.
    private var begun: Set<String> = []
    /// Topics that were given up.
    private var left: Set<Key> = []
    private var spaces: [Key: NumberSpace] = [:]
    /// The last sequence of each topic of a channel.
    private var last: [Place: (round: Round, sequence: UInt64)] = [:]

    /// Takes a frame: above which sequence its data is new, `nil`: it has none that is; and what is missing before it.
    mutating func take(
        _ topic: Topic, _ header: FrameHeader, _ told: ControlBody?
    ) -> (above: UInt64?, [Missing]) {
        guard header.kind != .sync, header.epoch != 0 else { return (nil, []) }
        let isPerTopic = header.flags.contains(.numberedPerTopic)
        let (feed, instrument): (String, String?) =
            switch topic {
            case .marketData(let feed, let instrument): (feed, instrument)
            case .control(let feed, _), .batch(let feed, _): (feed, nil)
            case .state, .sample, .heartbeat, .sync: ("", nil)
            }
        if isPerTopic {
            var name = instrument
            switch header.kind {
            case .data, .idle: break
            case .gap: if case .gap(_, _, let of) = told { name = of }
            case .heartbeat, .state, .sync, .batch: return (nil, [])
            }
            let key = Key.topic(feed: feed, instrument: name)
            if header.kind == .idle, begins(topic) { spaces[key] = nil }
            let isLeft = left.contains(key)
            // The gaps of all topics come, also of those that are not ours.
            if header.kind == .gap, isLeft || spaces[key] == nil { return (nil, []) }
            let (isNew, missing) = spaces[key, default: NumberSpace()].topic(name, header, told)
            return (isNew ? header.sequence - 1 : nil, isLeft ? [] : missing)
        }
        let key = Key.channel(feed: feed, header.channel)
        var missing = spaces[key, default: NumberSpace()].channel(header, told)
        guard header.kind == .data || header.kind == .idle || header.kind == .batch,
            let space = spaces[key]
        else { return (nil, missing) }
        let (floor, first) = space.run(of: header)
        let place = Place(topic: topic.text, channel: header.channel)
        let round = Round(epoch: header.epoch, number: space.rounds[header.epoch] ?? 0)
        let known = last[place].flatMap { $0.round == round ? $0.sequence : nil }
        let isShown = header.kind == .idle && (begins(topic) || isJoining && known == nil)
        let reached = max(floor, isShown ? header.previous : known ?? space.joined[header.epoch] ?? 0)
        if header.previous > reached {
            let of = header.kind == .batch ? nil : instrument ?? ""
            missing.append(
                Missing(instrument: of, first: max(reached + 1, first), last: header.previous, why: .own))
        }
        let above = known == nil ? floor : reached
        last[place] = (round, max(header.sequence, known == nil ? 0 : reached))
        return (header.kind != .idle && header.sequence > above ? above : nil, missing)
    }

    /// The client is about to subscribe to a further topic, which it may have given up before: what was published on it by
    /// then is not missed.
    mutating func join(_ topic: String) {
        begun.insert(topic)
        guard let key = key(of: topic) else { return }
        left.remove(key)
        spaces[key] = nil
    }

    /// The client has given a topic up: what is published on it from here on is not missed.
    mutating func leave(_ topic: String) {
        if let key = key(of: topic) { left.insert(key) }
    }

    private func key(of topic: String) -> Key? {
        guard case .marketData(let feed, let instrument)? = try? Topic(parsing: topic) else { return nil }
        return .topic(feed: feed, instrument: instrument)
    }

    /// Whether a topic is shown with where the client begins on it.
    private func begins(_ topic: Topic) -> Bool {
        !begun.isEmpty && begun.contains { topic.text.hasPrefix($0) }
    }

    /// All that was subscribed is in place. The marker comes again after a disconnection, and what was missed by then is
    /// missed.
    mutating func joined() {
        begun = []
        guard isJoining else { return }
        isJoining = false
        for key in spaces.keys { spaces[key]?.settleIn() }
    }
}

/// One sequence of numbers: the highest one of each epoch, and what each run of the gateway knows.
struct NumberSpace {
    private struct RunKey: Hashable {
        var run: UInt32
        var epoch: UInt64
    }

    static let epochs = 8

    private var tops: [UInt64: UInt64] = [:]
    private var topOrder: [UInt64] = []
    /// The top when a run was first heard, and where its knowledge begins.
    private var runs: [RunKey: (floor: UInt64, first: UInt64)] = [:]
    private var runOrder: [RunKey] = []
    private var run: UInt32?
    private(set) var joined: [UInt64: UInt64] = [:]
    /// How often the numbers of an epoch began anew while no gateway was there.
    private(set) var rounds: [UInt64: Int] = [:]

    func run(of header: FrameHeader) -> (floor: UInt64, first: UInt64) {
        runs[RunKey(run: header.run, epoch: header.epoch)] ?? (0, 0)
    }

    mutating func settleIn() { joined = tops }

    private mutating func reach(_ epoch: UInt64, _ sequence: UInt64) {
        if let top = tops[epoch] {
            tops[epoch] = max(top, sequence)
            return
        }
        tops[epoch] = sequence
        topOrder.append(epoch)
        if topOrder.count > Self.epochs { tops[topOrder.removeFirst()] = nil }
    }

    /// Notes a run that was not heard before; returns what is missing of a session that ended meanwhile.
    private mutating func enter(_ header: FrameHeader) -> [Missing] {
        let key = RunKey(run: header.run, epoch: header.epoch)
        guard runs[key] == nil else { return [] }
        let isRestart = !runOrder.isEmpty && runOrder.allSatisfy { $0.run != header.run }
        var ended: [Missing] = []
        if isRestart, tops[header.epoch] == nil, let epoch = topOrder.last, let top = tops[epoch] {
            ended.append(Missing(instrument: nil, first: top + 1, last: nil, why: .restart))
        }
        runs[key] = (tops[header.epoch] ?? 0, tops.isEmpty ? 1 : 0)
        if joined.isEmpty { joined = [header.epoch: header.sequence] }
        runOrder.append(key)
        if runOrder.count > Self.epochs { runs[runOrder.removeFirst()] = nil }
        return ended
    }

    mutating func channel(_ header: FrameHeader, _ told: ControlBody?) -> [Missing] {
        var missing = enter(header)
        let key = RunKey(run: header.run, epoch: header.epoch)
        let known = run(of: header).first
        var floor = run(of: header).floor
        var (first, last, why): (UInt64, UInt64, Missing.Why) = (1, 0, .told)
        switch told {
        case .heartbeat(_, _, _, let begin, let isNamed) where begin != 0 && known == 0:
            if !isNamed, let ended = beganAnew(header.epoch, with: begin, floor: floor) {
                missing.append(ended)
                floor = 0
                runs[key]?.floor = 0
            }
            runs[key]?.first = begin
            (last, why) = (begin - 1, .restart)
        case .gap(let range, _, _): (first, last) = (range.first, range.last)
        case .heartbeat, .state, nil: break
        }
        if max(first, floor + 1) <= last {
            missing.append(Missing(instrument: nil, first: max(first, floor + 1), last: last, why: why))
        }
        reach(header.epoch, header.kind == .gap ? last : max(last, header.sequence))
        return missing
    }

    /// The numbers of an epoch began anew while no gateway was there: what is missing of the ones before; `nil`: they
    /// go on.
    private mutating func beganAnew(_ epoch: UInt64, with begin: UInt64, floor: UInt64) -> Missing? {
        guard let latest = topOrder.last, let top = tops[latest] else { return nil }
        let isLeft = floor > 0 && epoch != latest
        let (reach, isBeyond) = begin.addingReportingOverflow(ClientPosition.overlap)
        guard isLeft || !isBeyond && reach < floor else { return nil }
        rounds[epoch, default: 0] += 1
        topOrder.removeAll { $0 == epoch }
        topOrder.append(epoch)
        tops[epoch] = 0
        return Missing(instrument: nil, first: top + 1, last: nil, why: .restart)
    }

    mutating func topic(
        _ name: String?, _ header: FrameHeader, _ told: ControlBody?
    ) -> (Bool, [Missing]) {
        let (isKnown, isOther) = (!tops.isEmpty, header.run != run)
        run = header.run
        var missing = enter(header)
        let top = tops[header.epoch] ?? 0
        var (first, last, why): (UInt64, UInt64, Missing.Why) = (1, 0, .told)
        if case .gap(let range, _, _) = told {
            (first, last) = (range.first, range.last)
            // What came before the gap was published.
            if isKnown, top + 1 < first {
                missing.append(
                    Missing(instrument: nil, first: top + 1, last: first - 1, why: isOther ? .restart : .own))
            }
        } else {
            last = header.sequence - (header.kind == .data ? 1 : 0)
            why = isOther || header.previous == 0 ? .restart : .own
        }
        if isKnown, max(first, top + 1) <= last {
            missing.append(Missing(instrument: nil, first: max(first, top + 1), last: last, why: why))
        }
        reach(header.epoch, max(last, header.sequence))
        for index in missing.indices { missing[index].instrument = name }
        return (header.kind == .data && header.sequence > top, missing)
    }
}
