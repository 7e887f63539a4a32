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

    /// One such group, or a list of them.
    static let groups: Rule<[String]> = { setting, place in
        guard case .list = setting else { return group(setting, place).map { [$0] } }
        return list(1...64, of: group)(setting, place)
    }

    /// An endpoint to bind: ipc, or TCP on one of this host's addresses or on all of them.
    static let boundEndpoint = text(
        "must be an endpoint to bind: \"ipc:///run/holdfast/NAME\", \"tcp://ADDRESS:PORT\" with an IPv4 address of "
            + "this host, or \"tcp://*:PORT\" for all of them"
    ) {
        Endpoint(bound: $0) != nil
    }

    /// An endpoint to bind that others than this host reach.
    static let boundBeyondHost: Rule<String> = { setting, place in
        guard let text = boundEndpoint(setting, place) else { return nil }
        if !Endpoint.isLocal(text) { return text }
        place.refuse(setting, "is on this host, where nothing is encrypted; name it in publish")
        return nil
    }

    /// An endpoint to connect to, anywhere.
    static let connectedEndpoint: Rule<String> = { setting, place in
        if case .text(let text) = setting {
            if Endpoint(text) != nil { return text }
            if Endpoint(bound: text) != nil {
                place.refuse(setting, "is for binding; name the address to connect to")
                return nil
            }
        }
        place.refuse(setting, "must be an endpoint to connect to, such as \"tcp://10.0.0.1:7001\"")
        return nil
    }

    /// Likewise, by its address: libzmq looks names up on the one thread that carries all its connections, and a name
    /// server that does not answer stops them all (zeromq/libzmq#2961).
    static let connectedAddress: Rule<String> = { setting, place in
        guard let text = connectedEndpoint(setting, place) else { return nil }
        guard case .tcp(let host, _)? = Endpoint(text), IPv4Address(host) == nil else { return text }
        place.refuse(
            setting,
            "must have an IPv4 address in place of the name \(host), such as \"tcp://10.0.0.1:5555\"")
        return nil
    }

    static let publicKey: Rule<PublicKey> = { setting, place in
        if case .text(let text) = setting, let key = PublicKey(text) { return key }
        place.refuse(setting, "must be a public key: 40 characters in quotes, as holdfast keygen prints them")
        return nil
    }

    /// What a client may read of the gateway's market data.
    static let topicPrefix: Rule<String> = { setting, place in
        if case .text(let text) = setting {
            if AllowedClient.isTopicPrefix(text) { return text }
            if AllowedClient.isTopicPrefix(text + "/") {
                place.refuse(setting, "must end in \"/\", or it would match longer names too")
                return nil
            }
        }
        place.refuse(
            setting,
            "must be a prefix of market-data topics: \"md/itch/AAPL/\", \"md/itch/\", or \"md/\" for all")
        return nil
    }

    static let dependency: Rule<Dependency> = { setting, place in
        guard case .text(let text) = setting else {
            place.refuse(setting, "must be a subject in quotes, such as \"nic/eth0\" or \"fra-1:path/isp-a\"")
            return nil
        }
        if let dependency = Dependency(parsing: text) { return dependency }
        let kinds = Kind.allCases.map(\.rawValue)
        let kind = String(text.prefix { $0 != "/" }.split(separator: ":").last ?? "")
        let hint = nearest(to: kind, among: kinds).map { "; did you mean \"\($0)/…\"?" } ?? ""
        place.refuse(
            setting,
            "must be KIND/NAME or HOST:KIND/NAME, the kind one of \(kinds.joined(separator: ", "))\(hint)")
        return nil
    }
}
