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

/// Which daemon a file is for.
public enum ConfigurationFile: Hashable, Sendable {
    case agent, gateway

    /// Tells by the sections of a text: `nil` if it has those of neither or of both.
    public static func kind(of text: String) -> ConfigurationFile? {
        let keys = KeyLines(of: text).keys.map { String($0.prefix { $0 != "." && $0 != "[" }) }
        let agents = keys.contains { ["nic", "path", "process"].contains($0) }
        let gateways = keys.contains { ["downstream", "agent", "feed"].contains($0) }
        return agents == gateways ? nil : agents ? .agent : .gateway
    }

    static func parse<Options>(
        _ text: String, name: String, _ section: Section<Options>, defaults: Options
    ) throws(ConfigurationError) -> Options {
        let settings: [String: Setting]
        do {
            settings = try Syntax.parse(text)
        } catch {
            throw ConfigurationError(file: name, cause: .invalid, problems: [error.problem])
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
