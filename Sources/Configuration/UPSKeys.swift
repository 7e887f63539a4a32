// `[ups]`, `[[ups.server]]` and `[[ups.group]]` of `agent.toml`.

/// `[ups]`: the UPSes that feed this host, through NUT.
public struct UPSOptions: Hashable, Sendable {
    public var enabled = true
    /// Watch what the upsd of this host serves, and hear its drivers by their own sockets.
    public var discover = true
    /// Where the drivers of this host have their sockets (NUT's `STATEPATH`).
    public var driverFolder = "/run/nut"
    /// `[[ups.server]]`: other hosts' upsd.
    public var servers: [UPSServerOptions] = []
    /// `[[ups.group]]`.
    public var groups: [UPSGroupOptions] = []
    /// How often a server is asked; drivers' sockets push.
    public var pollEvery: Duration = .seconds(1)
    /// How long this host needs to end its work: less than that left on battery is critical.
    public var hostNeeds: Duration = .seconds(60)
    /// Stale data and a lost server are told only after this.
    public var staleDwell: Duration = .seconds(5)

    public init() {}
}

/// One `[[ups.server]]`.
public struct UPSServerOptions: Hashable, Sendable {
    /// A name or an address.
    public var host: String
    public var port = 3493
    /// The user of `upsd.users`; `nil`: none, which is enough to read.
    public var user: String?
    /// A file with the user's password on its first line, kept from others.
    public var passwordFile: String?
    /// What stands in it; `AgentFile.passwords` reads it.
    public var password: UPSPassword?
    /// Why it does not stand there, of an agent that starts nevertheless: it does not watch this server.
    public var passwordTrouble: String?
    /// Which of its UPSes are watched; empty: all.
    public var upses: [String] = []

    public init(host: String) { self.host = host }
}

/// What upsd asks of its user. It has no text that shows the password.
public struct UPSPassword: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { "password" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// The first line without blanks at its end, which an editor or `echo` may leave there.
    /// - Throws: why the file cannot be read, that others can read it, or that its first line is empty.
    static func read(path: String) throws(ConfigurationError) -> UPSPassword {
        let text = try FileText.read(path: path, keptFrom: .strangers)
        var line = text.utf8.prefix { $0 != UInt8(ascii: "\n") }
        while let last = line.last, last <= UInt8(ascii: " ") { line.removeLast() }
        guard line.isEmpty else { return UPSPassword(String(Substring(line))) }
        let problem = ConfigurationProblem(line: 1, keyPath: "", advice: "must have the password alone")
        throw ConfigurationError(file: path, cause: .invalid, problems: [problem])
    }
}

/// One `[[ups.group]]`: UPSes of which some may fail.
public struct UPSGroupOptions: Hashable, Sendable {
    public var name: String
    /// UPSes by the names of their subjects: `main`, `rack2@10.0.0.7`.
    public var members: [String] = []
    /// So many of them must hold.
    public var required = 1

    public init(name: String) { self.name = name }
}

extension Section where Options == UPSOptions {
    static var ups: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("discover", \.discover, Rules.flag),
                .value("driver_folder", \.driverFolder, Rules.file),
                .value("poll_every", \.pollEvery, Rules.duration(.milliseconds(100), .seconds(60))),
                .value("host_needs", \.hostNeeds, Rules.duration(.zero, .seconds(86400))),
                .value("stale_dwell", \.staleDwell, Rules.duration(.zero, .seconds(600))),
                .tables("server", \.servers, upTo: 16, .upsServer, empty: UPSServerOptions(host: "")) {
                    server, _ in server
                },
                .tables("group", \.groups, upTo: 16, .upsGroup, empty: UPSGroupOptions(name: "")) {
                    group, _ in
                    group
                },
            ],
            check: { ups, place in
                refuseDuplicates(
                    ups.servers.map { "\($0.host):\($0.port)" }, of: "servers", at: place.key("server"))
                refuseDuplicates(ups.groups.map(\.name), of: "groups", at: place.key("group"))
            })
    }
}

extension Section where Options == UPSServerOptions {
    static var upsServer: Section {
        Section(
            keys: [
                .value("host", \.host, required: true, Rules.hostName),
                .value("port", \.port, Rules.integer(1...65535)),
                .value("user", \.user, Rules.name),
                .value("password_file", \.passwordFile, Rules.file),
                .value("upses", \.upses, Rules.list(0...64, of: Rules.name)),
            ],
            check: { server, place in
                if place.accepted("user", "password_file"),
                    (server.user == nil) != (server.passwordFile == nil)
                {
                    place.refuse("a login needs both user and password_file")
                }
            })
    }
}

extension Section where Options == UPSGroupOptions {
    static var upsGroup: Section {
        Section(
            keys: [
                .value("name", \.name, required: true, Rules.name),
                .value("members", \.members, required: true, Rules.list(1...16, of: Rules.name)),
                .value("required", \.required, Rules.integer(1...16)),
            ],
            check: { group, place in
                if place.accepted("members", "required"), group.required > group.members.count {
                    place.key("required").refuse(
                        .integer(Int64(group.required)), "more than the \(group.members.count) members")
                }
            })
    }
}

extension Rules {
    /// A host by name (RFC 1123) or by address.
    static let hostName = text("must be the name or the address of a host, such as \"10.0.0.7\"") { text in
        (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                    || [0x2D, 0x2E, 0x3A].contains($0)
            }
    }
}

extension AgentFile {
    /// The options with the passwords of their UPS servers.
    /// - Parameter isStart: what is wrong is kept at the servers that need it, and costs no more than these.
    /// - Throws: else, everything that is wrong with those files, told at the servers that need them.
    public static func passwords(
        for options: AgentOptions, text: String, name: String, isStart: Bool = false
    ) throws(ConfigurationError) -> AgentOptions {
        var options = options
        var failures = FileFailures(of: text, name: name)
        for index in options.ups.servers.indices {
            guard let file = options.ups.servers[index].passwordFile else { continue }
            let problem = failures.note("ups.server[\(index)].password_file") {
                () throws(ConfigurationError) in
                options.ups.servers[index].password = try UPSPassword.read(path: file)
            }
            options.ups.servers[index].passwordTrouble = problem.map {
                ConfigurationError(file: name, cause: .invalid, problems: [$0]).description
            }
        }
        if let error = failures.error, !isStart { throw error }
        return options
    }
}
