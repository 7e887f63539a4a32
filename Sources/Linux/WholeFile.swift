// Writing small files whole: at any time, whoever reads the path finds all of the old contents or all of the
// new, also after a power cut.
public import Basics
import CLinux
import Glibc

extension Files {
    /// How a file is left.
    public struct Attributes: Sendable {
        public var mode: UInt32
        /// The owner and group; `nil`: who writes it.
        public var owner: (user: UInt32, group: UInt32)?
        /// When it was last written; `nil`: just then.
        public var modified: WallTime?

        public init(
            mode: UInt32, owner: (user: UInt32, group: UInt32)? = nil, modified: WallTime? = nil
        ) {
            self.mode = mode
            self.owner = owner
            self.modified = modified
        }
    }

    /// Writes a file beside the path, to the disk, and then gives it its name.
    ///
    /// - Parameters:
    ///   - replacing: whether a file that is there is replaced; else EEXIST.
    ///   - durably: whether to wait for the disk; otherwise a power cut may leave the old contents, or none.
    public static func write(
        _ bytes: [UInt8], to path: String, _ attributes: Attributes, replacing: Bool, durably: Bool = true
    ) throws(SystemError) {
        let draft = path + ".\(String(UInt64.random(in: .min ... .max), radix: 36))~"
        do throws(SystemError) {
            try writeDraft(bytes, draft, attributes, durably)
            if replacing {
                try check("rename \(draft) to \(path)") { unsafe rename(draft, path) }
            } else {
                try check("create \(path)") { unsafe link(draft, path) }
                unsafe unlink(draft)
            }
        } catch {
            unsafe unlink(draft)
            throw error
        }
        if durably { try syncFolder(of: path) }
    }

    private static func writeDraft(
        _ bytes: [UInt8], _ path: String, _ attributes: Attributes, _ durably: Bool
    ) throws(SystemError) {
        // Readable by nobody else from its first moment on, whatever the mode will be.
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let raw = try check("create \(path)") { unsafe open(path, flags, 0o600) }
        let descriptor = Descriptor(owning: raw)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try check("write \(path)") {
                unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor.raw, $0.baseAddress, $0.count) }
            }
            rest = rest.dropFirst(count)
        }
        if let owner = attributes.owner {
            try check("chown \(path)") { fchown(descriptor.raw, owner.user, owner.group) }
        }
        try check("chmod \(path)") { fchmod(descriptor.raw, attributes.mode) }
        if let modified = attributes.modified { try setModified(path, modified) }
        if durably { try check("fsync \(path)") { fsync(descriptor.raw) } }
    }

    private static func syncFolder(of path: String) throws(SystemError) {
        let folder = folder(of: path)
        let raw = try check("open \(folder)") { unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        let descriptor = Descriptor(owning: raw)
        try check("fsync \(folder)") { fsync(descriptor.raw) }
    }

    /// The folder that a path is in.
    public static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The path with its symbolic links followed; the path itself where there is nothing.
    public static func resolved(_ path: String) -> String {
        guard let found = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(found) }
        return unsafe String(cString: found)
    }

    /// The mode and the owner of a file; `nil`: there is none.
    public static func attributes(of path: String) -> Attributes? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return Attributes(mode: status.st_mode & 0o7777, owner: (status.st_uid, status.st_gid))
    }

    /// When a file was last written or touched; `nil`: there is none to be seen.
    public static func modified(_ path: String) -> WallTime? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return WallTime(nanoseconds: nanoseconds(status.st_mtim))
    }

    /// Says that a file was last written then.
    public static func setModified(_ path: String, _ time: WallTime) throws(SystemError) {
        let seconds = time.nanoseconds.flooredQuotient(by: 1_000_000_000)
        let moment = timespec(tv_sec: Int(seconds), tv_nsec: Int(time.nanoseconds - seconds * 1_000_000_000))
        try check("utimensat \(path)") { unsafe utimensat(AT_FDCWD, path, [moment, moment], 0) }
    }

    /// Makes a folder unless it exists.
    public static func makeFolder(_ path: String, mode: UInt32) throws(SystemError) {
        do throws(SystemError) {
            try check("mkdir \(path)") { unsafe mkdir(path, mode) }
        } catch  where error.number == EEXIST {
        }
    }

    /// A lock on a folder, for as long as it is kept: whoever changes files in it by reading and writing them
    /// waits for the others.
    public static func lock(folder path: String) throws(SystemError) -> Descriptor {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        let descriptor = Descriptor(owning: raw)
        try check("lock \(path)") { flock(descriptor.raw, LOCK_EX) }
        return descriptor
    }
}
