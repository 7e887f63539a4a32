// `holdfast switch`, `mute` and `unmute`: an operator's word to the gateway. Each is one request, and what it
// did is a state on the bus that everybody sees.
import ArgumentParser
import Configuration
import Terminal
import Wire

/// Who is told.
struct GatewayEndpoint: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the gateway answers requests (default: this host's gateway).", valueName: "endpoint"))
    var endpoint: String?
    @OptionGroup var identity: IdentityOptions
    @OptionGroup var limit: TimeLimit

    /// Sends the request; ends the command unless it was done.
    func tell(_ request: Request) throws {
        let targets = try identity.targets([try endpoint ?? Daemon.gateway.request()])
        let outcomes = try Asking.ask(request, of: targets, within: limit.timeLimit.duration)
        for (endpoint, outcome) in outcomes { _ = try outcome.done(by: endpoint) }
    }
}

struct SwitchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "switch",
        abstract: "Move a feed to another path.",
        discussion: """
            Without --hold the feed goes back to a preferred path when that has been well for its hold-down. \
            With --hold it stays, whatever happens to the path, until --release or a restart of the gateway.

            EXAMPLES
              holdfast switch quotes B
              holdfast switch quotes B --hold
              holdfast switch quotes --release
              holdfast switch quotes B --endpoint tcp://10.0.0.1:7002 --server-key 'KEY'
            """)

    @Argument(help: "The feed's name.") var feed: String
    @Argument(help: "The path's name.") var path: String?
    @Flag(help: "Stay on that path until --release.") var hold = false
    @Flag(help: "End the feed's hold.") var release = false
    @OptionGroup var gateway: GatewayEndpoint

    func validate() throws {
        if release == (path != nil) {
            throw ValidationError(
                release ? "--release takes no path" : "name a path, or --release to end a hold")
        }
        if release && hold { throw ValidationError("--hold and --release exclude each other") }
    }

    func run() throws {
        guard let path else {
            try gateway.tell(.release(feed: feed))
            return write("\(feed): no longer held\n")
        }
        try gateway.tell(.switch(feed: feed, path: path, hold: hold))
        write("\(feed): on path \(path)\(hold ? ", held until --release" : "")\n")
    }
}

struct MuteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mute",
        abstract: "Let a subject's failure move no feed, for a while.",
        discussion: """
            A restart of the gateway ends it, too.

            EXAMPLE
              holdfast mute nic/eth1 --for 30m
            """)

    @Argument(help: ArgumentHelp("KIND/NAME, as holdfast status shows it.", valueName: "subject"))
    var subject: SubjectArgument
    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("How long, such as 30m; at most 30d.", valueName: "duration"))
    var duration: DurationArgument
    @OptionGroup var gateway: GatewayEndpoint

    func validate() throws {
        guard duration.duration >= .milliseconds(1), duration.duration <= Request.longestMute else {
            throw ValidationError("--for must be from 1ms to \(Request.longestMute.written)")
        }
    }

    func run() throws {
        try gateway.tell(.mute(subject.subject, for: duration.duration))
        write("\(subject.subject): muted for \(duration.duration.written)\n")
    }
}

struct UnmuteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unmute", abstract: "Let a subject's failure move feeds again.")

    @Argument(help: ArgumentHelp("KIND/NAME, as holdfast status shows it.", valueName: "subject"))
    var subject: SubjectArgument
    @OptionGroup var gateway: GatewayEndpoint

    func run() throws {
        try gateway.tell(.unmute(subject.subject))
        write("\(subject.subject): no longer muted\n")
    }
}
