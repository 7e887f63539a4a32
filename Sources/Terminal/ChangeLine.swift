// One change in one line: for `holdfast watch` into a file or a pipe, and for the list of recent changes.
public import Basics
public import Wire

/// A change of the bus, as it is shown.
public struct ChangeLine: Hashable, Sendable {
    public var at: WallTime
    public var host: String
    public var subject: String
    public var status: Status
    /// What happened, for a person.
    public var text: String

    public init(at: WallTime, host: String, subject: String, status: Status, text: String) {
        self.at = at
        self.host = host
        self.subject = subject
        self.status = status
        self.text = text
    }

    /// What of a view's events a person wants to read; `nil` for samples and routine.
    /// - Parameter now: the wall clock, for events that carry no time of their own.
    public init?(_ event: HealthView.Event, host: String, at now: WallTime) {
        switch event {
        case .changed(let state, let previous):
            let cause = state.cause.map { " (cause: \($0))" } ?? ""
            let from = previous.map { $0 == state.status ? "" : "\($0.rawValue) → " } ?? ""
            self.init(
                at: state.detectedAt, host: state.stamp.host, subject: state.subject.description,
                status: state.status, text: from + state.status.rawValue + ": " + state.reason + cause)
        case .gone(let subject):
            self.init(
                at: now, host: host, subject: subject.description, status: .ok, text: "no longer watched")
        case .hostExpired:
            self.init(at: now, host: host, subject: "host", status: .unknown, text: "unknown: no heartbeat")
        case .hostBack:
            self.init(at: now, host: host, subject: "host", status: .ok, text: "heard again")
        case .newIncarnation:
            self.init(at: now, host: host, subject: "host", status: .ok, text: "started anew")
        case .missed(let range):
            let text = "missed change \(range); asking again"
            self.init(at: now, host: host, subject: "host", status: .warning, text: text)
        case .malformed(let reason):
            self.init(
                at: now, host: host, subject: "host", status: .warning, text: "ignored a message: \(reason)")
        case .stopping(let reason):
            let text = reason.map { "is about to stop: \($0)" } ?? "does not stop after all"
            self.init(
                at: now, host: host, subject: "host", status: reason == nil ? .ok : .critical, text: text)
        case .sampled, .heartbeat, .synced: return nil
        }
    }

    /// The whole line for a file: time in RFC 3339, host, subject, what happened.
    public var line: String { "\(at.rfc3339) \(host) \(subject) \(text)".printable }

    /// The line for a screen: the time of day, without the date.
    public func screenLine(width: Int, showsHost: Bool, palette: Palette) -> String {
        let time = String(at.rfc3339.dropFirst(11).prefix(12))
        let place = (showsHost ? host + " " : "") + subject
        let rest = max(0, width - time.count - 1)
        return palette.faint(time) + " "
            + palette.paint("\(place) \(text)".printable.fitted(to: rest).trimmedEnd, status)
    }
}
