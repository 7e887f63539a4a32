// The command line, read by hand: a daemon needs four options and no library for them.

/// What the command line asks for.
enum Invocation: Equatable {
    /// `file`: as given by --config; `nil`: the default one, if it exists.
    case run(file: String?)
    case check(file: String?)
    case version
    case help
    /// What is wrong with it.
    case wrong(String)

    init(_ arguments: [String]) {
        var file: String?
        var isCheck = false
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--version": self = .version
            case "--help", "-h": self = .help
            case "--check":
                isCheck = true
                continue
            case "--config", "-c":
                guard let path = rest.popFirst() else {
                    self = .wrong("\(argument) wants a file")
                    return
                }
                file = path
                continue
            default:
                if argument.hasPrefix("--config="), argument != "--config=" {
                    file = String(argument.dropFirst("--config=".count))
                    continue
                }
                self = .wrong("unknown argument: \(argument)")
            }
            return
        }
        self = isCheck ? .check(file: file) : .run(file: file)
    }
}

let usage = """
    Usage: holdfast-agent [--config FILE] [--check]

    Watches this host's network interfaces, ways out and processes, and publishes
    every change over ZeroMQ and to the journal. Without a configuration file it
    finds what there is to watch.

      -c, --config FILE   read this file (default: /etc/holdfast/agent.toml, which
                          may be missing)
          --check         say whether the configuration is valid, and end
          --version       print the version, and end
      -h, --help          print this, and end

    Signals: SIGHUP reads the file again, SIGTERM and SIGINT end the agent.
    Exit status: 0 ended as asked, 1 could not work, 64 wrong arguments,
    78 the configuration is refused.

    """
