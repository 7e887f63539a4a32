// Batches: written, read, and read from strangers.
import Testing

@testable import Wire

@Suite struct BatchTests {
    @Test func `messages come back with their sequences`() throws {
        var batch = BatchBody()
        #expect(batch.isEmpty)
        let isIn = ["one", "", "three"].map { batch.append(Array($0.utf8)[...]) }
        #expect(isIn == [true, true, true])
        let read = try BatchBody.messages(of: batch.bytes[...], last: 12)
        #expect(read.map(\.sequence) == [10, 11, 12])
        #expect(read.map { String(decoding: $0.message, as: UTF8.self) } == ["one", "", "three"])
        #expect(
            batch.bytes == [3, 0, 0, 0, 3, 0] + Array("one".utf8) + [0, 0, 5, 0] + Array("three".utf8))
        batch.removeAll()
        #expect(batch.bytes == [0, 0, 0, 0] && batch.isEmpty)
    }

    @Test func `a body counts as far as it goes`() throws {
        var batch = BatchBody()
        for count in 1...65_800 as ClosedRange<UInt32> {
            _ = batch.append([])
            guard [255, 256, 257, 65_535, 65_536].contains(count) else { continue }
            #expect(
                batch.bytes.prefix(4) == (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }[...])
            #expect(try BatchBody.messages(of: batch.bytes[...], last: 70_000).count == Int(count))
        }
    }

    @Test func `a message that is too long is left out`() {
        var batch = BatchBody()
        let isIn = [65_536, 65_535].map { batch.append([UInt8](repeating: 1, count: $0)[...]) }
        #expect(isIn == [false, true])
        #expect(batch.count == 1)
    }

    @Test func `what ends too early or claims too much is refused`() {
        var batch = BatchBody()
        for _ in 0..<3 { _ = batch.append([1, 2, 3][...]) }
        for length in 0..<batch.bytes.count {
            #expect(throws: FrameError.self) {
                try BatchBody.messages(of: batch.bytes[..<length], last: 9)
            }
        }
        #expect(throws: FrameError.self) { try BatchBody.messages(of: batch.bytes[...], last: 2) }
        let claims: [UInt8] = [255, 255, 255, 255, 0, 0]
        #expect(throws: FrameError.self) { try BatchBody.messages(of: claims[...], last: .max) }
    }
}
