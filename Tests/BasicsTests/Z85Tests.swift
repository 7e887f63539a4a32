// Z85 against the specification's example, and what is not Z85.
import Basics
import Testing

struct Z85Tests {
    @Test func `the example of RFC 32 goes both ways`() {
        let bytes: [UInt8] = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]
        #expect(Z85.encode(bytes) == "HelloWorld")
        #expect(Z85.decode("HelloWorld") == bytes)
    }

    @Test(arguments: ["Hell", "Hello\u{e9}orld", "#####", "Hel o"])
    func `what is not Z85 has no bytes`(text: String) {
        #expect(Z85.decode(text) == nil)
    }

    @Test func `bytes whose count is no multiple of four have no text`() {
        #expect(Z85.encode([1, 2, 3]) == nil)
    }
}
