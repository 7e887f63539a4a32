// A file that is read from front to back in pieces, on whatever thread may wait for the disk.
import CLinux
import Glibc

/// An open file.
public final class OpenFile: Sendable {
    private let descriptor: Descriptor
    private let path: String

    public init(path: String) throws(SystemError) {
        let raw = try check("open \(path)") { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
        descriptor = Descriptor(owning: raw)
        self.path = path
    }

    /// The next bytes; none at the end.
    public func read(atMost count: Int) -> Result<[UInt8], SystemError> {
        Result { () throws(SystemError) in
            var buffer = [UInt8](repeating: 0, count: count)
            let raw = descriptor.raw
            let read = try check("read \(path)") { unsafe Glibc.read(raw, &buffer, count) }
            return Array(buffer[..<read])
        }
    }
}
