// The ways out of the host taken together: how many independent ones are left. Two paths are independent if neither
// an interface nor a next hop is part of both.
import Basics
import Wire

/// Sums the paths up.
struct SiteMachine: Hashable, Sendable {
    /// A path as the site sees it.
    struct Path: Hashable, Sendable {
        var subject: Subject
        /// `nil`: as routed.
        var interface: String?
        /// `nil`: not known; then it is taken for one of its own.
        var nextHop: IPAddress?
        var status: Status

        /// It carries traffic, well or badly.
        fileprivate var isUsable: Bool { status == .ok || status == .warning }
    }

    let subject: Subject
    /// The most independent paths that there were: one that is gone is a loss too.
    private var most = 0

    init(_ subject: Subject) { self.subject = subject }

    /// The site's state; `nil` where there is only one way out, whose own state says it all.
    mutating func judged(_ paths: [Path]) -> Finding? {
        most = max(most, SiteMachine.independent(paths))
        guard most >= 2 else { return nil }
        let left = SiteMachine.independent(paths.filter(\.isUsable))
        let possible = SiteMachine.independent(paths.filter { $0.isUsable || $0.status == .unknown })
        let failed = paths.filter { !$0.isUsable } + paths.filter(\.isUsable)
        return Finding(
            subject, status(left: left, possible: possible), reason(left: left, possible: possible),
            values: [
                NamedValue("paths_independent", .integer(Int64(most))),
                NamedValue("paths_left", .integer(Int64(left))),
                NamedValue("paths_watched", .integer(Int64(paths.count))),
            ], dependsOn: failed.map(\.subject))
    }

    /// Other paths are configured: what there was counts no more.
    mutating func restart() { most = 0 }

    private func status(left: Int, possible: Int) -> Status {
        if left >= most { return .ok }
        if left == 0 { return possible == 0 ? .critical : .unknown }
        return possible >= most ? .unknown : .warning
    }

    private func reason(left: Int, possible: Int) -> String {
        if left >= most { return "all \(most) independent paths are there" }
        if left == 0, possible == 0 { return "no path out is left" }
        let others = possible > left ? ", \(possible - left) not known yet" : ""
        return "\(left) of \(most) independent paths \(left == 1 ? "is" : "are") left" + others
    }

    /// The most paths of which no two share an interface or a next hop: a maximum matching between the two,
    /// found by augmenting paths.
    static func independent(_ paths: [Path]) -> Int {
        var hops: [String: [String]] = [:]
        for path in paths {
            hops[path.interface ?? "", default: []].append(
                path.nextHop?.description ?? "of \(path.subject)")
        }
        var interfaceOf: [String: String] = [:]
        func place(_ interface: String, _ tried: inout Set<String>) -> Bool {
            for hop in hops[interface] ?? [] where tried.insert(hop).inserted {
                guard let other = interfaceOf[hop] else {
                    interfaceOf[hop] = interface
                    return true
                }
                if place(other, &tried) {
                    interfaceOf[hop] = interface
                    return true
                }
            }
            return false
        }
        return hops.keys.sorted().count { interface in
            var tried: Set<String> = []
            return place(interface, &tried)
        }
    }
}
