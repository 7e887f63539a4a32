// When a server is asked, and what: its UPSes' variables at each poll, and now and then which UPSes it has. A value: the
// time in, what is due out.
import Basics

struct UPSTurns: Sendable {
    /// An answer that takes longer does not come.
    static let patience: Duration = .seconds(2)
    /// Who is only looked for may come and go.
    static let listEvery: Duration = .seconds(60)

    enum Due: Hashable {
        case nothing, poll
        /// Which UPSes there are; their variables after the answer.
        case list
        /// The last question has no answer.
        case silent
    }

    private let pollEvery: Duration
    private let lists: Bool
    private var pollAt = Instant.zero
    private var listAt = Instant.zero
    private var answerBy: Instant?

    init(pollEvery: Duration, lists: Bool) {
        self.pollEvery = pollEvery
        self.lists = lists
    }

    /// A connection stands: it begins at once.
    mutating func opened(at now: Instant) -> Due {
        (pollAt, listAt, answerBy) = (now, now, nil)
        return tick(at: now)
    }

    /// All that was asked has been answered.
    mutating func answered() { answerBy = nil }

    /// The server has told its UPSes: their variables are asked for at once.
    mutating func listed(at now: Instant) -> Due {
        answerBy = now + UPSTurns.patience
        return .poll
    }

    /// The server knows no UPS of a name that it has told before.
    mutating func missed() { if lists { listAt = .zero } }

    mutating func tick(at now: Instant) -> Due {
        if let answerBy { return answerBy <= now ? .silent : .nothing }
        guard pollAt <= now else { return .nothing }
        (pollAt, answerBy) = (now + pollEvery, now + UPSTurns.patience)
        guard lists, listAt <= now else { return .poll }
        listAt = now + UPSTurns.listEvery
        return .list
    }

    var deadline: Instant { answerBy ?? pollAt }
}
