// What can be said on the command line. By hand: a daemon does not carry an argument parser.
import Configuration

enum Arguments {
    case run(config: String)
    case check(config: String)
    case version
    case help

    static let usage = """
        Usage: holdfast-gateway [--config FILE] [--check]
               holdfast-gateway --version | --help

        Takes market-data feeds over redundant paths, arbitrates them by sequence and publishes them over ZeroMQ.

          --config FILE  read FILE (default: \(GatewayFile.defaultPath))
          --check        say whether the configuration is good, and exit
          --version      print the version and exit
          --help         print this text and exit

        Signals: SIGTERM and SIGINT stop, SIGHUP reads the configuration again.
        Exit status: 0 stopped or good, 1 failed, 64 wrong arguments, 78 bad configuration.
        """

    /// - Throws: `WrongArgument` for what it does not know.
    init(_ words: some Sequence<String>) throws(WrongArgument) {
        var config = GatewayFile.defaultPath
        var checks = false
        var rest = Array(words)[...]
        while let word = rest.popFirst() {
            switch word {
            case "--help", "-h":
                self = .help
                return
            case "--version":
                self = .version
                return
            case "--check": checks = true
            case "--config", "-c":
                guard let path = rest.popFirst() else { throw WrongArgument("\(word) needs a file") }
                config = path
            case _ where word.hasPrefix("--config="): config = String(word.dropFirst("--config=".count))
            default: throw WrongArgument("unknown argument \"\(word)\"")
            }
        }
        self = checks ? .check(config: config) : .run(config: config)
    }
}

struct WrongArgument: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
