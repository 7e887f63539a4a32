// When a loop that may be held up is to be called next. One that comes late has been away: the answers that it awaits
// may have come meanwhile, and are taken before anything is judged by time. A value.
import Basics

/// The alarm of what judges absent answers.
struct PatientAlarm: Sendable {
    /// A loop that is called later than this has been away.
    static let late: Duration = .milliseconds(250)
    /// After an absence answers have so long to be taken.
    static let respite: Duration = .milliseconds(20)

    private var setFor: Instant?
    private var respiteEnds: Instant?

    /// The loop is called; returns whether absent answers may be judged now.
    mutating func rang(at now: Instant) -> Bool {
        if let setFor, now - setFor > PatientAlarm.late {
            respiteEnds = now + PatientAlarm.respite
        } else if let end = respiteEnds, now >= end {
            respiteEnds = nil
        }
        return respiteEnds == nil
    }

    /// When to be called for what is due then: no sooner than after the respite, for all that has passed meanwhile.
    mutating func set(for due: Instant) -> Instant {
        let next = respiteEnds.map { max($0, due) } ?? due
        setFor = next
        return next
    }
}
