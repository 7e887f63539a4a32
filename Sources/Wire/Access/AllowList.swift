// Whom a daemon lets in from beyond its host, and what each may do: the contents of clients.toml as a value.

/// A client that may connect from beyond this host.
public struct AllowedClient: Hashable, Sendable {
    public var name: String
    public var key: PublicKey
    /// Prefixes of market-data topics, each ending in `/`, that it may read: `md/itch/`, `md/quotes/EURUSD/`.
    /// The control topics of their feeds come with them.
    public var topics: [String]
    /// Whether it may also switch feeds and mute subjects.
    public var mayOperate: Bool

    public init(name: String, key: PublicKey, topics: [String] = [], mayOperate: Bool = false) {
        self.name = name
        self.key = key
        self.topics = topics
        self.mayOperate = mayOperate
    }
}

extension AllowedClient {
    /// Whether a text is a prefix of market-data topics that ends where a name ends: `md/`, `md/<feed>/` or
    /// `md/<feed>/<instrument>/`.
    public static func isTopicPrefix(_ text: String) -> Bool {
        if text == "md/" { return true }
        // A feed alone is a topic but for its instrument.
        let isFeed = text.utf8.count(where: { $0 == UInt8(ascii: "/") }) == 2
        guard case .marketData = try? Topic(parsing: isFeed ? text + "*/" : text) else { return false }
        return true
    }
}

/// All clients that may connect, by key.
public struct AllowList: Hashable, Sendable {
    /// The most clients that a list may have.
    public static let mostClients = 10_000

    private let byKey: [PublicKey: AllowedClient]
    private let names: Set<String>

    /// Of clients with the same key the last one counts; the file's reader refuses such a file.
    public init(_ clients: some Sequence<AllowedClient> = []) {
        byKey = Dictionary(clients.map { ($0.key, $0) }) { _, last in last }
        names = Set(byKey.values.map(\.name))
    }

    public var count: Int { byKey.count }
    public var clients: [AllowedClient] { byKey.values.sorted { $0.name < $1.name } }

    public subscript(key: PublicKey) -> AllowedClient? { byKey[key] }

    /// Whose a name is that a client gives to something of its own: the client's of this name, or else of the longest
    /// name that it begins with, up to a `.`; `nil`: nobody's on the list.
    public func owner(of name: String) -> String? {
        var own = name[...]
        while !names.contains(String(own)) {
            guard let dot = own.lastIndex(of: ".") else { return nil }
            own = own[..<dot]
        }
        return String(own)
    }
}

/// Who is at the other end of a connection.
public enum Caller: Hashable, Sendable {
    /// Somebody on this host, or on an endpoint that is in the clear by configuration: may do what the endpoint can.
    case open
    case client(AllowedClient)
    /// A key that is not on the list, or not any more.
    case stranger

    /// Whether it may switch feeds and mute subjects.
    public var mayOperate: Bool {
        switch self {
        case .open: true
        case .client(let client): client.mayOperate
        case .stranger: false
        }
    }
}

/// What a process needs to talk beyond its host: its keys, and whom it lets in.
public struct Credentials: Hashable, Sendable {
    public var keys: KeyPair
    public var allowed: AllowList

    public init(keys: KeyPair, allowed: AllowList = AllowList()) {
        self.keys = keys
        self.allowed = allowed
    }
}
