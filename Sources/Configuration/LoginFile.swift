// The user and password that a venue gave us, in a file of their own: no configuration, no log and no command line
// shows them.

/// What a venue asks of who connects. It has no text that shows the password.
public struct VenueLogin: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public var user: String
    public var password: String

    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    public var description: String { "login" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A login's file: `user` and `password`, readable by its owner only.
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
            .value("user", \.user, required: true, secret(upTo: 6)),
            .value("password", \.password, required: true, secret(upTo: 10)),
        ])
    }

    /// Text of SoupBinTCP's width, which is never shown.
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

extension GatewayFile {
    /// The options with what stands in the login files of their paths.
    /// - Throws: everything that is wrong with those files, told at the paths that need them.
    public static func logins(
        for options: GatewayOptions, text: String, name: String
    ) throws(ConfigurationError) -> GatewayOptions {
        var options = options
        var problems: [ConfigurationProblem] = []
        var causes: Set<ConfigurationError.Cause> = []
        let lines = KeyLines(of: text)
        for feed in options.feeds.indices {
            for path in options.feeds[feed].paths.indices {
                guard let file = options.feeds[feed].paths[path].loginFile else { continue }
                do throws(ConfigurationError) {
                    options.feeds[feed].paths[path].login = try LoginFile.read(path: file)
                } catch {
                    causes.insert(error.cause)
                    let keyPath = "feed[\(feed)].path[\(path)].login_file"
                    problems.append(
                        ConfigurationProblem(
                            line: lines.line(of: keyPath), keyPath: keyPath, advice: error.description))
                }
            }
        }
        guard problems.isEmpty else {
            throw ConfigurationError(
                file: name, cause: causes == [.forbidden] ? .forbidden : .invalid, problems: problems)
        }
        return options
    }
}
