// What a disk's machine says: problems, worst first, without the numbers that move all the time. So another list is
// news, and the same list is not.
import Wire

/// One thing that is wrong, or the one that is right.
struct DiskProblem: Hashable, Sendable {
    var status: Status
    var words: String

    init(_ status: Status, _ words: String) {
        self.status = status
        self.words = words
    }
}

extension [DiskProblem] {
    /// Worst first, otherwise in the order in which they were found.
    var worstFirst: [DiskProblem] {
        enumerated().sorted {
            ($1.element.status.severity, $0.offset) < ($0.element.status.severity, $1.offset)
        }.map(\.element)
    }

    var status: Status { Status.worst(of: map(\.status)) }
    var reason: String { map(\.words).joined(separator: "; ") }
}
