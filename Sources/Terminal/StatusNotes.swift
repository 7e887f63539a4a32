// `holdfast status`, below the table: what a daemon's status says besides its states that somebody should act on.
public import Basics

public enum StatusNotes {
    /// Refused subscriptions that are shown, the latest ones.
    static let mostRefused = 5

    /// Agents that are not followed, collectors that are not reached, and subscriptions that were refused or
    /// narrowed; one line each, with nothing in it that would steer a terminal.
    public static func lines(of reply: JSON, at now: WallTime) -> [String] {
        let agents = items(reply, "agents").compactMap(agent)
        let collectors = items(reply, "report_to").compactMap(collector)
        let refused = items(reply, "refused")
        let shown = refused.suffix(mostRefused).compactMap { refusal($0, at: now) }
        let earlier = refused.count - shown.count
        let more = earlier > 0 ? ["and \(earlier) more refused subscriptions, in --json and in the log"] : []
        return (agents + collectors + shown + more).map(\.printable)
    }

    private static func items(_ reply: JSON, _ key: String) -> [JSON] { reply[key]?.array ?? [] }

    private static func agent(_ item: JSON) -> String? {
        if let trouble = item["trouble"]?.string { return "agent \(trouble)" }
        guard let liveness = item["liveness"]?.string, liveness != "alive",
            let endpoint = item["publish"]?.string
        else { return nil }
        return "agent \(endpoint): \(liveness)"
    }

    private static func collector(_ item: JSON) -> String? {
        guard item["connected"] == .bool(false), let endpoint = item["endpoint"]?.string else { return nil }
        return "collector \(item["trouble"]?.string ?? "\(endpoint): not connected")"
    }

    private static func refusal(_ item: JSON, at now: WallTime) -> String? {
        guard let prefix = item["prefix"]?.string, let error = item["error"]?.string else { return nil }
        let client = item["client"]?.string.map { "client \($0)" }
        let whose = client ?? item["address"]?.string ?? "a client of the host"
        let when = item["at"]?.string.flatMap { WallTime(rfc3339: $0) }.map { ", \(age(now - $0)) ago" } ?? ""
        return "subscription \"\(prefix)\" of \(whose): \(error)\(when)"
    }
}
