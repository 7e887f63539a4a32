// SHA-256 (FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2): the digest that chains segments. It has to be
// cryptographic, or whoever changes a segment could make the chain fit again. No library that the daemons link has one:
// libsystemd keeps its own to itself, and libsodium is libzmq's affair and not on every host. It is that of
// `sha256sum`, so that a segment can be checked without Holdfast.

/// A digest that grows with what is appended.
public struct SHA256: Sendable {
    private var state: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
        0x5be0_cd19,
    ]
    /// What does not fill a block of 64 bytes yet.
    private var rest: [UInt8] = []
    private var count: UInt64 = 0

    public init() { rest.reserveCapacity(64) }

    public mutating func append(_ bytes: ArraySlice<UInt8>) {
        count &+= UInt64(bytes.count)
        var bytes = bytes
        if !rest.isEmpty {
            let wanted = bytes.prefix(64 - rest.count)
            rest.append(contentsOf: wanted)
            bytes = bytes.dropFirst(wanted.count)
            guard rest.count == 64 else { return }
            SHA256.compress(rest[...], into: &state)
            rest.removeAll(keepingCapacity: true)
        }
        let whole = bytes.count & ~63
        if whole > 0 { SHA256.compress(bytes.prefix(whole), into: &state) }
        rest.append(contentsOf: bytes.dropFirst(whole))
    }

    public mutating func append(_ bytes: [UInt8]) { append(bytes[...]) }

    /// The digest of everything so far; more can be appended afterwards.
    public var digest: Digest {
        var last = rest
        last.append(0x80)
        while last.count % 64 != 56 { last.append(0) }
        for shift in stride(from: 56, through: 0, by: -8) {
            last.append(UInt8(truncatingIfNeeded: (count &* 8) >> UInt64(shift)))
        }
        var final = state
        SHA256.compress(last[...], into: &final)
        var bytes: [UInt8] = []
        for word in final {
            for shift in stride(from: 24, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift)))
            }
        }
        return Digest(bytes)
    }

    /// Takes whole blocks.
    private static func compress(_ bytes: ArraySlice<UInt8>, into state: inout [UInt32]) {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe constants.withUnsafeBufferPointer { constants in
                unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { schedule in
                    unsafe state.withUnsafeMutableBufferPointer { state in
                        for start in stride(from: 0, to: bytes.count, by: 64) {
                            unsafe fill(schedule, from: bytes, at: start)
                            unsafe turn(schedule, constants, state)
                        }
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func fill(
        _ schedule: UnsafeMutableBufferPointer<UInt32>, from bytes: UnsafeRawBufferPointer, at start: Int
    ) {
        for index in 0..<16 {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: start &+ index &* 4, as: UInt32.self)
            unsafe schedule[index] = UInt32(bigEndian: word)
        }
        for index in 16..<64 {
            let near = unsafe schedule[index &- 2]
            let far = unsafe schedule[index &- 15]
            let nearMixed = rotated(near, 17) ^ rotated(near, 19) ^ near >> 10
            let farMixed = rotated(far, 7) ^ rotated(far, 18) ^ far >> 3
            let sum = unsafe schedule[index &- 16] &+ schedule[index &- 7]
            unsafe schedule[index] = sum &+ nearMixed &+ farMixed
        }
    }

    @inline(__always)
    private static func turn(
        _ schedule: UnsafeMutableBufferPointer<UInt32>, _ constants: UnsafeBufferPointer<UInt32>,
        _ state: UnsafeMutableBufferPointer<UInt32>
    ) {
        var (a, b, c, d) = unsafe (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = unsafe (state[4], state[5], state[6], state[7])
        for index in 0..<64 {
            let chosen = e & f ^ ~e & g
            let first =
                unsafe h &+ (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) &+ chosen &+ constants[index]
                &+ schedule[index]
            let majority = a & b ^ a & c ^ b & c
            let second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) &+ majority
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
        }
        for (index, word) in [a, b, c, d].enumerated() { unsafe state[index] &+= word }
        for (index, word) in [e, f, g, h].enumerated() { unsafe state[4 + index] &+= word }
    }

    @inline(__always)
    private static func rotated(_ word: UInt32, _ places: UInt32) -> UInt32 {
        word &>> places | word &<< (32 &- places)
    }

    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585,
        0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]
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
