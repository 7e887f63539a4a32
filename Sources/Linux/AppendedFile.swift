// A file that only grows: what is written to it is there whole, or the file is as it was.
import CLinux
import Glibc

/// A file that is appended to.
public final class AppendedFile: Sendable {
    private let descriptor: Descriptor
    public let path: String

    /// Makes a file; EEXIST if there is one.
    public init(making path: String, mode: UInt32) throws(SystemError) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let raw = try check("create \(path)") { unsafe open(path, flags, mode) }
        descriptor = Descriptor(owning: raw)
        self.path = path
    }

    /// Goes on with a file that is there.
    public init(continuing path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC) }
        descriptor = Descriptor(owning: raw)
        self.path = path
    }

    /// Writes all of it at an offset, which is the file's end. Where the disk is full or fails, the file is cut to what
    /// it was.
    public func append(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        try append(bytes.span, at: offset)
    }

    /// Likewise, of borrowed bytes.
    public func append(_ bytes: Span<UInt8>, at offset: Int) throws(SystemError) {
        let raw = descriptor.raw
        var done = 0
        do throws(SystemError) {
            while done < bytes.count {
                let count = try check("write \(path)") {
                    unsafe bytes.withUnsafeBytes {
                        unsafe pwrite(raw, $0.baseAddress! + done, $0.count - done, off_t(offset + done))
                    }
                }
                done += count
            }
        } catch {
            if done > 0 { cut(to: offset) }
            throw error
        }
    }

    /// Takes what was appended behind an offset away again, as far as the disk lets: what is appended there next replaces
    /// it in any case.
    public func cut(to offset: Int) { ftruncate(descriptor.raw, off_t(offset)) }

    /// Lets the kernel use the memory of what is before an offset for something else; what the disk does not have yet
    /// stays.
    public func letGo(before offset: Int) {
        _ = posix_fadvise(descriptor.raw, 0, off_t(offset), POSIX_FADV_DONTNEED)
    }

    /// Waits until the disk has the contents.
    public func sync() throws(SystemError) {
        let raw = descriptor.raw
        try check("fdatasync \(path)") { fdatasync(raw) }
    }
}

extension Files {
    /// Cuts a file to its first bytes, and waits until the disk knows.
    public static func cut(_ path: String, to size: Int) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) }
        let descriptor = Descriptor(owning: raw)
        try check("cut \(path)") { ftruncate(descriptor.raw, off_t(size)) }
        try check("fsync \(path)") { fsync(descriptor.raw) }
    }

    public static func remove(_ path: String) throws(SystemError) {
        try check("remove \(path)") { unsafe unlink(path) }
    }

    /// How many bytes a file has.
    public static func size(of path: String) throws(SystemError) -> Int {
        var status = stat()
        try check("stat \(path)") { unsafe stat(path, &status) }
        return Int(status.st_size)
    }

    /// Whether there is a folder of that name.
    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// A lock on a folder that nobody else has, for as long as it is kept; EWOULDBLOCK: somebody has it.
    public static func lockAtOnce(folder path: String) throws(SystemError) -> Descriptor {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        let descriptor = Descriptor(owning: raw)
        try check("lock \(path)") { flock(descriptor.raw, LOCK_EX | LOCK_NB) }
        return descriptor
    }

    /// Waits until the disk knows which files a folder has.
    public static func sync(folder path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        let descriptor = Descriptor(owning: raw)
        try check("fsync \(path)") { fsync(descriptor.raw) }
    }
}

/// A file that is read in pieces.
public final class ReadFile: Sendable {
    private let descriptor: Descriptor
    public let path: String

    public init(_ path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
        descriptor = Descriptor(owning: raw)
        self.path = path
    }

    /// At most so many bytes from an offset on; empty: the file ends there.
    public func read(_ count: Int, at offset: Int) throws(SystemError) -> [UInt8] {
        let raw = descriptor.raw
        var failure: SystemError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(SystemError) {
                filled = try check("read \(path)") {
                    unsafe pread(raw, buffer.baseAddress, count, off_t(offset))
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
