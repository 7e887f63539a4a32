// What a daemon is to the life around it: where its configuration is, and how it starts, reloads and sums itself up.
public import Configuration
public import Logging
public import Reactor
public import Wire

/// What is known of a daemon before it runs.
public struct DaemonProfile: Sendable {
    /// The program's name: `holdfast-agent`.
    public var name: String
    /// What `--help` says.
    public var usage: String
    /// What is read without `--config`.
    public var defaultFile: String
    /// Whether the default file may be missing.
    public var mayLackFile: Bool

    public init(name: String, usage: String, defaultFile: String, mayLackFile: Bool) {
        self.name = name
        self.usage = usage
        self.defaultFile = defaultFile
        self.mayLackFile = mayLackFile
    }
}

/// What a daemon is given at its start.
public struct DaemonSurroundings {
    public let loop: EventLoop
    /// Its entries have the host and the incarnation.
    public let logger: Logger
    public let incarnation: Incarnation
}

/// A daemon's own part.
public protocol DaemonBody: AnyObject {
    associatedtype Settings

    static var profile: DaemonProfile { get }

    /// Reads the configuration and whatever else the daemon refuses to work without. `nil`: there is no file.
    static func read(_ file: String?) throws(ConfigurationError) -> Settings

    /// The same for a start, where less is refused: what has ended may not stay ended for the sake of a part of it.
    static func readToStart(_ file: String?) throws(ConfigurationError) -> Settings

    /// The name on the bus, `nil`: the machine's own.
    static func host(of settings: Settings) -> String?

    /// The endpoints that a start binds.
    static func endpoints(of settings: Settings) -> [String]

    /// Opens everything.
    init(_ settings: Settings, _ surroundings: DaemonSurroundings) throws

    /// Begins to work; the loop runs directly afterwards.
    func start()

    /// Takes other settings over, or changes nothing and says why not.
    func reload(_ settings: Settings) throws

    /// The daemon ends in a moment: whoever listens is told why.
    func stops(because reason: String)

    /// One line for `systemctl status`.
    var summary: String { get }

    /// Called once the start or a reload is over and everything has settled.
    func settled()
}

extension DaemonBody {
    public static func readToStart(_ file: String?) throws(ConfigurationError) -> Settings { try read(file) }
}
