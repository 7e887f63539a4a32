// `holdfast status`: what is wrong first, one line per subject, and a line that sums up.
public import Basics
public import Wire

public enum StatusTable {
    /// The lines of the table and of its summary.
    /// - Parameters:
    ///   - now: the wall clock, for the ages.
    ///   - width: of the terminal; `nil`: as wide as it takes.
    public static func lines(
        for states: [StateMessage], at now: WallTime, width: Int?, palette: Palette
    ) -> [String] {
        guard !states.isEmpty else { return ["nothing is watched"] }
        let showsHosts = Set(states.map(\.stamp.host)).count > 1
        let table = Table(
            titles: (showsHosts ? ["HOST"] : []) + ["SUBJECT", "STATUS", "SINCE", "REASON", "CAUSE"],
            statusColumn: showsHosts ? 2 : 1,
            rows: states.sorted(by: isWorse).map { state in
                let host = showsHosts ? [state.stamp.host] : []
                return Table.Row(
                    host + [
                        state.subject.description, state.status.rawValue, age(now - state.since),
                        state.reason,
                        state.cause?.description ?? "",
                    ], state.status)
            })
        return table.lines(width: width, palette: palette) + ["", summary(of: states.map(\.status))]
    }

    /// The worst first; among equals by host, kind and name.
    public static func isWorse(_ left: StateMessage, _ right: StateMessage) -> Bool {
        let order = (right.status.severity, left.stamp.host, left.subject.kind.rawValue, left.subject.name)
        return order < (
            left.status.severity, right.stamp.host, right.subject.kind.rawValue, right.subject.name
        )
    }

    /// `1 critical, 2 warning, 14 ok`.
    public static func summary(of statuses: [Status]) -> String {
        let parts = [Status.critical, .unknown, .warning, .ok].compactMap { status -> String? in
            let count = statuses.count { $0 == status }
            return count == 0 ? nil : "\(count) \(status.rawValue)"
        }
        return parts.isEmpty ? "nothing is watched" : parts.joined(separator: ", ")
    }
}
