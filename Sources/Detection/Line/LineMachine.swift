// A feed's redundant lines as they are seen on the wire: what each one brings, leaves out and brings twice, how far
// it is behind the first one, and whether it has fallen silent. Numbers that are missing are judged a second after,
// when the other lines have had their time to bring them. A value: packets and time in, verdicts out.
public import Basics

/// What an operator decides about a feed's lines.
public struct LineLimits: Sendable {
    /// Nothing for so long, not even a heartbeat, is silence.
    public var silence: Duration
    /// So is nothing for so long while another line brings data.
    public var silenceBehindTwin: Duration
    /// The stretch of time that loss is taken over.
    public var lossWindow: Duration
    /// Judges the ratio of numbers that are missing.
    public var loss: Limit
    /// What the numbers count, for a person: `messages`, `packets`.
    public var unit: String

    public init(
        silence: Duration, silenceBehindTwin: Duration = .milliseconds(500),
        lossWindow: Duration = .seconds(60),
        loss: Limit = Limit(warning: .init(raise: 0.001, clear: 0.00095), critical: nil),
        unit: String = "messages"
    ) {
        self.silence = silence
        self.silenceBehindTwin = silenceBehindTwin
        self.lossWindow = lossWindow
        self.loss = loss
        self.unit = unit
    }
}

/// All lines of one feed.
public struct LineMachine: Sendable {
    /// Channels beyond these are left out, and counted.
    public static let mostChannels = 256
    /// A hole is judged after this.
    static let settleAfter: Duration = .seconds(1)
    /// So many packets with data that another line brings in the meantime make a silence.
    static let twinPackets = 10
    /// So many packets in a row that are not of the protocol mean that it is another one.
    static let garbledPackets = 10

    public let limits: LineLimits
    var lines: [LineState]
    private var channels: [UInt32: LineChannel] = [:]
    /// Packets of channels that there was no room for.
    public private(set) var ignored: UInt64 = 0
    private var secondEnds: Instant?
    /// Whether the venue trades, and since when it does.
    private(set) var session = SessionPhase.open
    private(set) var sessionSince: Instant

    /// - Parameter names: the lines, the one that others are compared with first.
    public init(lines names: [String], limits: LineLimits, from now: Instant) {
        self.limits = limits
        sessionSince = now
        lines = names.map { LineState($0, limits: limits, from: now) }
    }

    // MARK: - Events

    /// The capture of a line is open.
    public mutating func opened(_ line: Int, at now: Instant) {
        guard lines.indices.contains(line) else { return }
        lines[line].capture = .open(since: now)
        lines[line].restartWait()
    }

    /// The capture of a line is not possible, and why.
    public mutating func closed(_ line: Int, because reason: String) {
        guard lines.indices.contains(line) else { return }
        lines[line].capture = .closed(reason)
        lines[line].restartWait()
    }

    /// What the capture has dropped on a line so far.
    public mutating func dropped(_ total: UInt64, on line: Int) {
        guard lines.indices.contains(line) else { return }
        lines[line].counters.captureDropped = total
    }

    /// Whether the venue trades. When it begins to, silence counts from then on.
    public mutating func session(is phase: SessionPhase, at now: Instant) {
        guard session != phase else { return }
        if phase.isOpen {
            sessionSince = now
            for line in lines.indices { lines[line].sessionBegan() }
        }
        session = phase
    }

    /// A packet that is not of the protocol.
    public mutating func malformed(on line: Int) {
        guard lines.indices.contains(line) else { return }
        lines[line].counters.packets += 1
        lines[line].counters.malformed += 1
        lines[line].garbled += 1
    }

    /// A packet of a line.
    ///
    /// - Parameters:
    ///   - arrival: the capture's own stamp.
    ///   - now: when it was taken from the capture.
    public mutating func received(
        _ header: SequencedHeader, on line: Int, arrival: WallTime, at now: Instant
    ) {
        guard lines.indices.contains(line) else { return }
        lines[line].heard(header, at: now)
        let numbered: (first: UInt64, count: UInt64)
        switch header.kind {
        case .unsequenced: return
        case .heartbeat, .endOfSession: numbered = (header.firstSequence, 0)
        case .data(let count):
            numbered = (header.firstSequence, min(UInt64(count), .max - header.firstSequence))
        }
        if channels[header.channel] == nil {
            guard channels.count < LineMachine.mostChannels else {
                ignored &+= 1
                return
            }
            channels[header.channel] = LineChannel(lines: lines.count)
        }
        let drops = lines[line].counters.captureDropped
        guard
            let step = channels[header.channel]?.take(
                numbered.first, numbered.count, of: header.session, on: line, at: now, drops: drops)
        else {
            lines[line].counters.strays += 1
            return
        }
        account(for: step, of: header.channel, on: line, at: now)
        if step.step.new > 0 || step.step.filled > 0 {
            compare(numbered.first, numbered.count, of: header.channel, on: line, arrival: arrival)
        }
    }

    /// Whether the next tick judges holes: what captures dropped must have been told before.
    public func isSecondOver(at now: Instant) -> Bool { secondEnds.map { now >= $0 } ?? false }

    /// Time passed. To be called often, and after what the captures hold has been taken from them.
    public mutating func tick(at now: Instant) {
        guard let end = secondEnds else { return secondEnds = now + .seconds(1) }
        guard now >= end else { return }
        secondEnds = now + .seconds(1)
        settle(at: now)
    }
}

// MARK: - Numbers

extension LineMachine {
    private mutating func account(
        for step: LineChannel.Step, of channel: UInt32, on line: Int, at now: Instant
    ) {
        let numbers = step.step
        lines[line].counters.duplicates &+= numbers.duplicates
        if numbers.filled > 0 { lines[line].counters.outOfOrder += 1 }
        if numbers.isStray { lines[line].counters.strays += 1 }
        if step.isNewEpoch { lines[line].counters.epochs += 1 }
        if let gap = numbers.opened {
            lines[line].counters.gaps += 1
            lines[line].gaps.append(LineGap(channel: channel, range: gap))
        }
        if numbers.new > 0 {
            for other in lines.indices where other != line { lines[other].twinBrought(at: now) }
        }
        for hole in step.abandoned { judge(hole.hole, of: channel, on: hole.line, at: now) }
        for index in lines.indices { lines[index].sent.add(step.progress) }
    }

    private mutating func compare(
        _ first: UInt64, _ count: UInt64, of channel: UInt32, on line: Int, arrival: WallTime
    ) {
        guard lines.count > 1, let pairs = channels[channel]?.compare(first, count, on: line, arrival) else {
            return
        }
        for pair in pairs { lines[pair.line].skew.add(pair.behind) }
    }

    private mutating func settle(at now: Instant) {
        for channel in channels.keys.sorted() {
            for line in lines.indices {
                let due =
                    channels[channel]?.numbers[line].settle(olderThan: LineMachine.settleAfter, at: now) ?? []
                for hole in due { judge(hole, of: channel, on: line, at: now) }
            }
            channels[channel]?.endSecond()
        }
        for line in lines.indices { lines[line].endSecond(at: now) }
    }

    /// Whose loss a hole is.
    private mutating func judge(_ hole: LineHole, of channel: UInt32, on line: Int, at now: Instant) {
        if lines[line].counters.captureDropped != hole.dropsBefore {
            lines[line].counters.unjudged &+= hole.range.count
            lines[line].unjudged.add(hole.range.count)
            return
        }
        let everywhere = channels[channel]?.missingEverywhere(hole.range, on: line) ?? hole.range.count
        lines[line].counters.lostEverywhere &+= everywhere
        lines[line].counters.lost &+= hole.range.count - everywhere
        lines[line].missing.add(hole.range.count)
        lines[line].lostHere.add(hole.range.count - everywhere)
    }

    /// How many numbers a line is behind the one that came farthest.
    func behind(_ line: Int) -> UInt64 {
        channels.values.reduce(0) { $0 &+ $1.behind(line) }
    }
}
