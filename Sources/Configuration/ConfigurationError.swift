// What is wrong with a configuration file, in the words that its owner reads: every problem of the file at
// once, each with its line, its key, its value and what would be right.

/// One thing that is wrong, at one place of a file.
public struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    /// The line, counted from 1, where it is known.
    public var line: Int?
    /// `path.isp[0].probe_every`; empty for the file as a whole.
    public var keyPath: String
    /// The refused value as it would be written in the file; `nil` where the key itself is the problem.
    public var value: String?
    /// What is wrong and what would be right.
    public var advice: String

    public init(line: Int? = nil, keyPath: String = "", value: String? = nil, advice: String) {
        self.line = line
        self.keyPath = keyPath
        self.value = value
        self.advice = advice
    }

    /// `path.isp[0].probe_every: 100: …`, without file and line.
    public var description: String {
        [keyPath, value ?? "", advice].filter { !$0.isEmpty }.joined(separator: ": ")
    }
}

/// Why a file gives no options.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Cause: Hashable, Sendable {
        /// There is no such file.
        case missing
        /// The file may not be read by the user who tried.
        case forbidden
        /// The file could not be read for another reason: it is a directory, the disk fails.
        case unreadable
        /// The file was read, and its content is refused.
        case invalid
    }

    /// No more problems than this are kept; the rest are counted.
    public static let mostProblems = 20

    public var file: String
    public var cause: Cause
    /// At least one, by line.
    public var problems: [ConfigurationProblem]
    /// How many more there are beyond `mostProblems`.
    public var omitted: Int

    public init(file: String, cause: Cause, problems: [ConfigurationProblem]) {
        self.file = file
        self.cause = cause
        self.problems = Array(problems.prefix(Self.mostProblems))
        omitted = max(0, problems.count - Self.mostProblems)
    }

    /// One line per problem: `agent.toml:12: path.isp[0].probe_every: 100: a duration needs a unit, …`.
    public var description: String {
        var lines = problems.map { problem in
            let place = problem.line.map { "\(file):\($0)" } ?? file
            return "\(place): \(problem)"
        }
        if omitted > 0 { lines.append("\(file): and \(omitted) more") }
        return lines.joined(separator: "\n")
    }
}
