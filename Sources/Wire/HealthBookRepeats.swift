// What a new subscriber is told: the states that match what it asked for, piece by piece, since a book may have thousands
// of them, and the marker that tells it that it has them.
public import Basics

extension HealthBook {
    /// One piece of the states that match a prefix.
    public struct Piece: Hashable, Sendable {
        public var subjects: [Subject] = []
        /// Where the next piece begins; `nil`: this was the last one.
        public var next: UInt64?
        /// Subjects that were looked at for it.
        public var looked = 0
    }

    /// The subjects whose states match a prefix, in the order of their first reports.
    ///
    /// - Parameters:
    ///   - place: 0, or where the piece before it says that the next one begins. Subjects may come and go in between.
    ///   - looking: subjects that are looked at, at the most; at least one is.
    ///   - finding: subjects that match, at the most; likewise.
    public func matching(
        _ prefix: some Collection<UInt8>, from place: UInt64 = 0, looking: Int = .max, finding: Int = .max
    ) -> Piece {
        var piece = Piece()
        // A subscription to heartbeats or samples needs no look at all of them.
        guard let first = subjects.first, overlaps(prefix, stateRoot(of: first)) else { return piece }
        var index = firstIndex(from: place)
        while index < subjects.count {
            piece.looked += 1
            if let entry = entries[subjects[index]], entry.topic.utf8.starts(with: prefix) {
                piece.subjects.append(subjects[index])
            }
            index += 1
            guard piece.looked < looking, piece.subjects.count < finding else { break }
        }
        if index < subjects.count { piece.next = serials[index] }
        return piece
    }

    /// A state as it is now, under its own number.
    public func repetition(of subject: Subject, wall: WallTime) -> Action? {
        guard let entry = entries[subject], !entry.isHearsay else { return nil }
        return entry.publication(wall: wall)
    }

    /// The echo of a subscription to `sync/<nonce>/`, with all subjects that there are.
    public func marker(_ nonce: String, wall: WallTime) -> Action {
        let message = SyncMessage(stamp: stamp(wall), nonce: nonce, subjects: subjects)
        return .publish(topic: message.topic.text, payload: message.json)
    }

    /// How many subjects there are.
    public var count: Int { subjects.count }

    /// What the topics of all states begin with: `state/<host>/`.
    private func stateRoot(of subject: Subject) -> Substring.UTF8View {
        let topic = entries[subject]?.topic ?? ""
        let parts = topic.split(separator: "/", maxSplits: 2)
        return topic[..<(parts.last?.startIndex ?? topic.startIndex)].utf8
    }

    private func overlaps(_ prefix: some Collection<UInt8>, _ root: Substring.UTF8View) -> Bool {
        root.starts(with: prefix) || prefix.starts(with: root)
    }

    /// The first subject whose number is not below this one.
    private func firstIndex(from serial: UInt64) -> Int {
        var (low, high) = (0, serials.count)
        while low < high {
            let middle = (low + high) / 2
            if serials[middle] < serial { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
