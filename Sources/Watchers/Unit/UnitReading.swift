// What systemd says of a unit, gathered from replies and signals (org.freedesktop.systemd1(5)).
public import Reactor

/// The properties of a unit that Holdfast judges by.
public struct UnitReading: Hashable, Sendable {
    /// The primary name: another one than the asked for where that is an alias.
    public var id = ""
    public var loadState = ""
    public var activeState = ""
    public var subState = ""
    /// Of the present or the last run; another one after each start.
    public var invocation = ""
    /// Whether a job, such as a start, is queued.
    public var hasJob = false
    /// When it last became active, on the monotonic clock, in microseconds; 0: never.
    public var activeSince: Int64 = 0

    // Of services alone:
    public var result = ""
    /// Automatic restarts since it was last started by hand.
    public var restarts: Int64 = 0
    /// The main process; 0: none now.
    public var mainPID: Int64 = 0
    /// The last main process, how it ended (`CLD_EXITED` 1, `CLD_KILLED` 2, `CLD_DUMPED` 3; 0: it has not), and with
    /// which status or signal.
    public var lastPID: Int64 = 0
    public var lastCode: Int64 = 0
    public var lastStatus: Int64 = 0
    /// On the wall clock, in microseconds; 0: it has not ended.
    public var lastExitAt: Int64 = 0

    public init() {}

    /// The names of the properties on the interface of all units.
    static let unitProperties: Set<String> = [
        "Id", "LoadState", "ActiveState", "SubState", "InvocationID", "Job", "ActiveEnterTimestampMonotonic",
    ]

    /// And on that of services.
    static let serviceProperties: Set<String> = [
        "Result", "NRestarts", "MainPID", "ExecMainPID", "ExecMainCode", "ExecMainStatus",
        "ExecMainExitTimestamp",
    ]

    /// Takes properties over; what is not among them, or of another type, stays.
    public mutating func take(_ properties: [String: BusValue]) {
        for (name, value) in properties {
            if let text = value.text { take(name, text: text) }
            if let number = value.integer { take(name, number: number) }
            if name == "InvocationID", let bytes = value.bytes { invocation = hexadecimal(bytes) }
        }
    }

    private mutating func take(_ name: String, text: String) {
        switch name {
        case "Id": id = text
        case "LoadState": loadState = text
        case "ActiveState": activeState = text
        case "SubState": subState = text
        case "Result": result = text
        default: break
        }
    }

    private mutating func take(_ name: String, number: Int64) {
        switch name {
        case "Job": hasJob = number != 0
        case "ActiveEnterTimestampMonotonic": activeSince = number
        case "NRestarts": restarts = number
        case "MainPID": mainPID = number
        case "ExecMainPID": lastPID = number
        case "ExecMainCode": lastCode = number
        case "ExecMainStatus": lastStatus = number
        case "ExecMainExitTimestamp": lastExitAt = number
        default: break
        }
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".unicodeScalars)
        var text = ""
        for byte in bytes.prefix(16) {
            text.unicodeScalars.append(digits[Int(byte >> 4)])
            text.unicodeScalars.append(digits[Int(byte & 15)])
        }
        return text
    }

    /// How its last run ended, as far as systemd tells.
    public var end: UnitEnd {
        switch result {
        case "oom-kill", "watchdog", "timeout", "resources", "protocol", "exec-condition": .result(result)
        default:
            switch lastCode {
            case 1: .exited(Int32(clamping: lastStatus))
            case 2, 3: .killed(signal: Int32(clamping: lastStatus), dumped: lastCode == 3)
            // The main process never ran, or systemd follows none: a command before it may have failed.
            default: result.isEmpty || result == "success" ? .unknown : .result(result)
            }
        }
    }
}

/// How a unit's run ended.
public enum UnitEnd: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32, dumped: Bool)
    /// systemd's own word, `Result` of org.freedesktop.systemd1(5).
    case result(String)
    case unknown

    /// For a reason.
    var words: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .killed(let signal, let dumped): signalName(signal) + (dumped ? ", core dumped" : "")
        case .result("oom-kill"): "killed for lack of memory"
        case .result("watchdog"): "silent for longer than its WatchdogSec"
        case .result("timeout"): "a time limit of its start or stop"
        case .result("resources"): "systemd could not give it what it needs"
        case .result("protocol"): "it did not do what its Type= says"
        case .result("start-limit-hit"): "started too often"
        case .result(let word): "result \(word.prefix(32))"
        case .unknown: "an end that nobody saw"
        }
    }
}
