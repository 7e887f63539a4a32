// What a file system says of itself, and how long a small write takes to reach its disk. Either may never return
// when a disk, a server or a driver is gone: call them on a worker.
import Basics
import Glibc

/// The room in a file system, as statvfs(3) gives it.
public struct FileSystemUsage: Hashable, Sendable {
    public var sizeBytes: UInt64
    /// Free, also what only root may use.
    public var freeBytes: UInt64
    /// Free for everybody.
    public var availableBytes: UInt64
    /// 0: it makes inodes as it needs them.
    public var inodes: UInt64
    public var freeInodes: UInt64

    public init(
        sizeBytes: UInt64, freeBytes: UInt64, availableBytes: UInt64, inodes: UInt64 = 0,
        freeInodes: UInt64 = 0
    ) {
        self.sizeBytes = sizeBytes
        self.freeBytes = freeBytes
        self.availableBytes = availableBytes
        self.inodes = inodes
        self.freeInodes = freeInodes
    }

    /// Asks the file system that is mounted there.
    public init(ofMountPoint path: [UInt8]) throws(SystemError) {
        var answer = statvfs()
        let name = path.map { CChar(bitPattern: $0) } + [0]
        try check("statvfs \(String(decoding: path, as: UTF8.self))") { unsafe statvfs(name, &answer) }
        let unit = UInt64(answer.f_frsize)
        self.init(
            sizeBytes: saturating(UInt64(answer.f_blocks), unit),
            freeBytes: saturating(UInt64(answer.f_bfree), unit),
            availableBytes: saturating(UInt64(answer.f_bavail), unit), inodes: UInt64(answer.f_files),
            freeInodes: UInt64(answer.f_ffree))
    }
}

private func saturating(_ count: UInt64, _ unit: UInt64) -> UInt64 {
    let (product, overflow) = count.multipliedReportingOverflow(by: unit)
    return overflow ? .max : product
}

/// A small write that waits for the disk.
public struct WriteProbe: Hashable, Sendable {
    /// How long the write and its way to the disk took.
    public var latency: Duration
    /// Whether it passed the page cache by; not every file system can.
    public var isDirect: Bool

    /// The file that is written again and again, in the folder to probe.
    public static let fileName = ".holdfast-probe"
    private static let size = 4096
    /// O_DIRECT of open(2), which the C library shows to GNU programs alone. Source: asm/fcntl.h of the kernel.
    #if arch(arm64) || arch(arm)
        private static let direct: Int32 = 0o200000
    #else
        private static let direct: Int32 = 0o40000
    #endif

    public init(latency: Duration, isDirect: Bool) {
        self.latency = latency
        self.isDirect = isDirect
    }

    /// Writes 4 KiB past the page cache and waits until they are durable (fdatasync(2)).
    public init(folder: String) throws(SystemError) {
        let path = "\(folder)/\(WriteProbe.fileName)"
        var (raw, isDirect) = (WriteProbe.open(path, WriteProbe.direct), true)
        if raw < 0, errno == EINVAL { (raw, isDirect) = (WriteProbe.open(path, 0), false) }
        guard raw >= 0 else { throw SystemError("open \(path)", number: errno) }
        let descriptor = Descriptor(owning: raw)
        var block: UnsafeMutableRawPointer?
        let failure = unsafe posix_memalign(&block, WriteProbe.size, WriteProbe.size)
        guard failure == 0, let block = unsafe block else {
            throw SystemError("posix_memalign", number: failure)
        }
        defer { unsafe free(block) }
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: WriteProbe.size)
        let start = Clock.monotonic
        let count = try check("write \(path)") {
            unsafe pwrite(descriptor.raw, block, WriteProbe.size, 0)
        }
        guard count == WriteProbe.size else { throw SystemError("write \(path)", number: ENOSPC) }
        try check("fdatasync \(path)") { fdatasync(descriptor.raw) }
        self.init(latency: Clock.monotonic - start, isDirect: isDirect)
    }

    private static func open(_ path: String, _ flag: Int32) -> Int32 {
        unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | flag, 0o600)
    }
}
