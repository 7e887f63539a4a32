// A change of state as a journal entry, with fields that a search can use.
import Linux
import Logging
import Wire

extension Logger {
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
