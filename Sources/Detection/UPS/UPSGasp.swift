// The dying gasp: whether the power of this host is about to go, by what its UPSes say, so that the host can tell
// it before it is gone.
public import Wire

/// Judges all UPSes of a host together.
public enum UPSGasp {
    /// Why this host goes; `nil`: it does not.
    ///
    /// A UPS that is low on battery, is about to cut its output, or has less left than the host needs takes the host
    /// with it, unless it is in a group: then the group's members do, as soon as fewer than required are not such. One
    /// that is not heard on battery is judged on by what it said last, since the mains' failure may have silenced it.
    ///
    /// - Parameter verdicts: by the UPSes' subjects.
    public static func reason(_ verdicts: [Subject: UPSMachine.Verdict], groups: [UPSGroup]) -> String? {
        let ending = verdicts.filter { isEnd($0.value.condition) }
        for group in groups where group.members.count(where: { ending[$0] == nil }) < group.required {
            let first = group.members.first { ending[$0] != nil }
            if let first, let verdict = ending[first] {
                return "\(group.subject): \(first) is \(verdict.reason)"
            }
        }
        let grouped = Set(groups.flatMap(\.members))
        return ending.filter { !grouped.contains($0.key) }.min { $0.key.name < $1.key.name }.map {
            "\($0.key) is \($0.value.reason)"
        }
    }

    private static func isEnd(_ condition: UPSMachine.Condition) -> Bool {
        switch condition {
        case .onBatteryLow, .onBatteryTooShort, .forcedShutdown: true
        case .lostOnBattery(_, let isEnding): isEnding
        case .neverHeard, .unsupported, .online, .onBattery, .calibrating, .off, .overloaded, .bypassed,
            .lowOnMains, .needsAttention, .lost:
            false
        }
    }
}
