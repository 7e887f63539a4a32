// The two files of CURVE: our own key, and the list of whom we let in. A file that others can read or change is
// refused, and no message shows what stands in a key's file.
internal import Basics
public import Wire

/// A key pair's file: `public` and `secret`, readable by its owner only.
public enum KeyFile {
    public static let defaultPath = "/etc/holdfast/host.key"

    /// Reads a key pair.
    /// - Parameter isPair: whether the public half is that of the secret (`KeyPair.isConsistent`).
    /// - Throws: why it cannot be read, that others can read it, or what is wrong with it.
    public static func read(path: String, isPair: (KeyPair) -> Bool) throws(ConfigurationError) -> KeyPair {
        try parse(FileText.read(path: path, keptFrom: .readers), name: path, isPair: isPair)
    }

    /// Reads a text; `name` stands for the file in errors.
    public static func parse(
        _ text: String, name: String, isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> KeyPair {
        let draft = try ConfigurationFile.parse(
            text, name: name, .keyPair, defaults: KeyPairDraft(),
            adviceOnSyntax:
                "syntax: must be lines as holdfast keygen writes them: public = \"…\", secret = \"…\"")
        guard let publicKey = draft.publicKey, let secretKey = draft.secretKey else {
            preconditionFailure("a key file without a problem has both halves")
        }
        let keys = KeyPair(publicKey: publicKey, secretKey: secretKey)
        guard isPair(keys) else {
            let advice =
                "public and secret are not of one pair; make a new one with holdfast keygen --replace"
            throw ConfigurationError(file: name, cause: .invalid, problems: [.init(advice: advice)])
        }
        return keys
    }

    /// The text of a file that `read` takes.
    public static func text(of keys: KeyPair) -> String {
        guard let secret = Z85.encode(keys.secretKey.bytes) else { preconditionFailure("32 bytes") }
        return """
            # A CURVE key for Holdfast. The public half may be told to everybody; the secret one never leaves this
            # file, which only its owner may read (mode 0600).
            public = "\(keys.publicKey)"
            secret = "\(secret)"

            """
    }
}

/// `clients.toml`: who may connect from beyond this host.
public enum ClientsFile {
    public static let defaultPath = "/etc/holdfast/clients.toml"

    /// Reads the list of clients.
    /// - Throws: why it cannot be read, that others can change it, or everything that is wrong with it.
    public static func read(path: String) throws(ConfigurationError) -> AllowList {
        try parse(FileText.read(path: path, keptFrom: .writers), name: path)
    }

    /// Reads a text; `name` stands for the file in errors.
    public static func parse(_ text: String, name: String) throws(ConfigurationError) -> AllowList {
        let draft = try ConfigurationFile.parse(text, name: name, .clients, defaults: ClientsDraft())
        return AllowList(draft.clients.compactMap(\.client))
    }

    /// Whether a client can have this name.
    public static func isName(_ text: String) -> Bool { Rules.isName(text) }

    /// Every key that the file may hold: `client[].name`.
    public static var keyPaths: [String] { Section<ClientsDraft>.clients.paths }
}

// MARK: - The key's file

/// A key pair while it is read.
struct KeyPairDraft: Sendable {
    var publicKey: PublicKey?
    var secretKey: SecretKey?
}

extension Section where Options == KeyPairDraft {
    static var keyPair: Section {
        Section(keys: [
            .value("public", \.publicKey, required: true, half { PublicKey($0) }),
            .value("secret", \.secretKey, required: true, half { SecretKey($0) }),
        ])
    }

    /// A half of the pair. The two are easily confused, so that neither is ever shown.
    private static func half<Half>(_ read: @escaping @Sendable (String) -> Half?) -> Rule<Half> {
        { setting, place in
            if case .text(let text) = setting, let half = read(text) { return half }
            place.refuse("must be 40 characters in quotes, as holdfast keygen writes them")
            return nil
        }
    }
}

// MARK: - The clients' file

/// The clients while they are read.
struct ClientsDraft: Sendable {
    var clients: [ClientDraft] = []
}

/// A `[[client]]` while it is read.
struct ClientDraft: Sendable {
    var name = ""
    var key: PublicKey?
    var topics: [String] = []
    var operate = false

    var client: AllowedClient? {
        key.map { AllowedClient(name: name, key: $0, topics: topics, mayOperate: operate) }
    }
}

extension Section where Options == ClientsDraft {
    static var clients: Section {
        Section(
            keys: [
                .tables("client", \.clients, upTo: AllowList.mostClients, .client, empty: ClientDraft()) {
                    client, _ in client
                }
            ],
            check: refuseDuplicateClients)
    }

    private static func refuseDuplicateClients(_ draft: ClientsDraft, at place: Place) {
        var names: [String: Int] = [:]
        var keys: [PublicKey: String] = [:]
        for (index, client) in draft.clients.enumerated() {
            let here = place.key("client").item(index)
            if !client.name.isEmpty, names.updateValue(index, forKey: client.name) != nil {
                here.key("name").refuse(.text(client.name), "another client has this name; names must differ")
            }
            guard let key = client.key else { continue }
            if let other = keys[key] {
                here.key("key").refuse(
                    .text(key.description), "is the key of \"\(Setting.printable(other))\" already")
            }
            keys[key] = client.name
        }
    }
}

extension Section where Options == ClientDraft {
    static var client: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.name),
            .value("key", \.key, required: true, Rules.publicKey),
            .value("topics", \.topics, Rules.list(0...256, of: Rules.topicPrefix)),
            .value("operate", \.operate, Rules.flag),
        ])
    }
}
