// Which subject explains another's failure, so that one fault is one incident: a NIC explains its path, and
// the path its feed; the feed then names the NIC.
import Basics

extension HealthBook {
    /// The failure at the end of the chain of `dependsOn`, taking the nearest one that failed at each step;
    /// `nil` for a subject that is well, or whose failure nothing explains. A cause that recovered a moment
    /// ago is still the cause.
    func cause(of subject: Subject, at now: Instant) -> Subject? {
        guard let entry = entries[subject], entry.message.status != .ok else { return nil }
        var root: Subject?
        var seen: Set<Subject> = [subject]
        var dependent = entry
        while let next = dependent.dependsOn.first(where: { !seen.contains($0) && explains($0, dependent) }),
            let found = entries[next]
        {
            seen.insert(next)
            root = next
            dependent = found
        }
        return root ?? entry.message.cause.flatMap { hasJustRecovered($0, at: now) ? $0 : nil }
    }

    /// A failure explains another that began after it, or shortly before.
    private func explains(_ subject: Subject, _ dependent: Entry) -> Bool {
        guard let since = entries[subject]?.explainsSince else { return false }
        return since <= dependent.statusAt + HealthBook.causeWindow
    }

    private func hasJustRecovered(_ subject: Subject, at now: Instant) -> Bool {
        guard let recovered = entries[subject]?.recoveredAt else { return false }
        return now - recovered < HealthBook.causeWindow
    }

    /// What depends on `subject`, however far, failed shortly before it, and so far names another cause or
    /// none.
    func unexplainedDependents(of subject: Subject, at now: Instant) -> [(subject: Subject, cause: Subject)] {
        var found: [(subject: Subject, cause: Subject)] = []
        var seen: Set<Subject> = [subject]
        var queue = dependents[subject] ?? []
        var next = 0
        while next < queue.count {
            let dependent = queue[next]
            next += 1
            guard seen.insert(dependent).inserted else { continue }
            queue += dependents[dependent] ?? []
            if let cause = cause(of: dependent, at: now), cause != entries[dependent]?.message.cause {
                found.append((dependent, cause))
            }
        }
        return found
    }

    mutating func link(_ subject: Subject, to dependencies: [Subject]) {
        for dependency in dependencies where dependents[dependency]?.contains(subject) != true {
            dependents[dependency, default: []].append(subject)
        }
    }

    /// Drops the subject from the lists of what it depends on, whichever they are.
    mutating func unlink(_ subject: Subject) {
        for dependency in dependents.keys {
            dependents[dependency]?.removeAll { $0 == subject }
            if dependents[dependency]?.isEmpty == true { dependents[dependency] = nil }
        }
    }
}
