// Bodies in chains of blocks, beside a plain array: what is put in comes out, and there is room for so much.
import Basics
import Testing

@testable import Arbitration

@Suite struct BlockChainsTests {
    private func body(_ length: Int, _ byte: UInt8 = 1) -> [UInt8] { Array(repeating: byte, count: length) }

    @Test(arguments: [0, 1, 31, 32, 33, 64, 65, 1000, 70_000])
    func `a body of any length comes out as it was put in`(length: Int) {
        var chains = BlockChains(bytes: 1 << 20)
        var (chain, other) = (BlockChains.Chain(), BlockChains.Chain())
        let body = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        chains.put(self.body(40, 9).span, in: &other)
        chains.put(body.span, in: &chain)
        #expect(chains.body(of: chain) == body)
        #expect(chains.bytes == 64 + (length + 31) / 32 * 32)
        #expect(chains.body(of: other) == self.body(40, 9))
        // A part that does not begin at 0.
        let longer = [7] + body
        chains.put(longer.span.extracting(1...), in: &other)
        #expect(chains.body(of: other) == body)
    }

    @Test func `what one gives up suits any other, and nothing more is reserved for it`() {
        var chains = BlockChains(bytes: 4096)
        var long = [BlockChains.Chain](repeating: .init(), count: 2)
        for index in long.indices { chains.put(body(2048).span, in: &long[index]) }
        #expect(chains.bytes == 4096)
        let reserved = chains.memory
        var short = [BlockChains.Chain](repeating: .init(), count: 128)
        #expect(chains.hasRoom(for: 1, in: short[0]) == false)
        #expect(chains.hasRoom(for: 2048, in: long[0]) == true)
        #expect(chains.hasRoom(for: 2049, in: long[0]) == false)
        for index in long.indices { chains.clear(&long[index]) }
        #expect(chains.bytes == 0)
        for index in short.indices { chains.put(body(32, UInt8(index)).span, in: &short[index]) }
        for index in short.indices { #expect(chains.body(of: short[index]) == body(32, UInt8(index))) }
        #expect(chains.hasRoom(for: 1, in: long[0]) == false)
        #expect(chains.memory == reserved)
    }

    @Test(arguments: 0..<10) func `whatever grows and shrinks, each keeps its own`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var chains = BlockChains(bytes: 40_000)
        var held = [BlockChains.Chain](repeating: .init(), count: 50)
        var expected = [[UInt8]](repeating: [], count: 50)
        for _ in 0..<5000 {
            let index = Int.random(in: held.indices, using: &random)
            let body = body(.random(in: 0...2000, using: &random), .random(in: 0...255, using: &random))
            let taken = expected.enumerated().reduce(0) { sum, element in
                sum + ((element.offset == index ? body : element.element).count + 31) / 32
            }
            #expect(chains.hasRoom(for: body.count, in: held[index]) == (taken <= 1250))
            if taken <= 1250 {
                chains.put(body.span, in: &held[index])
                expected[index] = body
            } else {
                chains.clear(&held[index])
                expected[index] = []
            }
        }
        for index in held.indices { #expect(chains.body(of: held[index]) == expected[index]) }
    }
}
