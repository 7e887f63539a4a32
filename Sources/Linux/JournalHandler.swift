// Logging for swift-log: structured entries in journald when the service manager connected us to it, one plain
// line on standard error otherwise.
//
// Metadata keys become journal fields: `subject` is HOLDFAST_SUBJECT; `message_id` is MESSAGE_ID.
import CLinux
import CSystemd
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
    public var logLevel: Logger.Level = .info
    public var metadata: Logger.Metadata = [:]
    private let identifier: String
    private let output: LogOutput

    /// - Parameter identifier: SYSLOG_IDENTIFIER, the program's name.
    public init(identifier: String, output: LogOutput) {
        self.identifier = identifier
        self.output = output
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        switch output {
        case .journal: sendToJournal(event.level, "\(event.message)", fields)
        case .standardError: writeLine(event.level, "\(event.message)", fields)
        }
    }

    /// `level: message (key=value …)`; the time is left to whoever reads the terminal or pipes it.
    private func writeLine(_ level: Logger.Level, _ message: String, _ fields: Logger.Metadata) {
        let shown = fields.filter { $0.key != "message_id" }.sorted { $0.key < $1.key }
        let suffix =
            shown.isEmpty ? "" : " (" + shown.map { "\($0.key)=\($0.value)" }.joined(separator: " ") + ")"
        let line = Array("\(identifier): \(level): \(message)\(suffix)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress!, $0.count) }
    }

    private func sendToJournal(_ level: Logger.Level, _ message: String, _ fields: Logger.Metadata) {
        var lines = ["MESSAGE=\(message)", "PRIORITY=\(priority(level))", "SYSLOG_IDENTIFIER=\(identifier)"]
        for (key, value) in fields { lines.append("\(JournalHandler.fieldName(key))=\(value)") }
        JournalHandler.send(lines)
    }

    /// journald takes A–Z, 0–9 and _.
    static func fieldName(_ key: String) -> String {
        let upper = String(
            key.uppercased().unicodeScalars.map { scalar -> Character in
                let isPlain = ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
                return isPlain ? Character(scalar) : "_"
            })
        return upper == "MESSAGE_ID" ? upper : "HOLDFAST_" + upper
    }

    private static func send(_ lines: [String]) {
        let buffers = lines.map { Array($0.utf8) }
        var vectors: [iovec] = unsafe []
        for buffer in buffers {
            let copy = UnsafeMutableRawPointer.allocate(byteCount: max(1, buffer.count), alignment: 1)
            unsafe copy.copyMemory(from: buffer, byteCount: buffer.count)
            unsafe vectors.append(iovec(iov_base: copy, iov_len: buffer.count))
        }
        unsafe sd_journal_sendv(vectors, Int32(vectors.count))
        for index in unsafe 0..<vectors.count { unsafe vectors[index].iov_base.deallocate() }
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
