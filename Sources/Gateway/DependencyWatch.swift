// Which of the subjects that paths depend on no agent tells of: of a host that no agent is of, or that its agent does not
// watch. Such a path is guarded by nothing, and nothing else would show it. A pure machine.
import Basics
import Wire

struct DependencyWatch {
    /// An agent has so long to be heard, and to find what it watches.
    static let patience: Duration = .seconds(10)

    /// Of these nobody has told for that long.
    private(set) var untold: Set<Dependency> = []
    private var since: [Dependency: Instant] = [:]

    /// - Parameter missing: all of which nobody tells now.
    mutating func look(_ missing: Set<Dependency>, at now: Instant) {
        since = since.filter { missing.contains($0.key) }
        for dependency in missing where since[dependency] == nil { since[dependency] = now }
        untold = missing.filter { since[$0].map { now - $0 >= DependencyWatch.patience } ?? false }
    }
}
