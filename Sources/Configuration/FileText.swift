// Reading a small text file whole, with errors that say what to do about them.
internal import Glibc

/// Text files of bounded size.
public enum FileText {
    /// From whom a file must be kept by its mode.
    enum Others {
        case nobody
        /// It is secret: no bit for group or others, and an owner who may know it.
        case readers
        /// It is secret, and its group may know it: no bit for others, none to write for the group.
        case strangers
        /// It decides what others may do: no bit to write for group or others.
        case writers
    }

    /// The text of a regular file.
    /// - Throws: `missing`, `forbidden` or `unreadable`; `invalid` if it is longer than 1 MiB or not UTF-8.
    public static func read(path: String) throws(ConfigurationError) -> String {
        try read(path: path, keptFrom: .nobody)
    }

    /// The text of a regular file that is kept from others.
    static func read(path: String, keptFrom others: Others) throws(ConfigurationError) -> String {
        // Not blocking: a FIFO without a writer would hold the daemon for ever.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let number = errno
            guard number == EACCES, let advice = advice(onForbidden: path, keptFrom: others) else {
                throw failure(path, number: number)
            }
            throw failure(path, .forbidden, advice)
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw failure(path, number: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw failure(
                path, .unreadable, isFolder ? "is a directory, not a file" : "is not a regular file")
        }
        if let advice = advice(on: status, keptFrom: others, path) { throw failure(path, .invalid, advice) }
        return try text(of: descriptor, name: path)
    }

    /// What is wrong with a file's mode or owner.
    private static func advice(on status: stat, keptFrom others: Others, _ path: String) -> String? {
        let mode = "has mode 0" + String(status.st_mode & 0o7777, radix: 8)
        switch others {
        case .nobody: return nil
        case .readers:
            if status.st_mode & 0o077 != 0 {
                return "\(mode), and the secret in it is for its owner alone: chmod 600 \(path)"
            }
            if !isTrusted(status.st_uid) {
                return "belongs to the user \(status.st_uid), who is neither root nor the one that reads it: "
                    + "chown it, or make another with holdfast keygen"
            }
        case .strangers:
            if status.st_mode & 0o027 != 0 {
                return "\(mode), and the secret in it is for its owner and group alone: chmod 640 \(path)"
            }
        case .writers:
            if status.st_mode & 0o022 != 0 {
                return "\(mode), and who can write it lets anybody in: chmod go-w \(path)"
            }
        }
        return nil
    }

    /// What to do about a secret of the daemons' that root made before there was their user.
    private static func advice(onForbidden path: String, keptFrom others: Others) -> String? {
        var status = stat()
        guard others == .readers || others == .strangers, unsafe stat(path, &status) == 0 else { return nil }
        guard let entry = unsafe getpwnam("holdfast"), status.st_uid != (unsafe entry.pointee.pw_uid) else {
            return "permission denied; only its owner may read it"
        }
        return "permission denied; for the daemons to read it: sudo chown holdfast \(path)"
    }

    /// Root, ourselves, and the daemons' user, whose key root reads too.
    private static func isTrusted(_ user: uid_t) -> Bool {
        if user == 0 || user == geteuid() { return true }
        guard let entry = unsafe getpwnam("holdfast") else { return false }
        return unsafe entry.pointee.pw_uid == user
    }

    /// The text on standard input, to its end, with the same bounds.
    public static func readStandardInput() throws(ConfigurationError) -> String {
        try text(of: STDIN_FILENO, name: "standard input")
    }

    private static func text(of descriptor: Int32, name: String) throws(ConfigurationError) -> String {
        guard let bytes = bytes(of: descriptor, upTo: Syntax.longestText) else {
            throw failure(name, number: errno)
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

    private static func failure(_ name: String, number: Int32) -> ConfigurationError {
        switch number {
        case ENOENT, ENOTDIR: failure(name, .missing, "no such file")
        case EACCES, EPERM:
            failure(name, .forbidden, "permission denied; the daemon's user must be able to read it")
        default: failure(name, .unreadable, "cannot be read: " + (unsafe String(cString: strerror(number))))
        }
    }
}
