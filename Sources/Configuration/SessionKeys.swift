// `session = { zone = "America/New_York", hours = ["04:00-20:00"] }` of a feed: when its venue trades. The zone's rules
// are read here, so that a name without rules is refused like any other mistake.
internal import Basics
internal import Glibc

/// A zone's name, and what the time zone database says of it.
struct NamedZone: Hashable, Sendable {
    /// Where the database is, on every Linux.
    static let folder = "/usr/share/zoneinfo"

    var name: String
    var rules: ZoneRules

    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && !text.hasPrefix("/") && !text.contains("..")
            && text.utf8.allSatisfy { byte in
                BareValue.isKeyByte(byte) || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "+")
            }
    }

    /// `nil`: there is no such file.
    /// - Throws: what is wrong with the file.
    static func read(_ name: String) throws(ZoneDefect) -> NamedZone? {
        if name == "UTC" { return NamedZone(name: name, rules: .utc) }
        guard let bytes = contents(of: "\(folder)/\(name)") else { return nil }
        return NamedZone(name: name, rules: try ZoneRules(bytes))
    }

    private static func contents(of path: String) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: ZoneRules.mostBytes + 1)
        var filled = 0
        while filled < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress! + filled, $0.count - filled)
            }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            filled += count
        }
        return Array(bytes[..<filled])
    }
}

/// What is read of a session before it is whole.
struct SessionDraft: Sendable {
    struct OtherHours: Hashable, Sendable {
        var date: CivilDate
        var hours: SessionHours
    }

    var zone: NamedZone?
    var days: [Weekday] = [.monday, .tuesday, .wednesday, .thursday, .friday]
    var hours: [SessionHours] = []
    var holidays: [CivilDate] = []
    var otherHours: [OtherHours] = []

    var calendar: SessionCalendar? {
        guard let zone, !hours.isEmpty else { return nil }
        return SessionCalendar(
            zone: zone.name, rules: zone.rules, days: Set(days), hours: hours, holidays: Set(holidays),
            otherHours: Dictionary(grouping: otherHours, by: \.date).mapValues { $0.map(\.hours) })
    }
}

extension Key {
    /// A calendar of sessions, as an inline table or a section.
    static func session(_ name: String, _ target: any WritableKeyPath<Options, SessionCalendar?> & Sendable)
        -> Key
    {
        Key(name: name, isRequired: false, paths: [name]) { setting, place, options in
            guard case .table = setting else {
                return place.refuse(
                    setting,
                    "write its hours, such as { zone = \"America/New_York\", hours = [\"04:00-20:00\"] }")
            }
            var draft = SessionDraft()
            Section<SessionDraft>.session.read(setting, at: place, into: &draft)
            for (index, other) in draft.otherHours.enumerated() where draft.holidays.contains(other.date) {
                place.key("other_hours").item(index).refuse("\(other.date) is one of holidays as well")
            }
            options[keyPath: target] = draft.calendar
        }
    }
}

extension Section where Options == SessionDraft {
    static var session: Section {
        Section(keys: [
            .value("zone", \.zone, required: true, Rules.zone),
            .value("days", \.days, Rules.list(1...7, of: Rules.word(Weekday.self))),
            .value("hours", \.hours, required: true, Rules.list(1...8, of: Rules.hours)),
            .value("holidays", \.holidays, Rules.list(0...400, of: Rules.date)),
            .value("other_hours", \.otherHours, Rules.list(0...400, of: Rules.otherHours)),
        ])
    }
}

extension Rules {
    static let zone: Rule<NamedZone> = { setting, place in
        guard case .text(let text) = setting, NamedZone.isName(text) else {
            place.refuse(setting, "must be a name of the time zone database, such as \"America/New_York\"")
            return nil
        }
        do throws(ZoneDefect) {
            if let zone = try NamedZone.read(text) { return zone }
            place.refuse(
                setting, "no such time zone in \(NamedZone.folder); is the package tzdata installed?")
        } catch {
            place.refuse(setting, "its file in \(NamedZone.folder) is none of a time zone: \(error)")
        }
        return nil
    }

    static let hours: Rule<SessionHours> = { setting, place in
        guard case .text(let text) = setting, let hours = SessionHours(written: text) else {
            place.refuse(
                setting,
                "must be two times of day, such as \"09:30-16:00\"; \"17:00-16:00\" ends on the next day")
            return nil
        }
        return hours
    }

    static let date: Rule<CivilDate> = { setting, place in
        guard case .text(let text) = setting, let date = CivilDate(written: text) else {
            place.refuse(setting, "must be a date in quotes, such as \"2026-12-25\"")
            return nil
        }
        return date
    }

    static let otherHours: Rule<SessionDraft.OtherHours> = { setting, place in
        guard case .text(let text) = setting, case let parts = text.split(separator: " "), parts.count == 2,
            let date = CivilDate(written: parts[0]), let hours = SessionHours(written: parts[1])
        else {
            place.refuse(
                setting, "must be a date and its hours, such as \"2026-11-27 04:00-17:00\"")
            return nil
        }
        return SessionDraft.OtherHours(date: date, hours: hours)
    }
}
