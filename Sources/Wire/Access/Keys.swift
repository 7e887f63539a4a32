// The keys of CURVE (ZeroMQ RFC 26): every endpoint beyond this host is encrypted with them, and they say who
// is at the other end.
internal import Basics

/// The public half of a CURVE key: 32 bytes, written as 40 characters of Z85.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    public static let size = 32

    public let bytes: [UInt8]
    /// As it is written in files and on the command line, and as `User-Id` in messages.
    public let description: String

    /// `nil`: not 32 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == PublicKey.size, let text = Z85.encode(bytes) else { return nil }
        self.bytes = Array(bytes)
        description = text
    }

    /// `nil`: not 40 characters of Z85.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Z85.decode(text) else { return nil }
        self.init(bytes: bytes)
    }
}

/// The secret half of a CURVE key. It has no text of its own, so that no log and no error can show it.
public struct SecretKey: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public let bytes: [UInt8]

    /// `nil`: not 32 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == PublicKey.size else { return nil }
        self.bytes = Array(bytes)
    }

    /// `nil`: not 40 characters of Z85.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Z85.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    public var description: String { "(secret)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Who this process is on the bus.
public struct KeyPair: Hashable, Sendable {
    public let publicKey: PublicKey
    public let secretKey: SecretKey

    public init(publicKey: PublicKey, secretKey: SecretKey) {
        self.publicKey = publicKey
        self.secretKey = secretKey
    }
}
