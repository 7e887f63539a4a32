// Which checks run at once: a few, in the order in which they came due, and none twice. A value: names in, runs out.

struct CheckPlaces: Sendable {
    /// Programs that run at once; one whose start hangs is two tasks, and the unit allows 128 in all.
    static let most = 8

    struct Run: Hashable, Sendable {
        let number: Int
        let name: String
    }

    /// Due, and waiting for a place.
    private var waiting: [String] = []
    /// By number, oldest first.
    private var running: [Run] = []
    /// Runs of checks that are no longer configured so.
    private var cancelled: Set<Int> = []
    /// Came due while their last run, that could not be killed, was still there.
    private var overdue: Set<String> = []
    private var count = 0

    init() {}

    /// A check is due.
    mutating func due(_ name: String) { waiting.append(name) }

    /// The next run, which takes a place; `nil`: none waits, or there is no place.
    mutating func next() -> Run? {
        while running.count < CheckPlaces.most, !waiting.isEmpty {
            let name = waiting.removeFirst()
            if running.contains(where: { $0.name == name && !cancelled.contains($0.number) }) {
                overdue.insert(name)
                continue
            }
            count += 1
            running.append(Run(number: count, name: name))
            return running.last
        }
        return nil
    }

    /// Nothing of a run is left: its place is free, and its check has the turn that it missed.
    mutating func gone(_ number: Int) {
        guard let index = running.firstIndex(where: { $0.number == number }) else { return }
        let run = running.remove(at: index)
        if cancelled.remove(number) == nil, overdue.remove(run.name) != nil { waiting.append(run.name) }
    }

    /// A check is no longer configured so; returns its runs that take places until they have ended.
    mutating func cancel(_ name: String) -> [Int] {
        waiting.removeAll { $0 == name }
        overdue.remove(name)
        let numbers = running.filter { $0.name == name }.map(\.number)
        cancelled.formUnion(numbers)
        return numbers
    }

    /// Whether the result of a run is of use.
    func isOfUse(_ number: Int) -> Bool {
        running.contains { $0.number == number } && !cancelled.contains(number)
    }
}
