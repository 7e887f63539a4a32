// The fingerprint of a payload: each byte and the length count, and nothing else.
import Testing

@testable import Arbitration

@Suite("The fingerprint of a payload")
struct FingerprintTests {
    @Test("A copy with any one bit changed, of any length, has another", arguments: 1...67)
    func everyBitCounts(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for bit in 0..<length * 8 {
            var changed = payload
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(fingerprint(changed[...]) != fingerprint(payload[...]), "bit \(bit)")
        }
    }

    @Test("Zeros behind it count")
    func lengthCounts() {
        let prints = (0...67).map { fingerprint([UInt8](repeating: 0, count: $0)[...]) }
        #expect(Set(prints).count == prints.count)
    }

    @Test("Where a copy lies in its packet does not count", arguments: [1, 7, 8, 15, 16, 17, 64])
    func placeDoesNotCount(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for place in 1..<9 {
            let packet = [UInt8](repeating: 0xFF, count: place) + payload + [0xFF]
            #expect(fingerprint(packet[place..<place + length]) == fingerprint(payload[...]), "at \(place)")
        }
    }

    @Test("Two words in each other's place have another")
    func orderCounts() {
        let payload = (0..<32).map { UInt8($0) }
        let swapped = Array(payload[16...] + payload[..<16])
        let turned = Array(payload[8..<16] + payload[..<8] + payload[16...])
        #expect(fingerprint(swapped[...]) != fingerprint(payload[...]))
        #expect(fingerprint(turned[...]) != fingerprint(payload[...]))
    }
}
