// SHA-256 (FIPS 180-4): the digest that chains segments. It has to be cryptographic, or whoever changes a segment could
// make the chain fit again. It is that of `sha256sum`, so that a segment can be checked without Holdfast.
import CCrypto

/// A digest that grows with what is appended.
public struct SHA256: Sendable {
    /// A plain value: a copy goes on by itself.
    private var context = SHA256_CTX()

    public init() { unsafe SHA256_Init(&context) }

    public mutating func append(_ bytes: ArraySlice<UInt8>) { append(bytes.span) }

    public mutating func append(_ bytes: [UInt8]) { append(bytes.span) }

    /// Likewise, of borrowed bytes.
    public mutating func append(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { bytes in
            _ = unsafe SHA256_Update(&context, bytes.baseAddress, bytes.count)
        }
    }

    /// The digest of everything so far; more can be appended afterwards.
    public var digest: Digest {
        var final = context
        var bytes = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        unsafe SHA256_Final(&bytes, &final)
        return Digest(bytes)
    }
}

/// The 32 bytes of a SHA-256.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    public static let size = 32
    /// Before the first segment of a chain.
    public static let none = Digest([UInt8](repeating: 0, count: size))

    public let bytes: [UInt8]

    /// - Precondition: 32 bytes.
    public init(_ bytes: [UInt8]) {
        precondition(bytes.count == Digest.size, "a SHA-256 has 32 bytes")
        self.bytes = bytes
    }

    /// In hexadecimal, as `sha256sum` prints it.
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
