// The door to libsodium: boxes (NaCl's X25519, XSalsa20 and Poly1305). A box keeps a text secret and whole between who
// holds one secret key and who holds the other; it is made and opened with what the two share.
import Basics
import CSodium

/// 32 secret bytes: a secret key, or what two keys share. They are zeroed when nobody holds them any more.
final class Secret: Sendable {
    static let size = 32
    private static let isReady = sodium_init() >= 0

    /// As a number, since nobody writes there after the initializer: it may be read from anywhere.
    private let address: UInt

    private init() {
        precondition(Secret.isReady, "libsodium does not start")
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Secret.size, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Secret.size)
        address = UInt(bitPattern: memory)
    }

    /// - Precondition: 32 bytes.
    convenience init(_ bytes: some Collection<UInt8>) {
        precondition(bytes.count == Secret.size, "a secret has 32 bytes")
        self.init()
        for (index, byte) in bytes.enumerated() { unsafe pointer[index] = byte }
    }

    /// What our secret key and their public key share. `nil`: theirs is of small order, and everybody knows it.
    convenience init?(of ours: Secret, with theirs: [UInt8]) {
        precondition(theirs.count == Secret.size, "a public key has 32 bytes")
        self.init()
        guard unsafe crypto_box_beforenm(pointer, theirs, ours.pointer) == 0 else { return nil }
    }

    deinit {
        unsafe sodium_memzero(pointer, Secret.size)
        unsafe pointer.deallocate()
    }

    /// Valid while the secret is held.
    fileprivate var pointer: UnsafeMutablePointer<UInt8> {
        guard let pointer = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address) else {
            preconditionFailure("memory has an address")
        }
        return unsafe pointer
    }

    /// A copy; `Box.wipe` it.
    var bytes: [UInt8] {
        defer { withExtendedLifetime(self) {} }
        return unsafe Array(UnsafeBufferPointer(start: pointer, count: Secret.size))
    }

    /// The public half, where this is a secret key.
    var publicKey: [UInt8] {
        defer { withExtendedLifetime(self) {} }
        var key = [UInt8](repeating: 0, count: Secret.size)
        unsafe crypto_scalarmult_base(&key, pointer)
        return key
    }
}

/// 24 bytes that are never used twice with one key: a text, and a number or random bytes.
struct Nonce: Sendable {
    fileprivate var words: (UInt64, UInt64, UInt64)

    /// - Precondition: 24 bytes with the text's.
    init(_ text: String, _ bytes: some Collection<UInt8>) {
        let all = (Array(text.utf8) + bytes)[...]
        precondition(all.count == 24, "a nonce has 24 bytes")
        words = (
            all.word(at: 0, as: UInt64.self).littleEndian, all.word(at: 8, as: UInt64.self).littleEndian,
            all.word(at: 16, as: UInt64.self).littleEndian
        )
    }

    /// - Precondition: a text of 16 bytes.
    init(_ text: String, _ number: UInt64) {
        self.init(text, [UInt8](repeating: 0, count: 8))
        self.number = number
    }

    /// The last eight bytes, in network byte order.
    var number: UInt64 {
        get { UInt64(bigEndian: words.2) }
        set { words.2 = newValue.bigEndian }
    }
}

/// Makes and opens boxes. With what two keys share a box is NaCl's secretbox (crypto_box_afternm is that); so is the
/// one of a cookie, whose key one side has alone.
enum Box {
    /// By how much a box is longer than its text.
    static let overhead = Int(crypto_secretbox_MACBYTES)

    static func seal(_ text: [UInt8], _ nonce: Nonce, _ key: Secret) -> [UInt8] {
        var box = [UInt8](repeating: 0, count: overhead) + text
        seal(&box, from: 0, nonce, key)
        return box
    }

    /// `nil`: it was made with another key or nonce, or changed on its way.
    static func open(_ box: ArraySlice<UInt8>, _ nonce: Nonce, _ key: Secret) -> [UInt8]? {
        guard box.count >= overhead else { return nil }
        defer { withExtendedLifetime(key) {} }
        var isOpen = false
        let text = unsafe [UInt8](unsafeUninitializedCapacity: box.count - overhead) { text, count in
            isOpen = unsafe open(box, nonce, key, into: text)
            count = isOpen ? box.count - overhead : 0
        }
        return isOpen ? text : nil
    }

    private static func open(
        _ box: ArraySlice<UInt8>, _ nonce: Nonce, _ key: Secret, into text: UnsafeMutableBufferPointer<UInt8>
    ) -> Bool {
        unsafe box.withUnsafeBufferPointer { box in
            guard let start = box.baseAddress else { return false }
            return unsafe withUnsafeBytes(of: nonce.words) { nonce in
                guard let nonce = unsafe nonce.assumingMemoryBound(to: UInt8.self).baseAddress else {
                    return false
                }
                return unsafe crypto_secretbox_open_detached(
                    text.baseAddress, start + overhead, start, UInt64(box.count - overhead), nonce,
                    key.pointer) == 0
            }
        }
    }

    /// Makes a box, in place, of all bytes from an index on: room for the overhead, and the text.
    static func seal(_ bytes: inout [UInt8], from start: Int, _ nonce: Nonce, _ key: Secret) {
        let count = bytes.count - start - overhead
        precondition(start >= 0 && count >= 0, "no room for a box")
        unsafe bytes.withUnsafeMutableBufferPointer { bytes in
            guard let box = unsafe bytes.baseAddress.map({ unsafe $0 + start }) else { return }
            unsafe withUnsafeBytes(of: nonce.words) { nonce in
                guard let nonce = unsafe nonce.assumingMemoryBound(to: UInt8.self).baseAddress else { return }
                _ = unsafe crypto_secretbox_detached(
                    box + overhead, box, box + overhead, UInt64(count), nonce, key.pointer)
            }
        }
        withExtendedLifetime(key) {}
    }

    /// Zeroes a copy of something secret.
    static func wipe(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { unsafe sodium_memzero($0.baseAddress, $0.count) }
    }

    /// Compares in a time that says nothing of where they differ.
    static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && (unsafe sodium_memcmp(one, other, one.count)) == 0
    }
}
