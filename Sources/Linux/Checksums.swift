// CRC32C by the processor's own instruction.
import CLinux
import Glibc

/// CRC32C (Castagnoli) where the processor has an instruction for it.
public enum HardwareCRC32C {
    /// Whether this processor has it.
    public static let isThere = clinux_has_crc32c() != 0

    /// Continues a CRC32C, 0 at the beginning.
    ///
    /// - Precondition: `isThere`.
    @Sendable public static func update(_ before: UInt32, _ bytes: Span<UInt8>) -> UInt32 {
        precondition(isThere, "this processor has no instruction for CRC32C")
        return unsafe bytes.withUnsafeBytes { bytes in
            unsafe clinux_crc32c(before, bytes.baseAddress, bytes.count)
        }
    }
}
