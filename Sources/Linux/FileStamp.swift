// What tells a file that was written anew from the one that was read.
public import Basics
import CLinux
import Glibc

/// Which file is under a path, and how it was left.
public struct FileStamp: Hashable, Sendable {
    public var device: UInt64
    public var inode: UInt64
    /// In bytes.
    public var size: Int64
    public var modified: WallTime
    /// It is neither a folder, nor a pipe, nor a device, whose reading could take forever.
    public var isRegular: Bool

    public init(device: UInt64, inode: UInt64, size: Int64, modified: WallTime, isRegular: Bool = true) {
        (self.device, self.inode, self.size) = (device, inode, size)
        (self.modified, self.isRegular) = (modified, isRegular)
    }

    /// - Throws: `SystemError` that names the path, if there is nothing or it cannot be seen.
    public init(of path: String) throws(SystemError) {
        var status = stat()
        try check("stat \(path)") { unsafe stat(path, &status) }
        self.init(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: WallTime(nanoseconds: nanoseconds(status.st_mtim)),
            isRegular: status.st_mode & S_IFMT == S_IFREG)
    }
}
