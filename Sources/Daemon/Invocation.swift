// The command line of a daemon, read by hand: four options need no library.

/// What the command line asks for.
public enum Invocation: Hashable, Sendable {
    /// `file`: as given by --config; `nil`: the default one, if it exists.
    case run(file: String?)
    /// `isStart`: by the rules of a start, which refuses less than a reload does.
    case check(file: String?, isStart: Bool = false)
    case version
    case help
    /// What is wrong with it.
    case wrong(String)

    public init(_ arguments: [String]) {
        var file: String?
        var isCheck = false
        var isStart = false
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--version": self = .version
            case "--help", "-h": self = .help
            case "--check":
                isCheck = true
                continue
            case "--check=start":
                isCheck = true
                isStart = true
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
        self = isCheck ? .check(file: file, isStart: isStart) : .run(file: file)
    }
}
