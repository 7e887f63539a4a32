// Boxes against NaCl's own example ("Cryptography in NaCl", D. J. Bernstein, 2009).
import Testing

@testable import ZMTP

@Suite struct BoxTests {
    private static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap { $0.isHexDigit ? UInt8(String($0), radix: 16) : nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private let alice = Secret(hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    private let bob = Secret(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    private let nonce = Nonce("", hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"))
    private let text = hex(
        """
        be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129
        6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde
        048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705
        """)
    private let box = hex(
        """
        f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a
        c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae
        90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74
        e355a5
        """)

    @Test func `public keys and what two keys share are NaCl's`() throws {
        #expect(
            alice.publicKey == Self.hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
        #expect(bob.publicKey == Self.hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        #expect(
            shared.bytes == Self.hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"))
        #expect(try #require(Secret(of: bob, with: alice.publicKey)).bytes == shared.bytes)
    }

    @Test func `a box is NaCl's`() throws {
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        #expect(Box.seal(text, nonce, shared) == box)
        let other = try #require(Secret(of: bob, with: alice.publicKey))
        #expect(Box.open(box[...], nonce, other) == text)
    }

    @Test func `a box that was changed or cut does not open`() throws {
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        for index in box.indices {
            var changed = box
            changed[index] ^= 1
            #expect(Box.open(changed[...], nonce, shared) == nil)
            #expect(Box.open(box[..<index], nonce, shared) == nil)
        }
        #expect(Box.open(box[...], Nonce("", [UInt8](repeating: 0, count: 24)), shared) == nil)
        #expect(Box.open(box[...], nonce, alice) == nil)
    }

    @Test func `in place nothing but the box changes`() throws {
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        var bytes = [1, 2] + [UInt8](repeating: 0, count: Box.overhead) + text
        Box.seal(&bytes, from: 2, nonce, shared)
        #expect(bytes == [1, 2] + box)
        #expect(Box.open(bytes[2...], nonce, shared) == text)
    }

    @Test func `an empty text has a box`() throws {
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        let empty = Box.seal([], nonce, shared)
        #expect(empty.count == Box.overhead)
        #expect(Box.open(empty[...], nonce, shared) == [])
    }

    @Test func `with a key of small order nothing is shared`() {
        let small = Self.hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
        #expect(Secret(of: alice, with: small) == nil)
        #expect(Secret(of: alice, with: [UInt8](repeating: 0, count: 32)) == nil)
    }

    @Test func `a nonce is a text and a number in network byte order`() throws {
        let shared = try #require(Secret(of: alice, with: bob.publicKey))
        var counted = Nonce("CurveZMQMESSAGES", 0)
        counted.number = 0x0102_0304_0506_0708
        let written = Nonce("CurveZMQMESSAGES", [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(counted.number == written.number)
        #expect(Box.seal(text, counted, shared) == Box.seal(text, written, shared))
    }

    @Test func `what is wiped is zero`() {
        var bytes: [UInt8] = [1, 2, 3]
        Box.wipe(&bytes)
        #expect(bytes == [0, 0, 0])
        #expect(Box.areEqual([1, 2], [1, 2]))
        #expect(!Box.areEqual([1, 2], [1, 3]))
        #expect(!Box.areEqual([1, 2], [1, 2, 3]))
    }
}
