// Reading and writing bytes: the only way that a decoder touches its input. A reader cannot overrun and
// says at which offset it stopped; a writer appends in a named byte order.

/// Why a read failed: more bytes were asked for than are left.
public struct EndOfBytes: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where in the input the read began, counted from its first byte.
    public var offset: Int
    /// How many bytes were asked for.
    public var wanted: Int
    /// How many were left.
    public var left: Int

    public init(offset: Int, wanted: Int, left: Int) {
        self.offset = offset
        self.wanted = wanted
        self.left = left
    }

    public var description: String { "offset \(offset): \(wanted) bytes wanted, \(left) left" }
}

/// Reads a run of bytes from front to back.
public struct ByteReader {
    /// What has not been read yet.
    public private(set) var rest: ArraySlice<UInt8>
    private let start: Int

    public init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
        start = bytes.startIndex
    }

    public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    /// Bytes read so far.
    public var offset: Int { rest.startIndex - start }
    public var isAtEnd: Bool { rest.isEmpty }
    /// How many bytes are left.
    public var count: Int { rest.count }

    /// The next `count` bytes.
    public mutating func take(_ count: Int) throws(EndOfBytes) -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else {
            throw EndOfBytes(offset: offset, wanted: count, left: rest.count)
        }
        let end = rest.startIndex + count
        let taken = rest[rest.startIndex..<end]
        rest = rest[end...]
        return taken
    }

    /// An integer in network byte order (big-endian).
    public mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        try bigEndian(bytes: T.bitWidth / 8)
    }

    /// A big-endian unsigned integer of `bytes` bytes, as ITCH's 48-bit timestamp needs.
    public mutating func bigEndian<T: FixedWidthInteger>(bytes: Int) throws(EndOfBytes) -> T {
        var value: T = 0
        for byte in try take(bytes) { value = (value << 8) | T(truncatingIfNeeded: byte) }
        return value
    }

    /// An integer in little-endian byte order.
    public mutating func littleEndian<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        var value: T = 0
        var shift = 0
        for byte in try take(T.bitWidth / 8) {
            value |= T(truncatingIfNeeded: byte) << T(truncatingIfNeeded: shift)
            shift += 8
        }
        return value
    }

    /// An integer in the host's own byte order, as netlink uses.
    public mutating func hostEndian<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        #if _endian(little)
            try littleEndian(type)
        #else
            try integer(type)
        #endif
    }
}

/// Appends bytes in a named byte order.
public struct ByteWriter {
    public var bytes: [UInt8] = []

    public init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    public mutating func bigEndian<T: FixedWidthInteger>(_ value: T) {
        var shift = T.bitWidth
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: shift)))
        }
    }

    /// The low `count` bytes of `value`, big-endian.
    public mutating func bigEndian(_ value: UInt64, bytes count: Int) {
        var shift = count * 8
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    public mutating func littleEndian<T: FixedWidthInteger>(_ value: T) {
        var shift = 0
        while shift < T.bitWidth {
            bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: shift)))
            shift += 8
        }
    }

    public mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// ASCII text, cut or right-padded with spaces to `width` bytes.
    public mutating func padded(_ text: String, to width: Int) {
        let utf8 = Array(text.utf8.prefix(width))
        bytes.append(contentsOf: utf8)
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: width - utf8.count))
    }
}

extension ArraySlice<UInt8> {
    /// The bytes as text without the spaces and NULs that pad fixed-width fields on either side; bytes that
    /// are not UTF-8 are replaced.
    public var trimmedText: String {
        let isPadding: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == 0 }
        var slice = self
        while let first = slice.first, isPadding(first) { slice = slice.dropFirst() }
        while let last = slice.last, isPadding(last) { slice = slice.dropLast() }
        return String(decoding: slice, as: UTF8.self)
    }
}

/// FNV-1a, 64 bits: a fast hash that is the same in each run and on each host, so that two gateways give a
/// venue's session the same number. Not for adversarial input. Source: draft-eastlake-fnv, section 2.
public func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
}
