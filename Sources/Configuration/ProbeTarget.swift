// Whom a path asks, and how: `192.0.2.1` by ICMP echo, `tcp://192.0.2.1:443` by a TCP connection, and
// `dns://192.0.2.53` by a DNS query.
public import Basics

/// A host that proves a path by answering.
public struct ProbeTarget: Hashable, Sendable, CustomStringConvertible {
    public enum Method: Hashable, Sendable {
        /// ICMP or ICMPv6 echo.
        case echo
        /// A TCP connection; refused is an answer too.
        case connect(port: UInt16)
        /// A DNS query over UDP; any response is an answer.
        case query(port: UInt16)
    }

    public var method: Method
    public var address: IPAddress

    public init(_ address: IPAddress, _ method: Method = .echo) {
        self.address = address
        self.method = method
    }

    /// Reads what stands in `targets`; `nil` for anything else. DNS has port 53 unless another is named.
    public init?(_ text: some StringProtocol) {
        let text = String(text)
        if text.hasPrefix("tcp://") {
            guard let place = Self.place(text.dropFirst(6)), let port = place.port else { return nil }
            self.init(place.address, .connect(port: port))
        } else if text.hasPrefix("dns://") {
            guard let place = Self.place(text.dropFirst(6)) else { return nil }
            self.init(place.address, .query(port: place.port ?? 53))
        } else {
            guard let address = IPAddress(host: text) else { return nil }
            self.init(address)
        }
    }

    /// `192.0.2.1:443`, `[2001:db8::1]:443`, or either without its port.
    private static func place(_ text: Substring) -> (address: IPAddress, port: UInt16?)? {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
            guard IPv6Address(host) != nil else { return nil }
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard let address = IPAddress(host: host) else { return nil }
        guard let port else { return (address, nil) }
        guard port.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt16(port), number > 0
        else {
            return nil
        }
        return (address, number)
    }

    public var description: String {
        let host = address.family == .v6 ? "[\(address)]" : "\(address)"
        switch method {
        case .echo: return "\(address)"
        case .connect(let port): return "tcp://\(host):\(port)"
        case .query(let port): return port == 53 ? "dns://\(host)" : "dns://\(host):\(port)"
        }
    }
}
