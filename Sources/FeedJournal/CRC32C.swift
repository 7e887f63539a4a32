// CRC32C (Castagnoli; RFC 3720, section 12.1 and appendix B.4): finds what a disk or a cable changed in a record. It
// proves nothing against somebody who means harm: that is what the chain of digests is for.

/// Continues a CRC32C over more bytes; of nothing before, it is 0. The processor's own instruction, where there is
/// one, is another implementation of it.
public typealias Checksum = @Sendable (_ before: UInt32, _ bytes: Span<UInt8>) -> UInt32

/// CRC32C by table, eight bytes at a time, for any processor.
public enum CRC32C {
    /// Eight tables of 256, one behind another: what a byte does so many places further on.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var value = UInt32(index)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
            tables[index] = value
        }
        for index in 256..<tables.count {
            let before = tables[index - 256]
            tables[index] = before >> 8 ^ tables[Int(before & 255)]
        }
        return tables
    }()

    @Sendable public static func byTable(_ before: UInt32, _ bytes: Span<UInt8>) -> UInt32 {
        unsafe tables.withUnsafeBufferPointer { tables in
            unsafe bytes.withUnsafeBytes { bytes in
                var value = ~before
                var index = 0
                while index + 8 <= bytes.count {
                    let word = UInt64(
                        littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    let mixed = word ^ UInt64(value)
                    value = 0
                    for place in 0..<8 {
                        let byte = Int(truncatingIfNeeded: mixed >> UInt64(8 * place)) & 255
                        value ^= unsafe tables[(7 - place) * 256 + byte]
                    }
                    index += 8
                }
                while index < bytes.count {
                    let byte = unsafe bytes[index]
                    value = unsafe value >> 8 ^ tables[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
                    index += 1
                }
                return ~value
            }
        }
    }
}
