// Keys by libzmq: new pairs, and whether two halves belong together.
import Messaging
import Testing
import Wire

@Suite struct KeysTests {
    @Test func `new keys are pairs, differ, and begin with a letter or digit`() throws {
        var seen: Set<PublicKey> = []
        for _ in 0..<50 {
            let keys = try KeyPair.generate()
            #expect(keys.isConsistent)
            #expect(seen.insert(keys.publicKey).inserted)
            #expect(keys.publicKey.description.first.map { $0.isLetter || $0.isNumber } == true)
        }
    }

    @Test func `halves of two pairs are no pair`() throws {
        let (one, other) = (try KeyPair.generate(), try KeyPair.generate())
        #expect(!KeyPair(publicKey: one.publicKey, secretKey: other.secretKey).isConsistent)
    }
}
