// How the command ends: the codes of sysexits(3), and errors on one line of standard error.
import ArgumentParser
import Glibc

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
    /// The daemon answered what this version does not understand (EX_PROTOCOL).
    static let protocolError = ExitCode(76)
    /// A configuration file is wrong (EX_CONFIG).
    static let configuration = ExitCode(78)
}

/// Writes all of a text, to standard output unless told otherwise. A reader that has gone ends the command as
/// SIGPIPE does.
func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        bytes = bytes.dropFirst(count)
    }
}

/// Tells the person what went wrong.
func complain(_ text: String) { write("holdfast: \(text)\n", to: STDERR_FILENO) }
