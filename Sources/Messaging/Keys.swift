// Keys, by libzmq: new ones, and whether two halves belong together.
internal import Basics
import CZeroMQ
public import Wire

extension KeyPair {
    /// A new pair whose public key begins with a letter or a digit, so that neither a shell nor an option parser
    /// takes it for something else.
    ///
    /// - Throws: ENOTSUP from a libzmq without CURVE.
    public static func generate() throws(MessagingError) -> KeyPair {
        while true {
            var publicText = [CChar](repeating: 0, count: 41)
            var secretText = [CChar](repeating: 0, count: 41)
            guard unsafe zmq_curve_keypair(&publicText, &secretText) == 0 else {
                throw MessagingError("zmq_curve_keypair")
            }
            let texts = [publicText, secretText].map { text in
                String(decoding: text.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            guard let publicKey = PublicKey(texts[0]), let secretKey = SecretKey(texts[1]) else {
                preconditionFailure("zmq_curve_keypair made a key that is not Z85")
            }
            if let first = texts[0].first, first.isLetter || first.isNumber {
                return KeyPair(publicKey: publicKey, secretKey: secretKey)
            }
        }
    }

    /// Whether the public half is that of the secret; `false` also from a libzmq without CURVE.
    public var isConsistent: Bool {
        guard let secret = Z85.encode(secretKey.bytes) else { return false }
        var derived = [CChar](repeating: 0, count: 41)
        guard unsafe zmq_curve_public(&derived, secret) == 0 else { return false }
        return derived.prefix(40).elementsEqual(publicKey.description.utf8.map { CChar(bitPattern: $0) })
    }
}

/// Bytes from the kernel that nobody can foresee.
func randomBytes(_ count: Int) -> [UInt8] {
    var random = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
}
