// Reading a small text file whole, with errors that say what to do about them.
internal import Glibc

/// Text files of bounded size.
public enum FileText {
    /// The text of a regular file.
    /// - Throws: `unreadable` if it is missing, forbidden or not a file; `invalid` if it is longer than 1 MiB or
    ///   not UTF-8.
    public static func read(path: String) throws(ConfigurationError) -> String {
        // Not blocking: a FIFO without a writer would hold the daemon for ever.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(path, .unreadable, reason(of: errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw failure(path, .unreadable, reason(of: errno))
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw failure(
                path, .unreadable, isFolder ? "is a directory, not a file" : "is not a regular file")
        }
        return try text(of: descriptor, name: path)
    }

    /// The text on standard input, to its end, with the same bounds.
    public static func readStandardInput() throws(ConfigurationError) -> String {
        try text(of: STDIN_FILENO, name: "standard input")
    }

    private static func text(of descriptor: Int32, name: String) throws(ConfigurationError) -> String {
        guard let bytes = bytes(of: descriptor, upTo: Syntax.longestText) else {
            throw failure(name, .unreadable, reason(of: errno))
        }
        guard bytes.count <= Syntax.longestText else {
            throw failure(name, .invalid, "longer than \(Syntax.longestText) bytes, which is the limit")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let line = firstWrongLine(bytes)
            throw failure(name, .invalid, "is not UTF-8 text; the first wrong byte is on line \(line)")
        }
        return text
    }

    private static func failure(
        _ name: String, _ cause: ConfigurationError.Cause, _ advice: String
    ) -> ConfigurationError {
        ConfigurationError(file: name, cause: cause, problems: [.init(advice: advice)])
    }

    /// Up to one byte more than `limit`; `nil` with errno set after a failure.
    private static func bytes(of descriptor: Int32, upTo limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while bytes.count <= limit {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return bytes
    }

    private static func firstWrongLine(_ bytes: [UInt8]) -> Int {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
    }

    private static func reason(of number: Int32) -> String {
        switch number {
        case ENOENT, ENOTDIR: "no such file"
        case EACCES, EPERM: "permission denied; the daemon's user must be able to read it"
        default: "cannot be read: " + (unsafe String(cString: strerror(number)))
        }
    }
}
