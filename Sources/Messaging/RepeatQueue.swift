// Subscriptions whose answers wait: what is known of each subject that matches is sent to who subscribed, and a marker is
// echoed. A pure machine that says what comes next. Connections take turns, and each is answered in the order in which it
// asked, so that all states of its earlier subscriptions come before the echo of its marker.

/// Subscriptions that wait for their answers.
struct RepeatQueue {
    /// What to do next for a connection.
    struct Work: Hashable, Sendable {
        var connection: Int32
        var prefix: [UInt8]
        /// Where to go on: 0 at the beginning.
        var place: UInt64
    }

    /// One connection's subscriptions.
    private struct Line {
        /// In the order in which they came; those whose ticket is not that of `tickets` were cancelled.
        var waiting: [(prefix: [UInt8], ticket: UInt64)] = []
        var head = 0
        var tickets: [[UInt8]: UInt64] = [:]
        /// The one that is answered in part.
        var begun: Work?

        var isEmpty: Bool { begun == nil && tickets.isEmpty }
    }

    /// Subscriptions of one connection that wait.
    let mostWaiting: Int
    /// Those for which there was no room.
    private(set) var refused: UInt64 = 0
    private var lines: [Int32: Line] = [:]
    /// Whose turn it is, in this order.
    private var turns: [Int32] = []
    private var lastTicket: UInt64 = 0

    init(mostWaiting: Int = 1064) { self.mostWaiting = mostWaiting }

    var isEmpty: Bool { turns.isEmpty }
    /// How many wait.
    var count: Int { lines.values.reduce(0) { $0 + $1.tickets.count + ($1.begun == nil ? 0 : 1) } }

    // MARK: - Events

    /// A connection subscribed. What waits already keeps its place; what is answered in part is answered again.
    ///
    /// - Returns: whether there was room for it.
    mutating func subscribed(to prefix: [UInt8], by connection: Int32) -> Bool {
        var line = lines[connection] ?? Line()
        if line.tickets[prefix] != nil { return true }
        guard line.tickets.count < mostWaiting else {
            refused &+= 1
            return false
        }
        lastTicket &+= 1
        line.tickets[prefix] = lastTicket
        line.waiting.append((prefix, lastTicket))
        RepeatQueue.compact(&line)
        if lines.updateValue(line, forKey: connection) == nil { turns.append(connection) }
        return true
    }

    mutating func cancelled(_ prefix: [UInt8], by connection: Int32) {
        guard var line = lines[connection] else { return }
        line.tickets[prefix] = nil
        if line.begun?.prefix == prefix { line.begun = nil }
        lines[connection] = line
        if line.isEmpty { departed(connection) }
    }

    mutating func departed(_ connection: Int32) {
        guard lines.removeValue(forKey: connection) != nil else { return }
        turns.removeAll { $0 == connection }
    }

    /// What is next; `nil`: nothing waits. It is to be `answered` before anything else is asked for.
    mutating func next() -> Work? {
        guard let connection = turns.first, var line = lines[connection] else { return nil }
        defer { lines[connection] = line }
        while line.begun == nil, line.head < line.waiting.count {
            let (prefix, ticket) = line.waiting[line.head]
            line.head += 1
            guard line.tickets[prefix] == ticket else { continue }
            line.tickets[prefix] = nil
            line.begun = Work(connection: connection, prefix: prefix, place: 0)
        }
        return line.begun
    }

    /// The work that was next is done so far.
    ///
    /// - Parameter place: where it goes on; `nil`: it is done.
    mutating func answered(upTo place: UInt64?) {
        guard !turns.isEmpty else { return }
        let connection = turns.removeFirst()
        guard var line = lines[connection] else { return }
        if let place { line.begun?.place = place } else { line.begun = nil }
        lines[connection] = line.isEmpty ? nil : line
        if !line.isEmpty { turns.append(connection) }
    }

    /// Forgets what was answered or cancelled when it is more than what waits.
    private static func compact(_ line: inout Line) {
        guard line.waiting.count > 2 * line.tickets.count + 32 else { return }
        let tickets = line.tickets
        line.waiting = line.waiting[line.head...].filter { tickets[$0.prefix] == $0.ticket }
        line.head = 0
    }
}
