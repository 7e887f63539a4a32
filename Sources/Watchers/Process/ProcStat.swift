// /proc/PID/stat and its neighbours, decoded. Source: proc_pid_stat(5).
import Basics

/// The fields of /proc/PID/stat that Holdfast uses.
public struct ProcStat: Hashable, Sendable {
    /// At most 15 bytes; may itself hold spaces and parentheses.
    public var name: String
    /// `R`, `S`, `Z` …
    public var state: UInt8
    /// Field 22: clock ticks from the boot to the start.
    public var startTicks: UInt64
    /// Field 24, in pages.
    public var residentPages: Int64
    /// Field 52: the wait status of a process that has ended; 0 too for who may not see it.
    public var waitStatus: Int32?

    /// Decodes one line; `nil` for what is not of this form.
    public init?(_ bytes: [UInt8]) {
        // The name ends at the last parenthesis, as it may hold any.
        guard let open = bytes.firstIndex(of: UInt8(ascii: "(")),
            let close = bytes.lastIndex(of: UInt8(ascii: ")")), open < close
        else { return nil }
        name = String(decoding: bytes[(open + 1)..<close], as: UTF8.self)
        let fields = bytes[(close + 1)...].split { $0 <= 0x20 }
        // fields[0] is field 3.
        guard fields.count >= 22, let state = fields[0].first,
            let start = UInt64(String(decoding: fields[19], as: UTF8.self)),
            let pages = Int64(String(decoding: fields[21], as: UTF8.self))
        else { return nil }
        self.state = state
        startTicks = start
        residentPages = pages
        waitStatus = fields.count >= 50 ? Int32(String(decoding: fields[49], as: UTF8.self)) : nil
    }

    /// A process that has ended and waits for its parent is no longer running.
    public var hasEnded: Bool { state == UInt8(ascii: "Z") || state == UInt8(ascii: "X") }
}

/// The words of /proc/PID/cmdline, which NULs end.
public func commandWords(_ bytes: [UInt8]) -> [String] {
    var words = bytes.split(separator: 0, omittingEmptySubsequences: false)
    if words.last?.isEmpty == true { words.removeLast() }
    return words.map { String(decoding: $0, as: UTF8.self) }
}

/// Whether a command line holds these words in a row.
public func contains(_ words: [String], inARow wanted: [String]) -> Bool {
    guard !wanted.isEmpty, words.count >= wanted.count else { return false }
    return (0...(words.count - wanted.count)).contains { start in
        words[start..<(start + wanted.count)].elementsEqual(wanted)
    }
}
