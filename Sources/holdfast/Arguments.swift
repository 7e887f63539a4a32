// Arguments in Holdfast's own types: durations as in the configuration files, subjects as in the tables.
import ArgumentParser
import Configuration
import Wire

/// A duration such as `30m`.
struct DurationArgument: ExpressibleByArgument {
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let duration = Duration(written: argument) else { return nil }
        self.duration = duration
    }

    var defaultValueDescription: String { duration.written }
}

/// A subject such as `nic/eth0`.
struct SubjectArgument: ExpressibleByArgument {
    let subject: Subject

    init?(argument: String) {
        guard let subject = Subject(parsing: argument) else { return nil }
        self.subject = subject
    }
}

/// How long a daemon may take to answer.
struct TimeLimit: ParsableArguments {
    @Option(help: ArgumentHelp("How long to wait for answers, such as 500ms or 5s.", valueName: "duration"))
    var timeLimit = DurationArgument(.seconds(2))

    func validate() throws {
        guard timeLimit.duration > .zero, timeLimit.duration <= .seconds(3600) else {
            throw ValidationError("--time-limit must be more than nothing and at most 1h")
        }
    }
}
