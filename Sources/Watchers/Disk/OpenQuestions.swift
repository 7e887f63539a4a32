// The questions that wait for their answers, one for each name at most. What a name stands for may change before the
// answer comes: then the question is given up, and its answer counts for nothing. A value.

/// Which answers are awaited.
struct OpenQuestions: Sendable {
    private var numbers: [String: UInt64] = [:]
    private var latest: UInt64 = 0

    /// Whether an answer about it is awaited.
    func wait(for name: String) -> Bool { numbers[name] != nil }

    /// Whether the question of this number is the one whose answer is awaited.
    func wait(for name: String, _ number: UInt64) -> Bool { numbers[name] == number }

    /// A question is put; returns its number, which no other one has.
    mutating func put(_ name: String) -> UInt64 {
        latest += 1
        numbers[name] = latest
        return latest
    }

    /// An answer came; returns whether it counts.
    mutating func answered(_ name: String, _ number: UInt64) -> Bool {
        guard wait(for: name, number) else { return false }
        numbers[name] = nil
        return true
    }

    mutating func giveUp(_ name: String) { numbers[name] = nil }

    mutating func giveUpAll() { numbers = [:] }
}
