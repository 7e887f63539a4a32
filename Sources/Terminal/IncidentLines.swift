// `holdfast status`, below the table: each failure once, with everything that it explains.
public import Basics
public import Wire

public enum IncidentLines {
    /// Dependents that are named; the rest are counted.
    static let mostNamed = 8

    /// One line for each incident that has dependents; the others are in the table as they are.
    public static func lines(of states: [StateMessage], at now: WallTime) -> [String] {
        let incidents = Incident.all(of: states)
        let showsHosts = Set(states.map(\.stamp.host)).count > 1
        return incidents.filter { !$0.dependents.isEmpty }.map { incident in
            let host = showsHosts ? "\(incident.host): " : ""
            let state = incident.state.map { " \($0.reason), for \(age(now - $0.since))" } ?? ""
            return "\(host)\(incident.root)\(state); with it \(names(incident.dependents))".printable
        }
    }

    /// How many incidents the failures are, where they are fewer than the failures: `; 1 incident`.
    public static func count(of states: [StateMessage]) -> String {
        let incidents = Incident.all(of: states)
        guard incidents.contains(where: { !$0.dependents.isEmpty }) else { return "" }
        return "; \(incidents.count) \(incidents.count == 1 ? "incident" : "incidents")"
    }

    private static func names(_ subjects: [Subject]) -> String {
        let shown = subjects.prefix(mostNamed).map(\.description)
        let more = subjects.count - shown.count
        return (shown + (more > 0 ? ["\(more) more"] : [])).joined(separator: ", ")
    }
}
