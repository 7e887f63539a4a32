// Where a socket is bound or connected, in ZeroMQ's spelling. What is beyond this host is encrypted; whether an
// endpoint is beyond it is decided here and nowhere else.
internal import Basics

/// A ZeroMQ endpoint that has an address of a known form.
public enum Endpoint: Hashable, Sendable {
    case ipc(path: String)
    case tcp(host: String, port: UInt16)

    /// The longest path of a Unix socket (`sun_path` is 108 bytes with its NUL: unix(7)).
    private static let longestPath = 107

    public init?(_ text: String) {
        if text.hasPrefix("ipc://") {
            let path = String(text.dropFirst(6))
            guard path.hasPrefix("/") || (path.hasPrefix("@") && path.utf8.count > 1) else { return nil }
            guard path.utf8.count <= Self.longestPath, path.unicodeScalars.allSatisfy(Self.isPlain) else {
                return nil
            }
            self = .ipc(path: path)
        } else if text.hasPrefix("tcp://") {
            let parts = text.dropFirst(6).split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, Self.isHost(parts[0]), let port = Self.port(parts[1]) else {
                return nil
            }
            self = .tcp(host: String(parts[0]), port: port)
        } else {
            return nil
        }
    }

    /// An endpoint to bind: ipc, or TCP on an address of this host, or on all of them (`*` or `0.0.0.0`).
    public init?(bound text: String) {
        let wildcard = ["tcp://*:", "tcp://0.0.0.0:"].first { text.hasPrefix($0) }
        if let wildcard {
            guard let port = Self.port(text.dropFirst(wildcard.count)) else { return nil }
            self = .tcp(host: "*", port: port)
            return
        }
        self.init(text)
        if case .tcp(let host, _) = self, IPv4Address(host: host) == nil { return nil }
    }

    /// Whether two sockets cannot be bound to both at once.
    public func clashes(with other: Endpoint) -> Bool {
        guard case .tcp(let host, let port) = self, case .tcp(let otherHost, let otherPort) = other else {
            return self == other
        }
        return port == otherPort && (host == otherHost || host == "*" || otherHost == "*")
    }

    /// A name in letters, digits, dots and hyphens (RFC 1123) or an IPv4 address.
    private static func isHost(_ text: Substring) -> Bool {
        if text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2E }) {
            return IPv4Address(host: text) != nil
        }
        let isAllowed: (Character) -> Bool = {
            $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-")
        }
        return text.utf8.count <= 253 && text.allSatisfy(isAllowed)
    }

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        !scalar.properties.isWhitespace && scalar.value > 0x20 && !(0x7F..<0xA0).contains(scalar.value)
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(text) else {
            return nil
        }
        return port == 0 ? nil : port
    }

    /// Whether only this host can reach an endpoint, however it is spelled: what is not clearly local is not.
    public static func isLocal(_ text: String) -> Bool {
        if text.hasPrefix("ipc://") || text.hasPrefix("inproc://") { return true }
        guard text.hasPrefix("tcp://") else { return false }
        return IPv4Address(text.dropFirst(6).prefix { $0 != ":" })?.isLoopback ?? false
    }

    /// Whether only this host can reach it.
    public var isLocal: Bool {
        switch self {
        case .ipc: true
        case .tcp(let host, _): IPv4Address(host)?.isLoopback ?? false
        }
    }
}
