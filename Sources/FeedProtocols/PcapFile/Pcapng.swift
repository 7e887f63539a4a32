// pcapng: blocks with a type and a length, sections that declare their byte order, interfaces that declare
// link type and clock. Blocks that hold no frame are stepped over without being held.
import Basics

struct Pcapng {
    private static let sectionHeader: UInt32 = 0x0A0D_0D0A
    private static let interfaceDescription: UInt32 = 1
    private static let simplePacket: UInt32 = 3
    private static let enhancedPacket: UInt32 = 6
    /// The longest block of a kind that is read whole: a frame with its options.
    private static let longestBlock = PcapFileReader.longestFrame + 65_536
    /// The most interfaces that a section may describe.
    private static let mostInterfaces = 1024

    private var isLittle = true
    private var interfaces: [PcapngInterface] = []

    mutating func next(from queue: inout ByteQueue) throws(MalformedInput) -> CapturedFrame? {
        while let start = queue.peek(12) {
            let offset = queue.offset
            try readByteOrder(start, offset: offset)
            var header = OrderedReader(start, isLittle: isLittle, at: offset)
            let type = try header.integer(UInt32.self)
            let length = Int(try header.integer(UInt32.self))
            guard length >= 12, length % 4 == 0 else {
                throw MalformedInput(.undersized, offset: offset + 4, wanted: 12, found: length)
            }
            guard Pcapng.isRead(type) else {
                queue.skip(length)
                continue
            }
            guard length <= Pcapng.longestBlock else {
                throw MalformedInput(
                    .oversized, offset: offset + 4, wanted: Pcapng.longestBlock, found: length)
            }
            guard let block = queue.take(length) else { return nil }
            let body = OrderedReader(block.dropFirst(8).dropLast(4), isLittle: isLittle, at: offset + 8)
            if let frame = try read(type, body) { return frame }
        }
        return nil
    }

    private static func isRead(_ type: UInt32) -> Bool {
        [sectionHeader, interfaceDescription, simplePacket, enhancedPacket].contains(type)
    }

    /// A section header reads the same in both byte orders; its third word tells which one follows.
    private mutating func readByteOrder(_ start: ArraySlice<UInt8>, offset: Int) throws(MalformedInput) {
        guard PcapFileReader.isPcapng(start) else { return }
        let magic = start.dropFirst(8)
        if magic.elementsEqual([0x4D, 0x3C, 0x2B, 0x1A]) {
            isLittle = true
        } else if magic.elementsEqual([0x1A, 0x2B, 0x3C, 0x4D]) {
            isLittle = false
        } else {
            let found = magic.reduce(0) { $0 << 8 | Int($1) }
            throw MalformedInput(.unknownVersion, offset: offset + 8, wanted: 0x1A2B_3C4D, found: found)
        }
    }

    private mutating func read(_ type: UInt32, _ body: OrderedReader) throws(MalformedInput) -> CapturedFrame?
    {
        switch type {
        case Pcapng.sectionHeader:
            interfaces.removeAll()
            return nil
        case Pcapng.interfaceDescription:
            guard interfaces.count < Pcapng.mostInterfaces else {
                throw MalformedInput(
                    .oversized, offset: body.offset, wanted: Pcapng.mostInterfaces,
                    found: interfaces.count + 1)
            }
            interfaces.append(try PcapngInterface(body))
            return nil
        case Pcapng.simplePacket: return try simplePacket(body)
        default: return try enhancedPacket(body)
        }
    }

    private func simplePacket(_ body: OrderedReader) throws(MalformedInput) -> CapturedFrame {
        var body = body
        let interface = try interface(0, at: body.offset)
        let original = Int(try body.integer(UInt32.self))
        let cut = interface.snapLength > 0 ? min(original, interface.snapLength) : original
        return CapturedFrame(
            time: nil, link: interface.link, bytes: try body.take(cut), originalLength: original)
    }

    private func enhancedPacket(_ body: OrderedReader) throws(MalformedInput) -> CapturedFrame {
        var body = body
        let interface = try interface(Int(try body.integer(UInt32.self)), at: body.offset)
        let high = UInt64(try body.integer(UInt32.self))
        let low = UInt64(try body.integer(UInt32.self))
        let captured = Int(try body.integer(UInt32.self))
        let original = Int(try body.integer(UInt32.self))
        return CapturedFrame(
            time: interface.time(high << 32 | low), link: interface.link, bytes: try body.take(captured),
            originalLength: original)
    }

    private func interface(_ index: Int, at offset: Int) throws(MalformedInput) -> PcapngInterface {
        guard interfaces.indices.contains(index) else {
            throw MalformedInput(.inconsistent, offset: offset, wanted: interfaces.count, found: index)
        }
        return interfaces[index]
    }
}

/// What an interface description block says of the frames captured there.
struct PcapngInterface {
    let link: LinkType
    /// Bytes after which frames were cut; 0: never.
    let snapLength: Int
    /// `if_tsresol`: 10^-n seconds, or with the top bit set 2^-n. Microseconds unless said.
    private var resolution: UInt8 = 6
    /// `if_tsoffset`: seconds to be added to each time.
    private var secondsOffset: Int64 = 0

    init(_ body: OrderedReader) throws(MalformedInput) {
        var body = body
        link = LinkType(rawValue: try body.integer(UInt16.self))
        _ = try body.take(2)
        snapLength = Int(try body.integer(UInt32.self))
        try readOptions(&body)
    }

    private mutating func readOptions(_ body: inout OrderedReader) throws(MalformedInput) {
        while body.count >= 4 {
            let code = try body.integer(UInt16.self)
            let length = Int(try body.integer(UInt16.self))
            guard code != 0 else { return }
            if code == 9, length == 1 {
                resolution = try body.integer(UInt8.self)
                _ = try body.take(3)
            } else if code == 14, length == 8 {
                secondsOffset = try body.integer(Int64.self)
            } else {
                _ = try body.take((length + 3) & ~3)
            }
        }
    }

    /// A time in the interface's units, as nanoseconds. What is out of range wraps: a wrong stamp harms
    /// nothing but itself.
    func time(_ units: UInt64) -> WallTime {
        let exponent = Int(resolution & 0x7F)
        let nanoseconds: UInt64
        if resolution & 0x80 != 0 {
            let seconds = exponent < 64 ? units >> UInt64(exponent) : 0
            let rest = exponent < 64 ? units & (1 << UInt64(exponent) &- 1) : units
            let product = rest.multipliedFullWidth(by: 1_000_000_000)
            nanoseconds = seconds &* 1_000_000_000 &+ shift(product, by: exponent)
        } else if exponent <= 9 {
            nanoseconds = units &* power(of: 9 - exponent)
        } else {
            nanoseconds = exponent - 9 <= 19 ? units / power(of: exponent - 9) : 0
        }
        return WallTime(
            nanoseconds: Int64(truncatingIfNeeded: nanoseconds) &+ secondsOffset &* 1_000_000_000)
    }

    private func power(of exponent: Int) -> UInt64 { (0..<exponent).reduce(1) { value, _ in value * 10 } }

    private func shift(_ product: (high: UInt64, low: UInt64), by bits: Int) -> UInt64 {
        switch bits {
        case 0: product.low
        case 1..<64: product.low >> UInt64(bits) | product.high << UInt64(64 - bits)
        default: product.high >> UInt64(min(bits - 64, 63))
        }
    }
}
