// What is said of a path: its reasons in words, its values in seconds and ratios.
import Basics
import Configuration
import Detection
public import Wire

extension PathMachine {
    /// The present state with its newest values.
    public var finding: Finding? {
        guard let told else { return nil }
        let depends = options.interface.map { [Subject(.nic, $0)] } ?? []
        return Finding(subject, told.status, toldReason, values: values, dependsOn: depends)
    }

    /// What moves between two samples.
    public var reading: Sample { Sample(subject, figures) }

    public var sample: Sample { Sample(subject, measurements) }

    func reason(_ verdict: Verdict, at now: Instant) -> String {
        switch verdict {
        case .awaited: return "no verdict yet"
        case .noNextHop: return "no next hop is known" + (options.interface.map { " on \($0)" } ?? "")
        case .unsendable(let error): return "probes cannot be sent: \(error)"
        case .linkDown(let condition): return words(condition)
        case .silent(let number, let hop): return silence(number, at: now) + unresolved(hop)
        case .recovering: return "its link is back, awaiting replies"
        case .lossy(let status):
            let limit = percent(raised(options.loss, status))
            let window = targets.first?.window.capacity ?? 0
            return "\(percent(lossAtLeast)) of the last \(window) probes lost (limit \(limit))"
        case .slow(let status):
            let limit = Duration.nanoseconds(Int64(raised(options.rtt, status) * 1e9))
            return "round trip \(milliseconds(roundTrip ?? .zero)) (limit \(milliseconds(limit)))"
        case .fewerTargets(let up): return "\(up) of \(targets.count) targets answer"
        case .up:
            return targets.count == 1
                ? "\(targets[0].target) answers" : "\(targets.count) of \(targets.count) targets answer"
        }
    }

    private func silence(_ number: Int, at now: Instant) -> String {
        let longest = targets.filter { !$0.isUp }.map { $0.silence(at: now) }.max() ?? .zero
        let who = targets.count == 1 ? "\(targets[0].target)" : "\(number) of \(targets.count) targets"
        return "\(who) silent for \(seconds(longest))"
    }

    /// The level that a status stands for; from 0 to 60, see the keys.
    private func raised(_ limit: LimitOptions, _ status: Status) -> Double {
        (status == .critical ? limit.critical : limit.warning) ?? 0
    }

    private func unresolved(_ hop: IPAddress?) -> String {
        guard let hop else { return "" }
        let way = hop.family == .v4 ? "ARP" : "neighbour discovery"
        return ": the next hop \(hop) does not answer \(way)"
    }

    private func words(_ condition: LinkCondition) -> String {
        let name = options.interface ?? "its NIC"
        switch condition {
        case .noCarrier: return "its NIC \(name) has no carrier"
        case .administrativelyDown: return "its NIC \(name) is administratively down"
        case .missing: return "its NIC \(name) does not exist"
        case .withheld: return "its NIC \(name) passes no traffic"
        case .unknown, .up: return "its NIC \(name) is up"
        }
    }

    private func milliseconds(_ duration: Duration) -> String {
        let tenths = duration.nanoseconds / 100_000
        return "\(tenths / 10).\(abs(tenths % 10)) ms"
    }

    private var values: [NamedValue] {
        [
            NamedValue("targets", .integer(Int64(targets.count))),
            NamedValue("targets_up", .integer(Int64(upCount))),
            NamedValue("quorum", .integer(Int64(quorum))),
        ] + figures
    }

    private var figures: [NamedValue] {
        var figures: [NamedValue] = []
        if let loss { figures.append(NamedValue("loss_ratio", .number(loss))) }
        if let roundTrip { figures.append(NamedValue("rtt_s", .number(roundTrip.inSeconds))) }
        if let jitter { figures.append(NamedValue("jitter_s", .number(jitter.inSeconds))) }
        return figures
    }

    private var measurements: [NamedValue] {
        func total(_ count: (TargetMachine) -> UInt64) -> Value {
            .integer(Int64(clamping: targets.reduce(0) { $0 &+ count($1) }))
        }
        var spread: [NamedValue] = []
        if let (median, p99) = percentiles {
            spread.append(NamedValue("rtt_p50_s", .number(median.inSeconds)))
            spread.append(NamedValue("rtt_p99_s", .number(p99.inSeconds)))
        }
        return figures + spread + [
            NamedValue("targets_up", .integer(Int64(upCount))),
            NamedValue("probes_sent", total(\.sent)),
            NamedValue("probes_lost", total(\.lost)),
            NamedValue("probes_unsent", total(\.unsent)),
            NamedValue("replies_late", total(\.late)),
            NamedValue("replies_duplicate", total(\.duplicates)),
            NamedValue("replies_foreign", .integer(Int64(clamping: foreign))),
            NamedValue("unreachable_received", .integer(Int64(clamping: unreachable))),
        ]
    }
}
