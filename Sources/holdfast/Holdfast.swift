// `holdfast`, the command line: what people and scripts ask the daemons of this host. Each command is a file;
// this one lists them.
import ArgumentParser
import Basics

@main
struct Holdfast: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast",
        abstract: "Ask, watch and steer the Holdfast daemons.",
        discussion: """
            The agent of a host watches its NICs, ISP paths and processes; the gateway takes market data over \
            redundant paths. Both are asked on their ipc endpoints under /run/holdfast, or where their \
            configuration files say.
            """,
        version: "holdfast \(Version.number)",
        subcommands: [
            StatusCommand.self, WatchCommand.self, HistoryCommand.self, DoctorCommand.self,
            CheckConfigCommand.self,
            SwitchCommand.self, MuteCommand.self, UnmuteCommand.self, KeygenCommand.self,
            AuthorizeCommand.self, Play.self, VerifyCommand.self, ReplayCommand.self,
        ])
}
