// A change of state as a journal entry, with fields that a search can use.
import Linux
import Logging
import Wire

extension Logger {
    /// HOLDFAST_SUBJECT, HOLDFAST_STATUS, HOLDFAST_REASON, HOLDFAST_PREVIOUS and HOLDFAST_CAUSE where there is
    /// one, and what the daemon itself knows of the subject.
    func transition(_ state: StateMessage, _ own: Logger.Metadata) {
        var fields = own
        fields["subject"] = "\(state.subject)"
        fields["status"] = "\(state.status.rawValue)"
        fields["reason"] = "\(state.reason)"
        if let previous = state.previous { fields["previous"] = "\(previous.rawValue)" }
        if let cause = state.cause { fields["cause"] = "\(cause)" }
        guard !state.isGone else {
            return event(.noLongerWatched, "\(state.subject) is no longer watched", fields)
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
