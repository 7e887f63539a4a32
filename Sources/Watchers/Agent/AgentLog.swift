// What the agent writes to the log: one entry per transition, with fields that a search can use.
public import Logging
import Wire

/// The kinds of event in the journal, each with its own MESSAGE_ID (`journalctl MESSAGE_ID=…`).
public enum AgentEvent: String {
    case started = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a01"
    case stateChanged = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a02"
    case noLongerWatched = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a03"
    case reloaded = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a04"
    case reloadRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a05"
    case stopping = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a06"
}

extension Logger {
    /// Logs with the MESSAGE_ID of an event.
    public func event(
        _ event: AgentEvent, level: Logger.Level, _ message: String, _ fields: Logger.Metadata = [:]
    ) {
        var fields = fields
        fields["message_id"] = "\(event.rawValue)"
        log(level: level, "\(message)", metadata: fields)
    }

    /// HOLDFAST_SUBJECT, HOLDFAST_STATUS, HOLDFAST_PREVIOUS, HOLDFAST_CAUSE.
    func transition(_ state: StateMessage) {
        var fields: Logger.Metadata = ["subject": "\(state.subject)", "status": "\(state.status.rawValue)"]
        if let previous = state.previous { fields["previous"] = "\(previous.rawValue)" }
        if let cause = state.cause { fields["cause"] = "\(cause)" }
        guard !state.isGone else {
            return event(.noLongerWatched, level: .notice, "\(state.subject) is no longer watched", fields)
        }
        let because = state.cause.map { ", because of \($0)" } ?? ""
        let message = "\(state.subject) is \(state.status.rawValue): \(state.reason)\(because)"
        // That nothing is known yet, at the start, is no news to act on.
        let isStart = state.status == .unknown && state.previous == nil
        event(.stateChanged, level: isStart ? .info : level(of: state.status), message, fields)
    }

    private func level(of status: Status) -> Logger.Level {
        switch status {
        case .ok: .notice
        case .warning: .warning
        case .critical: .error
        case .unknown: .warning
        }
    }
}
