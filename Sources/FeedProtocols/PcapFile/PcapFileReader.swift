// Capture files, classic pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), read as they
// are fed. A length that a file claims is compared with a limit before anything waits for its bytes, and the
// reader stops at the first record that cannot be right: what follows one has no known place.
public import Basics

/// One captured frame.
public struct CapturedFrame {
    /// When it was captured; `nil` where the file does not say (pcapng simple packets).
    public let time: WallTime?
    /// What the bytes start with.
    public let link: LinkType
    /// What was captured of the frame.
    public let bytes: ArraySlice<UInt8>
    /// The frame's length on the wire, in bytes; above `bytes.count` if it was cut.
    public let originalLength: Int

    public init(time: WallTime?, link: LinkType, bytes: ArraySlice<UInt8>, originalLength: Int) {
        self.time = time
        self.link = link
        self.bytes = bytes
        self.originalLength = originalLength
    }
}

/// Reads either kind of capture file, fed in pieces.
public struct PcapFileReader {
    /// The longest frame that it takes, in bytes: libpcap's own limit.
    public static let longestFrame = 262_144

    private enum Format {
        case undecided
        case classic(ClassicPcap)
        case pcapng(Pcapng)
        case stopped
    }

    private var queue = ByteQueue()
    private var format = Format.undecided

    public init() {}

    public mutating func feed(_ chunk: some Collection<UInt8>) { queue.feed(chunk) }

    /// The next frame; `nil`: feed more.
    /// - Throws: `MalformedInput`, once; after it there are no more frames.
    public mutating func next() throws(MalformedInput) -> CapturedFrame? {
        do {
            return try nextFrame()
        } catch {
            format = .stopped
            throw error
        }
    }

    private mutating func nextFrame() throws(MalformedInput) -> CapturedFrame? {
        if case .undecided = format {
            guard let start = queue.peek(4) else { return nil }
            format = PcapFileReader.isPcapng(start) ? .pcapng(Pcapng()) : .classic(ClassicPcap())
        }
        switch format {
        case .undecided, .stopped: return nil
        case .classic(var pcap):
            let frame = try pcap.next(from: &queue)
            format = .classic(pcap)
            return frame
        case .pcapng(var pcapng):
            let frame = try pcapng.next(from: &queue)
            format = .pcapng(pcapng)
            return frame
        }
    }

    /// To be called when no more will be fed.
    /// - Throws: `MalformedInput.truncated` if the file ends within a record, or has no header.
    public func finish() throws(MalformedInput) {
        switch format {
        case .stopped: return
        case .undecided:
            throw MalformedInput(.truncated, offset: 0, wanted: ClassicPcap.fileHeader, found: queue.count)
        case .classic, .pcapng:
            guard queue.count > 0 || queue.owed > 0 else { return }
            throw MalformedInput(
                .truncated, offset: queue.offset, wanted: queue.count + max(1, queue.owed), found: queue.count
            )
        }
    }

    static func isPcapng(_ start: ArraySlice<UInt8>) -> Bool {
        start.prefix(4).elementsEqual([0x0A, 0x0D, 0x0D, 0x0A])
    }

    static func isPcap(_ start: ArraySlice<UInt8>) -> Bool { ClassicPcap.byteOrder(of: start) != nil }
}

/// Reads integers in the byte order that a capture file declared, and knows its place in the file.
struct OrderedReader {
    private var reader: ByteReader
    private let isLittle: Bool
    private let start: Int

    /// - Parameter start: where `bytes` begin, in bytes of the file.
    init(_ bytes: ArraySlice<UInt8>, isLittle: Bool, at start: Int) {
        reader = ByteReader(bytes)
        self.isLittle = isLittle
        self.start = start
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(MalformedInput) -> T {
        do {
            return try isLittle ? reader.littleEndian(type) : reader.integer(type)
        } catch {
            throw MalformedInput(error, within: start)
        }
    }

    mutating func take(_ count: Int) throws(MalformedInput) -> ArraySlice<UInt8> {
        do {
            return try reader.take(count)
        } catch {
            throw MalformedInput(error, within: start)
        }
    }

    /// Where the next read begins, in bytes of the file.
    var offset: Int { start + reader.offset }
    /// Bytes left.
    var count: Int { reader.count }
}

extension MalformedInput {
    /// A read that failed within bytes that begin at `offset`.
    init(_ end: EndOfBytes, within offset: Int) {
        self.init(.truncated, offset: offset + end.offset, wanted: end.wanted, found: end.left)
    }
}
