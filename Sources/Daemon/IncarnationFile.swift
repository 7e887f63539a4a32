// The number of the last run, kept in the daemon's state folder, so that the next run's is higher even if the
// clock is not set or was set back.
import Configuration
import Glibc
import Linux
import Wire

/// Reads and keeps a daemon's incarnation.
struct IncarnationFile {
    /// Where systemd's StateDirectory= is, without it.
    static let defaultFolder = "/var/lib/holdfast"

    let path: String

    /// - Parameter daemon: the program's name: of `holdfast-agent`, `agent.incarnation`.
    init(daemon: String, environment: (String) -> String? = IncarnationFile.environment) {
        let given = environment("STATE_DIRECTORY").flatMap { $0.split(separator: ":").first.map(String.init) }
        let name = daemon.split(separator: "-").last.map(String.init) ?? daemon
        path = "\(given ?? IncarnationFile.defaultFolder)/\(name).incarnation"
    }

    private static func environment(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// The last run's number; `nil`: there was none.
    func read() throws(SystemError) -> Incarnation? {
        let text: String
        do throws(SystemError) {
            text = try Files.text(path, limit: 64)
        } catch {
            if error.number == ENOENT { return nil }
            throw error
        }
        guard let number = Int64(text), let incarnation = Incarnation(number) else {
            throw SystemError("read \(path), which holds no incarnation", number: EINVAL)
        }
        return incarnation
    }

    /// Puts this run's number in the place of the last one's, in one step. It is not waited for the disk: when
    /// power fails it is the clock of the start after that is in doubt, and by then it was written long ago.
    func keep(_ incarnation: Incarnation) throws(SystemError) {
        try Files.write(
            Array("\(incarnation)\n".utf8), to: path, Files.Attributes(mode: 0o640), replacing: true,
            durably: false)
    }
}
