// The conversation with a NUT driver over its own socket, which pushes each change at once (docs/sock-protocol.txt
// of NUT): one dump at the start, then SETINFO as things change. Only what is needed to listen is ever sent.
import Basics

/// What a driver said.
enum DriverEvent: Hashable, Sendable {
    /// The variables as they are now, after the dump and after each change that matters.
    case variables([String: String])
    case stale
    /// What made no sense, ignored.
    case malformed(String)
}

struct DriverConversation: Sendable {
    /// A driver that says nothing for this long is asked whether it lives.
    static let quietAfter: Duration = .seconds(2)
    /// Without a word for this long it is gone.
    static let silentAfter: Duration = .seconds(4)
    static let mostVariables = 1000

    private var variables: [String: String] = [:]
    private var isDumped = false
    private var isStale = false
    private var lastWord: Instant?
    private var isAsked = false

    /// The socket is open: the lines to send.
    mutating func connected(at now: Instant) -> [String] {
        self = DriverConversation()
        lastWord = now
        return ["DUMPALL"]
    }

    /// A line came.
    mutating func received(_ line: [UInt8], at now: Instant) -> [DriverEvent] {
        lastWord = now
        isAsked = false
        guard let words = NUTLine.words(line), let first = words.first else {
            return [.malformed(String(decoding: line.prefix(80), as: UTF8.self))]
        }
        switch first {
        case "SETINFO" where words.count == 3: return set(words[1], words[2])
        case "DELINFO" where words.count == 2:
            variables[words[1]] = nil
            return changed(words[1])
        case "DUMPDONE":
            isDumped = true
            return current
        case "DATASTALE":
            isStale = true
            return isDumped ? [.stale] : []
        case "DATAOK":
            let wasStale = isStale
            isStale = false
            return wasStale ? current : []
        case "PONG", "ADDENUM", "DELENUM", "ADDRANGE", "DELRANGE", "ADDCMD", "DELCMD", "SETFLAGS", "SETAUX",
            "TRACKING", "OK", "ON", "OFF":
            return []
        default: return [.malformed(String(words.joined(separator: " ").prefix(80)))]
        }
    }

    private mutating func set(_ name: String, _ value: String) -> [DriverEvent] {
        guard variables.count < DriverConversation.mostVariables || variables[name] != nil else {
            return [.malformed("more than \(DriverConversation.mostVariables) variables")]
        }
        guard variables.updateValue(value, forKey: name) != value else { return [] }
        return changed(name)
    }

    /// Only what a reading is made of is passed on: voltages dance all the time.
    private func changed(_ name: String) -> [DriverEvent] {
        let matters = ["ups.status", "ups.alarm", "ups.load", "battery.charge", "battery.runtime"]
        return isDumped && matters.contains(name) ? current : []
    }

    private var current: [DriverEvent] {
        guard isDumped else { return [] }
        return isStale ? [.stale] : [.variables(variables)]
    }

    // MARK: - Time

    var deadline: Instant? {
        lastWord.map { $0 + (isAsked ? DriverConversation.silentAfter : DriverConversation.quietAfter) }
    }

    /// What the time calls for: `nil`, a PING to send, or the end.
    enum Due: Hashable { case nothing, ask(String), gone }

    mutating func tick(at now: Instant) -> Due {
        guard let lastWord else { return .nothing }
        if now - lastWord >= DriverConversation.silentAfter { return .gone }
        guard now - lastWord >= DriverConversation.quietAfter, !isAsked else { return .nothing }
        isAsked = true
        return .ask("PING")
    }
}
