// Which of a venue's sessions a moment belongs to, by the date on which it began on the venue's clocks: what names a
// numbering of a venue that names none.

/// Where a moment lies among the sessions of a calendar.
public enum SessionPlace: Hashable, Sendable {
    /// In the one that began on this date.
    case within(CivilDate)
    /// Behind one and before another; `nil`: there is none within a year.
    case between(last: CivilDate?, next: CivilDate?, isNearerNext: Bool)

    /// The date of the session whose time it is: between two sessions, the nearer one's; `nil`: there is none within a year.
    public var nearest: CivilDate? {
        switch self {
        case .within(let date): date
        case .between(let last, let next, let isNearerNext): isNearerNext ? next ?? last : last ?? next
        }
    }
}

extension SessionCalendar {
    public func place(of wall: WallTime) -> SessionPlace {
        let moment = wall.nanoseconds.flooredQuotient(by: 1_000_000_000)
        let minutes = (moment + rules.offset(at: moment)).flooredQuotient(by: 60)
        let day = minutes.flooredQuotient(by: 1440)
        let now = minutes - day * 1440
        for begun in [day, day - 1] where goesOn(begunOn: begun, at: minutes) {
            return .within(CivilDate(daysSince1970: begun))
        }
        let last = lastEnd(before: minutes, on: day)
        let next = opening(after: now, on: day)
        let opens = next.map { $0.date.daysSince1970 * 1440 + $0.minutes }
        let isNearerNext = opens.map { $0 - minutes < minutes - (last?.end ?? .min / 2) } ?? false
        return .between(last: last?.date, next: next?.date, isNearerNext: isNearerNext)
    }

    /// Whether something that was made at an earlier moment, a file, can be of the session that is sent now. Between two
    /// sessions it is the nearer one's time.
    public func isOfThisSession(_ earlier: WallTime, now: WallTime) -> Bool {
        guard let date = place(of: now).nearest else { return false }
        return place(of: earlier).nearest == date
    }

    /// - Parameter minutes: since 1970 on the venue's clocks, as in what follows.
    private func goesOn(begunOn day: Int64, at minutes: Int64) -> Bool {
        let now = minutes - day * 1440
        return hours(on: day).contains { $0.opens <= now && now < $0.end }
    }

    private func lastEnd(before minutes: Int64, on day: Int64) -> (date: CivilDate, end: Int64)? {
        for begun in stride(from: day, through: day - SessionCalendar.farthest, by: -1) {
            let ends = hours(on: begun).map { begun * 1440 + $0.end }.filter { $0 <= minutes }
            if let end = ends.max() { return (CivilDate(daysSince1970: begun), end) }
        }
        return nil
    }
}
