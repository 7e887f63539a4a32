// From options to what they need to talk beyond this host: which endpoints need keys follows from the options,
// and the errors of the keys' files name the line of the endpoint that needs them.
public import Wire

/// Options, and the keys that their endpoints beyond this host need.
public struct Secured<Options: Hashable & Sendable>: Hashable, Sendable {
    public var options: Options
    /// `nil`: nothing in the options needs keys.
    public var credentials: Credentials?

    public init(_ options: Options, credentials: Credentials? = nil) {
        self.options = options
        self.credentials = credentials
    }
}

/// An endpoint that needs our key, and where it stands in the file.
public struct KeyNeed: Hashable, Sendable {
    /// `bus.publish[0]`
    public var keyPath: String
    public var endpoint: String
    /// Whether others connect to it, so that it also needs the list of who may.
    public var isServed: Bool

    public init(keyPath: String, endpoint: String, isServed: Bool) {
        self.keyPath = keyPath
        self.endpoint = endpoint
        self.isServed = isServed
    }

    static func served(_ keyPath: String, _ endpoints: [String]) -> [KeyNeed] {
        endpoints.enumerated().filter { !Endpoint.isLocal($0.element) }.map {
            KeyNeed(keyPath: "\(keyPath)[\($0.offset)]", endpoint: $0.element, isServed: true)
        }
    }
}

extension BusOptions {
    var keyNeeds: [KeyNeed] {
        KeyNeed.served("bus.publish", publish) + KeyNeed.served("bus.request", request)
    }
}

extension AgentOptions {
    /// The endpoints that need our key: those that others reach, and those of servers whose key is named.
    public var keyNeeds: [KeyNeed] {
        bus.keyNeeds
            + reportTo.enumerated().filter { $0.element.serverKey != nil }.map { index, collector in
                KeyNeed(
                    keyPath: "report_to[\(index)].endpoint", endpoint: collector.endpoint, isServed: false)
            }
    }

    public var needsKeys: Bool { !keyNeeds.isEmpty }
}

extension GatewayOptions {
    /// The endpoints that need our key: those that others reach, and those of servers whose key is named.
    public var keyNeeds: [KeyNeed] {
        bus.keyNeeds + KeyNeed.served("downstream.publish", publish)
            + agents.enumerated().filter { $0.element.serverKey != nil }.map { index, agent in
                KeyNeed(keyPath: "agent[\(index)].publish", endpoint: agent.publish, isServed: false)
            }
            + feeds.enumerated().flatMap { index, feed in feed.keyNeeds("feed[\(index)]") }
            + replicas.enumerated().filter { $0.element.serverKey != nil }.map { index, replica in
                KeyNeed(keyPath: "replica[\(index)].request", endpoint: replica.request, isServed: false)
            }
    }

    public var needsKeys: Bool { !keyNeeds.isEmpty }
}

extension FeedOptions {
    fileprivate func keyNeeds(_ keyPath: String) -> [KeyNeed] {
        paths.enumerated().filter { $0.element.serverKey != nil }.map { index, path in
            KeyNeed(
                keyPath: "\(keyPath).path[\(index)].endpoint", endpoint: path.endpoint ?? "", isServed: false)
        }
    }
}

// MARK: - Files

extension AgentFile {
    /// Reads a file and, if anything in it reaches beyond this host, the keys for that.
    /// - Parameters:
    ///   - isStart: a UPS server's password that cannot be read is kept there, and no reason to refuse the file.
    ///   - isPair: whether the public half of our key is that of the secret (`KeyPair.isConsistent`).
    /// - Throws: everything that is wrong with the file or, if it is good, with the keys' files.
    public static func readSecured(
        path: String, isStart: Bool = false, isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> Secured<AgentOptions> {
        let text = try FileText.read(path: path)
        let options = try passwords(
            for: parse(text, name: path), text: text, name: path, isStart: isStart)
        return Secured(
            options, credentials: try credentials(for: options, text: text, name: path, isPair: isPair))
    }

    /// The keys that the options of this text need; `nil`: none.
    public static func credentials(
        for options: AgentOptions, text: String, name: String, isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> Credentials? {
        try options.curve.read(for: options.keyNeeds, KeyLines(of: text), name, isPair)
    }
}

extension GatewayFile {
    /// Reads a file and, if anything in it reaches beyond this host, the keys for that.
    /// - Parameter isPair: whether the public half of our key is that of the secret (`KeyPair.isConsistent`).
    /// - Throws: everything that is wrong with the file or, if it is good, with the keys' files.
    public static func readSecured(
        path: String, isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> Secured<GatewayOptions> {
        let text = try FileText.read(path: path)
        let options = try logins(for: parse(text, name: path), text: text, name: path)
        return Secured(
            options, credentials: try credentials(for: options, text: text, name: path, isPair: isPair))
    }

    /// The keys that the options of this text need; `nil`: none.
    public static func credentials(
        for options: GatewayOptions, text: String, name: String, isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> Credentials? {
        try options.curve.read(for: options.keyNeeds, KeyLines(of: text), name, isPair)
    }
}

extension CurveOptions {
    /// Both files are read before anything is told, so that all that is wrong is told at once.
    fileprivate func read(
        for needs: [KeyNeed], _ lines: KeyLines, _ name: String, _ isPair: (KeyPair) -> Bool
    ) throws(ConfigurationError) -> Credentials? {
        guard let first = needs.first else { return nil }
        var failures = KeyFailures(lines: lines)
        var keys: KeyPair?
        var allowed: AllowList? = AllowList()
        do throws(ConfigurationError) {
            keys = try KeyFile.read(path: key, isPair: isPair)
        } catch {
            let file = key == KeyFile.defaultPath ? "" : " " + key
            failures.add(error, at: first, needing: "a key", remedy: "sudo holdfast keygen" + file)
        }
        if let served = needs.first(where: \.isServed) {
            do throws(ConfigurationError) {
                allowed = try ClientsFile.read(path: clients)
            } catch {
                allowed = nil
                let file = clients == ClientsFile.defaultPath ? "" : " --file " + clients
                failures.add(
                    error, at: served, needing: "a list of who may connect",
                    remedy: "sudo holdfast authorize NAME KEY" + file)
            }
        }
        guard let keys, let allowed else { throw failures.error(of: name) }
        return Credentials(keys: keys, allowed: allowed)
    }
}

/// What is wrong with the keys' files, told at the endpoints that need them.
private struct KeyFailures {
    let lines: KeyLines
    private var problems: [ConfigurationProblem] = []
    private var causes: Set<ConfigurationError.Cause> = []

    init(lines: KeyLines) { self.lines = lines }

    mutating func add(
        _ error: ConfigurationError, at need: KeyNeed, needing what: String, remedy: String
    ) {
        causes.insert(error.cause)
        let why = Endpoint.isLocal(need.endpoint) ? "is encrypted" : "is beyond this host"
        let command = error.cause == .missing ? "run `\(remedy)`; " : ""
        for problem in error.problems {
            let place = problem.line.map { "\(error.file):\($0)" } ?? error.file
            problems.append(
                ConfigurationProblem(
                    line: lines.line(of: need.keyPath), keyPath: need.keyPath, value: "\"\(need.endpoint)\"",
                    advice: "\(why) and needs \(what): \(command)\(place): \(problem)"))
        }
    }

    /// Of files that this user may not read, `forbidden`: another user may find them good.
    func error(of name: String) -> ConfigurationError {
        ConfigurationError(
            file: name, cause: causes == [.forbidden] ? .forbidden : .invalid, problems: problems)
    }
}
