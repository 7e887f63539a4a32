// How a path is judged by its targets and its link, and when another verdict is worth telling.
import Basics
import Configuration
import Detection
import Wire

extension PathMachine {
    /// What has been told, without the figures that go with it.
    enum Verdict: Hashable {
        case awaited
        case noNextHop
        case unsendable(String)
        case linkDown(LinkCondition)
        case silent(targets: Int, unresolved: IPAddress?)
        case recovering
        case lossy(Status)
        case slow(Status)
        case fewerTargets(up: Int)
        case up

        var status: Status {
            switch self {
            case .awaited, .noNextHop, .unsendable: .unknown
            case .linkDown, .silent, .recovering: .critical
            case .lossy(let status), .slow(let status): status
            case .fewerTargets: .warning
            case .up: .ok
            }
        }
    }
}

extension PathMachine {
    var upCount: Int { targets.count { $0.isUp } }

    var downCount: Int {
        targets.count { if case .down = $0.state { true } else { false } }
    }

    /// Reports if the verdict is another one than was told last.
    mutating func tell(at now: Instant) -> [PathAction] {
        let verdict = judge(at: now)
        guard verdict != told else { return [] }
        told = verdict
        toldReason = reason(verdict, at: now)
        return finding.map { [.report($0)] } ?? []
    }

    private mutating func judge(at now: Instant) -> Verdict {
        switch link {
        case .unknown, .up: break
        case .noCarrier, .administrativelyDown, .missing, .withheld:
            hasOutage = true
            return .linkDown(link)
        }
        guard !targets.isEmpty else { return .noNextHop }
        if upCount >= quorum { return judgeQuality(at: now) }
        let isOut = downCount > targets.count - quorum
        guard isOut || hasOutage && downCount > 0 else { return unjudged }
        hasOutage = true
        lossLimit.reset()
        delayLimit.reset()
        // Once out it stays one state, whatever single targets do, until it is up.
        switch told {
        case .silent(let number, _): return .silent(targets: number, unresolved: unresolvedHop)
        case .recovering: return isStillSilent(at: now) ? silent : .recovering
        case .linkDown: return .recovering
        case .awaited, .noNextHop, .unsendable, .lossy, .slow, .fewerTargets, .up, nil:
            return silent
        }
    }

    private var silent: Verdict { .silent(targets: downCount, unresolved: unresolvedHop) }

    /// The link has been back for a while, and nothing answers.
    private func isStillSilent(at now: Instant) -> Bool {
        targets.allSatisfy { $0.silence(at: now) >= options.downAfter * 3 }
    }

    /// Too few targets answer, and too few are known to be silent.
    private var unjudged: Verdict {
        for target in targets {
            if case .unsendable(let reason) = target.state { return .unsendable(reason) }
        }
        return .awaited
    }

    private mutating func judgeQuality(at now: Instant) -> Verdict {
        hasOutage = false
        _ = lossLimit.observed(lossAtLeast, at: now)
        if let time = roundTrip { _ = delayLimit.observed(time.inSeconds, at: now) }
        let isSlowWorse = delayLimit.status.severity > lossLimit.status.severity
        if isSlowWorse { return .slow(delayLimit.status) }
        if lossLimit.status != .ok { return .lossy(lossLimit.status) }
        return downCount > 0 ? .fewerTargets(up: upCount) : .up
    }

    /// The figure of the target that completes the quorum: a path is as good as that one.
    private func ofQuorum<T: Comparable>(_ figure: (TargetMachine) -> T?) -> T? {
        // As most paths have one target, and this is asked many times a second.
        guard targets.count > 1 else { return targets.first.flatMap(figure) }
        let figures = targets.compactMap(figure)
        return figures.isEmpty ? nil : figures.sorted()[min(quorum, figures.count) - 1]
    }

    var lossAtLeast: Double { ofQuorum { $0.window.ratioAtLeast } ?? 0 }
    var loss: Double? { ofQuorum { $0.window.ratio } }
    var roundTrip: Duration? { ofQuorum { $0.roundTrip } }
    var jitter: Duration? { ofQuorum { $0.roundTrip == nil ? nil : $0.jitter } }

    /// Of the newest round-trip times.
    var percentiles: (median: Duration, p99: Duration)? {
        let all = targets.compactMap { $0.percentiles }
        guard all.count > 1 else { return all.first }
        let place = min(quorum, all.count) - 1
        return (all.map { $0.median }.sorted()[place], all.map { $0.p99 }.sorted()[place])
    }
}
