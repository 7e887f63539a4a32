// The reader cannot overrun and says where it stopped; the writer is its mirror.
import Basics
import Testing

@Suite struct BytesTests {
    @Test func `integers are read in the named byte order`() throws {
        var reader = ByteReader([1, 2, 3, 4, 0xFE, 0xFF, 0, 0, 0, 0, 1, 0])
        #expect(try reader.integer(UInt16.self) == 0x0102)
        #expect(try reader.littleEndian(UInt16.self) == 0x0403)
        #expect(try reader.littleEndian(Int16.self) == -2)
        #expect(try reader.bigEndian(bytes: 6) as UInt64 == 256)
        #expect(reader.isAtEnd)
    }

    @Test func `a read past the end names its offset and takes nothing`() {
        var reader = ByteReader([1, 2, 3])
        #expect(throws: Never.self) { try reader.take(2) }
        #expect(throws: EndOfBytes(offset: 2, wanted: 4, left: 1)) { try reader.integer(UInt32.self) }
        #expect(throws: EndOfBytes(offset: 2, wanted: -1, left: 1)) { try reader.take(-1) }
        #expect(throws: EndOfBytes(offset: 2, wanted: .max, left: 1)) { try reader.take(.max) }
        #expect(reader.count == 1)
    }

    @Test func `offsets count from the start of a slice`() throws {
        var reader = ByteReader([9, 9, 1, 2, 3][2...])
        #expect(try Array(reader.take(2)) == [1, 2])
        #expect(reader.offset == 2)
        #expect(Array(reader.rest) == [3])
    }

    @Test func `what is written is read back`() throws {
        var writer = ByteWriter(capacity: 64)
        writer.bigEndian(UInt64.max - 1)
        writer.littleEndian(Int32(-7))
        writer.bigEndian(0x0102_0304_0506, bytes: 6)
        writer.padded("AB", to: 4)
        writer.padded("ABCDE", to: 4)
        writer.append([7])
        var reader = ByteReader(writer.bytes)
        #expect(try reader.integer(UInt64.self) == .max - 1)
        #expect(try reader.littleEndian(Int32.self) == -7)
        #expect(try reader.bigEndian(bytes: 6) as UInt64 == 0x0102_0304_0506)
        #expect(try Array(reader.take(8)) == Array("AB  ABCD".utf8))
        #expect(try reader.integer(UInt8.self) == 7)
    }

    @Test func `padding is trimmed on both sides`() {
        #expect(Array("  A B\0 ".utf8)[...].trimmedText == "A B")
        #expect(Array("   ".utf8)[...].trimmedText == "")
        #expect(ArraySlice<UInt8>().trimmedText == "")
    }

    @Test func `FNV-1a gives the published numbers`() {
        #expect(fnv1a("".utf8) == 0xcbf2_9ce4_8422_2325)
        #expect(fnv1a("a".utf8) == 0xaf63_dc4c_8601_ec8c)
        #expect(fnv1a("foobar".utf8) == 0x8594_4171_f739_67e8)
    }

    @Test func `the count of a sequence range saturates`() {
        #expect(SequenceRange(0, .max).count == .max)
        #expect(SequenceRange(5, 5).count == 1)
        #expect(SequenceRange(2, 4).contains(4))
        #expect(!SequenceRange(2, 4).contains(5))
        #expect(SequenceRange(2, 4).description == "2–4")
    }
}
