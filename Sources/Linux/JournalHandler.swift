// Logging for swift-log: structured entries in journald when the service manager connected us to it, one plain
// line on standard error otherwise.
//
// Metadata keys become journal fields: `subject` is HOLDFAST_SUBJECT; `message_id` is MESSAGE_ID.
import CLinux
import Glibc
public import Logging

/// Where the log goes.
public enum LogOutput: Sendable {
    case journal
    case standardError

    /// The journal if standard error leads there (`JOURNAL_STREAM`, systemd.exec(5)), else standard error.
    public static var detected: LogOutput {
        guard let stream = unsafe getenv("JOURNAL_STREAM") else { return .standardError }
        let parts = unsafe String(cString: stream).split(separator: ":")
        var status = stat()
        guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]),
            unsafe fstat(2, &status) == 0, UInt64(status.st_dev) == device, UInt64(status.st_ino) == inode
        else { return .standardError }
        return .journal
    }
}

/// A swift-log handler.
public struct JournalHandler: LogHandler {
    /// Fields that every entry has, and that a terminal need not show on every line.
    private static let everywhere: Set = ["message_id", "host", "incarnation"]

    public var logLevel: Logger.Level = .info
    public var metadata: Logger.Metadata = [:]
    private let identifier: String
    /// `nil`: standard error.
    private let journal: JournalSocket?

    /// - Parameter identifier: SYSLOG_IDENTIFIER, the program's name.
    public init(identifier: String, output: LogOutput) {
        self.init(identifier: identifier, journal: output == .journal ? try? JournalSocket() : nil)
    }

    init(identifier: String, journal: JournalSocket?) {
        self.identifier = identifier
        self.journal = journal
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        guard let journal else { return writeLine(event.level, "\(event.message)", fields) }
        let entry = entry(event.level, "\(event.message)", fields)
        if let lost = journal.send(entry), lost > 0 { tell(lost, journal) }
    }

    /// Tells of entries that did not reach the journal, if it can be told again; to be called now and then.
    public func tellLost() {
        guard let journal, journal.untold > 0 else { return }
        tell(journal.takeUntold(), journal)
    }

    private func tell(_ lost: UInt64, _ journal: JournalSocket) {
        let event = JournalEvent.journalLost
        var fields = metadata
        fields["message_id"] = "\(event.rawValue)"
        fields["lost"] = "\(lost)"
        let message = "\(lost) entries before this one did not reach the journal"
        // The notice itself is no entry that anybody would miss.
        guard journal.send(entry(event.level, message, fields), countsIfLost: false) != nil else {
            return journal.putBack(lost)
        }
    }

    /// `level: message (key=value …)`; the time is left to whoever reads the terminal or pipes it.
    private func writeLine(_ level: Logger.Level, _ message: String, _ fields: Logger.Metadata) {
        let shown = fields.filter { !JournalHandler.everywhere.contains($0.key) }.sorted { $0.key < $1.key }
        let suffix =
            shown.isEmpty ? "" : " (" + shown.map { "\($0.key)=\($0.value)" }.joined(separator: " ") + ")"
        let line = Array("\(identifier): \(level): \(message)\(suffix)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress!, $0.count) }
    }

    private func entry(
        _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata
    ) -> JournalEntry {
        var entry = JournalEntry()
        entry.add("MESSAGE", message)
        entry.add("PRIORITY", "\(priority(level))")
        entry.add("SYSLOG_IDENTIFIER", identifier)
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
            entry.add(JournalEntry.fieldName(key), "\(value)")
        }
        return entry
    }

    /// syslog(3) priorities.
    private func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
