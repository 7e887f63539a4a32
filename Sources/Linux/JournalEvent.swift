// The kinds of event in the journal, each with its own MESSAGE_ID, so that a search finds them all:
// journalctl MESSAGE_ID=…
public import Logging

/// A kind of journal entry and its MESSAGE_ID. Never reuse one for another kind.
public enum JournalEvent: String, Sendable {
    case started = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a01"
    case stateChanged = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a02"
    case noLongerWatched = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a03"
    case reloaded = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a04"
    case reloadRefused = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a05"
    case stopping = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a06"
    /// A feed moved to another path.
    case switched = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a07"
    /// A feed's numbering began anew.
    case epochBegan = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a08"
}

extension Logger {
    /// Logs with the MESSAGE_ID of an event.
    public func event(
        _ event: JournalEvent, level: Logger.Level, _ message: String, _ fields: Logger.Metadata = [:]
    ) {
        var fields = fields
        fields["message_id"] = "\(event.rawValue)"
        log(level: level, "\(message)", metadata: fields)
    }
}
