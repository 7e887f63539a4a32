// The classic capture format: a file header of 24 bytes, then records with 16 bytes of header each.
import Basics

struct ClassicPcap {
    static let fileHeader = 24
    private static let recordHeader = 16

    private struct Parameters {
        let isLittle: Bool
        /// Nanoseconds per unit of the records' fractions of a second.
        let resolution: Int64
        let link: LinkType
    }

    private var parameters: Parameters?

    /// The byte order and the resolution that a magic number declares; `nil` for another file.
    static func byteOrder(of start: ArraySlice<UInt8>) -> (isLittle: Bool, resolution: Int64)? {
        switch start.prefix(4).map({ $0 }) {
        case [0xD4, 0xC3, 0xB2, 0xA1]: (true, 1000)
        case [0xA1, 0xB2, 0xC3, 0xD4]: (false, 1000)
        case [0x4D, 0x3C, 0xB2, 0xA1]: (true, 1)
        case [0xA1, 0xB2, 0x3C, 0x4D]: (false, 1)
        default: nil
        }
    }

    mutating func next(from queue: inout ByteQueue) throws(MalformedInput) -> CapturedFrame? {
        if parameters == nil { parameters = try readFileHeader(from: &queue) }
        guard let parameters else { return nil }
        guard let header = queue.peek(ClassicPcap.recordHeader) else { return nil }
        let record = try read(header, parameters, offset: queue.offset)
        guard let bytes = queue.take(ClassicPcap.recordHeader + record.length) else { return nil }
        return CapturedFrame(
            time: record.time, link: parameters.link, bytes: bytes.dropFirst(ClassicPcap.recordHeader),
            originalLength: record.original)
    }

    private func readFileHeader(from queue: inout ByteQueue) throws(MalformedInput) -> Parameters? {
        guard let header = queue.peek(ClassicPcap.fileHeader) else { return nil }
        guard let (isLittle, resolution) = ClassicPcap.byteOrder(of: header) else {
            let magic = header.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            throw MalformedInput(.unknownVersion, offset: 0, wanted: 0xA1B2_C3D4, found: magic)
        }
        queue.skip(ClassicPcap.fileHeader)
        var reader = OrderedReader(header.dropFirst(20), isLittle: isLittle, at: 20)
        // The upper 16 bits hold the length of a frame check sequence.
        let link = LinkType(rawValue: UInt16(truncatingIfNeeded: try reader.integer(UInt32.self)))
        return Parameters(isLittle: isLittle, resolution: resolution, link: link)
    }

    private func read(
        _ header: ArraySlice<UInt8>, _ parameters: Parameters, offset: Int
    ) throws(MalformedInput) -> (time: WallTime, length: Int, original: Int) {
        var reader = OrderedReader(header, isLittle: parameters.isLittle, at: offset)
        let seconds = Int64(try reader.integer(UInt32.self))
        let fraction = Int64(try reader.integer(UInt32.self))
        let length = Int(try reader.integer(UInt32.self))
        let original = Int(try reader.integer(UInt32.self))
        guard length <= PcapFileReader.longestFrame else {
            throw MalformedInput(
                .oversized, offset: offset + 8, wanted: PcapFileReader.longestFrame, found: length)
        }
        let time = WallTime(nanoseconds: seconds * 1_000_000_000 + fraction * parameters.resolution)
        return (time, length, original)
    }
}
