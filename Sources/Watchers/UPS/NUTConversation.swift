// The conversation with upsd over TCP (docs/net-protocol.txt of NUT, RFC 9271): log in if asked to, find the UPSes,
// and list each one's variables at every poll. A value: lines in; lines to send and what was learned out.
import Basics

/// What upsd said.
enum NUTEvent: Hashable, Sendable {
    /// The UPSes that it serves.
    case served([String])
    /// All variables of a UPS.
    case variables(ups: String, [String: String])
    case stale(ups: String)
    case driverGone(ups: String)
    case unknownUPS(String)
    /// The login was refused: nothing else is tried on this connection.
    case refused(String)
    /// What made no sense, ignored.
    case malformed(String)
}

struct NUTConversation: Sendable {
    static let mostVariables = 1000
    /// UPSes of one server beyond this many are left out.
    static let mostUPSes = 256
    static let longestValue = 1024

    /// What is sent, and what is awaited for it.
    private enum Awaited: Hashable {
        case userOK, passwordOK, upsList, variables(String)
    }

    private enum Gathering: Hashable {
        case upses([String])
        case variables(ups: String, [String: String])
    }

    private let user: String?
    private let password: String?
    private var awaited: [Awaited] = []
    private var gathering: Gathering?
    private var isRefused = false

    init(user: String?, password: String?) {
        self.user = user
        self.password = password
    }

    /// Whether everything that was asked has been answered.
    var isIdle: Bool { awaited.isEmpty }

    /// The connection stands: the lines to send.
    mutating func connected() -> [String] {
        awaited = []
        gathering = nil
        isRefused = false
        var lines: [String] = []
        if let user = user.flatMap(NUTLine.quoted) {
            lines.append("USERNAME \(user)")
            awaited.append(.userOK)
            if let password = password.flatMap(NUTLine.quoted) {
                lines.append("PASSWORD \(password)")
                awaited.append(.passwordOK)
            }
        }
        return lines
    }

    mutating func list() -> [String] {
        guard !isRefused else { return [] }
        awaited.append(.upsList)
        return ["LIST UPS"]
    }

    mutating func poll(_ upses: [String]) -> [String] {
        guard !isRefused else { return [] }
        return upses.compactMap { ups in
            guard let name = NUTLine.quoted(ups) else { return nil }
            awaited.append(.variables(ups))
            return "LIST VAR \(name)"
        }
    }

    /// A line came.
    mutating func received(_ line: [UInt8]) -> [NUTEvent] {
        guard let words = NUTLine.words(line), let first = words.first else {
            return [.malformed(String(decoding: line.prefix(80), as: UTF8.self))]
        }
        switch first {
        case "OK": return accepted(words)
        case "ERR": return failed(words.count > 1 ? words[1] : "")
        case "BEGIN": return began(words)
        case "UPS", "VAR": return gathered(words)
        case "END": return ended(words)
        default: return [malformed(words)]
        }
    }

    private func malformed(_ words: [String]) -> NUTEvent {
        .malformed(String(words.joined(separator: " ").prefix(80)))
    }

    private mutating func accepted(_ words: [String]) -> [NUTEvent] {
        switch awaited.first {
        case .userOK, .passwordOK:
            awaited.removeFirst()
            return []
        case .upsList, .variables, nil: return [malformed(words)]
        }
    }

    private mutating func failed(_ reason: String) -> [NUTEvent] {
        guard let what = awaited.first else { return [.malformed("ERR \(reason.prefix(60))")] }
        awaited.removeFirst()
        gathering = nil
        switch what {
        case .userOK, .passwordOK:
            isRefused = true
            return [.refused(String(reason.prefix(60)))]
        case .upsList:
            if reason == "ACCESS-DENIED" { return [.refused(reason)] }
            return [.malformed("LIST UPS: \(reason.prefix(60))")]
        case .variables(let ups):
            switch reason {
            case "DATA-STALE": return [.stale(ups: ups)]
            case "DRIVER-NOT-CONNECTED": return [.driverGone(ups: ups)]
            case "UNKNOWN-UPS": return [.unknownUPS(ups)]
            case "ACCESS-DENIED", "USERNAME-REQUIRED", "PASSWORD-REQUIRED", "INVALID-USERNAME",
                "INVALID-PASSWORD":
                return [.refused(reason)]
            default: return [.malformed("LIST VAR \(ups): \(reason.prefix(60))")]
            }
        }
    }

    private mutating func began(_ words: [String]) -> [NUTEvent] {
        switch awaited.first {
        case .upsList where words == ["BEGIN", "LIST", "UPS"]: gathering = .upses([])
        case .variables(let ups) where words == ["BEGIN", "LIST", "VAR", ups]:
            gathering = .variables(ups: ups, [:])
        case .userOK, .passwordOK, .upsList, .variables, nil: return [malformed(words)]
        }
        return []
    }

    private mutating func gathered(_ words: [String]) -> [NUTEvent] {
        switch gathering {
        case .upses(var names) where words.count == 3 && words[0] == "UPS":
            guard names.count < NUTConversation.mostUPSes else { return [] }
            names.append(words[1])
            gathering = .upses(names)
        case .variables(let ups, var values) where words.count == 4 && words[0] == "VAR" && words[1] == ups:
            guard values.count < NUTConversation.mostVariables,
                words[3].utf8.count <= NUTConversation.longestValue
            else { return [malformed(words)] }
            values[words[2]] = words[3]
            gathering = .variables(ups: ups, values)
        case .upses, .variables, nil: return [malformed(words)]
        }
        return []
    }

    private mutating func ended(_ words: [String]) -> [NUTEvent] {
        defer { gathering = nil }
        switch gathering {
        case .upses(let names) where words == ["END", "LIST", "UPS"]:
            awaited.removeFirst()
            return [.served(names)]
        case .variables(let ups, let values) where words == ["END", "LIST", "VAR", ups]:
            awaited.removeFirst()
            return [.variables(ups: ups, values)]
        case .upses, .variables, nil: return [malformed(words)]
        }
    }
}
