// Sessions for protocols that name none, and numbers without end for those whose numbers do. A numbering is named by
// the date of its beginning; each path is in one, and moves to the next by the venue's word that all begins anew, or
// because its packets begin again while no old number comes. The arbiter then sorts it out as it does for sessions
// that the venue names: what one path still brings of the old numbering is not mixed with the new one.
//
// Rule: design, section 8, and the rules for all protocols. A lone straggler moves nobody.
public import Basics

/// Gives each packet of a channel its session and its number.
public struct SessionLabels: Sendable {
    /// How long a venue goes on with one numbering.
    public enum Period: Hashable, Sendable {
        case day
        /// From weekend to weekend.
        case week
    }

    public struct Options: Hashable, Sendable {
        public var paths: Int
        public var period = Period.day
        /// When the venue's sessions begin: a numbering of a day bears the date on which its session did, on the venue's
        /// clocks; `nil`: the date in UTC.
        public var calendar: SessionCalendar?
        /// The number that comes before 1 again; `nil`: there is none.
        public var last: UInt64?
        /// How long no number of the old numbering may have come before packets that begin again count, and how
        /// long a path may be silent before it takes up the numbering that the others are in.
        public var quiet: Duration = .milliseconds(500)
        /// How many such packets a path must bring, in ascending order.
        public var restartCount = 3
        /// A copy of a reset comes within this time.
        public var copyWithin: Duration = .seconds(1)
        /// A number further ahead of its path than this needs another packet that agrees.
        public var maximumJump: UInt64 = 4096
        /// Numbers so near to the last one may be of either round.
        public var reach: UInt64 = 10_000_000
        /// A run that begins so far below where an earlier one stopped hears the same numbers again; further below they
        /// began anew. Clients go by the same limit (Sources/Wire/README.md).
        public var overlap: UInt64 = 65_536
        /// A numbering goes on beyond midnight if an earlier run heard it so lately, where no calendar says more.
        public var goesOnFor: Duration = .seconds(4 * 3600)

        public init(paths: Int) { self.paths = paths }
    }

    /// A packet's place.
    public struct Label: Hashable, Sendable {
        public var session: UInt64
        /// Its first number, in the round that it is of.
        public var first: UInt64
    }

    /// The numbering in which an earlier run stopped, and where.
    public struct Past: Hashable, Sendable {
        public var session: UInt64
        public var last: UInt64
        public var heardAt: WallTime

        public init(session: UInt64, last: UInt64, heardAt: WallTime) {
            (self.session, self.last, self.heardAt) = (session, last, heardAt)
        }
    }

    private struct Path {
        /// Which numbering it is in, counted from 1; 0: it was not heard yet.
        var numbering = 0
        var session: UInt64 = 0
        /// The highest number that it brought or announced.
        var highest: UInt64 = 0
        var heardAt = Instant.zero
        /// The numbering that it left, how far it had come there, and when it left.
        var left: (session: UInt64, highest: UInt64)?
        var movedAt = Instant.zero
        /// A number far ahead, which no other packet has confirmed yet; 0: none.
        var jump: UInt64 = 0
        /// Packets in a row that begin again, and the number of the last one.
        var again = 0
        var againFirst: UInt64 = 0
    }

    /// Numberings of one date, and of one run of the arbiter, which counts what it infers by itself.
    private static let datePlaces: UInt64 = 1_000_000
    private static let resetPlaces: UInt64 = 1000
    /// What is not below it is no name of ours.
    private static let endOfDates: UInt64 = 100_000_000 * datePlaces

    public let options: Options
    private var paths: [Path]
    private var latest = 0
    private var session: UInt64 = 0
    private var past: Past?
    /// Where an earlier run stopped in the first numbering; 0: that is another one.
    private var origin: UInt64 = 0
    /// The first number of the packet whose reset began the latest numbering; `nil`: none did.
    private var resetFirst: UInt64?
    /// When a packet of the latest numbering came that was not behind its path.
    private var advancedAt = Instant.zero
    /// The latest numbering began without the venue's word.
    public private(set) var isInferred = false

    /// - Precondition: 1 to 8 paths.
    public init(options: Options) {
        precondition((1...8).contains(options.paths), "an arbiter has 1 to 8 paths")
        self.options = options
        paths = Array(repeating: Path(), count: options.paths)
    }

    /// Its numbers are not used again for others. Told before the first packet, a numbering that goes on keeps its name.
    public mutating func remember(_ earlier: Past) {
        guard earlier.session < SessionLabels.endOfDates else { return }
        past = earlier
        // Too late for what was begun; what comes next is named above both.
        if latest > 0 { session = max(session, earlier.session) }
    }

    /// - Parameters:
    ///   - count: how many numbers the packet has; 0 for a heartbeat, whose `first` is the next to come.
    ///   - resets: it carries the venue's word that all begins anew.
    public mutating func label(
        first: UInt64, count: UInt64, resets: Bool, path index: Int, receivedAt: WallTime, at now: Instant
    ) -> Label {
        if latest == 0 { start(first, resets, at: now, receivedAt) }
        if paths[index].numbering == 0 { join(index, at: now) }
        let own = paths[index].highest
        var wide = widened(first, near: own > 0 ? own : latestHighest)
        if moves(index, wide, count, resets, at: now, receivedAt) {
            wide = widened(first, near: latestHighest)
        } else if let label = straggler(first, index, at: now) {
            return label
        }
        note(index, wide, count, at: now)
        return Label(session: paths[index].session, first: wide)
    }

    // MARK: - Requests

    /// A number as the venue has it, and how many come before its numbers begin again.
    public func venueNumber(of wide: UInt64) -> (number: UInt64, before: UInt64) {
        guard let last = options.last, wide > 0 else { return (wide, .max) }
        let number = (wide - 1) % last + 1
        return (number, last - number + 1)
    }

    /// The place of a number that the venue sent again.
    public func place(ofRecovered number: UInt64) -> UInt64 { widened(number, near: latestHighest) }

    /// The highest number of the latest numbering.
    private var latestHighest: UInt64 {
        paths.reduce(latest == 1 ? origin : 0) { $1.numbering == latest ? max($0, $1.highest) : $0 }
    }

    /// A packet that was overtaken by the one that moved its path: nearer to where the path was than to where it is.
    private func straggler(_ first: UInt64, _ index: Int, at now: Instant) -> Label? {
        let path = paths[index]
        guard let left = path.left, now - path.movedAt < options.quiet else { return nil }
        let wide = widened(first, near: left.highest)
        guard SessionLabels.isNearer(wide, to: left.highest, than: path.highest) else { return nil }
        return Label(session: left.session, first: wide)
    }

    /// Whether a number follows one position more closely than another.
    private static func isNearer(_ number: UInt64, to highest: UInt64, than other: UInt64) -> Bool {
        func distance(_ next: UInt64) -> UInt64 { max(number, next) - min(number, next) }
        return distance(highest &+ 1) < distance(other &+ 1)
    }

    private mutating func note(_ index: Int, _ first: UInt64, _ count: UInt64, at now: Instant) {
        paths[index].heardAt = now
        let next = first &+ count
        guard next > paths[index].highest || paths[index].highest == 0 else { return }
        guard isPlausible(next, index) else { return }
        paths[index].highest = next == 0 ? 0 : next - 1
        paths[index].again = 0
        if paths[index].numbering == latest { advancedAt = max(advancedAt, now) }
    }

    /// One packet whose number is far ahead moves nobody; a second one near it does.
    private mutating func isPlausible(_ next: UInt64, _ index: Int) -> Bool {
        // One that was not heard before is where the others are.
        let highest = paths[index].highest > 0 ? paths[index].highest : latestHighest
        guard highest > 0, next > highest, next - highest > options.maximumJump else {
            paths[index].jump = 0
            return true
        }
        let jump = paths[index].jump
        let isConfirmed = jump > 0 && max(jump, next) - min(jump, next) <= options.maximumJump
        paths[index].jump = isConfirmed ? 0 : next
        return isConfirmed
    }

    /// Whether the path moves to another numbering with this packet.
    private mutating func moves(
        _ index: Int, _ first: UInt64, _ count: UInt64, _ resets: Bool, at now: Instant, _ wall: WallTime
    ) -> Bool {
        let path = paths[index]
        let beginsAgain = path.highest > 0 && first &+ max(count, 1) <= path.highest &+ 1
        let isReset = resets && first <= path.highest
        if path.numbering < latest {
            let isAtHome = SessionLabels.isNearer(first, to: latestHighest, than: path.highest)
            let wasAway = now - path.heardAt > options.quiet
            guard isReset || isAtHome && (beginsAgain || wasAway) else { return false }
            join(index, at: now)
            return true
        }
        if isReset, path.highest > 0 {
            if resetFirst == first, now - path.movedAt < options.copyWithin { return false }
            begin(at: now, date(of: wall, first, isReset: true))
            resetFirst = first
            join(index, at: now)
            return true
        }
        guard beginsAgain, now - advancedAt >= options.quiet else {
            paths[index].again = 0
            return false
        }
        return runsAgain(index, first, at: now, wall)
    }

    /// One more packet of a path that begins again while nothing new comes.
    private mutating func runsAgain(
        _ index: Int, _ first: UInt64, at now: Instant, _ wall: WallTime
    ) -> Bool {
        let continues = paths[index].again > 0 && first >= paths[index].againFirst
        paths[index].again = continues ? paths[index].again + 1 : 1
        paths[index].againFirst = first
        guard paths[index].again >= options.restartCount else { return false }
        begin(at: now, date(of: wall, first, isReset: false))
        isInferred = true
        join(index, at: now)
        return true
    }

    /// The first packet tells whether the numbering goes on in which an earlier run stopped.
    private mutating func start(_ first: UInt64, _ resets: Bool, at now: Instant, _ wall: WallTime) {
        let date = date(of: wall, first, isReset: resets)
        // A name from far in the future was given by a clock that was wrong.
        let farthest = SessionLabels.date(of: wall + .seconds(31 * 86_400), options.period)
        guard let past, past.session / SessionLabels.datePlaces <= farthest else {
            return begin(at: now, date)
        }
        session = past.session
        let wide = widened(first, near: past.last)
        let isBehind = wide <= past.last
        let isOfThisTime = isOfThisTime(past, wall)
        let isNext = isBehind && !resets && isOfThisTime && isOfNext(wide, after: past, wall)
        let follows = !isBehind || past.last - wide <= options.overlap && !resets && !isNext
        guard follows, isOfThisTime else {
            let begun = isNext ? self.date(of: wall, 1, isReset: false) : date
            begin(at: now, begun)
            isInferred = !resets && session != begun * SessionLabels.datePlaces
            return
        }
        (latest, origin, advancedAt) = (1, past.last, now)
    }

    /// Another numbering begins.
    private mutating func begin(at now: Instant, _ date: UInt64) {
        latest += 1
        let dated = date * SessionLabels.datePlaces
        let (next, reset) = (session / SessionLabels.resetPlaces + 1, SessionLabels.resetPlaces)
        session = dated > session ? dated : next * reset
        (isInferred, resetFirst, advancedAt) = (false, nil, now)
    }

    private mutating func join(_ index: Int, at now: Instant) {
        let before = paths[index]
        var path = Path()
        (path.numbering, path.session, path.heardAt, path.movedAt) = (latest, session, before.heardAt, now)
        if before.numbering != 0 { path.left = (before.session, before.highest) }
        paths[index] = path
    }

    /// A number in the round that is nearest to where the path is.
    private func widened(_ number: UInt64, near reference: UInt64) -> UInt64 {
        guard let last = options.last, reference > 0, number > 0, number <= last else { return number }
        let round = (reference - 1) / last
        let place = (reference - 1) % last + 1
        let wide = round * last + number
        if place > last - options.reach, number < options.reach { return wide + last }
        if place < options.reach, number > last - options.reach, round > 0 { return wide - last }
        return wide
    }

    /// Whether a number that is not above where an earlier run stopped is one of the next session: between two sessions the
    /// last one sends no more than its end again, so that a number nearer to the beginning, or heard nearer to the next
    /// opening, is of one that begins. It cannot be told for sure; to go on with the last one would hide what was lost.
    private func isOfNext(_ number: UInt64, after past: Past, _ wall: WallTime) -> Bool {
        guard options.period == .day, let calendar = options.calendar,
            case .between(_, let next?, let isNearerNext) = calendar.place(of: wall)
        else { return false }
        let isLast = past.session / SessionLabels.datePlaces < next.digits
        return isLast && isNearerNext || number <= past.last - number
    }

    /// Whether the venue may still be in a numbering that an earlier run heard.
    private func isOfThisTime(_ past: Past, _ wall: WallTime) -> Bool {
        let named = past.session / SessionLabels.datePlaces
        if options.period == .day, let calendar = options.calendar {
            switch calendar.place(of: wall) {
            case .within(let date): return named >= date.digits
            // What was heard of the last session may stand until the next one begins.
            case .between(let last?, _, _): return named >= last.digits
            case .between(nil, _, _): break
            }
        }
        return named >= SessionLabels.date(of: wall, options.period)
            || wall - past.heardAt < options.goesOnFor
    }

    /// The date that names a numbering which is heard now for the first time. Between two sessions it is of the one that
    /// is nearer, and of the next one if nothing was sent in it yet.
    private func date(of wall: WallTime, _ first: UInt64, isReset: Bool) -> UInt64 {
        if options.period == .day, let place = options.calendar?.place(of: wall) {
            var date = place.nearest
            if case .between(_, let next?, _) = place, first <= 1, !isReset { date = next }
            if let date { return date.digits }
        }
        return SessionLabels.date(of: wall, options.period)
    }

    /// The date of a numbering that begins now, in UTC, as 20260102: its day, or the Sunday of its week. A week
    /// begins on Saturday at noon, when every market of a weekly venue is closed.
    static func date(of time: WallTime, _ period: Period) -> UInt64 {
        guard case .week = period else { return time.dateInUTC.digits }
        let day: Int64 = 86_400_000_000_000
        // 1970-01-03 was a Saturday.
        let firstNoon = 2 * day + day / 2
        let week = (time.nanoseconds - firstNoon).flooredQuotient(by: 7 * day)
        return WallTime(nanoseconds: firstNoon + week * 7 * day + day).dateInUTC.digits
    }
}

extension CivilDate {
    /// As 20260102.
    fileprivate var digits: UInt64 { UInt64(clamping: year * 10_000 + month * 100 + day) }
}
