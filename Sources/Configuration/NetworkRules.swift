// Rules for what names a place on a network: interfaces, IPv4 addresses, groups with ports, ZeroMQ endpoints,
// and the health subjects of either end.
internal import Basics
internal import Wire

extension Rules {
    /// What the kernel takes for the name of an interface (dev_valid_name in net/core/dev.c).
    static func isInterface(_ text: String) -> Bool {
        (1...15).contains(text.utf8.count) && text != "." && text != ".."
            && text.unicodeScalars.allSatisfy { isPlain($0) && $0 != "/" && $0 != ":" }
    }

    static let interface = text(
        "must be the name of an interface: 1 to 15 bytes without spaces, \"/\" and \":\""
    ) {
        isInterface($0) && !$0.contains("*")
    }

    /// The name of an interface in which `*` stands for any characters.
    static let interfacePattern = text(
        "must be the name of an interface, at most 15 bytes, in which * stands for any characters",
        isInterface)

    static let hostAddress = text("must be the IPv4 address of a host, such as \"192.0.2.1\"") {
        IPv4Address(host: $0) != nil
    }

    /// Where datagrams of a feed arrive: a multicast group or an own address, and a port.
    static let group = text(
        "must be an IPv4 multicast group (or an own address) and a port, such as \"239.1.1.1:30001\""
    ) {
        guard let endpoint = IPv4Endpoint($0) else { return false }
        return endpoint.address.isMulticast || endpoint.address.isHost
    }

    /// An endpoint of this host: ipc, or TCP on the loopback.
    static let localEndpoint: Rule<String> = { setting, place in
        guard case .text(let text) = setting, let endpoint = Endpoint(text) else {
            place.refuse(
                setting, "must be an endpoint: \"ipc:///run/holdfast/NAME\" or \"tcp://127.0.0.1:PORT\"")
            return nil
        }
        guard endpoint.isLocal else {
            place.refuse(
                setting,
                "addresses beyond loopback need CURVE keys, which this version does not read; "
                    + "use \"ipc:///run/holdfast/NAME\" or \"tcp://127.0.0.1:PORT\"")
            return nil
        }
        return text
    }

    /// An endpoint to connect to, anywhere.
    static let upstreamEndpoint = text("must be an endpoint to connect to, such as \"tcp://10.0.0.1:7001\"") {
        Endpoint($0) != nil
    }

    static let subject: Rule<Subject> = { setting, place in
        guard case .text(let text) = setting else {
            place.refuse(setting, "must be a subject in quotes, such as \"nic/eth0\" or \"path/isp-a\"")
            return nil
        }
        if let subject = Subject(parsing: text) { return subject }
        let kinds = Kind.allCases.map(\.rawValue)
        let kind = String(text.prefix { $0 != "/" })
        let hint = nearest(to: kind, among: kinds).map { "; did you mean \"\($0)/…\"?" } ?? ""
        place.refuse(setting, "must be KIND/NAME, the kind one of \(kinds.joined(separator: ", "))\(hint)")
        return nil
    }
}
