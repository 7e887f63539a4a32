// The door to configuration: a file or its text in, typed options or everything that is wrong with it out.

/// `agent.toml`.
public enum AgentFile {
    public static let defaultPath = "/etc/holdfast/agent.toml"

    /// Reads a file.
    /// - Throws: why it cannot be read, or everything that is wrong with it.
    public static func read(path: String) throws(ConfigurationError) -> AgentOptions {
        try parse(FileText.read(path: path), name: path)
    }

    /// Reads a text; `name` stands for the file in errors.
    public static func parse(_ text: String, name: String) throws(ConfigurationError) -> AgentOptions {
        try ConfigurationFile.parse(text, name: name, .agent, defaults: AgentOptions())
    }

    /// Every key that the file may hold: `path.isp[].name`.
    public static var keyPaths: [String] { Section<AgentOptions>.agent.paths }
}

/// `gateway.toml`.
public enum GatewayFile {
    public static let defaultPath = "/etc/holdfast/gateway.toml"

    /// Reads a file.
    /// - Throws: why it cannot be read, or everything that is wrong with it.
    public static func read(path: String) throws(ConfigurationError) -> GatewayOptions {
        try parse(FileText.read(path: path), name: path)
    }

    /// Reads a text; `name` stands for the file in errors.
    public static func parse(_ text: String, name: String) throws(ConfigurationError) -> GatewayOptions {
        try ConfigurationFile.parse(text, name: name, .gateway, defaults: GatewayOptions())
    }

    /// Every key that the file may hold: `feed[].path[].name`.
    public static var keyPaths: [String] { Section<GatewayOptions>.gateway.paths }
}

/// What a file is for.
public enum ConfigurationFile: Hashable, Sendable {
    case agent, gateway
    /// `clients.toml`, for both daemons.
    case clients

    /// Sections by which a file is recognised; those that several kinds have tell nothing.
    static let sections: [(kind: ConfigurationFile, names: Set<String>)] = {
        let all: [(kind: ConfigurationFile, names: Set<String>)] = [
            (.agent, Section<AgentOptions>.agent.names), (.gateway, Section<GatewayOptions>.gateway.names),
            (.clients, Section<ClientsDraft>.clients.names),
        ]
        return all.map { kind, names in
            (kind, names.filter { name in !all.contains { $0.kind != kind && $0.names.contains(name) } })
        }
    }()

    /// Tells by the sections of a text: `nil` if it has those of no kind or of several.
    public static func kind(of text: String) -> ConfigurationFile? {
        let names = KeyLines(of: text).names
        let kinds = sections.filter { !$0.names.isDisjoint(with: names) }.map(\.kind)
        return kinds.count == 1 ? kinds[0] : nil
    }

    /// - Parameter adviceOnSyntax: said instead of the library's words, which may quote the text.
    static func parse<Options>(
        _ text: String, name: String, _ section: Section<Options>, defaults: Options,
        adviceOnSyntax: String? = nil
    ) throws(ConfigurationError) -> Options {
        let settings: [String: Setting]
        do {
            settings = try Syntax.parse(text)
        } catch {
            var problem = error.problem
            if let adviceOnSyntax { problem.advice = adviceOnSyntax }
            throw ConfigurationError(file: name, cause: .invalid, problems: [problem])
        }
        let diagnosis = Diagnosis(lines: KeyLines(of: text), known: section.paths)
        var options = defaults
        section.read(.table(settings), at: Place(keyPath: "", diagnosis: diagnosis), into: &options)
        guard diagnosis.problems.isEmpty else {
            throw ConfigurationError(file: name, cause: .invalid, problems: diagnosis.sorted)
        }
        return options
    }
}
