// The user and password that a venue gave us, in a file of their own: no configuration, no log and no command line
// shows them.

/// What a venue asks of who connects. It has no text that shows the password.
public struct VenueLogin: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The sub-identifier that a Gap Request Proxy wants; others want none.
    public var session: String?
    public var user: String
    public var password: String

    public init(session: String? = nil, user: String, password: String) {
        self.session = session
        self.user = user
        self.password = password
    }

    public var description: String { "login" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A login's file: `user` and `password`, and `session` for a Gap Request Proxy, readable by its owner only.
public enum LoginFile {
    /// - Throws: why it cannot be read, that others can read it, or what is wrong with it.
    public static func read(path: String) throws(ConfigurationError) -> VenueLogin {
        try parse(FileText.read(path: path, keptFrom: .readers), name: path)
    }

    /// Reads a text; `name` stands for the file in errors.
    public static func parse(_ text: String, name: String) throws(ConfigurationError) -> VenueLogin {
        try ConfigurationFile.parse(
            text, name: name, .login, defaults: VenueLogin(user: "", password: ""),
            adviceOnSyntax: "syntax: must be two lines: user = \"…\", password = \"…\"")
    }
}

extension Section where Options == VenueLogin {
    static var login: Section {
        Section(keys: [
            .value("session", \.session, secret(upTo: 4)),
            .value("user", \.user, required: true, secret(upTo: 6)),
            .value("password", \.password, required: true, secret(upTo: 10)),
        ])
    }

    /// Text of the width that protocols have for it, which is never shown.
    private static func secret(upTo longest: Int) -> Rule<String> {
        { setting, place in
            if case .text(let text) = setting, text.utf8.count <= longest,
                text.utf8.allSatisfy({ (33...126).contains($0) })
            {
                return text
            }
            place.refuse("must be at most \(longest) ASCII characters without spaces, in quotes")
            return nil
        }
    }
}

extension LoginFile {
    /// Who asks to be let in where.
    enum Purpose {
        case path
        case gapProxy

        /// What does not fit, and what would be right; `nil`: it is right.
        func problem(of login: VenueLogin) -> (key: String, advice: String)? {
            switch self {
            case .path:
                guard login.session != nil else { return nil }
                return ("session", "is for a gap request proxy; soupbintcp takes up the session by itself")
            case .gapProxy:
                if login.session == nil {
                    return (
                        "session", "is missing; a gap request proxy asks for the session's sub-identifier"
                    )
                }
                guard login.user.utf8.count > 4 else { return nil }
                return ("user", "must be at most 4 characters for a gap request proxy")
            }
        }
    }

    /// Reads a login that fits its purpose.
    static func read(path: String, for purpose: Purpose) throws(ConfigurationError) -> VenueLogin {
        let login = try read(path: path)
        guard let problem = purpose.problem(of: login) else { return login }
        throw ConfigurationError(
            file: path, cause: .invalid,
            problems: [ConfigurationProblem(line: nil, keyPath: problem.key, advice: problem.advice)])
    }
}

extension GatewayFile {
    /// The options with what stands in the login files of their paths, and of whom they ask again.
    /// - Throws: everything that is wrong with those files, told at the paths that need them.
    public static func logins(
        for options: GatewayOptions, text: String, name: String
    ) throws(ConfigurationError) -> GatewayOptions {
        var options = options
        var failures = FileFailures(of: text, name: name)
        for feed in options.feeds.indices {
            for path in options.feeds[feed].paths.indices {
                guard let file = options.feeds[feed].paths[path].loginFile else { continue }
                failures.note("feed[\(feed)].path[\(path)].login_file") { () throws(ConfigurationError) in
                    options.feeds[feed].paths[path].login = try LoginFile.read(path: file, for: .path)
                }
            }
            for file in options.feeds[feed].recover.loginFiles {
                failures.note("feed[\(feed)].recover.login_file") { () throws(ConfigurationError) in
                    options.feeds[feed].recover.logins.append(try LoginFile.read(path: file, for: .gapProxy))
                }
            }
        }
        if let error = failures.error { throw error }
        return options
    }
}

/// What is wrong with the secret files that a configuration names, told where it names them.
struct FileFailures {
    private let name: String
    private let lines: KeyLines
    private var problems: [ConfigurationProblem] = []
    private var causes: Set<ConfigurationError.Cause> = []

    init(of text: String, name: String) {
        self.name = name
        lines = KeyLines(of: text)
    }

    /// Reads, and keeps why that failed; returns it, too.
    @discardableResult
    mutating func note(
        _ keyPath: String, _ read: () throws(ConfigurationError) -> Void
    ) -> ConfigurationProblem? {
        do throws(ConfigurationError) {
            try read()
            return nil
        } catch {
            let problem = ConfigurationProblem(
                line: lines.line(of: keyPath), keyPath: keyPath, advice: error.description)
            causes.insert(error.cause)
            problems.append(problem)
            return problem
        }
    }

    /// `nil`: nothing is. Of files that this user may not read, `forbidden`: another user may find them good.
    var error: ConfigurationError? {
        guard !problems.isEmpty else { return nil }
        return ConfigurationError(
            file: name, cause: causes == [.forbidden] ? .forbidden : .invalid, problems: problems)
    }
}
