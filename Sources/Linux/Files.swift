// Small files read whole and within a bound: /proc, /sys, configuration. Paths are passed in, so that tests
// use recorded trees.
import CLinux
import Glibc

/// A variable of this process's environment.
public func environmentVariable(_ name: String) -> String? {
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
}

/// Reads files and folders.
public enum Files {
    /// The contents of a file, at most `limit` bytes.
    ///
    /// - Throws: `SystemError` that names the path; EFBIG when the file is larger than `limit`.
    public static func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
        return try contents(of: Descriptor(owning: raw), path, limit)
    }

    /// The same of a file that others may put there: a pipe, which may never say a word, is not waited for.
    ///
    /// - Throws: EISDIR for a folder, ENODEV for what is no file at all.
    public static func readRegular(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let raw = try check("open \(path)") { unsafe open(path, flags) }
        let descriptor = Descriptor(owning: raw)
        var status = stat()
        try check("stat \(path)") { unsafe fstat(raw, &status) }
        guard status.st_mode & S_IFMT == S_IFREG || status.st_mode & S_IFMT == S_IFDIR else {
            throw SystemError("read \(path), which is no regular file", number: ENODEV)
        }
        return try contents(of: descriptor, path, limit)
    }

    private static func contents(of descriptor: borrowing Descriptor, _ path: String, _ limit: Int)
        throws(SystemError) -> [UInt8]
    {
        let raw = descriptor.raw
        var bytes: [UInt8] = []
        while true {
            var failure: Int32 = 0
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
                var count = 0
                repeat {
                    count = unsafe Glibc.read(raw, buffer.baseAddress, buffer.count)
                } while count < 0 && errno == EINTR
                if count < 0 { failure = errno }
                filled = max(0, count)
            }
            guard failure == 0 else { throw SystemError("read \(path)", number: failure) }
            if chunk.isEmpty { return bytes }
            if bytes.isEmpty { bytes = chunk } else { bytes += chunk }
            if bytes.count > limit { throw SystemError("read \(path)", number: EFBIG) }
        }
    }

    /// The contents of a file as text without spaces at its ends; bytes that are not UTF-8 are replaced.
    public static func text(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> String {
        text(of: try read(path, limit: limit))
    }

    /// The same of a regular file.
    public static func textOfRegular(_ path: String, limit: Int) throws(SystemError) -> String {
        text(of: try readRegular(path, limit: limit))
    }

    private static func text(of bytes: [UInt8]) -> String {
        var bytes = bytes[...]
        while let last = bytes.last, last <= 0x20 { bytes = bytes.dropLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The names in a folder, without `.` and `..`, unordered.
    public static func names(in path: String) throws(SystemError) -> [String] {
        guard let folder = unsafe opendir(path) else { throw SystemError("opendir \(path)", number: errno) }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// What a symbolic link points to.
    public static func target(ofLink path: String) throws(SystemError) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try check("readlink \(path)") {
            unsafe buffer.withUnsafeMutableBytes { unsafe readlink(path, $0.baseAddress!, $0.count) }
        }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Whether this process may make files in a folder.
    public static func mayWrite(in folder: String) -> Bool { unsafe access(folder, W_OK | X_OK) == 0 }

    /// When a file was last written, in nanoseconds of the wall clock.
    public static func modified(_ path: String) throws(SystemError) -> Int64 {
        var status = stat()
        try check("stat \(path)") { unsafe stat(path, &status) }
        return nanoseconds(status.st_mtim)
    }

    /// How many descriptors a process has open, from its folder /proc/PID/fd; `nil`: the kernel hides it.
    public static func countOfDescriptors(_ folder: String) -> Int64? {
        var status = stat()
        guard unsafe stat(folder, &status) == 0 else { return nil }
        // Linux 6.2 and later say it to everybody as the folder's size; before, only who may look in can count.
        if status.st_size > 0 { return Int64(status.st_size) }
        return (try? names(in: folder)).map { Int64($0.count) }
    }

    /// The size of a file in bytes; `nil`: it cannot be seen.
    public static func size(_ path: String) -> UInt64? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return UInt64(max(0, status.st_size))
    }

    /// Whether a user who is in these groups may make files in a folder, by its owner, group and mode; `nil`: it cannot
    /// be seen.
    public static func mayWrite(in folder: String, user: UInt32, groups: [UInt32]) -> Bool? {
        var status = stat()
        guard unsafe stat(folder, &status) == 0 else { return nil }
        if user == 0 { return true }
        let bits: UInt32 = status.st_uid == user ? 0o300 : groups.contains(status.st_gid) ? 0o030 : 0o003
        return status.st_mode & bits == bits
    }

    public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}

/// A small file that is read again and again through one open descriptor, as sysfs counters are.
public struct PolledFile: ~Copyable, Sendable {
    private let descriptor: Descriptor
    public let path: String

    public init(path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_CLOEXEC) }
        descriptor = Descriptor(owning: raw)
        self.path = path
    }

    /// Fills the buffer from the file's start; returns how many bytes that were.
    public func read(into buffer: inout [UInt8]) throws(SystemError) -> Int {
        let raw = descriptor.raw
        return try check("pread \(path)") {
            unsafe buffer.withUnsafeMutableBytes { unsafe pread(raw, $0.baseAddress, $0.count, 0) }
        }
    }

    /// The decimal number at the start of the file; `nil` when there is none.
    public func integer() throws(SystemError) -> UInt64? {
        var buffer: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let raw = descriptor.raw
        var digits: UInt64 = 0
        var seen = false
        let count = try check("pread \(path)") { unsafe pread(raw, &buffer, 32, 0) }
        unsafe withUnsafeBytes(of: &buffer) { bytes in
            for index in 0..<count {
                let byte = unsafe bytes[index]
                guard (48...57).contains(byte) else { break }
                seen = true
                digits = digits &* 10 &+ UInt64(byte - 48)
            }
        }
        return seen ? digits : nil
    }
}

/// A file that is kept open to be told of its changes.
public final class WatchedFile {
    private let descriptor: Descriptor

    public init(path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
        descriptor = Descriptor(owning: raw)
    }

    public var raw: Int32 { descriptor.raw }
}
