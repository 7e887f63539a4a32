// How the command ends: the codes of sysexits(3), and errors on one line of standard error.
import ArgumentParser
import Glibc
import Linux

extension ExitCode {
    /// The command was used wrongly (EX_USAGE).
    static let usage = ExitCode(64)
    /// What was read is broken (EX_DATAERR).
    static let dataError = ExitCode(65)
    /// An input file cannot be read (EX_NOINPUT).
    static let noInput = ExitCode(66)
    /// The daemon does not answer (EX_UNAVAILABLE).
    static let unavailable = ExitCode(69)
    /// The system refused something that should work (EX_OSERR).
    static let system = ExitCode(71)
    /// A file cannot be written (EX_CANTCREAT).
    static let cannotCreate = ExitCode(73)
    /// Standard output cannot be written to, or who was to read something did not get all of it (EX_IOERR).
    static let outputError = ExitCode(74)
    /// The daemon answered what this version does not understand (EX_PROTOCOL).
    static let protocolError = ExitCode(76)
    /// A configuration file is wrong (EX_CONFIG).
    static let configuration = ExitCode(78)
}

/// What became of a text that was to be written.
private enum Written {
    case all
    /// The reader of a pipe or a connection has gone.
    case readerGone
    /// It cannot be written, by `errno`.
    case lost(Int32)
}

/// Writes all of a text, to standard output unless told otherwise. A reader that has gone ends the command as
/// SIGPIPE does; standard output that takes no more, such as a full disk, ends it with EX_IOERR: what is lost would
/// pass for all that there is.
func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
    switch writeAll(text, to: descriptor) {
    case .all: break
    // Nobody is left to tell.
    case .readerGone where descriptor == STDERR_FILENO, .lost where descriptor == STDERR_FILENO: break
    case .readerGone: endAsBySIGPIPE()
    case .lost(let number):
        complain("standard output: \(SystemError.text(number))")
        exit(ExitCode.outputError.rawValue)
    }
}

/// Writes what a terminal shows: who hangs it up ends the command by SIGHUP or by the end of standard input.
func writeToTerminal(_ text: String) { _ = writeAll(text, to: STDOUT_FILENO) }

private func writeAll(_ text: String, to descriptor: Int32) -> Written {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count <= 0 else {
            bytes = bytes.dropFirst(count)
            continue
        }
        switch count < 0 ? errno : EIO {
        case EINTR: break
        case EAGAIN:
            // Whoever started the command may have made the descriptor a non-blocking one.
            var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            unsafe poll(&wanted, 1, -1)
        case EPIPE: return .readerGone
        case let number: return .lost(number)
        }
    }
    return .all
}

/// Ends the command as a reader that has gone ends it, also where whoever started it ignores SIGPIPE.
private func endAsBySIGPIPE() -> Never {
    signal(SIGPIPE, SIG_DFL)
    var only = sigset_t()
    unsafe sigemptyset(&only)
    unsafe sigaddset(&only, SIGPIPE)
    unsafe sigprocmask(SIG_UNBLOCK, &only, nil)
    raise(SIGPIPE)
    exit(128 + SIGPIPE)
}

/// Tells the person what went wrong.
func complain(_ text: String) { write("holdfast: \(text)\n", to: STDERR_FILENO) }
