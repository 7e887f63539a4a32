// Subscriptions whose answers wait: what is known of each subject that matches is sent to who subscribed, and a marker is
// echoed. A pure machine that says what comes next. Connections take turns, and each is answered in the order in which it
// asked, so that all states of its earlier subscriptions come before the echo of its marker. Who does not take what was
// sent before has no turn until it does: nothing of this is to be dropped.

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

        mutating func add(_ prefix: [UInt8], _ ticket: UInt64) {
            tickets[prefix] = ticket
            waiting.append((prefix, ticket))
            compact()
        }

        func concerns(_ prefix: [UInt8]) -> Bool { tickets[prefix] != nil || begun?.prefix == prefix }

        mutating func cancel(_ prefix: [UInt8]) {
            tickets[prefix] = nil
            if begun?.prefix == prefix { begun = nil }
        }

        mutating func next(of connection: Int32) -> Work? {
            while begun == nil, head < waiting.count {
                let (prefix, ticket) = waiting[head]
                head += 1
                guard tickets[prefix] == ticket else { continue }
                tickets[prefix] = nil
                begun = Work(connection: connection, prefix: prefix, place: 0)
            }
            return begun
        }

        mutating func answered(upTo place: UInt64?) {
            if let place { begun?.place = place } else { begun = nil }
        }

        /// Forgets what was answered or cancelled when it is more than what waits.
        private mutating func compact() {
            guard waiting.count > 2 * tickets.count + 32 else { return }
            waiting = waiting[head...].filter { tickets[$0.prefix] == $0.ticket }
            head = 0
        }
    }

    /// Subscriptions of one connection that wait.
    let mostWaiting: Int
    /// Those for which there was no room.
    private(set) var refused: UInt64 = 0
    private var lines: [Int32: Line] = [:]
    /// Whose turn it is, in this order.
    private var turns: [Int32] = []
    /// Who has no turn for now.
    private var paused: Set<Int32> = []
    private var lastTicket: UInt64 = 0

    init(mostWaiting: Int = 1064) { self.mostWaiting = mostWaiting }

    /// Nothing can be done.
    var isIdle: Bool { turns.isEmpty }
    /// How many wait.
    var count: Int { lines.values.reduce(0) { $0 + $1.tickets.count + ($1.begun == nil ? 0 : 1) } }

    // MARK: - Events

    /// A connection subscribed. What waits already keeps its place; what is answered in part is answered again.
    ///
    /// - Returns: whether there was room for it.
    mutating func subscribed(to prefix: [UInt8], by connection: Int32) -> Bool {
        // A line is changed where it is: each copy of one that is long would cost as much as its answers.
        if lines[connection]?.tickets[prefix] != nil { return true }
        guard lines[connection]?.tickets.count ?? 0 < mostWaiting else {
            refused &+= 1
            return false
        }
        lastTicket &+= 1
        if lines.index(forKey: connection) == nil { turns.append(connection) }
        lines[connection, default: Line()].add(prefix, lastTicket)
        return true
    }

    mutating func cancelled(_ prefix: [UInt8], by connection: Int32) {
        guard lines[connection]?.concerns(prefix) == true else { return }
        lines[connection]?.cancel(prefix)
        if lines[connection]?.isEmpty == true { departed(connection) }
    }

    mutating func departed(_ connection: Int32) {
        guard lines.removeValue(forKey: connection) != nil else { return }
        turns.removeAll { $0 == connection }
        paused.remove(connection)
    }

    /// Whose turn it is does not take what was sent to it before, and is passed over until it does.
    mutating func pause() {
        guard !turns.isEmpty else { return }
        paused.insert(turns.removeFirst())
    }

    /// It takes what is sent to it.
    mutating func resume(_ connection: Int32) {
        if paused.remove(connection) != nil { turns.append(connection) }
    }

    /// What is next; `nil`: nothing waits. It is to be `answered` before anything else is asked for.
    mutating func next() -> Work? {
        guard let connection = turns.first else { return nil }
        return lines[connection]?.next(of: connection)
    }

    /// The work that was next is done so far.
    ///
    /// - Parameter place: where it goes on; `nil`: it is done.
    mutating func answered(upTo place: UInt64?) {
        guard !turns.isEmpty else { return }
        let connection = turns.removeFirst()
        lines[connection]?.answered(upTo: place)
        switch lines[connection]?.isEmpty {
        case true?: lines[connection] = nil
        case false?: turns.append(connection)
        case nil: break
        }
    }
}
